#include "apps/firebreak/load_config.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "apps/firebreak/front_door.h"
#include "apps/firebreak/isolation_policy.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/pipeline/provenance.h"

namespace fb::cli {

bool can_read_config(const std::string& file) {
  if (::access(file.c_str(), R_OK) == 0) return true;
  complain(file + ": cannot read the config file: " + std::strerror(errno), kCantRun);
  return false;
}

tl::expected<Config, int> load_config(const std::string& file) {
  if (!can_read_config(file)) return tl::unexpected<int>(kCantRun);
  Config::Loaded loaded = Config::load(file);
  for (const Diagnostic& d : loaded.problems) std::fputs(render(d).c_str(), stderr);
  if (!loaded.ok()) {
    return tl::unexpected<int>(complain("the config file has " + std::to_string(loaded.problems.size()) + " problem" +
                                            (loaded.problems.size() == 1 ? "" : "s") + "; nothing was started",
                                        kCantRun));
  }
  if (const auto wrong = isolation_problems(loaded); !wrong.empty()) {
    for (const Diagnostic& d : wrong) std::fputs(render(d).c_str(), stderr);
    return tl::unexpected<int>(
        complain("what isolated hosts may talk to has a problem; nothing was started", kCantRun));
  }
  if (const auto settings = guard_settings(loaded.config); !settings) {
    return tl::unexpected<int>(complain(file + ": " + settings.error().describe(), kCantRun));
  }
  if (const Status front = check_front_door(loaded.config); !front) {
    return tl::unexpected<int>(complain(file + ": " + front.error().describe(), kCantRun));
  }
  if (const auto bound = IdentityBindings::parse(loaded.config.map("kafka.identity_bound")); !bound) {
    return tl::unexpected<int>(complain(file + ": " + bound.error().describe(), kCantRun));
  }
  return std::move(loaded.config);
}

Result<GuardSettings> guard_settings(const Config& config) {
  GuardSettings settings;
  settings.mode = *from_string<Mode>(config.text("response.mode"));
  settings.default_lease_ms = config.duration_ms("response.lease").value_or(0);
  for (const std::string& entry : config.list("response.protected")) {
    FB_TRY_VOID(settings.protected_list.add(entry));
  }
  for (const auto& [key, value] : config.map("response.guards")) {
    // YAML reads on and off as booleans.
    const std::string word = value == "true" ? "on" : value == "false" ? "off" : value;
    if (Status set = set_guard_option(settings, key, word); !set) {
      Error e = set.error();
      e.context = "response.guards." + key;
      return tl::unexpected<Error>(std::move(e));
    }
  }
  return settings;
}

}  // namespace fb::cli
