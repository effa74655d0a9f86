// What an endpoint policy (engine/record/policies.h) makes of what the config says of isolated hosts. Pure.
#pragma once

#include "actions/endpoint/envelope.h"
#include "engine/record/policies.h"

namespace fb::cli {

// The config's policy with what the endpoint's own sets in its place.
endpoint::CutPolicy with_policy(endpoint::CutPolicy config, const PolicySettings& settings);
// Whether a host would take these settings; the error names the entry.
Status policy_fits(const PolicySettings& settings);

}  // namespace fb::cli
