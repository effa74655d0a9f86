#include "api/rules/transfer.h"

#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/text.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& j) {
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string joined(const std::vector<std::string>& messages) {
  std::string all;
  for (const std::string& m : messages) all += (all.empty() ? "" : ", ") + m;
  return all;
}

Json error_of(const std::string& rule_id, int status, const std::string& message) {
  return Json{{"rule_id", rule_id.empty() ? "(unknown id)" : rule_id},
              {"error", {{"status_code", status}, {"message", message}}}};
}

}  // namespace

std::string export_rules(const std::vector<RuleViewPtr>& rules, const std::vector<std::string>& missing,
                         bool without_details) {
  std::string out;
  for (const RuleViewPtr& rule : rules) out += rule->doc + "\n";
  if (without_details) return out;
  Json absent = Json::array();
  for (const std::string& id : missing) absent.push_back(Json{{"rule_id", id}});
  const Json details{{"exported_count", rules.size()},
                     {"exported_rules_count", rules.size()},
                     {"missing_rules", absent},
                     {"missing_rules_count", missing.size()},
                     {"exported_exception_list_count", 0},
                     {"exported_exception_list_item_count", 0},
                     {"missing_exception_list_item_count", 0},
                     {"missing_exception_list_items", Json::array()},
                     {"missing_exception_lists", Json::array()},
                     {"missing_exception_lists_count", 0},
                     {"exported_action_connector_count", 0},
                     {"missing_action_connection_count", 0},
                     {"missing_action_connections", Json::array()},
                     {"excluded_action_connection_count", 0},
                     {"excluded_action_connections", Json::array()}};
  return out + dumped(details) + "\n";
}

std::string import_rules(RuleDesk& desk, std::string_view ndjson, bool overwrite, const std::string& who) {
  constexpr size_t kMaxRules = 10'000;
  Json errors = Json::array();
  Json exception_errors = Json::array();
  std::vector<RuleDesk::Change> changes;
  std::vector<std::string> ids;
  std::set<std::string> seen;
  size_t rules = 0;
  while (!ndjson.empty()) {
    const size_t end = ndjson.find('\n');
    std::string_view line = ndjson.substr(0, end);
    ndjson.remove_prefix(end == std::string_view::npos ? ndjson.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Json object = is_utf8(line) ? Json::parse(line, nullptr, false) : Json(Json::value_t::discarded);
    if (!object.is_object()) {
      errors.push_back(error_of("", 400, "a line of the file is not a JSON object"));
      continue;
    }
    if (object.contains("exported_count") || object.contains("exported_rules_count")) continue;  // the summary
    if (object.contains("list_id") && !object.contains("risk_score")) {
      exception_errors.push_back(Json{
          {"list_id", object["list_id"]},
          {"error", {{"status_code", 400}, {"message", "exceptions are imported at /api/exception_lists/_import"}}}});
      continue;
    }
    ++rules;
    auto shaped = shape_rule(line);
    const auto given = object.find("rule_id");
    const std::string rule_id = given != object.end() && given->is_string() ? given->get<std::string>() : "";
    if (!shaped) {
      errors.push_back(error_of(rule_id, shaped.error().status, joined(shaped.error().messages)));
      continue;
    }
    if (rule_id.empty()) {
      errors.push_back(error_of("", 400, "rule_id: Required"));
      continue;
    }
    if (!seen.insert(rule_id).second) {
      errors.push_back(error_of(rule_id, 400, "More than one rule with rule-id: \"" + rule_id + "\" found"));
      continue;
    }
    if (rules > kMaxRules) {
      errors.push_back(error_of(rule_id, 400, "Can't import more than " + std::to_string(kMaxRules) + " rules"));
      continue;
    }
    const RuleViewPtr standing = desk.by_rule_id(rule_id);
    if (standing && !overwrite && !standing->from_file) {
      errors.push_back(error_of(rule_id, 409, "rule_id: \"" + rule_id + "\" already exists"));
      continue;
    }
    changes.push_back({standing, "imported", shaped->doc, ""});
    ids.push_back(rule_id);
  }
  const auto results = desk.apply(std::move(changes), who);
  size_t good = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i]) {
      ++good;
      continue;
    }
    errors.push_back(error_of(ids[i], results[i].error().status, joined(results[i].error().messages)));
  }
  const bool exceptions_good = exception_errors.empty();
  return dumped(Json{{"success", errors.empty()},
                     {"success_count", good},
                     {"rules_count", rules},
                     {"errors", std::move(errors)},
                     {"exceptions_success", exceptions_good},
                     {"exceptions_success_count", 0},
                     {"exceptions_errors", std::move(exception_errors)},
                     {"action_connectors_success", true},
                     {"action_connectors_success_count", 0},
                     {"action_connectors_errors", Json::array()},
                     {"action_connectors_warnings", Json::array()}});
}

}  // namespace fb::api
