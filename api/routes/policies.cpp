// Endpoint policies: what isolated hosts may still talk to, host by host. A policy says only what it sets; the rest is
// the config's. Every endpoint has one policy, the default one unless it was given another.
#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/hosts.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxHosts = 10'000;

Json document(const EndpointPolicy& p) {
  Json d{{"id", p.id}, {"name", p.name}, {"description", p.description}};
  const PolicySettings& s = p.settings;
  if (s.services) d["services"] = *s.services;
  if (s.dns) d["dns"] = *s.dns;
  if (s.dhcp) d["dhcp"] = *s.dhcp;
  if (s.on_lockout) d["on_lockout"] = *s.on_lockout;
  if (s.message) d["message"] = *s.message;
  d["version"] = p.version;
  d["is_default"] = p.id == kDefaultPolicy;
  d["endpoints"] = p.endpoints;
  d["created_at"] = iso8601(p.created_at_ms);
  d["created_by"] = p.created_by;
  d["updated_at"] = iso8601(p.updated_at_ms);
  d["updated_by"] = p.updated_by;
  return d;
}

template <class T>
Status take(const Json& body, const char* key, const char* what, std::optional<T>& into) {
  const auto it = body.find(key);
  if (it == body.end() || it->is_null()) return {};
  try {
    into = it->get<T>();
  } catch (const nlohmann::json::exception&) {
    return fail(ErrorCode::invalid_argument, std::string("[request body.") + key + "]: " + what);
  }
  return {};
}

struct Asked {
  EndpointPolicy policy;
  int64_t version = 0;
};

Result<Asked> read(const Call& call, bool is_new) {
  const Json body = parse_ordered_json(call.request.body);
  if (!body.is_object()) return fail(ErrorCode::invalid_argument, "the body is not a JSON object");
  for (const auto& [key, value] : body.items()) {
    if (key != "id" && key != "name" && key != "description" && key != "services" && key != "dns" && key != "dhcp" &&
        key != "on_lockout" && key != "message" && key != "version") {
      return fail(ErrorCode::invalid_argument,
                  "[request body." + printable(key) + "]: definition for this key is missing");
    }
  }
  Asked asked;
  EndpointPolicy& p = asked.policy;
  std::optional<std::string> id, name, description;
  std::optional<int64_t> version;
  FB_TRY_VOID(take(body, "id", "a text", id));
  FB_TRY_VOID(take(body, "name", "a text", name));
  FB_TRY_VOID(take(body, "description", "a text", description));
  FB_TRY_VOID(take(body, "version", "a number", version));
  FB_TRY_VOID(take(body, "services", "a list of \"host:port\"", p.settings.services));
  FB_TRY_VOID(take(body, "dns", "a list of addresses", p.settings.dns));
  FB_TRY_VOID(take(body, "dhcp", "true or false", p.settings.dhcp));
  FB_TRY_VOID(take(body, "on_lockout", "stay or rollback", p.settings.on_lockout));
  FB_TRY_VOID(take(body, "message", "a text", p.settings.message));
  if (!name) return fail(ErrorCode::invalid_argument, "[request body.name]: a policy has a name");
  if (!is_new && id && *id != call.params.at("id")) {
    return fail(ErrorCode::invalid_argument, "[request body.id]: another id than the path's");
  }
  p.id = is_new ? id.value_or("") : call.params.at("id");
  p.name = *name;
  p.description = description.value_or("");
  asked.version = version.value_or(0);
  if (call.parts.isolation.policy_fits) FB_TRY_VOID(call.parts.isolation.policy_fits(p.settings));
  return asked;
}

net::Response list(const Call& call) {
  const auto policies = call.parts.store.policies();
  if (!policies) return failed(policies.error());
  Json data = Json::array();
  for (const EndpointPolicy& p : *policies) data.push_back(document(p));
  return json(200, dumped(Json{{"data", data}, {"total", policies->size()}}));
}

net::Response unknown(const std::string& id) {
  return problem(404, "no policy has the id '" + id + "'");
}

net::Response get(const Call& call) {
  const std::string& id = call.params.at("id");
  const auto policy = call.parts.store.policy(id);
  if (!policy) return failed(policy.error());
  return *policy ? json(200, dumped(document(**policy))) : unknown(id);
}

net::Response create(const Call& call) {
  const auto asked = read(call, true);
  if (!asked) return failed(asked.error());
  const auto kept = call.parts.store.add_policy(asked->policy, call.actor());
  return kept ? json(200, dumped(document(*kept))) : failed(kept.error());
}

net::Response change(const Call& call) {
  const auto asked = read(call, false);
  if (!asked) return failed(asked.error());
  const auto kept = call.parts.store.change_policy(asked->policy, asked->version, call.actor());
  return kept ? json(200, dumped(document(*kept))) : failed(kept.error());
}

net::Response remove(const Call& call) {
  const std::string& id = call.params.at("id");
  const auto policy = call.parts.store.policy(id);
  if (!policy) return failed(policy.error());
  if (!*policy) return unknown(id);
  const auto removed = call.parts.store.remove_policy(id, call.actor(), call.query("comment"));
  if (!removed) return failed(removed.error());
  return *removed ? json(200, dumped(document(**policy))) : unknown(id);
}

net::Response endpoints(const Call& call) {
  const std::string& id = call.params.at("id");
  const auto known = call.parts.store.policy_exists(id);
  if (!known) return failed(known.error());
  if (!*known) return unknown(id);
  const auto ids = call.parts.store.endpoints_of_policy(id);
  if (!ids) return failed(ids.error());
  return json(200, dumped(Json{{"data", *ids}, {"total", ids->size()}}));
}

net::Response assign(const Call& call) {
  const Json body = parse_ordered_json(call.request.body);
  const bool good = body.is_object() && body.size() == 1 && body.contains("hosts") && body["hosts"].is_array() &&
                    !body["hosts"].empty() && body["hosts"].size() <= kMaxHosts;
  if (!good) return problem(400, R"(the body is {"hosts": ["..."]}, with 1 to 10000 hosts)");
  const auto reader = call.reader();
  if (!reader) return failed(reader.error());
  std::vector<std::string> ids;
  for (const Json& host : body["hosts"]) {
    if (!host.is_string()) return problem(400, "a host is a text");
    auto id = one_endpoint(**reader, host.get<std::string>());
    if (!id) return failed(id.error());
    ids.push_back(std::move(*id));
  }
  const std::string& policy = call.params.at("id");
  const auto changed = call.parts.store.assign_policy(ids, policy, call.actor());
  if (!changed) return failed(changed.error());
  return json(200, dumped(Json{{"policy_id", policy}, {"endpoint_ids", ids}, {"changed", *changed}}));
}

}  // namespace

void add_policies_routes(Router& router) {
  router.add("GET", "/api/firebreak/policies", Privilege::endpoints_read, list);
  router.add("POST", "/api/firebreak/policies", Privilege::endpoints_write, create);
  router.add("GET", "/api/firebreak/policies/{id}", Privilege::endpoints_read, get);
  router.add("PUT", "/api/firebreak/policies/{id}", Privilege::endpoints_write, change);
  router.add("DELETE", "/api/firebreak/policies/{id}", Privilege::endpoints_write, remove);
  router.add("GET", "/api/firebreak/policies/{id}/endpoints", Privilege::endpoints_read, endpoints);
  router.add("POST", "/api/firebreak/policies/{id}/assign", Privilege::endpoints_write, assign).slow();
}

}  // namespace fb::api
