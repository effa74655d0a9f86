#include "apps/firebreak/action_view.h"

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

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

bool moves_on(const std::string& status) {
  return status == "requested" || status == "dispatched" || status == "accepted" || status == "unknown";
}

}  // namespace

std::string text_of(const Json& line, const char* key) {
  const auto it = line.find(key);
  if (it == line.end() || it->is_null()) return "-";
  std::string text = it->is_string() ? it->get<std::string>() : it->dump();
  return text.empty() ? "-" : text;
}

int exit_code_of(const Error& error) {
  return error.code == ErrorCode::conflict ? kFound : kCantRun;
}

bool ended_badly(const std::string& status) {
  return status == "blocked" || status == "failed" || status == "denied" || status == "expired" ||
         status == "superseded";
}

void print_action(const Json& action) {
  std::string line =
      text_of(action, "command") + " " + text_of(action, "endpoint_id") + ": " + text_of(action, "status");
  if (text_of(action, "guard") != "-") line += " (" + text_of(action, "guard") + ")";
  if (text_of(action, "detail") != "-") line += ", " + text_of(action, "detail");
  std::printf("%s\n", paint(paint_of(text_of(action, "status")), printable(line)).c_str());
}

bool print_list(const std::string& name, const std::string& ndjson) {
  const List* list = find_list(name);
  if (list == nullptr) return false;
  std::vector<std::string> head;
  for (const Column& c : list->columns) head.emplace_back(c.heading);
  Table table(std::move(head));
  for (size_t at = 0; at < ndjson.size();) {
    const size_t end = std::min(ndjson.find('\n', at), ndjson.size());
    const Json line = Json::parse(ndjson.begin() + static_cast<std::ptrdiff_t>(at),
                                  ndjson.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
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
  return true;
}

Result<Json> follow(ApiClient& client, const Json& first, int wait_s, const FollowHooks& hooks) {
  constexpr int kEveryMs = 50;
  Json action = first;
  const int64_t until = system_clock().mono_ms() + int64_t{wait_s} * 1000;
  while (moves_on(text_of(action, "status")) && system_clock().mono_ms() < until) {
    if (hooks.pause) {
      if (!hooks.pause(kEveryMs)) break;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(kEveryMs));
    }
    FB_TRY(const std::string body, client.get("/api/firebreak/actions/" + text_of(action, "action_id")));
    Json now = Json::parse(body, nullptr, false);
    if (!now.is_object()) return fail(ErrorCode::corrupt, "the service's answer is not JSON");
    const bool is_new = text_of(now, "status") != text_of(action, "status");
    action = std::move(now);
    if (is_new && hooks.changed) hooks.changed(action);
  }
  return action;
}

Result<Json> submit_action(ApiClient& client, const std::string& verb, const std::string& host,
                           const std::string& comment, bool override_protected) {
  const Json request{{"command", verb}, {"host", host}, {"comment", comment}, {"override", override_protected}};
  FB_TRY(const std::string body,
         client.post("/api/firebreak/actions", request.dump(-1, ' ', false, Json::error_handler_t::replace)));
  Json action = Json::parse(body, nullptr, false);
  if (!action.is_object()) return fail(ErrorCode::corrupt, "the service's answer is not JSON");
  return action;
}

}  // namespace fb::cli
