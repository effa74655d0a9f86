// Reading response actions and endpoints for clients.
#include "engine/record/response_actions.h"

#include <algorithm>

#include "engine/model/names.h"
#include "engine/record/impl.h"

namespace fb {

using record::Rows;
using record::Sqlite;

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::pending:
      return "pending";
    case Outcome::successful:
      return "successful";
    case Outcome::failed:
      return "failed";
  }
  return "";
}

// The CASE of kEntries says the same in SQL.
Outcome outcome_of(ActionState state) {
  switch (state) {
    case ActionState::verified:
      return Outcome::successful;
    case ActionState::failed:
    case ActionState::blocked:
    case ActionState::denied:
    case ActionState::expired:
    case ActionState::superseded:
      return Outcome::failed;
    case ActionState::requested:
    case ActionState::dry_run:
    case ActionState::awaiting_approval:
    case ActionState::queued:
    case ActionState::dispatched:
    case ActionState::unknown:
    case ActionState::accepted:
      return Outcome::pending;
  }
  return Outcome::pending;
}

namespace {

// What stands behind a verdict: its own action, or the one it joined.
#define FB_STATE_OF_VERDICT "JOIN actions a ON a.action_id = iif(v.joined_action <> '', v.joined_action, v.action_id)"

#define FB_ENTRIES                                                                                                  \
  " FROM (SELECT request_id AS id, created_at AS at, verb, comment, requested_by AS asked_by, 0 AS by_rule, "       \
  "'' AS rule_id, '' AS first_alert, alert_ids, case_ids, iif(substr(requested_by, 1, 5) = 'user:', "               \
  "substr(requested_by, 6), requested_by) AS name FROM requests "                                                   \
  "UNION ALL SELECT action_id, created_at, verb, comment, requested_by, 1, rule_id, alert_id, '', '[]', 'unknown' " \
  "FROM actions WHERE manual = 0) e "                                                                               \
  "WHERE (?1 = '' OR e.id IN (SELECT value FROM json_each(?1))) "                                                   \
  "AND (?2 = '' OR EXISTS(SELECT 1 FROM verdicts v WHERE v.request_id = e.id AND v.endpoint_id IN (SELECT value "   \
  "FROM json_each(?2)))) "                                                                                          \
  "AND (?3 = '' OR e.verb IN (SELECT value FROM json_each(?3))) "                                                   \
  "AND (?4 = '' OR e.name IN (SELECT value FROM json_each(?4))) "                                                   \
  "AND (?5 IS NULL OR e.by_rule = ?5) AND (?6 IS NULL OR e.at >= ?6) AND (?7 IS NULL OR e.at <= ?7) "               \
  "AND (?8 = '' OR (SELECT CASE WHEN sum(a.state NOT IN ('verified', 'failed', 'blocked', 'denied', 'expired', "    \
  "'superseded')) > 0 THEN 'pending' WHEN sum(a.state <> 'verified') > 0 THEN 'failed' ELSE 'successful' END FROM " \
  "verdicts v " FB_STATE_OF_VERDICT " WHERE v.request_id = e.id) IN (SELECT value FROM json_each(?8)))"

std::string asked(const std::vector<std::string>& list) {
  return list.empty() ? std::string() : record::string_list_json(list);
}

std::optional<int64_t> as_number(const std::optional<bool>& flag) {
  if (!flag) return std::nullopt;
  return *flag ? 1 : 0;
}

Status read_parts(Sqlite& db, ResponseEntry& action) {
  FB_TRY(Rows rows,
         db.query("SELECT v.endpoint_id, coalesce(e.hostname, a.host_name), a.action_id, v.joined_action <> '', "
                  "a.state, a.guard, a.detail, a.decided_by, a.override_protected, a.finished_at, a.expires_at, "
                  "a.lease_ms FROM verdicts v " FB_STATE_OF_VERDICT
                  " LEFT JOIN endpoints e ON e.endpoint_id = v.endpoint_id WHERE v.request_id = ? ORDER BY "
                  "v.endpoint_id",
                  action.id));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return {};
    ResponsePart p;
    p.endpoint_id = rows.string(0);
    p.hostname = rows.string(1);
    p.action_id = rows.string(2);
    p.joined = rows.integer(3) != 0;
    p.state = from_string<ActionState>(rows.text(4)).value_or(ActionState::unknown);
    p.guard = rows.string(5);
    p.detail = rows.string(6);
    p.decided_by = rows.string(7);
    p.override_protected = rows.integer(8) != 0;
    p.finished_at_ms = rows.integer(9);
    // An isolation that stood already when it was asked for again was over at once.
    if (p.finished_at_ms != 0) p.finished_at_ms = std::max(p.finished_at_ms, action.created_at_ms);
    p.expires_at_ms = rows.integer(10);
    p.lease_ms = rows.integer(11);
    action.parts.push_back(std::move(p));
  }
}

Status read_rule(Sqlite& db, ResponseEntry& action, const std::string& first_alert) {
  {
    FB_TRY(Rows rows, db.query("SELECT alert_id FROM action_alerts WHERE action_id = ? ORDER BY alert_id", action.id));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) break;
      action.alert_ids.push_back(rows.string(0));
    }
  }
  FB_TRY(Rows row,
         db.query("SELECT rule_name, iif(json_valid(doc), json_extract(doc, '$.\"kibana.alert.rule.uuid\"'), '') "
                  "FROM alerts WHERE alert_id = ?",
                  first_alert));
  FB_TRY(const bool any, row.next());
  action.rule_name = any ? row.string(0) : action.rule_id;
  action.rule_uuid = any ? row.string(1) : "";
  if (action.rule_uuid.empty()) action.rule_uuid = action.rule_id;
  return {};
}

}  // namespace

Result<ResponsePage> Store::response_actions(const ResponseFilter& f) {
  return impl_->readers->with<ResponsePage>([&](Sqlite& db) -> Result<ResponsePage> {
    ResponsePage page;
    const std::string ids = asked(f.ids);
    const std::string endpoints = asked(f.endpoint_ids);
    const std::string commands = asked(f.commands);
    const std::string users = asked(f.users);
    const std::string outcomes = asked(f.outcomes);
    const std::optional<int64_t> by_rule = as_number(f.by_rule);
    FB_TRY(const auto total, db.integer("SELECT count(*)" FB_ENTRIES, ids, endpoints, commands, users, by_rule,
                                        f.from_ms, f.to_ms, outcomes));
    page.total = total.value_or(0);
    std::vector<std::string> first_alerts;
    {
      FB_TRY(
          Rows rows,
          db.query("SELECT e.id, e.at, e.verb, e.comment, e.asked_by, e.by_rule, e.rule_id, "
                   "e.first_alert, e.alert_ids, e.case_ids" FB_ENTRIES " ORDER BY e.at DESC, e.id LIMIT ?9 OFFSET ?10",
                   ids, endpoints, commands, users, by_rule, f.from_ms, f.to_ms, outcomes, f.limit, f.skip));
      for (;;) {
        FB_TRY(const bool more, rows.next());
        if (!more) break;
        ResponseEntry a;
        a.id = rows.string(0);
        a.created_at_ms = rows.integer(1);
        a.verb = from_string<Verb>(rows.text(2)).value_or(Verb::isolate);
        a.comment = rows.string(3);
        a.requested_by = rows.string(4);
        a.by_rule = rows.integer(5) != 0;
        a.rule_id = rows.string(6);
        first_alerts.push_back(rows.string(7));
        if (!a.by_rule) a.alert_ids = record::string_list(rows.text(8));
        a.case_ids = record::string_list(rows.text(9));
        page.entries.push_back(std::move(a));
      }
    }
    for (size_t i = 0; i < page.entries.size(); ++i) {
      ResponseEntry& a = page.entries[i];
      FB_TRY_VOID(read_parts(db, a));
      if (a.by_rule) FB_TRY_VOID(read_rule(db, a, first_alerts[i]));
    }
    return page;
  });
}

Result<std::map<std::string, OpenCounts>> Store::open_counts(const std::vector<std::string>& endpoint_ids) {
  using Counts = std::map<std::string, OpenCounts>;
  return impl_->readers->with<Counts>([&](Sqlite& db) -> Result<Counts> {
    Counts counts;
    FB_TRY(Rows rows, db.query("SELECT endpoint_id, verb, count(*) FROM actions WHERE state IN ('requested', "
                               "'awaiting_approval', 'queued', 'dispatched', 'unknown', 'accepted') AND (?1 = '' OR "
                               "endpoint_id IN (SELECT value FROM json_each(?1))) GROUP BY endpoint_id, verb",
                               asked(endpoint_ids)));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return counts;
      counts[rows.string(0)][from_string<Verb>(rows.text(1)).value_or(Verb::isolate)] = rows.integer(2);
    }
  });
}

Result<std::vector<EndpointDetails>> Store::endpoint_details(const std::vector<std::string>& endpoint_ids) {
  using List = std::vector<EndpointDetails>;
  FB_TRY(auto open, open_counts(endpoint_ids));
  return impl_->readers->with<List>([&](Sqlite& db) -> Result<List> {
    List list;
    FB_TRY(Rows rows,
           db.query("SELECT e.endpoint_id, e.host_id, e.hostname, e.os, e.ips, e.tags, e.agent_version, "
                    "e.agent_status, e.desired, e.observed, e.simulated, e.generation, e.ordered_generation, "
                    "e.lease_until, e.last_seen, e.status_detail, e.drifted, e.problems, e.enrolled_at, "
                    "e.isolated_at, p.id, p.name, p.version, e.policy_digest, a.action_id, a.verb, a.state, "
                    "a.created_at, EXISTS(SELECT 1 FROM credentials c WHERE c.endpoint_id = e.endpoint_id) AND NOT "
                    "EXISTS(SELECT 1 FROM credentials c WHERE c.endpoint_id = e.endpoint_id AND c.revoked_at = 0) "
                    "FROM endpoints e LEFT JOIN endpoint_policies x ON x.endpoint_id = e.endpoint_id "
                    "JOIN policies p ON p.id = coalesce(x.policy_id, 'default') "
                    "LEFT JOIN actions a ON a.seq = (SELECT max(seq) FROM actions b WHERE b.endpoint_id = "
                    "e.endpoint_id) WHERE ?1 = '' OR e.endpoint_id IN (SELECT value FROM json_each(?1)) "
                    "ORDER BY e.endpoint_id",
                    asked(endpoint_ids)));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      EndpointDetails d;
      Endpoint& e = d.endpoint;
      e.endpoint_id = rows.string(0);
      e.host_id = rows.string(1);
      e.hostname = rows.string(2);
      e.os = rows.string(3);
      e.ips = record::string_list(rows.text(4));
      e.tags = record::string_list(rows.text(5));
      e.agent_version = rows.string(6);
      e.status = from_string<AgentStatus>(rows.text(7)).value_or(AgentStatus::offline);
      e.desired = from_string<Isolation>(rows.text(8)).value_or(Isolation::unknown);
      e.observed = from_string<Isolation>(rows.text(9)).value_or(Isolation::unknown);
      e.simulated = rows.integer(10) != 0;
      e.generation = rows.integer(11);
      e.ordered_generation = rows.integer(12);
      e.lease_until_ms = rows.integer(13);
      e.last_seen_ms = rows.integer(14);
      e.is_protected = impl_->protection.covers(e.endpoint_id, e.host_id, e.hostname, e.tags);
      d.status_detail = rows.string(15);
      d.drifted = rows.integer(16) != 0;
      d.problems = record::string_list(rows.text(17));
      d.enrolled_at_ms = rows.integer(18);
      d.isolated_at_ms = rows.integer(19);
      d.policy_id = rows.string(20);
      d.policy_name = rows.string(21);
      d.policy_version = rows.integer(22);
      d.policy_digest = rows.string(23);
      d.last_action_id = rows.string(24);
      if (!d.last_action_id.empty()) {
        d.last_verb = from_string<Verb>(rows.text(25)).value_or(Verb::isolate);
        d.last_state = from_string<ActionState>(rows.text(26)).value_or(ActionState::unknown);
        d.last_at_ms = rows.integer(27);
      }
      d.revoked = rows.integer(28) != 0;
      d.open = std::move(open[e.endpoint_id]);
      list.push_back(std::move(d));
    }
  });
}

}  // namespace fb
