// Small files that must survive a crash: replaced whole and synced, or read whole up to a bound. Errors name the file.
#pragma once

#include <cstddef>
#include <string>

#include "engine/base/result.h"

namespace fb::agent {

// Written beside the target (mode 0600), synced, moved over it, folder synced.
Status replace_file(const std::string& path, const std::string& text);
// not_found when it is not there, limit when it is larger than max_bytes.
Result<std::string> read_file(const std::string& path, size_t max_bytes);
// Makes the new name of a file in this folder durable.
Status sync_folder(const std::string& folder);

}  // namespace fb::agent
