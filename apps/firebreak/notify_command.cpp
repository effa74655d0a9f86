// `firebreak notify test`: does every sink work? From the config itself, so that it can be tried before the service
// runs.
#include <unistd.h>

#include <cstdio>

#include "actions/notify/translate.h"
#include "apps/firebreak/load_config.h"
#include "apps/firebreak/notifications.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/text.h"

namespace fb::cli {

int run_notify_test(const std::string& config_file) {
  const auto config = load_config(config_file);
  if (!config) return config.error();
  auto sinks = notification_sinks(*config, system_clock());
  if (!sinks) return complain(config_file + ": " + sinks.error().describe(), kCantRun);
  if (sinks->empty()) return complain(config_file + " sets up no notifications", kCantRun);
  const std::string who = "user " + std::to_string(getuid());
  bool all = true;
  for (notify::Subscription& s : *sinks) {
    const Status sent = s.sink->send(notify::test_notification(system_clock().wall_ms(), who));
    all = all && sent.has_value();
    const std::string line = s.name + ": " + (sent ? "sent" : "failed: " + printable(sent.error().describe()));
    std::printf("%s\n", paint(sent ? Paint::green : Paint::red, line).c_str());
    std::fflush(stdout);
  }
  return all ? kDone : kFound;
}

}  // namespace fb::cli
