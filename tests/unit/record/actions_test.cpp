// The life of actions: people's requests, approvals, moves, and what they do to the endpoint.
#include <atomic>
#include <thread>

#include "tests/unit/record/record_fixture.h"

namespace fb::test {
namespace {

using S = ActionState;

class Actions : public RecordTest {
 protected:
  ActionStore::Submitted submit_one(const ActionRequest& r) {
    const auto done = store_->submit(r);
    EXPECT_TRUE(done) << done.error().describe();
    EXPECT_EQ(done ? done->size() : 0, 1u);
    return done && !done->empty() ? done->front() : ActionStore::Submitted{};
  }
  std::string endpoint(const std::string& columns, const std::string& id = "ep-1") {
    return ask("SELECT " + columns + " FROM endpoints WHERE endpoint_id = '" + id + "'");
  }
  std::string state(const std::string& id) { return ask("SELECT state FROM actions WHERE action_id = '" + id + "'"); }
};

TEST_F(Actions, RequestForManyEndpointsHasOneIdOverOneActionEach) {
  open();
  enroll("ep-1");
  enroll("ep-2");
  judge_.answer = join_open;
  const auto done = store_->submit(request(Verb::isolate, {"ep-1", "ep-2", "ep-1", "ghost"})).value();
  ASSERT_EQ(done.size(), 3u);
  EXPECT_EQ(done[0].request_id, done[1].request_id);
  EXPECT_NE(done[0].action_id, done[1].action_id);
  EXPECT_EQ(done[0].state, S::requested);
  EXPECT_EQ(done[2].endpoint_id, "ghost");
  EXPECT_EQ(done[2].state, S::blocked);
  EXPECT_EQ(done[2].guard, "unknown_target");
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'judged' AND actor = 'user:ada'"), 3);
}

TEST_F(Actions, RequestWithoutEndpointsIsRefused) {
  open();
  for (const ActionRequest& r : {request(Verb::isolate, {}), request(Verb::isolate, {""})}) {
    const auto done = store_->submit(r);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::invalid_argument);
  }
}

TEST_F(Actions, SameIdempotencyKeyIsTheSameAction) {
  open();
  enroll("ep-1");
  ActionRequest r = request(Verb::isolate, {"ep-1"});
  r.idempotency_key = "k-1";
  const auto first = submit_one(r);
  const auto again = submit_one(r);
  EXPECT_EQ(again.action_id, first.action_id);
  EXPECT_EQ(again.request_id, first.request_id);
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 1);
  EXPECT_EQ(judge_.asked, 1);
  ASSERT_TRUE(step(first.action_id, {S::requested}, S::dispatched));
  EXPECT_EQ(submit_one(r).state, S::dispatched) << "the answer tells how it stands now";
  for (int i = 0; i < 3; ++i) {
    ActionRequest other = r;
    if (i == 0) other.comment = "something else";
    if (i == 1) other.verb = Verb::release;
    if (i == 2) other.endpoint_ids.push_back("ep-2");
    const auto refused = store_->submit(other);
    ASSERT_FALSE(refused) << i;
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  }
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 1);
}

// Else somebody could hold back another's request, or the service's own releases, whose keys can be guessed.
TEST_F(Actions, EverybodysIdempotencyKeysAreTheirOwn) {
  open();
  enroll("ep-1");
  ActionRequest r = request(Verb::release, {"ep-1"});
  r.idempotency_key = "ep-1:1:expiry";
  const auto first = submit_one(r);
  for (const char* who : {"lease", "repair", "user:bob", R"(user:ada","x)"}) {
    ActionRequest other = r;
    other.requested_by = who;
    EXPECT_FALSE(store_->request_of_key(other).value()) << who;
    const auto done = submit_one(other);
    EXPECT_NE(done.action_id, first.action_id) << who;
    EXPECT_EQ(done.state, S::requested) << who;
    EXPECT_EQ(submit_one(other).request_id, done.request_id) << who;
    EXPECT_EQ(store_->request_of_key(other).value(), done.request_id) << who;
  }
  EXPECT_EQ(submit_one(r).request_id, first.request_id);
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 5);
}

TEST_F(Actions, KeyThatLooksLikeAnAlertTakesNoActionFromIt) {
  open();
  enroll("ep-1");
  const BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  ActionRequest r = request(Verb::isolate, {"ep-1"});
  r.idempotency_key = b.alerts[0].alert_id;
  EXPECT_NE(submit_one(r).action_id, b.planned[0].action_id);
  EXPECT_EQ(keep(b).intents, 1u);
}

TEST_F(Actions, RequestThatJoinsAnswersWithTheOpenAction) {
  open();
  enroll("ep-1");
  judge_.answer = join_open;
  const BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  keep(b);
  ActionRequest r = request(Verb::isolate, {"ep-1"});
  r.alert_ids = {"some-alert"};
  const auto joined = submit_one(r);
  EXPECT_EQ(joined.action_id, b.planned[0].action_id);
  EXPECT_EQ(joined.guard, "in_flight");
  auto reader = record::Reader::open(db()).value();
  record::ActionFilter by_request;
  by_request.request_ids = {joined.request_id};
  const auto found = reader->actions(by_request).value();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].action_id, b.planned[0].action_id);
  EXPECT_EQ(found[0].alert_ids.size(), 2u);
}

TEST_F(Actions, IsolatedOnlyWhenReadBack) {
  open();
  enroll("ep-1");
  const auto a = submit_one(request(Verb::isolate, {"ep-1"}));
  EXPECT_EQ(endpoint("desired || '/' || observed"), "isolated/released");
  ASSERT_TRUE(step(a.action_id, {S::requested}, S::dispatched));
  ASSERT_TRUE(step(a.action_id, {S::dispatched}, S::accepted));
  EXPECT_EQ(endpoint("desired || '/' || observed"), "isolated/released");
  ActionMove m;
  m.action_id = a.action_id;
  m.from = {S::accepted};
  m.to = S::verified;
  for (const std::optional<Isolation> said :
       {std::optional<Isolation>{}, std::optional(Isolation::released), std::optional(Isolation::unknown)}) {
    m.observed = said;
    const auto moved = store_->move(m);
    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_EQ(state(a.action_id), "accepted");
  m.observed = Isolation::isolated;
  EXPECT_TRUE(store_->move(m).value());
  EXPECT_EQ(endpoint("desired || '/' || observed || '/' || (standing_isolate = '" + a.action_id + "')"),
            "isolated/isolated/1");
  EXPECT_EQ(count("SELECT finished_at > 0 FROM actions"), 1);
}

TEST_F(Actions, MoveIsMadeOnlyFromTheNamedStates) {
  open();
  enroll("ep-1");
  const auto a = submit_one(request(Verb::isolate, {"ep-1"}));
  const int64_t audit = count("SELECT count(*) FROM audit");
  EXPECT_FALSE(step(a.action_id, {S::queued, S::dispatched}, S::accepted));
  EXPECT_EQ(count("SELECT count(*) FROM audit"), audit);
  ActionMove illegal;
  illegal.action_id = a.action_id;
  illegal.from = {S::requested};
  illegal.to = S::denied;
  const auto refused = store_->move(illegal);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  illegal.action_id = "nothing";
  EXPECT_EQ(store_->move(illegal).error().code, ErrorCode::not_found);
  EXPECT_EQ(state(a.action_id), "requested");
}

TEST_F(Actions, AttemptsBootAndNextTryAreKept) {
  open();
  enroll("ep-1");
  const auto a = submit_one(request(Verb::isolate, {"ep-1"}));
  ActionMove m;
  m.action_id = a.action_id;
  m.from = {S::requested};
  m.to = S::dispatched;
  m.boot_id = "boot-1";
  m.count_attempt = true;
  m.next_try_ms = 77;
  ASSERT_TRUE(store_->move(m).value());
  clock_.advance_ms(5000);
  m.from = {S::dispatched};  // stays where it is: only the times change
  m.boot_id = "";
  m.next_try_ms = 99;
  ASSERT_TRUE(store_->move(m).value());
  const auto list = store_->open_actions().value();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].boot_id, "boot-1");
  EXPECT_EQ(list[0].attempts, 2);
  EXPECT_EQ(list[0].next_try_ms, 99);
  EXPECT_EQ(list[0].state, S::dispatched);
  EXPECT_EQ(count("SELECT dispatched_at - created_at FROM actions"), 0) << "the first sending counts";
}

TEST_F(Actions, ReleaseEndsTheIsolationAndRemembersWhose) {
  open();
  enroll("ep-1");
  const BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  keep(b);
  isolate_fully(b.planned[0].action_id);
  clock_.advance_ms(1000);
  const auto release = submit_one(request(Verb::release, {"ep-1"}));
  Ledger::EndpointFacts facts;
  judge_.answer = [&](const PlannedAction& a, Ledger& ledger, int64_t) -> Result<Judgement> {
    FB_TRY(facts, ledger.endpoint(a.endpoint_id));
    return ScriptedJudge::says(Verdict::blocked, Guard::cooldown, "");
  };
  keep(batch(rule("r2"), "ep-1", 1));
  EXPECT_EQ(facts.released_at_ms, clock_.wall_ms()) << "the cool-down begins with the wish";
  EXPECT_EQ(facts.released_rule, "r1");
  EXPECT_EQ(facts.standing_isolate, "") << "nothing joins an isolation that is about to end";
  EXPECT_EQ(facts.desired, Isolation::released);
  EXPECT_EQ(facts.observed, Isolation::isolated);
  release_fully(release.action_id);
  EXPECT_EQ(
      endpoint("desired || '/' || observed || '/' || generation || '/' || standing_isolate || '/' || released_rule"),
      "released/released/2//r1");
}

TEST_F(Actions, ReleaseOvertakesAnIsolateThatWasNotSent) {
  open();
  enroll("ep-1");
  const auto isolate = submit_one(request(Verb::isolate, {"ep-1"}));
  const auto release = submit_one(request(Verb::release, {"ep-1"}));
  EXPECT_EQ(state(isolate.action_id), "superseded");
  EXPECT_FALSE(step(isolate.action_id, {S::requested, S::queued}, S::dispatched)) << "it can't be sent any more";
  const auto list = store_->open_actions().value();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].action_id, release.action_id);
  EXPECT_EQ(list[0].generation, 2);
}

TEST_F(Actions, LateAnswerAboutAnOvertakenIsolateChangesNoState) {
  open();
  enroll("ep-1");
  const auto isolate = submit_one(request(Verb::isolate, {"ep-1"}));
  ASSERT_TRUE(step(isolate.action_id, {S::requested}, S::dispatched));
  const auto release = submit_one(request(Verb::release, {"ep-1"}));
  EXPECT_EQ(state(isolate.action_id), "dispatched") << "it is on its way: only its answer ends it";
  release_fully(release.action_id);
  ASSERT_TRUE(step(isolate.action_id, {S::dispatched}, S::verified, Isolation::isolated));
  EXPECT_EQ(endpoint("desired || '/' || observed || '/' || standing_isolate"), "released/released/");
}

TEST_F(Actions, IsolateThatFailsIsNoLongerWanted) {
  open();
  enroll("ep-1");
  const auto a = submit_one(request(Verb::isolate, {"ep-1"}));
  ASSERT_TRUE(step(a.action_id, {S::requested}, S::dispatched));
  ASSERT_TRUE(step(a.action_id, {S::dispatched}, S::failed));
  EXPECT_EQ(endpoint("desired"), "released");
  // An isolate that fails while another holds the endpoint leaves it wanted isolated.
  const auto first = submit_one(request(Verb::isolate, {"ep-1"}));
  isolate_fully(first.action_id);
  const auto second = submit_one(request(Verb::isolate, {"ep-1"}));
  ASSERT_TRUE(step(second.action_id, {S::requested}, S::failed));
  EXPECT_EQ(endpoint("desired || '/' || (standing_isolate = '" + first.action_id + "')"), "isolated/1");
}

TEST_F(Actions, LeaseBeginsWhenTheIsolationIsReadBack) {
  open();
  enroll("ep-1");
  BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  b.planned[0].lease_ms = 3'600'000;
  keep(b);
  EXPECT_EQ(store_->open_actions().value()[0].lease_ms, 3'600'000);
  EXPECT_EQ(endpoint("lease_until"), "0");
  clock_.advance_ms(9000);
  isolate_fully(b.planned[0].action_id);
  EXPECT_EQ(store_->endpoints().value()[0].lease_until_ms, clock_.wall_ms() + 3'600'000);
  release_fully(submit_one(request(Verb::release, {"ep-1"})).action_id);
  EXPECT_EQ(endpoint("lease_until"), "0");
}

class Approvals : public Actions {
 protected:
  void SetUp() override {
    open();
    enroll("ep-1");
    judge_.answer = [this](const PlannedAction& a, Ledger& ledger, int64_t now) -> Result<Judgement> {
      seen_ = a;
      if (!a.approved) return ScriptedJudge::says(Verdict::awaiting_approval, Guard::mode, "mode is approve");
      return second_(a, ledger, now);
    };
  }
  std::string waiting() {
    const BatchOutcome b = batch(rule("r1"), "ep-1", next_++);
    keep(b);
    EXPECT_EQ(state(b.planned[0].action_id), "awaiting_approval");
    return b.planned[0].action_id;
  }
  PlannedAction seen_;
  ScriptedJudge::Answer second_ = [](const PlannedAction&, Ledger&, int64_t) -> Result<Judgement> {
    return ScriptedJudge::passes();
  };
  int64_t next_ = 0;
};

TEST_F(Approvals, ApprovedActionBecomesAnIntent) {
  const std::string id = waiting();
  EXPECT_EQ(endpoint("generation || desired"), "0released");
  const auto done = store_->decide(id, true, "ada", "looks real");
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_EQ(*done, S::requested);
  EXPECT_EQ(endpoint("generation || desired"), "1isolated");
  EXPECT_TRUE(seen_.approved);
  EXPECT_FALSE(seen_.manual);
  ASSERT_NE(seen_.rule, nullptr);
  EXPECT_EQ(seen_.rule->rule_id, "r1");
  EXPECT_EQ(count("SELECT expires_at - intent_at FROM actions"), 14 * 86'400'000ll);
  EXPECT_EQ(ask("SELECT detail FROM audit WHERE what = 'approved' AND actor = 'user:ada'"), "looks real");
  EXPECT_EQ(count("SELECT count(*) FROM actions WHERE manual = 0 AND intent_at > 0"), 1) << "it counts in the budgets";
}

TEST_F(Approvals, DeniedActionIsOver) {
  const std::string id = waiting();
  EXPECT_EQ(store_->decide(id, false, "ada", "a test").value(), S::denied);
  EXPECT_TRUE(store_->open_actions().value().empty());
  EXPECT_EQ(endpoint("generation || desired"), "0released");
  const auto again = store_->decide(id, true, "bob", "");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
}

TEST_F(Approvals, HardGuardStillHoldsAnApprovedActionBack) {
  const std::string id = waiting();
  second_ = [](const PlannedAction&, Ledger&, int64_t) -> Result<Judgement> {
    return ScriptedJudge::says(Verdict::blocked, Guard::kill_switch, "the kill switch is on");
  };
  const auto refused = store_->decide(id, true, "ada", "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::refused);
  EXPECT_EQ(refused.error().message, "the kill switch is on");
  EXPECT_EQ(state(id), "awaiting_approval");
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'approval_refused'"), 1);
}

TEST_F(Approvals, RequesterCannotApproveTheirOwn) {
  const auto a = submit_one(request(Verb::isolate, {"ep-1"}, "user:ada"));
  EXPECT_EQ(a.state, S::awaiting_approval);
  for (const char* who : {"ada", "user:ada"}) {
    const auto refused = store_->decide(a.action_id, true, who, "");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::refused);
  }
  EXPECT_EQ(store_->decide(a.action_id, true, "bob", "").value(), S::requested);
}

TEST_F(Approvals, ApprovalThatComesTooLateExpires) {
  const std::string id = waiting();
  clock_.advance_ms(4 * 3'600'000ll);
  const auto late = store_->decide(id, true, "ada", "");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::conflict);
  EXPECT_EQ(state(id), "expired");
}

TEST_F(Approvals, NobodyDecidesAndItExpiresByItself) {
  const std::string id = waiting();
  clock_.advance_ms(4 * 3'600'000ll + 1);
  for (int i = 0; i < 100 && state(id) != "expired"; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(state(id), "expired");
}

TEST_F(Approvals, ApprovedOneJoinsAnIsolationThatCameMeanwhile) {
  const std::string id = waiting();
  std::string other;
  second_ = [&](const PlannedAction&, Ledger&, int64_t) -> Result<Judgement> {
    return ScriptedJudge::says(Verdict::joined, Guard::in_flight, "on its way", other);
  };
  judge_.answer = [&, then = judge_.answer](const PlannedAction& a, Ledger& l, int64_t n) -> Result<Judgement> {
    return a.verb == Verb::release ? ScriptedJudge::passes() : then(a, l, n);
  };
  other = submit_one(request(Verb::release, {"ep-1"})).action_id;  // any action will do
  EXPECT_EQ(store_->decide(id, true, "ada", "").value(), S::superseded);
  EXPECT_EQ(count("SELECT count(*) FROM action_alerts WHERE action_id = '" + other + "'"), 1);
}

TEST_F(Approvals, IntentForTheSameEndpointEndsTheWaiting) {
  const std::string id = waiting();
  judge_.answer = [](const PlannedAction&, Ledger& ledger, int64_t) -> Result<Judgement> {
    FB_TRY(const auto facts, ledger.endpoint("ep-1"));
    EXPECT_TRUE(facts.open_isolate_awaits_approval);
    return ScriptedJudge::passes();
  };
  const BatchOutcome b = batch(rule("r2"), "ep-1", next_++);
  keep(b);
  EXPECT_EQ(state(id), "superseded");
  EXPECT_EQ(count("SELECT count(*) FROM action_alerts WHERE action_id = '" + b.planned[0].action_id + "'"), 2);
}

TEST_F(Approvals, HundredApprovalsAtOnceHaveOneEffect) {
  const std::string id = waiting();
  std::atomic<int> approved{0}, conflicts{0};
  std::vector<std::thread> people;
  for (int i = 0; i < 100; ++i) {
    people.emplace_back([&, i] {
      const auto done = store_->decide(id, true, "user-" + std::to_string(i), "");
      if (done) ++approved;
      if (!done && done.error().code == ErrorCode::conflict) ++conflicts;
    });
  }
  for (auto& p : people) p.join();
  EXPECT_EQ(approved, 1);
  EXPECT_EQ(conflicts, 99);
  EXPECT_EQ(endpoint("generation"), "1");
}

}  // namespace
}  // namespace fb::test
