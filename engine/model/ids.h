// The ids of alerts and actions: pure functions of what they stand for, so a re-read record yields the same ones.
#pragma once

#include <string>
#include <string_view>

#include "engine/model/model.h"

namespace fb {

// Hex SHA-256 over ("fb-alert-1", rule id, canonical group key, source position).
std::string alert_id(std::string_view rule_id, std::string_view group_key, const SourcePosition& position);

// Hex SHA-256 over ("fb-act-1", verb, endpoint id, cause).
std::string action_id(Verb verb, std::string_view endpoint_id, std::string_view cause);

// A random (version 4) UUID.
std::string new_uuid();

}  // namespace fb
