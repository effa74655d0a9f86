// First response stage: what an alert's rule wants done, and to whom. Pure but for the directory's lookup; thread-safe;
// costs one lookup and one hash an action. It never fails: an action without a clear target stays a row that says why.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/model/model.h"
#include "engine/ports/endpoint_directory.h"

namespace fb {

// The service's own defaults for what a rule leaves open.
struct PlanDefaults {
  std::optional<int64_t> lease_ms;  // response.lease; nothing: an isolation lasts until it is released
};

// Appends the alert's planned actions to `out`, in the rule's order. An action that the rule lists twice is planned
// once.
void plan(const Alert& alert, const EndpointDirectory& directory, std::vector<PlannedAction>& out);
void plan(const Alert& alert, const EndpointDirectory& directory, const PlanDefaults& defaults,
          std::vector<PlannedAction>& out);

// The time from which the guard judges how old the cause is: the broker's where the broker itself stamped the record,
// else when Firebreak first read it, less what the consumer was behind at that moment.
int64_t freshness_base_ms(const Alert& alert);

}  // namespace fb
