// The operating commands: they ask the service's API and show the answer.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/firebreak/action_view.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/text.h"
#include "engine/ir/typed.h"

namespace fb::cli {
namespace {

Result<std::string> since_iso(const std::string& since) {
  if (const auto ms = parse_duration_ms(since)) return iso8601(system_clock().wall_ms() - *ms);
  if (const auto ms = ir::parse_date_value(since)) return iso8601(*ms);
  return fail(ErrorCode::invalid_argument,
              "--since takes a duration such as 30m or 1d, or an ISO time, not '" + printable(since) + "'");
}

}  // namespace

int run_list(const std::string& what, const ListOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  std::string path = "/api/firebreak/" + what + "?limit=" + std::to_string(options.limit);
  const auto add = [&path](const char* key, const std::string& value) {
    if (!value.empty()) path += std::string("&") + key + "=" + url_encoded(value);
  };
  add("host", options.host);
  add("rule", options.rule);
  add("command", options.command);
  add("status", options.status);
  if (!options.since.empty()) {
    const auto iso = since_iso(options.since);
    if (!iso) return complain(iso.error(), kCantRun);
    add("since", *iso);
  }
  auto body = client->get(path);
  if (!body) return complain(body.error(), exit_code_of(body.error()));
  if (options.format == Format::json) {
    std::fwrite(body->data(), 1, body->size(), stdout);
    return kDone;
  }
  print_list(what, *body);
  return kDone;
}

int run_act(const std::string& verb, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  auto action = submit_action(*client, verb, options.host, options.comment, options.override_protected);
  if (!action) return complain(action.error(), exit_code_of(action.error()));
  auto followed = follow(*client, *action, options.wait_s);
  if (!followed) return complain(followed.error(), kCantRun);
  if (options.format == Format::json) {
    std::printf("%s\n", followed->dump().c_str());
  } else {
    print_action(*followed);
  }
  const std::string status = text_of(*followed, "status");
  return ended_badly(status) ? kFound : kDone;
}

int run_decide(bool approve, const std::string& action_id, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const Json request{{"comment", options.comment}};
  auto body = client->post("/api/firebreak/actions/" + url_encoded(action_id) + (approve ? "/approve" : "/deny"),
                           request.dump());
  if (!body) return complain(body.error(), exit_code_of(body.error()));
  const Json action = Json::parse(*body, nullptr, false);
  if (action.is_object()) print_action(action);
  return kDone;
}

int run_kill_switch(bool on, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const Json request{{"on", on}, {"comment", options.comment}};
  auto body = client->post("/api/firebreak/kill_switch", request.dump());
  if (!body) return complain(body.error(), exit_code_of(body.error()));
  std::printf("%s\n", on ? "the kill switch is on: no new isolation goes out; releases and detection go on"
                         : "the kill switch is off: isolations may go out");
  return kDone;
}

int run_breaker_reset(const std::string& breaker, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const Json request{{"breaker", breaker}, {"comment", options.comment}};
  auto body =
      client->post("/api/firebreak/breakers/reset", request.dump(-1, ' ', false, Json::error_handler_t::replace));
  if (!body) return complain(body.error(), exit_code_of(body.error()));
  std::printf("reset: %s\n", printable(breaker).c_str());
  return kDone;
}

int run_token(const TokenOptions& options) {
  const auto ttl = parse_duration_ms(options.ttl);
  if (!ttl || *ttl == 0)
    return complain("--ttl takes a duration such as 30m or 1h, not '" + printable(options.ttl) + "'", kCantRun);
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  auto body = client->post("/api/firebreak/agents/tokens", Json{{"ttl_ms", *ttl}}.dump());
  if (!body) return complain(body.error(), exit_code_of(body.error()));
  const Json answer = Json::parse(*body, nullptr, false);
  // The token alone on standard output, so that it can go into a file.
  std::printf("%s\n", text_of(answer, "token").c_str());
  std::fprintf(stderr, "good for one agent until %s; CA fingerprint %s\n", text_of(answer, "expires_at").c_str(),
               text_of(answer, "ca_fingerprint").c_str());
  return kDone;
}

}  // namespace fb::cli
