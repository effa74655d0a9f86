// What Kibana's clients ask about access before they do anything: who they are, what the roles give, which features
// there are. Read-only views of people and roles; those are changed under /api/firebreak/users.
#include "api/api.h"
#include "api/router.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

net::Response me(const Call& call) {
  const Principal& who = call.who;
  if (who.person.empty() || who.roles.empty()) return problem(401, "nobody is logged in");
  Json roles = Json::array();
  for (const Role r : who.roles) roles.push_back(to_string(r));
  const bool by_key = !who.key_id.empty();
  const Json realm =
      by_key ? Json{{"name", "_es_api_key"}, {"type", "_es_api_key"}} : Json{{"name", "firebreak"}, {"type", "native"}};
  const Json provider = call.session_sha256.empty() ? Json{{"type", "http"}, {"name", "__http__"}}
                                                    : Json{{"type", "basic"}, {"name", "basic"}};
  Json body{{"username", who.person},
            {"roles", std::move(roles)},
            {"full_name", nullptr},
            {"email", nullptr},
            {"metadata", Json::object()},
            {"enabled", true},
            {"authentication_realm", realm},
            {"lookup_realm", realm},
            {"authentication_type", by_key ? "api_key" : "realm"},
            {"authentication_provider", provider},
            {"elastic_cloud_user", false}};
  if (by_key) body["api_key"] = {{"id", who.key_id}};
  return json(200, dumped(body));
}

// The names that Kibana has for what a role may do.
Json siem_privileges(Role role) {
  struct Named {
    Privilege needs;
    const char* name;
  };
  static constexpr Named kNames[] = {
      {Privilege::endpoints_read, "endpoint_list_read"},
      {Privilege::endpoints_write, "endpoint_list_all"},
      {Privilege::actions_read, "actions_log_management_read"},
      {Privilege::isolate, "host_isolation_all"},
      {Privilege::exceptions_read, "host_isolation_exceptions_read"},
      {Privilege::exceptions_write, "host_isolation_exceptions_all"},
  };
  Json names = Json::array({has(role, Privilege::rules_write) ? "all" : "read"});
  for (const Named& n : kNames) {
    if (has(role, n.needs)) names.push_back(n.name);
  }
  return names;
}

Json shown(Role role) {
  const bool all = role == Role::admin;
  return Json{{"name", to_string(role)},
              {"metadata", {{"_reserved", true}}},
              {"transient_metadata", {{"enabled", true}}},
              {"elasticsearch", {{"cluster", Json::array()}, {"indices", Json::array()}, {"run_as", Json::array()}}},
              {"kibana", Json::array({{{"base", all ? Json::array({"all"}) : Json::array()},
                                       {"feature", all ? Json::object() : Json{{"siem", siem_privileges(role)}}},
                                       {"spaces", Json::array({"*"})}}})},
              {"_transform_error", Json::array()},
              {"_unrecognized_applications", Json::array()}};
}

net::Response roles(const Call&) {
  Json list = Json::array();
  for (const Role r : all_roles()) list.push_back(shown(r));
  return json(200, dumped(list));
}

net::Response one_role(const Call& call) {
  const auto role = role_from(call.params.at("name"));
  return role ? json(200, dumped(shown(*role))) : problem(404, "Not Found");
}

net::Response features(const Call&) {
  const auto gives = [](std::vector<const char*> ui) {
    return Json{{"app", {"securitySolution"}},
                {"savedObject", {{"all", Json::array()}, {"read", Json::array()}}},
                {"ui", std::move(ui)}};
  };
  const Json siem{{"id", "siem"},
                  {"name", "Security"},
                  {"order", 1100},
                  {"category", {{"id", "securitySolution"}, {"label", "Security"}}},
                  {"app", {"securitySolution"}},
                  {"catalogue", {"securitySolution"}},
                  {"privileges", {{"all", gives({"show", "crud"})}, {"read", gives({"show"})}}}};
  return json(200, dumped(Json::array({siem})));
}

}  // namespace

void add_kibana_security_routes(Router& router) {
  router.add_open("GET", "/internal/security/me", me);
  router.add("GET", "/api/security/role", Privilege::users_manage, roles);
  router.add("GET", "/api/security/role/{name}", Privilege::users_manage, one_role);
  router.add("GET", "/api/features", Privilege::endpoints_read, features);
}

}  // namespace fb::api
