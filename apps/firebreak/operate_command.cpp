// The operating commands: they ask the service's API and show the answer.
#include <cstdio>

#include "apps/firebreak/action_view.h"
#include "apps/firebreak/answers.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

constexpr int kDefaultWaitS = 10;
constexpr int64_t kMostWaitMs = 3'600'000;

struct Wait {
  int seconds = kDefaultWaitS;
  FollowHooks hooks;
};

// "30s", "2m", or a number of seconds. Whoever asks for a wait waits for an agent that is offline, too.
Result<Wait> wait_of(const std::string& text) {
  Wait wait;
  if (text.empty()) return wait;
  const bool digits = text.size() <= 5 && text.find_first_not_of("0123456789") == std::string::npos;
  const auto ms = digits ? std::stoll(text) * 1000 : parse_duration_ms(text);
  if (!ms || *ms < 0 || *ms > kMostWaitMs) {
    return fail(ErrorCode::invalid_argument,
                "--wait takes a time such as 30s or 2m, at most 1h (0 = don't wait), not '" + printable(text) + "'");
  }
  wait.seconds = static_cast<int>((*ms + 999) / 1000);
  wait.hooks.through_queue = true;
  return wait;
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
    const auto since = since_ms(options.since);
    if (!since) return complain(since.error(), kCantRun);
    add("since", iso8601(*since));
  }
  const bool for_people = options.format == Format::text;
  if (for_people && what == "endpoints") add("tags", "1");
  auto body = client->get(path);
  if (!body) return give_up(*client, body.error());
  if (!for_people) {
    std::fwrite(body->data(), 1, body->size(), stdout);
    return kDone;
  }
  print_list(what, *body, what == "alerts" || what == "actions" ? host_names(*client, *body) : HostNames{});
  return kDone;
}

// 0 for what the service took, and the line says how far it came; whoever asks for a wait gets 0 only for what the host
// confirmed in that time.
int run_act(const std::string& verb, const ActOptions& options) {
  const auto wait = wait_of(options.wait);
  if (!wait) return complain(wait.error(), kCantRun);
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  auto action = submit_action(*client, verb, options.host, options.comment, options.override_protected);
  if (!action) return give_up(*client, action.error());
  auto followed = follow(*client, *action, wait->seconds, wait->hooks);
  if (!followed) return complain(followed.error(), kCantRun);
  if (options.format == Format::json) {
    std::printf("%s\n", followed->dump().c_str());
  } else {
    print_action(*followed);
    print_outlook(*followed);
  }
  const std::string status = text_of(*followed, "status");
  const bool confirmed_only = wait->hooks.through_queue && wait->seconds > 0;
  if (confirmed_only) return status == "verified" ? kDone : kFound;
  return ended_badly(status) ? kFound : kDone;
}

int run_decide(bool approve, const std::string& action_id, const ActOptions& options) {
  const auto wait = wait_of(options.wait);
  if (!wait) return complain(wait.error(), kCantRun);
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const Json request{{"comment", options.comment}};
  auto body = client->post("/api/firebreak/actions/" + url_encoded(action_id) + (approve ? "/approve" : "/deny"),
                           request.dump());
  if (!body) return give_up(*client, body.error());
  const Json action = parse_ordered_json(*body);
  const auto decided = [&](const Json& a) { print_decision(approve, a); };
  if (!approve || !action.is_object()) return show_answer(options.format, *body, decided);
  const bool for_people = options.format == Format::text;
  if (for_people) decided(action);
  std::fflush(stdout);
  const auto followed = follow(*client, action, wait->seconds, wait->hooks);
  if (!for_people) std::printf("%s\n", dumped(followed ? *followed : action).c_str());
  if (!followed) return complain(followed.error(), kCantRun);
  if (for_people) {
    print_action(*followed);
    print_outlook(*followed);
  }
  return ended_badly(text_of(*followed, "status")) && !was_joined(*followed) ? kFound : kDone;
}

int run_kill_switch(bool on, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const Json request{{"on", on}, {"comment", options.comment}};
  auto body = client->post("/api/firebreak/kill_switch", request.dump());
  if (!body) return give_up(*client, body.error());
  return show_answer(options.format, *body, [on](const Json&) {
    std::printf("%s\n", on ? "the kill switch is on: no new isolation goes out; releases and detection go on"
                           : "the kill switch is off: isolations may go out");
  });
}

int run_breaker_reset(const std::string& breaker, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const Json request{{"breaker", breaker}, {"comment", options.comment}};
  auto body = client->post("/api/firebreak/breakers/reset", dumped(request));
  if (!body) return give_up(*client, body.error());
  return show_answer(options.format, *body,
                     [&](const Json&) { std::printf("reset: %s\n", printable(breaker).c_str()); });
}

int run_token(const TokenOptions& options) {
  const auto ttl = parse_duration_ms(options.ttl);
  if (!ttl || *ttl == 0)
    return complain("--ttl takes a duration such as 30m or 1h, not '" + printable(options.ttl) + "'", kCantRun);
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  auto body = client->post("/api/firebreak/agents/tokens", Json{{"ttl_ms", *ttl}}.dump());
  if (!body) return give_up(*client, body.error());
  return show_answer(options.format, *body, [](const Json& answer) {
    // The token alone on standard output, so that it can go into a file.
    std::printf("%s\n", text_of(answer, "token").c_str());
    std::fprintf(stderr, "good for one agent until %s; CA fingerprint %s\n", text_of(answer, "expires_at").c_str(),
                 text_of(answer, "ca_fingerprint").c_str());
  });
}

}  // namespace fb::cli
