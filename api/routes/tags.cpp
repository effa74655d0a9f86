// Tags of an endpoint. One that protects is taken away only when a second person asks for the same.
#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/hosts.h"
#include "engine/base/json.h"

namespace fb::api {
namespace {

constexpr const char* kBody = R"(the body is {"tag": "...", "op": "add|rm", "comment": "why"})";

net::Response change(const Call& call) {
  const auto body = parse_json(call.request.body);
  if (!body.is_object()) return problem(400, kBody);
  for (const auto& [key, value] : body.items()) {
    if (!value.is_string() || (key != "tag" && key != "op" && key != "comment")) return problem(400, kBody);
  }
  const std::string op = body.value("op", "");
  const std::string tag = body.value("tag", "");
  if (op != "add" && op != "rm") return problem(400, kBody);
  auto reader = call.reader();
  if (!reader) return failed(reader.error());
  const auto endpoint = one_endpoint(**reader, call.params.at("host"));
  if (!endpoint) return failed(endpoint.error());
  const auto done = call.parts.store.change_tag(*endpoint, tag, op == "add", call.actor(), body.value("comment", ""));
  if (!done) return failed(done.error());
  using Change = Store::TagChange;
  const char* result = *done == Change::done ? "done" : *done == Change::waits ? "waits" : "unchanged";
  return json(200,
              nlohmann::ordered_json{{"endpoint_id", *endpoint}, {"tag", tag}, {"op", op}, {"result", result}}.dump(
                  -1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

void add_tags_routes(Router& router) {
  router.add("POST", "/api/firebreak/endpoints/{host}/tags", Privilege::endpoints_write, change);
}

}  // namespace fb::api
