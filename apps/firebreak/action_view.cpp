#include "apps/firebreak/action_view.h"

#include <chrono>
#include <cstdio>
#include <set>
#include <thread>

#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/ir/typed.h"

namespace fb::cli {
namespace {

constexpr size_t kMostSingleNames = 32;  // above that all endpoints are asked for at once

enum class Shape : uint8_t { text, time, ago, name, words };

// Columns of each list: heading, key, most code points shown (0 = all), how it is shown.
struct Column {
  const char* heading;
  const char* key;
  size_t most = 0;
  Shape shape = Shape::text;
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
       {{"TIME", "timestamp", 0, Shape::time},
        {"SEVERITY", "severity"},
        {"RISK", "risk_score"},
        {"HOST", "endpoint_id", 30, Shape::name},
        {"ENDPOINT", "endpoint_id", 36},
        {"ALERT", "alert_id", 13},
        {"RULE", "rule_name", 60}}},
      {"actions",
       "no action",
       {{"TIME", "created_at", 0, Shape::time},
        {"COMMAND", "command"},
        {"HOST", "endpoint_id", 30, Shape::name},
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
        {"LAST SEEN", "last_seen", 0, Shape::ago},
        {"TAGS", "tags", 60, Shape::words},
        {"PROBLEMS", "problems", 60, Shape::words}}},
      {"agents",
       "no agent is enrolled",
       {{"HOST", "hostname", 30},
        {"AGENT", "endpoint_id", 36},
        {"STATUS", "status"},
        {"VERSION", "version"},
        {"OBSERVED", "observed"},
        {"CERTIFICATE UNTIL", "certificate_until", 0, Shape::time},
        {"LAST SEEN", "last_seen", 0, Shape::ago},
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

template <class Each>
void each_line(const std::string& ndjson, const Each& each) {
  for (size_t at = 0; at < ndjson.size();) {
    const size_t end = std::min(ndjson.find('\n', at), ndjson.size());
    const Json line = parse_ordered_json(std::string_view(ndjson).substr(at, end - at));
    at = end + 1;
    if (line.is_object()) each(line);
  }
}

std::string words_of(const Json& line, const char* key) {
  const auto at = line.find(key);
  if (at == line.end() || !at->is_array()) return "-";
  std::string out;
  for (const Json& word : *at) {
    if (word.is_string()) out += (out.empty() ? "" : ", ") + word.get<std::string>();
  }
  return out.empty() ? "-" : out;
}

std::string cell_of(const Column& column, const Json& line, const HostNames& names, int64_t now_ms) {
  const std::string text = text_of(line, column.key);
  switch (column.shape) {
    case Shape::text:
      return text;
    case Shape::time:
      return time_or_ago(text, INT64_MIN);
    case Shape::ago:
      return time_or_ago(text, now_ms);
    case Shape::words:
      return words_of(line, column.key);
    case Shape::name: {
      const auto at = names.find(text);
      return at == names.end() || at->second.empty() ? "-" : at->second;
    }
  }
  return text;
}

}  // namespace

std::string text_of(const Json& line, const char* key) {
  const auto it = line.find(key);
  if (it == line.end() || it->is_null()) return "-";
  std::string text = it->is_string() ? it->get<std::string>() : it->dump();
  return text.empty() ? "-" : text;
}

bool ended_badly(const std::string& status) {
  return status == "blocked" || status == "failed" || status == "denied" || status == "expired" ||
         status == "superseded";
}

std::string host_of(const Json& action) {
  const std::string name = text_of(action, "hostname");
  const std::string id = text_of(action, "endpoint_id");
  return name == "-" || name == id ? id : name + " (" + id + ")";
}

void print_action(const Json& action) {
  std::string line = text_of(action, "command") + " " + host_of(action) + ": " + text_of(action, "status");
  if (text_of(action, "guard") != "-") line += " (" + text_of(action, "guard") + ")";
  if (text_of(action, "detail") != "-") line += ", " + text_of(action, "detail");
  std::printf("%s\n", paint(paint_of(text_of(action, "status")), printable(line)).c_str());
}

bool was_joined(const Json& action) {
  return text_of(action, "status") == "superseded" && text_of(action, "detail").starts_with("joined ");
}

void print_decision(bool approve, const Json& action) {
  const std::string status = text_of(action, "status");
  std::string line = std::string(approve ? "approved: " : "denied: ") + text_of(action, "command") + " " +
                     host_of(action) + ", asked for by " + text_of(action, "requested_by");
  if (text_of(action, "comment") != "-") line += " (" + shortened(text_of(action, "comment"), 80) + ")";
  line += !approve                 ? "; nothing is sent"
          : was_joined(action)     ? "; the host's isolation is under way already, nothing more is sent: "
          : status == "superseded" ? "; it is not sent: "
          : ended_badly(status)    ? "; a guard that an approval does not override stopped it"
          : status == "queued"     ? "; it goes out when the agent is back"
                                   : "; it goes out to the agent now";
  if (approve && status == "superseded") line += text_of(action, "detail");
  std::printf("%s\n", printable(line).c_str());
}

void print_outlook(const Json& action) {
  const std::string status = text_of(action, "status");
  const bool isolates = text_of(action, "command") == "isolate";
  const std::string not_yet =
      isolates ? "the host is not known to be isolated yet; " : "the host is not known to be released yet; ";
  const std::string id = text_of(action, "action_id").substr(0, 12);
  std::string line;
  if (status == "requested" || status == "dispatched" || status == "accepted") {
    line = not_yet + "the agent has not told the outcome so far";
  } else if (status == "unknown") {
    line = not_yet + "the order may or may not have reached the agent, its next report tells";
  } else if (status == "queued") {
    line = not_yet + "the agent is offline: it goes out when the agent is back";
  } else if (status == "awaiting_approval") {
    line = std::string("nothing is sent until a second person approves it: firebreak actions approve ") + id;
  } else if (status == "dry_run") {
    line = "nothing was sent: this service only tells what it would do (response.mode)";
  }
  if (line.empty()) return;
  if (status != "dry_run" && status != "awaiting_approval") line += " (firebreak actions shows it as " + id + ")";
  std::printf("%s\n", printable(line).c_str());
}

std::string time_or_ago(const std::string& iso, int64_t now_ms) {
  if (const auto at = ir::parse_date_value(iso); at && *at <= now_ms && now_ms - *at < 60'000) {
    return std::to_string((now_ms - *at) / 1000) + " s ago";
  }
  if (iso.size() < 19) return iso;
  std::string text = iso.substr(0, 19);
  text[10] = ' ';
  return text;
}

Result<int64_t> since_ms(const std::string& since) {
  if (const auto ms = parse_duration_ms(since)) return system_clock().wall_ms() - *ms;
  if (const auto ms = ir::parse_date_value(since)) return *ms;
  return fail(ErrorCode::invalid_argument,
              "--since takes a duration such as 30m or 1d, or an ISO time, not '" + printable(since) + "'");
}

HostNames host_names(ApiClient& client, const std::string& ndjson) {
  std::set<std::string> ids;
  each_line(ndjson, [&](const Json& line) { ids.insert(text_of(line, "endpoint_id")); });
  ids.erase("-");
  HostNames names;
  const auto ask = [&](const std::string& path) {
    const auto body = client.get(path);
    if (!body) return;
    each_line(*body, [&](const Json& line) {
      if (line.contains("hostname")) names[text_of(line, "endpoint_id")] = text_of(line, "hostname");
    });
  };
  if (ids.size() > kMostSingleNames) {
    ask("/api/firebreak/endpoints");
  } else {
    for (const std::string& id : ids) ask("/api/firebreak/endpoints?host=" + url_encoded(id));
  }
  return names;
}

bool print_list(const std::string& name, const std::string& ndjson, const HostNames& names) {
  const List* list = find_list(name);
  if (list == nullptr) return false;
  std::vector<std::string> head;
  for (const Column& c : list->columns) head.emplace_back(c.heading);
  Table table(std::move(head));
  const int64_t now_ms = system_clock().wall_ms();
  each_line(ndjson, [&](const Json& line) {
    std::vector<std::string> cells;
    for (const Column& c : list->columns) {
      std::string cell = cell_of(c, line, names, now_ms);
      if (c.most != 0) cell = shortened(cell, c.most);
      cells.push_back(std::move(cell));
    }
    table.row(std::move(cells));
  });
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
  const auto goes_on = [&hooks](const std::string& status) {
    return moves_on(status) || (hooks.through_queue && status == "queued");
  };
  while (goes_on(text_of(action, "status")) && system_clock().mono_ms() < until) {
    if (hooks.pause) {
      if (!hooks.pause(kEveryMs)) break;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(kEveryMs));
    }
    FB_TRY(const std::string body, client.get("/api/firebreak/actions/" + text_of(action, "action_id")));
    Json now = parse_ordered_json(body);
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
  FB_TRY(const std::string body, client.post("/api/firebreak/actions", dumped(request)));
  Json action = parse_ordered_json(body);
  if (!action.is_object()) return fail(ErrorCode::corrupt, "the service's answer is not JSON");
  return action;
}

}  // namespace fb::cli
