// The response stages together with the record on disk: what a batch of alerts becomes, judged inside the transaction
// that keeps it, carried to agents and read back, across a restart.
#include <gtest/gtest.h>

#include "tests/unit/respond/store_fixture.h"

namespace fb {
namespace {

using test::make_rule;

class RespondRecordTest : public testing::Test, public test::StoreBench {
 protected:
  // One batch with one alert of the rule on each host.
  KeptBatch keep_on(const RuleMetaPtr& rule, const std::vector<std::string>& hosts) {
    std::vector<Alert> alerts;
    for (const std::string& host : hosts) alerts.push_back(alert(rule, host));
    last = {};
    keep(alerts);
    return last;
  }
  int isolated() {
    int count = 0;
    for (const auto& [id, agent] : agents) count += agent.state == Isolation::isolated ? 1 : 0;
    return count;
  }
  Endpoint row(const std::string& id) {
    const Result<std::vector<Endpoint>> all = store->endpoints();
    EXPECT_TRUE(all);
    for (const Endpoint& e : *all) {
      if (e.endpoint_id == id) return e;
    }
    ADD_FAILURE() << "no endpoint " << id;
    return {};
  }
};

TEST_F(RespondRecordTest, OneBadRuleOnAFleetOf500) {
  std::vector<std::string> hosts;
  for (int i = 0; i < 500; ++i) {
    hosts.push_back("h" + std::to_string(i));
    enroll(hosts.back());
  }
  const KeptBatch kept = keep_on(make_rule("bad"), hosts);
  EXPECT_EQ(kept.new_alerts, 500u);
  EXPECT_EQ(kept.intents, 5u);
  run();
  EXPECT_EQ(isolated(), 5);
  EXPECT_EQ(keep_on(make_rule("good"), {"h300"}).intents, 1u);
  run();
  EXPECT_EQ(isolated(), 6);
  EXPECT_EQ(agents.at("h300").state, Isolation::isolated);
  EXPECT_EQ(row("h300").observed, Isolation::isolated);
  EXPECT_EQ(row("h301").observed, Isolation::released);

  // The trip outlives the process, and ends when a person says so.
  open();
  clock.advance_ms(3'600'000);
  EXPECT_EQ(keep_on(make_rule("bad"), {"h450"}).intents, 0u);
  ASSERT_TRUE(store->reset_trip("bad", "jo", "the rule was mended"));
  EXPECT_EQ(keep_on(make_rule("bad"), {"h451"}).intents, 1u);
}

TEST_F(RespondRecordTest, IsolateReleaseAndCoolDown) {
  enroll("a1");
  EXPECT_EQ(keep_on(make_rule("r"), {"a1"}).intents, 1u);
  run();
  EXPECT_EQ(row("a1").observed, Isolation::isolated);
  EXPECT_EQ(keep_on(make_rule("other"), {"a1"}).intents, 0u);  // joins

  ActionRequest release;
  release.verb = Verb::release;
  release.endpoint_ids = {"a1"};
  release.requested_by = "user:jo";
  ASSERT_TRUE(store->submit(release));
  run();
  EXPECT_EQ(row("a1").observed, Isolation::released);
  EXPECT_EQ(agents.at("a1").state, Isolation::released);

  clock.advance_ms(11 * 60'000);
  EXPECT_EQ(keep_on(make_rule("r"), {"a1"}).intents, 0u);  // an hour for the same rule
  clock.advance_ms(30 * 60'000);
  EXPECT_EQ(keep_on(make_rule("r"), {"a1"}).intents, 0u);  // joins the one that now waits for a person
  EXPECT_EQ(keep_on(make_rule("third"), {"a1"}).intents, 1u);
}

TEST_F(RespondRecordTest, ProtectedUnknownAndStoppedNeverReachTheWire) {
  enroll("dc");
  enroll("a1");
  EXPECT_EQ(keep_on(make_rule("r", Severity::critical), {"dc", "nobody", ""}).intents, 0u);
  ASSERT_TRUE(store->set_kill_switch(true, "jo", "drill"));
  ASSERT_TRUE(kill_switch.refresh(*store));
  EXPECT_EQ(keep_on(make_rule("r"), {"a1"}).intents, 0u);
  run();
  EXPECT_EQ(isolated(), 0);
}

TEST_F(RespondRecordTest, AKillSwitchPulledAfterTheIntentStillStopsIt) {
  enroll("a1");
  EXPECT_EQ(keep_on(make_rule("r"), {"a1"}).intents, 1u);
  ASSERT_TRUE(store->set_kill_switch(true, "jo", "drill"));
  run();
  EXPECT_EQ(isolated(), 0);
  EXPECT_EQ(row("a1").desired, Isolation::released);
  const Result<std::vector<OpenAction>> open_rows = store->open_actions();
  ASSERT_TRUE(open_rows);
  EXPECT_TRUE(open_rows->empty());
}

TEST_F(RespondRecordTest, ARestartSendsAgainWhatItDoesNotKnowAndTheAgentObeysOnce) {
  enroll("a1");
  EXPECT_EQ(keep_on(make_rule("r"), {"a1"}).intents, 1u);
  ASSERT_TRUE(core->step());
  ASSERT_EQ(plugin.sent.size(), 1u);
  const Report lost = agents.at("a1").obey(plugin.last(), clock.wall_ms());
  static_cast<void>(lost);
  plugin.sent.clear();
  open();
  run();
  EXPECT_EQ(row("a1").observed, Isolation::isolated);
  EXPECT_EQ(agents.at("a1").applied.size(), 1u);
}

TEST_F(RespondRecordTest, ALeaseEndsByItself) {
  enroll("a1");
  auto rule = std::make_shared<RuleMeta>(*make_rule("r"));
  rule->response.lease_ms = 60'000;
  EXPECT_EQ(keep_on(rule, {"a1"}).intents, 1u);
  run();
  EXPECT_EQ(row("a1").observed, Isolation::isolated);
  EXPECT_GT(row("a1").lease_until_ms, 0);
  clock.advance_ms(61'000);
  run();
  run();
  EXPECT_EQ(row("a1").observed, Isolation::released);
  EXPECT_EQ(agents.at("a1").state, Isolation::released);
}

TEST_F(RespondRecordTest, ApprovalOverridesTheBudgetAndTheSecondPersonTheProtection) {
  enroll("a1");
  enroll("dc");
  settings.mode = Mode::approve;
  open();
  EXPECT_EQ(keep_on(make_rule("r"), {"a1"}).intents, 0u);
  ActionRequest isolate;
  isolate.verb = Verb::isolate;
  isolate.endpoint_ids = {"dc"};
  isolate.requested_by = "user:jo";
  Result<std::vector<ActionStore::Submitted>> refused = store->submit(isolate);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->at(0).state, ActionState::blocked);
  isolate.override_protected = true;
  const Result<std::vector<ActionStore::Submitted>> waits = store->submit(isolate);
  ASSERT_TRUE(waits);
  ASSERT_EQ(waits->at(0).state, ActionState::awaiting_approval);
  EXPECT_FALSE(store->decide(waits->at(0).action_id, true, "user:jo", "me again"));
  const Result<ActionState> agreed = store->decide(waits->at(0).action_id, true, "user:kim", "yes");
  ASSERT_TRUE(agreed) << agreed.error().describe();
  EXPECT_EQ(*agreed, ActionState::requested);
  run();
  EXPECT_EQ(agents.at("dc").state, Isolation::isolated);
  EXPECT_EQ(agents.at("a1").state, Isolation::released);
}

}  // namespace
}  // namespace fb
