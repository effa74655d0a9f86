// GET /api/status, as Kibana's clients ask for it before anything else: who it is, which version's API it speaks, how
// it does. Without credentials it tells only how it does. The API's own description is here, too.
#include <unistd.h>

#include "api/api.h"
#include "api/openapi.h"
#include "api/router.h"
#include "engine/base/digest.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

// The version of Kibana whose routes these are; clients look at it to know what they may ask for.
constexpr const char* kKibanaVersion = "8.18.0";

// One service, one id, however often it starts: from the CA that its agents trust.
std::string service_uuid(const Parts& parts) {
  std::string h = hex(sha256_parts({"fb-service-1", parts.ca_fingerprint})).substr(0, 32);
  h[12] = '5';
  h[16] = 'a';
  return h.substr(0, 8) + "-" + h.substr(8, 4) + "-" + h.substr(12, 4) + "-" + h.substr(16, 4) + "-" + h.substr(20);
}

std::string own_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "firebreak";
}

Json level_of(const char* level, const std::string& summary) {
  return Json{{"level", level}, {"summary", summary}};
}

net::Response status(const Call& call) {
  const bool shows_credentials = call.request.headers.count("authorization") != 0;
  if (shows_credentials && call.who.roles.empty()) return problem(401, "these credentials let nobody in");
  const char* level = "available";
  std::string trouble;
  for (const PartHealth& part : call.parts.health()) {
    if (part.ready) continue;
    // Without the record nothing can be asked or done; without the others what is recorded can.
    level = part.name == "record" ? "unavailable" : std::string_view(level) == "available" ? "degraded" : level;
    trouble += (trouble.empty() ? "" : "; ") + part.name + ": " + part.detail;
  }
  const int code = std::string_view(level) == "unavailable" ? 503 : 200;
  const Json overall = level_of(level, trouble.empty() ? "All services are available" : trouble);
  if (call.who.roles.empty()) return json(code, Json{{"status", {{"overall", {{"level", level}}}}}}.dump());
  const Json body{{"name", own_name()},
                  {"uuid", service_uuid(call.parts)},
                  {"version",
                   {{"number", kKibanaVersion},
                    {"build_hash", ""},
                    {"build_number", 0},
                    {"build_snapshot", false},
                    {"build_flavor", "traditional"},
                    {"firebreak", call.parts.service_version}}},
                  {"status", {{"overall", overall}, {"core", Json::object()}, {"plugins", Json::object()}}}};
  return json(code, dumped(body));
}

net::Response description(const Call&) {
  net::Response r;
  r.content_type = "application/yaml";
  r.body = std::string(kOpenApi);
  return r;
}

}  // namespace

void add_status_routes(Router& router) {
  router.add_open("GET", "/api/status", status);
  router.add_open("GET", "/api/firebreak/openapi.yaml", description);
}

}  // namespace fb::api
