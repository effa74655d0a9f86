// People and their roles. Nobody can give rights that they don't have themselves.
#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/member.h"
#include "engine/access/passwords.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

Json shown(const UserRow& user) {
  Json roles = Json::array();
  for (const Role r : user.roles) roles.push_back(to_string(r));
  return Json{{"name", user.name},
              {"roles", std::move(roles)},
              {"disabled", user.disabled},
              {"has_password", !user.password_hash.empty()},
              {"created_at", iso8601(user.created_at_ms)},
              {"created_by", user.created_by}};
}

Result<std::vector<Role>> roles_in(const nlohmann::json& body) {
  std::vector<Role> roles;
  const auto it = body.find("roles");
  if (it == body.end() || !it->is_array()) return fail(ErrorCode::invalid_argument, "\"roles\" is a list of roles");
  for (const auto& word : *it) {
    const auto role = word.is_string() ? role_from(word.get<std::string>()) : std::nullopt;
    if (!role) {
      std::string known;
      for (const Role r : all_roles()) known += (known.empty() ? "" : ", ") + std::string(to_string(r));
      const std::string named = word.is_string() ? word.get<std::string>() : word.dump();
      return fail(ErrorCode::invalid_argument,
                  "there is no role '" + printable(named.substr(0, 60)) + "'; there are " + known);
    }
    roles.push_back(*role);
  }
  return roles;
}

Result<nlohmann::json> body_of(const Call& call) {
  auto body = parse_json(call.request.body);
  if (!body.is_object()) return fail(ErrorCode::invalid_argument, "the body is not a JSON object");
  return body;
}

Result<UserRow> named(const Call& call) {
  const std::string& name = call.params.at("name");
  FB_TRY(auto user, call.parts.store.user(name));
  if (!user) return fail(ErrorCode::not_found, "there is no user '" + printable(name) + "'");
  return std::move(*user);
}

// Whoever changes somebody must be able to do all that this person can.
Status check_reach(const Call& call, const std::vector<Role>& roles) {
  if (call.who.may_all_of(roles, {})) return {};
  return fail(ErrorCode::refused, "these roles may do what you may not");
}

net::Response list(const Call& call) {
  const auto users = call.parts.store.users();
  if (!users) return failed(users.error());
  std::string out;
  for (const UserRow& user : *users) out += dumped(shown(user)) + '\n';
  return ndjson(std::move(out));
}

Result<Json> add_one(const Call& call) {
  FB_TRY(const nlohmann::json body, body_of(call));
  FB_TRY_VOID(takes_only(body, {"name", "roles", "password", "comment"}));
  UserRow user;
  user.name = body.value("name", "");
  FB_TRY(user.roles, roles_in(body));
  FB_TRY_VOID(check_reach(call, user.roles));
  if (body.contains("password")) {
    FB_TRY(user.password_hash, hash_password(body["password"].get<std::string>()));
  }
  FB_TRY_VOID(call.parts.store.add_user(user, call.actor()));
  FB_TRY(const auto made, call.parts.store.user(user.name));
  return shown(made.value_or(user));
}

Result<Json> change(const Call& call) {
  FB_TRY(const nlohmann::json body, body_of(call));
  FB_TRY(const UserRow user, named(call));
  FB_TRY_VOID(check_reach(call, user.roles));
  const std::string why = body.value("comment", "");
  FB_TRY_VOID(takes_only(body, {"roles", "disabled", "comment"}));
  // All of it is looked at before anything is changed.
  UserChange wanted;
  if (body.contains("roles")) {
    FB_TRY(wanted.roles, roles_in(body));
    FB_TRY_VOID(check_reach(call, *wanted.roles));
  }
  if (body.contains("disabled")) wanted.disabled = body["disabled"].get<bool>();
  FB_TRY_VOID(call.parts.store.change_user(user.name, wanted, call.actor(), why));
  FB_TRY(const UserRow now, named(call));
  return shown(now);
}

Result<Json> set_password(const Call& call) {
  FB_TRY(const nlohmann::json body, body_of(call));
  FB_TRY(const UserRow user, named(call));
  FB_TRY_VOID(check_reach(call, user.roles));
  FB_TRY_VOID(takes_only(body, {"password", "comment"}));
  if (!body.contains("password") || !body["password"].is_string())
    return fail(ErrorCode::invalid_argument, R"(the body is {"password": "..."})");
  FB_TRY(const std::string hash, hash_password(body["password"].get<std::string>()));
  FB_TRY_VOID(call.parts.store.set_password(user.name, hash, call.actor()));
  FB_TRY(const UserRow now, named(call));
  return shown(now);
}

template <Result<Json> (*Do)(const Call&)>
net::Response answer(const Call& call) {
  const auto done = Do(call);
  return done ? json(200, dumped(*done)) : failed(done.error());
}

}  // namespace

void add_users_routes(Router& router) {
  router.add("GET", "/api/firebreak/users", Privilege::users_manage, list);
  router.add("POST", "/api/firebreak/users", Privilege::users_manage, answer<add_one>).hashes_password();
  router.add("PATCH", "/api/firebreak/users/{name}", Privilege::users_manage, answer<change>);
  router.add("PUT", "/api/firebreak/users/{name}/password", Privilege::users_manage, answer<set_password>)
      .hashes_password();
}

}  // namespace fb::api
