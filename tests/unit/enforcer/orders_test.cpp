// Which envelopes the enforcer obeys, and what survives a crash.
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "tests/unit/enforcer/enforcer_support.h"

namespace fb::agent {
namespace {

using namespace test;
using Kind = Report::Kind;

TEST(Enforcer, IsolatesReleasesAndReadsBack) {
  Host host;
  const Report isolated = host.isolate("a", 1);
  EXPECT_EQ(isolated.kind, Kind::done) << isolated.message;
  EXPECT_EQ(isolated.observed, Isolation::isolated);
  EXPECT_EQ(isolated.action_id, "a");
  EXPECT_EQ(isolated.generation, 1);
  EXPECT_EQ(host.status().policy_digest, endpoint::digest(endpoint::CutPolicy{}));
  const Report released = host.release("b", 2);
  EXPECT_EQ(released.kind, Kind::done) << released.message;
  EXPECT_EQ(released.observed, Isolation::released);
  const EnforcementStatus status = host.status();
  EXPECT_EQ(status.generation, 2);
  EXPECT_EQ(status.action_id, "b");
  EXPECT_EQ(status.revision, 2);
  EXPECT_EQ(status.policy_digest, "");
  EXPECT_TRUE(status.problems.empty());
}

TEST(Enforcer, WritesBeginBeforeTheEffectAndSaysSoThen) {
  Host host;
  bool told = false;
  size_t lines_at_effect = 0;
  bool told_at_effect = false;
  host.backend.before_effect = [&](Isolation) {
    lines_at_effect = host.journal_lines("a", "begin");
    told_at_effect = told;
  };
  host.enforcer->carry(host.service.sign(host.service.isolate("a", 1)), [&] {
    told = true;
    EXPECT_EQ(host.backend.isolations, 0);
    EXPECT_EQ(host.journal_lines("a", "begin"), 1u);
  });
  EXPECT_TRUE(told_at_effect);
  EXPECT_EQ(lines_at_effect, 1u);
  EXPECT_EQ(host.journal_lines("a", "done"), 1u);
}

TEST(Enforcer, RefusesTheSameEnvelopeASecondTimeAlsoAfterARestart) {
  Host host;
  const std::string isolate = host.service.sign(host.service.isolate("a", 1));
  ASSERT_EQ(host.enforcer->carry(isolate, {}).kind, Kind::done);
  EXPECT_EQ(host.enforcer->carry(isolate, {}).kind, Kind::refused);
  ASSERT_EQ(host.release("b", 2).kind, Kind::done);
  const std::string status = host.service.sign(host.service.order(Order::status, "", 2));
  ASSERT_EQ(host.enforcer->carry(status, {}).kind, Kind::state);
  host.restart();
  const int before = host.backend.isolations;
  for (const std::string& envelope : {isolate, status}) {
    const Report again = host.enforcer->carry(envelope, {});
    EXPECT_EQ(again.kind, Kind::refused);
    EXPECT_NE(again.message.find("replayed"), std::string::npos) << again.message;
  }
  EXPECT_EQ(host.backend.isolations, before);
  EXPECT_EQ(host.backend.state, Isolation::released);
}

TEST(Enforcer, ARefusedEnvelopeIsUsedUpToo) {
  Host host;
  put_file(host.options.protected_file, "");
  const std::string isolate = host.service.sign(host.service.isolate("a", 1));
  EXPECT_NE(host.enforcer->carry(isolate, {}).message.find("protected here"), std::string::npos);
  std::filesystem::remove(host.options.protected_file);
  host.restart();
  EXPECT_EQ(host.enforcer->carry(isolate, {}).kind, Kind::refused);
  EXPECT_EQ(host.isolate("a", 1).kind, Kind::done) << "signed anew, it is obeyed";
}

TEST(Enforcer, GivesTheStoredResultForTheSameAction) {
  Host host;
  host.isolate("a", 1);
  for (int i = 0; i < 3; ++i) {
    if (i == 2) host.restart();
    const Report again = host.isolate("a", 1);
    EXPECT_EQ(again.kind, Kind::done);
    EXPECT_EQ(again.observed, Isolation::isolated);
  }
  EXPECT_EQ(host.journal_lines("a", "begin"), 1u);
  EXPECT_EQ(host.journal_lines("a", "done"), 1u);
  EXPECT_EQ(host.backend.isolations, 2) << "once, and once more when it was opened anew";
}

TEST(Enforcer, ALostStateIsSetAgainForTheNewestGenerationWithoutANewBegin) {
  Host host;
  host.isolate("a", 1);
  EXPECT_EQ(host.isolate("repair", 1).kind, Kind::refused) << "nothing is lost: stale";
  host.backend.state = Isolation::released;
  const Report again = host.isolate("a", 1);
  EXPECT_EQ(again.kind, Kind::done);
  EXPECT_EQ(again.observed, Isolation::isolated);
  EXPECT_EQ(host.journal_lines("a", "begin"), 1u);
  host.backend.state = Isolation::released;
  EXPECT_EQ(host.isolate("repair2", 1).kind, Kind::done) << "by another name, for the same generation and verb";
  host.backend.state = Isolation::released;
  EXPECT_EQ(host.release("r", 1).kind, Kind::refused) << "another verb is another command";
  host.backend.broken = true;
  EXPECT_EQ(host.isolate("a", 1).kind, Kind::failed);
}

TEST(Enforcer, AnOldIsolationIsNotSetAgainAfterItsRelease) {
  Host host;
  host.isolate("a", 1);
  host.release("b", 2);
  const Report again = host.isolate("a", 1);
  EXPECT_EQ(again.kind, Kind::done);
  EXPECT_EQ(again.observed, Isolation::released) << "the state told is the one of now";
  EXPECT_EQ(host.backend.state, Isolation::released);
}

TEST(Enforcer, RefusesAnOlderGeneration) {
  Host host;
  host.release("b", 5);
  for (int64_t generation : {5, 4, 0}) {
    const Report stale = host.isolate("a" + std::to_string(generation), generation);
    EXPECT_EQ(stale.kind, Kind::refused);
    EXPECT_NE(stale.message.find("stale"), std::string::npos);
  }
  host.restart();
  EXPECT_EQ(host.isolate("c", 5).kind, Kind::refused) << "known over a restart";
  EXPECT_EQ(lines_of(host.journal()).size(), 2u) << "a refusal is no action";
  EXPECT_EQ(host.isolate("d", 6).kind, Kind::done);
}

TEST(Enforcer, RefusesAnOlderEpochAndANewOneStartsRevisionsAnew) {
  Host host;
  host.service.epoch = 3;
  host.isolate("a", 1);
  host.service.epoch = 2;
  host.service.revision = 100;
  const Report old = host.release("b", 2);
  EXPECT_EQ(old.kind, Kind::refused);
  EXPECT_NE(old.message.find("epoch"), std::string::npos);
  host.service.epoch = 4;
  host.service.revision = 0;
  EXPECT_EQ(host.release("b", 2).kind, Kind::done);
}

TEST(Enforcer, ARestoredServiceCanAlwaysReleaseButNotIsolateWithAnOldGeneration) {
  Host host;
  host.isolate("a", 7);
  EXPECT_EQ(host.release("r", 3).kind, Kind::refused) << "in the same epoch it is just late";
  host.service.epoch = 2;
  EXPECT_EQ(host.isolate("x", 4).kind, Kind::refused);
  EXPECT_EQ(host.release("r", 3).kind, Kind::done);
  EXPECT_EQ(host.backend.state, Isolation::released);
  host.restart();
  EXPECT_EQ(host.backend.state, Isolation::released);
  EXPECT_EQ(host.isolate("y", 4).kind, Kind::done);
}

TEST(Enforcer, RefusesAnotherAgentsOrderAndAForeignKey) {
  Host host;
  Envelope e = host.service.isolate("a", 1);
  e.agent_id = "agent-2";
  EXPECT_EQ(host.carry(e).kind, Kind::refused);
  Service stranger(host.dir, "stranger");
  EXPECT_EQ(host.enforcer->carry(stranger.sign(stranger.isolate("a", 1)), {}).kind, Kind::refused);
  EXPECT_EQ(host.enforcer->carry("", {}).kind, Kind::refused);
  EXPECT_EQ(host.backend.isolations, 0);
  EXPECT_EQ(host.isolate("a", 1).kind, Kind::done) << "none of them used a revision up";
}

TEST(Enforcer, RefusesAnExpiredIsolationByTheServicesClockButNeverARelease) {
  Host host;
  const int64_t t = host.service.now_ms;
  Envelope late = host.service.isolate("a", 1);
  late.expires_at_ms = t;
  EXPECT_EQ(host.carry(late).message, "expired") << "its own time of signing tells";
  late = host.service.isolate("a", 1);
  late.expires_at_ms = t + 10'000;
  host.clock.jump_wall_ms(-1'000'000'000);
  host.clock.advance_ms(9'999);
  EXPECT_EQ(host.carry(late).kind, Kind::done) << "the host's wall clock does not matter";
  Envelope release = host.service.release("b", 2);
  release.expires_at_ms = t - 5;
  EXPECT_EQ(host.carry(release).kind, Kind::done);
  // Held back on the way: signed before, carried after.
  Envelope held = host.service.isolate("c", 3);
  held.expires_at_ms = t + 10'000;
  host.clock.advance_ms(1);
  EXPECT_EQ(host.carry(held).message, "expired");
  host.restart();
  held = host.service.isolate("c", 3);
  held.expires_at_ms = t + 10'000;
  EXPECT_EQ(host.carry(held).message, "expired") << "the service's time is known over a restart";
}

// The service's clock was ten years ahead for a moment, and a host heard it.
TEST(Enforcer, ANewEpochSetsTheServicesTimeBackButNoLateOrderVouchesForItself) {
  Host host;
  const int64_t t = host.service.now_ms;
  const auto soon_over = [&](const std::string& id, int64_t generation) {
    Envelope e = host.service.isolate(id, generation);
    e.expires_at_ms = t + 60'000;
    return host.carry(e);
  };
  host.service.now_ms = t + 10LL * 365 * 86'400'000;
  EXPECT_EQ(host.isolate("a", 1).kind, Kind::done);
  host.service.now_ms = t;
  EXPECT_EQ(soon_over("b", 2).message, "expired") << "within an epoch time does not go back";
  host.service.epoch = 2;
  host.service.revision = 0;
  EXPECT_EQ(soon_over("b", 2).message, "expired") << "judged by what was known before it";
  EXPECT_EQ(soon_over("b", 2).kind, Kind::done);
  host.restart();
  EXPECT_EQ(soon_over("c", 3).kind, Kind::done) << "the older order on the disk does not bring the wrong time back";
  host.clock.advance_ms(60'000);
  EXPECT_EQ(soon_over("d", 4).message, "expired") << "and late is late again";
}

TEST(Enforcer, ProtectedHereHoldsBackIsolationsAndNothingElse) {
  Host host;
  host.isolate("a", 1);
  put_file(host.options.protected_file, "");
  EXPECT_EQ(host.carry(host.service.order(Order::update_allow_set, "", 1)).kind, Kind::done);
  EXPECT_EQ(host.release("b", 2).kind, Kind::done);
  EXPECT_EQ(host.isolate("c", 3).kind, Kind::refused);
  EXPECT_EQ(host.backend.state, Isolation::released);
}

TEST(Enforcer, TheHostsOwnLimitHoldsBackIsolationsAndUpdatesButNeverARelease) {
  Host host;
  host.enforcer.reset();
  host.options.changes_per_hour = 3;
  host.restart();
  host.isolate("a", 1);
  EXPECT_EQ(host.carry(host.service.order(Order::update_allow_set, "", 1)).kind, Kind::done);
  EXPECT_EQ(host.release("b", 2).kind, Kind::done);
  EXPECT_EQ(host.isolate("c", 3).kind, Kind::done);
  EXPECT_EQ(host.carry(host.service.order(Order::update_allow_set, "", 3)).kind, Kind::refused);
  EXPECT_EQ(host.carry(host.service.order(Order::renew, "", 3)).kind, Kind::done);
  EXPECT_EQ(host.release("d", 4).kind, Kind::done);
  host.restart();
  const Report over = host.isolate("e", 5);
  EXPECT_EQ(over.kind, Kind::refused) << "a restart empties no budget";
  EXPECT_NE(over.message.find("limit"), std::string::npos);
  host.clock.advance_ms(3'600'000);
  EXPECT_EQ(host.isolate("f", 6).kind, Kind::done);
}

// Whoever holds the service's keys signs what they like: a protected host stays in, any other is cut off a few times.
TEST(Enforcer, AServiceThatWasTakenOverMeetsTheHostsOwnLimits) {
  set_log_level(LogLevel::error);
  Host guarded, other;
  put_file(guarded.options.protected_file, "");
  for (int64_t i = 1; i <= 200; ++i) {
    for (Host* host : {&guarded, &other}) {
      host->isolate("i" + std::to_string(i), 2 * i);
      host->release("r" + std::to_string(i), 2 * i + 1);
      host->clock.advance_ms(1000);
    }
  }
  set_log_level(LogLevel::info);
  EXPECT_EQ(guarded.backend.isolations, 0);
  EXPECT_GT(other.backend.isolations, 0);
  EXPECT_LE(other.backend.isolations, other.options.changes_per_hour);
  EXPECT_EQ(other.backend.state, Isolation::released) << "and no limit held a release back";
}

TEST(Enforcer, UpdatesAndRenewsOnlyTheGenerationThatStands) {
  Host host;
  Envelope update = host.service.order(Order::update_allow_set, "", 1);
  EXPECT_EQ(host.carry(update).kind, Kind::refused);
  host.isolate("a", 1);
  update = host.service.order(Order::update_allow_set, "", 1);
  update.policy.exceptions = {"198.51.100.0/24", "198.51.100.7"};
  update.policy.dns = {"192.0.2.53", "0.0.0.0/0"};
  update.policy.services = {"192.0.2.20:9092"};
  update.policy.dhcp = false;
  EXPECT_EQ(host.carry(update).kind, Kind::done);
  EXPECT_EQ(host.backend.last.exceptions, std::vector{prefix("198.51.100.0/24")});
  EXPECT_EQ(host.backend.last.dns, std::vector{prefix("192.0.2.53")});
  EXPECT_TRUE(host.has_problem("0.0.0.0/0"));
  const std::vector<OpenService> services = {{prefix("192.0.2.10"), 8771}, {prefix("192.0.2.20"), 9092}};
  EXPECT_EQ(host.backend.last.services, services);
  EXPECT_FALSE(host.backend.last.dhcp);
  EXPECT_EQ(host.status().policy_digest, endpoint::digest(update.policy));
  EXPECT_EQ(host.carry(host.service.order(Order::update_allow_set, "", 2)).kind, Kind::refused);
  EXPECT_EQ(host.carry(host.service.order(Order::renew, "", 0)).kind, Kind::refused);
  host.reboot();
  EXPECT_EQ(host.backend.last.services, services) << "a reboot finds the policy of the update";
  EXPECT_EQ(host.status().policy_digest, endpoint::digest(update.policy));
  host.release("b", 2);
  EXPECT_EQ(host.carry(host.service.order(Order::update_allow_set, "", 2)).kind, Kind::refused);
  EXPECT_EQ(host.stored_orders(), 0u);
}

TEST(Enforcer, RotatedKeysHoldAfterARebootAndTheOldOnesOrderStillVerifies) {
  Host host;
  host.isolate("a", 1);
  Service next(host.dir, "next");
  next.revision = 50;
  Envelope rotate = host.service.order(Order::status, "", 1);
  rotate.trust = host.service.keys();
  rotate.trust.merge(next.keys());
  EXPECT_EQ(host.carry(rotate).kind, Kind::state);
  Envelope only_new = next.order(Order::status, "", 1);
  only_new.trust = next.keys();
  EXPECT_EQ(host.enforcer->carry(next.sign(only_new), {}).kind, Kind::state);
  host.service.revision = 100;
  EXPECT_EQ(host.release("b", 2).kind, Kind::refused) << "the old key signs no more";
  host.reboot();
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  EXPECT_TRUE(host.status().problems.empty()) << host.status().problems.front();
  EXPECT_EQ(host.release("b", 2).kind, Kind::refused);
  EXPECT_EQ(host.enforcer->carry(next.sign(next.release("c", 2)), {}).kind, Kind::done);
}

TEST(Enforcer, AnIsolationThatBringsNewKeysStillVerifiesAfterAReboot) {
  Host host;
  Service next(host.dir, "next");
  Envelope e = host.service.isolate("a", 1);
  e.trust = next.keys();
  e.policy.exceptions = {"203.0.113.0/24"};
  EXPECT_EQ(host.carry(e).kind, Kind::done);
  for (int i = 0; i < 20; ++i) {  // many rotations leave no heap of old keys
    Service newer(host.dir, "newer" + std::to_string(i));
    next.revision = 100 + i;
    Envelope rotate = next.order(Order::status, "", 1);
    rotate.trust = newer.keys();
    EXPECT_EQ(host.enforcer->carry(next.sign(rotate), {}).kind, Kind::state);
    next = newer;
  }
  host.reboot();
  EXPECT_EQ(host.backend.last.exceptions, std::vector{prefix("203.0.113.0/24")});
  EXPECT_TRUE(host.status().problems.empty());
}

TEST(Enforcer, KeysThatEnrolmentWroteMeanwhileAreTaken) {
  Host host;
  Service other(host.dir, "other");
  Identity identity = *read_identity(host.options.folder);
  identity.trusted = other.keys();
  ASSERT_TRUE(keep_identity(host.options.folder, identity));
  EXPECT_EQ(host.enforcer->carry(other.sign(other.isolate("a", 1)), {}).kind, Kind::done);
  host.service.revision = 10;
  EXPECT_EQ(host.release("b", 2).kind, Kind::refused);
}

TEST(Enforcer, ReportsAFailureAndDoesNotCutTheHostOffLaterByItself) {
  Host host;
  host.backend.broken = true;
  const Report failed = host.isolate("a", 1);
  EXPECT_EQ(failed.kind, Kind::failed);
  EXPECT_NE(failed.message.find("no nft here"), std::string::npos);
  host.backend.broken = false;
  host.pass_ms(5'000);
  host.restart();
  EXPECT_EQ(host.backend.state, Isolation::released);
  EXPECT_EQ(host.isolate("a", 1).kind, Kind::failed) << "the stored result";
  EXPECT_EQ(host.backend.isolations, 1);
  EXPECT_EQ(host.isolate("b", 2).kind, Kind::done);
}

TEST(Enforcer, DoneIsNotSaidWhenTheStateReadBackIsAnother) {
  Host host;
  host.backend.lies = true;
  EXPECT_EQ(host.isolate("a", 1).kind, Kind::failed);
  host.backend.lies = false;
  host.isolate("b", 2);
  host.backend.lies = true;
  EXPECT_EQ(host.release("c", 3).kind, Kind::failed);
  host.pass_ms(1'000);
  EXPECT_TRUE(host.has_problem("can't be let back in"));
  host.backend.lies = false;
  host.pass_ms(1'000);
  EXPECT_EQ(host.backend.state, Isolation::released) << "a release is tried until it holds";
  EXPECT_TRUE(host.status().problems.empty());
}

TEST(Enforcer, StaysIsolatedWhenItCannotLook) {
  Host host;
  host.backend.blind = true;
  EXPECT_EQ(host.isolate("a", 1).kind, Kind::failed);
  EXPECT_TRUE(host.has_problem("can't be read"));
  host.backend.blind = false;
  host.pass_ms(1'000);
  EXPECT_EQ(host.status().observed, Isolation::isolated);
  host.reboot();
  EXPECT_EQ(host.backend.state, Isolation::isolated);
}

// At every point where the process may die, for each order: after the restart the host is where the order wanted it,
// or where it was before, and the same action given again ends there.
TEST(Enforcer, EndsWhereTheOrderWantedWhereverItWasCutShort) {
  for (const bool releases : {false, true}) {
    for (const bool reboots : {false, true}) {
      for (const char* point : {"enforcer_order_kept", "agent_begun", "enforcer_forgotten", "agent_applied"}) {
        SCOPED_TRACE(std::string(point) + (releases ? " release" : " isolate"));
        Host host;
        if (releases) host.isolate("first", 1);
        ASSERT_TRUE(arm_failpoint(std::string(point) + ":1:err"));
        releases ? host.release("a", 2) : host.isolate("a", 2);
        const bool hit = failpoint_hits() > 0;
        ASSERT_TRUE(arm_failpoint(""));
        reboots ? host.reboot() : host.restart();
        const Isolation wanted = releases ? Isolation::released : Isolation::isolated;
        const bool begun = host.journal_lines("a", "begin") == 1;
        if (hit && begun) {
          EXPECT_EQ(host.backend.state, wanted);
          EXPECT_EQ(host.journal_lines("a", "done"), 1u);
        }
        const Report again = releases ? host.release("a", 2) : host.isolate("a", 2);
        EXPECT_EQ(again.kind, Kind::done) << again.message;
        EXPECT_EQ(host.backend.state, wanted);
        EXPECT_EQ(host.journal_lines("a", "begin"), 1u);
        host.reboot();
        EXPECT_EQ(host.backend.state, wanted);
      }
    }
  }
}

TEST(Enforcer, AReleaseLeavesNothingThatCouldCutTheHostOffAgain) {
  Host host;
  host.isolate("a", 1);
  size_t stored = 99;
  host.backend.before_effect = [&](Isolation) { stored = host.stored_orders(); };
  host.release("b", 2);
  EXPECT_EQ(stored, 0u);
}

TEST(Enforcer, ActsNotAtAllWhenTheJournalCannotBeWritten) {
  Host host;
  host.release("a", 1);
  const auto write_nothing_beyond = [&](uintmax_t bytes, const std::function<void()>& act) {
    rlimit old{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit full = old;
    full.rlim_cur = bytes;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
    act();
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    std::signal(SIGXFSZ, handler);
  };
  // The journal is made longer than an order, so that the order can be kept and the journal's line can't be written.
  for (int64_t g = 2; std::filesystem::file_size(host.journal()) < 4'000; ++g) {
    host.release("filler" + std::to_string(g), g);
  }
  Report report;
  write_nothing_beyond(std::filesystem::file_size(host.journal()), [&] { report = host.isolate("b", 1000); });
  EXPECT_EQ(report.kind, Kind::failed);
  EXPECT_NE(report.message.find("journal"), std::string::npos) << report.message;
  EXPECT_EQ(host.backend.isolations, 0);
  EXPECT_EQ(host.stored_orders(), 0u);
  host.restart();
  EXPECT_EQ(host.backend.isolations, 0);
  EXPECT_EQ(host.isolate("b", 1000).kind, Kind::done) << "with space again, the same action runs";
}

TEST(Enforcer, UsesTheSpaceThatIsHeldBackWhenTheDiskIsFull) {
  Host host;
  const std::string held = host.options.folder + "/held_space";
  EXPECT_FALSE(std::filesystem::exists(held)) << "not for a simulation";
  host.backend.simulates = false;
  host.restart();
  EXPECT_EQ(std::filesystem::file_size(held), 1u << 20);
  ASSERT_TRUE(arm_failpoint("enforcer_order_room:1:full"));
  const Report report = host.isolate("a", 1);
  EXPECT_EQ(failpoint_hits(), 2u);
  ASSERT_TRUE(arm_failpoint(""));
  EXPECT_EQ(report.kind, Kind::done) << report.message;
  EXPECT_FALSE(std::filesystem::exists(held));
  for (int i = 0; i < 6; ++i) host.pass_ms(60'000);
  EXPECT_TRUE(std::filesystem::exists(held)) << "and held again";
}

TEST(Enforcer, ComesUpAndObeysWhenItCannotKeepItsState) {
  Host host;
  host.isolate("a", 1);
  host.release("b", 2);
  host.enforcer.reset();
  std::filesystem::remove(host.options.folder + "/state.json");
  std::filesystem::create_directory(host.options.folder + "/state.json");  // a file can't take its place
  host.restart();
  EXPECT_TRUE(host.has_problem("can't be kept"));
  EXPECT_EQ(host.isolate("c", 3).kind, Kind::done);
  EXPECT_EQ(host.release("d", 4).kind, Kind::done);
  std::filesystem::remove(host.options.folder + "/state.json");
  host.carry(host.service.order(Order::status, "", 4));
  EXPECT_FALSE(host.has_problem("can't be kept"));
}

TEST(Enforcer, TheStateOfBeforeComesBackAfterAReboot) {
  Host host;
  Envelope e = host.service.isolate("a", 1);
  e.policy.exceptions = {"203.0.113.0/24"};
  host.carry(e);
  const Cut before = host.backend.last;
  host.backend.last = {};
  host.reboot();
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  EXPECT_EQ(host.backend.last, before);
  EXPECT_EQ(lines_of(host.journal()).size(), 2u) << "it is no new action";
}

TEST(Enforcer, AStoredOrderThatWasChangedIsToldAndTheHostStaysCutOff) {
  Host host;
  Envelope e = host.service.isolate("a", 1);
  e.policy.exceptions = {"203.0.113.0/24"};
  host.carry(e);
  Envelope update = host.service.order(Order::update_allow_set, "", 1);
  update.policy.exceptions = {"198.51.100.0/24"};
  host.carry(update);
  ASSERT_EQ(host.stored_orders(), 2u);
  const auto spoil = [&](int64_t revision) {
    const std::string file = host.options.folder + "/orders/1-" + std::to_string(revision) + ".order";
    std::string text = get_file(file);
    ASSERT_FALSE(text.empty());
    text[text.size() / 2] = text[text.size() / 2] == 'A' ? 'B' : 'A';
    put_file(file, text);
  };
  spoil(update.revision);
  host.reboot();
  EXPECT_EQ(host.backend.last.exceptions, std::vector{prefix("203.0.113.0/24")}) << "the order before it counts";
  EXPECT_TRUE(host.has_problem("does not hold"));
  spoil(e.revision);
  host.reboot();
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  EXPECT_TRUE(host.backend.last.exceptions.empty());
  EXPECT_EQ(host.backend.last.services, (std::vector<OpenService>{{prefix("192.0.2.10"), 8771}}));
  EXPECT_TRUE(host.has_problem("only the control plane"));
  EXPECT_EQ(host.release("b", 2).kind, Kind::done);
  host.restart();
  EXPECT_TRUE(host.status().problems.empty());
}

TEST(Enforcer, ASpoiltStateOrJournalLineDoesNotLetTheHostOut) {
  Host host;
  host.isolate("a", 1);
  put_file(host.options.folder + "/state.json", "{");
  host.reboot();
  EXPECT_EQ(host.backend.state, Isolation::isolated);
  EXPECT_TRUE(host.has_problem("state"));
  put_file(host.journal(), "not a line\n");
  std::filesystem::remove(host.options.folder + "/state.json");
  host.reboot();
  EXPECT_EQ(host.backend.state, Isolation::isolated) << "the signed order itself is enough";
  EXPECT_TRUE(host.has_problem("journal"));
}

TEST(Enforcer, KeepsItsFilesToItself) {
  Host host;
  host.isolate("a", 1);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(host.options.folder)) {
    struct stat facts {};
    ASSERT_EQ(::lstat(entry.path().c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, entry.is_directory() ? 0700u : 0600u) << entry.path();
  }
  struct stat facts {};
  ASSERT_EQ(::lstat(host.options.folder.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700u);
}

TEST(Enforcer, IsNotThereBeforeEnrolment) {
  Host host;
  host.enforcer.reset();
  std::filesystem::remove(host.options.folder + "/identity.json");
  const auto opened = Enforcer::open(host.options, host.backend, host.clock);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::not_found);
}

TEST(SimulatedBackend, KeepsItsStateOverARestartAndSaysThatItIsSimulated) {
  TemporaryFolder dir;
  Cut cut;
  cut.exceptions = {prefix("192.0.2.0/24")};
  {
    const auto backend = make_simulated_backend(dir.path());
    EXPECT_EQ(backend->observe()->state, Isolation::released);
    ASSERT_TRUE(backend->isolate(cut));
    EXPECT_TRUE(backend->observe()->intact);
    EXPECT_EQ(backend->observe()->rule_digest.size(), 64u);
  }
  const auto backend = make_simulated_backend(dir.path());
  EXPECT_EQ(backend->observe()->state, Isolation::isolated);
  EXPECT_TRUE(backend->simulated());
  const std::string text = get_file(dir / "simulated_isolation.json");
  EXPECT_NE(text.find("\"simulated\":true"), std::string::npos);
  EXPECT_NE(text.find("192.0.2.0/24"), std::string::npos);
  ASSERT_TRUE(backend->isolate(cut));
  put_file(dir / "simulated_isolation.json", R"({"simulated":true,"state":"isolated","rules":{}})");
  EXPECT_FALSE(backend->observe()->intact) << "somebody changed the rules";
  ASSERT_TRUE(backend->release());
  EXPECT_EQ(backend->observe()->state, Isolation::released);
  put_file(dir / "simulated_isolation.json", "{");
  EXPECT_FALSE(backend->observe());
}

}  // namespace
}  // namespace fb::agent
