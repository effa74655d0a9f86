// What the config says of isolated hosts, checked as a host would check it. Pure.
#pragma once

#include <vector>

#include "actions/endpoint/envelope.h"
#include "engine/config/config.h"

namespace fb::cli {

// Of a config without isolation_problems.
endpoint::CutPolicy isolation_policy(const Config& config);
// Each with its place in the file; none: every host will take it.
std::vector<Diagnostic> isolation_problems(const Config::Loaded& loaded);

}  // namespace fb::cli
