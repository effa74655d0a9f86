// What a batch leaves behind, in one transaction: alerts, verdicts, intents, dead letters, audit, outbox, offsets.
#include <map>
#include <set>
#include <tuple>
#include <unordered_set>

#include "engine/base/text.h"
#include "engine/record/impl.h"

namespace fb {

using record::KeptAction;
using record::Rows;
using record::Sqlite;
using record::Txn;

namespace {

using Stream = std::tuple<std::string, std::string, int32_t, int32_t>;

Stream stream_of(const SourcePosition& p) {
  return {p.cluster, p.topic, p.epoch, p.partition};
}
Stream stream_of(const OffsetAdvance& a) {
  return {a.cluster, a.topic, a.epoch, a.partition};
}

std::string name_of(const OffsetAdvance& a) {
  return a.cluster + "/" + a.topic + "/" + std::to_string(a.epoch) + "/" + std::to_string(a.partition);
}

// The event's ids are no clear word about one host.
bool is_unclear(const Target& target) {
  return target.ambiguous || target.identity_mismatch;
}

// The endpoint, or what the event calls it where none is known. A false name is not shown as if it were the endpoint's.
std::string shown_endpoint(const Target& target, const std::string& endpoint_id) {
  if (!endpoint_id.empty() || is_unclear(target)) return endpoint_id;
  return target.agent_id.empty() ? target.host_id : target.agent_id;
}

class BatchKeeper {
 public:
  BatchKeeper(Store::Impl& store, Txn& txn, const BatchOutcome& outcome)
      : store_(store), txn_(txn), outcome_(outcome) {}
  Result<KeptBatch> keep();

 private:
  Status read_offsets();
  Status keep_alerts();
  Status keep_planned();
  Status keep_dead_letters();
  Status keep_offsets();
  bool is_handled(const SourcePosition& position) const;

  Store::Impl& store_;
  Txn& txn_;
  const BatchOutcome& outcome_;
  std::map<Stream, std::optional<int64_t>> stored_;  // next_offset before this batch
  std::unordered_set<std::string_view> new_alerts_;
  std::set<std::pair<std::string, std::string>> alerted_;  // endpoint and rule, each once a batch
  KeptBatch kept_;
};

Result<KeptBatch> BatchKeeper::keep() {
  FB_TRY_VOID(read_offsets());
  FB_TRY_VOID(keep_alerts());
  FB_TRY_VOID(txn_.point("record.alerts"));
  if (outcome_.act) {
    FB_TRY_VOID(keep_planned());
    FB_TRY_VOID(txn_.point("record.intents"));
  }
  FB_TRY_VOID(keep_dead_letters());
  FB_TRY_VOID(keep_offsets());
  FB_TRY_VOID(txn_.point("record.offsets"));
  return kept_;
}

Status BatchKeeper::read_offsets() {
  for (const OffsetAdvance& a : outcome_.advances) {
    if (a.from < 0 || a.next < a.from) {
      return fail(ErrorCode::invalid_argument,
                  "a batch of [" + std::to_string(a.from) + ", " + std::to_string(a.next) + ") is none", name_of(a));
    }
    const Stream stream = stream_of(a);
    auto [at, first] = stored_.try_emplace(stream);
    if (first) {
      FB_TRY(at->second,
             txn_.db.integer("SELECT next_offset FROM offsets WHERE cluster = ? AND topic = ? AND epoch = ? AND "
                             "partition = ?",
                             a.cluster, a.topic, a.epoch, a.partition));
    }
    if (at->second && a.from > *at->second && !a.gap) {
      return fail(ErrorCode::conflict,
                  "the record stands at offset " + std::to_string(*at->second) + ", the batch begins at " +
                      std::to_string(a.from) + ": records between them would be lost unseen",
                  name_of(a));
    }
  }
  return {};
}

// Below the stored offset everything was decided by the rules of that time; it is not decided again.
bool BatchKeeper::is_handled(const SourcePosition& position) const {
  const auto at = stored_.find(stream_of(position));
  return at != stored_.end() && at->second && position.offset < *at->second;
}

Status BatchKeeper::keep_alerts() {
  for (const Alert& a : outcome_.alerts) {
    if (is_handled(a.position)) {
      ++kept_.known_alerts;
      continue;
    }
    if (a.rule == nullptr) return fail(ErrorCode::internal, "an alert without a rule", a.alert_id);
    const std::string enrolled = store_.directory.resolve(a.target).endpoint_id;
    const std::string endpoint = shown_endpoint(a.target, enrolled);
    const SourcePosition& p = a.position;
    FB_TRY(const int64_t added,
           txn_.db.change(
               "INSERT INTO alerts(alert_id, rule_id, rule_name, rule_hash, rule_set_hash, severity, risk_score, "
               "cluster, topic, epoch, partition, \"offset\", event_time, read_time, broker_time, kept_at, "
               "agent_id, host_id, host_name, ambiguous, endpoint_id, group_key, doc, source) "
               "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
               a.alert_id, a.rule->rule_id, a.rule->name, a.rule->hash, outcome_.rule_set_hash,
               to_string(a.rule->severity), a.rule->risk_score, p.cluster, p.topic, p.epoch, p.partition, p.offset,
               a.event_time_ms, a.read_time_ms, a.broker_time_ms, txn_.now_ms, a.target.agent_id, a.target.host_id,
               a.target.host_name, is_unclear(a.target), endpoint, a.group_key, a.doc, record::Blob{a.source}));
    if (added == 0) {
      ++kept_.known_alerts;
      continue;
    }
    ++kept_.new_alerts;
    new_alerts_.insert(a.alert_id);
    // Only of endpoints that are known: an event's own words would fill the table.
    if (!enrolled.empty() && alerted_.emplace(enrolled, a.rule->rule_id).second) {
      FB_TRY_VOID(
          txn_.db.run("INSERT INTO endpoint_rules(endpoint_id, rule_id, last_alert) VALUES(?1,?2,?3) "
                      "ON CONFLICT DO UPDATE SET last_alert = ?3",
                      enrolled, a.rule->rule_id, txn_.now_ms));
    }
    if (store_.options.outbox) {
      FB_TRY_VOID(txn_.db.run("INSERT INTO outbox(alert_id, key) VALUES(?, ?)", a.alert_id, endpoint));
    }
  }
  return {};
}

Status BatchKeeper::keep_planned() {
  for (const PlannedAction& planned : outcome_.planned) {
    if (!new_alerts_.contains(planned.alert_id)) continue;
    FB_TRY(const KeptAction kept, store_.keep_planned(txn_, planned, {planned.alert_id}));
    if (kept.intent) ++kept_.intents;
  }
  return {};
}

Status BatchKeeper::keep_dead_letters() {
  for (const DeadLetter& d : outcome_.dead_letters) {
    const SourcePosition& p = d.position;
    FB_TRY_VOID(txn_.db.run(
        "INSERT INTO dead_letters(cluster, topic, epoch, partition, \"offset\", reason, detail, raw, at) "
        "VALUES(?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
        p.cluster, p.topic, p.epoch, p.partition, p.offset, d.reason, to_utf8(d.detail), record::Blob{d.raw}, d.at_ms));
  }
  return {};
}

Status BatchKeeper::keep_offsets() {
  for (const OffsetAdvance& a : outcome_.advances) {
    std::optional<int64_t>& stored = stored_.at(stream_of(a));
    if (stored && *stored >= a.next) continue;
    if (!stored) {
      FB_TRY_VOID(
          txn_.db.run("INSERT INTO offsets(cluster, topic, epoch, partition, next_offset, rule_set_hash, updated_at) "
                      "VALUES(?,?,?,?,?,?,?)",
                      a.cluster, a.topic, a.epoch, a.partition, a.next, outcome_.rule_set_hash, txn_.now_ms));
    } else {
      FB_TRY(const int64_t moved,
             txn_.db.change(
                 "UPDATE offsets SET next_offset = ?, rule_set_hash = ?, updated_at = ? WHERE cluster = ? AND "
                 "topic = ? AND epoch = ? AND partition = ? AND next_offset = ?",
                 a.next, outcome_.rule_set_hash, txn_.now_ms, a.cluster, a.topic, a.epoch, a.partition, *stored));
      if (moved != 1) return fail(ErrorCode::conflict, "the stored offset changed meanwhile", name_of(a));
    }
    if (a.gap) {
      FB_TRY_VOID(txn_.audit("pipeline", "offset_gap", name_of(a),
                             "reading goes on at " + std::to_string(a.from) + "; the record stood at " +
                                 (stored ? std::to_string(*stored) : std::string("none"))));
    }
    stored = a.next;
  }
  return {};
}

}  // namespace

Result<KeptBatch> Store::keep(const BatchOutcome& outcome) {
  KeptBatch kept;
  FB_TRY_VOID(impl_->writer->run(record::Writer::Kind::ingest, [&](Txn& txn) -> Status {
    FB_TRY(kept, BatchKeeper(*impl_, txn, outcome).keep());
    return {};
  }));
  return kept;
}

Result<Judgement> Store::Impl::judge(Txn& txn, const PlannedAction& planned) {
  if (options.judge == nullptr) return fail(ErrorCode::internal, "the store has no guard", planned.action_id);
  record::DbLedger ledger(txn.db, protection, txn.now_ms);
  FB_TRY(Judgement answer, options.judge->judge(planned, ledger, txn.now_ms));
  if (answer.verdict == Verdict::would_act) {
    // The last line of defence: an intent has an endpoint row, whatever the guard thinks.
    FB_TRY(const Ledger::EndpointFacts facts, ledger.endpoint(planned.endpoint_id));
    if (!facts.known) {
      answer.verdict = Verdict::blocked;
      answer.guard = Guard::unknown_target;
      answer.detail = planned.target_note.empty() ? "unknown: the record has no such endpoint" : planned.target_note;
    }
  }
  if (answer.verdict == Verdict::joined) {
    FB_TRY(const auto found, txn.db.integer("SELECT 1 FROM actions WHERE action_id = ?", answer.joined_action));
    if (!found) {
      return fail(ErrorCode::internal, "the guard joined an action that is not there: " + answer.joined_action,
                  planned.action_id);
    }
  }
  answer.detail = to_utf8(answer.detail);
  return answer;
}

Result<KeptAction> Store::Impl::keep_planned(Txn& txn, const PlannedAction& planned,
                                             const std::vector<std::string>& alert_ids) {
  KeptAction kept;
  kept.action_id = planned.action_id;
  {
    FB_TRY(Rows known, txn.db.query("SELECT coalesce(a.action_id, v.action_id), coalesce(a.state, v.verdict), v.guard, "
                                    "v.detail FROM verdicts v LEFT JOIN actions a ON a.action_id = "
                                    "iif(v.joined_action <> '', v.joined_action, v.action_id) WHERE v.action_id = ?",
                                    planned.action_id));
    FB_TRY(const bool is_known, known.next());
    if (is_known) {
      kept.action_id = known.string(0);
      kept.state = from_string<ActionState>(known.text(1)).value_or(ActionState::blocked);
      kept.guard = known.string(2);
      kept.detail = known.string(3);
      return kept;
    }
  }
  FB_TRY(const Judgement answer, judge(txn, planned));
  kept.guard = to_string(answer.guard);
  kept.detail = answer.detail;
  switch (answer.verdict) {
    case Verdict::would_act:
      kept.state = ActionState::requested;
      kept.intent = true;
      break;
    case Verdict::dry_run:
      kept.state = ActionState::dry_run;
      break;
    case Verdict::awaiting_approval:
      kept.state = ActionState::awaiting_approval;
      break;
    case Verdict::blocked:
      kept.state = ActionState::blocked;
      break;
    case Verdict::joined: {
      kept.action_id = answer.joined_action;
      FB_TRY(const auto state, txn.db.text("SELECT state FROM actions WHERE action_id = ?", answer.joined_action));
      kept.state = from_string<ActionState>(state.value_or("")).value_or(ActionState::unknown);
      break;
    }
  }
  const std::string rule_id = planned.rule == nullptr ? "" : planned.rule->rule_id;
  const std::string shown = shown_endpoint(planned.target, planned.endpoint_id);
  FB_TRY_VOID(
      txn.db.run("INSERT INTO verdicts(action_id, alert_id, request_id, rule_id, verb, endpoint_id, verdict, guard, "
                 "detail, joined_action, judged_at) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
                 planned.action_id, planned.alert_id, planned.request_id, rule_id, to_string(planned.verb), shown,
                 to_string(answer.verdict), to_string(answer.guard), answer.detail, answer.joined_action, txn.now_ms));
  if (answer.verdict != Verdict::joined) {
    const bool is_over = !is_open(kept.state);
    const int64_t lease = planned.verb == Verb::isolate ? planned.lease_ms.value_or(options.lease_ms) : 0;
    const int64_t expires =
        kept.state == ActionState::awaiting_approval ? txn.now_ms + options.approval_expiry_ms : int64_t{0};
    FB_TRY_VOID(txn.db.run(
        "INSERT INTO actions(action_id, request_id, alert_id, rule_id, rule_hash, verb, endpoint_id, "
        "agent_id, host_id, host_name, ambiguous, comment, cause, requested_by, manual, "
        "override_protected, ceiling, event_age_base, lease_ms, state, verdict, guard, detail, "
        "created_at, expires_at, finished_at) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        planned.action_id, planned.request_id, planned.alert_id, rule_id,
        planned.rule == nullptr ? std::string() : planned.rule->hash, to_string(planned.verb), planned.endpoint_id,
        planned.target.agent_id, planned.target.host_id, planned.target.host_name, is_unclear(planned.target),
        to_utf8(planned.comment), planned.cause, planned.requested_by, planned.manual, planned.override_protected,
        to_string(planned.ceiling), planned.event_age_base_ms, lease, to_string(kept.state), to_string(answer.verdict),
        to_string(answer.guard), answer.detail, txn.now_ms, expires, is_over ? txn.now_ms : int64_t{0}));
  }
  for (const std::string& alert : alert_ids) {
    if (alert.empty()) continue;
    FB_TRY_VOID(txn.db.run("INSERT INTO action_alerts(action_id, alert_id) VALUES(?, ?) ON CONFLICT DO NOTHING",
                           kept.action_id, alert));
  }
  std::string said = std::string(to_string(planned.verb)) + " " + (shown.empty() ? "(no endpoint)" : shown) + ": " +
                     std::string(to_string(answer.verdict));
  if (answer.guard != Guard::none) said += " (" + std::string(to_string(answer.guard)) + ")";
  if (!answer.joined_action.empty()) said += " " + answer.joined_action;
  if (!answer.detail.empty()) said += ": " + answer.detail;
  FB_TRY_VOID(txn.audit(planned.requested_by, "judged", planned.action_id, said));
  // The row above names an action that there never was. Who follows the action that it joined is told as well.
  if (answer.verdict == Verdict::joined && planned.manual) {
    FB_TRY_VOID(txn.audit(planned.requested_by, "joined", answer.joined_action, planned.request_id));
  }
  if (kept.intent) {
    FB_TRY_VOID(make_intent(txn, planned.action_id, planned.verb, planned.endpoint_id, planned.requested_by));
  }
  return kept;
}

// From here on the action may be carried out: it gets its place in the order of the endpoint's commands, and what it
// overtakes unsent is void.
Status Store::Impl::make_intent(Txn& txn, const std::string& action_id, Verb verb, const std::string& endpoint_id,
                                const std::string& requested_by) {
  if (verb == Verb::isolate) {
    // Isolated anew while an isolation stands, it holds at least as long as that one would have.
    FB_TRY_VOID(
        txn.db.run("UPDATE actions SET lease_ms = coalesce((SELECT iif(lease_until = 0, 0, max(actions.lease_ms, "
                   "lease_until - ?3)) FROM endpoints WHERE endpoint_id = ?2 AND desired = 'isolated' AND "
                   "standing_isolate <> ''), lease_ms) WHERE action_id = ?1 AND lease_ms > 0",
                   action_id, endpoint_id, txn.now_ms));
    // A lease belongs to the isolation that was wanted before; one that a release was wanted for must not end this one.
    FB_TRY_VOID(
        txn.db.run("UPDATE endpoints SET generation = generation + 1, ordered_generation = generation + 1, "
                   "desired = 'isolated', drifted = 0, lease_until = iif(desired = 'released', 0, lease_until) "
                   "WHERE endpoint_id = ?",
                   endpoint_id));
  } else {
    // The cool-down begins with the wish to release, not with its arrival.
    FB_TRY_VOID(
        txn.db.run("UPDATE endpoints SET generation = generation + 1, ordered_generation = generation + 1, "
                   "desired = 'released', drifted = 0, released_at = ?2, released_rule = iif(standing_isolate <> '', "
                   "standing_rule, released_rule) "
                   "WHERE endpoint_id = ?1",
                   endpoint_id, txn.now_ms));
  }
  FB_TRY(const auto generation, txn.db.integer("SELECT generation FROM endpoints WHERE endpoint_id = ?", endpoint_id));
  if (!generation) return fail(ErrorCode::internal, "an intent for an endpoint that is not there", endpoint_id);
  FB_TRY_VOID(
      txn.db.run("UPDATE actions SET state = 'requested', generation = ?, intent_at = ?, expires_at = ?, "
                 "finished_at = 0 WHERE action_id = ?",
                 *generation, txn.now_ms, txn.now_ms + options.intent_expiry_ms, action_id));
  struct Overtaken {
    std::string id;
    bool waited;
  };
  std::vector<Overtaken> overtaken;
  {
    FB_TRY(Rows rows,
           txn.db.query("SELECT action_id, state = 'awaiting_approval' FROM actions WHERE endpoint_id = ?1 AND "
                        "action_id <> ?2 AND state IN ('requested', 'awaiting_approval', 'queued') AND "
                        "((state <> 'awaiting_approval' AND verb <> ?3) OR "
                        "(state = 'awaiting_approval' AND verb = 'isolate' AND ?3 = 'isolate'))",
                        endpoint_id, action_id, to_string(verb)));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) break;
      overtaken.push_back({rows.string(0), rows.integer(1) != 0});
    }
  }
  std::string why;
  if (!overtaken.empty()) {  // told by the id that lists have it under
    FB_TRY(const auto later, txn.db.text("SELECT request_id FROM actions WHERE action_id = ?", action_id));
    why = "superseded by " + later.value_or(action_id);
  }
  for (const Overtaken& o : overtaken) {
    FB_TRY_VOID(end_action(txn, o.id, ActionState::superseded, requested_by, why));
    if (o.waited) {
      FB_TRY_VOID(
          txn.db.run("INSERT INTO action_alerts(action_id, alert_id) SELECT ?, alert_id FROM action_alerts "
                     "WHERE action_id = ? ON CONFLICT DO NOTHING",
                     action_id, o.id));
    }
  }
  txn.commit_now = true;
  return txn.point("record.intent");
}

}  // namespace fb
