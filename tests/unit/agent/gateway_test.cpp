// The agent gateway and real agents, in one process, over TLS.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/net/http.h"
#include "tests/unit/agent/gateway_support.h"

namespace fb::agent {
namespace {

using test::command;
using test::eventually;
using test::lines_of;
using test::put_file;
using test::RunningAgent;
using test::Service;
using test::TemporaryFolder;

TEST(Agent, EnrolsIsIsolatedAndReleased) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  ASSERT_TRUE(eventually([&] { return service.store.at("a1").status == AgentStatus::online; }));
  const Endpoint known = service.store.at("a1");
  EXPECT_EQ(known.host_id, "host-of-a1");
  EXPECT_EQ(known.hostname, "a1.example");
  EXPECT_TRUE(known.simulated);
  EXPECT_EQ(known.observed, Isolation::released);

  ASSERT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::sent);
  const Report isolated = service.wait_for_end("i1");
  EXPECT_EQ(isolated.kind, Report::Kind::done);
  EXPECT_EQ(isolated.observed, Isolation::isolated);
  EXPECT_EQ(isolated.endpoint_id, "a1");
  EXPECT_EQ(isolated.generation, 1);
  EXPECT_TRUE(eventually([&] { return service.store.at("a1").observed == Isolation::isolated; })) << "by heartbeat";

  ASSERT_EQ(*service.plugin->send(command("r2", Verb::release, "a1", 2)), SendOutcome::sent);
  EXPECT_EQ(service.wait_for_end("r2").observed, Isolation::released);
  agent.stop();
  EXPECT_TRUE(agent.result) << agent.result.error().describe();
  EXPECT_EQ(lines_of(agent.journal()).size(), 4u);
  EXPECT_EQ(service.plugin->stats().auth_failures, 0u);
}

TEST(Agent, ACommandThatComesTwiceActsOnce) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::sent);
    ASSERT_TRUE(eventually([&] { return service.reports("i1").size() >= static_cast<size_t>(i + 1); }));
  }
  for (const Report& r : service.reports("i1")) {
    EXPECT_TRUE(r.kind == Report::Kind::accepted || r.kind == Report::Kind::done);
  }
  EXPECT_EQ(lines_of(agent.journal()).size(), 2u);
}

TEST(Agent, RefusesAStaleAndAnExpiredCommand) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  ASSERT_TRUE(service.plugin->send(command("r5", Verb::release, "a1", 5)));
  EXPECT_EQ(service.wait_for_end("r5").kind, Report::Kind::done);
  const auto older = service.plugin->send(command("i4", Verb::isolate, "a1", 4));
  ASSERT_FALSE(older);
  EXPECT_EQ(older.error().code, ErrorCode::conflict);
  ASSERT_TRUE(service.plugin->send(command("i5", Verb::isolate, "a1", 5)))
      << "as new as the last: the agent's own judgement";
  const Report stale = service.wait_for_end("i5");
  EXPECT_EQ(stale.kind, Report::Kind::refused);
  EXPECT_EQ(stale.observed, Isolation::released);
  Command late = command("i6", Verb::isolate, "a1", 6);
  late.expires_at_ms = system_clock().wall_ms() - 1;
  ASSERT_TRUE(service.plugin->send(late));
  EXPECT_EQ(service.wait_for_end("i6").kind, Report::Kind::refused);
  late = command("r7", Verb::release, "a1", 7);
  late.expires_at_ms = system_clock().wall_ms() - 1;
  ASSERT_TRUE(service.plugin->send(late));
  EXPECT_EQ(service.wait_for_end("r7").kind, Report::Kind::done) << "a release is never too late";
  EXPECT_EQ(lines_of(agent.journal()).size(), 4u);
}

TEST(Agent, ComesBackAfterARestartOfTheServiceAndOfItself) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  EXPECT_EQ(service.wait_for_end("i1").kind, Report::Kind::done);
  service.stop();
  usleep(300'000);
  service.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  EXPECT_EQ(service.plugin->stats().enrolled, 0u) << "with the credential it has";
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().heartbeats >= 1; }));
  agent.stop();
  agent.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  ASSERT_TRUE(eventually([&] { return service.reports("i1").size() >= 2; }));
  ASSERT_TRUE(service.plugin->send(command("r2", Verb::release, "a1", 2)));
  EXPECT_EQ(service.wait_for_end("r2").observed, Isolation::released);
  EXPECT_EQ(lines_of(agent.journal()).size(), 4u);
}

TEST(Agent, IsOfflineWhenSilentAndOnlineWhenBack) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  EXPECT_EQ(*service.plugin->send(command("x", Verb::isolate, "a1", 1)), SendOutcome::offline);
  agent.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->is_live("a1"); }));
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().heartbeats >= 1; }));
  agent.stop();
  EXPECT_TRUE(eventually([&] { return service.store.at("a1").status == AgentStatus::offline; }));
  EXPECT_EQ(*service.plugin->send(command("y", Verb::isolate, "a1", 2)), SendOutcome::offline);
  agent.start();
  EXPECT_TRUE(eventually([&] { return service.store.at("a1").status == AgentStatus::online; }));
  EXPECT_EQ(*service.plugin->send(command("y", Verb::isolate, "a1", 2)), SendOutcome::sent);
  EXPECT_EQ(service.wait_for_end("y").kind, Report::Kind::done);
  EXPECT_TRUE(service.reports("x").empty()) << "what was not kept is not delivered";
}

TEST(Agent, AnAgentThatDidNotComeBackAfterARestartGoesOffline) {
  Service service;
  service.store.add_endpoint("lost", AgentStatus::online);
  service.start();
  EXPECT_TRUE(eventually([&] { return service.store.at("lost").status == AgentStatus::offline; }));
}

TEST(Agent, AnIsolatedHostStaysIsolatedWhileTheServiceIsAway) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  service.wait_for_end("i1");
  service.stop();
  agent.stop();
  agent.start();
  usleep(200'000);
  EXPECT_NE(test::get_file(agent.options.state_dir + "/simulated_isolation.json").find("isolated"), std::string::npos);
  service.start();
  EXPECT_TRUE(eventually([&] { return service.plugin->stats().heartbeats >= 1; }));
  EXPECT_EQ(service.store.at("a1").observed, Isolation::isolated);
}

TEST(Agent, OneStateFolderHasOneAgent) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  const Status second = run_agent(agent.options, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  agent.stop();
  AgentOptions other = agent.options;
  other.agent_id = "somebody-else";
  const Status foreign = run_agent(other, {});
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, ErrorCode::conflict);
}

TEST(Enrolment, ATokenIsGoodOnce) {
  Service service;
  service.start();
  RunningAgent first(service, "a1"), second(service, "a2");
  const auto enrolled = enroll_agent(first.options, {});
  ASSERT_TRUE(enrolled) << enrolled.error().describe();
  EXPECT_EQ(enrolled->agent_id, "a1");
  EXPECT_TRUE(enroll_agent(first.options, {})->was_enrolled) << "it has its credential";
  second.options.token_file = first.options.token_file;
  const auto again = enroll_agent(second.options, {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::refused);
  EXPECT_NE(again.error().message.find("401"), std::string::npos);
  EXPECT_EQ(service.plugin->stats().auth_failures, 1u);
  struct stat facts {};
  ASSERT_EQ(::stat((first.options.state_dir + "/credential.json").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST(Enrolment, AnExpiredOrWrongTokenIsRefused) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  const std::string token = endpoint::make_token(*net::certificate_fingerprint(service.dir / "ca.pem"));
  put_file(agent.options.token_file, token);
  EXPECT_FALSE(enroll_agent(agent.options, {})) << "never issued";
  ASSERT_TRUE(service.store.add_token(endpoint::token_hash(token), system_clock().wall_ms() - 1));
  EXPECT_FALSE(enroll_agent(agent.options, {})) << "expired";
}

TEST(Enrolment, AnotherAgentOfAKnownHostIsRefused) {
  Service service;
  service.start();
  RunningAgent first(service, "a1"), second(service, "a2");
  second.options.host.host_id = first.options.host.host_id;
  ASSERT_TRUE(enroll_agent(first.options, {}));
  const auto taken = enroll_agent(second.options, {});
  ASSERT_FALSE(taken);
  EXPECT_NE(taken.error().message.find("409"), std::string::npos);
}

TEST(Enrolment, TrustsOnlyTheServiceThatTheTokenNames) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  const std::string foreign = endpoint::make_token(std::string(64, 'a'));
  ASSERT_TRUE(service.store.add_token(endpoint::token_hash(foreign), system_clock().wall_ms() + 60'000));
  put_file(agent.options.token_file, foreign);
  const auto refused = enroll_agent(agent.options, {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("not trusted"), std::string::npos);
  EXPECT_EQ(service.plugin->stats().enrolled, 0u);
  agent.options.ca_file = service.dir / "ca.pem";  // given by hand, it counts more
  EXPECT_TRUE(enroll_agent(agent.options, {}));
}

TEST(Enrolment, AnAgentWithoutAnIdMakesOneAndKeepsIt) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.options.agent_id.clear();
  const auto enrolled = enroll_agent(agent.options, {});
  ASSERT_TRUE(enrolled);
  EXPECT_EQ(enrolled->agent_id.size(), 36u);
  EXPECT_EQ(lines_of(agent.options.state_dir + "/agent_id"), std::vector<std::string>{enrolled->agent_id});
  EXPECT_EQ(service.store.at(enrolled->agent_id).host_id, "host-of-a1");
}

TEST(Enrolment, RunWaitsForAServiceThatIsNotThereYet) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  service.stop();
  agent.start();
  usleep(150'000);
  service.start();
  EXPECT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
}

// Talks to the gateway without an agent.
class Peer {
 public:
  explicit Peer(const Service& service) : url_(service.url()), client_(options(service)) {}
  net::ClientReply ask(const std::string& method, const std::string& path, const std::string& credential,
                       const std::string& body = "") {
    std::map<std::string, std::string> headers;
    if (!credential.empty()) headers["Authorization"] = credential;
    const auto reply = client_.request(method, url_ + path, headers, body);
    EXPECT_TRUE(reply) << reply.error().describe();
    return reply ? *reply : net::ClientReply{};
  }

 private:
  static net::ClientOptions options(const Service& service) {
    net::ClientOptions o;
    o.ca_file = service.dir / "ca.pem";
    return o;
  }
  std::string url_;
  net::HttpClient client_;
};

std::string credential_of(const RunningAgent& agent) {
  return nlohmann::json::parse(test::get_file(agent.options.state_dir + "/credential.json"))["credential"];
}

TEST(Gateway, AWrongCredentialIsRefusedAndLimited) {
  Service service;
  service.options.auth_failures_per_minute = 5;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service);
  for (const char* wrong : {"", "Bearer", "Basic abc", "Bearer "}) {
    EXPECT_EQ(peer.ask("GET", "/v1/commands", wrong).status, 401) << wrong;
  }
  EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", "Bearer " + std::string(64, 'a'), "{}").status, 401);
  int limited = 0;
  for (int i = 0; i < 10; ++i) {
    limited += peer.ask("POST", "/v1/reports", "Bearer wrong" + std::to_string(i), "{}").status == 429;
  }
  EXPECT_GE(limited, 5);
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=0", "Bearer " + credential_of(agent)).status, 204)
      << "a known credential from the same address is served on";
}

TEST(Gateway, ARevokedCredentialIsCutOff) {
  Service service;
  service.options.credential_fresh_ms = 200;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  service.store.revoke_credentials("a1");
  service.plugin->forget("a1");
  EXPECT_FALSE(service.plugin->is_live("a1"));
  EXPECT_TRUE(eventually([&] { return service.plugin->stats().auth_failures >= 1; }));
  EXPECT_EQ(service.plugin->stats().open_polls, 0u);
  EXPECT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::offline);
}

TEST(Gateway, AnswersWhatItDoesNotKnow) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service);
  const std::string me = "Bearer " + credential_of(agent);
  EXPECT_EQ(peer.ask("GET", "/", me).status, 404);
  EXPECT_EQ(peer.ask("GET", "/v1/reports", me).status, 405);
  EXPECT_EQ(peer.ask("POST", "/v1/commands", me).status, 405);
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=x", me).status, 400);
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=-1", me).status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/reports", me, "{").status, 400);
  EXPECT_EQ(
      peer.ask("POST", "/v1/reports", me, R"({"kind":"state","action_id":"a","observed":"released","generation":1})")
          .status,
      400);
  EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", me, "[]").status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/enroll", "", "{}").status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", me, std::string(100'000, 'x')).status, 413);
}

TEST(Gateway, SaysSoWhenTheRecordDoesNotAnswer) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service);
  service.store.fail_writes(1, Error{ErrorCode::busy, Retry::yes, "locked", ""});
  EndpointReport beat;
  beat.hostname = "a1.example";
  beat.os = "linux";
  beat.agent_version = "1";
  const std::string me = "Bearer " + credential_of(agent);
  EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", me, endpoint::write_heartbeat(beat)).status, 503);
  EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", me, endpoint::write_heartbeat(beat)).status, 200);
}

TEST(Gateway, ASecondPollTakesOverAndTheFirstIsToldSo) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  const std::string me = "Bearer " + credential_of(agent);
  Peer first(service), second(service);
  std::atomic<int> status{0};
  std::thread waiting([&] { status = first.ask("GET", "/v1/commands?wait=20", me).status; });
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  EXPECT_EQ(second.ask("GET", "/v1/commands?wait=0", me).status, 204);
  waiting.join();
  EXPECT_EQ(status.load(), 409);
}

TEST(Gateway, SaysWhyItCannotStart) {
  Service service;
  service.options.ca_file = service.dir / "none.pem";
  const auto no_ca =
      endpoint::make_action_plugin_endpoint(service.options, service.store, system_clock(), [](Report) {});
  ASSERT_FALSE(no_ca);
  EXPECT_NE(no_ca.error().describe().find("none.pem"), std::string::npos);
}

// A fleet in one process: every agent gets its commands, each once.
TEST(Fleet, TwentyAgentsAreIsolatedAndReleasedEachOnce) {
  Service service;
  service.start();
  std::vector<std::unique_ptr<RunningAgent>> fleet;
  for (int i = 0; i < 20; ++i) {
    fleet.push_back(std::make_unique<RunningAgent>(service, "agent-" + std::to_string(i)));
    fleet.back()->start();
  }
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 20; }, 20'000));
  for (int64_t round = 1; round <= 4; ++round) {
    const Verb verb = round % 2 == 1 ? Verb::isolate : Verb::release;
    for (const auto& a : fleet) {
      const std::string id = a->options.agent_id + "-" + std::to_string(round);
      ASSERT_EQ(*service.plugin->send(command(id, verb, a->options.agent_id, round)), SendOutcome::sent);
    }
    for (const auto& a : fleet) {
      const Report end = service.wait_for_end(a->options.agent_id + "-" + std::to_string(round));
      EXPECT_EQ(end.kind, Report::Kind::done);
      EXPECT_EQ(end.observed, verb == Verb::isolate ? Isolation::isolated : Isolation::released);
    }
  }
  for (const auto& a : fleet) {
    a->stop();
    EXPECT_EQ(lines_of(a->journal()).size(), 8u);
  }
}

// Notes when each effect begins: after its line in the journal is durable.
class TimingBackend final : public IsolationBackend {
 public:
  TimingBackend(std::unique_ptr<IsolationBackend> real, std::mutex& mutex,
                std::map<std::string, std::chrono::steady_clock::time_point>& begun)
      : real_(std::move(real)), mutex_(mutex), begun_(begun) {}
  std::string_view name() const override { return real_->name(); }
  bool simulated() const override { return true; }
  Status apply(const Command& c) override {
    {
      const std::lock_guard lock(mutex_);
      begun_[c.action_id] = std::chrono::steady_clock::now();
    }
    return real_->apply(c);
  }
  Result<Isolation> observe() override { return real_->observe(); }

 private:
  std::unique_ptr<IsolationBackend> real_;
  std::mutex& mutex_;
  std::map<std::string, std::chrono::steady_clock::time_point>& begun_;
};

TEST(Latency, FromSendToTheJournaledBeginAndToTheReport) {
  constexpr int kRuns = 200;
  Service service;
  service.start();
  std::mutex mutex;
  std::map<std::string, std::chrono::steady_clock::time_point> begun;
  RunningAgent agent(service, "a1", [&](const std::string& dir) -> Result<std::unique_ptr<IsolationBackend>> {
    return std::make_unique<TimingBackend>(make_simulated_backend(dir), mutex, begun);
  });
  agent.start();
  std::vector<double> to_begin, to_report;
  for (int i = 1; i <= kRuns; ++i) {
    ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
    const std::string id = "c" + std::to_string(i);
    const auto sent = std::chrono::steady_clock::now();
    ASSERT_EQ(*service.plugin->send(command(id, i % 2 == 1 ? Verb::isolate : Verb::release, "a1", i)),
              SendOutcome::sent);
    while (!service.finished(id)) {
      ASSERT_LT(std::chrono::steady_clock::now() - sent, std::chrono::seconds(5));
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    const auto reported = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex);
    to_begin.push_back(std::chrono::duration<double, std::milli>(begun.at(id) - sent).count());
    to_report.push_back(std::chrono::duration<double, std::milli>(reported - sent).count());
  }
  const auto at = [](std::vector<double> all, double share) {
    std::sort(all.begin(), all.end());
    return all[static_cast<size_t>(share * static_cast<double>(all.size() - 1))];
  };
  std::printf(
      "send -> begin journaled: p50 %.2f ms, p99 %.2f ms; send -> done reported: p50 %.2f ms, p99 %.2f ms (%d runs)\n",
      at(to_begin, 0.5), at(to_begin, 0.99), at(to_report, 0.5), at(to_report, 0.99), kRuns);
  EXPECT_EQ(lines_of(agent.journal()).size(), 2u * kRuns);
  EXPECT_LT(at(to_begin, 0.5), 200.0) << "a poll that waits is answered at once, not when its time is over";
}

}  // namespace
}  // namespace fb::agent
