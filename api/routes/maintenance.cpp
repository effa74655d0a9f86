// Times in which isolations by rules wait for a person, or are left out, on a host or on all hosts with a tag.
#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/hosts.h"
#include "api/routes/member.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/ir/typed.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

std::string line_of(const MaintenanceWindow& w) {
  return dumped(Json{{"id", w.id},
                     {"scope", w.scope},
                     {"from", iso8601(w.starts_at_ms)},
                     {"to", iso8601(w.ends_at_ms)},
                     {"effect", w.suppress ? "suppress" : "approve"},
                     {"include_critical", w.include_critical},
                     {"set_by", w.set_by},
                     {"comment", w.why}});
}

net::Response list(const Call& call) {
  const auto windows = call.parts.store.maintenance();
  if (!windows) return failed(windows.error());
  std::string body;
  for (const MaintenanceWindow& w : *windows) body += line_of(w) + '\n';
  return ndjson(std::move(body));
}

Result<MaintenanceWindow> window_of(const Call& call) {
  const auto body = parse_json(call.request.body);
  if (!body.is_object()) return fail(ErrorCode::invalid_argument, "the body is not a JSON object");
  FB_TRY_VOID(takes_only(body, {"host", "tag", "from", "to", "suppress", "include_critical", "comment"}));
  FB_TRY(const std::string host, member<std::string>(body, "host", ""));
  FB_TRY(const std::string tag, member<std::string>(body, "tag", ""));
  FB_TRY(const std::string from, member<std::string>(body, "from", ""));
  FB_TRY(const std::string to, member<std::string>(body, "to", ""));
  if (host.empty() == tag.empty()) return fail(ErrorCode::invalid_argument, "name either a host or a tag");
  MaintenanceWindow w;
  if (host.empty()) {
    w.scope = "tag:" + tag;
  } else {
    FB_TRY(const auto reader, call.reader());
    FB_TRY(const std::string endpoint, one_endpoint(*reader, host));
    w.scope = "host:" + endpoint;
  }
  const auto starts = ir::parse_date_value(from);
  const auto ends = ir::parse_date_value(to);
  if (!starts || !ends) return fail(ErrorCode::invalid_argument, "'from' and 'to' are ISO 8601 times");
  w.starts_at_ms = *starts;
  w.ends_at_ms = *ends;
  FB_TRY(w.suppress, member<bool>(body, "suppress", false));
  FB_TRY(w.include_critical, member<bool>(body, "include_critical", false));
  FB_TRY(w.why, member<std::string>(body, "comment", ""));
  w.set_by = call.actor();
  return w;
}

net::Response add(const Call& call) {
  auto window = window_of(call);
  if (!window) return failed(window.error());
  const auto id = call.parts.store.add_maintenance(*window);
  if (!id) return failed(id.error());
  window->id = *id;
  return json(200, line_of(*window));
}

net::Response remove(const Call& call) {
  const auto body = parse_json(call.request.body.empty() ? "{}" : call.request.body);
  if (!body.is_object()) return problem(400, "the body is {\"comment\": \"why\"}; the comment may be left out");
  const auto why = member<std::string>(body, "comment", "");
  if (!why) return failed(why.error());
  const std::string& id = call.params.at("id");
  const auto removed = call.parts.store.remove_maintenance(id, call.actor(), *why);
  if (!removed) return failed(removed.error());
  if (!*removed) return problem(404, "no maintenance has the id '" + id + "'");
  return json(200, Json{{"id", id}, {"removed", true}}.dump());
}

}  // namespace

void add_maintenance_routes(Router& router) {
  router.add("GET", "/api/firebreak/maintenance", Privilege::actions_read, list);
  router.add("POST", "/api/firebreak/maintenance", Privilege::guard_write, add);
  router.add("POST", "/api/firebreak/maintenance/{id}/remove", Privilege::guard_write, remove);
}

}  // namespace fb::api
