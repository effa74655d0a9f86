// Detection rules: create, read, change, delete, find; versions with diff and restore.
#include <algorithm>
#include <charconv>
#include <set>

#include "api/api.h"
#include "api/routes/answers.h"
#include "api/rules/answers.h"
#include "api/signals/search.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/net/uri.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

// A handler that needs the desk.
Handle with_desk(net::Response (*handle)(const Call&, RuleDesk&)) {
  return [handle](const Call& call) {
    RuleDesk* desk = desk_of(call);
    return desk == nullptr ? no_desk() : handle(call, *desk);
  };
}

std::optional<int64_t> whole_number(const std::string& text, int64_t least, int64_t most) {
  int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || v < least || v > most) return std::nullopt;
  return v;
}

// The rule that ?id= or ?rule_id= names.
RuleResult<RuleViewPtr> asked_for(const Call& call, const RuleDesk& desk) {
  const std::string id = call.query("id");
  const std::string rule_id = call.query("rule_id");
  if (!id.empty() && !rule_id.empty()) {
    return tl::unexpected(refuse_meaning({"either \"id\" or \"rule_id\" must be set"}));
  }
  return desk.named(id, rule_id);
}

// Every value of a name of the query that may be repeated, commas taken apart.
std::vector<std::string> repeated(std::string_view target, std::string_view name) {
  std::vector<std::string> out;
  std::string_view rest = target.substr(std::min(target.find('?'), target.size()));
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(pair.size());
    const size_t equals = std::min(pair.find('='), pair.size());
    const auto key = net::percent_decode(pair.substr(0, equals), true);
    if (!key || (*key != name && *key != std::string(name) + "[]")) continue;
    const auto values = net::percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
    for (size_t at = 0; values && at <= values->size();) {
      const size_t end = std::min(values->find(',', at), values->size());
      if (end > at) out.push_back(values->substr(at, end - at));
      at = end + 1;
    }
  }
  return out;
}

// "alert.attributes.params.riskScore" -> risk_score: fields are asked for as the saved object or as the answer has
// them.
std::string answered_key(std::string_view field) {
  for (const std::string_view prefix : {"alert.attributes.", "alert.", "params."}) {
    if (field.starts_with(prefix)) field.remove_prefix(prefix.size());
  }
  std::string out;
  for (const char c : field.substr(0, field.find('.'))) {
    if (c >= 'A' && c <= 'Z') {
      out += '_';
      out += static_cast<char>(c - 'A' + 'a');
    } else {
      out += c;
    }
  }
  return out;
}

// Of an answer what was asked for, and what tells which rule it is.
std::string cut_to(const std::string& answer, const std::set<std::string>& keys) {
  Json cut = Json::object();
  const Json whole = parse_ordered_json(answer);
  for (const auto& [key, value] : whole.items()) {
    if (keys.contains(key)) cut[key] = value;
  }
  return dumped(cut);
}

net::Response read_rule(const Call& call, RuleDesk& desk) {
  return answer(asked_for(call, desk));
}

net::Response remove_rule(const Call& call, RuleDesk& desk) {
  auto rule = asked_for(call, desk);
  if (!rule) return answer(rule.error());
  return answer(desk.remove(*rule, author_of(call)));
}

net::Response find_rules(const Call& call, RuleDesk& desk) {
  const auto page = whole_number(call.query("page", "1"), 1, 1'000'000);
  const auto per_page = whole_number(call.query("per_page", "20"), 0, 10'000);
  if (!page) return problem(400, "[request query]: page: must be an integer of at least 1");
  if (!per_page) return problem(400, "[request query]: per_page: must be an integer from 0 to 10000");
  const std::string order = call.query("sort_order");
  const std::string field = call.query("sort_field");
  if (order.empty() != field.empty()) {
    return siem_problems(400, {"when \"sort_order\" and \"sort_field\" must exist together or not at all"});
  }
  if (!order.empty() && order != "asc" && order != "desc") {
    return problem(400, "[request query]: sort_order: must be 'asc' or 'desc'");
  }
  const auto found = desk.find(call.query("filter"), RuleSort{field, order == "asc"});
  if (!found) return answer(found.error());
  std::string body = "{\"page\":" + std::to_string(*page) + ",\"perPage\":" + std::to_string(*per_page) +
                     ",\"total\":" + std::to_string(found->size()) + ",\"data\":[";
  std::set<std::string> keys;
  for (const std::string& wanted : repeated(call.request.target, "fields")) keys.insert(answered_key(wanted));
  const bool whole = keys.empty();
  for (const char* key : {"id", "rule_id", "type"}) keys.insert(key);
  const auto first = static_cast<size_t>((*page - 1) * *per_page);
  for (size_t i = first; i < found->size() && i < first + static_cast<size_t>(*per_page); ++i) {
    if (i > first) body += ',';
    body += whole ? (*found)[i]->answer : cut_to((*found)[i]->answer, keys);
  }
  return json(200, body + "]}");
}

net::Response tags(const Call& /*call*/, RuleDesk& desk) {
  std::set<std::string> all;
  const auto rules = desk.find("", {});
  if (!rules) return answer(rules.error());
  for (const RuleViewPtr& rule : *rules) {
    for (const Json& tag : parse_ordered_json(rule->doc).value("tags", Json::array()))
      all.insert(tag.get<std::string>());
  }
  return json(200, dumped(Json(all)));
}

// Clients ask for these before anything else.
net::Response privileges(const Call& call) {
  const Json all{{"read", call.who.may(Privilege::alerts_read)},
                 {"write", call.who.may(Privilege::alerts_write)},
                 {"view_index_metadata", call.who.may(Privilege::alerts_read)},
                 {"maintenance", call.who.may(Privilege::alerts_write)}};
  return json(200, dumped(Json{{"username", call.who.person},
                               {"has_all_requested", call.who.may(Privilege::alerts_write)},
                               {"cluster", Json::object()},
                               {"index", {{kAlertIndex, all}}},
                               {"application", Json::object()},
                               {"is_authenticated", true},
                               {"has_encryption_key", true}}));
}

net::Response alert_index(const Call& /*call*/) {
  return json(200, dumped(Json{{"name", kAlertIndex}, {"index_mapping_outdated", false}}));
}

// Rules of files are what is installed with Firebreak; nothing is waiting to be installed.
net::Response prepackaged(const Call& /*call*/, RuleDesk& desk) {
  const auto rules = desk.find("", {});
  if (!rules) return answer(rules.error());
  int64_t from_files = 0;
  for (const RuleViewPtr& rule : *rules) from_files += rule->from_file ? 1 : 0;
  return json(200, dumped(Json{{"rules_custom_installed", static_cast<int64_t>(rules->size()) - from_files},
                               {"rules_installed", from_files},
                               {"rules_not_installed", 0},
                               {"rules_not_updated", 0},
                               {"timelines_installed", 0},
                               {"timelines_not_installed", 0},
                               {"timelines_not_updated", 0}}));
}

net::Response versions(const Call& call, RuleDesk& desk) {
  const auto list = desk.versions(call.params.at("id"));
  if (!list) return failed(list.error());
  if (list->empty()) return problem(404, "no rule that came through the API is called '" + call.params.at("id") + "'");
  Json out = Json::array();
  for (const RuleVersion& v : *list) {
    out.push_back(Json{{"version", v.number},
                       {"at", iso8601(v.at_ms)},
                       {"author", v.author},
                       {"what", v.what},
                       {"rule", parse_ordered_json(v.doc)}});
  }
  return json(200, dumped(Json{{"id", list->back().id}, {"rule_id", list->back().rule_id}, {"versions", out}}));
}

net::Response diff(const Call& call, RuleDesk& desk) {
  const auto list = desk.versions(call.params.at("id"));
  if (!list) return failed(list.error());
  if (list->empty()) return problem(404, "no rule that came through the API is called '" + call.params.at("id") + "'");
  const int64_t newest = list->back().number;
  const auto to = whole_number(call.query("to", std::to_string(newest)), 1, newest);
  if (!to) return problem(404, "the rule has versions 1 to " + std::to_string(newest));
  const auto from = whole_number(call.query("from", std::to_string(std::max<int64_t>(1, *to - 1))), 1, newest);
  if (!from) return problem(404, "the rule has versions 1 to " + std::to_string(newest));
  const auto doc_of = [&](int64_t number) {
    const auto it = std::find_if(list->begin(), list->end(), [&](const RuleVersion& v) { return v.number == number; });
    return parse_ordered_json(it->doc);
  };
  const Json before = doc_of(*from);
  const Json after = doc_of(*to);
  Json changes = Json::array();
  std::set<std::string> keys;
  for (const auto& [key, value] : before.items()) keys.insert(key);
  for (const auto& [key, value] : after.items()) keys.insert(key);
  for (const std::string& key : keys) {
    const Json was = before.value(key, Json());
    const Json is = after.value(key, Json());
    if (nlohmann::json(was) != nlohmann::json(is)) changes.push_back(Json{{"field", key}, {"from", was}, {"to", is}});
  }
  return json(200, dumped(Json{{"id", list->back().id},
                               {"rule_id", list->back().rule_id},
                               {"from", *from},
                               {"to", *to},
                               {"changes", std::move(changes)}}));
}

net::Response restore(const Call& call, RuleDesk& desk) {
  const Json body = parse_ordered_json(call.request.body);
  if (!body.is_object() || !body.contains("version") || !body["version"].is_number_integer()) {
    return problem(400, R"(the body is {"version": N})");
  }
  return answer(desk.restore(call.params.at("id"), body["version"].get<int64_t>(), author_of(call)));
}

}  // namespace

void add_rules_routes(Router& router) {
  constexpr const char* kRules = "/api/detection_engine/rules";
  router
      .add("POST", kRules, Privilege::rules_write, with_desk([](const Call& call, RuleDesk& desk) {
             return answer(desk.create(call.request.body, author_of(call)));
           }))
      .changes_rules();
  router.add("GET", kRules, Privilege::rules_read, with_desk(read_rule));
  router
      .add("PUT", kRules, Privilege::rules_write, with_desk([](const Call& call, RuleDesk& desk) {
             return answer(desk.replace(call.request.body, author_of(call)));
           }))
      .changes_rules();
  router
      .add("PATCH", kRules, Privilege::rules_write, with_desk([](const Call& call, RuleDesk& desk) {
             return answer(desk.patch(call.request.body, author_of(call)));
           }))
      .changes_rules();
  router.add("DELETE", kRules, Privilege::rules_write, with_desk(remove_rule)).changes_rules();
  router.add("GET", "/api/detection_engine/rules/_find", Privilege::rules_read, with_desk(find_rules));
  router.add("GET", "/api/detection_engine/tags", Privilege::rules_read, with_desk(tags));
  router.add("GET", "/api/detection_engine/privileges", Privilege::alerts_read, privileges);
  router.add("GET", "/api/detection_engine/index", Privilege::alerts_read, alert_index);
  router.add("GET", "/api/detection_engine/rules/prepackaged/_status", Privilege::rules_read, with_desk(prepackaged));
  router.add("GET", "/api/firebreak/rules/{id}/versions", Privilege::rules_read, with_desk(versions));
  router.add("GET", "/api/firebreak/rules/{id}/diff", Privilege::rules_read, with_desk(diff));
  router.add("POST", "/api/firebreak/rules/{id}/restore", Privilege::rules_write, with_desk(restore)).changes_rules();
}

}  // namespace fb::api
