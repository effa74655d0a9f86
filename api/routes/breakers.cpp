// Budgets that tripped: which rules' (and the fleet's) may not isolate until a person resets them.
#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/member.h"
#include "engine/base/json.h"
#include "engine/record/queries.h"

namespace fb::api {
namespace {

// The fleet's breaker has no rule id; people call it so.
constexpr const char* kFleet = "fleet";

net::Response list(const Call& call) {
  auto reader = call.reader();
  if (!reader) return failed(reader.error());
  const auto tripped = (*reader)->tripped_rules();
  if (!tripped) return failed(tripped.error());
  std::string body;
  for (const std::string& rule : *tripped) {
    body += nlohmann::json{{"breaker", rule.empty() ? kFleet : rule}}.dump() + '\n';
  }
  return ndjson(std::move(body));
}

net::Response reset(const Call& call) {
  const auto body = parse_json(call.request.body);
  if (!body.is_object() || !body.contains("breaker")) {
    return problem(400,
                   "the body is {\"breaker\": \"RULE_ID|fleet\", \"comment\": \"why\"}; the comment may be left out");
  }
  const auto breaker = member<std::string>(body, "breaker", "");
  if (!breaker) return failed(breaker.error());
  if (breaker->empty()) return problem(400, "'breaker' is a rule id or fleet");
  const auto why = member<std::string>(body, "comment", "");
  if (!why) return failed(why.error());
  const auto was_open = call.parts.store.reset_trip(*breaker == kFleet ? "" : *breaker, call.actor(), *why);
  if (!was_open) return failed(was_open.error());
  if (!*was_open) return problem(404, "the breaker '" + *breaker + "' has not tripped");
  return json(200, nlohmann::json{{"breaker", *breaker}, {"reset", true}}.dump());
}

}  // namespace

void add_breakers_routes(Router& router) {
  router.add("GET", "/api/firebreak/breakers", Privilege::actions_read, list);
  router.add("POST", "/api/firebreak/breakers/reset", Privilege::guard_write, reset);
}

}  // namespace fb::api
