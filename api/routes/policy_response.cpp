// What a host says of the policy that it was given.
#include "api/api.h"
#include "api/response/host_document.h"
#include "api/response/query_values.h"
#include "api/router.h"
#include "api/routes/answers.h"

namespace fb::api {
namespace {

net::Response get(const Call& call) {
  const auto query = QueryValues::read(call.request.target, {"agentId"});
  if (!query) return failed(query.error());
  const std::string id = query->text("agentId");
  if (id.empty()) {
    return problem(400, query->has("agentId")
                            ? "[request query.agentId]: value has length [0] but it must have a minimum length of [1]."
                            : "[request query.agentId]: expected value of type [string] but got [undefined]");
  }
  const auto found = call.parts.store.endpoint_details({id});
  if (!found) return failed(found.error());
  if (found->empty()) return problem(404, "Policy response for endpoint id " + id + " not found");
  return json(200, "{\"policy_response\":" + policy_response_document(found->front()) + "}");
}

}  // namespace

void add_policy_response_routes(Router& router) {
  router.add("GET", "/api/endpoint/policy_response", Privilege::endpoints_read, get);
}

}  // namespace fb::api
