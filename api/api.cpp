#include "api/api.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/router.h"

namespace fb::api {
namespace {

struct Api {
  explicit Api(Parts p) : parts(std::move(p)) {
    for (const AddRoutes add : kRouteFiles) add(router);
  }

  net::Response handle(const net::Request& request) {
    const Router::Match match = router.find(request.method, request.path);
    Principal who;
    who.address = request.peer;
    if (request.peer == "unix") {
      who.person = "local";
      who.roles = {Role::admin};
    } else if (const auto it = request.headers.find("authorization"); it != request.headers.end()) {
      if (const std::string id = parts.keys.check(it->second); !id.empty()) {
        who.person = "key-" + id;
        who.key_id = id;
        who.roles = {Role::admin};
      }
    }
    const bool is_open = match.handle != nullptr && !match.privilege;
    // Who may not come in does not learn which paths there are.
    if (!is_open && who.roles.empty()) return problem(401, "an API key is needed: Authorization: ApiKey <key>");
    if (match.handle == nullptr) {
      return match.other_method ? problem(405, "this path does not take " + request.method)
                                : problem(404, "there is no " + request.path);
    }
    if (match.privilege && !who.may(*match.privilege)) {
      return problem(403, "this takes the privilege " + std::string(to_string(*match.privilege)));
    }
    try {
      return (*match.handle)(Call{request, match.params, who, parts});
    } catch (const nlohmann::json::exception&) {  // a body whose fields have other types than the route takes
      return problem(400, "a field of the body has the wrong type");
    }
  }

  Parts parts;
  Router router;
};

}  // namespace

net::Handler make_api(Parts parts) {
  auto api = std::make_shared<Api>(std::move(parts));
  Counter& requests = api->parts.metrics.counter("firebreak_http_requests_total", "Requests to the API");
  return [api, &requests](net::Request request, std::shared_ptr<net::Responder> responder) {
    requests.add_one();
    responder->answer(api->handle(request));
  };
}

}  // namespace fb::api
