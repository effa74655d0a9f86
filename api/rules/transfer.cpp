#include "api/rules/transfer.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/api.h"
#include "api/exceptions/transfer.h"
#include "api/front.h"
#include "api/rules/answers.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/record/exceptions.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

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

Result<std::string> export_rules(const Call& call, const std::vector<RuleViewPtr>& rules,
                                 const std::vector<std::string>& missing, bool without_details) {
  std::string out;
  std::string exceptions;
  int64_t lists = 0;
  int64_t items = 0;
  Json lists_missing = Json::array();
  std::set<std::pair<bool, std::string>> seen;
  ExceptionStore store = call.parts.store.exceptions();
  for (const RuleViewPtr& rule : rules) {
    out += rule->doc + "\n";
    for (const RuleExceptionList& named : RuleDesk::exception_lists_of(rule->doc)) {
      if (!seen.insert({named.agnostic, named.list_id}).second) continue;
      FB_TRY(const auto list, store.list(named.agnostic, ExceptionStore::By::human_id, named.list_id));
      if (!list) {
        lists_missing.push_back(Json{{"list_id", named.list_id}});
        continue;
      }
      FB_TRY(std::string text, export_list(call, *list, true));
      text.erase(text.rfind('\n', text.size() - 2) + 1);  // the list's own counts
      ++lists;
      items += std::count(text.begin(), text.end(), '\n') - 1;
      exceptions += text;
    }
  }
  out += exceptions;
  if (without_details) return out;
  Json absent = Json::array();
  for (const std::string& id : missing) absent.push_back(Json{{"rule_id", id}});
  const Json details{{"exported_count", static_cast<int64_t>(rules.size()) + lists + items},
                     {"exported_rules_count", rules.size()},
                     {"missing_rules", absent},
                     {"missing_rules_count", missing.size()},
                     {"exported_exception_list_count", lists},
                     {"exported_exception_list_item_count", items},
                     {"missing_exception_list_item_count", 0},
                     {"missing_exception_list_items", Json::array()},
                     {"missing_exception_lists", lists_missing},
                     {"missing_exception_lists_count", lists_missing.size()},
                     {"exported_action_connector_count", 0},
                     {"missing_action_connection_count", 0},
                     {"missing_action_connections", Json::array()},
                     {"excluded_action_connection_count", 0},
                     {"excluded_action_connections", Json::array()}};
  return out + dumped(details) + "\n";
}

namespace {

// What the lines of a file are, sorted out.
struct Sorted {
  struct Rule {
    std::string_view line;
    std::string rule_id;  // "" = it has none
    size_t number = 0;    // of the line, from 1
  };
  std::vector<Rule> rules;
  std::string exceptions;  // lists and items, as lines
  size_t connectors = 0;
  size_t unreadable = 0;
  Json errors = Json::array();
};

std::string text_of(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

Sorted sort_out(std::string_view ndjson) {
  constexpr size_t kMaxErrors = 1000;
  Sorted out;
  size_t number = 0;
  while (!ndjson.empty() && out.errors.size() < kMaxErrors) {
    const size_t end = ndjson.find('\n');
    const std::string_view line = ndjson.substr(0, end);
    ndjson.remove_prefix(end == std::string_view::npos ? ndjson.size() : end + 1);
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const bool readable = is_utf8(line) && !is_nested_deeper(line);
    const Json object = readable ? parse_ordered_json(line) : Json(Json::value_t::discarded);
    if (!object.is_object()) {
      ++out.unreadable;
      out.errors.push_back(error_of("", 400, "line " + std::to_string(number) + " is not a JSON object"));
    } else if (object.contains("exported_count") || object.contains("exported_rules_count") ||
               object.contains("exported_exception_list_count")) {
      continue;  // the summary
    } else if (object.contains("attributes") && text_of(object, "type") == "action") {
      ++out.connectors;
    } else if (object.contains("list_id") && !object.contains("risk_score")) {
      out.exceptions.append(line);
      out.exceptions += '\n';
    } else {
      out.rules.push_back({line, text_of(object, "rule_id"), number});
    }
  }
  if (!ndjson.empty()) {
    out.errors.push_back(error_of(
        "", 400,
        "too many lines are no JSON objects; from line " + std::to_string(number + 1) + " on nothing was read"));
  }
  return out;
}

}  // namespace

Result<std::string> import_rules(const Call& call, RuleDesk& desk, std::string_view ndjson, const RuleImport& options) {
  constexpr size_t kMaxRules = 10'000;
  Sorted file = sort_out(ndjson);
  Json exceptions{{"errors", Json::array()}, {"success", true}, {"success_count", 0}};
  if (!file.exceptions.empty()) {
    if (!call.who.may(Privilege::exceptions_write)) {
      exceptions["success"] = false;
      exceptions["errors"].push_back(
          Json{{"error", {{"status_code", 403}, {"message", "who imports exceptions needs exceptions_write"}}}});
    } else {
      ImportOptions how;
      how.overwrite = options.overwrite_exceptions;
      const auto imported = import_lists(call, file.exceptions, how);
      if (!imported && imported.error().code != ErrorCode::refused) return tl::unexpected<Error>(imported.error());
      const auto tell = [&exceptions](int status, const std::string& message) {
        exceptions["success"] = false;
        exceptions["errors"].push_back(Json{{"error", {{"status_code", status}, {"message", message}}}});
      };
      if (imported) {
        exceptions = parse_ordered_json(imported->summary);
        if (!imported->in_force) tell(503, imported->in_force.error().message);
      } else {
        tell(403, imported.error().message);
      }
    }
  }

  Json errors = std::move(file.errors);
  Json notices = Json::array();
  std::vector<RuleDesk::Change> changes;
  std::vector<std::string> ids;
  std::map<std::string, size_t> seen;  // rule_id -> place in `changes`
  for (const Sorted::Rule& rule : file.rules) {
    const std::string& rule_id = rule.rule_id;
    auto shaped = shape_rule(rule.line);
    std::string problem;
    int status = 400;
    const RuleViewPtr standing = desk.by_rule_id(rule_id);
    const auto before = seen.find(rule_id);
    if (!shaped) {
      status = shaped.error().status;
      problem = joined(shaped.error().messages);
    } else if (rule_id.empty()) {
      problem = "rule_id: Required";
    } else if (before != seen.end() && !options.overwrite) {
      problem = "More than one rule with rule-id: \"" + rule_id + "\" found";
    } else if (before == seen.end() && ids.size() == kMaxRules) {
      problem = "Can't import more than " + std::to_string(kMaxRules) + " rules";
    } else if (standing && !options.overwrite && !standing->from_file) {
      status = 409;
      problem = "rule_id: \"" + rule_id + "\" already exists";
    }
    if (!problem.empty()) {
      if (rule_id.empty()) problem = "line " + std::to_string(rule.number) + ": " + problem;
      errors.push_back(error_of(rule_id, status, problem));
      continue;
    }
    for (const std::string& key : shaped->left_out) {
      notices.push_back(Json{{"rule_id", rule_id}, {"field", key}, {"message", "left out: no rule has this key"}});
    }
    if (before != seen.end()) {  // as Kibana: with overwrite the last one counts
      changes[before->second].doc = shaped->doc;
      continue;
    }
    seen.emplace(rule_id, changes.size());
    changes.push_back({standing, "imported", shaped->doc, ""});
    ids.push_back(rule_id);
  }
  const auto results = desk.apply(std::move(changes), author_of(call));
  size_t good = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i]) {
      ++good;
    } else {
      errors.push_back(error_of(ids[i], results[i].error().status, joined(results[i].error().messages)));
    }
  }
  Json warnings = Json::array();
  if (file.connectors > 0) {
    warnings.push_back(
        Json{{"type", "simple"},
             {"message", std::to_string(file.connectors) + " connectors were left out: rules call no connectors here, "
                                                           "see notifications in the config"},
             {"actionPath", ""},
             {"buttonLabel", ""}});
  }
  return dumped(Json{{"success", errors.empty()},
                     {"success_count", good},
                     {"rules_count", file.rules.size() + file.unreadable},
                     {"errors", std::move(errors)},
                     {"exceptions_success", exceptions["success"]},
                     {"exceptions_success_count", exceptions["success_count"]},
                     {"exceptions_errors", exceptions["errors"]},
                     {"action_connectors_success", true},
                     {"action_connectors_success_count", 0},
                     {"action_connectors_errors", Json::array()},
                     {"action_connectors_warnings", std::move(warnings)},
                     {"firebreak", {{"notices", std::move(notices)}}}});
}

}  // namespace fb::api
