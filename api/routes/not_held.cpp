// What Kibana keeps beside response actions and Firebreak has none of: files that actions brought back, scripts, notes
// on protection updates. Lists are empty, single ones are not found, and making one is not implemented.
#include "api/api.h"
#include "api/response/query_values.h"
#include "api/router.h"
#include "api/routes/answers.h"

namespace fb::api {
namespace {

net::Response file(const Call& call) {
  const std::string& id = call.params.at("id");
  ResponseFilter filter;
  filter.ids = {id};
  filter.limit = 1;
  const auto found = call.parts.store.response_actions(filter);
  if (!found) return failed(found.error());
  if (found->entries.empty()) return problem(404, "Action with id '" + id + "' not found.");
  return problem(404, "Action with id '" + id + "' has no file '" + call.params.at("file_id") +
                          "': isolating and releasing bring back none");
}

net::Response scripts(const Call& call) {
  const auto query =
      QueryValues::read(call.request.target, {"page", "pageSize", "sortField", "sortDirection", "kuery"});
  if (!query) return failed(query.error());
  const auto page = query->number("page", 1, 1, 1'000'000'000);
  if (!page) return failed(page.error());
  const auto page_size = query->number("pageSize", 10, 1, 1000);
  if (!page_size) return failed(page_size.error());
  const auto field =
      query->list_of("sortField", {"name", "createdAt", "createdBy", "updatedAt", "updatedBy", "fileSize"});
  if (!field) return failed(field.error());
  const auto direction = query->list_of("sortDirection", {"asc", "desc"});
  if (!direction) return failed(direction.error());
  return json(200, "{\"data\":[],\"total\":0,\"page\":" + std::to_string(*page) + ",\"pageSize\":" +
                       std::to_string(*page_size) + ",\"sortField\":\"" + (field->empty() ? "name" : field->back()) +
                       "\",\"sortDirection\":\"" + (direction->empty() ? "asc" : direction->back()) + "\"}");
}

net::Response no_script(const Call& call) {
  return problem(404, "Script with id '" + call.params.at("id") + "' not found.");
}

net::Response no_scripts_here(const Call&) {
  return problem(501, "Firebreak runs no scripts on hosts and keeps none");
}

net::Response no_note(const Call& call) {
  return problem(404, "Policy '" + call.params.at("policy_id") + "' has no note on protection updates");
}

net::Response no_notes_here(const Call&) {
  return problem(501, "Firebreak has no protection updates, and no notes on them");
}

}  // namespace

void add_not_held_routes(Router& router) {
  router.add("GET", "/api/endpoint/action/{id}/file/{file_id}", Privilege::actions_read, file);
  router.add("GET", "/api/endpoint/action/{id}/file/{file_id}/download", Privilege::actions_read, file);
  router.add("GET", "/api/endpoint/scripts_library", Privilege::actions_read, scripts);
  router.add("POST", "/api/endpoint/scripts_library", Privilege::isolate, no_scripts_here);
  router.add("GET", "/api/endpoint/scripts_library/{id}", Privilege::actions_read, no_script);
  router.add("PATCH", "/api/endpoint/scripts_library/{id}", Privilege::isolate, no_script);
  router.add("DELETE", "/api/endpoint/scripts_library/{id}", Privilege::isolate, no_script);
  router.add("GET", "/api/endpoint/scripts_library/{id}/download", Privilege::actions_read, no_script);
  router.add("GET", "/api/endpoint/protection_updates_note/{policy_id}", Privilege::endpoints_read, no_note);
  router.add("POST", "/api/endpoint/protection_updates_note/{policy_id}", Privilege::endpoints_write, no_notes_here);
}

}  // namespace fb::api
