// The service's config file as the commands take it: problems are printed as pictures; settings of the guard are
// checked too.
#pragma once

#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/respond/guard_settings.h"

namespace fb::cli {

// False, and one line on standard error: there is no such file, or it may not be read.
bool can_read_config(const std::string& file);

// The config, or the exit code to end with (everything was said on standard error).
tl::expected<Config, int> load_config(const std::string& file);

// What the config says to the guard; the error names the key.
Result<GuardSettings> guard_settings(const Config& config);

}  // namespace fb::cli
