// The agent gateway and real agents, in one process, over TLS.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "engine/net/http.h"
#include "tests/support/enrol.h"
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
  ASSERT_TRUE(eventually([&] { return service.at("a1").status == AgentStatus::online; }));
  ASSERT_TRUE(eventually([&] { return service.at("a1").observed == Isolation::released; }));
  const Endpoint known = service.at("a1");
  EXPECT_EQ(known.host_id, "host-of-a1");
  EXPECT_EQ(known.hostname, "a1.example");
  EXPECT_TRUE(known.simulated);

  ASSERT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::sent);
  const Report isolated = service.wait_for_end("i1");
  EXPECT_EQ(isolated.kind, Report::Kind::done);
  EXPECT_EQ(isolated.observed, Isolation::isolated);
  EXPECT_EQ(isolated.endpoint_id, "a1");
  EXPECT_EQ(isolated.generation, 1);
  EXPECT_TRUE(eventually([&] { return service.at("a1").observed == Isolation::isolated; })) << "by heartbeat";

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
      << "as new as the last: the host's judgement";
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
  EXPECT_TRUE(eventually([&] { return service.at("a1").status == AgentStatus::offline; }));
  EXPECT_EQ(*service.plugin->send(command("y", Verb::isolate, "a1", 2)), SendOutcome::offline);
  agent.start();
  EXPECT_TRUE(eventually([&] { return service.at("a1").status == AgentStatus::online; }));
  EXPECT_EQ(*service.plugin->send(command("y", Verb::isolate, "a1", 2)), SendOutcome::sent);
  EXPECT_EQ(service.wait_for_end("y").kind, Report::Kind::done);
  EXPECT_TRUE(service.reports("x").empty()) << "what was not kept is not delivered";
}

TEST(Agent, AnAgentThatDidNotComeBackAfterARestartGoesOffline) {
  Service service;
  EndpointReport lost;
  lost.endpoint_id = "lost";
  lost.hostname = "lost.example";
  ASSERT_TRUE(fb::test::enrol(service.store(), lost, "its certificate"));
  ASSERT_EQ(service.at("lost").status, AgentStatus::online);
  service.start();
  EXPECT_TRUE(eventually([&] { return service.at("lost").status == AgentStatus::offline; }));
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
  EXPECT_TRUE(eventually([&] { return service.at("a1").observed == Isolation::isolated; }));
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
  ASSERT_EQ(::stat((first.options.state_dir + "/identity.pem").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST(Enrolment, AnExpiredOrWrongTokenIsRefused) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  const std::string token = endpoint::make_token(*net::certificate_fingerprint(service.dir / "ca.pem"));
  put_file(agent.options.token_file, token);
  EXPECT_FALSE(enroll_agent(agent.options, {})) << "never issued";
  ASSERT_TRUE(service.store().add_token(endpoint::token_hash(token), system_clock().wall_ms() - 1));
  EXPECT_FALSE(enroll_agent(agent.options, {})) << "expired";
}

TEST(Enrolment, AnotherAgentOfAKnownHostWaitsForAPerson) {
  Service service;
  service.start();
  RunningAgent first(service, "a1"), second(service, "a2");
  second.options.host.host_id = first.options.host.host_id;
  first.start();
  ASSERT_TRUE(first.polls());
  for (int i = 0; i < 2; ++i) {
    const auto waits = enroll_agent(second.options, {});
    ASSERT_FALSE(waits);
    EXPECT_EQ(waits.error().retry, Retry::yes);
    EXPECT_NE(waits.error().message.find("202"), std::string::npos) << waits.error().message;
  }
  EXPECT_EQ(service.audited("enrollment_waits", "a2"), 1);
  EXPECT_TRUE(service.plugin->is_live("a1")) << "the first stays valid";
  EXPECT_FALSE(service.store().decide_enrollment("nobody", true, "user:ada", "x"));
  ASSERT_TRUE(service.store().decide_enrollment("a2", true, "user:ada", "installed anew"));
  EXPECT_FALSE(service.store().decide_enrollment("a2", false, "user:bob", "too late"));
  const auto enrolled = enroll_agent(second.options, {});
  ASSERT_TRUE(enrolled) << enrolled.error().describe();
  EXPECT_FALSE(service.plugin->is_live("a1")) << "the host is the new agent's now";
  EXPECT_EQ(service.audited("credential_revoked", "a1"), 1);
  const Resolved by_host = service.store().directory().resolve({"", "host-of-a1", "", false});
  EXPECT_EQ(by_host.endpoint_id, "a2") << by_host.note;
}

TEST(Enrolment, ADeniedAgentStaysOut) {
  Service service;
  service.start();
  RunningAgent first(service, "a1"), second(service, "a2");
  second.options.host.host_id = first.options.host.host_id;
  ASSERT_TRUE(enroll_agent(first.options, {}));
  EXPECT_FALSE(enroll_agent(second.options, {}));
  ASSERT_TRUE(service.store().decide_enrollment("a2", false, "user:ada", "not ours"));
  const auto denied = enroll_agent(second.options, {});
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::refused);
  EXPECT_NE(denied.error().message.find("403"), std::string::npos);
  const auto agents = service.store().agents();
  ASSERT_TRUE(agents);
  ASSERT_EQ(agents->size(), 2u);
  for (const AgentRow& a : *agents) EXPECT_EQ(a.status, a.endpoint_id == "a1" ? "online" : "denied");
}

TEST(Enrolment, AnAnswerThatWasLostIsGivenAgainToTheSameKeyOnly) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  const std::string keep = agent.options.state_dir + "-key";
  std::filesystem::create_directories(agent.options.state_dir);
  ASSERT_TRUE(net::make_certificate_request(agent.options.state_dir + "/next.key"));
  std::filesystem::copy_file(agent.options.state_dir + "/next.key", keep);
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  std::filesystem::remove_all(agent.options.state_dir);
  std::filesystem::create_directories(agent.options.state_dir);
  const auto other_key = enroll_agent(agent.options, {});
  ASSERT_FALSE(other_key) << "the token is used";
  EXPECT_EQ(other_key.error().code, ErrorCode::refused);
  std::filesystem::copy_file(keep, agent.options.state_dir + "/next.key",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(enroll_agent(agent.options, {}));
  ASSERT_TRUE(service.store().revoke_credentials("a1", "user:ada", "lost"));
  std::filesystem::remove_all(agent.options.state_dir);
  std::filesystem::create_directories(agent.options.state_dir);
  std::filesystem::copy_file(keep, agent.options.state_dir + "/next.key");
  EXPECT_FALSE(enroll_agent(agent.options, {})) << "not after it was revoked";
}

TEST(Enrolment, TrustsOnlyTheServiceThatTheTokenNames) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  const std::string foreign = endpoint::make_token(std::string(64, 'a'));
  ASSERT_TRUE(service.store().add_token(endpoint::token_hash(foreign), system_clock().wall_ms() + 60'000));
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
  EXPECT_EQ(service.at(enrolled->agent_id).host_id, "host-of-a1");
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

// Talks to the gateway as an agent would; `who` null: as one without a certificate.
class Peer {
 public:
  Peer(const Service& service, const RunningAgent* who) : url_(service.url()), client_(options(service, who)) {}
  net::ClientReply ask(const std::string& method, const std::string& path, const std::string& body = "") {
    const auto reply = client_.request(method, url_ + path, {}, body);
    EXPECT_TRUE(reply) << reply.error().describe();
    return reply ? *reply : net::ClientReply{};
  }

 private:
  static net::ClientOptions options(const Service& service, const RunningAgent* who) {
    net::ClientOptions o;
    o.ca_file = service.dir / "ca.pem";
    if (who != nullptr) o.client_certificate_file = o.client_key_file = who->options.state_dir + "/identity.pem";
    return o;
  }
  std::string url_;
  net::HttpClient client_;
};

// A certificate of the service's CA that no record knows, for this name.
void forge_identity(const Service& service, RunningAgent& agent, const std::string& name, int64_t not_after_ms) {
  std::filesystem::create_directories(agent.options.state_dir);
  const std::string key = agent.options.state_dir + "/forged.key";
  const auto csr = net::make_certificate_request(key);
  ASSERT_TRUE(csr);
  const auto made =
      net::sign_client_certificate(service.dir / "ca.pem", service.dir / "ca.key", *csr, name, not_after_ms);
  ASSERT_TRUE(made) << made.error().describe();
  put_file(agent.options.state_dir + "/identity.pem", made->pem + test::get_file(key));
}

TEST(Gateway, WithoutAKnownCertificateNothingIsServedAndTriesAreLimited) {
  Service service;
  service.options.auth_failures_per_minute = 5;
  service.start();
  RunningAgent agent(service, "a1"), forged(service, "a2");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer nobody(service, nullptr);
  for (const char* path : {"/v1/reports", "/v1/heartbeat", "/v1/renew"}) {
    EXPECT_EQ(nobody.ask("POST", path, "{}").status, 401) << path;
  }
  EXPECT_EQ(nobody.ask("GET", "/v1/commands").status, 401);
  forge_identity(service, forged, "a1", system_clock().wall_ms() + 60'000);
  Peer stranger(service, &forged);
  EXPECT_EQ(stranger.ask("GET", "/v1/commands?wait=0").status, 401) << "signed by our CA, but not in the record";
  int limited = 0;
  for (int i = 0; i < 10; ++i) limited += stranger.ask("POST", "/v1/reports", "{}").status == 429;
  EXPECT_GE(limited, 5);
  Peer known(service, &agent);
  EXPECT_EQ(known.ask("GET", "/v1/commands?wait=0").status, 204)
      << "a known certificate from the same address is served on";
}

TEST(Gateway, ARevokedCertificateIsCutOff) {
  Service service;
  service.options.credential_fresh_ms = 200;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(agent.polls());
  ASSERT_TRUE(service.store().revoke_credentials("a1", "user:ada", "lost"));
  service.plugin->forget("a1");
  EXPECT_FALSE(service.plugin->is_live("a1"));
  EXPECT_TRUE(eventually([&] { return service.at("a1").status == AgentStatus::offline; }));
  EXPECT_TRUE(eventually([&] { return service.plugin->stats().auth_failures >= 1; }));
  EXPECT_EQ(service.plugin->stats().open_polls, 0u);
  EXPECT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::offline);
}

TEST(Gateway, AnswersWhatItDoesNotKnow) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service, &agent);
  EXPECT_EQ(peer.ask("GET", "/").status, 404);
  EXPECT_EQ(peer.ask("GET", "/v1/reports").status, 405);
  EXPECT_EQ(peer.ask("POST", "/v1/commands").status, 405);
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=x").status, 400);
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=-1").status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/reports", "{").status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/reports", R"({"kind":"state","action_id":"a","observed":"released","generation":1})")
                .status,
            400);
  EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", "[]").status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/enroll", "{}").status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/renew", "{}").status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/renew", R"({"csr":"no request"})").status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", std::string(100'000, 'x')).status, 413);
}

TEST(Gateway, AnIsolationThatWaitsForItsAgentIsNotHandedOutOnceTheSwitchIsPulled) {
  Service service;
  std::atomic<bool> pulled{false};
  service.options.may_isolate = [&] { return !pulled.load(); };
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service, &agent);
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=0").status, 204);  // now it is live, and does not wait
  ASSERT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::sent);
  pulled = true;
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=0").status, 204);
  pulled = false;
  EXPECT_TRUE(eventually([&] { return peer.ask("GET", "/v1/commands?wait=0").status == 200; })) << "and then it is";
  pulled = true;
  ASSERT_EQ(*service.plugin->send(command("r2", Verb::release, "a1", 2)), SendOutcome::sent);
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=0").status, 200) << "a release is never held";
}

TEST(Gateway, WhatTheSwitchHeldWasNotGivenAndGoesBackWhenTheHostIsProtected) {
  Service service;
  std::atomic<bool> pulled{true};
  service.options.may_isolate = [&] { return !pulled.load(); };
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service, &agent);
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=0").status, 204);
  ASSERT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::sent);
  EXPECT_EQ(peer.ask("GET", "/v1/commands?wait=0").status, 204) << "a poll was there for it";
  ASSERT_TRUE(service.store().set_tags("a1", {"dc"}, "user:ada", "it became a domain controller"));
  EXPECT_TRUE(eventually([&] {
    peer.ask("GET", "/v1/commands?wait=0");
    return service.finished("i1");
  }));
  EXPECT_EQ(service.wait_for_end("i1").withheld, Guard::protected_endpoint);
}

TEST(Gateway, AnAgentRenewsAFewTimesAMinute) {
  Service service;
  service.options.renew_per_minute = 3;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service, &agent);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(peer.ask("POST", "/v1/renew", R"({"csr":"no request"})").status, 400);
  EXPECT_EQ(peer.ask("POST", "/v1/renew", R"({"csr":"no request"})").status, 429);
}

TEST(Gateway, WhatAHostSaysOfCommandsThatItWasNotGivenDoesNotMoveTheEpoch) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service, &agent);
  const int64_t before = service.store().raise_epoch(0).value_or(0);
  for (int i = 0; i < 20; ++i) {
    Report made_up;
    made_up.kind = Report::Kind::refused;
    made_up.action_id = "made-up-" + std::to_string(i);
    made_up.generation = 1;
    made_up.message = "of epoch 1, and 2 was seen";
    EXPECT_EQ(peer.ask("POST", "/v1/reports", endpoint::write_report(made_up)).status, 200);
  }
  EXPECT_EQ(service.store().raise_epoch(0).value_or(0), before + 1);
}

TEST(Gateway, SaysSoWhenTheRecordDoesNotTakeAHeartbeat) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service, &agent);
  EndpointReport beat;
  beat.host_id = "another host";
  beat.hostname = "a1.example";
  beat.os = "linux";
  beat.agent_version = "1";
  beat.host_id = "another-host";
  EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", endpoint::write_heartbeat(beat)).status, 503);
  beat.host_id = agent.options.host.host_id;
  EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", endpoint::write_heartbeat(beat)).status, 200);
}

TEST(Gateway, ASecondPollTakesOverAndTheFirstIsToldSo) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer first(service, &agent), second(service, &agent);
  std::atomic<int> status{0};
  std::thread waiting([&] { status = first.ask("GET", "/v1/commands?wait=20").status; });
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().open_polls == 1; }));
  EXPECT_EQ(second.ask("GET", "/v1/commands?wait=0").status, 204);
  waiting.join();
  EXPECT_EQ(status.load(), 409);
}

TEST(Gateway, TwoAgentsWithOneIdentityAreTold) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1"), clone(service, "clone");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  std::filesystem::copy(agent.options.state_dir, clone.options.state_dir, std::filesystem::copy_options::recursive);
  clone.options.agent_id = "a1";
  agent.start();
  clone.start();
  EXPECT_TRUE(eventually([&] { return service.audited("duplicate_identity", "a1") == 1; }, 10'000));
  EXPECT_TRUE(service.at("a1").is_duplicate);
}

EndpointReport beat_of(const RunningAgent& agent, const std::string& instance) {
  EndpointReport beat;
  beat.host_id = agent.options.host.host_id;
  beat.hostname = agent.options.host.hostname;
  beat.os = "linux";
  beat.agent_version = "1";
  beat.observed = Isolation::released;
  beat.instance = instance;
  return beat;
}

TEST(Gateway, NeitherOfTwoMachinesWithOneIdentityIsIsolatedOrBelievedUntilAPersonHasLooked) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer one(service, &agent), two(service, &agent);
  const auto beat = [&](Peer& peer, const std::string& instance) {
    return peer.ask("POST", "/v1/heartbeat", endpoint::write_heartbeat(beat_of(agent, instance))).status;
  };
  const auto poll = [](Peer& peer, const std::string& instance) {
    return peer.ask("GET", "/v1/commands?wait=0&instance=" + instance);
  };
  // An isolation that was sent before, and that nobody has fetched, goes back.
  EXPECT_EQ(poll(one, "one").status, 204);
  ASSERT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::sent);
  for (int i = 0; i < 3; ++i) {
    beat(one, "one");
    beat(two, "two");
  }
  ASSERT_TRUE(eventually([&] { return service.store().is_contested("a1"); }));
  EXPECT_TRUE(service.wait_for_end("i1").message.starts_with(kDuplicateSince));
  EXPECT_EQ(service.wait_for_end("i1").withheld, Guard::unknown_target);
  EndpointReport boast = beat_of(agent, "one");
  boast.generation = 7'777;
  EXPECT_EQ(one.ask("POST", "/v1/heartbeat", endpoint::write_heartbeat(boast)).status, 409);
  for (const Report& r : service.reports("")) EXPECT_NE(r.generation, 7'777) << "not believed either";
  EXPECT_EQ(beat(one, "one"), 409);
  EXPECT_EQ(beat(two, "two"), 409);
  EXPECT_EQ(one.ask("POST", "/v1/renew", R"({"csr":"x"})").status, 409);
  ASSERT_EQ(*service.plugin->send(command("i2", Verb::isolate, "a1", 2)), SendOutcome::sent);
  EXPECT_EQ(poll(one, "one").status, 204);
  EXPECT_EQ(poll(two, "two").status, 204);
  ASSERT_EQ(*service.plugin->send(command("r3", Verb::release, "a1", 3)), SendOutcome::sent);
  EXPECT_EQ(poll(two, "two").status, 200) << "a release is never held";
  Report done;
  done.kind = Report::Kind::done;
  done.action_id = "r3";
  done.generation = 3;
  done.observed = Isolation::released;
  EXPECT_EQ(two.ask("POST", "/v1/reports", endpoint::write_report(done)).status, 200);
  const Report told = service.wait_for_end("r3");
  EXPECT_EQ(told.kind, Report::Kind::done);
  EXPECT_EQ(told.observed, Isolation::unknown) << "which of the two is released nobody knows";
  EXPECT_EQ(told.generation, 0);
  EXPECT_TRUE(eventually([&] { return poll(one, "one").status == 200; })) << "it still waits, for the other one too";
  done.kind = Report::Kind::refused;
  done.message = "stale";
  EXPECT_EQ(one.ask("POST", "/v1/reports", endpoint::write_report(done)).status, 200);
  EXPECT_EQ(service.wait_for_end("r3").kind, Report::Kind::done) << "nor can one of them end it";

  ASSERT_TRUE(service.store().decide_enrollment("a1", true, "user:ada", "the copy is switched off"));
  EXPECT_EQ(beat(one, "one"), 200);
  ASSERT_EQ(*service.plugin->send(command("i4", Verb::isolate, "a1", 4)), SendOutcome::sent);
  EXPECT_EQ(poll(one, "one").status, 200);
}

TEST(Gateway, ARestartOfAnAgentIsNoSecondMachine) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service, &agent);
  const auto beat = [&](const std::string& instance) {
    return peer.ask("POST", "/v1/heartbeat", endpoint::write_heartbeat(beat_of(agent, instance))).status;
  };
  for (int i = 0; i < 20; ++i) EXPECT_EQ(beat("run-" + std::to_string(i)), 200);
  EXPECT_EQ(beat("run-18"), 200) << "one that was late on its way";
  EXPECT_EQ(beat("run-19"), 200);
  EXPECT_EQ(beat("run-19"), 200);
  EXPECT_FALSE(service.store().is_contested("a1"));
}

TEST(Gateway, ProtectionThatCameAfterTheSendingHoldsTheIsolation) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service, &agent);
  const auto poll = [&] { return peer.ask("GET", "/v1/commands?wait=0").status; };
  EXPECT_EQ(poll(), 204);
  ASSERT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::sent);
  ASSERT_TRUE(service.store().set_tags("a1", {"dc"}, "user:ada", "it became a domain controller"));
  EXPECT_EQ(poll(), 204);
  const Report end = service.wait_for_end("i1");
  EXPECT_EQ(end.kind, Report::Kind::refused);
  EXPECT_TRUE(end.message.starts_with(kProtectedSince)) << end.message;
  EXPECT_EQ(end.withheld, Guard::protected_endpoint);
  Command agreed = command("i2", Verb::isolate, "a1", 2);
  agreed.override_protected = true;
  ASSERT_EQ(*service.plugin->send(agreed), SendOutcome::sent);
  EXPECT_EQ(poll(), 200) << "two people agreed";

  // One that was handed out may have arrived: it is not called back, and not handed out again either.
  ASSERT_TRUE(service.store().set_tags("a1", {}, "user:ada", ""));
  ASSERT_EQ(*service.plugin->send(command("i3", Verb::isolate, "a1", 3)), SendOutcome::sent);
  EXPECT_EQ(poll(), 200);
  ASSERT_TRUE(service.store().set_tags("a1", {"dc"}, "user:ada", ""));
  std::this_thread::sleep_for(std::chrono::milliseconds(2 * service.options.redeliver_after_ms));
  EXPECT_EQ(poll(), 204);
  EXPECT_TRUE(service.reports("i3").empty());
}

TEST(Gateway, AHostWhoseClockIsWrongHasAProblem) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  Peer peer(service, &agent);
  const auto problems = [&](int64_t ahead_ms) {
    EndpointReport beat = beat_of(agent, "one");
    beat.clock_ms = system_clock().wall_ms() + ahead_ms;
    EXPECT_EQ(peer.ask("POST", "/v1/heartbeat", endpoint::write_heartbeat(beat)).status, 200);
    return service.store().agents().value().at(0).problems;
  };
  const std::vector<std::string> skewed{"clock_skew"};
  EXPECT_TRUE(problems(0).empty());
  EXPECT_TRUE(problems(60'000).empty());
  EXPECT_EQ(problems(200'000), skewed);
  EXPECT_EQ(problems(-200'000), skewed);
  EXPECT_EQ(problems(1 - system_clock().wall_ms()), skewed) << "1970";
  EXPECT_TRUE(problems(-60'000).empty());
}

TEST(Gateway, SaysWhyItCannotStart) {
  Service service;
  service.options.ca_file = service.dir / "none.pem";
  const auto no_ca = endpoint::make_action_plugin_endpoint(service.options, service.store(), service.store(),
                                                           system_clock(), [](Report) {});
  ASSERT_FALSE(no_ca);
  EXPECT_NE(no_ca.error().describe().find("none.pem"), std::string::npos);
  service.options.ca_file = service.dir / "ca.pem";
  service.options.certificate_file.clear();
  EXPECT_FALSE(endpoint::make_action_plugin_endpoint(service.options, service.store(), service.store(), system_clock(),
                                                     [](Report) {}))
      << "never without TLS";
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
      // On a busy machine an agent's next poll may come late, and until then it is not there.
      ASSERT_TRUE(eventually(
          [&] {
            return service.plugin->send(command(id, verb, a->options.agent_id, round)).value() == SendOutcome::sent;
          },
          20'000))
          << id;
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
  using Moment = std::chrono::steady_clock::time_point;
  TimingBackend(std::unique_ptr<IsolationBackend> real, std::mutex& mutex, std::vector<Moment>& begun)
      : real_(std::move(real)), mutex_(mutex), begun_(begun) {}
  std::string_view name() const override { return real_->name(); }
  bool simulated() const override { return true; }
  Status isolate(const Cut& cut) override {
    note();
    return real_->isolate(cut);
  }
  Status release() override {
    note();
    return real_->release();
  }
  Result<Observation> observe() override { return real_->observe(); }
  Status watch(std::function<void()> on_change) override { return real_->watch(std::move(on_change)); }

 private:
  void note() {
    const std::lock_guard lock(mutex_);
    begun_.push_back(std::chrono::steady_clock::now());
  }
  std::unique_ptr<IsolationBackend> real_;
  std::mutex& mutex_;
  std::vector<Moment>& begun_;
};

TEST(Latency, FromSendToTheJournaledBeginAndToTheReport) {
  constexpr int kRuns = 100;  // below the host's own limit of changes an hour
  Service service;
  service.start();
  std::mutex mutex;
  std::vector<std::chrono::steady_clock::time_point> begun;
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
    ASSERT_FALSE(begun.empty());
    to_begin.push_back(std::chrono::duration<double, std::milli>(begun.back() - sent).count());
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
