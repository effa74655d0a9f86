// Agents: enrolment tokens (made here, shown once, kept as a hash), enrolments that wait, certificates, break-glass.
#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/hosts.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::api {
namespace {

constexpr int64_t kMaxTtlMs = 7 * 86'400'000ll;

net::Response make_token(const Call& call) {
  const auto body = parse_json(call.request.body);
  if (!body.is_object() || !body.contains("ttl_ms") || !body["ttl_ms"].is_number_integer()) {
    return problem(400, "the body is {\"ttl_ms\": N}");
  }
  const int64_t ttl = body["ttl_ms"];
  if (ttl <= 0 || ttl > kMaxTtlMs) return problem(400, "ttl_ms must be more than 0 and at most 7 days");
  const std::string token = call.parts.new_token();
  const int64_t expires_at = call.parts.clock.wall_ms() + ttl;
  if (const Status kept = call.parts.store.add_token(call.parts.token_hash(token), expires_at); !kept)
    return failed(kept.error());
  (void)call.parts.store.note(call.actor(), "token_made", "", "expires " + iso8601(expires_at));
  const nlohmann::ordered_json answer{
      {"token", token}, {"expires_at", iso8601(expires_at)}, {"ca_fingerprint", call.parts.ca_fingerprint}};
  return json(200, answer.dump());
}

using Json = nlohmann::ordered_json;

std::string text_of(const nlohmann::json& body, const char* key) {
  const auto at = body.find(key);
  return at != body.end() && at->is_string() ? at->get<std::string>() : std::string();
}

net::Response list(const Call& call) {
  const auto agents = call.parts.store.agents();
  if (!agents) return failed(agents.error());
  std::string out;
  for (const AgentRow& a : *agents) {
    Json line{{"endpoint_id", a.endpoint_id}, {"host_id", a.host_id},   {"hostname", a.hostname},
              {"status", a.status},           {"detail", a.detail},     {"version", a.version},
              {"observed", a.observed},       {"problems", a.problems}, {"certificate_until", nullptr},
              {"revoked", a.revoked},         {"last_seen", nullptr}};
    if (a.certificate_until_ms > 0) line["certificate_until"] = iso8601(a.certificate_until_ms);
    if (a.last_seen_ms > 0) line["last_seen"] = iso8601(a.last_seen_ms);
    if (a.revoked && a.detail.empty()) line["detail"] = "no valid certificate";
    out += dumped(line) + "\n";
  }
  return ndjson(std::move(out));
}

// Body {"host": ..., "comment": ...} -> the endpoint that is meant, or the answer that says why not.
tl::expected<std::string, net::Response> host_of(const Call& call, const nlohmann::json& body, bool needs_comment) {
  if (!body.is_object()) return tl::unexpected<net::Response>(problem(400, "the body is a JSON object"));
  if (needs_comment && text_of(body, "comment").empty()) {
    return tl::unexpected<net::Response>(problem(400, "a comment says why"));
  }
  const auto reader = call.reader();
  if (!reader) return tl::unexpected<net::Response>(failed(reader.error()));
  const auto endpoint = one_endpoint(**reader, text_of(body, "host"));
  if (!endpoint) return tl::unexpected<net::Response>(failed(endpoint.error()));
  return *endpoint;
}

net::Response decide(const Call& call, bool approve) {
  const auto body = parse_json(call.request.body);
  if (!body.is_object() || text_of(body, "agent").empty()) {
    return problem(400, "the body is {\"agent\": ID, \"comment\": WHY}; the comment may be left out");
  }
  const std::string agent = text_of(body, "agent");
  const Status done = call.parts.store.decide_enrollment(agent, approve, call.actor(), text_of(body, "comment"));
  if (!done) return failed(done.error());
  return json(200, dumped(Json{{"agent", agent}, {"approved", approve}}));
}

net::Response revoke(const Call& call) {
  const auto body = parse_json(call.request.body);
  const auto endpoint = host_of(call, body, false);
  if (!endpoint) return endpoint.error();
  const Status done = call.parts.store.revoke_credentials(*endpoint, call.actor(), text_of(body, "comment"));
  if (!done) return failed(done.error());
  if (call.parts.agents.forget) call.parts.agents.forget(*endpoint);
  return json(200, dumped(Json{{"agent", *endpoint}}));
}

net::Response rotate(const Call& call) {
  const auto endpoint = host_of(call, parse_json(call.request.body), false);
  if (!endpoint) return endpoint.error();
  if (!call.parts.agents.ask_renewal) return problem(503, "there is no agent gateway");
  call.parts.agents.ask_renewal(*endpoint);
  (void)call.parts.store.note(call.actor(), "renewal_asked", *endpoint, "");
  return json(200, dumped(Json{{"agent", *endpoint}}));
}

net::Response rotate_signing_key(const Call& call) {
  const auto body = parse_json(call.request.body);
  if (!call.parts.agents.rotate_signing_key) return problem(503, "there is no agent gateway");
  const auto kid = call.parts.agents.rotate_signing_key();
  if (!kid) return failed(kid.error());
  (void)call.parts.store.note(call.actor(), "signing_key_rotated", *kid,
                              body.is_object() ? text_of(body, "comment") : std::string());
  return json(200, dumped(Json{{"kid", *kid}}));
}

// No code without its row in the audit.
net::Response break_glass(const Call& call) {
  const auto body = parse_json(call.request.body);
  const auto endpoint = host_of(call, body, true);
  if (!endpoint) return endpoint.error();
  if (!call.parts.agents.break_glass_code) return problem(503, "there is no agent gateway");
  const auto generation = call.parts.store.isolation_generation(*endpoint);
  if (!generation) return failed(generation.error());
  if (*generation == 0) return problem(409, "the record knows of no isolation of this host");
  const Status noted =
      call.parts.store.note(call.actor(), "break_glass_issued", *endpoint,
                            "generation " + std::to_string(*generation) + ": " + text_of(body, "comment"));
  if (!noted) return failed(noted.error());
  return json(200, dumped(Json{{"agent", *endpoint},
                               {"generation", *generation},
                               {"code", call.parts.agents.break_glass_code(*endpoint, *generation)}}));
}

}  // namespace

void add_agents_routes(Router& router) {
  router.add("GET", "/api/firebreak/agents", Privilege::endpoints_read, list);
  router.add("POST", "/api/firebreak/agents/tokens", Privilege::agents_manage, make_token);
  router.add("POST", "/api/firebreak/agents/approve", Privilege::approve,
             [](const Call& call) { return decide(call, true); });
  router.add("POST", "/api/firebreak/agents/deny", Privilege::approve,
             [](const Call& call) { return decide(call, false); });
  router.add("POST", "/api/firebreak/agents/revoke", Privilege::agents_manage, revoke);
  router.add("POST", "/api/firebreak/agents/rotate", Privilege::agents_manage, rotate);
  router.add("POST", "/api/firebreak/agents/rotate_signing_key", Privilege::agents_manage, rotate_signing_key);
  router.add("POST", "/api/firebreak/agents/break_glass", Privilege::agents_manage, break_glass);
}

}  // namespace fb::api
