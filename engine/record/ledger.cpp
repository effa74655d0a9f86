#include "engine/record/ledger.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/record/audit.h"

namespace fb::record {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::vector<std::string> string_list(std::string_view json) {
  std::vector<std::string> list;
  const nlohmann::json parsed = nlohmann::json::parse(json, nullptr, false);
  if (!parsed.is_array()) return list;
  for (const auto& item : parsed) {
    if (item.is_string()) list.push_back(item.get<std::string>());
  }
  return list;
}

std::string string_list_json(const std::vector<std::string>& list) {
  return nlohmann::json(list).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
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
                             "released_at, released_rule, generation FROM endpoints WHERE endpoint_id = ?",
                             endpoint_id));
  FB_TRY(const bool any, row.next());
  if (!any) return facts;
  facts.known = true;
  facts.is_protected = protection_.covers(endpoint_id, row.text(0), row.text(1), string_list(row.text(2)));
  facts.status = from_string<AgentStatus>(row.text(3)).value_or(AgentStatus::offline);
  facts.desired = from_string<Isolation>(row.text(4)).value_or(Isolation::unknown);
  facts.observed = from_string<Isolation>(row.text(5)).value_or(Isolation::unknown);
  // What is being released holds nobody any more; else a new alert would join an isolation that is about to end.
  if (facts.desired == Isolation::isolated) facts.standing_isolate = row.string(6);
  facts.released_at_ms = row.integer(7);
  facts.released_rule = row.string(8);
  facts.generation = row.integer(9);
  FB_TRY(Rows open,
         db_.query("SELECT action_id, state FROM actions WHERE endpoint_id = ? AND verb = 'isolate' AND state IN "
                   "('requested', 'awaiting_approval', 'queued', 'dispatched', 'unknown', 'accepted') "
                   "ORDER BY state = 'awaiting_approval', seq LIMIT 1",
                   endpoint_id));
  FB_TRY(const bool is_open, open.next());
  if (is_open) {
    facts.open_isolate = open.string(0);
    facts.open_isolate_awaits_approval = open.text(1) == to_string(ActionState::awaiting_approval);
  }
  return facts;
}

Result<int64_t> DbLedger::enrolled() {
  FB_TRY(const auto count, db_.integer("SELECT count(*) FROM endpoints"));
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

Status DbLedger::trip(std::string_view scope, const std::string& rule_id, const std::string& why) {
  FB_TRY(const int64_t added,
         db_.change("INSERT INTO trips(scope, rule_id, why, tripped_at) VALUES(?,?,?,?) ON CONFLICT DO NOTHING", scope,
                    rule_id, why, now_ms_));
  if (added == 0) return {};
  return append_audit(db_, now_ms_, "guard", scope == "rule" ? "rule_tripped" : "fleet_tripped",
                      scope == "rule" ? std::string_view(rule_id) : scope, why);
}

}  // namespace fb::record
