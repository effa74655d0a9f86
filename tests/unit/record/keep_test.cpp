// keep(): exactly once, all or nothing, in step with the offsets.
#include "tests/unit/record/record_fixture.h"

namespace fb::test {
namespace {

class Keep : public RecordTest {};

TEST_F(Keep, WritesAlertVerdictIntentOutboxOffsetAndAuditTogether) {
  open();
  enroll("ep-1");
  const BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  const KeptBatch kept = keep(b);
  EXPECT_EQ(kept.new_alerts, 1u);
  EXPECT_EQ(kept.known_alerts, 0u);
  EXPECT_EQ(kept.intents, 1u);
  EXPECT_EQ(ask("SELECT alert_id FROM alerts"), b.alerts[0].alert_id);
  EXPECT_EQ(ask("SELECT state || '/' || verdict || '/' || guard || '/' || generation FROM actions"),
            "requested/would_act//1");
  EXPECT_EQ(ask("SELECT verdict FROM verdicts WHERE alert_id = '" + b.alerts[0].alert_id + "'"), "would_act");
  EXPECT_EQ(ask("SELECT alert_id FROM action_alerts WHERE action_id = '" + b.planned[0].action_id + "'"),
            b.alerts[0].alert_id);
  EXPECT_EQ(ask("SELECT key FROM outbox"), "ep-1");
  EXPECT_EQ(ask("SELECT desired || '/' || observed || '/' || generation FROM endpoints"), "isolated/released/1");
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'judged' AND ref = '" + b.planned[0].action_id + "'"), 1);
  EXPECT_EQ(store_->next_offset("cluster", "events", 0, 0).value(), 1);
  EXPECT_EQ(count("SELECT expires_at - intent_at FROM actions"), 14 * 86'400'000ll);
}

TEST_F(Keep, SameBatchAgainChangesNothing) {
  open();
  enroll("ep-1");
  const BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  keep(b);
  const int asked = judge_.asked;
  const std::string before = ask("SELECT group_concat(seq || hash) FROM audit");
  for (int i = 0; i < 3; ++i) {
    const KeptBatch again = keep(b);
    EXPECT_EQ(again.new_alerts, 0u);
    EXPECT_EQ(again.known_alerts, 1u);
    EXPECT_EQ(again.intents, 0u);
  }
  EXPECT_EQ(judge_.asked, asked);
  EXPECT_EQ(count("SELECT count(*) FROM alerts"), 1);
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 1);
  EXPECT_EQ(count("SELECT count(*) FROM outbox"), 1);
  EXPECT_EQ(count("SELECT generation FROM endpoints"), 1);
  EXPECT_EQ(ask("SELECT group_concat(seq || hash) FROM audit"), before);
}

TEST_F(Keep, KnownAlertWithoutOffsetsStillPlansNothing) {
  open();
  enroll("ep-1");
  BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  b.advances.clear();  // as from a source that keeps no offsets
  EXPECT_EQ(keep(b).intents, 1u);
  EXPECT_EQ(keep(b).intents, 0u);
  EXPECT_EQ(judge_.asked, 1);
}

TEST_F(Keep, OverlappingBatchKeepsOnlyWhatIsNew) {
  open();
  enroll("ep-1");
  BatchOutcome first;
  first.advances = {advance(0, 50)};
  keep(first);
  // Offsets 40 to 49 were decided under the rules of that time: an alert there is not new now.
  BatchOutcome second;
  second.alerts = {alert(rule("new-rule"), "ep-1", 45), alert(rule("new-rule"), "ep-1", 55)};
  second.planned = {isolate(second.alerts[0], "ep-1"), isolate(second.alerts[1], "ep-1")};
  second.advances = {advance(40, 60)};
  const KeptBatch kept = keep(second);
  EXPECT_EQ(kept.new_alerts, 1u);
  EXPECT_EQ(kept.known_alerts, 1u);
  EXPECT_EQ(kept.intents, 1u);
  EXPECT_EQ(ask("SELECT \"offset\" FROM alerts"), "55");
  EXPECT_EQ(store_->next_offset("cluster", "events", 0, 0).value(), 60);
}

TEST_F(Keep, BatchThatIsKeptAlreadyIsNoErrorAndMovesNoOffsetBack) {
  open();
  BatchOutcome far;
  far.advances = {advance(0, 100)};
  keep(far);
  BatchOutcome old;
  old.alerts = {alert(rule("r1"), "ep-1", 10)};
  old.advances = {advance(5, 20)};
  const KeptBatch kept = keep(old);
  EXPECT_EQ(kept.new_alerts, 0u);
  EXPECT_EQ(kept.known_alerts, 1u);
  EXPECT_EQ(store_->next_offset("cluster", "events", 0, 0).value(), 100);
  EXPECT_EQ(count("SELECT count(*) FROM alerts"), 0);
}

TEST_F(Keep, JumpAheadIsAConflictAndLeavesNothing) {
  open();
  enroll("ep-1");
  keep(batch(rule("r1"), "ep-1", 0));
  BatchOutcome b = batch(rule("r1"), "ep-1", 9);
  const Result<KeptBatch> kept = store_->keep(b);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, ErrorCode::conflict);
  EXPECT_EQ(kept.error().retry, Retry::no);
  EXPECT_NE(kept.error().message.find("offset 1"), std::string::npos) << kept.error().message;
  EXPECT_EQ(count("SELECT count(*) FROM alerts"), 1);
  EXPECT_EQ(store_->next_offset("cluster", "events", 0, 0).value(), 1);
  b.advances[0].gap = true;
  EXPECT_EQ(keep(b).new_alerts, 1u);
  EXPECT_EQ(store_->next_offset("cluster", "events", 0, 0).value(), 10);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'offset_gap'"), 1);
}

TEST_F(Keep, PartitionsTopicsAndEpochsStandApart) {
  open();
  BatchOutcome b;
  b.advances = {advance(0, 5, 0), advance(7, 9, 1)};
  OffsetAdvance other = advance(0, 3, 0);
  other.epoch = 1;
  b.advances.push_back(other);
  keep(b);
  EXPECT_EQ(store_->next_offset("cluster", "events", 0, 0).value(), 5);
  EXPECT_EQ(store_->next_offset("cluster", "events", 0, 1).value(), 9);
  EXPECT_EQ(store_->next_offset("cluster", "events", 1, 0).value(), 3);
  EXPECT_FALSE(store_->next_offset("cluster", "events", 0, 2).value().has_value());
  EXPECT_FALSE(store_->next_offset("elsewhere", "events", 0, 0).value().has_value());
}

TEST_F(Keep, RefusesABatchThatRunsBackwards) {
  open();
  BatchOutcome b;
  b.advances = {advance(9, 3)};
  const auto kept = store_->keep(b);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, ErrorCode::invalid_argument);
}

TEST_F(Keep, FailingGuardLeavesNothingOfTheBatch) {
  open();
  enroll("ep-1");
  enroll("ep-2");
  const std::string audit_before = ask("SELECT count(*) FROM audit");
  // The second of two planned actions can't be judged; the first, its trip included, must go too.
  judge_.answer = [&](const PlannedAction& a, Ledger& ledger, int64_t) -> Result<Judgement> {
    if (a.endpoint_id == "ep-2") return fail(ErrorCode::io, "the guard's own file can't be read");
    FB_TRY_VOID(ledger.trip_rule("r1", "too many"));
    return ScriptedJudge::passes();
  };
  BatchOutcome b;
  b.alerts = {alert(rule("r1"), "ep-1", 0), alert(rule("r1"), "ep-2", 1)};
  b.planned = {isolate(b.alerts[0], "ep-1"), isolate(b.alerts[1], "ep-2")};
  b.dead_letters = {{{"cluster", "events", 0, 0, 2}, "not-json", "", "x", 1}};
  b.advances = {advance(0, 3)};
  const auto kept = store_->keep(b);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().message, "the guard's own file can't be read");
  for (const char* table :
       {"alerts", "actions", "verdicts", "action_alerts", "outbox", "dead_letters", "offsets", "trips"}) {
    EXPECT_EQ(count(std::string("SELECT count(*) FROM ") + table), 0) << table;
  }
  EXPECT_EQ(ask("SELECT count(*) FROM audit"), audit_before);
  EXPECT_EQ(count("SELECT max(generation) FROM endpoints"), 0);
  // The guard's failure is not the disk's: the store goes on, and the same batch can be kept when the guard is well.
  judge_.answer = [](const PlannedAction&, Ledger&, int64_t) -> Result<Judgement> { return ScriptedJudge::passes(); };
  EXPECT_EQ(keep(b).intents, 2u);
}

TEST_F(Keep, GuardThatThrowsFailsOnlyItsOwnBatch) {
  open();
  enroll("ep-1");
  judge_.answer = [](const PlannedAction&, Ledger&, int64_t) -> Result<Judgement> { throw std::runtime_error("boom"); };
  const BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  const auto kept = store_->keep(b);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, ErrorCode::internal);
  EXPECT_EQ(count("SELECT count(*) FROM alerts"), 0);
  judge_.answer = [](const PlannedAction&, Ledger&, int64_t) -> Result<Judgement> { return ScriptedJudge::passes(); };
  EXPECT_EQ(keep(b).intents, 1u);
}

TEST_F(Keep, EveryVerdictIsARow) {
  open();
  for (const char* id : {"dry", "wait", "block", "act"}) enroll(id);
  judge_.answer = [](const PlannedAction& a, Ledger&, int64_t) -> Result<Judgement> {
    if (a.endpoint_id == "dry") return ScriptedJudge::says(Verdict::dry_run, Guard::mode, "mode is dry_run");
    if (a.endpoint_id == "wait") return ScriptedJudge::says(Verdict::awaiting_approval, Guard::rule_budget, "too many");
    if (a.endpoint_id == "block") return ScriptedJudge::says(Verdict::blocked, Guard::protected_endpoint, "protected");
    return ScriptedJudge::passes();
  };
  int64_t offset = 0;
  uint32_t intents = 0;
  for (const char* id : {"dry", "wait", "block", "act"}) intents += keep(batch(rule("r1"), id, offset++)).intents;
  EXPECT_EQ(intents, 1u);
  const auto row = [&](const std::string& id) {
    return ask("SELECT status || ' ' || verdict || ' ' || guard FROM v_actions WHERE endpoint_id = '" + id + "'");
  };
  EXPECT_EQ(row("dry"), "dry_run dry_run mode");
  EXPECT_EQ(row("wait"), "awaiting_approval awaiting_approval rule_budget");
  EXPECT_EQ(row("block"), "blocked blocked protected");
  EXPECT_EQ(row("act"), "requested would_act ");
  // Only the intent changed its endpoint; only it is handed to the dispatcher.
  EXPECT_EQ(ask("SELECT group_concat(endpoint_id || generation || desired, ' ') FROM (SELECT * FROM endpoints ORDER BY "
                "endpoint_id)"),
            "act1isolated block0released dry0released wait0released");
  const auto open_now = store_->open_actions().value();
  ASSERT_EQ(open_now.size(), 1u);
  EXPECT_EQ(open_now[0].endpoint_id, "act");
  EXPECT_EQ(open_now[0].rule_id, "r1");
  EXPECT_EQ(open_now[0].generation, 1);
}

TEST_F(Keep, AlertsWhileAnIsolationIsOpenJoinItAndAreLinked) {
  open();
  enroll("ep-1");
  judge_.answer = join_open;
  const BatchOutcome first = batch(rule("r1"), "ep-1", 0);
  keep(first);
  const BatchOutcome second = batch(rule("r2"), "ep-1", 1);
  EXPECT_EQ(keep(second).intents, 0u);
  isolate_fully(first.planned[0].action_id);
  keep(batch(rule("r3"), "ep-1", 2));
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 1);
  EXPECT_EQ(count("SELECT count(*) FROM action_alerts WHERE action_id = '" + first.planned[0].action_id + "'"), 3);
  EXPECT_EQ(count("SELECT count(*) FROM verdicts WHERE verdict = 'joined' AND joined_action = '" +
                  first.planned[0].action_id + "'"),
            2);
  EXPECT_EQ(count("SELECT generation FROM endpoints"), 1);
}

TEST_F(Keep, JoiningAnActionThatIsNotThereFailsTheBatch) {
  open();
  enroll("ep-1");
  judge_.answer = [](const PlannedAction&, Ledger&, int64_t) -> Result<Judgement> {
    return ScriptedJudge::says(Verdict::joined, Guard::in_flight, "", "no-such-action");
  };
  const auto kept = store_->keep(batch(rule("r1"), "ep-1", 0));
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, ErrorCode::internal);
  EXPECT_EQ(count("SELECT count(*) FROM alerts"), 0);
}

TEST_F(Keep, UnknownTargetIsNeverAnIntentEvenIfTheGuardLetsIt) {
  open();
  const BatchOutcome b = batch(rule("r1"), "ghost", 0);
  ASSERT_EQ(b.planned[0].endpoint_id, "");
  EXPECT_EQ(keep(b).intents, 0u);
  EXPECT_EQ(ask("SELECT status || ' ' || guard || ' ' || endpoint_id FROM v_actions"), "blocked unknown_target ghost");
  EXPECT_TRUE(store_->open_actions().value().empty());
}

TEST_F(Keep, ReplayLikeBatchKeepsAlertsAndPlansNothing) {
  open();
  enroll("ep-1");
  BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  b.act = false;
  const KeptBatch kept = keep(b);
  EXPECT_EQ(kept.new_alerts, 1u);
  EXPECT_EQ(kept.intents, 0u);
  EXPECT_EQ(judge_.asked, 0);
  EXPECT_EQ(count("SELECT count(*) FROM verdicts"), 0);
}

TEST_F(Keep, DeadLettersAreKeptOncePerPosition) {
  open();
  BatchOutcome b;
  b.dead_letters = {{{"cluster", "events", 0, 0, 4}, "not-json", "byte 3", std::string("\x00\xff{", 3), 7}};
  keep(b);
  keep(b);
  EXPECT_EQ(count("SELECT count(*) FROM dead_letters"), 1);
  const auto rows = record::Reader::open(db()).value()->dead_letters().value();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(record::json_line(rows[0]),
            R"({"reason":"not-json","topic":"events","partition":0,"offset":4,"raw_base64":"AP97","detail":"byte 3"})");
}

TEST_F(Keep, CountsOfTheLedgerAreThoseOfIntents) {
  open();
  for (const char* id : {"a", "b", "c"}) enroll(id);
  Ledger::EndpointFacts facts;
  int64_t by_rule = -1, by_any = -1, standing = -1, enrolled = -1;
  const auto look = [&](const PlannedAction& a, Ledger& ledger, int64_t now) -> Result<Judgement> {
    FB_TRY(facts, ledger.endpoint(a.endpoint_id));
    FB_TRY(by_rule, ledger.rule_intents_since("r1", now - 600'000));
    FB_TRY(by_any, ledger.auto_intents_since(now - 600'000));
    FB_TRY(standing, ledger.standing_auto_isolations());
    FB_TRY(enrolled, ledger.enrolled());
    return ScriptedJudge::passes();
  };
  judge_.answer = look;
  const BatchOutcome a = batch(rule("r1"), "a", 0);
  keep(a);
  EXPECT_EQ(by_rule, 0);
  EXPECT_EQ(enrolled, 3);
  keep(batch(rule("r2"), "b", 1));
  EXPECT_EQ(by_rule, 1);
  EXPECT_EQ(by_any, 1);
  EXPECT_EQ(standing, 1);
  isolate_fully(a.planned[0].action_id);
  ASSERT_TRUE(store_->submit(request(Verb::isolate, {"c"})));  // a person's counts in no budget
  EXPECT_EQ(by_any, 2);
  keep(batch(rule("r1"), "a", 2));
  EXPECT_EQ(by_rule, 1) << "an endpoint counts once";
  EXPECT_EQ(standing, 2);
  EXPECT_EQ(facts.standing_isolate, a.planned[0].action_id);
  clock_.advance_ms(600'001);
  keep(batch(rule("r1"), "b", 3));
  EXPECT_EQ(by_rule, 0);
  EXPECT_EQ(by_any, 0);
}

TEST_F(Keep, TripStandsUntilItIsReset) {
  open();
  enroll("ep-1");
  bool rule_tripped = false, fleet_tripped = false;
  judge_.answer = [&](const PlannedAction&, Ledger& ledger, int64_t) -> Result<Judgement> {
    FB_TRY(rule_tripped, ledger.rule_tripped("r1"));
    FB_TRY(fleet_tripped, ledger.fleet_tripped());
    FB_TRY_VOID(ledger.trip_rule("r1", "too many"));
    FB_TRY_VOID(ledger.trip_fleet("far too many"));
    return ScriptedJudge::says(Verdict::awaiting_approval, Guard::rule_budget, "too many");
  };
  keep(batch(rule("r1"), "ep-1", 0));
  EXPECT_FALSE(rule_tripped);
  keep(batch(rule("r1"), "ep-1", 1));
  EXPECT_TRUE(rule_tripped);
  EXPECT_TRUE(fleet_tripped);
  EXPECT_EQ(count("SELECT count(*) FROM trips"), 2) << "a trip that stands is not written again";
  EXPECT_EQ(record::Reader::open(db()).value()->tripped_rules().value(), (std::vector<std::string>{"r1", ""}));
  EXPECT_TRUE(store_->reset_trip("r1", "user:ada", "fixed").value());
  EXPECT_FALSE(store_->reset_trip("r1", "user:ada", "fixed").value());
  EXPECT_TRUE(store_->reset_trip("", "user:ada", "fixed").value());
  keep(batch(rule("r1"), "ep-1", 2));
  EXPECT_FALSE(rule_tripped);
  EXPECT_EQ(count("SELECT count(*) FROM trips"), 4);
}

TEST_F(Keep, OutboxHandsOutAlertsUntilTheyArePublished) {
  open();
  enroll("ep-1");
  keep(batch(rule("r1"), "ep-1", 0));
  keep(batch(rule("r1"), "unknown-agent", 1));
  auto reader = record::Reader::open(db()).value();
  const auto rows = reader->outbox(10).value();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].key, "ep-1");
  EXPECT_EQ(rows[1].key, "unknown-agent");
  EXPECT_NE(rows[0].doc.find("kibana.alert.rule.name"), std::string::npos);
  ASSERT_TRUE(store_->mark_published({rows[0].seq}));
  ASSERT_EQ(reader->outbox(10).value().size(), 1u);
  close();
  StoreOptions o = options();
  o.outbox = false;
  open(o);
  keep(batch(rule("r1"), "ep-1", 2));
  EXPECT_EQ(count("SELECT count(*) FROM outbox"), 1);
}

TEST_F(Keep, GuardThatWritesThroughTheStoreIsToldOffNotHungUp) {
  open();
  enroll("ep-1");
  judge_.answer = [&](const PlannedAction&, Ledger&, int64_t) -> Result<Judgement> {
    FB_TRY_VOID(store_->set_kill_switch(true, "guard", ""));
    return ScriptedJudge::passes();
  };
  const auto kept = store_->keep(batch(rule("r1"), "ep-1", 0));
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, ErrorCode::internal);
  EXPECT_FALSE(store_->kill_switch().value());
}

}  // namespace
}  // namespace fb::test
