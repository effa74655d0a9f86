// The operating commands: they ask the service's API and show the answer.
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/text.h"
#include "engine/ir/typed.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& line, const char* key) {
  const auto it = line.find(key);
  if (it == line.end() || it->is_null()) return "-";
  std::string text = it->is_string() ? it->get<std::string>() : it->dump();
  return text.empty() ? "-" : text;
}

// "2026-11-21T20:14:34.123Z" -> "2026-11-21 20:14:34".
std::string when(const Json& line, const char* key) {
  std::string text = text_of(line, key);
  if (text.size() < 19) return text;
  text[10] = ' ';
  return text.substr(0, 19);
}

// Columns of each list: heading, key, most code points shown (0 = all), is a time.
struct Column {
  const char* heading;
  const char* key;
  size_t most = 0;
  bool is_time = false;
};
struct List {
  const char* name;
  const char* none;
  std::vector<Column> columns;
};

const List* find_list(const std::string& name) {
  static const std::vector<List> lists = {
      {"alerts",
       "no alert",
       {{"TIME", "timestamp", 0, true},
        {"SEVERITY", "severity"},
        {"RISK", "risk_score"},
        {"ENDPOINT", "endpoint_id", 36},
        {"ALERT", "alert_id", 13},
        {"RULE", "rule_name", 60}}},
      {"actions",
       "no action",
       {{"TIME", "created_at", 0, true},
        {"COMMAND", "command"},
        {"ENDPOINT", "endpoint_id", 36},
        {"STATUS", "status"},
        {"GUARD", "guard"},
        {"BY", "requested_by", 40},
        {"ACTION", "action_id", 13},
        {"COMMENT", "comment", 40}}},
      {"endpoints",
       "no endpoint is enrolled",
       {{"HOST", "hostname", 30},
        {"ENDPOINT", "endpoint_id", 36},
        {"OS", "os"},
        {"AGENT", "agent_status"},
        {"DESIRED", "desired"},
        {"OBSERVED", "observed"},
        {"GEN", "generation"},
        {"LAST SEEN", "last_seen", 0, true}}},
      {"agents",
       "no agent is enrolled",
       {{"HOST", "hostname", 30},
        {"AGENT", "endpoint_id", 36},
        {"STATUS", "status"},
        {"VERSION", "version"},
        {"OBSERVED", "observed"},
        {"CERTIFICATE UNTIL", "certificate_until", 0, true},
        {"LAST SEEN", "last_seen", 0, true},
        {"DETAIL", "detail", 80}}},
      {"breakers", "no breaker has tripped", {{"BREAKER", "breaker"}}},
      {"deadletters",
       "no dead letter",
       {{"REASON", "reason"},
        {"TOPIC", "topic"},
        {"PART", "partition"},
        {"OFFSET", "offset"},
        {"DETAIL", "detail", 80}}},
  };
  for (const List& list : lists) {
    if (list.name == name) return &list;
  }
  return nullptr;
}

Result<std::string> since_iso(const std::string& since) {
  if (const auto ms = parse_duration_ms(since)) return iso8601(system_clock().wall_ms() - *ms);
  if (const auto ms = ir::parse_date_value(since)) return iso8601(*ms);
  return fail(ErrorCode::invalid_argument,
              "--since takes a duration such as 30m or 1d, or an ISO time, not '" + printable(since) + "'");
}

int exit_code_of(const Error& error) {
  return error.code == ErrorCode::conflict ? kFound : kCantRun;
}

void print_action(const Json& action) {
  std::string line =
      text_of(action, "command") + " " + text_of(action, "endpoint_id") + ": " + text_of(action, "status");
  if (text_of(action, "guard") != "-") line += " (" + text_of(action, "guard") + ")";
  if (text_of(action, "detail") != "-") line += ", " + text_of(action, "detail");
  std::printf("%s\n", paint(paint_of(text_of(action, "status")), printable(line)).c_str());
}

// Asks until the action is over or the time is up; returns the newest line of it.
Result<Json> follow(ApiClient& client, Json action, int wait_s) {
  const int64_t until = system_clock().mono_ms() + int64_t{wait_s} * 1000;
  while (system_clock().mono_ms() < until) {
    const std::string status = text_of(action, "status");
    if (status != "requested" && status != "dispatched" && status != "accepted" && status != "unknown") break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    FB_TRY(const std::string body, client.get("/api/firebreak/actions/" + text_of(action, "action_id")));
    Json now = Json::parse(body, nullptr, false);
    if (!now.is_object()) return fail(ErrorCode::corrupt, "the service's answer is not JSON");
    action = std::move(now);
  }
  return action;
}

}  // namespace

int run_list(const std::string& what, const ListOptions& options) {
  const List* list = find_list(what);
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
  std::vector<std::string> head;
  for (const Column& c : list->columns) head.emplace_back(c.heading);
  Table table(std::move(head));
  for (size_t at = 0; at < body->size();) {
    const size_t end = std::min(body->find('\n', at), body->size());
    const Json line = Json::parse(body->begin() + static_cast<std::ptrdiff_t>(at),
                                  body->begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    at = end + 1;
    if (!line.is_object()) continue;
    std::vector<std::string> cells;
    for (const Column& c : list->columns) {
      std::string cell = c.is_time ? when(line, c.key) : text_of(line, c.key);
      if (c.most != 0) cell = shortened(cell, c.most);
      cells.push_back(std::move(cell));
    }
    table.row(std::move(cells));
  }
  if (table.empty()) {
    std::printf("%s\n", list->none);
  } else {
    table.print();
  }
  return kDone;
}

int run_act(const std::string& verb, const ActOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const Json request{{"command", verb},
                     {"host", options.host},
                     {"comment", options.comment},
                     {"override", options.override_protected}};
  auto body = client->post("/api/firebreak/actions", request.dump(-1, ' ', false, Json::error_handler_t::replace));
  if (!body) return complain(body.error(), exit_code_of(body.error()));
  Json action = Json::parse(*body, nullptr, false);
  if (!action.is_object()) return complain("the service's answer is not JSON", kCantRun);
  auto followed = follow(*client, std::move(action), options.wait_s);
  if (!followed) return complain(followed.error(), kCantRun);
  if (options.format == Format::json) {
    std::printf("%s\n", followed->dump().c_str());
  } else {
    print_action(*followed);
  }
  const std::string status = text_of(*followed, "status");
  const bool bad =
      status == "blocked" || status == "failed" || status == "denied" || status == "expired" || status == "superseded";
  return bad ? kFound : kDone;
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
