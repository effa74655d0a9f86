// The service's config file as the commands take it: problems are printed as pictures; settings of the guard are checked too.
#pragma once

#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/respond/guard_settings.h"

namespace fb::cli {

// The config, or the exit code to end with (everything was said on standard error).
tl::expected<Config, int> load_config(const std::string& file);

// What the config says to the guard; the error names the key.
Result<GuardSettings> guard_settings(const Config& config);

// Makes (or completes) a data directory: mode 0700, CA, gateway certificate for these names besides the host's own.
Status set_up_data_dir(const std::string& data_dir, const std::vector<std::string>& names);

}  // namespace fb::cli
