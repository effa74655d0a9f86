// The life of actions: requests of people, approvals, moves.
#include "engine/model/action_life.h"

#include <algorithm>

#include "engine/base/digest.h"
#include "engine/base/text.h"
#include "engine/model/ids.h"
#include "engine/record/impl.h"

namespace fb {

using record::KeptAction;
using record::Rows;
using record::Sqlite;
using record::Txn;
using record::Writer;

std::string record::person(std::string_view who) {
  return who.starts_with("user:") ? std::string(who) : "user:" + std::string(who);
}

namespace {

using record::person;

constexpr size_t kMaxEndpointsPerRequest = 10'000;

std::string body_hash(const ActionRequest& r) {
  if (!r.body.empty()) return hex(sha256_parts({to_string(r.verb), r.requested_by, r.body}));
  std::vector<std::string> endpoints = r.endpoint_ids;
  std::vector<std::string> alerts = r.alert_ids;
  std::sort(endpoints.begin(), endpoints.end());
  std::sort(alerts.begin(), alerts.end());
  return hex(sha256_parts({to_string(r.verb), record::string_list_json(endpoints), record::string_list_json(alerts),
                           r.comment, r.requested_by, r.override_protected ? "1" : "0"}));
}

// What a request led to, in the order of its endpoints.
Result<std::vector<ActionStore::Submitted>> results_of(Sqlite& db, const std::string& request_id,
                                                       const std::vector<std::string>& endpoints) {
  std::vector<ActionStore::Submitted> list;
  for (const std::string& endpoint : endpoints) {
    FB_TRY(Rows row, db.query("SELECT a.action_id, a.state, v.guard, v.detail FROM verdicts v JOIN actions a ON "
                              "a.action_id = iif(v.joined_action <> '', v.joined_action, v.action_id) "
                              "WHERE v.request_id = ? AND v.endpoint_id = ?",
                              request_id, endpoint));
    FB_TRY(const bool any, row.next());
    if (!any) continue;  // it was not known then
    list.push_back({row.string(0), request_id, endpoint,
                    from_string<ActionState>(row.text(1)).value_or(ActionState::unknown), row.string(2),
                    row.string(3)});
  }
  if (list.empty()) return fail(ErrorCode::corrupt, "a request without its action", request_id);
  return list;
}

struct ActionRow {
  PlannedAction planned;
  ActionState state = ActionState::requested;
  int64_t generation = 0;
  int64_t lease_ms = 0;
  int64_t expires_at_ms = 0;
};

Result<std::optional<ActionRow>> load_action(Sqlite& db, const std::string& action_id) {
  FB_TRY(
      Rows row,
      db.query("SELECT verb, endpoint_id, agent_id, host_id, host_name, ambiguous, comment, cause, alert_id, rule_id, "
               "rule_hash, request_id, requested_by, manual, override_protected, ceiling, event_age_base, lease_ms, "
               "state, generation, expires_at, decided_by <> '' FROM actions WHERE action_id = ?",
               action_id));
  FB_TRY(const bool any, row.next());
  if (!any) return std::optional<ActionRow>();
  ActionRow a;
  PlannedAction& p = a.planned;
  p.action_id = action_id;
  p.verb = from_string<Verb>(row.text(0)).value_or(Verb::release);
  p.endpoint_id = row.string(1);
  p.target = {row.string(2), row.string(3), row.string(4), row.integer(5) != 0};
  p.comment = row.string(6);
  p.cause = row.string(7);
  p.alert_id = row.string(8);
  if (!row.text(9).empty()) {
    auto rule = std::make_shared<RuleMeta>();
    rule->rule_id = row.string(9);
    rule->hash = row.string(10);
    p.rule = std::move(rule);
  }
  p.request_id = row.string(11);
  p.requested_by = row.string(12);
  p.manual = row.integer(13) != 0;
  p.override_protected = row.integer(14) != 0;
  p.ceiling = from_string<Mode>(row.text(15)).value_or(Mode::dry_run);
  p.event_age_base_ms = row.integer(16);
  a.lease_ms = row.integer(17);
  p.lease_ms = a.lease_ms;
  a.state = from_string<ActionState>(row.text(18)).value_or(ActionState::unknown);
  a.generation = row.integer(19);
  a.expires_at_ms = row.integer(20);
  p.approved = row.integer(21) != 0;
  return std::optional<ActionRow>(std::move(a));
}

}  // namespace

Result<std::vector<OpenAction>> Store::open_actions() {
  return impl_->readers->with<std::vector<OpenAction>>([](Sqlite& db) -> Result<std::vector<OpenAction>> {
    std::vector<OpenAction> list;
    FB_TRY(
        Rows rows,
        db.query("SELECT action_id, verb, endpoint_id, generation, comment, rule_id, lease_ms, created_at, expires_at, "
                 "next_try, attempts, state, boot_id, override_protected AND decided_by <> '', event_age_base, manual, "
                 "(SELECT severity FROM alerts WHERE alerts.alert_id = actions.alert_id), dispatched_at, stuck_at FROM "
                 "actions "
                 "WHERE state IN ('requested', 'queued', 'dispatched', 'unknown', 'accepted') ORDER BY seq"));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      OpenAction a;
      a.action_id = rows.string(0);
      a.verb = from_string<Verb>(rows.text(1)).value_or(Verb::release);
      a.endpoint_id = rows.string(2);
      a.generation = rows.integer(3);
      a.comment = rows.string(4);
      a.rule_id = rows.string(5);
      a.lease_ms = rows.integer(6);
      a.created_at_ms = rows.integer(7);
      a.expires_at_ms = rows.integer(8);
      a.next_try_ms = rows.integer(9);
      a.attempts = static_cast<int>(rows.integer(10));
      a.state = from_string<ActionState>(rows.text(11)).value_or(ActionState::unknown);
      a.boot_id = rows.string(12);
      a.override_protected = rows.integer(13) != 0;
      a.event_base_ms = rows.integer(14);
      if (rows.integer(15) == 0) a.severity = from_string<Severity>(rows.text(16)).value_or(Severity::critical);
      a.first_sent_at_ms = rows.integer(17);
      a.stuck_at_ms = rows.integer(18);
      list.push_back(std::move(a));
    }
  });
}

namespace {

// The key as it is kept: everybody has keys of their own, so that nobody can take another's (or one that the service
// makes for its own releases) by using it first. "" = none.
std::string own_key(const ActionRequest& r) {
  return r.idempotency_key.empty() ? "" : record::string_list_json({r.requested_by, r.idempotency_key});
}

Result<std::optional<std::string>> find_request(Sqlite& db, const std::string& key, const std::string& hash) {
  FB_TRY(Rows row, db.query("SELECT request_id, body_hash FROM requests WHERE idempotency_key = ?", key));
  FB_TRY(const bool known, row.next());
  if (!known) return std::optional<std::string>();
  if (row.text(1) != hash) {
    return fail(ErrorCode::conflict, "this idempotency key was used for another request", row.string(0));
  }
  return std::optional<std::string>(row.string(0));
}

}  // namespace

Result<std::optional<std::string>> Store::request_of_key(const ActionRequest& request) {
  using Found = std::optional<std::string>;
  if (request.idempotency_key.empty()) return Found();
  return impl_->readers->with<Found>(
      [&](Sqlite& db) { return find_request(db, own_key(request), body_hash(request)); });
}

Result<std::vector<ActionStore::Submitted>> Store::submit(const ActionRequest& asked) {
  if (asked.endpoint_ids.empty()) {
    return fail(ErrorCode::invalid_argument, "a request names at least one endpoint; none means none, not all");
  }
  if (asked.endpoint_ids.size() > kMaxEndpointsPerRequest) {
    return fail(ErrorCode::limit, "a request names at most " + std::to_string(kMaxEndpointsPerRequest) + " endpoints");
  }
  if (asked.requested_by.empty()) return fail(ErrorCode::invalid_argument, "a request names who asks");
  ActionRequest request = asked;
  request.endpoint_ids.clear();
  for (const std::string& id : asked.endpoint_ids) {
    if (id.empty()) return fail(ErrorCode::invalid_argument, "an endpoint id is empty");
    if (std::find(request.endpoint_ids.begin(), request.endpoint_ids.end(), id) == request.endpoint_ids.end()) {
      request.endpoint_ids.push_back(id);
    }
  }
  const std::string hash = body_hash(request);
  const std::string key = own_key(request);
  std::vector<Submitted> answer;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    answer.clear();
    if (!key.empty()) {
      FB_TRY(const auto known, find_request(txn.db, key, hash));
      if (known) {
        FB_TRY(answer, results_of(txn.db, *known, request.endpoint_ids));
        return {};
      }
    }
    const std::string request_id = new_uuid();
    FB_TRY_VOID(txn.db.run(
        "INSERT INTO requests(request_id, idempotency_key, body_hash, verb, comment, requested_by, "
        "created_at, alert_ids, case_ids) VALUES(?, nullif(?, ''), ?, ?, ?, ?, ?, ?, ?)",
        request_id, key, hash, to_string(request.verb), to_utf8(request.comment), request.requested_by, txn.now_ms,
        record::string_list_json(request.alert_ids), record::string_list_json(request.case_ids)));
    for (const std::string& endpoint : request.endpoint_ids) {
      PlannedAction p;
      p.verb = request.verb;
      p.target.agent_id = endpoint;
      FB_TRY(const auto known, txn.db.integer("SELECT 1 FROM endpoints WHERE endpoint_id = ?", endpoint));
      if (known) {
        p.endpoint_id = endpoint;
      } else {
        p.target_note = "unknown: no enrolled endpoint has agent.id " + endpoint;
      }
      p.comment = request.comment;
      // A prefix, so that no client can choose a key that is the id of an alert and take that alert's action from it.
      p.cause = key.empty() ? "request:" + request_id : "key:" + key;
      p.action_id = action_id(request.verb, endpoint, p.cause);
      p.request_id = request_id;
      p.requested_by = request.requested_by;
      p.manual = true;
      p.override_protected = request.override_protected;
      p.lease_ms = request.lease_ms;
      if (!request.alert_ids.empty()) p.alert_id = request.alert_ids.front();
      FB_TRY(KeptAction kept, impl_->keep_planned(txn, p, request.alert_ids));
      answer.push_back(
          {std::move(kept.action_id), request_id, endpoint, kept.state, std::move(kept.guard), std::move(kept.detail)});
    }
    return {};
  }));
  return answer;
}

namespace {

// Whether the person changed what a rule of the API says, not long ago; others may have changed it since. Switching it
// on or off is no change of it, nor is a list of its own for exceptions: those only make it say less.
Result<bool> is_recent_editor(Txn& txn, const std::string& rule_id, const std::string& who) {
  constexpr int64_t kEditorMs = 24 * 3'600'000ll;
  FB_TRY(Rows authors,
         txn.db.query("SELECT DISTINCT author FROM api_rule_versions WHERE rule_id = ? AND at > ? AND what "
                      "NOT IN ('enabled', 'disabled', 'excepted', 'deleted')",
                      rule_id, txn.now_ms - kEditorMs));
  for (;;) {
    FB_TRY(const bool more, authors.next());
    if (!more) return false;
    if (person(authors.string(0)) == who) return true;
  }
}

}  // namespace

Result<ActionState> Store::decide(const std::string& id, bool approve, const std::string& who,
                                  const std::string& comment) {
  if (who.empty()) return fail(ErrorCode::invalid_argument, "a decision names who made it");
  const std::string actor = person(who);
  // A refusal is an answer to the caller and yet leaves its audit row, so it is no failure of the transaction.
  Result<ActionState> answer = ActionState::awaiting_approval;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(std::optional<ActionRow> found, load_action(txn.db, id));
    if (!found) return fail(ErrorCode::not_found, "no action has this id", id);
    ActionRow& a = *found;
    if (a.state != ActionState::awaiting_approval) {
      answer = fail(ErrorCode::conflict, "the action awaits no approval: it is " + std::string(to_string(a.state)), id);
      return {};
    }
    if (txn.now_ms >= a.expires_at_ms) {
      answer = fail(ErrorCode::conflict, "the action waited too long for an approval and is expired", id);
      return impl_->end_action(txn, id, ActionState::expired, "record", "nobody decided in time", Guard::approval);
    }
    const auto decided = [&]() {
      return txn.db.run("UPDATE actions SET decided_by = ?, decided_at = ?, decision_comment = ? WHERE action_id = ?",
                        actor, txn.now_ms, to_utf8(comment), id);
    };
    if (!approve) {
      answer = ActionState::denied;
      FB_TRY_VOID(decided());
      return impl_->end_action(txn, id, ActionState::denied, actor, to_utf8(comment));
    }
    if (person(a.planned.requested_by) == actor) {
      answer = fail(ErrorCode::refused, "who asked for an action can't approve it: it takes a second person", id);
      return txn.audit(actor, "approval_refused", id, "the approver is the requester");
    }
    if (!a.planned.manual && a.planned.rule) {
      FB_TRY(const bool edited, is_recent_editor(txn, a.planned.rule->rule_id, actor));
      if (edited) {
        answer = fail(ErrorCode::refused,
                      "who changed the rule within the last 24 hours can't approve what it asks for: it takes a second "
                      "person",
                      id);
        return txn.audit(actor, "approval_refused", id, "the approver changed the rule within the last 24 hours");
      }
    }
    a.planned.approved = true;
    FB_TRY(const Judgement judged, impl_->judge(txn, a.planned));
    switch (judged.verdict) {
      case Verdict::would_act:
        FB_TRY_VOID(decided());
        FB_TRY_VOID(txn.audit(actor, "approved", id, to_utf8(comment)));
        answer = ActionState::requested;
        return impl_->make_intent(txn, id, a.planned.verb, a.planned.endpoint_id, actor);
      case Verdict::joined:
        FB_TRY_VOID(decided());
        FB_TRY_VOID(
            txn.db.run("INSERT INTO action_alerts(action_id, alert_id) SELECT ?, alert_id FROM action_alerts "
                       "WHERE action_id = ? ON CONFLICT DO NOTHING",
                       judged.joined_action, id));
        answer = ActionState::superseded;
        return impl_->end_action(txn, id, ActionState::superseded, actor, "joined " + judged.joined_action);
      case Verdict::blocked:
      case Verdict::dry_run:
      case Verdict::awaiting_approval:
        answer = fail(ErrorCode::refused, judged.detail, std::string(to_string(judged.guard)));
        return txn.audit(actor, "approval_refused", id, std::string(to_string(judged.guard)) + ": " + judged.detail);
    }
    return fail(ErrorCode::internal, "a verdict without a meaning", id);
  }));
  return answer;
}

// An end that nothing was read back with.
Status Store::Impl::end_action(Txn& txn, const std::string& action_id, ActionState to, const std::string& actor,
                               const std::string& detail, Guard guard) {
  std::string endpoint;
  ActionState from = to;
  bool is_current_isolate = false;
  {
    FB_TRY(Rows row, txn.db.query("SELECT a.state, a.endpoint_id, a.verb = 'isolate' AND a.generation > 0 AND "
                                  "a.generation = e.generation FROM actions a LEFT JOIN endpoints e USING(endpoint_id) "
                                  "WHERE a.action_id = ?",
                                  action_id));
    FB_TRY(const bool any, row.next());
    if (!any) return fail(ErrorCode::not_found, "no action has this id", action_id);
    from = from_string<ActionState>(row.text(0)).value_or(ActionState::unknown);
    endpoint = row.string(1);
    is_current_isolate = row.integer(2) != 0;
  }
  if (!is_legal_move(from, to)) {
    return fail(ErrorCode::internal,
                "no action goes from " + std::string(to_string(from)) + " to " + std::string(to_string(to)), action_id);
  }
  FB_TRY_VOID(
      txn.db.run("UPDATE actions SET state = ?2, finished_at = ?3, detail = iif(?4 = '', detail, ?4), "
                 "guard = iif(?5 = '', guard, ?5) WHERE action_id = ?1",
                 action_id, to_string(to), txn.now_ms, detail, to_string(guard)));
  if (is_current_isolate && to != ActionState::verified) {
    // Nothing pursues this wish any more; the endpoint is again wanted as it stood before.
    FB_TRY_VOID(
        txn.db.run("UPDATE endpoints SET desired = iif(standing_isolate <> '', 'isolated', 'released') "
                   "WHERE endpoint_id = ?",
                   endpoint));
  }
  return txn.audit(
      actor, to_string(to), action_id,
      std::string(to_string(from)) + " -> " + std::string(to_string(to)) + (detail.empty() ? "" : ": " + detail));
}

Result<bool> Store::move(const ActionMove& m) {
  bool moved = false;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    moved = false;
    FB_TRY(std::optional<ActionRow> found, load_action(txn.db, m.action_id));
    if (!found) return fail(ErrorCode::not_found, "no action has this id", m.action_id);
    const ActionRow& a = *found;
    if (std::find(m.from.begin(), m.from.end(), a.state) == m.from.end()) return {};
    if (m.to != a.state && !is_legal_move(a.state, m.to)) {
      return fail(ErrorCode::invalid_argument,
                  "no action goes from " + std::string(to_string(a.state)) + " to " + std::string(to_string(m.to)),
                  m.action_id);
    }
    const bool isolates = a.planned.verb == Verb::isolate;
    const Isolation wanted = isolates ? Isolation::isolated : Isolation::released;
    if (m.to == ActionState::verified && m.observed != wanted) {
      return fail(ErrorCode::invalid_argument,
                  "verified needs the state that was read back, and that it is the one asked for", m.action_id);
    }
    const bool unsent = a.state == ActionState::requested || a.state == ActionState::queued;
    if (isolates && m.to == ActionState::dispatched && unsent) {
      FB_TRY(const bool may, impl_->may_go_out(txn, a.planned, a.generation, a.expires_at_ms));
      if (!may) return {};
    }
    moved = true;
    if (m.to == ActionState::requested && a.generation == 0) {
      return fail(ErrorCode::invalid_argument, "an approval is a decision, not a move", m.action_id);
    }
    const bool sent = m.to == ActionState::dispatched || m.to == ActionState::unknown ||
                      m.to == ActionState::accepted || m.to == ActionState::verified;
    const std::string detail = to_utf8(m.detail);
    FB_TRY_VOID(
        txn.db.run("UPDATE actions SET boot_id = iif(?2 = '', boot_id, ?2), next_try = ?3, attempts = attempts + ?4, "
                   "dispatched_at = iif(?5 AND dispatched_at = 0, ?6, dispatched_at) WHERE action_id = ?1",
                   m.action_id, m.boot_id, m.next_try_ms, m.count_attempt ? 1 : 0, sent, txn.now_ms));
    if (is_open(m.to)) {
      FB_TRY_VOID(txn.db.run("UPDATE actions SET state = ?2, detail = iif(?3 = '', detail, ?3) WHERE action_id = ?1",
                             m.action_id, to_string(m.to), detail));
      FB_TRY_VOID(txn.audit(m.actor, to_string(m.to), m.action_id,
                            std::string(to_string(a.state)) + " -> " + std::string(to_string(m.to)) +
                                (detail.empty() ? "" : ": " + detail)));
    } else if (m.to != a.state) {
      FB_TRY_VOID(impl_->end_action(txn, m.action_id, m.to, m.actor, detail, m.guard));
    }
    if (m.to == ActionState::verified && isolates) {
      // It holds the endpoint from now on. A release that was wanted later stays wanted.
      FB_TRY_VOID(
          txn.db.run("UPDATE endpoints SET standing_isolate = ?2, standing_rule = ?3, isolated_at = ?4, "
                     "lease_until = ?5, desired = iif(generation = ?6, 'isolated', desired) WHERE endpoint_id = ?1 "
                     "AND observed_generation <= ?6",
                     a.planned.endpoint_id, m.action_id,
                     a.planned.rule == nullptr || a.planned.manual ? std::string() : a.planned.rule->rule_id,
                     txn.now_ms, a.lease_ms > 0 ? txn.now_ms + a.lease_ms : int64_t{0}, a.generation));
    } else if (m.to == ActionState::verified) {
      FB_TRY_VOID(
          txn.db.run("UPDATE endpoints SET released_rule = iif(standing_isolate <> '', standing_rule, released_rule), "
                     "released_at = ?2, standing_isolate = '', standing_rule = '', isolated_at = 0, "
                     "lease_until = 0, desired = iif(generation = ?3, 'released', desired) WHERE endpoint_id = ?1 "
                     "AND observed_generation <= ?3",
                     a.planned.endpoint_id, txn.now_ms, a.generation));
    }
    if (m.observed) {
      FB_TRY_VOID(
          impl_->observe(txn, a.planned.endpoint_id, *m.observed, a.generation, Impl::Told::in_answer, m.actor));
      txn.after_commit.push_back([this, id = a.planned.endpoint_id] { impl_->forget_seen(id); });
    }
    return txn.point("record.move");
  }));
  return moved;
}

Status Store::mark_stuck(const std::string& action_id, const std::string& why) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    const std::string detail = "stuck: " + to_utf8(why);
    FB_TRY(const int64_t changed,
           txn.db.change("UPDATE actions SET stuck_at = ?2, detail = ?3 WHERE action_id = ?1 AND stuck_at = 0 AND "
                         "state IN ('dispatched', 'unknown', 'accepted')",
                         action_id, txn.now_ms, detail));
    if (changed == 0) return {};  // told already, or over meanwhile
    return txn.audit("dispatcher", "stuck", action_id, to_utf8(why));
  });
}

// What the dispatcher knows of the endpoint may be a second old; here nothing can come between the look and the row
// that says "sent".
Result<bool> Store::Impl::may_go_out(Txn& txn, const PlannedAction& planned, int64_t generation,
                                     int64_t expires_at_ms) {
  record::DbLedger ledger(txn.db, protection, txn.now_ms);
  FB_TRY(const Ledger::EndpointFacts facts, ledger.endpoint(planned.endpoint_id));
  ActionState end = ActionState::blocked;
  Guard guard = Guard::none;
  std::string why;
  if (!facts.known) {
    guard = Guard::unknown_target;
    why = "the endpoint is not enrolled any more";
  } else if (kill_switch.load()) {
    guard = Guard::kill_switch;
    why = "the kill switch is on";
  } else if (facts.is_protected && !(planned.override_protected && planned.approved)) {
    // The word of one person is not enough, also when the protection came after it.
    guard = Guard::protected_endpoint;
    why = "the endpoint is protected";
  } else if (facts.is_duplicate) {
    guard = Guard::unknown_target;
    why = "two machines use the identity of the endpoint";
  } else if (generation < facts.generation) {
    end = ActionState::superseded;
    FB_TRY(
        const auto later,
        txn.db.text("SELECT request_id FROM actions WHERE endpoint_id = ? AND generation > ? ORDER BY generation DESC "
                    "LIMIT 1",
                    planned.endpoint_id, generation));
    why = later ? "superseded by " + *later : "a later command has generation " + std::to_string(facts.generation);
  } else if (expires_at_ms > 0 && txn.now_ms >= expires_at_ms) {
    end = ActionState::expired;
    guard = Guard::intent_expiry;
    why = "not delivered in its time";
  } else {
    return true;
  }
  FB_TRY_VOID(end_action(txn, planned.action_id, end, "record", why, guard));
  return false;
}

Status Store::Impl::housekeeping(Txn& txn) {
  constexpr size_t kAtOnce = 100;
  std::vector<std::string> late;
  {
    FB_TRY(Rows rows,
           txn.db.query("SELECT action_id FROM actions WHERE state = 'awaiting_approval' AND expires_at <= ? "
                        "ORDER BY seq",
                        txn.now_ms));
    while (late.size() < kAtOnce) {
      FB_TRY(const bool more, rows.next());
      if (!more) break;
      late.push_back(rows.string(0));
    }
  }
  for (const std::string& id : late) {
    FB_TRY_VOID(end_action(txn, id, ActionState::expired, "record", "nobody decided in time", Guard::approval));
  }
  return {};
}

}  // namespace fb
