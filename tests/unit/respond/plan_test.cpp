#include "engine/respond/plan.h"

#include <gtest/gtest.h>

#include "tests/unit/respond/fixtures.h"

namespace fb {
namespace {

using test::make_alert;
using test::make_rule;

constexpr int64_t kNow = 1'700'000'000'000;

RuleMetaPtr changed(const RuleMetaPtr& rule, const std::function<void(RuleMeta&)>& change) {
  auto copy = std::make_shared<RuleMeta>(*rule);
  change(*copy);
  return copy;
}

TEST(Plan, ARuleWithoutActionsPlansNothing) {
  const RuleMetaPtr rule = changed(make_rule("r"), [](RuleMeta& r) { r.actions.clear(); });
  std::vector<PlannedAction> out;
  plan(make_alert(rule, "a", 1, kNow), OpenDirectory{}, out);
  EXPECT_TRUE(out.empty());
}

TEST(Plan, CarriesWhatTheRuleAndTheAlertSay) {
  const RuleMetaPtr rule = changed(make_rule("r-1"), [](RuleMeta& r) {
    r.response.mode = Mode::approve;
    r.response.lease_ms = 4'000;
  });
  const Alert alert = make_alert(rule, "agent-9", 1, kNow);
  std::vector<PlannedAction> out;
  plan(alert, OpenDirectory{}, out);
  ASSERT_EQ(out.size(), 1u);
  const PlannedAction& p = out[0];
  EXPECT_EQ(p.verb, Verb::isolate);
  EXPECT_EQ(p.endpoint_id, "agent-9");
  EXPECT_EQ(p.target_note, "");
  EXPECT_EQ(p.comment, "cut off by r-1");
  EXPECT_EQ(p.cause, alert.alert_id);
  EXPECT_EQ(p.alert_id, alert.alert_id);
  EXPECT_EQ(p.action_id, action_id(Verb::isolate, "agent-9", alert.alert_id));
  EXPECT_EQ(p.request_id, p.action_id);
  EXPECT_EQ(p.requested_by, "rule:r-1");
  EXPECT_EQ(p.ceiling, Mode::approve);
  EXPECT_EQ(p.lease_ms, 4'000);
  EXPECT_FALSE(p.manual);
}

TEST(Plan, SameAlertGivesTheSameIdsAndAnotherAlertOthers) {
  const RuleMetaPtr rule = make_rule("r");
  std::vector<PlannedAction> out;
  plan(make_alert(rule, "a", 1, kNow), OpenDirectory{}, out);
  plan(make_alert(rule, "a", 1, kNow + 5'000), OpenDirectory{}, out);
  plan(make_alert(rule, "a", 2, kNow), OpenDirectory{}, out);
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].action_id, out[1].action_id);
  EXPECT_NE(out[0].action_id, out[2].action_id);
}

TEST(Plan, UnknownAndAmbiguousTargetsStayRows) {
  const RuleMetaPtr rule = make_rule("r");
  Alert nobody = make_alert(rule, "", 1, kNow);
  Alert two = make_alert(rule, "a", 2, kNow);
  two.target.ambiguous = true;
  std::vector<PlannedAction> out;
  plan(nobody, OpenDirectory{}, out);
  plan(two, OpenDirectory{}, out);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].endpoint_id, "");
  EXPECT_TRUE(out[0].target_note.starts_with("unknown")) << out[0].target_note;
  EXPECT_EQ(out[1].endpoint_id, "");
  EXPECT_TRUE(out[1].target_note.starts_with("ambiguous")) << out[1].target_note;
  EXPECT_EQ(out[1].target.agent_id, "a");
}

TEST(Plan, AnActionListedTwiceIsPlannedOnce) {
  const RuleMetaPtr rule = changed(make_rule("r"), [](RuleMeta& r) {
    r.actions = {{Verb::isolate, "one"}, {Verb::isolate, "two"}, {Verb::release, "three"}};
  });
  std::vector<PlannedAction> out;
  plan(make_alert(rule, "a", 1, kNow), OpenDirectory{}, out);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].comment, "one");
  EXPECT_EQ(out[1].verb, Verb::release);
}

TEST(Plan, LeaseIsTheRulesElseTheServicesElseNone) {
  const RuleMetaPtr own = changed(make_rule("own"), [](RuleMeta& r) { r.response.lease_ms = 1'000; });
  const RuleMetaPtr open = make_rule("open");
  std::vector<PlannedAction> out;
  plan(make_alert(own, "a", 1, kNow), OpenDirectory{}, PlanDefaults{9'000}, out);
  plan(make_alert(open, "a", 2, kNow), OpenDirectory{}, PlanDefaults{9'000}, out);
  plan(make_alert(open, "a", 3, kNow), OpenDirectory{}, out);
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].lease_ms, 1'000);
  EXPECT_EQ(out[1].lease_ms, 9'000);
  EXPECT_EQ(out[2].lease_ms, std::nullopt);
}

TEST(Plan, FreshnessTrustsTheBrokersTimeOnlyWhenTheBrokerStampedIt) {
  Alert a = make_alert(make_rule("r"), "a", 1, kNow);
  a.lag_ms = 7'000;
  a.broker_time_ms = kNow - 60'000;
  a.broker_time_is_append = true;
  EXPECT_EQ(freshness_base_ms(a), kNow - 60'000);
  a.broker_time_is_append = false;  // then it is the producer's own word
  EXPECT_EQ(freshness_base_ms(a), kNow - 7'000);
  a.broker_time_is_append = true;
  a.broker_time_ms = 0;
  EXPECT_EQ(freshness_base_ms(a), kNow - 7'000);
  a.lag_ms = -5;
  EXPECT_EQ(freshness_base_ms(a), kNow);
}

}  // namespace
}  // namespace fb
