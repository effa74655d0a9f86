#include "engine/record/ledger.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "engine/base/json.h"
#include "engine/base/json_text.h"
#include "engine/base/text.h"
#include "engine/record/audit.h"

namespace fb::record {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// A list as this program writes it: texts without escapes, no blanks. Pages read several of them a row. Nothing: it is
// written in another way, or is no list.
std::optional<std::vector<std::string>> plain_list(std::string_view json) {
  if (json.size() < 2 || json.front() != '[' || json.back() != ']' || !is_utf8(json)) return std::nullopt;
  std::vector<std::string> list;
  if (json.size() == 2) return list;
  for (size_t at = 1;;) {
    if (json[at] != '"') return std::nullopt;
    const size_t first = at + 1;
    at = first;
    while (at < json.size() && json[at] != '"') {
      if (json[at] == '\\' || static_cast<uint8_t>(json[at]) < 0x20) return std::nullopt;
      ++at;
    }
    if (at + 1 >= json.size()) return std::nullopt;
    list.emplace_back(json.substr(first, at - first));
    ++at;
    if (at + 1 == json.size()) return list;  // its last byte is the bracket
    if (json[at] != ',') return std::nullopt;
    ++at;
  }
}

}  // namespace

std::vector<std::string> string_list(std::string_view json) {
  if (auto plain = plain_list(json)) return std::move(*plain);
  std::vector<std::string> list;
  const nlohmann::json parsed = parse_json(json);
  if (!parsed.is_array()) return list;
  for (const auto& item : parsed) {
    if (item.is_string()) list.push_back(item.get<std::string>());
  }
  return list;
}

std::string string_list_json(const std::vector<std::string>& list) {
  std::string text = "[";
  for (const std::string& item : list) {
    if (text.size() > 1) text += ',';
    append_json(text, item);
  }
  return text += ']';
}

bool Protection::covers(std::string_view endpoint_id, std::string_view host_id, std::string_view hostname,
                        const std::vector<std::string>& endpoint_tags) const {
  for (const std::string& entry : hosts) {
    if (entry.empty()) continue;
    if (entry == endpoint_id || entry == host_id || same_name(entry, hostname)) return true;
  }
  return std::any_of(endpoint_tags.begin(), endpoint_tags.end(),
                     [&](const std::string& tag) { return std::find(tags.begin(), tags.end(), tag) != tags.end(); });
}

Result<Ledger::EndpointFacts> DbLedger::endpoint(const std::string& endpoint_id) {
  EndpointFacts facts;
  FB_TRY(Rows row, db_.query("SELECT host_id, hostname, tags, agent_status, desired, observed, standing_isolate, "
                             "released_at, released_rule, generation, duplicate_since > 0, lease_until FROM endpoints "
                             "WHERE endpoint_id = ?",
                             endpoint_id));
  FB_TRY(const bool any, row.next());
  if (!any) return facts;
  facts.known = true;
  facts.is_protected = protection_.covers(endpoint_id, row.text(0), row.text(1), string_list(row.text(2)));
  facts.status = from_string<AgentStatus>(row.text(3)).value_or(AgentStatus::offline);
  facts.desired = from_string<Isolation>(row.text(4)).value_or(Isolation::unknown);
  facts.observed = from_string<Isolation>(row.text(5)).value_or(Isolation::unknown);
  // What is being released holds nobody any more; else a new alert would join an isolation that is about to end.
  if (facts.desired == Isolation::isolated) {
    facts.standing_isolate = row.string(6);
    facts.standing_until_ms = row.integer(11);
  }
  facts.released_at_ms = row.integer(7);
  facts.released_rule = row.string(8);
  facts.generation = row.integer(9);
  facts.is_duplicate = row.integer(10) != 0;
  FB_TRY(Rows open,
         db_.query(
             "SELECT action_id, state, lease_ms FROM actions WHERE endpoint_id = ? AND verb = 'isolate' AND state IN "
             "('requested', 'awaiting_approval', 'queued', 'dispatched', 'unknown', 'accepted') "
             "ORDER BY state = 'awaiting_approval', seq LIMIT 1",
             endpoint_id));
  FB_TRY(const bool is_open, open.next());
  if (is_open) {
    facts.open_isolate = open.string(0);
    facts.open_isolate_awaits_approval = open.text(1) == to_string(ActionState::awaiting_approval);
    facts.open_lease_ms = open.integer(2);
  }
  return facts;
}

Result<int64_t> DbLedger::enrolled() {
  // Who was revoked or replaced is no part of the fleet any more: it would make every share of it larger.
  FB_TRY(const auto count, db_.integer("SELECT count(DISTINCT endpoint_id) FROM credentials WHERE revoked_at = 0"));
  return count.value_or(0);
}

Result<int64_t> DbLedger::rule_intents_since(const std::string& rule_id, int64_t since_ms) {
  FB_TRY(const auto count,
         db_.integer("SELECT count(DISTINCT endpoint_id) FROM actions WHERE manual = 0 AND intent_at > 0 AND "
                     "intent_at >= ? AND verb = 'isolate' AND rule_id = ?",
                     since_ms, rule_id));
  return count.value_or(0);
}

Result<int64_t> DbLedger::auto_intents_since(int64_t since_ms) {
  FB_TRY(const auto count,
         db_.integer("SELECT count(DISTINCT endpoint_id) FROM actions WHERE manual = 0 AND intent_at > 0 AND "
                     "intent_at >= ? AND verb = 'isolate'",
                     since_ms));
  return count.value_or(0);
}

Result<int64_t> DbLedger::standing_auto_isolations() {
  // Isolated by a rule, or about to be.
  FB_TRY(
      const auto count,
      db_.integer("SELECT count(*) FROM ("
                  "SELECT endpoint_id FROM endpoints WHERE standing_isolate <> '' AND standing_rule <> '' "
                  "UNION SELECT endpoint_id FROM actions WHERE manual = 0 AND verb = 'isolate' AND intent_at > 0 AND "
                  "state IN ('requested', 'awaiting_approval', 'queued', 'dispatched', 'unknown', 'accepted'))"));
  return count.value_or(0);
}

Result<bool> DbLedger::rule_tripped(const std::string& rule_id) {
  FB_TRY(const auto found,
         db_.integer("SELECT 1 FROM trips WHERE scope = 'rule' AND rule_id = ? AND reset_at = 0", rule_id));
  return found.has_value();
}

Result<bool> DbLedger::fleet_tripped() {
  FB_TRY(const auto found, db_.integer("SELECT 1 FROM trips WHERE scope = 'fleet' AND reset_at = 0"));
  return found.has_value();
}

Status DbLedger::trip_rule(const std::string& rule_id, const std::string& why) {
  return trip("rule", rule_id, why);
}
Status DbLedger::trip_fleet(const std::string& why) {
  return trip("fleet", "", why);
}

Result<std::vector<std::string>> DbLedger::tags_of(const std::string& endpoint_id) {
  FB_TRY(const auto tags, db_.text("SELECT tags FROM endpoints WHERE endpoint_id = ?", endpoint_id));
  return string_list(tags.value_or("[]"));
}

Result<std::vector<Ledger::Group>> DbLedger::groups_of(const std::string& endpoint_id) {
  std::vector<Group> groups;
  FB_TRY(const std::vector<std::string> tags, tags_of(endpoint_id));
  for (const std::string& tag : tags) {
    if (!tag.starts_with("group:") && !tag.starts_with("site:")) continue;
    // The tag as it stands in the JSON list, quotes and all, so that no other tag holds it.
    const std::string list = string_list_json({tag});
    FB_TRY(Rows row,
           db_.query("SELECT count(*), total(other AND cut), total(other AND by_rule) FROM ("
                     "SELECT e.endpoint_id <> ?1 AS other, e.desired = 'isolated' OR e.observed = 'isolated' AS cut, "
                     "(e.standing_isolate <> '' AND e.standing_rule <> '') OR EXISTS("
                     "SELECT 1 FROM actions a WHERE a.endpoint_id = e.endpoint_id AND a.verb = 'isolate' AND "
                     "a.manual = 0 AND a.intent_at > 0 AND a.state IN "
                     "('requested', 'awaiting_approval', 'queued', 'dispatched', 'unknown', 'accepted')) AS by_rule "
                     "FROM endpoints e WHERE instr(e.tags, ?2) > 0 AND (e.endpoint_id = ?1 OR EXISTS("
                     "SELECT 1 FROM credentials c WHERE c.endpoint_id = e.endpoint_id AND c.revoked_at = 0)))",
                     endpoint_id, list.substr(1, list.size() - 2)));
    FB_TRY(const bool any, row.next());
    if (any) groups.push_back({tag, row.integer(0), row.integer(1), row.integer(2)});
  }
  return groups;
}

Result<int64_t> DbLedger::rule_first_seen(const std::string& rule_id, const std::string& rule_hash) {
  FB_TRY_VOID(db_.run("INSERT INTO rule_versions(rule_id, rule_hash, first_seen) VALUES(?,?,?) ON CONFLICT DO NOTHING",
                      rule_id, rule_hash, now_ms_));
  FB_TRY(const auto seen,
         db_.integer("SELECT first_seen FROM rule_versions WHERE rule_id = ? AND rule_hash = ?", rule_id, rule_hash));
  return seen.value_or(now_ms_);
}

Result<int64_t> DbLedger::rules_alerting_since(const std::string& endpoint_id, int64_t since_ms) {
  FB_TRY(const auto count, db_.integer("SELECT count(*) FROM endpoint_rules WHERE endpoint_id = ? AND last_alert >= ?",
                                       endpoint_id, since_ms));
  return count.value_or(0);
}

Result<bool> DbLedger::issued(const std::string& action_id, const std::string& endpoint_id, int64_t since_ms) {
  FB_TRY(const auto found,
         db_.integer("SELECT 1 FROM actions WHERE action_id = ?1 AND endpoint_id = ?2 AND dispatched_at > 0 AND "
                     "(finished_at = 0 OR finished_at >= ?3 OR EXISTS(SELECT 1 FROM endpoints WHERE endpoint_id = ?2 "
                     "AND standing_isolate = ?1))",
                     action_id, endpoint_id, since_ms));
  return found.has_value();
}

Result<std::vector<Ledger::Maintenance>> DbLedger::maintenance_of(const std::string& endpoint_id, int64_t now_ms) {
  std::vector<Maintenance> list;
  std::optional<std::vector<std::string>> tags;  // asked for only when some window is about tags
  FB_TRY(Rows rows, db_.query("SELECT id, scope, effect, include_critical FROM maintenance WHERE starts_at <= ?1 AND "
                              "ends_at > ?1 ORDER BY id",
                              now_ms));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return list;
    constexpr std::string_view kTag = "tag:";
    std::string scope = rows.string(1);
    bool covers = scope == "host:" + endpoint_id;
    if (scope.starts_with(kTag)) {
      if (!tags) {
        FB_TRY(tags, tags_of(endpoint_id));
      }
      covers = std::find(tags->begin(), tags->end(), scope.substr(kTag.size())) != tags->end();
    }
    if (covers) list.push_back({rows.string(0), rows.text(2) == "suppress", rows.integer(3) != 0});
  }
}

Status DbLedger::trip(std::string_view scope, const std::string& rule_id, const std::string& why) {
  FB_TRY(const int64_t added,
         db_.change("INSERT INTO trips(scope, rule_id, why, tripped_at) VALUES(?,?,?,?) ON CONFLICT DO NOTHING", scope,
                    rule_id, why, now_ms_));
  if (added == 0) return {};
  return append_audit(db_, now_ms_, "guard", scope == "rule" ? "rule_tripped" : "fleet_tripped",
                      scope == "rule" ? std::string_view(rule_id) : scope, why);
}

}  // namespace fb::record
