// What older clients of Kibana ask for: lists of rules to create, change and delete, each with an answer of its own,
// and the rules that a Kibana brings along (none here).
#include "api/api.h"
#include "api/routes/answers.h"
#include "api/rules/answers.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostRules = 1000;  // a request; an import takes more

// Which rule a member of the list speaks of, as its error names it.
Json error_of(const Json& item, const RuleRefusal& refusal) {
  Json out = Json::object();
  for (const char* key : {"id", "rule_id"}) {
    if (item.is_object() && item.contains(key) && item[key].is_string()) out[key] = item[key];
  }
  if (out.empty()) out["id"] = "(unknown id)";
  std::string text;
  for (const std::string& m : refusal.messages) text += (text.empty() ? "" : ", ") + m;
  out["error"] = Json{{"status_code", refusal.status}, {"message", text}};
  return out;
}

using One = RuleResult<RuleViewPtr> (*)(const Call& call, RuleDesk& desk, const Json& item);

RuleResult<RuleViewPtr> create(const Call& call, RuleDesk& desk, const Json& item) {
  return desk.create(dumped(item), author_of(call));
}

RuleResult<RuleViewPtr> replace(const Call& call, RuleDesk& desk, const Json& item) {
  return desk.replace(dumped(item), author_of(call));
}

RuleResult<RuleViewPtr> patch(const Call& call, RuleDesk& desk, const Json& item) {
  return desk.patch(dumped(item), author_of(call));
}

RuleResult<RuleViewPtr> remove(const Call& call, RuleDesk& desk, const Json& item) {
  const auto text = [&item](const char* key) {
    return item.is_object() && item.contains(key) && item[key].is_string() ? item[key].get<std::string>() : "";
  };
  auto rule = desk.named(text("id"), text("rule_id"));
  return rule ? desk.remove(*rule, author_of(call)) : rule;
}

// 200 whatever became of them: each member of the answer is the rule or {id or rule_id, error}.
Handle each(One todo) {
  return [todo](const Call& call) {
    RuleDesk* desk = desk_of(call);
    if (desk == nullptr) return no_desk();
    const Json body = parse_ordered_json(call.request.body);
    if (!body.is_array()) return problem(400, "[request body]: Expected array");
    if (body.size() > kMostRules) {
      return problem(400, "[request body]: Array must contain at most " + std::to_string(kMostRules) + " element(s)");
    }
    std::string out = "[";
    for (const Json& item : body) {
      const auto done = todo(call, *desk, item);
      out += (out.size() > 1 ? "," : "") + (done ? (*done)->answer : dumped(error_of(item, done.error())));
    }
    return json(200, out + "]");
  };
}

net::Response install(const Call& /*call*/) {
  return json(
      200,
      dumped(Json{{"rules_installed", 0}, {"rules_updated", 0}, {"timelines_installed", 0}, {"timelines_updated", 0}}));
}

// Elasticsearch's clients make the index of alerts before they look into it; here it is always there.
net::Response make_index(const Call& /*call*/) {
  return json(200, R"({"acknowledged":true})");
}

}  // namespace

void add_rules_many_routes(Router& router) {
  constexpr const char* kUpdate = "/api/detection_engine/rules/_bulk_update";
  constexpr const char* kDelete = "/api/detection_engine/rules/_bulk_delete";
  router.add("POST", "/api/detection_engine/rules/_bulk_create", Privilege::rules_write, each(create)).slow();
  router.add("PUT", kUpdate, Privilege::rules_write, each(replace)).slow();
  router.add("PATCH", kUpdate, Privilege::rules_write, each(patch)).slow();
  router.add("DELETE", kDelete, Privilege::rules_write, each(remove)).slow();
  router.add("POST", kDelete, Privilege::rules_write, each(remove)).slow();
  router.add("PUT", "/api/detection_engine/rules/prepackaged", Privilege::rules_write, install);
  router.add("POST", "/api/detection_engine/index", Privilege::alerts_write, make_index);
}

}  // namespace fb::api
