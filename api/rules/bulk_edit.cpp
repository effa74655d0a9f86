#include "api/rules/bulk_edit.h"

#include <algorithm>
#include <array>

#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

// Edits of one list of strings within a rule.
struct ListEdit {
  std::string_view type;
  std::string_view key;
  char how;  // '+', '-', '='
};
constexpr auto kLists = std::to_array<ListEdit>({
    {"add_tags", "tags", '+'},
    {"delete_tags", "tags", '-'},
    {"set_tags", "tags", '='},
    {"add_index_patterns", "index", '+'},
    {"delete_index_patterns", "index", '-'},
    {"set_index_patterns", "index", '='},
    {"add_investigation_fields", "investigation_fields", '+'},
    {"delete_investigation_fields", "investigation_fields", '-'},
    {"set_investigation_fields", "investigation_fields", '='},
});

const ListEdit* list_edit(std::string_view type) {
  const auto it = std::find_if(kLists.begin(), kLists.end(), [&](const ListEdit& e) { return e.type == type; });
  return it == kLists.end() ? nullptr : &*it;
}

bool is_texts(const Json& v) {
  return v.is_array() && std::all_of(v.begin(), v.end(), [](const Json& s) { return s.is_string(); });
}

std::string problem_of(const Json& edit) {
  if (edit.is_object() && edit.contains("type") && edit["type"] == "delete_alert_suppression") return "";
  if (!edit.is_object() || !edit.contains("type") || !edit["type"].is_string() || !edit.contains("value")) {
    return "an edit is {\"type\": ..., \"value\": ...}";
  }
  const auto type = edit["type"].get<std::string>();
  const Json& value = edit["value"];
  const std::string bad = "edit: the value of '" + printable(type.substr(0, 60)) + "' ";
  if (const ListEdit* list = list_edit(type)) {
    const Json& texts = list->key == "investigation_fields" && value.is_object() && value.contains("field_names")
                            ? value["field_names"]
                            : value;
    return is_texts(texts) ? "" : bad + "must be a list of strings";
  }
  if (type == "set_timeline") {
    const bool good = value.is_object() && value.contains("timeline_id") && value["timeline_id"].is_string() &&
                      value.contains("timeline_title") && value["timeline_title"].is_string();
    return good ? "" : bad + "must name timeline_id and timeline_title";
  }
  if (type == "set_alert_suppression") {
    const bool good = value.is_object() && value.contains("group_by") && is_texts(value["group_by"]) &&
                      !value["group_by"].empty() && value["group_by"].size() <= 3;
    return good ? "" : bad + "must group by 1 to 3 fields";
  }
  if (type == "add_rule_actions" || type == "set_rule_actions") {
    const bool good =
        value.is_object() && value.contains("actions") && value["actions"].is_array() &&
        std::all_of(value["actions"].begin(), value["actions"].end(), [](const Json& a) { return a.is_object(); });
    return good ? "" : bad + "must hold a list of actions";
  }
  if (type == "set_schedule") {
    const bool texts = value.is_object() && value.contains("interval") && value["interval"].is_string() &&
                       value.contains("lookback") && value["lookback"].is_string();
    const bool good = texts && parse_duration_ms(value["interval"].get<std::string>()) &&
                      parse_duration_ms(value["lookback"].get<std::string>());
    return good ? "" : bad + "must hold an interval and a lookback such as 5m";
  }
  return "edit: there is no type '" + printable(type.substr(0, 60)) + "'";
}

void change_list(Json& list, const Json& values, char how) {
  if (how == '=') {
    list = Json::array();
    for (const Json& v : values) {
      if (std::find(list.begin(), list.end(), v) == list.end()) list.push_back(v);
    }
    return;
  }
  if (!list.is_array()) list = Json::array();
  for (const Json& v : values) {
    const auto at = std::find(list.begin(), list.end(), v);
    if (how == '+' && at == list.end()) list.push_back(v);
    if (how == '-' && at != list.end()) list.erase(at);
  }
}

// The order of an object's keys says nothing.
bool same(const Json& a, const Json& b) {
  return nlohmann::json(a) == nlohmann::json(b);
}

// An action as rules have it. Edits name a connector by its id alone, and Firebreak has no connectors to ask for the
// kind: it is that of the rule's own action with this id, else one that says so.
Json whole_action(Json action, const Json& own) {
  if (!action.contains("group")) action["group"] = "default";
  if (action.contains("action_type_id")) return action;
  action["action_type_id"] = ".unknown";
  for (const Json& other : own) {
    const bool alike =
        other.is_object() && other.contains("id") && action.contains("id") && other["id"] == action["id"];
    if (alike && other.contains("action_type_id")) action["action_type_id"] = other["action_type_id"];
  }
  return action;
}

void apply(Json& rule, const Json& edit) {
  const auto type = edit["type"].get<std::string>();
  if (type == "delete_alert_suppression") {
    rule.erase("alert_suppression");
    return;
  }
  const Json& value = edit["value"];
  if (const ListEdit* e = list_edit(type)) {
    if (e->key != "investigation_fields") {
      const std::string key(e->key);
      if (!rule.contains(key) && e->how == '-') return;
      Json list = rule.value(key, Json::array());
      change_list(list, value, e->how);
      rule[key] = std::move(list);
      return;
    }
    Json list = Json::array();
    if (const auto it = rule.find("investigation_fields"); it != rule.end() && it->is_object()) {
      list = it->value("field_names", Json::array());
    }
    change_list(list, value.is_object() ? value["field_names"] : value, e->how);
    if (list.empty()) {
      rule.erase("investigation_fields");
    } else {
      rule["investigation_fields"] = Json{{"field_names", std::move(list)}};
    }
  } else if (type == "set_alert_suppression") {
    rule["alert_suppression"] = value;
  } else if (type == "set_timeline") {
    for (const char* key : {"timeline_id", "timeline_title"}) rule[key] = value[key];
    if (value["timeline_id"] == "" && value["timeline_title"] == "") {  // as Kibana's page takes a timeline away
      rule.erase("timeline_id");
      rule.erase("timeline_title");
    }
  } else if (type == "set_schedule") {
    const int64_t interval = parse_duration_ms(value["interval"].get<std::string>()).value_or(0);
    const int64_t lookback = parse_duration_ms(value["lookback"].get<std::string>()).value_or(0);
    rule["interval"] = value["interval"];
    rule["from"] = "now-" + std::to_string((interval + lookback) / 1000) + "s";
    rule["to"] = "now";
  } else {
    const Json own = rule.value("actions", Json::array());
    Json actions = type == "set_rule_actions" ? Json::array() : own;
    for (const Json& sent : value["actions"]) {
      Json action = whole_action(sent, own);
      const auto stands = [&action](const Json& other) { return same(action, other); };
      if (std::none_of(actions.begin(), actions.end(), stands)) actions.push_back(std::move(action));
    }
    rule["actions"] = std::move(actions);
    if (const auto it = value.find("throttle"); it != value.end() && !it->is_null()) rule["throttle"] = *it;
  }
}

}  // namespace

std::string check_edits(std::string_view edits) {
  const Json list = parse_ordered_json(edits);
  if (!list.is_array() || list.empty()) return "edit: at least one edit is needed";
  for (const Json& edit : list) {
    if (std::string problem = problem_of(edit); !problem.empty()) return problem;
  }
  return {};
}

tl::expected<std::string, RuleRefusal> edited(std::string_view doc, std::string_view edits) {
  Json rule = parse_ordered_json(doc);
  const Json before = rule;
  for (const Json& edit : parse_ordered_json(edits)) apply(rule, edit);
  if (same(rule, before)) return std::string(doc);
  auto shaped = shape_rule(dumped(rule));
  if (!shaped) return tl::unexpected(std::move(shaped.error()));
  return std::move(shaped->doc);
}

}  // namespace fb::api
