// The emergency stop: no new isolation while it is on. Releases and detection go on.
#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/member.h"
#include "engine/base/json.h"

namespace fb::api {
namespace {

net::Response get(const Call& call) {
  const auto on = call.parts.store.kill_switch();
  if (!on) return failed(on.error());
  return json(200, nlohmann::json{{"on", *on}}.dump());
}

net::Response set(const Call& call) {
  const auto body = parse_json(call.request.body);
  if (!body.is_object() || !body.contains("on") || !body["on"].is_boolean()) {
    return problem(400, "the body is {\"on\": true|false, \"comment\": \"why\"}; the comment may be left out");
  }
  const auto why = member<std::string>(body, "comment", "");
  if (!why) return failed(why.error());
  const bool on = body["on"];
  if (const Status done = call.parts.store.set_kill_switch(on, call.actor(), *why); !done) return failed(done.error());
  call.parts.wake_dispatcher();
  return json(200, nlohmann::json{{"on", on}}.dump());
}

}  // namespace

void add_kill_switch_routes(Router& router) {
  router.add("GET", "/api/firebreak/kill_switch", Privilege::actions_read, get);
  router.add("POST", "/api/firebreak/kill_switch", Privilege::guard_write, set);
}

}  // namespace fb::api
