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

// Answered with "successful" it would be a lie: the host is open.
TEST_F(RespondRecordTest, APersonsIsolationOfAHostThatDriftedGoesOutAnew) {
  for (const Isolation is_now : {Isolation::released, Isolation::unknown}) {
    const std::string id = is_now == Isolation::released ? "a1" : "a2";
    enroll(id);
    const std::string first = ask_for(Verb::isolate, id).action_id;
    run();
    ASSERT_EQ(state(first), "verified/");
    EXPECT_EQ(ask_for(Verb::isolate, id).action_id, first) << "as long as it holds";

    agents.at(id).state = Isolation::released;
    EndpointReport told;
    told.endpoint_id = id;
    told.host_id = "host-of-" + id;
    told.hostname = id;
    told.os = "linux";
    told.observed = is_now;
    told.generation = agents.at(id).generation;
    told.at_ms = clock.wall_ms();
    ASSERT_TRUE(store->seen(told));
    EXPECT_EQ(said(keep(make_rule("r"), id)), "joined/in_flight") << "repairing it is not a rule's";
    const ActionStore::Submitted again = ask_for(Verb::isolate, id);
    EXPECT_NE(again.action_id, first);
    EXPECT_EQ(again.state, ActionState::requested);
    EXPECT_EQ(ask_for(Verb::isolate, id).action_id, again.action_id) << "one on its way is enough";
    run();
    EXPECT_EQ(state(again.action_id), "verified/");
    EXPECT_EQ(agents.at(id).state, Isolation::isolated);
    EXPECT_EQ(row(id).observed, Isolation::isolated);
    EXPECT_EQ(ask_for(Verb::isolate, id).action_id, again.action_id);
  }
}

// The longer wish holds, whether it comes first or last, and whether the first is done by then.
TEST_F(RespondRecordTest, APersonsIsolationThatLastsLongerDoesNotEndWithTheShorterOne) {
  constexpr int64_t kMinute = 60'000;
  const auto leased = [&](const std::string& id, std::optional<int64_t> lease) {
    ActionRequest r;
    r.verb = Verb::isolate;
    r.endpoint_ids = {id};
    r.requested_by = "user:jo";
    r.lease_ms = lease;
    return store->submit(r).value().at(0);
  };
  const auto by_rule = [&](const std::string& id, int64_t lease) {
    return keep(test::changed(make_rule("r-" + id), [&](RuleMeta& r) { r.response.lease_ms = lease; }), id);
  };
  const auto pass = [&](int64_t minutes) {
    for (int64_t i = 0; i < minutes; ++i) {
      clock.advance_ms(kMinute);
      for (auto& [id, agent] : agents) agent.tick(clock.wall_ms());
      run();
    }
  };
  for (const bool done : {true, false}) {
    const std::string n = done ? "1" : "2";
    for (const char* id : {"hours", "ever", "short"}) enroll(id + n);
    const std::string first = by_rule("hours" + n, 30 * kMinute);
    by_rule("ever" + n, 30 * kMinute);
    const std::string longest = by_rule("short" + n, 90 * kMinute);
    if (done) run();
    const auto hours = leased("hours" + n, 240 * kMinute);
    const auto ever = leased("ever" + n, std::nullopt);
    EXPECT_EQ(leased("short" + n, 60 * kMinute).action_id, longest) << "the rule's lasts longer";
    EXPECT_EQ(leased("short" + n, 90 * kMinute).action_id, longest) << "as long";
    EXPECT_EQ(hours.state, ActionState::requested);
    EXPECT_EQ(ever.state, ActionState::requested);
    EXPECT_EQ(said(by_rule("hours" + n, 900 * kMinute)), "joined/in_flight") << "a rule lengthens nothing";
    run();
    EXPECT_EQ(state(hours.action_id), "verified/");
    EXPECT_EQ(state(first), done ? "verified/" : "superseded/");
    EXPECT_EQ(row("hours" + n).lease_until_ms, clock.wall_ms() + 240 * kMinute);
    EXPECT_EQ(row("ever" + n).lease_until_ms, 0);
    EXPECT_EQ(row("short" + n).lease_until_ms, clock.wall_ms() + 90 * kMinute);
    pass(45);
    for (const char* id : {"hours", "ever", "short"}) {
      EXPECT_EQ(agents.at(id + n).state, Isolation::isolated) << id + n;
      EXPECT_EQ(row(id + n).desired, Isolation::isolated) << id + n;
    }
    pass(200);
    EXPECT_EQ(row("hours" + n).observed, Isolation::released);
    EXPECT_EQ(row("short" + n).observed, Isolation::released);
    EXPECT_EQ(row("ever" + n).observed, Isolation::isolated);
  }
}

// The first lease ends while the longer isolation waits for its endpoint.
TEST_F(RespondRecordTest, TheEndOfALeaseVoidsNoLaterIsolation) {
  constexpr int64_t kMinute = 60'000;
  enroll("a1");
  ActionRequest r;
  r.verb = Verb::isolate;
  r.endpoint_ids = {"a1"};
  r.requested_by = "user:jo";
  r.lease_ms = 30 * kMinute;
  ASSERT_TRUE(store->submit(r));
  run();
  plugin.outcome = SendOutcome::offline;
  r.lease_ms = 240 * kMinute;
  const std::string longer = store->submit(r).value().at(0).action_id;
  for (int i = 0; i < 40; ++i) {
    clock.advance_ms(kMinute);
    ASSERT_TRUE(core->step({}));
  }
  plugin.sent.clear();
  agents.at("a1").tick(clock.wall_ms());
  EXPECT_EQ(agents.at("a1").state, Isolation::released);
  EXPECT_EQ(number("SELECT count(*) FROM actions WHERE verb = 'release'"), 0);
  plugin.outcome = SendOutcome::sent;
  for (int i = 0; i < 20; ++i) {
    clock.advance_ms(kMinute);
    run();
  }
  EXPECT_EQ(state(longer), "verified/");
  EXPECT_EQ(agents.at("a1").state, Isolation::isolated);
}

// A host that drifted is isolated anew for at least as long as it was to be.
TEST_F(RespondRecordTest, AnIsolationAnewShortensNothing) {
  enroll("a1");
  ask_for(Verb::isolate, "a1");
  run();
  agents.at("a1").state = Isolation::released;
  ASSERT_TRUE(core->step({agents.at("a1").heartbeat()}));
  plugin.sent.clear();
  ActionRequest r;
  r.verb = Verb::isolate;
  r.endpoint_ids = {"a1"};
  r.requested_by = "user:jo";
  r.lease_ms = 60'000;
  const ActionStore::Submitted again = store->submit(r).value().at(0);
  EXPECT_EQ(again.state, ActionState::requested);
  EXPECT_EQ(number("SELECT lease_ms FROM actions WHERE action_id = '" + again.action_id + "'"), 0);
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
