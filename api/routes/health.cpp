// /healthz: the process answers. /readyz: it does its work, or which part does not. /metrics: Prometheus.
#include "api/api.h"
#include "api/router.h"
#include "engine/base/json.h"

namespace fb::api {
namespace {

net::Response readyz(const Call& call) {
  nlohmann::ordered_json parts = nlohmann::ordered_json::object();
  bool ready = true;
  for (const PartHealth& part : call.parts.health()) {
    ready = ready && part.ready;
    parts[part.name] = {{"ready", part.ready}, {"detail", part.detail}};
  }
  const nlohmann::ordered_json body{{"ready", ready}, {"version", call.parts.service_version}, {"parts", parts}};
  return json(ready ? 200 : 503, body.dump());
}

net::Response metrics(const Call& call) {
  if (call.parts.refresh_gauges) call.parts.refresh_gauges();
  net::Response r;
  r.content_type = "text/plain; version=0.0.4";
  r.body = call.parts.metrics.expose();
  return r;
}

}  // namespace

void add_health_routes(Router& router) {
  router.add_open("GET", "/healthz", [](const Call&) { return json(200, R"({"status":"ok"})"); });
  router.add_open("GET", "/readyz", readyz);
  router.add_open("GET", "/metrics", metrics);
}

}  // namespace fb::api
