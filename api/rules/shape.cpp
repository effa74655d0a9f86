#include "api/rules/shape.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

enum class Is : uint8_t {
  text,    // any string
  filled,  // a string of at least one character
  truth,
  score,    // 0..100
  counter,  // an integer from 1
  texts,    // a list of strings
  objects,  // a list of objects
  object,
  severity,
  type,
  language,
  block,   // "default"
  texts1,  // a string or a list of them
};

struct Key {
  std::string_view name;
  Is is;
};

// Everything a client may say of a rule, and Firebreak's own at the end.
constexpr auto kKeys = std::to_array<Key>({
    {"name", Is::filled},
    {"description", Is::filled},
    {"risk_score", Is::score},
    {"severity", Is::severity},
    {"type", Is::type},
    {"rule_id", Is::filled},
    {"enabled", Is::truth},
    {"interval", Is::text},
    {"from", Is::text},
    {"to", Is::text},
    {"max_signals", Is::counter},
    {"version", Is::counter},
    {"risk_score_mapping", Is::objects},
    {"severity_mapping", Is::objects},
    {"exceptions_list", Is::objects},
    {"false_positives", Is::texts},
    {"actions", Is::objects},
    {"related_integrations", Is::objects},
    {"required_fields", Is::objects},
    {"references", Is::texts},
    {"threat", Is::objects},
    {"tags", Is::texts},
    {"author", Is::texts},
    {"setup", Is::text},
    {"output_index", Is::text},
    {"rule_name_override", Is::text},
    {"timestamp_override", Is::text},
    {"timestamp_override_fallback_disabled", Is::truth},
    {"timeline_id", Is::filled},
    {"timeline_title", Is::filled},
    {"license", Is::text},
    {"note", Is::text},
    {"building_block_type", Is::block},
    {"namespace", Is::text},
    {"meta", Is::object},
    {"investigation_fields", Is::object},
    {"throttle", Is::text},
    {"response_actions", Is::objects},
    {"outcome", Is::text},
    {"alias_target_id", Is::text},
    {"alias_purpose", Is::text},
    {"query", Is::text},
    {"language", Is::language},
    {"index", Is::texts},
    {"data_view_id", Is::text},
    {"filters", Is::objects},
    {"saved_id", Is::filled},
    {"alert_suppression", Is::object},
    {"event_category_override", Is::text},
    {"tiebreaker_field", Is::text},
    {"timestamp_field", Is::text},
    {"threshold", Is::object},
    {"new_terms_fields", Is::texts},
    {"history_window_start", Is::filled},
    {"threat_query", Is::text},
    {"threat_mapping", Is::objects},
    {"threat_index", Is::texts},
    {"threat_filters", Is::objects},
    {"threat_language", Is::language},
    {"threat_indicator_path", Is::text},
    {"concurrent_searches", Is::counter},
    {"items_per_search", Is::counter},
    {"anomaly_threshold", Is::score},
    {"machine_learning_job_id", Is::texts1},
    {"response", Is::object},
    {"tests", Is::objects},
    {"learn_period", Is::text},
});

constexpr auto kRequired = std::to_array<std::string_view>({"name", "description", "risk_score", "severity", "type"});

// An answer's own keys: what a client read, it may send back.
constexpr auto kAnswered =
    std::to_array<std::string_view>({"id", "immutable", "rule_source", "created_at", "created_by", "updated_at",
                                     "updated_by", "revision", "execution_summary", "firebreak"});

constexpr auto kTypes = std::to_array<std::string_view>(
    {"query", "saved_query", "eql", "esql", "threshold", "new_terms", "threat_match", "machine_learning"});
constexpr auto kLanguages = std::to_array<std::string_view>({"kuery", "lucene", "eql", "esql"});
constexpr auto kSeverities = std::to_array<std::string_view>({"low", "medium", "high", "critical"});

Json defaults() {
  return Json{{"enabled", false},
              {"interval", "5m"},
              {"from", "now-6m"},
              {"to", "now"},
              {"max_signals", 100},
              {"version", 1},
              {"risk_score_mapping", Json::array()},
              {"severity_mapping", Json::array()},
              {"exceptions_list", Json::array()},
              {"false_positives", Json::array()},
              {"actions", Json::array()},
              {"related_integrations", Json::array()},
              {"required_fields", Json::array()},
              {"references", Json::array()},
              {"threat", Json::array()},
              {"tags", Json::array()},
              {"author", Json::array()},
              {"setup", ""},
              {"output_index", ""}};
}

bool has(const auto& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string one_of(const auto& words) {
  std::string out = "must be one of";
  for (const std::string_view w : words) out += " '" + std::string(w) + "'";
  return out;
}

std::string list_problem(const Json& v, bool objects) {
  if (!v.is_array()) return "must be an array";
  for (size_t i = 0; i < v.size(); ++i) {
    if (objects ? !v[i].is_object() : !v[i].is_string()) {
      return "[" + std::to_string(i) + "] must be " + (objects ? "an object" : "a string");
    }
  }
  return {};
}

// What is wrong with the value of a key; "" when nothing is.
std::string value_problem(Is is, const Json& v) {
  switch (is) {
    case Is::text:
      return v.is_string() ? "" : "must be a string";
    case Is::filled:
      return !v.is_string() ? "must be a string" : v.get_ref<const std::string&>().empty() ? "must not be empty" : "";
    case Is::truth:
      return v.is_boolean() ? "" : "must be a boolean";
    case Is::score:
      return v.is_number_integer() && v >= 0 && v <= 100 ? "" : "must be an integer from 0 to 100";
    case Is::counter:
      return v.is_number_integer() && v >= 1 && v <= 1'000'000'000 ? "" : "must be an integer of at least 1";
    case Is::texts:
      return list_problem(v, false);
    case Is::objects:
      return list_problem(v, true);
    case Is::object:
      return v.is_object() ? "" : "must be an object";
    case Is::severity:
      return v.is_string() && has(kSeverities, v.get_ref<const std::string&>()) ? "" : one_of(kSeverities);
    case Is::type:
      return v.is_string() && has(kTypes, v.get_ref<const std::string&>()) ? "" : one_of(kTypes);
    case Is::language:
      return v.is_string() && has(kLanguages, v.get_ref<const std::string&>()) ? "" : one_of(kLanguages);
    case Is::block:
      return v == "default" ? "" : "must be 'default'";
    case Is::texts1:
      return v.is_string() ? "" : list_problem(v, false);
  }
  return {};
}

std::string dumped(const Json& j) {
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

tl::expected<Json, RuleRefusal> object_of(std::string_view body) {
  Json j = Json::parse(body, nullptr, false);
  if (j.is_discarded()) return tl::unexpected(refuse_body({"is not JSON"}));
  if (!j.is_object()) return tl::unexpected(refuse_body({"Expected object, received " + std::string(j.type_name())}));
  return j;
}

// Keys in the order of kKeys, so that two texts of one rule compare line by line.
tl::expected<ShapedRule, RuleRefusal> shaped(const Json& body) {
  std::vector<std::string> problems;
  for (const std::string_view key : kRequired) {
    if (!body.contains(key)) problems.push_back(std::string(key) + ": Required");
  }
  ShapedRule out;
  for (const auto& [key, value] : body.items()) {
    const auto known = std::find_if(kKeys.begin(), kKeys.end(), [&](const Key& k) { return k.name == key; });
    if (known == kKeys.end()) {
      if (!has(kAnswered, key)) out.left_out.push_back(printable(key.substr(0, 100)));
      continue;
    }
    if (const std::string problem = value_problem(known->is, value); !problem.empty()) {
      problems.push_back(key + ": " + problem);
    }
  }
  if (const auto id = body.find("id"); id != body.end()) {
    if (!id->is_string()) problems.emplace_back("id: must be a string");
    if (id->is_string()) out.id = id->get<std::string>();
  }
  if (!problems.empty()) return tl::unexpected(refuse_body(std::move(problems)));

  std::vector<std::string> meaning;  // of the whole rule, as Kibana's handlers tell it
  if (body.contains("timeline_id") != body.contains("timeline_title")) {
    meaning.push_back(body.contains("timeline_id") ? "when \"timeline_id\" exists, \"timeline_title\" must also exist"
                                                   : "when \"timeline_title\" exists, \"timeline_id\" must also exist");
  }
  if (body.contains("index") && body.contains("data_view_id") && !body["index"].empty() && body["data_view_id"] != "") {
    meaning.emplace_back("\"index\" and \"data_view_id\" can't both be set");
  }
  int defaults_lists = 0;
  if (const auto lists = body.find("exceptions_list"); lists != body.end()) {
    for (const Json& entry : *lists) {
      for (const char* key : {"id", "list_id", "type", "namespace_type"}) {
        if (!entry.contains(key) || !entry[key].is_string()) {
          return tl::unexpected(refuse_body({std::string("exceptions_list: ") + key + " must be a string"}));
        }
      }
      if (entry["type"] == "rule_default") ++defaults_lists;
    }
  }
  if (defaults_lists > 1) meaning.emplace_back("a rule has at most one exception list of type \"rule_default\"");
  if (!meaning.empty()) return tl::unexpected(RuleRefusal{400, true, std::move(meaning)});

  Json doc = Json::object();
  const Json filled = defaults();
  for (const Key& k : kKeys) {
    const std::string key(k.name);
    if (const auto it = body.find(key); it != body.end()) {
      doc[key] = *it;
    } else if (const auto d = filled.find(key); d != filled.end()) {
      doc[key] = *d;
    }
  }
  const std::string& type = doc["type"].get_ref<const std::string&>();
  if (!doc.contains("language") && type != "machine_learning" && type != "eql" && type != "esql") {
    doc["language"] = "kuery";
  }
  if (!doc.contains("query") && type == "query") doc["query"] = "";
  if (const auto id = doc.find("rule_id"); id != doc.end()) out.rule_id = id->get<std::string>();
  out.doc = dumped(doc);
  return out;
}

}  // namespace

RuleRefusal refuse(int status, std::string message) {
  return {status, true, {std::move(message)}};
}

RuleRefusal refuse_body(std::vector<std::string> problems) {
  std::string all = "[request body]: ";
  for (size_t i = 0; i < problems.size(); ++i) all += (i == 0 ? "" : ", ") + problems[i];
  return {400, false, {std::move(all)}};
}

tl::expected<ShapedRule, RuleRefusal> shape_rule(std::string_view body) {
  auto object = object_of(body);
  if (!object) return tl::unexpected(object.error());
  return shaped(*object);
}

tl::expected<ShapedRule, RuleRefusal> patch_rule(std::string_view standing, std::string_view body) {
  auto change = object_of(body);
  if (!change) return tl::unexpected(change.error());
  Json rule = Json::parse(standing, nullptr, false);
  if (const auto type = change->find("type"); type != change->end() && *type != rule["type"]) {
    return tl::unexpected(refuse(400, "the type of a rule can't be changed by PATCH"));
  }
  for (const auto& [key, value] : change->items()) {
    if (key == "rule_id" || key == "id") continue;  // they say which rule, not what of it changes
    if (value.is_null() && !has(kRequired, key)) {
      rule.erase(key);
    } else {
      rule[key] = value;
    }
  }
  return shaped(rule);
}

std::string engine_text(std::string_view doc) {
  Json rule = Json::parse(doc, nullptr, false);
  if (!rule.is_object()) return std::string(doc);
  for (const std::string_view key : kAnswered) {
    if (key != "id") rule.erase(std::string(key));
  }
  return dumped(rule);
}

std::vector<RuleNotice> notices_of(std::string_view doc) {
  struct Kept {
    const char* key;
    const char* message;
  };
  static constexpr auto kKept = std::to_array<Kept>({
      {"index", "kept; the rule looks at every event of every topic"},
      {"data_view_id", "kept; the rule looks at every event of every topic"},
      {"timeline_id", "kept; Firebreak has no timelines"},
      {"investigation_fields", "kept; no page of Firebreak reads it"},
      {"namespace", "kept; Firebreak has one space"},
      {"output_index", "kept; alerts go into the record and the alerts topic"},
      {"related_integrations", "kept; nothing is installed"},
      {"required_fields", "kept; an event without them simply does not match"},
      {"throttle", "kept; no connector is called"},
  });
  const Json rule = Json::parse(doc, nullptr, false);
  std::vector<RuleNotice> out;
  if (!rule.is_object()) return out;
  for (const Kept& kept : kKept) {
    const auto it = rule.find(kept.key);
    if (it == rule.end() || it->is_null() || *it == "" || (it->is_structured() && it->empty())) continue;
    out.push_back({kept.key, kept.message});
  }
  return out;
}

}  // namespace fb::api
