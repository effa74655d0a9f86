#include "api/rules/view.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/compile/diagnostic_codes.h"
#include "engine/ir/typed.h"
#include "engine/lang/kuery/kuery.h"
#include "engine/model/rule_uuid.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

// The same with every key as Kibana's saved objects spell it.
nlohmann::json camelled(const Json& value) {
  if (value.is_object()) {
    nlohmann::json out = nlohmann::json::object();
    for (const auto& [key, member] : value.items()) out[camel(key)] = camelled(member);
    return out;
  }
  if (!value.is_array()) return value;
  nlohmann::json out = nlohmann::json::array();
  for (const Json& member : value) out.push_back(camelled(member));
  return out;
}

std::shared_ptr<const RuleView::Index> index_of(const Json& rule) {
  auto index = std::make_shared<RuleView::Index>();
  nlohmann::json attributes = camelled(rule);
  nlohmann::json params = attributes;
  static const std::map<std::string, const char*> kAlertTypes = {{"query", "siem.queryRule"},
                                                                 {"saved_query", "siem.savedQueryRule"},
                                                                 {"eql", "siem.eqlRule"},
                                                                 {"esql", "siem.esqlRule"},
                                                                 {"threshold", "siem.thresholdRule"},
                                                                 {"new_terms", "siem.newTermsRule"},
                                                                 {"threat_match", "siem.indicatorRule"},
                                                                 {"machine_learning", "siem.mlRule"}};
  const auto alert_type = kAlertTypes.find(rule.value("type", ""));
  if (alert_type != kAlertTypes.end()) attributes["alertTypeId"] = alert_type->second;
  attributes["consumer"] = "siem";
  // Older clients ask by the tags that Kibana once kept beside the rule's own.
  nlohmann::json tags = rule.value("tags", Json::array());
  tags.push_back(std::string("__internal_immutable:") + (rule.value("immutable", false) ? "true" : "false"));
  tags.push_back("__internal_rule_id:" + rule.value("rule_id", ""));
  attributes["tags"] = std::move(tags);
  attributes["schedule"] = {{"interval", rule.value("interval", "")}};
  attributes["params"] = std::move(params);
  static const std::map<std::string, const char*> kMapped = {
      {"low", "20-low"}, {"medium", "40-medium"}, {"high", "60-high"}, {"critical", "80-critical"}};
  const auto mapped = kMapped.find(rule.value("severity", ""));
  attributes["mappedParams"] = nlohmann::json{{"riskScore", rule.value("risk_score", 0)},
                                              {"severity", mapped == kMapped.end() ? "" : mapped->second}};
  const std::string saved_id = "alert:" + rule.value("id", "");
  if (auto tree = parse_json_tree(dumped(Json{{"alert", {{"id", saved_id}, {"attributes", std::move(attributes)}}}}))) {
    index->tree = std::move(*tree);
  }
  index->created_at = rule.value("created_at", "");
  index->updated_at = rule.value("updated_at", "");
  ir::fold_case(rule.value("name", ""), index->folded_name);
  static const std::map<std::string, int> kRank = {{"low", 1}, {"medium", 2}, {"high", 3}, {"critical", 4}};
  const auto rank = kRank.find(rule.value("severity", ""));
  index->severity = rank == kRank.end() ? 0 : rank->second;
  index->risk_score = rule.value("risk_score", 0);
  index->enabled = rule.value("enabled", false);
  return index;
}

Json notice(std::string field, std::string message) {
  return Json{{"field", std::move(field)}, {"message", std::move(message)}};
}

// The key that a message of the compiler begins with: 'max_signals' is kept ...
std::string field_of(std::string_view message) {
  if (!message.starts_with('\''))
    return message.find("exception list") != std::string_view::npos ? "exceptions_list" : "query";
  return std::string(message.substr(1, message.find('\'', 1) - 1));
}

Json notices(std::string_view doc, const LoadedRule& rule) {
  Json out = Json::array();
  for (RuleNotice& n : notices_of(doc)) out.push_back(notice(std::move(n.field), std::move(n.message)));
  for (const Diagnostic& d : rule.diagnostics) {
    if (d.level == Diagnostic::Level::warning) out.push_back(notice(field_of(d.message), d.message));
  }
  return out;
}

// Kibana sorts by it: what does not run comes last.
int status_order(bool enabled, const std::string& problem) {
  return !problem.empty() ? 30 : enabled ? 15 : 0;
}

// `problem`: why it can't be run, "" = it can.
Json summary(const Json& rule, const std::string& problem) {
  const bool enabled = rule.value("enabled", false);
  Json last{{"date", rule.value("updated_at", "")}};
  if (!problem.empty()) {
    last["status"] = "failed";
    last["status_order"] = status_order(enabled, problem);
    last["message"] = problem;
  } else {
    last["status"] = enabled ? "running" : "succeeded";
    last["status_order"] = status_order(enabled, problem);
    last["message"] = enabled ? "evaluated on every event as it comes in" : "disabled";
  }
  last["metrics"] = Json::object();
  return Json{{"last_execution", std::move(last)}};
}

std::string changed_at(const std::string& file) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(file, error);
  if (error) return iso8601(0);
  const auto system = std::chrono::file_clock::to_sys(time);
  return iso8601(std::chrono::duration_cast<std::chrono::milliseconds>(system.time_since_epoch()).count());
}

}  // namespace

std::string camel(std::string_view snake) {
  std::string out;
  bool up = false;
  for (const char c : snake) {
    if (c == '_') {
      up = true;
    } else {
      out += up && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
      up = false;
    }
  }
  return out;
}

RuleViewPtr view_of(const std::string& doc, const LoadedRule& rule, bool waits) {
  auto view = std::make_shared<RuleView>();
  Json json = parse_ordered_json(doc);
  view->id = json.value("id", "");
  view->rule_id = json.value("rule_id", "");
  view->name = json.value("name", "");
  view->doc = doc;
  view->index = index_of(json);
  view->problem = rule.ok ? "" : problems_of(rule).front();
  view->waits = waits;
  json["execution_summary"] = summary(json, view->problem);
  json["firebreak"] = Json{{"source", "api"}, {"notices", notices(doc, rule)}};
  view->answer = dumped(json);
  return view;
}

RuleViewPtr waiting_view(const RuleView& view, const std::string& why) {
  auto other = std::make_shared<RuleView>(view);
  other->problem = why;
  other->waits = !why.empty();
  Json answer = parse_ordered_json(view.answer);
  answer["execution_summary"] = summary(answer, why);
  other->answer = dumped(answer);
  return other;
}

RuleViewPtr view_of_file(const LoadedRule& rule) {
  auto view = std::make_shared<RuleView>();
  const RuleMeta& meta = *rule.input.meta;
  view->from_file = true;
  view->id = file_rule_uuid(meta.rule_id);
  view->rule_id = meta.rule_id;
  view->name = meta.name;
  Json parameters = parse_ordered_json(meta.parameters);
  if (!parameters.is_object()) parameters = Json::object();
  for (const char* key : {"execution_summary", "tests", "firebreak"}) parameters.erase(key);
  Json json{{"id", view->id}, {"rule_id", meta.rule_id}, {"name", meta.name}, {"description", meta.description}};
  for (const auto& [key, value] : parameters.items()) {
    if (key != "id") json[key] = value;
  }
  if (!json.contains("output_index")) json["output_index"] = "";
  if (!json.contains("actions")) json["actions"] = Json::array();
  const std::string at = changed_at(meta.file);
  json["immutable"] = true;
  json["rule_source"] = Json{
      {"type", "external"}, {"is_customized", false}, {"customized_fields", Json::array()}, {"has_base_version", true}};
  json["created_at"] = at;
  json["created_by"] = "file";
  json["updated_at"] = at;
  json["updated_by"] = "file";
  json["revision"] = 0;
  view->doc = dumped(json);
  view->index = index_of(json);
  json["execution_summary"] = summary(json, "");
  Json all = notices(view->doc, rule);
  all.insert(all.begin(), notice("immutable", "the rule stands in the file " + printable(meta.file) +
                                                  "; the API shows it and does not change it"));
  json["firebreak"] = Json{{"source", "file"}, {"file", meta.file}, {"line", meta.line}, {"notices", std::move(all)}};
  view->answer = dumped(json);
  return view;
}

bool sort_rules(std::vector<RuleViewPtr>& rules, const RuleSort& sort) {
  using Index = RuleView::Index;
  const auto by = [&](auto key) {
    std::stable_sort(rules.begin(), rules.end(), [&](const RuleViewPtr& a, const RuleViewPtr& b) {
      return sort.ascending ? key(*a->index) < key(*b->index) : key(*b->index) < key(*a->index);
    });
    return true;
  };
  const std::string& f = sort.field;
  if (f.empty() || f == "created_at" || f == "createdAt")
    return by([](const Index& i) -> const std::string& { return i.created_at; });
  if (f == "updated_at" || f == "updatedAt")
    return by([](const Index& i) -> const std::string& { return i.updated_at; });
  if (f == "enabled") return by([](const Index& i) { return i.enabled; });
  if (f == "name") return by([](const Index& i) -> const std::string& { return i.folded_name; });
  if (f == "risk_score" || f == "riskScore") return by([](const Index& i) { return i.risk_score; });
  if (f == "severity") return by([](const Index& i) { return i.severity; });
  if (f == "_id") {  // what Elastic's own tool for detection rules sorts by
    std::stable_sort(rules.begin(), rules.end(), [&](const RuleViewPtr& a, const RuleViewPtr& b) {
      return sort.ascending ? a->id < b->id : b->id < a->id;
    });
    return true;
  }
  static constexpr std::string_view kRun = "execution_summary.last_execution.";
  if (!f.starts_with(kRun)) return false;
  const std::string_view what = std::string_view(f).substr(kRun.size());
  if (what == "date") return by([](const Index& i) -> const std::string& { return i.updated_at; });
  if (what == "status") {
    const auto order = [](const RuleViewPtr& rule) { return status_order(rule->index->enabled, rule->problem); };
    std::stable_sort(rules.begin(), rules.end(), [&](const RuleViewPtr& a, const RuleViewPtr& b) {
      return sort.ascending ? order(a) < order(b) : order(b) < order(a);
    });
    return true;
  }
  // Rules here do not run at times of their own: there are no such times, all are alike.
  return what == "metrics.execution_gap_duration_s" || what == "metrics.total_indexing_duration_ms" ||
         what == "metrics.total_search_duration_ms";
}

std::vector<std::string> problems_of(const LoadedRule& rule, std::string_view doc) {
  std::vector<std::string> out;
  std::string query_error;  // the compiler names a place in the text as it was handed to it, not in the query
  std::string query_code;
  const Json json = doc.empty() ? Json() : parse_ordered_json(doc);
  if (json.is_object() && json.value("language", "kuery") == "kuery" && json.contains("query") &&
      json["query"].is_string()) {
    const auto query = json["query"].get<std::string>();
    if (const auto parsed = lang::parse_kuery(query); !parsed) {
      const lang::QueryError& e = parsed.error();
      query_code = e.message;
      const auto at = locate(query, e.begin);
      query_error =
          "query, line " + std::to_string(at.line) + ", column " + std::to_string(at.column) + ": " + e.message;
    }
  }
  for (const Diagnostic& d : rule.diagnostics) {
    if (d.level != Diagnostic::Level::error) continue;
    std::string line = !query_error.empty() && d.message == query_code ? query_error : d.message;
    // A language that can't be run is named as the client wrote it; a type is already.
    if (d.code == compile::code::kUnsupportedLanguage) {
      line = (rule.language == rule.type ? "type '" + rule.type : "language '" + rule.language) + "': " + line;
    }
    if (!d.help.empty()) line += " (" + d.help + ")";
    out.push_back(std::move(line));
  }
  if (out.empty()) out.emplace_back("this is not a rule that can be run");
  return out;
}

}  // namespace fb::api
