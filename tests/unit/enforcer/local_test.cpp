// What a host does by itself: lease, break-glass code, drift, names, the probe after the cut.
#include <atomic>
#include <mutex>
#include <set>

#include "apps/enforcer/durable_file.h"
#include "engine/base/failpoint.h"
#include "tests/unit/enforcer/enforcer_support.h"

namespace fb::agent {
namespace {

using namespace test;
using Kind = Report::Kind;

// --- lease

Report isolate_for(Host& host, const std::string& id, int64_t generation, int64_t lease_ms) {
  Envelope e = host.service.isolate(id, generation);
  e.lease_ms = lease_ms;
  return host.carry(e);
}

TEST(Lease, LetsTheHostBackInByItself) {
  Host host;
  isolate_for(host, "a", 4, 60'000);
  EXPECT_EQ(host.status().lease_left_ms, 60'000);
  host.pass_ms(59'999);
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  EXPECT_EQ(host.status().lease_left_ms, 1);
  host.pass_ms(1);
  EXPECT_EQ(host.backend.state, Isolation::released);
  const LocalRelease release = host.status().local_release;
  EXPECT_EQ(release.how, "lease");
  EXPECT_EQ(release.generation, 4);
  EXPECT_EQ(release.sequence, 1);
  EXPECT_EQ(release.at_ms, host.service.now_ms + 60'000);
  EXPECT_EQ(host.journal_lines("local-4-1", "begin"), 1u);
  EXPECT_EQ(host.journal_lines("local-4-1", "done"), 1u);
  EXPECT_EQ(host.stored_orders(), 0u);
  // The service does not know yet and repairs: not after a local release.
  EXPECT_EQ(host.isolate("a", 4).observed, Isolation::released);
  EXPECT_EQ(host.isolate("repair", 4).kind, Kind::refused);
  host.reboot();
  host.pass_ms(5'000);
  EXPECT_EQ(host.backend.state, Isolation::released);
  EXPECT_EQ(host.status().local_release.sequence, 1);
}

TEST(Lease, TheWallClockDoesNotMatter) {
  Host host;
  isolate_for(host, "a", 1, 60'000);
  host.clock.jump_wall_ms(400LL * 86'400'000);
  host.pass_ms(10);
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  host.clock.jump_wall_ms(-800LL * 86'400'000);
  host.pass_ms(59'990);
  EXPECT_EQ(host.backend.state, Isolation::released);
}

TEST(Lease, ARebootNeitherExtendsNorForgetsIt) {
  Host host;
  isolate_for(host, "a", 1, 600'000);
  host.pass_ms(60'000);  // made durable: 540 s are left
  host.pass_ms(30'000);  // not made durable
  host.reboot();
  EXPECT_EQ(host.status().lease_left_ms, 540'000);
  for (int i = 0; i < 8; ++i) {
    host.pass_ms(60'000);
    host.reboot();
  }
  EXPECT_EQ(host.status().lease_left_ms, 60'000);
  host.pass_ms(60'000);
  EXPECT_EQ(host.backend.state, Isolation::released);
  host.reboot();
  EXPECT_EQ(host.backend.state, Isolation::released);
}

TEST(Lease, RenewSetsItAnewAlsoOverAReboot) {
  Host host;
  isolate_for(host, "a", 1, 60'000);
  host.pass_ms(50'000);
  Envelope renew = host.service.order(Order::renew, "", 1);
  renew.lease_ms = 100'000;
  EXPECT_EQ(host.carry(renew).kind, Kind::done);
  EXPECT_EQ(host.status().lease_left_ms, 100'000);
  host.reboot();
  EXPECT_EQ(host.status().lease_left_ms, 100'000);
  host.pass_ms(99'000);
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  renew = host.service.order(Order::renew, "", 1);
  renew.lease_ms = 0;
  host.carry(renew);
  EXPECT_EQ(host.status().lease_left_ms, 0);
  host.reboot();
  host.pass_ms(1'000'000);
  EXPECT_EQ(host.backend.state, Isolation::isolated) << "0: until released";
}

TEST(Lease, AnIsolationWithoutOneLasts) {
  Host host;
  host.isolate("a", 1);
  host.pass_ms(400LL * 86'400'000);
  EXPECT_EQ(host.backend.state, Isolation::isolated);
}

TEST(Lease, WhereverItsEndIsCutShortTheHostEndsReleased) {
  for (const char* point : {"local_release_kept", "agent_begun", "enforcer_forgotten", "agent_applied"}) {
    for (const bool reboots : {false, true}) {
      SCOPED_TRACE(point);
      Host host;
      isolate_for(host, "a", 1, 1'000);
      ASSERT_TRUE(arm_failpoint(std::string(point) + ":1:err"));
      host.pass_ms(1'000);
      ASSERT_EQ(failpoint_hits(), 1u);
      ASSERT_TRUE(arm_failpoint(""));
      reboots ? host.reboot() : host.restart();
      EXPECT_EQ(host.backend.state, Isolation::released);
      EXPECT_EQ(host.status().local_release.how, "lease");
      EXPECT_EQ(host.status().local_release.sequence, 1);
      EXPECT_EQ(host.journal_lines("local-1-1", "begin"), 1u);
      EXPECT_EQ(host.journal_lines("local-1-1", "done"), 1u);
    }
  }
}

TEST(LocalRelease, IsShownUntilTheServiceAnswersIt) {
  Host host;
  isolate_for(host, "a", 4, 1'000);
  host.pass_ms(1'000);
  host.carry(host.service.order(Order::status, "", 3));
  EXPECT_EQ(host.status().local_release.how, "lease");
  host.restart();
  EXPECT_EQ(host.status().local_release.how, "lease");
  host.carry(host.service.order(Order::status, "", 4));
  EXPECT_EQ(host.status().local_release.how, "");
  host.restart();
  EXPECT_EQ(host.status().local_release.how, "");
  isolate_for(host, "b", 5, 1'000);
  host.pass_ms(1'000);
  EXPECT_EQ(host.status().local_release.sequence, 2) << "it rises over all of them";
  host.isolate("c", 6);
  EXPECT_EQ(host.status().local_release.how, "");
}

// --- break-glass

TEST(BreakGlass, TheRightCodeLetsTheHostBackInOnce) {
  Host host;
  EXPECT_FALSE(host.enforcer->break_glass(Service::code(3))) << "nothing to release";
  host.isolate("a", 3);
  std::string typed = Service::code(3);
  for (char& c : typed) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  std::string at_effect;
  host.backend.before_effect = [&](Isolation) { at_effect = get_file(host.options.folder + "/state.json"); };
  const Status released = host.enforcer->break_glass(" " + typed + "\n");
  ASSERT_TRUE(released) << released.error().describe();
  EXPECT_EQ(host.backend.state, Isolation::released);
  EXPECT_NE(at_effect.find("break_glass"), std::string::npos) << "its use is on the disk before it acts";
  const LocalRelease release = host.status().local_release;
  EXPECT_EQ(release.how, "break_glass");
  EXPECT_EQ(release.generation, 3);
  EXPECT_EQ(endpoint::break_glass_hash(release.proof, kAgent, 3),
            endpoint::break_glass_hash(Service::code(3), kAgent, 3));
  EXPECT_EQ(get_file(host.journal()).find(Service::code(3).substr(0, 10)), std::string::npos);
  host.isolate("b", 4);
  EXPECT_FALSE(host.enforcer->break_glass(Service::code(3))) << "another isolation has another code";
  EXPECT_EQ(host.backend.state, Isolation::isolated);
}

TEST(BreakGlass, AfterFiveTriesEachWaitsLongerAndARestartDoesNotShortenIt) {
  Host host;
  host.isolate("a", 1);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(host.enforcer->break_glass("wrong" + std::to_string(i)));
  const Status early = host.enforcer->break_glass(Service::code(1));
  ASSERT_FALSE(early);
  EXPECT_NE(early.error().message.find("wait 30 s"), std::string::npos) << early.error().message;
  host.pass_ms(29'000);
  host.restart();
  EXPECT_FALSE(host.enforcer->break_glass(Service::code(1)));
  host.pass_ms(30'000);
  EXPECT_FALSE(host.enforcer->break_glass("wrong"));
  EXPECT_NE(host.enforcer->break_glass("x").error().message.find("wait 60 s"), std::string::npos);
  host.pass_ms(60'000);
  EXPECT_TRUE(host.enforcer->break_glass(Service::code(1)));
  EXPECT_EQ(host.backend.state, Isolation::released);
}

TEST(BreakGlass, ACrashGivesNoFreeTry) {
  Host host;
  host.isolate("a", 1);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(arm_failpoint("break_glass_counted:1:err"));
    EXPECT_FALSE(host.enforcer->break_glass("wrong"));
    ASSERT_TRUE(arm_failpoint(""));
    host.restart();
  }
  EXPECT_NE(host.enforcer->break_glass(Service::code(1)).error().message.find("wait"), std::string::npos);
}

TEST(BreakGlass, WithoutAHashOrWithAMonstrousCodeNothingHappens) {
  Host host;
  Envelope e = host.service.isolate("a", 1);
  e.break_glass_sha256.clear();
  host.carry(e);
  EXPECT_FALSE(host.enforcer->break_glass(""));
  EXPECT_FALSE(host.enforcer->break_glass(Service::code(1)));
  host.isolate("b", 2);
  EXPECT_FALSE(host.enforcer->break_glass(std::string(1 << 20, '-') + Service::code(2)));
  EXPECT_EQ(host.backend.state, Isolation::isolated);
}

// --- drift

TEST(Drift, IsMendedAtOnceWhenTheBackendTellsAndSoonWhenItDoesNot) {
  Host host;
  host.isolate("a", 1);
  host.pass_ms(1'000);
  host.backend.state = Isolation::released;
  host.backend.changed();
  host.pass_ms(1);
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  host.backend.intact = false;
  host.pass_ms(998);
  EXPECT_FALSE(host.backend.intact);
  host.pass_ms(2);
  EXPECT_TRUE(host.backend.intact);
  EXPECT_EQ(host.status().drift_events, 2);
  host.release("b", 2);
  host.backend.changed();
  host.pass_ms(2'000);
  EXPECT_EQ(host.status().drift_events, 2);
  EXPECT_EQ(host.backend.state, Isolation::released);
}

TEST(Drift, LinksThatComeAndGoAreFollowedAndAreNobodysDoing) {
  Host host;
  host.isolate("a", 1);
  host.backend.links_changed = true;
  for (int i = 0; i < 10; ++i) {
    host.backend.intact = false;
    host.backend.changed();
    host.pass_ms(1);
    ASSERT_TRUE(host.backend.intact) << i;
  }
  EXPECT_EQ(host.status().drift_events, 0);
  EXPECT_FALSE(host.has_problem("again and again"));
}

TEST(Drift, WhoFightsTheIsolationIsToldAboutAndNeverWins) {
  Host host;
  host.isolate("a", 1);
  for (int i = 0; i < 200; ++i) {
    host.backend.state = Isolation::released;
    host.pass_ms(1'000);
    ASSERT_EQ(host.backend.state, Isolation::isolated);
    EXPECT_EQ(host.has_problem("again and again"), i >= 4) << i;
  }
  EXPECT_EQ(host.status().drift_events, 200);
  host.pass_ms(61'000);
  EXPECT_FALSE(host.has_problem("again and again"));
}

TEST(Drift, MendingThatFailsIsTriedOn) {
  Host host;
  host.isolate("a", 1);
  host.backend.state = Isolation::released;
  host.backend.broken = true;
  host.pass_ms(1'000);
  EXPECT_TRUE(host.has_problem("can't be mended"));
  host.backend.broken = false;
  host.pass_ms(1'000);
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  EXPECT_FALSE(host.has_problem("can't be mended"));
}

TEST(Drift, TheOwnThreadMendsWithinASecond) {
  Host host;
  host.enforcer.reset();
  const auto simulated = make_simulated_backend(host.dir.path());
  auto opened = Enforcer::open(host.options, *simulated, system_clock());
  ASSERT_TRUE(opened);
  host.enforcer = std::move(*opened);
  host.enforcer->start_thread();
  ASSERT_EQ(host.isolate("a", 1).kind, Kind::done);
  put_file(host.dir / "simulated_isolation.json", R"({"simulated":true,"state":"released"})");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually([&] { return host.status().observed == Isolation::isolated; }));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1'500));
  EXPECT_EQ(host.status().drift_events, 1);
  host.enforcer.reset();  // before its backend
}

// --- names and the probe

// Answers as the test says, from any thread.
struct FakeResolver {
  std::mutex mutex;
  std::map<std::string, std::vector<std::string>> answers;
  std::set<std::string> asked;
  int hang_ms = 0;

  std::function<Result<std::vector<endpoint::Prefix>>(const std::string&)> function(
      std::shared_ptr<FakeResolver> self) {
    return [self](const std::string& host) -> Result<std::vector<endpoint::Prefix>> {
      int hang = 0;
      std::vector<endpoint::Prefix> out;
      {
        const std::lock_guard lock(self->mutex);
        self->asked.insert(host);
        hang = self->hang_ms;
        const auto at = self->answers.find(host);
        if (at == self->answers.end()) return fail(ErrorCode::unavailable, "no such name", host);
        for (const std::string& text : at->second) out.push_back(*endpoint::parse_prefix(text));
      }
      usleep(static_cast<useconds_t>(hang) * 1000);
      return out;
    };
  }
  void set(const std::string& host, std::vector<std::string> addresses) {
    const std::lock_guard lock(mutex);
    answers[host] = std::move(addresses);
  }
};

struct NamedHost : Host {
  std::shared_ptr<FakeResolver> resolver = std::make_shared<FakeResolver>();
  NamedHost() {
    enforcer.reset();
    options.resolve = resolver->function(resolver);
    Identity identity;
    identity.agent_id = kAgent;
    identity.server = "https://service.example:8771";
    identity.trusted = service.keys();
    EXPECT_TRUE(keep_identity(options.folder, identity));
    resolver->set("service.example", {"192.0.2.10"});
    restart();
  }
  Envelope with_kafka(const std::string& id, int64_t generation) {
    Envelope e = service.isolate(id, generation);
    e.policy.services = {"kafka.example:9092"};
    return e;
  }
};

std::vector<OpenService> services(std::initializer_list<std::pair<const char*, uint16_t>> list) {
  std::vector<OpenService> out;
  for (const auto& [address, port] : list) out.push_back({prefix(address), port});
  return out;
}

TEST(Names, AreResolvedBeforeTheCutAndTheLastGoodAnswerSurvives) {
  NamedHost host;
  host.resolver->set("kafka.example", {"192.0.2.31", "192.0.2.30", "2001:db8::30", "0.0.0.0", "224.0.0.1"});
  host.carry(host.with_kafka("a", 1));
  const auto all = services({{"192.0.2.10", 8771}, {"192.0.2.30", 9092}, {"192.0.2.31", 9092}, {"2001:db8::30", 9092}});
  EXPECT_EQ(host.backend.last.services, all) << "what no host has is left out";
  EXPECT_TRUE(host.status().problems.empty());
  {
    const std::lock_guard lock(host.resolver->mutex);
    host.resolver->answers.clear();
  }
  host.reboot();
  EXPECT_EQ(host.backend.last.services, all);
  host.release("b", 2);
  host.carry(host.with_kafka("c", 3));
  EXPECT_EQ(host.backend.last.services, all);
}

TEST(Names, AResolverThatHangsDelaysNothingBeyondItsTime) {
  NamedHost host;
  ASSERT_TRUE(eventually([&] {
    host.enforcer->tick();
    return std::filesystem::exists(host.options.folder + "/names.json");
  })) << "the control plane's name is asked for before there is any isolation";
  host.resolver->set("kafka.example", {"192.0.2.30"});
  {
    const std::lock_guard lock(host.resolver->mutex);
    host.resolver->hang_ms = 2'600;
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(host.carry(host.with_kafka("a", 1)).kind, Kind::done);
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(took, std::chrono::milliseconds(1'900));
  EXPECT_LT(took, std::chrono::milliseconds(2'500));
  EXPECT_EQ(host.backend.last.services, services({{"192.0.2.10", 8771}}));
  EXPECT_TRUE(host.has_problem("kafka.example"));
  EXPECT_TRUE(eventually([&] {
    host.enforcer->tick();
    return host.backend.last.services == services({{"192.0.2.10", 8771}, {"192.0.2.30", 9092}});
  })) << "the answer that comes late is taken in";
  EXPECT_FALSE(host.has_problem("kafka.example"));
}

TEST(Names, OfAnIsolationThatMayComeAreKnownBeforeIt) {
  NamedHost host;
  host.resolver->set("kafka.example", {"192.0.2.30"});
  Envelope status = host.service.order(Order::status, "", 0);
  status.policy.services = {"kafka.example:9092"};
  ASSERT_EQ(host.carry(status).kind, Kind::state);
  ASSERT_TRUE(eventually([&] {
    host.enforcer->tick();
    return read_file(host.options.folder + "/names.json", 65536).value_or("").find("192.0.2.30") != std::string::npos;
  }));
  {
    const std::lock_guard lock(host.resolver->mutex);
    host.resolver->hang_ms = 2'600;
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(host.carry(host.with_kafka("a", 1)).kind, Kind::done);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1'500));
  EXPECT_EQ(host.backend.last.services, services({{"192.0.2.10", 8771}, {"192.0.2.30", 9092}}));
}

TEST(Names, AreAskedForAgainEveryFiveMinutesAndTheCutFollows) {
  NamedHost host;
  host.carry(host.service.isolate("a", 1));
  ASSERT_EQ(host.backend.last.services, services({{"192.0.2.10", 8771}}));
  host.resolver->set("service.example", {"192.0.2.11"});
  const auto follows = [&] { return host.backend.last.services == services({{"192.0.2.11", 8771}}); };
  for (int i = 0; i < 20; ++i) {
    host.pass_ms(10'000);
    usleep(2'000);
  }
  EXPECT_FALSE(follows()) << "not before their time";
  host.pass_ms(110'000);
  EXPECT_TRUE(eventually([&] {
    host.enforcer->tick();
    return follows();
  }));
  EXPECT_EQ(host.status().drift_events, 0);
}

TEST(Probe, AControlPlaneThatIsLostIsToldAndTheHostStaysIsolated) {
  Host host;
  auto reachable = std::make_shared<std::atomic<bool>>(false);
  host.enforcer.reset();
  host.options.self_test_ms = 50;
  host.options.probe = [reachable](const std::string& server) {
    return server == "https://192.0.2.10:8771" && reachable->load();
  };
  host.restart();
  const Report report = host.isolate("a", 1);
  EXPECT_EQ(report.kind, Kind::done) << "the probe delays no report";
  EXPECT_TRUE(eventually([&] {
    host.enforcer->tick();
    return host.has_problem("can't be reached");
  }));
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  reachable->store(true);
  EXPECT_TRUE(eventually([&] {
    host.pass_ms(1'000);
    return !host.has_problem("can't be reached");
  })) << "it keeps trying";
  EXPECT_EQ(host.backend.state, Isolation::isolated);
}

TEST(Probe, WithRollbackTheHostIsLetBackIn) {
  Host host;
  host.enforcer.reset();
  host.options.self_test_ms = 50;
  host.options.probe = [](const std::string&) { return false; };
  host.restart();
  Envelope e = host.service.isolate("a", 1);
  e.policy.rollback = true;
  EXPECT_EQ(host.carry(e).kind, Kind::done);
  EXPECT_TRUE(eventually([&] {
    host.enforcer->tick();
    return host.backend.state == Isolation::released;
  }));
  EXPECT_EQ(host.status().local_release.how, "rollback");
  EXPECT_EQ(host.status().local_release.generation, 1);
  host.reboot();
  EXPECT_EQ(host.backend.state, Isolation::released);
}

TEST(Notice, IsGivenForEachChangeAndHoldsUpNoOrder) {
  Host host;
  struct Told {
    std::mutex mutex;
    std::vector<std::string> lines;
  };
  const auto told = std::make_shared<Told>();
  host.enforcer.reset();
  host.options.notice = [told](Isolation now, const std::string& comment, const std::string& message) {
    usleep(100'000);
    const std::lock_guard lock(told->mutex);
    told->lines.push_back(std::string(to_string(now)) + "|" + comment + "|" + message);
  };
  host.restart();
  Envelope e = host.service.isolate("a", 1);
  e.comment = "ransomware";
  e.policy.message = "call 112";
  e.lease_ms = 1'000;
  const auto begin = std::chrono::steady_clock::now();
  host.carry(e);
  host.pass_ms(1'000);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(2'000));
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(told->mutex);
    return told->lines.size() == 2;
  }));
  const std::lock_guard lock(told->mutex);
  EXPECT_EQ(told->lines[0], "isolated|ransomware|call 112");
  EXPECT_EQ(told->lines[1], "released|the lease ended|");
}

}  // namespace
}  // namespace fb::agent
