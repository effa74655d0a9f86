// The dispatcher's timelines, on a fake clock.
#include "engine/respond/dispatch.h"

#include <gtest/gtest.h>

#include <memory>

#include "engine/base/failpoint.h"
#include "tests/support/fake_agent.h"
#include "tests/unit/respond/fixtures.h"

namespace fb {
namespace {

using test::FakeAction;
using test::FakeActionStore;
using test::FakeAgent;
using test::FakeClock;
using test::FakePlugin;
using test::make_manual;
using test::make_planned;
using test::make_rule;

using State = ActionState;

class DispatchTest : public testing::Test {
 protected:
  DispatchTest() : store(clock) {
    store.add_endpoint("a1");
    start("boot-1");
  }

  void start(const std::string& boot_id) {
    core = std::make_unique<DispatchCore>(store, plugin, kill_switch, clock, metrics, DispatchSettings{}, boot_id);
  }
  void step(std::vector<Report> reports = {}) {
    const Status s = core->step(std::move(reports));
    ASSERT_TRUE(s) << s.error().describe();
  }
  std::string isolate(const std::string& key = "k1", const std::string& endpoint = "a1") {
    const PlannedAction p = make_manual(Verb::isolate, endpoint, key);
    EXPECT_TRUE(store.keep(p));
    return p.action_id;
  }
  std::string release(const std::string& key = "r1", const std::string& endpoint = "a1") {
    const PlannedAction p = make_manual(Verb::release, endpoint, key);
    EXPECT_TRUE(store.keep(p));
    return p.action_id;
  }
  State state(const std::string& id) { return store.action(id).row.state; }
  Report say(Report::Kind kind, const std::string& id, Isolation observed = Isolation::unknown) {
    Report r;
    r.kind = kind;
    r.endpoint_id = store.action(id).row.endpoint_id;
    r.action_id = id;
    r.observed = observed;
    r.generation = store.action(id).row.generation;
    return r;
  }
  Report withheld(const std::string& id, int attempt) {
    Report r = say(Report::Kind::refused, id);
    r.withheld = Guard::protected_endpoint;
    r.attempt = attempt;
    r.message = std::string(kProtectedSince);
    return r;
  }
  // The whole way to an isolated, verified endpoint, by the agent's hand.
  std::string isolated(FakeAgent& agent) {
    const std::string id = isolate();
    step();
    step({agent.obey(plugin.last(), clock.wall_ms())});
    EXPECT_EQ(state(id), State::verified);
    return id;
  }
  // Time passes while the agent beats.
  void pass(int64_t ms, const FakeAgent* agent) {
    for (int64_t gone = 0; gone < ms; gone += 5'000) {
      clock.advance_ms(5'000);
      step(agent == nullptr ? std::vector<Report>{} : std::vector<Report>{agent->heartbeat()});
    }
  }

  FakeClock clock;
  FakeActionStore store;
  FakePlugin plugin;
  KillSwitch kill_switch;
  Metrics metrics;
  std::unique_ptr<DispatchCore> core;
};

TEST_F(DispatchTest, FromRequestToReadBack) {
  const std::string id = isolate();
  step();
  ASSERT_EQ(plugin.sent.size(), 1u);
  const Command& c = plugin.sent[0];
  EXPECT_EQ(c.action_id, id);
  EXPECT_EQ(c.verb, Verb::isolate);
  EXPECT_EQ(c.endpoint_id, "a1");
  EXPECT_EQ(c.generation, 1);
  EXPECT_EQ(c.expires_at_ms, store.action(id).row.expires_at_ms);
  EXPECT_EQ(state(id), State::dispatched);
  EXPECT_EQ(store.action(id).row.boot_id, "boot-1");
  step({say(Report::Kind::accepted, id)});
  EXPECT_EQ(state(id), State::accepted);
  step({say(Report::Kind::done, id, Isolation::isolated)});
  EXPECT_EQ(state(id), State::verified);
  EXPECT_EQ(store.at("a1").observed, Isolation::isolated);
  EXPECT_EQ(store.illegal_moves(), 0);
}

// The row must say "dispatched" before a byte leaves: at the moment of sending we look into the store.
TEST_F(DispatchTest, IsDispatchedOnRecordBeforeItIsSent) {
  struct Looking final : ActionPlugin {
    explicit Looking(FakeActionStore& s) : store(s) {}
    Result<SendOutcome> send(const Command& c) override {
      seen = store.action(c.action_id).row.state;
      attempts = store.action(c.action_id).row.attempts;
      return SendOutcome::sent;
    }
    FakeActionStore& store;
    State seen = State::requested;
    int attempts = 0;
  } looking(store);
  DispatchCore looks(store, looking, kill_switch, clock, metrics, DispatchSettings{}, "boot-1");
  isolate();
  ASSERT_TRUE(looks.step());
  EXPECT_EQ(looking.seen, State::dispatched);
  EXPECT_EQ(looking.attempts, 1);
}

TEST_F(DispatchTest, NothingIsSentWhenTheRecordRefusesTheRow) {
  const std::string id = isolate();
  store.fail_writes(1, {ErrorCode::no_space, Retry::yes, "disk full", ""});
  const Status s = core->step();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, ErrorCode::no_space);
  EXPECT_TRUE(plugin.sent.empty());
  EXPECT_EQ(state(id), State::requested);
  step();
  EXPECT_EQ(plugin.sent.size(), 1u);
}

TEST_F(DispatchTest, ReportsOutliveARecordThatRefusesThem) {
  const std::string id = isolate();
  step();
  store.fail_writes(1, {ErrorCode::busy, Retry::yes, "locked", ""});
  EXPECT_FALSE(core->step({say(Report::Kind::done, id, Isolation::isolated)}));
  EXPECT_EQ(core->reports_waiting(), 1u);
  step();
  EXPECT_EQ(state(id), State::verified);
}

TEST_F(DispatchTest, OneSickRowDoesNotHoldUpTheOthers) {
  store.add_endpoint("a2");
  const std::string sick = isolate("k1", "a1");
  const std::string well = isolate("k2", "a2");
  store.fail_writes(1, {ErrorCode::invalid_argument, Retry::no, "this row is wrong", ""});
  step();
  EXPECT_EQ(state(sick), State::requested);
  EXPECT_EQ(state(well), State::dispatched);
}

TEST_F(DispatchTest, PluginMayAcceptAtOnce) {
  plugin.outcome = SendOutcome::accepted;
  const std::string id = isolate();
  step();
  EXPECT_EQ(state(id), State::accepted);
}

TEST_F(DispatchTest, ReadingBackTheOtherStateIsAFailure) {
  const std::string id = isolate();
  step();
  step({say(Report::Kind::done, id, Isolation::released)});
  EXPECT_EQ(state(id), State::failed);
  EXPECT_EQ(store.at("a1").observed, Isolation::released);
}

TEST_F(DispatchTest, DoneWithoutAReadingIsNotVerifiedButTriedAgain) {
  const std::string id = isolate();
  step();
  step({say(Report::Kind::done, id)});
  EXPECT_NE(state(id), State::verified);
  clock.advance_ms(2'000);
  step();
  EXPECT_EQ(plugin.sent.size(), 2u);
  EXPECT_EQ(plugin.sent[1].action_id, id);
  EXPECT_EQ(state(id), State::dispatched);
}

TEST_F(DispatchTest, WhatTheEndpointCannotDoFails) {
  const std::string id = isolate();
  step();
  Report r = say(Report::Kind::failed, id);
  r.message = "nft is missing";
  step({r});
  EXPECT_EQ(state(id), State::failed);
  EXPECT_EQ(store.action(id).details.back(), "nft is missing");
}

TEST_F(DispatchTest, RefusedAsStaleIsSuperseded) {
  const std::string id = isolate();
  step();
  Report r = say(Report::Kind::refused, id);
  r.generation += 4;  // the endpoint's own
  step({r});
  EXPECT_EQ(state(id), State::superseded);

  const std::string second = isolate("k2");
  step();
  Report says_so = say(Report::Kind::refused, second);  // the command's, and the reason in words
  says_so.message = "stale: generation 1 is not newer than 4";
  step({says_so});
  EXPECT_EQ(state(second), State::superseded);
}

TEST_F(DispatchTest, RefusedForItsAgeIsExpired) {
  const std::string id = isolate();
  step();
  Report r = say(Report::Kind::refused, id);
  r.message = "expired";
  step({r});
  EXPECT_EQ(state(id), State::expired);
}

TEST_F(DispatchTest, ARefusalDoesNotMakeTheNextHeartbeatLookLate) {
  FakeAgent agent;
  isolated(agent);
  isolate("k2");
  step();
  Report r = say(Report::Kind::refused, plugin.last().action_id);
  r.message = "expired";
  step({r});
  agent.state = Isolation::released;  // still generation 1
  step({agent.heartbeat()});
  EXPECT_EQ(store.at("a1").observed, Isolation::released);
}

TEST_F(DispatchTest, RefusedForAnotherReasonFails) {
  const std::string id = isolate();
  step();
  step({say(Report::Kind::refused, id)});
  EXPECT_EQ(state(id), State::failed);
}

TEST_F(DispatchTest, ReportsOfOthersChangeNothing) {
  store.add_endpoint("a2");
  const std::string id = isolate();
  step();
  Report forged = say(Report::Kind::done, id, Isolation::isolated);
  forged.endpoint_id = "a2";
  Report stray = forged;
  stray.endpoint_id = "nobody";
  step({forged, stray});
  EXPECT_EQ(state(id), State::dispatched);
}

TEST_F(DispatchTest, AnswersSaidTwiceChangeNothingTheSecondTime) {
  const std::string id = isolate();
  step();
  const Report done = say(Report::Kind::done, id, Isolation::isolated);
  step({say(Report::Kind::accepted, id), say(Report::Kind::accepted, id), done, done, say(Report::Kind::accepted, id)});
  const std::vector<State> expected{State::requested, State::dispatched, State::accepted, State::verified};
  EXPECT_EQ(store.action(id).history, expected);
  EXPECT_EQ(store.illegal_moves(), 0);
}

TEST_F(DispatchTest, LostAnswerIsHealedByTheHeartbeat) {
  FakeAgent agent;
  const std::string id = isolate();
  step();
  agent.obey(plugin.last(), clock.wall_ms());  // the answer is lost
  step({agent.heartbeat()});
  EXPECT_EQ(state(id), State::verified);
}

TEST_F(DispatchTest, AHeartbeatFromBeforeTheActionVerifiesNothing) {
  FakeAgent agent;
  const std::string first = release();
  step();
  EXPECT_EQ(state(first), State::dispatched);
  step({agent.heartbeat()});  // released, but generation 0: it has not obeyed yet
  EXPECT_EQ(state(first), State::dispatched);
}

// --- silence and retries ---

TEST_F(DispatchTest, UnansweredIsUnknownAndSentAgainWithTheSameId) {
  FakeAgent agent;
  const std::string id = isolate();
  step();
  clock.advance_ms(14'999);
  step({agent.heartbeat()});
  EXPECT_EQ(state(id), State::dispatched);
  clock.advance_ms(1);
  step();
  EXPECT_EQ(state(id), State::unknown);
  clock.advance_ms(1'001);
  step();
  ASSERT_EQ(plugin.sent.size(), 2u);
  EXPECT_EQ(plugin.sent[1].action_id, id);
  EXPECT_EQ(plugin.sent[1].generation, plugin.sent[0].generation);
  EXPECT_EQ(state(id), State::dispatched);
}

TEST_F(DispatchTest, AcceptedWithoutAResultIsAskedAgain) {
  FakeAgent agent;
  const std::string id = isolate();
  step();
  step({say(Report::Kind::accepted, id)});
  pass(55'000, &agent);
  EXPECT_EQ(state(id), State::accepted);
  pass(15'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 2u);
}

// Taken again and again, and never done: told once, and pursued as before.
TEST_F(DispatchTest, WhatTheAgentTakesAndNeverDoesIsStuckAndTold) {
  FakeAgent agent;
  const std::string id = isolate();
  const auto told = [&] {
    const auto details = store.action(id).details;
    return std::count_if(details.begin(), details.end(), [](const auto& d) { return d.starts_with("stuck: "); });
  };
  for (int i = 0; i < 9 * 12; ++i) {
    pass(5'000, &agent);
    if (state(id) == State::dispatched) step({say(Report::Kind::accepted, id)});
  }
  EXPECT_EQ(told(), 0) << "not within ten minutes";
  EXPECT_GE(store.action(id).row.attempts, 3);
  for (int i = 0; i < 20 * 12; ++i) pass(5'000, &agent);
  EXPECT_EQ(told(), 1);
  EXPECT_NE(metrics.expose().find("\nfirebreak_actions_stuck 1\n"), std::string::npos);
  step({say(Report::Kind::done, id, Isolation::isolated)});
  EXPECT_EQ(state(id), State::verified);
  pass(5'000, &agent);
  EXPECT_NE(metrics.expose().find("\nfirebreak_actions_stuck 0\n"), std::string::npos);
  EXPECT_EQ(store.illegal_moves(), 0);
}

TEST_F(DispatchTest, WhatIsDoneAndNeverReadBackIsStuckToo) {
  FakeAgent agent;
  const std::string id = isolate();
  for (int i = 0; i < 15 * 12; ++i) {
    pass(5'000, nullptr);
    step({say(Report::Kind::done, id, Isolation::unknown), agent.heartbeat()});
  }
  EXPECT_EQ(store.action(id).row.stuck_at_ms > 0, true);
  EXPECT_NE(state(id), State::verified);
}

TEST_F(DispatchTest, AnActionThatWaitsForItsEndpointIsNotStuck) {
  const std::string id = isolate();
  step();
  for (int i = 0; i < 60; ++i) {
    clock.advance_ms(60'000);
    step();
  }
  EXPECT_EQ(store.at("a1").status, AgentStatus::offline);
  EXPECT_EQ(store.action(id).row.stuck_at_ms, 0);
}

// The plugin's own word, never the host's: what stands against it came after the sending and before the hand-out.
TEST_F(DispatchTest, WhatWasNeverHandedOutIsBlocked) {
  const std::string id = isolate();
  step();
  step({withheld(id, 1)});
  EXPECT_EQ(state(id), State::blocked);
  EXPECT_EQ(store.at("a1").desired, Isolation::released);

  // Nobody fetched it, again and again: it is in doubt by now, and blocked all the same.
  FakeAgent agent;
  const std::string second = isolate("k2");
  step();
  clock.advance_ms(15'000);
  step({agent.heartbeat()});
  clock.advance_ms(2'000);
  step({agent.heartbeat()});
  ASSERT_EQ(store.action(second).row.attempts, 2);
  clock.advance_ms(15'000);
  step({agent.heartbeat()});
  ASSERT_EQ(state(second), State::unknown);
  store.change_endpoint("a1", [](Endpoint& e) { e.is_protected = true; });
  clock.advance_ms(1'000);
  step({withheld(second, 1), agent.heartbeat()});
  EXPECT_EQ(state(second), State::unknown) << "of the first sending, and the second is looked at on its own";
  step({withheld(second, 2)});
  EXPECT_EQ(state(second), State::blocked);
  EXPECT_EQ(store.illegal_moves(), 0);
}

TEST_F(DispatchTest, WhatAnEarlierRunSentMayHaveArrivedAndIsNotBlocked) {
  const std::string id = isolate();
  step();
  start("boot-2");
  step();
  ASSERT_EQ(store.action(id).row.attempts, 2);
  store.change_endpoint("a1", [](Endpoint& e) { e.is_protected = true; });
  clock.advance_ms(1'000);
  step({withheld(id, 2)});
  EXPECT_EQ(state(id), State::unknown);
  EXPECT_EQ(store.illegal_moves(), 0);
}

TEST_F(DispatchTest, WordsOfAnAgentNeverStandForThePluginsOwn) {
  for (const std::string_view words : {kProtectedSince, kDuplicateSince}) {
    const std::string id = isolate(std::string(words));
    step();
    Report forged = say(Report::Kind::refused, id);
    forged.message = std::string(words);
    step({forged});
    EXPECT_EQ(state(id), State::failed);
  }
}

// What must not be sent again is not sent three times: only its age tells.
TEST_F(DispatchTest, WhatMayNotBeSentAgainIsStuckByItsAge) {
  FakeAgent agent;
  const std::string id = isolate();
  step();
  store.change_endpoint("a1", [](Endpoint& e) { e.is_protected = true; });
  pass(9 * 60'000, &agent);
  EXPECT_EQ(store.action(id).row.stuck_at_ms, 0);
  pass(2 * 60'000, &agent);
  EXPECT_EQ(store.action(id).row.attempts, 1);
  EXPECT_EQ(state(id), State::unknown);
  EXPECT_GT(store.action(id).row.stuck_at_ms, 0);
}

// Two machines under one identity: that it is done is said, and not believed.
TEST_F(DispatchTest, DoneThatIsNotBelievedLeavesTheActionInDoubtAndItIsOfferedAgain) {
  FakeAgent agent;
  isolated(agent);
  const std::string id = release();
  step();
  const size_t sent = plugin.sent.size();
  Report done = say(Report::Kind::done, id);
  done.generation = 0;
  step({done});
  EXPECT_EQ(state(id), State::unknown) << "though a later generation was heard of before";
  clock.advance_ms(5'000);
  step();
  EXPECT_EQ(plugin.sent.size(), sent + 1);
  EXPECT_EQ(store.at("a1").observed, Isolation::isolated);
}

TEST_F(DispatchTest, ErrorsThatPassAreRetriedWithGrowingBoundsAndOthersFail) {
  plugin.error = Error{ErrorCode::timeout, Retry::yes, "no answer", ""};
  const std::string id = isolate();
  const FakeAgent agent;
  int64_t longest = 0;
  for (int attempt = 1; attempt <= 12; ++attempt) {
    step({agent.heartbeat()});
    ASSERT_EQ(store.action(id).row.attempts, attempt);
    ASSERT_EQ(state(id), State::unknown);
    const int64_t wait = store.action(id).row.next_try_ms - clock.wall_ms();
    EXPECT_GE(wait, 0);
    EXPECT_LE(wait, std::min<int64_t>(1'000LL << (attempt - 1), 300'000));
    longest = std::max(longest, wait);
    if (wait > 0) {
      clock.advance_ms(wait - 1);
      step({agent.heartbeat()});
      ASSERT_EQ(store.action(id).row.attempts, attempt);  // not before its time
      clock.advance_ms(1);
    }
  }
  EXPECT_GT(longest, 10'000);
  plugin.error = Error{ErrorCode::refused, Retry::no, "403", ""};
  step({agent.heartbeat()});
  EXPECT_EQ(state(id), State::failed);
}

TEST_F(DispatchTest, APluginThatIsAwayQueuesTheAction) {
  plugin.error = Error{ErrorCode::unavailable, Retry::yes, "connection refused", ""};
  const std::string id = isolate();
  step();
  EXPECT_EQ(state(id), State::queued);
}

TEST_F(DispatchTest, ANewerCommandAtThePluginSupersedes) {
  plugin.error = Error{ErrorCode::conflict, Retry::no, "a newer one was sent", ""};
  const std::string id = isolate();
  step();
  EXPECT_EQ(state(id), State::superseded);
}

TEST_F(DispatchTest, WaitsFromBeforeTheClockWasSetBackDoNotLast) {
  plugin.error = Error{ErrorCode::timeout, Retry::yes, "no answer", ""};
  isolate();
  step();
  clock.jump_wall_ms(-3'600'000);
  step();
  EXPECT_EQ(plugin.sent.size(), 2u);
}

// --- offline ---

TEST_F(DispatchTest, SilentEndpointIsOfflineAndItsActionWaitsUntilItSpeaks) {
  FakeAgent agent;
  step();  // silence counts from when the service began to listen
  pass(30'000, nullptr);
  EXPECT_EQ(store.at("a1").status, AgentStatus::online);
  pass(5'000, nullptr);
  EXPECT_EQ(store.at("a1").status, AgentStatus::offline);
  const std::string id = isolate();
  step();
  EXPECT_EQ(state(id), State::queued);
  pass(3'600'000, nullptr);
  EXPECT_TRUE(plugin.sent.empty());
  step({agent.heartbeat()});
  EXPECT_EQ(store.at("a1").status, AgentStatus::online);
  ASSERT_EQ(plugin.sent.size(), 1u);
  step({agent.obey(plugin.last(), clock.wall_ms())});
  EXPECT_EQ(state(id), State::verified);
  pass(600'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 1u) << "once";
}

TEST_F(DispatchTest, WallClockJumpsTakeNobodyOffline) {
  FakeAgent agent;
  step({agent.heartbeat()});
  clock.jump_wall_ms(400LL * 24 * 3'600'000);
  step();
  EXPECT_EQ(store.at("a1").status, AgentStatus::online);
}

TEST_F(DispatchTest, WhatIsNotDeliveredInFourteenDaysExpiresAndIsNotWantedAnyMore) {
  FakeAgent agent;
  step();
  pass(35'000, nullptr);
  const std::string id = isolate();
  step();
  clock.advance_ms(FakeActionStore::kExpiryMs);
  step();
  EXPECT_EQ(state(id), State::expired);
  step({agent.heartbeat()});
  pass(120'000, &agent);
  EXPECT_TRUE(plugin.sent.empty());  // a late agent does not apply it
  EXPECT_EQ(store.at("a1").desired, Isolation::released);
}

TEST_F(DispatchTest, PluginThatFindsTheEndpointGoneQueuesTheAction) {
  plugin.outcome = SendOutcome::offline;
  FakeAgent agent;
  const std::string id = isolate();
  step();
  EXPECT_EQ(state(id), State::queued);
  plugin.outcome = SendOutcome::sent;
  pass(5'000, &agent);
  EXPECT_EQ(state(id), State::dispatched);
}

TEST_F(DispatchTest, AnActionOnAnEndpointThatIsGoneFails) {
  const std::string id = isolate();
  store.change_action(id, [](FakeAction& a) { a.row.endpoint_id = "gone"; });
  step();
  EXPECT_EQ(state(id), State::failed);
}

// --- checks before sending ---

TEST_F(DispatchTest, KillSwitchStopsIsolationsButNoRelease) {
  store.add_endpoint("a2");
  const std::string stopped = isolate("k1", "a1");
  const std::string goes = release("r1", "a2");
  ASSERT_TRUE(store.set_kill_switch(true, "jo", "test"));
  step();
  EXPECT_EQ(state(stopped), State::blocked);
  EXPECT_EQ(state(goes), State::dispatched);
  ASSERT_EQ(plugin.sent.size(), 1u);
  EXPECT_EQ(plugin.sent[0].verb, Verb::release);
}

TEST_F(DispatchTest, KillSwitchThatCannotBeReadHoldsIsolations) {
  const std::string id = isolate();
  store.make_kill_switch_unreadable(true);
  step();
  EXPECT_TRUE(plugin.sent.empty());
  EXPECT_EQ(state(id), State::blocked);
}

TEST_F(DispatchTest, KillSwitchPulledAfterSendingStopsTheNextTry) {
  FakeAgent agent;
  const std::string id = isolate();
  step();
  ASSERT_TRUE(store.set_kill_switch(true, "jo", "test"));
  pass(60'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 1u);
  EXPECT_EQ(state(id), State::unknown);  // it may have arrived: nobody calls it blocked
  ASSERT_TRUE(store.set_kill_switch(false, "jo", "test"));
  pass(5'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 2u);
}

TEST_F(DispatchTest, EndpointThatBecameProtectedIsNotIsolated) {
  const std::string id = isolate();
  store.change_endpoint("a1", [](Endpoint& e) { e.is_protected = true; });
  step();
  EXPECT_EQ(state(id), State::blocked);
  EXPECT_TRUE(plugin.sent.empty());
}

TEST_F(DispatchTest, ApprovedOverrideReachesAProtectedEndpoint) {
  const std::string id = isolate();
  store.change_endpoint("a1", [](Endpoint& e) { e.is_protected = true; });
  store.change_action(id, [](FakeAction& a) { a.row.override_protected = true; });
  step();
  EXPECT_EQ(state(id), State::dispatched);
}

TEST_F(DispatchTest, ReleaseOvertakesAnIsolationThatWasNotSent) {
  const std::string first = isolate();
  const std::string second = release();
  step();
  EXPECT_EQ(state(first), State::superseded);
  ASSERT_EQ(plugin.sent.size(), 1u);
  EXPECT_EQ(plugin.sent[0].action_id, second);
  EXPECT_EQ(plugin.sent[0].expires_at_ms, 0);  // a release is never refused for time
}

// The view of the endpoints may be a second old; the actions are always read.
TEST_F(DispatchTest, WithinTheSameSecondNewEndpointsAndNewerActionsAreSeen) {
  step();
  store.add_endpoint("a2");
  const std::string id = isolate("k2", "a2");
  step();
  EXPECT_EQ(state(id), State::dispatched);
  const std::string first = isolate("k3");
  const std::string second = release("r3");
  plugin.sent.clear();
  step();
  EXPECT_EQ(state(first), State::superseded);
  ASSERT_EQ(plugin.sent.size(), 1u);
  EXPECT_EQ(plugin.sent[0].action_id, second);
}

TEST_F(DispatchTest, LateAnswerOfAnOvertakenIsolationDoesNotShowIsolated) {
  FakeAgent agent;
  const std::string first = isolate();
  step();
  const Report late = agent.obey(plugin.last(), clock.wall_ms());
  release();
  step();
  step({agent.obey(plugin.last(), clock.wall_ms())});
  EXPECT_EQ(store.at("a1").observed, Isolation::released);
  step({late});
  EXPECT_EQ(store.at("a1").observed, Isolation::released);
  EXPECT_EQ(state(first), State::superseded);
}

// --- restart ---

TEST_F(DispatchTest, WhatAnEarlierRunSentIsInDoubtAndSentAgainWithTheSameId) {
  FakeAgent agent;
  const std::string id = isolate();
  step();
  agent.obey(plugin.last(), clock.wall_ms());
  start("boot-2");
  step();
  ASSERT_EQ(plugin.sent.size(), 2u);
  EXPECT_EQ(plugin.sent[1].action_id, id);
  const std::vector<State> expected{State::requested, State::dispatched, State::unknown, State::dispatched};
  EXPECT_EQ(store.action(id).history, expected);
  EXPECT_EQ(store.action(id).row.boot_id, "boot-2");
  step({agent.obey(plugin.last(), clock.wall_ms())});
  EXPECT_EQ(state(id), State::verified);
  EXPECT_EQ(agent.applied.size(), 1u);  // the agent knew the id
}

TEST_F(DispatchTest, DyingBetweenTheRowAndTheBytesLosesNothing) {
  for (const char* point : {"dispatch.before_send:1:err", "dispatch.after_send:1:err"}) {
    FakeAgent agent("a1");
    const std::string id = isolate(point);
    ASSERT_TRUE(arm_failpoint(point));
    EXPECT_FALSE(core->step()) << point;
    ASSERT_TRUE(arm_failpoint(""));
    EXPECT_EQ(state(id), State::dispatched) << point;
    start("boot after " + std::string(point));
    step();
    EXPECT_EQ(plugin.last().action_id, id);
    step({say(Report::Kind::done, id, Isolation::isolated)});
    EXPECT_EQ(state(id), State::verified);
    const std::string undo = release(std::string("undo ") + point);
    step();
    step({say(Report::Kind::done, undo, Isolation::released)});
  }
}

// --- leases ---

TEST_F(DispatchTest, LeaseEndsInAReleaseOfItsOwn) {
  FakeAgent agent;
  PlannedAction p = make_planned(make_rule("r"), "a1", 1, clock.wall_ms());
  p.lease_ms = 60'000;
  ASSERT_TRUE(store.keep(p));
  step();
  EXPECT_EQ(plugin.last().lease_ms, 60'000);
  step({agent.obey(plugin.last(), clock.wall_ms())});
  pass(55'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 1u);
  pass(10'000, &agent);
  ASSERT_EQ(plugin.sent.size(), 2u);
  EXPECT_EQ(plugin.last().verb, Verb::release);
  EXPECT_EQ(plugin.last().generation, 2);
  step({agent.obey(plugin.last(), clock.wall_ms())});
  pass(300'000, &agent);
  EXPECT_EQ(store.at("a1").observed, Isolation::released);
  EXPECT_EQ(store.all_actions().size(), 2u);  // one release, not one a second
  EXPECT_EQ(store.all_actions()[1].planned.requested_by, "lease");
}

TEST_F(DispatchTest, LeaseThatEndedWhileTheEndpointSleptReleasesItOnReturn) {
  FakeAgent agent;
  PlannedAction p = make_planned(make_rule("r"), "a1", 1, clock.wall_ms());
  p.lease_ms = 60'000;
  ASSERT_TRUE(store.keep(p));
  step();
  step({agent.obey(plugin.last(), clock.wall_ms())});
  pass(600'000, nullptr);
  EXPECT_EQ(plugin.sent.size(), 1u);
  step({agent.heartbeat()});
  ASSERT_EQ(plugin.sent.size(), 2u);
  step({agent.obey(plugin.last(), clock.wall_ms())});
  EXPECT_EQ(agent.state, Isolation::released);
}

// --- repair ---

TEST_F(DispatchTest, EndpointThatLostItsIsolationIsToldAgainWithTheCurrentGeneration) {
  FakeAgent agent;
  isolated(agent);
  agent.state = Isolation::released;  // somebody flushed the rules
  step({agent.heartbeat()});
  EXPECT_EQ(store.at("a1").observed, Isolation::released);
  EXPECT_EQ(plugin.sent.size(), 1u);
  pass(15'000, &agent);
  ASSERT_EQ(plugin.sent.size(), 2u);
  EXPECT_EQ(plugin.last().verb, Verb::isolate);
  EXPECT_EQ(plugin.last().generation, 1);
  EXPECT_NE(plugin.last().action_id, plugin.sent[0].action_id);
  step({agent.obey(plugin.last(), clock.wall_ms())});
  EXPECT_EQ(store.at("a1").observed, Isolation::isolated);
  pass(600'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 2u);
}

TEST_F(DispatchTest, RepairsGrowRarer) {
  FakeAgent agent;
  isolated(agent);
  agent.state = Isolation::released;
  pass(3'600'000, &agent);  // it never gets better
  EXPECT_GE(plugin.sent.size(), 10u);
  EXPECT_LE(plugin.sent.size(), 25u);
}

TEST_F(DispatchTest, RepairAlsoWorksAfterARestart) {
  FakeAgent agent;
  isolated(agent);
  start("boot-2");
  agent.state = Isolation::released;
  pass(30'000, &agent);
  EXPECT_GE(plugin.sent.size(), 2u);
}

TEST_F(DispatchTest, RepairStopsForTheKillSwitchAndProtection) {
  FakeAgent agent;
  isolated(agent);
  agent.state = Isolation::released;
  ASSERT_TRUE(store.set_kill_switch(true, "jo", "test"));
  pass(120'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 1u);
  ASSERT_TRUE(store.set_kill_switch(false, "jo", "test"));
  store.change_endpoint("a1", [](Endpoint& e) { e.is_protected = true; });
  pass(120'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 1u);
}

TEST_F(DispatchTest, ReleaseThatFailedIsGivenAgainAsANewAction) {
  FakeAgent agent;
  isolated(agent);
  const std::string id = release();
  step();
  agent.fails = true;
  step({agent.obey(plugin.last(), clock.wall_ms())});
  EXPECT_EQ(state(id), State::failed);
  agent.fails = false;
  pass(20'000, &agent);
  step();
  EXPECT_EQ(plugin.last().verb, Verb::release);
  EXPECT_EQ(plugin.last().generation, 3);
  step({agent.obey(plugin.last(), clock.wall_ms())});
  EXPECT_EQ(agent.state, Isolation::released);
  EXPECT_EQ(store.at("a1").observed, Isolation::released);
}

// Done, unheard of, out of time, and then the service died: only the record still knows that it gave that command.
TEST_F(DispatchTest, ExpiredIsolationThatTookHoldIsReleasedAfterARestart) {
  store.tell_orders(true);
  FakeAgent agent;
  const std::string id = isolate();
  step();
  agent.obey(plugin.last(), clock.wall_ms());
  store.change_action(id, [this](FakeAction& a) { a.row.expires_at_ms = clock.wall_ms(); });
  step();
  EXPECT_EQ(state(id), State::expired);
  start("boot-2");
  pass(30'000, &agent);
  EXPECT_EQ(plugin.last().verb, Verb::release);
  step({agent.obey(plugin.last(), clock.wall_ms())});
  EXPECT_EQ(agent.state, Isolation::released);
}

TEST_F(DispatchTest, AnEndpointThatCameIsolatedIsLeftToAPerson) {
  store.tell_orders(true);
  FakeAgent agent;
  agent.state = Isolation::isolated;
  pass(120'000, &agent);
  EXPECT_TRUE(plugin.sent.empty());
}

TEST_F(DispatchTest, ALocalReleaseThatTheRecordKnowsIsNotUndone) {
  FakeAgent agent;
  isolated(agent);
  agent.state = Isolation::released;  // break-glass; the gateway has told the record
  store.change_endpoint("a1", [](Endpoint& e) { e.desired = Isolation::released; });
  pass(120'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 1u);
}

// --- a record restored from a copy ---

TEST_F(DispatchTest, RestoredRecordNeitherReleasesNorIsolatesByItself) {
  FakeAgent agent;
  agent.state = Isolation::isolated;  // by an action that the copy does not have
  agent.generation = 7;
  pass(120'000, &agent);
  EXPECT_TRUE(plugin.sent.empty());
  EXPECT_EQ(store.at("a1").observed, Isolation::isolated);
  EXPECT_EQ(store.at("a1").generation, 7);
}

TEST_F(DispatchTest, RestoredRecordDoesNotIsolateAgainWhatWasReleasedSince) {
  FakeAgent agent;
  isolated(agent);  // the copy was made here; a release and more came after it
  agent.obey({"lost", Verb::release, "a1", 7, "", 0, 0}, 0);
  pass(120'000, &agent);
  EXPECT_EQ(plugin.sent.size(), 1u);
  EXPECT_EQ(agent.state, Isolation::released);
}

TEST_F(DispatchTest, RestoredRecordCanAlwaysRelease) {
  FakeAgent agent;
  agent.obey({"lost", Verb::isolate, "a1", 7, "", 0, 0}, 0);
  ASSERT_EQ(agent.state, Isolation::isolated);
  release();  // generation 1, before the agent was heard
  step();
  for (int i = 0; i < 3 && agent.state == Isolation::isolated; ++i) {
    step({agent.obey(plugin.last(), clock.wall_ms())});
  }
  EXPECT_EQ(agent.state, Isolation::released);
  EXPECT_EQ(plugin.last().generation, 8);
}

TEST_F(DispatchTest, RestoredRecordReleasesThoughTheHeartbeatComesFirst) {
  FakeAgent agent;
  agent.obey({"lost", Verb::isolate, "a1", 7, "", 0, 0}, 0);
  store.change_endpoint("a1", [](Endpoint& e) { e.status = AgentStatus::offline; });
  const std::string id = release();
  step();
  EXPECT_EQ(state(id), State::queued);
  step({agent.heartbeat()});
  step({agent.heartbeat()});
  step({agent.heartbeat()});
  ASSERT_FALSE(plugin.sent.empty());
  step({agent.obey(plugin.last(), clock.wall_ms())});
  EXPECT_EQ(agent.state, Isolation::released);
  EXPECT_EQ(store.illegal_moves(), 0);
}

}  // namespace
}  // namespace fb
