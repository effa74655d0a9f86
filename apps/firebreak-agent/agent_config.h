// The agent's config file: YAML, every key known, an unknown one refused with the key that was probably meant. Relative
// paths are taken from the folder of the file. Errors are "file:line:column: ...".
#pragma once

#include <string>

#include "apps/firebreak-agent/agent.h"
#include "engine/base/result.h"

namespace fb::agent {

// Facts of the machine are filled in; `simulated:` in the file replaces them (with the simulated backend only).
Result<AgentOptions> load_agent_config(const std::string& file);

}  // namespace fb::agent
