// Which changes of a rule let it isolate what it did not before. Pure.
#pragma once

#include <string_view>

namespace fb::api {

// Whether the rule isolates after the change, and does so now for the first time, or by another condition, in another
// way, or switched on again. `before` is "" for a new rule; both are JSON. What only says more about the rule (its
// name, tags, notes) counts for nothing.
bool isolates_anew(std::string_view before, std::string_view after);

}  // namespace fb::api
