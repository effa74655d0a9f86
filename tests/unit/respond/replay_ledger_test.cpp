#include "engine/respond/replay_ledger.h"

#include <gtest/gtest.h>

#include "engine/respond/guard.h"
#include "tests/unit/respond/fixtures.h"

namespace fb {
namespace {

using test::make_planned;
using test::make_rule;

constexpr int64_t kThen = 1'500'000'000'000;  // event time, years ago

Judgement judge(ActionGuard& guard, ReplayLedger& ledger, const PlannedAction& p, int64_t at_ms) {
  ledger.advance(at_ms);
  const Result<Judgement> j = guard.judge(p, ledger, at_ms);
  EXPECT_TRUE(j);
  if (!j) return {};
  ledger.record_intent(p, *j, at_ms);
  return *j;
}

TEST(ReplayLedger, ModeAndAgeDoNotMatterInAReplay) {
  GuardSettings live;  // dry_run
  ActionGuard guard = ActionGuard::for_replay(live);
  ReplayLedger ledger;
  const PlannedAction p = make_planned(make_rule("r", Severity::low, Mode::dry_run), "a1", 1, 0);
  EXPECT_EQ(judge(guard, ledger, p, kThen).verdict, Verdict::would_act);
}

TEST(ReplayLedger, WithoutADirectoryTheFixedNumbersHold) {
  ActionGuard guard = ActionGuard::for_replay({});
  ReplayLedger ledger;
  const RuleMetaPtr rule = make_rule("r");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(judge(guard, ledger, make_planned(rule, "a" + std::to_string(i), i, kThen), kThen + i).verdict,
              Verdict::would_act);
  }
  const Judgement fourth = judge(guard, ledger, make_planned(rule, "a3", 3, kThen), kThen + 3);
  EXPECT_EQ(fourth.verdict, Verdict::awaiting_approval);
  EXPECT_EQ(fourth.guard, Guard::rule_budget);
  EXPECT_EQ(judge(guard, ledger, make_planned(rule, "a1", 4, kThen), kThen + 4).verdict, Verdict::joined);
  EXPECT_EQ(judge(guard, ledger, make_planned(rule, "a3", 5, kThen), kThen + 5).verdict, Verdict::joined);
}

TEST(ReplayLedger, TheNumberOfEnrolledGivesThePercentagesTheirBase) {
  ActionGuard guard = ActionGuard::for_replay({});
  ReplayLedger ledger(500);
  const RuleMetaPtr rule = make_rule("r");
  int acted = 0;
  for (int i = 0; i < 500; ++i) {
    const Judgement j = judge(guard, ledger, make_planned(rule, "a" + std::to_string(i), i, kThen), kThen + i);
    acted += j.verdict == Verdict::would_act ? 1 : 0;
  }
  EXPECT_EQ(acted, 5);
}

TEST(ReplayLedger, ADirectorySaysWhoIsKnownAndProtected) {
  std::vector<Endpoint> directory(2);
  directory[0].endpoint_id = "a1";
  directory[1].endpoint_id = "dc";
  directory[1].is_protected = true;
  directory[0].desired = Isolation::isolated;  // now; a replay starts from nothing
  ActionGuard guard = ActionGuard::for_replay({});
  ReplayLedger ledger(directory);
  const RuleMetaPtr rule = make_rule("r");
  EXPECT_EQ(judge(guard, ledger, make_planned(rule, "a1", 1, kThen), kThen).verdict, Verdict::would_act);
  EXPECT_EQ(judge(guard, ledger, make_planned(rule, "dc", 2, kThen), kThen).guard, Guard::protected_endpoint);
  EXPECT_EQ(judge(guard, ledger, make_planned(rule, "a2", 3, kThen), kThen).guard, Guard::unknown_target);
  EXPECT_EQ(ledger.enrolled(), 2);
}

TEST(ReplayLedger, AnEventWithoutAHostNeverActs) {
  ActionGuard guard = ActionGuard::for_replay({});
  ReplayLedger ledger;
  EXPECT_EQ(judge(guard, ledger, make_planned(make_rule("r"), "", 1, kThen), kThen).guard, Guard::unknown_target);
}

TEST(ReplayLedger, ALeaseEndsOnEventTimeAndStartsTheCooldown) {
  ActionGuard guard = ActionGuard::for_replay({});
  ReplayLedger ledger;
  PlannedAction p = make_planned(make_rule("r"), "a1", 1, kThen);
  p.lease_ms = 60'000;
  EXPECT_EQ(judge(guard, ledger, p, kThen).verdict, Verdict::would_act);
  EXPECT_EQ(judge(guard, ledger, make_planned(make_rule("r"), "a1", 2, kThen), kThen + 59'999).verdict,
            Verdict::joined);
  EXPECT_EQ(judge(guard, ledger, make_planned(make_rule("x"), "a1", 3, kThen), kThen + 60'000).guard, Guard::cooldown);
  EXPECT_EQ(ledger.standing_auto_isolations(), 0);
  EXPECT_EQ(judge(guard, ledger, make_planned(make_rule("x"), "a1", 4, kThen), kThen + 60'000 + 600'000).verdict,
            Verdict::would_act);
  EXPECT_EQ(ledger.standing_auto_isolations(), 1);
}

TEST(ReplayLedger, TimeThatRunsBackwardsEndsNoLease) {
  ReplayLedger ledger;
  ActionGuard guard = ActionGuard::for_replay({});
  PlannedAction p = make_planned(make_rule("r"), "a1", 1, kThen);
  p.lease_ms = 60'000;
  EXPECT_EQ(judge(guard, ledger, p, kThen).verdict, Verdict::would_act);
  ledger.advance(kThen - 1'000'000);
  EXPECT_EQ(ledger.standing_auto_isolations(), 1);
}

}  // namespace
}  // namespace fb
