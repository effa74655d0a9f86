// firebreak watch: what happens, as it happens. Goes on by itself when the connection is lost.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "apps/firebreak/action_view.h"
#include "apps/firebreak/answers.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

constexpr int kRetryMs = 2000;

std::string time_of(const Json& data, const std::string& kind) {
  const auto happened = data.find("event");
  std::string at = kind == "alert"                                   ? text_of(data, "timestamp")
                   : happened != data.end() && happened->is_object() ? text_of(*happened, "at")
                                                                     : text_of(data, "last_seen");
  if (at.size() < 19) return at;
  at[10] = ' ';
  return at.substr(0, 19);
}

// One line a person can read: time, kind, what it is about.
std::string line_of(const net::ServerEvent& event, const Json& data) {
  std::string what;
  if (event.name == "alert") {
    what = text_of(data, "severity") + "  " + text_of(data, "endpoint_id") + "  " + text_of(data, "rule_name");
  } else if (event.name == "action") {
    what = text_of(data, "command") + " " + text_of(data, "endpoint_id") + ": " + text_of(data, "status");
    if (text_of(data, "guard") != "-") what += " (" + text_of(data, "guard") + ")";
    what += ", by " + text_of(data, "requested_by");
  } else {
    what = text_of(data, "hostname") + " (" + text_of(data, "endpoint_id") + "): " + text_of(data, "agent_status") +
           ", wanted " + text_of(data, "desired") + ", observed " + text_of(data, "observed");
  }
  if (const auto happened = data.find("event"); happened != data.end() && happened->is_object()) {
    what += "  [" + text_of(*happened, "what") + "]";
  }
  std::string kind = event.name;
  kind.resize(std::max<size_t>(kind.size(), 8), ' ');
  return time_of(data, event.name) + "  " + kind + "  " + what;
}

}  // namespace

int run_watch(const WatchOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  std::string path = "/api/stream";
  for (const std::string& kind : options.kinds)
    path += (path.back() == 'm' ? "?events=" : "&events=") + url_encoded(kind);
  std::string last_id = options.after;
  int retry_ms = kRetryMs;
  int64_t seen = 0;
  const auto take = [&](const net::ServerEvent& event) {
    const Json data = parse_ordered_json(event.data);
    if (!data.is_object()) return true;
    if (options.format == Format::json) {
      Json line{{"id", event.id}, {"event", event.name}, {"data", data}};
      std::printf("%s\n", dumped(line).c_str());
    } else {
      std::printf("%s\n", paint(event.name == "alert" ? paint_of(text_of(data, "severity")) : Paint::plain,
                                printable(line_of(event, data)))
                              .c_str());
    }
    if (std::fflush(stdout) != 0) return false;  // nobody reads any more
    ++seen;
    return options.limit == 0 || seen < options.limit;
  };
  for (bool was_on = false;; was_on = true) {
    const Status followed = client->follow(path, last_id, retry_ms, take);
    if (followed) return kDone;
    const bool lost = followed.error().retry == Retry::yes;
    if (!lost || (!was_on && last_id.empty())) return give_up(*client, followed.error());
    std::fprintf(stderr, "firebreak: %s; trying again\n", printable(followed.error().describe()).c_str());
    std::this_thread::sleep_for(std::chrono::milliseconds(retry_ms));
  }
}

}  // namespace fb::cli
