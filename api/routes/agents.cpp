// Enrolment tokens: made here, shown once, kept as a hash.
#include <nlohmann/json.hpp>

#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"

namespace fb::api {
namespace {

constexpr int64_t kMaxTtlMs = 7 * 86'400'000ll;

net::Response make_token(const Call& call) {
  const auto body = nlohmann::json::parse(call.request.body, nullptr, false);
  if (!body.is_object() || !body.contains("ttl_ms") || !body["ttl_ms"].is_number_integer()) {
    return problem(400, "the body is {\"ttl_ms\": N}");
  }
  const int64_t ttl = body["ttl_ms"];
  if (ttl <= 0 || ttl > kMaxTtlMs) return problem(400, "ttl_ms must be more than 0 and at most 7 days");
  const std::string token = call.parts.new_token();
  const int64_t expires_at = call.parts.clock.wall_ms() + ttl;
  if (const Status kept = call.parts.store.add_token(call.parts.token_hash(token), expires_at); !kept)
    return failed(kept.error());
  (void)call.parts.store.note(call.actor, "token_made", "", "expires " + iso8601(expires_at));
  const nlohmann::ordered_json answer{
      {"token", token}, {"expires_at", iso8601(expires_at)}, {"ca_fingerprint", call.parts.ca_fingerprint}};
  return json(200, answer.dump());
}

}  // namespace

void add_agents_routes(Router& router) {
  router.add("POST", "/api/firebreak/agents/tokens", Access::authorized, make_token);
}

}  // namespace fb::api
