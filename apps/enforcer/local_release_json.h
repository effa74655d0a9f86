// A local release as JSON: in the enforcer's file and in the helper's answers. Pure. For the enforcer's sources only.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "engine/ports/action_store.h"

namespace fb::agent {

// Adds "local_release" when there is one.
void put_local_release(nlohmann::ordered_json& json, const LocalRelease& release);

// That of "local_release"; an empty one when the key is absent, nothing when a field is missing or of a wrong type.
std::optional<LocalRelease> local_release_in(const nlohmann::json& json);

}  // namespace fb::agent
