// The network process's end of the root helper's socket. One request at a time over a unix stream socket, length before
// each message; the helper checks who connects. A helper that is away is an error of each call; the next call connects
// anew. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "apps/enforcer/enforcement.h"

namespace fb::agent {

// patience_ms: how long carry() tries to reach a helper that is away or dies in between, for instance since it is being
// started again. An envelope that it had taken before is then refused as replayed, and the service signs a new one.
std::unique_ptr<Enforcement> connect_helper(const std::string& socket_path, int patience_ms = 10'000);

// `firebreak-agent release --break-glass`: hands the code to the helper.
Status break_glass_at_helper(const std::string& socket_path, const std::string& code);

}  // namespace fb::agent
