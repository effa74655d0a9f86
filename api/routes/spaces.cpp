// Kibana's spaces, as its clients ask for them before they put /s/{space} before a path: there is one.
#include "api/api.h"
#include "api/router.h"

namespace fb::api {
namespace {

constexpr const char* kDefault =
    R"({"id":"default","name":"Default","description":"All of Firebreak","color":"#00bfb3","initials":"D","disabledFeatures":[],"_reserved":true})";

net::Response list(const Call&) {
  return json(200, std::string("[") + kDefault + "]");
}

net::Response one(const Call& call) {
  return call.params.at("id") == "default" ? json(200, kDefault) : problem(404, "Not Found");
}

}  // namespace

void add_spaces_routes(Router& router) {
  router.add("GET", "/api/spaces/space", Privilege::endpoints_read, list);
  router.add("GET", "/api/spaces/space/{id}", Privilege::endpoints_read, one);
}

}  // namespace fb::api
