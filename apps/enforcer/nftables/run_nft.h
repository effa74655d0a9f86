// Runs nft commands (libnftables), for learning what the kernel makes of rule texts; nothing else needs it. libnftables
// reads the rules again whenever somebody changed them meanwhile, without end, so it runs in a child process that can
// be ended. No program is started. Costs some milliseconds.
#pragma once

#include <chrono>
#include <string>

#include "engine/base/result.h"

namespace fb::agent {

// One transaction. The error is nft's own first line (unavailable), or that it did not end in time (timeout).
Status run_nft(const std::string& commands, std::chrono::milliseconds at_most);

}  // namespace fb::agent
