#include "engine/respond/guard.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/respond/fixtures.h"

namespace fb {
namespace {

using test::FakeActionStore;
using test::FakeClock;
using test::make_manual;
using test::make_planned;
using test::make_rule;

constexpr int64_t kMinute = 60'000;

// A fleet in which everything passes; a test spoils one thing.
class GuardTest : public testing::Test {
 protected:
  GuardTest() : store(clock) {
    settings.mode = Mode::enforce;
    for (int i = 0; i < 10; ++i) store.add_endpoint("a" + std::to_string(i));
    EXPECT_TRUE(kill_switch.refresh(store));
  }

  Judgement judge(const PlannedAction& p, const GuardSettings& with) {
    ActionGuard guard(with, kill_switch);
    Result<Judgement> j = guard.judge(p, store, clock.wall_ms());
    EXPECT_TRUE(j) << (j ? "" : j.error().describe());
    return j ? *j : Judgement{};
  }
  Judgement judge(const PlannedAction& p) { return judge(p, settings); }

  PlannedAction planned(const std::string& endpoint, const RuleMetaPtr& rule) {
    return make_planned(rule, endpoint, ++number, clock.wall_ms());
  }
  PlannedAction planned(const std::string& endpoint) { return planned(endpoint, make_rule("r")); }

  // The guard decides, says why, and is the only one that does: without it the action passes.
  void decides_alone(const PlannedAction& p, Guard guard, Verdict verdict) {
    GuardSettings without = settings;
    without.turn(guard, false);
    EXPECT_EQ(judge(p, without).verdict, Verdict::would_act) << judge(p, without).detail;
    const Judgement j = judge(p);
    EXPECT_EQ(j.guard, guard) << j.detail;
    EXPECT_EQ(j.verdict, verdict) << j.detail;
    EXPECT_FALSE(j.detail.empty());
  }

  // A judged and kept isolation.
  PlannedAction isolate(const std::string& endpoint, const RuleMetaPtr& rule) {
    const PlannedAction p = planned(endpoint, rule);
    EXPECT_TRUE(store.keep(p));
    return p;
  }

  FakeClock clock;
  FakeActionStore store;
  KillSwitch kill_switch;
  GuardSettings settings;
  int64_t number = 0;
};

TEST_F(GuardTest, PassesWhenNothingSpeaksAgainstIt) {
  const Judgement j = judge(planned("a1"));
  EXPECT_EQ(j.verdict, Verdict::would_act);
  EXPECT_EQ(j.guard, Guard::none);
  EXPECT_FALSE(j.detail.empty());
}

TEST_F(GuardTest, KillSwitchBlocks) {
  ASSERT_TRUE(test::switch_on(kill_switch, store, true));
  decides_alone(planned("a1"), Guard::kill_switch, Verdict::blocked);
  ASSERT_TRUE(test::switch_on(kill_switch, store, false));
  EXPECT_EQ(judge(planned("a1")).verdict, Verdict::would_act);
}

TEST_F(GuardTest, KillSwitchIsOnUntilItWasRead) {
  const KillSwitch fresh;
  EXPECT_TRUE(fresh.on());
}

TEST_F(GuardTest, KillSwitchIsOnWhenItCannotBeRead) {
  store.make_kill_switch_unreadable(true);
  EXPECT_FALSE(kill_switch.refresh(store));
  EXPECT_TRUE(kill_switch.on());
  store.make_kill_switch_unreadable(false);
  EXPECT_TRUE(kill_switch.refresh(store));
  EXPECT_FALSE(kill_switch.on());
}

TEST_F(GuardTest, KillSwitchIsOnWhileTheStopFileIsThere) {
  const std::string path = testing::TempDir() + "fb_stop_" + new_uuid();
  KillSwitch with_file(path);
  ASSERT_TRUE(with_file.refresh(store));
  EXPECT_FALSE(with_file.on());
  std::ofstream(path).put('\n');
  ASSERT_TRUE(with_file.refresh(store));
  EXPECT_TRUE(with_file.on());
  ASSERT_EQ(std::remove(path.c_str()), 0);
  ASSERT_TRUE(with_file.refresh(store));
  EXPECT_FALSE(with_file.on());
}

TEST_F(GuardTest, DryRunServiceOnlyWatches) {
  settings.mode = Mode::dry_run;
  decides_alone(planned("a1"), Guard::mode, Verdict::dry_run);
}

TEST_F(GuardTest, ApproveServiceAsksAPerson) {
  settings.mode = Mode::approve;
  decides_alone(planned("a1"), Guard::mode, Verdict::awaiting_approval);
}

TEST_F(GuardTest, ARulesModeIsACeilingAndNeverMore) {
  const Mode modes[] = {Mode::dry_run, Mode::approve, Mode::enforce};
  const Verdict verdicts[] = {Verdict::dry_run, Verdict::awaiting_approval, Verdict::would_act};
  for (int service = 0; service < 3; ++service) {
    for (int rule = 0; rule < 3; ++rule) {
      settings.mode = modes[service];
      const Judgement j = judge(planned("a1", make_rule("r", Severity::high, modes[rule])));
      EXPECT_EQ(j.verdict, verdicts[std::min(service, rule)]) << service << " " << rule;
    }
  }
}

TEST_F(GuardTest, RefusesProtectedEndpointEvenWhenRuleIsTrusted) {
  store.add_endpoint("dc", AgentStatus::online, true);
  decides_alone(planned("dc", make_rule("trusted", Severity::critical)), Guard::protected_endpoint, Verdict::blocked);
}

TEST_F(GuardTest, ProtectsAnIdOfTheConfigThatTheLedgerDoesNotMark) {
  ASSERT_TRUE(settings.protected_list.add("A1"));
  decides_alone(planned("a1"), Guard::protected_endpoint, Verdict::blocked);
  EXPECT_EQ(judge(planned("a2")).verdict, Verdict::would_act);
}

TEST_F(GuardTest, AnEventCannotClaimProtectionByAHostName) {
  ASSERT_TRUE(settings.protected_list.add("dc01"));
  PlannedAction p = planned("a1");
  p.target.host_name = "dc01";
  EXPECT_EQ(judge(p).verdict, Verdict::would_act);
}

TEST_F(GuardTest, UnknownTargetIsBlocked) {
  decides_alone(planned("nobody"), Guard::unknown_target, Verdict::blocked);
}

TEST_F(GuardTest, AmbiguousTargetIsBlockedWithItsReason) {
  PlannedAction p = planned("");
  p.target_note = "ambiguous: two endpoints";
  decides_alone(p, Guard::unknown_target, Verdict::blocked);
  EXPECT_EQ(judge(p).detail, "ambiguous: two endpoints");
}

TEST_F(GuardTest, JoinsAnIsolationThatIsOnItsWay) {
  const PlannedAction first = isolate("a1", make_rule("r"));
  const PlannedAction second = planned("a1");
  decides_alone(second, Guard::in_flight, Verdict::joined);
  EXPECT_EQ(judge(second).joined_action, first.action_id);
}

TEST_F(GuardTest, JoinsAnIsolationThatStands) {
  const PlannedAction first = isolate("a1", make_rule("r"));
  ActionMove m;
  m.action_id = first.action_id;
  m.from = {ActionState::requested};
  m.to = ActionState::dispatched;
  ASSERT_TRUE(store.move(m));
  m.from = {ActionState::dispatched};
  m.to = ActionState::verified;
  m.observed = Isolation::isolated;
  ASSERT_TRUE(store.move(m));
  const PlannedAction second = planned("a1", make_rule("other"));
  decides_alone(second, Guard::in_flight, Verdict::joined);
  EXPECT_EQ(judge(second).joined_action, first.action_id);
}

// Else a weak rule that only asks could be used to keep a strong one from acting.
TEST_F(GuardTest, AWaitingIsolationDoesNotHoldBackOneThatMayAct) {
  settings.mode = Mode::enforce;
  const RuleMetaPtr asks = make_rule("asks", Severity::low, Mode::approve);
  ActionGuard guard(settings, kill_switch);
  FakeActionStore judged(clock, &guard);
  judged.add_endpoint("a1");
  const PlannedAction first = make_planned(asks, "a1", 1, clock.wall_ms());
  const Result<Judgement> waits = judged.keep(first);
  ASSERT_TRUE(waits);
  EXPECT_EQ(waits->verdict, Verdict::awaiting_approval);
  const Result<Judgement> again = judged.keep(make_planned(asks, "a1", 2, clock.wall_ms()));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->verdict, Verdict::joined);  // one question an endpoint
  EXPECT_EQ(again->joined_action, first.action_id);
  const Result<Judgement> acts = judged.keep(make_planned(make_rule("acts"), "a1", 3, clock.wall_ms()));
  ASSERT_TRUE(acts);
  EXPECT_EQ(acts->verdict, Verdict::would_act);
}

TEST_F(GuardTest, CooldownAfterAReleaseForTheSameRuleAndForOthers) {
  isolate("a1", make_rule("r"));
  ASSERT_TRUE(store.keep(make_manual(Verb::release, "a1", "k1")));
  // What was on its way is over, so that only the cooldown is left to speak.
  store.change_action(store.all_actions()[0].row.action_id,
                      [](test::FakeAction& a) { a.row.state = ActionState::superseded; });

  decides_alone(planned("a1", make_rule("other")), Guard::cooldown, Verdict::awaiting_approval);
  clock.advance_ms(10 * kMinute - 1);
  EXPECT_EQ(judge(planned("a1", make_rule("other"))).guard, Guard::cooldown);
  clock.advance_ms(1);
  EXPECT_EQ(judge(planned("a1", make_rule("other"))).verdict, Verdict::would_act);
  decides_alone(planned("a1"), Guard::cooldown, Verdict::awaiting_approval);
  clock.advance_ms(50 * kMinute - 1);
  EXPECT_EQ(judge(planned("a1")).guard, Guard::cooldown);
  clock.advance_ms(1);
  EXPECT_EQ(judge(planned("a1")).verdict, Verdict::would_act);
}

TEST_F(GuardTest, CooldownHoldsWhenTheClockWasSetBack) {
  isolate("a1", make_rule("r"));
  ASSERT_TRUE(store.keep(make_manual(Verb::release, "a1", "k1")));
  store.change_action(store.all_actions()[0].row.action_id,
                      [](test::FakeAction& a) { a.row.state = ActionState::superseded; });
  clock.jump_wall_ms(-24 * 60 * kMinute);
  EXPECT_EQ(judge(planned("a1")).guard, Guard::cooldown);
}

TEST_F(GuardTest, RuleBudgetTripsAtTheFourthEndpointOfASmallFleetAndStaysTripped) {
  const RuleMetaPtr rule = make_rule("bad");
  for (const char* endpoint : {"a1", "a2", "a3"}) isolate(endpoint, rule);
  EXPECT_TRUE(store.tripped_rules().empty());
  settings.turn(Guard::fleet_breaker, false);
  decides_alone(planned("a4", rule), Guard::rule_budget, Verdict::awaiting_approval);
  EXPECT_TRUE(store.tripped_rules().contains("bad"));
  clock.advance_ms(24 * 60 * kMinute);  // the window is long over
  EXPECT_EQ(judge(planned("a5", rule)).guard, Guard::rule_budget);
  EXPECT_EQ(judge(planned("a5", make_rule("good"))).verdict, Verdict::would_act);
  store.reset_trips();
  EXPECT_EQ(judge(planned("a5", rule)).verdict, Verdict::would_act);
}

TEST_F(GuardTest, RuleBudgetForgetsWhatIsOlderThanItsWindow) {
  const RuleMetaPtr rule = make_rule("slow");
  settings.turn(Guard::fleet_breaker, false);
  isolate("a1", rule);
  isolate("a2", rule);
  clock.advance_ms(10 * kMinute + 1);
  isolate("a3", rule);
  EXPECT_EQ(judge(planned("a4", rule)).verdict, Verdict::would_act);
}

TEST_F(GuardTest, FleetBreakerCountsWhatStandsIsolatedByRules) {
  for (int i = 1; i <= 3; ++i) isolate("a" + std::to_string(i), make_rule("r" + std::to_string(i)));
  clock.advance_ms(2 * 60 * kMinute);  // so that only the standing ones count
  decides_alone(planned("a4", make_rule("r4")), Guard::fleet_breaker, Verdict::awaiting_approval);
}

TEST_F(GuardTest, FleetBreakerCountsNewIsolationsOfAnHour) {
  // 7 new ones within the hour, released again: below 10, but the reserve of 3 is for critical rules.
  settings.turn(Guard::in_flight, false);
  settings.turn(Guard::cooldown, false);
  for (int i = 0; i < 7; ++i) {
    const std::string endpoint = "a" + std::to_string(i);
    isolate(endpoint, make_rule("r" + std::to_string(i)));
    ASSERT_TRUE(store.keep(make_manual(Verb::release, endpoint, "k" + endpoint)));
  }
  decides_alone(planned("a8", make_rule("r8")), Guard::fleet_breaker, Verdict::awaiting_approval);
  EXPECT_EQ(judge(planned("a9", make_rule("r9", Severity::critical))).verdict, Verdict::would_act);
}

TEST_F(GuardTest, OpenFleetBreakerStaysOpenUntilItIsReset) {
  for (int i = 1; i <= 3; ++i) isolate("a" + std::to_string(i), make_rule("r" + std::to_string(i)));
  clock.advance_ms(2 * 60 * kMinute);
  EXPECT_EQ(judge(planned("a4", make_rule("r4"))).guard, Guard::fleet_breaker);
  for (int i = 1; i <= 3; ++i) {
    const std::string endpoint = "a" + std::to_string(i);
    ASSERT_TRUE(store.keep(make_manual(Verb::release, endpoint, "k" + endpoint)));
  }
  EXPECT_EQ(judge(planned("a5", make_rule("r5"))).guard, Guard::fleet_breaker);
  EXPECT_EQ(judge(planned("a5", make_rule("r5", Severity::critical))).verdict, Verdict::would_act);
  store.reset_trips();
  EXPECT_EQ(judge(planned("a5", make_rule("r5"))).verdict, Verdict::would_act);
}

TEST_F(GuardTest, ManualIsolationsUseNobodysBudget) {
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(store.keep(make_manual(Verb::isolate, "a" + std::to_string(i), "k" + std::to_string(i))));
  }
  EXPECT_EQ(judge(planned("a9")).verdict, Verdict::would_act);
}

TEST_F(GuardTest, StaleCauseGoesToAPerson) {
  const PlannedAction p = planned("a1");
  clock.advance_ms(15 * kMinute);
  EXPECT_EQ(judge(p).verdict, Verdict::would_act);
  clock.advance_ms(1);
  decides_alone(p, Guard::freshness, Verdict::awaiting_approval);
}

TEST_F(GuardTest, CauseWithoutATimeCountsAsStale) {
  PlannedAction p = planned("a1");
  p.event_age_base_ms = 0;
  decides_alone(p, Guard::freshness, Verdict::awaiting_approval);
}

// All guards object at once; each one taken away lets the next in the order speak.
TEST_F(GuardTest, TheFirstGuardOfTheOrderDecides) {
  FakeActionStore full(clock);
  full.add_endpoint("dc", AgentStatus::online, true);
  const RuleMetaPtr rule = make_rule("r", Severity::high, Mode::dry_run);
  ASSERT_TRUE(full.keep(make_planned(rule, "dc", 1, clock.wall_ms())));
  ASSERT_TRUE(full.keep(make_manual(Verb::release, "dc", "k")));
  ASSERT_TRUE(full.keep(make_planned(rule, "dc", 2, clock.wall_ms())));
  ASSERT_TRUE(full.trip_rule("r", "test"));
  ASSERT_TRUE(full.trip_fleet("test"));
  ASSERT_TRUE(test::switch_on(kill_switch, full, true));
  PlannedAction p = make_planned(rule, "dc", 3, 0);

  GuardSettings with = settings;
  const auto expect = [&](Guard guard) {
    ActionGuard judge_now(with, kill_switch);
    const Result<Judgement> j = judge_now.judge(p, full, clock.wall_ms());
    ASSERT_TRUE(j);
    EXPECT_EQ(to_string(j->guard), to_string(guard)) << j->detail;
    with.turn(guard, false);
  };
  for (Guard g : {Guard::kill_switch, Guard::mode, Guard::protected_endpoint}) expect(g);
  p.endpoint_id = "gone";
  expect(Guard::unknown_target);
  p.endpoint_id = "dc";
  for (Guard g :
       {Guard::in_flight, Guard::cooldown, Guard::rule_budget, Guard::fleet_breaker, Guard::freshness, Guard::none}) {
    expect(g);
  }
}

// In approve mode a person is only asked what can be done.
TEST_F(GuardTest, ApproveModeDoesNotAskWhatAHardGuardForbids) {
  settings.mode = Mode::approve;
  store.add_endpoint("dc", AgentStatus::online, true);
  EXPECT_EQ(judge(planned("dc")).guard, Guard::protected_endpoint);
  EXPECT_EQ(judge(planned("nobody")).guard, Guard::unknown_target);
  isolate("a1", make_rule("r"));
  EXPECT_EQ(judge(planned("a1")).verdict, Verdict::joined);
  settings.mode = Mode::dry_run;
  EXPECT_EQ(judge(planned("dc")).guard, Guard::mode);
}

TEST_F(GuardTest, NoGuardHoldsBackARelease) {
  store.add_endpoint("dc", AgentStatus::offline, true);
  settings.mode = Mode::dry_run;
  ASSERT_TRUE(store.trip_fleet("test"));
  ASSERT_TRUE(test::switch_on(kill_switch, store, true));
  for (const char* endpoint : {"dc", "a1"}) {
    const Judgement j = judge(make_manual(Verb::release, endpoint, "k"));
    EXPECT_EQ(j.verdict, Verdict::would_act);
    EXPECT_EQ(j.guard, Guard::none);
  }
  EXPECT_EQ(judge(make_manual(Verb::release, "nobody", "k")).guard, Guard::unknown_target);
}

TEST_F(GuardTest, ARulesOwnReleaseObeysOnlyTheMode) {
  auto rule = std::make_shared<RuleMeta>(*make_rule("r"));
  rule->actions = {{Verb::release, ""}};
  settings.mode = Mode::dry_run;
  EXPECT_EQ(judge(planned("a1", rule)).verdict, Verdict::dry_run);
  settings.mode = Mode::enforce;
  ASSERT_TRUE(test::switch_on(kill_switch, store, true));
  EXPECT_EQ(judge(planned("a1", rule)).verdict, Verdict::would_act);
}

TEST_F(GuardTest, APersonsIsolationPassesWhatOnlyLimitsRules) {
  settings.mode = Mode::dry_run;
  ASSERT_TRUE(store.trip_fleet("test"));
  EXPECT_EQ(judge(make_manual(Verb::isolate, "a1", "k")).verdict, Verdict::would_act);
  isolate("a2", make_rule("r"));
  EXPECT_EQ(judge(make_manual(Verb::isolate, "a2", "k")).verdict, Verdict::joined);
  EXPECT_EQ(judge(make_manual(Verb::isolate, "nobody", "k")).guard, Guard::unknown_target);
  ASSERT_TRUE(test::switch_on(kill_switch, store, true));
  EXPECT_EQ(judge(make_manual(Verb::isolate, "a1", "k")).guard, Guard::kill_switch);
}

TEST_F(GuardTest, AProtectedEndpointNeedsAnOverrideAndASecondPerson) {
  store.add_endpoint("dc", AgentStatus::online, true);
  PlannedAction p = make_manual(Verb::isolate, "dc", "k");
  EXPECT_EQ(judge(p).verdict, Verdict::blocked);
  p.override_protected = true;
  EXPECT_EQ(judge(p).verdict, Verdict::awaiting_approval);
  EXPECT_EQ(judge(p).guard, Guard::protected_endpoint);
  p.approved = true;
  EXPECT_EQ(judge(p).verdict, Verdict::would_act);
  PlannedAction by_rule = planned("dc");
  by_rule.approved = true;
  by_rule.override_protected = true;  // a rule has no such word; it changes nothing
  EXPECT_EQ(judge(by_rule).verdict, Verdict::blocked);
}

TEST_F(GuardTest, ApprovalOverridesTheLimitsButNotTheHardGuards) {
  ASSERT_TRUE(store.trip_fleet("test"));
  ASSERT_TRUE(store.trip_rule("r", "test"));
  PlannedAction p = planned("a1");
  p.event_age_base_ms = 1;
  p.approved = true;
  EXPECT_EQ(judge(p).verdict, Verdict::would_act);
  ASSERT_TRUE(test::switch_on(kill_switch, store, true));
  EXPECT_EQ(judge(p).guard, Guard::kill_switch);
}

// The row that is approved is itself open: it must not join itself.
TEST_F(GuardTest, AnApprovedActionDoesNotJoinItself) {
  settings.mode = Mode::approve;
  ActionGuard guard(settings, kill_switch);
  FakeActionStore judged(clock, &guard);
  judged.add_endpoint("a1");
  const PlannedAction p = make_planned(make_rule("r"), "a1", 1, clock.wall_ms());
  ASSERT_TRUE(judged.keep(p));
  const Result<ActionState> decided = judged.decide(p.action_id, true, "jo", "yes");
  ASSERT_TRUE(decided);
  EXPECT_EQ(*decided, ActionState::requested);
}

TEST_F(GuardTest, AnErrorOfTheLedgerIsHandedOn) {
  struct Broken final : Ledger {
    static tl::unexpected<Error> no() { return fail(ErrorCode::io, "disk"); }
    Result<EndpointFacts> endpoint(const std::string&) override {
      EndpointFacts f;
      f.known = true;
      return f;
    }
    Result<int64_t> enrolled() override { return no(); }
    Result<int64_t> rule_intents_since(const std::string&, int64_t) override { return no(); }
    Result<int64_t> auto_intents_since(int64_t) override { return no(); }
    Result<int64_t> standing_auto_isolations() override { return no(); }
    Result<bool> rule_tripped(const std::string&) override { return no(); }
    Result<bool> fleet_tripped() override { return no(); }
    Status trip_rule(const std::string&, const std::string&) override { return no(); }
    Status trip_fleet(const std::string&) override { return no(); }
    Result<std::vector<Group>> groups_of(const std::string&) override { return no(); }
    Result<int64_t> rule_first_seen(const std::string&, const std::string&) override { return no(); }
    Result<int64_t> rules_alerting_since(const std::string&, int64_t) override { return no(); }
    Result<bool> issued(const std::string&, const std::string&, int64_t) override { return no(); }
    Result<std::vector<Maintenance>> maintenance_of(const std::string&, int64_t) override { return no(); }
  } broken;
  ActionGuard guard(settings, kill_switch);
  const Result<Judgement> j = guard.judge(planned("a1"), broken, clock.wall_ms());
  ASSERT_FALSE(j);
  EXPECT_EQ(j.error().code, ErrorCode::io);
}

}  // namespace
}  // namespace fb
