// Reading response actions and endpoints for clients.
#include "engine/record/response_actions.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "engine/base/json.h"
#include "engine/base/json_member.h"
#include "engine/model/names.h"
#include "engine/record/impl.h"
#include "engine/record/rows.h"

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

// Requests of people and actions by rules as one list. Where it is known by what few rows are found, `of_requests` and
// `of_actions` lead to them; what is asked for besides is looked at row by row.
#define FB_ENTRIES(of_requests, of_actions)                                                                         \
  " FROM (SELECT request_id AS id, created_at AS at, verb, comment, requested_by AS asked_by, 0 AS by_rule, "       \
  "'' AS rule_id, '' AS first_alert, alert_ids, case_ids, iif(substr(requested_by, 1, 5) = 'user:', "               \
  "substr(requested_by, 6), requested_by) AS name FROM requests " of_requests                                       \
  "UNION ALL SELECT action_id, created_at, verb, comment, requested_by, 1, rule_id, alert_id, '', '[]', 'unknown' " \
  "FROM actions WHERE manual = 0 " of_actions                                                                       \
  ") e "                                                                                                            \
  "WHERE (?1 = '' OR e.id IN (SELECT value FROM json_each(?1))) "                                                   \
  "AND (?2 = '' OR EXISTS(SELECT 1 FROM verdicts v WHERE v.request_id = e.id AND v.endpoint_id IN (SELECT value "   \
  "FROM json_each(?2)))) "                                                                                          \
  "AND (?3 = '' OR e.verb IN (SELECT value FROM json_each(?3))) "                                                   \
  "AND (?4 = '' OR e.name IN (SELECT value FROM json_each(?4))) "                                                   \
  "AND (?5 IS NULL OR (e.by_rule OR e.alert_ids <> '[]') = ?5) AND (?6 IS NULL OR e.at >= ?6) AND (?7 IS NULL OR "  \
  "e.at <= ?7) "                                                                                                    \
  "AND (?8 = '' OR (SELECT CASE WHEN sum(a.state NOT IN ('verified', 'failed', 'blocked', 'denied', 'expired', "    \
  "'superseded')) > 0 THEN 'pending' WHEN sum(a.state <> 'verified') > 0 THEN 'failed' ELSE 'successful' END FROM " \
  "verdicts v " FB_STATE_OF_VERDICT " WHERE v.request_id = e.id) IN (SELECT value FROM json_each(?8)))"
#define FB_ENTRIES_BY_ID                                               \
  FB_ENTRIES("WHERE request_id IN (SELECT value FROM json_each(?1)) ", \
             "AND action_id IN (SELECT value FROM json_each(?1)) ")
#define FB_ENTRIES_BY_ENDPOINT FB_ENTRIES("", "AND endpoint_id IN (SELECT value FROM json_each(?2)) ")
#define FB_ENTRIES_ALL FB_ENTRIES("", "")
#define FB_ENTRY_COLUMNS \
  "SELECT e.id, e.at, e.verb, e.comment, e.asked_by, e.by_rule, e.rule_id, e.first_alert, e.alert_ids, e.case_ids"
#define FB_ENTRY_PAGE " ORDER BY e.at DESC, e.id LIMIT ?9 OFFSET ?10"

struct EntryStatements {
  const char* count;
  const char* page;
};
constexpr EntryStatements kEntriesById{"SELECT count(*)" FB_ENTRIES_BY_ID,
                                       FB_ENTRY_COLUMNS FB_ENTRIES_BY_ID FB_ENTRY_PAGE};
constexpr EntryStatements kEntriesByEndpoint{"SELECT count(*)" FB_ENTRIES_BY_ENDPOINT,
                                             FB_ENTRY_COLUMNS FB_ENTRIES_BY_ENDPOINT FB_ENTRY_PAGE};
constexpr EntryStatements kEntriesAll{"SELECT count(*)" FB_ENTRIES_ALL, FB_ENTRY_COLUMNS FB_ENTRIES_ALL FB_ENTRY_PAGE};

// The same where nothing but times and who asked (a rule or a person) narrows it down: counted by index, and of each of
// both only as many rows are read as the page can hold.
constexpr const char* kCountByTime =
    "SELECT (SELECT count(*) FROM requests WHERE (?1 IS NULL OR (alert_ids <> '[]') = ?1) AND created_at >= ?2 AND "
    "created_at <= ?3) + "
    "iif(?1 IS 0, 0, (SELECT count(*) FROM actions WHERE manual = 0 AND created_at >= ?2 AND created_at <= ?3))";
// The same of any time.
constexpr const char* kCountRequests = "SELECT count(*) FROM requests";
constexpr const char* kCountRequestsOf = "SELECT count(*) FROM requests WHERE (alert_ids <> '[]') = ?1";
constexpr const char* kPageByTime = FB_ENTRY_COLUMNS
    " FROM (SELECT * FROM (SELECT request_id AS id, created_at AS at, verb, comment, requested_by AS asked_by, 0 AS "
    "by_rule, '' AS rule_id, '' AS first_alert, alert_ids, case_ids FROM requests WHERE (?1 IS NULL OR (alert_ids <> "
    "'[]') = ?1) "
    "AND created_at >= ?2 AND created_at <= ?3 ORDER BY created_at DESC, request_id LIMIT ?4 + ?5) "
    "UNION ALL SELECT * FROM (SELECT action_id, created_at, verb, comment, requested_by, 1, rule_id, alert_id, '', "
    "'[]' "
    "FROM actions WHERE manual = 0 AND ?1 IS NOT 0 AND created_at >= ?2 AND created_at <= ?3 "
    "ORDER BY created_at DESC, action_id LIMIT ?4 + ?5)) e ORDER BY e.at DESC, e.id LIMIT ?4 OFFSET ?5";

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

std::string text_in_tree(std::string_view doc, std::string_view key) {
  const auto tree = parse_json(doc);
  const auto at = tree.find(key);
  return at != tree.end() && at->is_string() ? at->get<std::string>() : std::string();
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
  constexpr std::string_view kUuid = "kibana.alert.rule.uuid";
  FB_TRY(Rows row, db.query("SELECT rule_name, doc FROM alerts WHERE alert_id = ?", first_alert));
  FB_TRY(const bool any, row.next());
  action.rule_name = any ? row.string(0) : action.rule_id;
  if (any) {
    const std::string_view doc = row.text(1);
    const auto uuid = text_member(doc, kUuid);
    // The tree is for the rare one whose text has an escape.
    action.rule_uuid = uuid ? std::string(*uuid) : text_in_tree(doc, kUuid);
  }
  if (action.rule_uuid.empty()) action.rule_uuid = action.rule_id;
  return {};
}

}  // namespace

namespace {

// The entries of a page without their parts, and the first alert of each.
struct Listed {
  ResponsePage page;
  std::vector<std::string> first_alerts;
};

Result<Listed> read_entries(int64_t total, Rows rows) {
  Listed found;
  found.page.total = total;
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return found;
    ResponseEntry a;
    a.id = rows.string(0);
    a.created_at_ms = rows.integer(1);
    a.verb = from_string<Verb>(rows.text(2)).value_or(Verb::isolate);
    a.comment = rows.string(3);
    a.requested_by = rows.string(4);
    a.by_rule = rows.integer(5) != 0;
    a.rule_id = rows.string(6);
    found.first_alerts.push_back(rows.string(7));
    if (!a.by_rule) a.alert_ids = record::string_list(rows.text(8));
    a.case_ids = record::string_list(rows.text(9));
    found.page.entries.push_back(std::move(a));
  }
}

Result<int64_t> count_of_any_time(Sqlite& db, const std::optional<bool>& automated, record::GrowingCount& by_rules) {
  FB_TRY(const auto requests,
         automated ? db.integer(kCountRequestsOf, as_number(automated)) : db.integer(kCountRequests));
  if (automated == false) return requests.value_or(0);
  FB_TRY(const int64_t actions, by_rules.count(db));
  return requests.value_or(0) + actions;
}

Result<Listed> find_entries(Sqlite& db, const ResponseFilter& f, record::GrowingCount& by_rules) {
  const std::string ids = asked(f.ids);
  const std::string endpoints = asked(f.endpoint_ids);
  const std::string commands = asked(f.commands);
  const std::string users = asked(f.users);
  const std::string outcomes = asked(f.outcomes);
  const std::optional<int64_t> automated = as_number(f.automated);
  if (ids.empty() && endpoints.empty() && commands.empty() && users.empty() && outcomes.empty()) {
    const int64_t from = f.from_ms.value_or(std::numeric_limits<int64_t>::min());
    const int64_t to = f.to_ms.value_or(std::numeric_limits<int64_t>::max());
    int64_t total = 0;
    if (!f.from_ms && !f.to_ms) {
      FB_TRY(total, count_of_any_time(db, f.automated, by_rules));
    } else {
      FB_TRY(const auto counted, db.integer(kCountByTime, automated, from, to));
      total = counted.value_or(0);
    }
    FB_TRY(Rows rows, db.query(kPageByTime, automated, from, to, f.limit, f.skip));
    return read_entries(total, std::move(rows));
  }
  const EntryStatements& of = !ids.empty() ? kEntriesById : !endpoints.empty() ? kEntriesByEndpoint : kEntriesAll;
  FB_TRY(const auto total,
         db.integer(of.count, ids, endpoints, commands, users, automated, f.from_ms, f.to_ms, outcomes));
  FB_TRY(Rows rows,
         db.query(of.page, ids, endpoints, commands, users, automated, f.from_ms, f.to_ms, outcomes, f.limit, f.skip));
  return read_entries(total.value_or(0), std::move(rows));
}

}  // namespace

Result<ResponsePage> Store::response_actions(const ResponseFilter& f) {
  return impl_->readers->with<ResponsePage>([&](Sqlite& db) -> Result<ResponsePage> {
    FB_TRY(Listed found, find_entries(db, f, impl_->rule_action_count));
    for (size_t i = 0; i < found.page.entries.size(); ++i) {
      ResponseEntry& a = found.page.entries[i];
      FB_TRY_VOID(read_parts(db, a));
      if (a.by_rule) FB_TRY_VOID(read_rule(db, a, found.first_alerts[i]));
    }
    return std::move(found.page);
  });
}

Result<std::map<std::string, OpenCounts>> Store::open_counts(const std::vector<std::string>& endpoint_ids) {
  using Counts = std::map<std::string, OpenCounts>;
  return impl_->readers->with<Counts>([&](Sqlite& db) -> Result<Counts> {
    Counts counts;
// Every request of a person counts, those that joined an action under way as well.
#define FB_OPEN_COUNTS(of)                                                                                         \
  "SELECT endpoint_id, verb, count(*) + sum((SELECT count(*) FROM verdicts v WHERE v.joined_action = a.action_id " \
  "AND v.joined_action <> '' AND v.rule_id = '')) FROM actions a WHERE state IN ('requested', "                    \
  "'awaiting_approval', 'queued', 'dispatched', 'unknown', 'accepted') " of "GROUP BY endpoint_id, verb"
    const std::string ids = asked(endpoint_ids);
    FB_TRY(Rows rows, ids.empty()
                          ? db.query(FB_OPEN_COUNTS(""))
                          : db.query(FB_OPEN_COUNTS("AND endpoint_id IN (SELECT value FROM json_each(?1)) "), ids));
#undef FB_OPEN_COUNTS
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
#define FB_DETAILS(of)                                                                                              \
  "SELECT " FB_ENDPOINT_COLUMNS                                                                                     \
  ", e.status_detail, "                                                                                             \
  "e.drifted, e.problems, e.enrolled_at, e.isolated_at, p.id, p.name, p.version, e.policy_digest, a.action_id, "    \
  "a.verb, a.state, a.created_at, EXISTS(SELECT 1 FROM credentials c WHERE c.endpoint_id = e.endpoint_id) AND NOT " \
  "EXISTS(SELECT 1 FROM credentials c WHERE c.endpoint_id = e.endpoint_id AND c.revoked_at = 0) "                   \
  "FROM endpoints e LEFT JOIN endpoint_policies x ON x.endpoint_id = e.endpoint_id "                                \
  "JOIN policies p ON p.id = coalesce(x.policy_id, 'default') "                                                     \
  "LEFT JOIN actions a ON a.seq = (SELECT max(seq) FROM actions b WHERE b.endpoint_id = e.endpoint_id) " of         \
  "ORDER BY e.endpoint_id"
    const std::string ids = asked(endpoint_ids);
    FB_TRY(Rows rows, ids.empty()
                          ? db.query(FB_DETAILS(""))
                          : db.query(FB_DETAILS("WHERE e.endpoint_id IN (SELECT value FROM json_each(?1)) "), ids));
#undef FB_DETAILS
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      EndpointDetails d;
      d.endpoint = record::endpoint(rows, impl_->protection);
      constexpr int at = record::kEndpointColumns;
      d.status_detail = rows.string(at);
      d.drifted = rows.integer(at + 1) != 0;
      d.problems = record::string_list(rows.text(at + 2));
      d.enrolled_at_ms = rows.integer(at + 3);
      d.isolated_at_ms = rows.integer(at + 4);
      d.policy_id = rows.string(at + 5);
      d.policy_name = rows.string(at + 6);
      d.policy_version = rows.integer(at + 7);
      d.policy_digest = rows.string(at + 8);
      d.last_action_id = rows.string(at + 9);
      if (!d.last_action_id.empty()) {
        d.last_verb = from_string<Verb>(rows.text(at + 10)).value_or(Verb::isolate);
        d.last_state = from_string<ActionState>(rows.text(at + 11)).value_or(ActionState::unknown);
        d.last_at_ms = rows.integer(at + 12);
      }
      d.revoked = rows.integer(at + 13) != 0;
      d.open = std::move(open[d.endpoint.endpoint_id]);
      list.push_back(std::move(d));
    }
  });
}

Result<EndpointPage> Store::endpoint_page(const EndpointPick& pick) {
#define FB_ORDERED(by, way) "SELECT endpoint_id FROM endpoints ORDER BY " by " " way ", endpoint_id LIMIT ? OFFSET ?"
  static constexpr const char* kOrders[6][2] = {
      {FB_ORDERED("enrolled_at", "ASC"), FB_ORDERED("enrolled_at", "DESC")},
      {FB_ORDERED("last_seen", "ASC"), FB_ORDERED("last_seen", "DESC")},
      {FB_ORDERED("hostname", "ASC"), FB_ORDERED("hostname", "DESC")},
      {FB_ORDERED("os", "ASC"), FB_ORDERED("os", "DESC")},
      {FB_ORDERED("ips", "ASC"), FB_ORDERED("ips", "DESC")},
      {FB_ORDERED("agent_version", "ASC"), FB_ORDERED("agent_version", "DESC")},
  };
#undef FB_ORDERED
  EndpointPage page;
  std::vector<std::string> ids;
  FB_TRY(page.total, impl_->readers->with<int64_t>([&](Sqlite& db) -> Result<int64_t> {
    FB_TRY(Rows rows,
           db.query(kOrders[static_cast<size_t>(pick.order)][pick.descending ? 1 : 0], pick.limit, pick.skip));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) break;
      ids.push_back(rows.string(0));
    }
    FB_TRY(const auto total, db.integer("SELECT count(*) FROM endpoints"));
    return total.value_or(0);
  }));
  if (ids.empty()) return page;
  FB_TRY(page.endpoints, endpoint_details(ids));
  std::unordered_map<std::string_view, size_t> place;
  for (size_t i = 0; i < ids.size(); ++i) place.emplace(ids[i], i);
  std::sort(page.endpoints.begin(), page.endpoints.end(), [&](const EndpointDetails& a, const EndpointDetails& b) {
    return place.at(a.endpoint.endpoint_id) < place.at(b.endpoint.endpoint_id);
  });
  return page;
}

}  // namespace fb
