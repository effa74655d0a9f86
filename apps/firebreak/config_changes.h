// What a config file that is read again while the service runs changes, and what only a restart would. Pure.
#pragma once

#include <string>
#include <vector>

#include "engine/config/config.h"

namespace fb::cli {

struct ConfigChange {
  std::string key;
  bool takes_effect = false;  // now; else the service goes on with what it was started with
};

// `started`: what the service was started with; `last`: what was read last; `fresh`: what is read now. A key that needs
// a restart is named for as long as it differs from what runs, not only the first time.
std::vector<ConfigChange> config_changes(const Config& started, const Config& last, const Config& fresh);

}  // namespace fb::cli
