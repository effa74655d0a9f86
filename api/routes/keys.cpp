// API keys: made for a person, shown once, with scopes and an end if wanted, revoked.
#include "api/api.h"
#include "api/api_keys.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/member.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kLongestMs = 3650ll * 86'400'000;

Json time_or_null(int64_t ms) {
  return ms == 0 ? Json(nullptr) : Json(iso8601(ms));
}

Json shown(const KeyRow& key) {
  Json scopes = Json::array();
  for (const Privilege p : key.scopes) scopes.push_back(to_string(p));
  return Json{{"id", key.id},
              {"prefix", key.prefix},
              {"name", key.name},
              {"user", key.person},
              {"scopes", std::move(scopes)},
              {"created_at", iso8601(key.created_at_ms)},
              {"created_by", key.created_by},
              {"expires_at", time_or_null(key.expires_at_ms)},
              {"revoked_at", time_or_null(key.revoked_at_ms)}};
}

net::Response list(const Call& call) {
  const auto keys = call.parts.store.keys(call.query("user"));
  if (!keys) return failed(keys.error());
  std::string out;
  for (const KeyRow& key : *keys) out += dumped(shown(key)) + '\n';
  return ndjson(std::move(out));
}

Result<std::vector<Privilege>> scopes_in(const nlohmann::json& body) {
  std::vector<Privilege> scopes;
  const auto it = body.find("scopes");
  if (it == body.end()) return scopes;
  if (!it->is_array()) return fail(ErrorCode::invalid_argument, "\"scopes\" is a list of privileges");
  for (const auto& word : *it) {
    const auto scope = word.is_string() ? privilege_from(word.get<std::string>()) : std::nullopt;
    if (!scope) {
      std::string known;
      for (const Privilege p : all_privileges()) known += (known.empty() ? "" : ", ") + std::string(to_string(p));
      const std::string named = word.is_string() ? word.get<std::string>() : word.dump();
      return fail(ErrorCode::invalid_argument,
                  "there is no scope '" + printable(named.substr(0, 60)) + "'; there are " + known);
    }
    scopes.push_back(*scope);
  }
  if (scopes.empty()) {
    return fail(ErrorCode::invalid_argument, "an empty list of scopes; leave it out for all that the roles give");
  }
  return scopes;
}

Result<Json> make(const Call& call) {
  const auto body = parse_json(call.request.body);
  if (!body.is_object())
    return fail(ErrorCode::invalid_argument, R"(the body is {"user", "name", "scopes"?, "expires_in"?})");
  // A misspelled limit must not make a key without one.
  FB_TRY_VOID(takes_only(body, {"user", "name", "scopes", "expires_in", "comment"}));
  const std::string person = body.value("user", call.who.person);
  FB_TRY(const auto user, call.parts.store.user(person));
  if (!user) return fail(ErrorCode::not_found, "there is no user '" + printable(person.substr(0, 100)) + "'");
  NewKey fresh = new_key();
  fresh.row.person = user->name;
  fresh.row.name = body.value("name", "");
  FB_TRY(fresh.row.scopes, scopes_in(body));
  // A narrow key must not make itself a wide one.
  if (!call.who.may_all_of(user->roles, fresh.row.scopes))
    return fail(ErrorCode::refused, "this key could do what you may not");
  if (const std::string lasts = body.value("expires_in", ""); !lasts.empty()) {
    const auto ms = parse_duration_ms(lasts);
    if (!ms || *ms <= 0 || *ms > kLongestMs)
      return fail(ErrorCode::invalid_argument, "\"expires_in\" takes a duration such as 90d, at most 3650d");
    fresh.row.expires_at_ms = call.parts.clock.wall_ms() + *ms;
  }
  FB_TRY_VOID(call.parts.store.add_key(fresh.row, call.actor()));
  FB_TRY(const auto kept, call.parts.store.key(fresh.row.id));
  Json answer = shown(kept.value_or(fresh.row));
  answer["api_key"] = fresh.shown_once;
  return answer;
}

net::Response create(const Call& call) {
  const auto made = make(call);
  return made ? json(200, dumped(*made)) : failed(made.error());
}

Result<Json> take_away(const Call& call) {
  const std::string& id = call.params.at("id");
  FB_TRY(const bool revoked, call.parts.store.revoke_key(id, call.actor(), call.query("comment")));
  return Json{{"id", id}, {"revoked", true}, {"was_revoked", !revoked}};
}

net::Response revoke(const Call& call) {
  const auto done = take_away(call);
  return done ? json(200, dumped(*done)) : failed(done.error());
}

}  // namespace

void add_keys_routes(Router& router) {
  router.add("GET", "/api/firebreak/keys", Privilege::users_manage, list);
  router.add("POST", "/api/firebreak/keys", Privilege::users_manage, create);
  router.add("DELETE", "/api/firebreak/keys/{id}", Privilege::users_manage, revoke);
}

}  // namespace fb::api
