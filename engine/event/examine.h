// The strict reading of one record, byte by byte: says what is wrong first, and where. Slow and simple on purpose; the
// decoder and the tree parser ask it only for records that they refuse. Private to this component; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/base/limits.h"
#include "engine/event/decoder.h"

namespace fb {

// The paths of all keys of one event, written out, may take this many times max_event_bytes: it bounds what long keys
// around many short ones can cost. Reason "key-too-long".
constexpr uint64_t kPathBytesFactor = 8;

// Offsets are 32 bits wide, with room for the padding.
constexpr size_t kLargestRecord = 0xFFFFFF00;

// Nothing when the record is an acceptable event.
std::optional<Refusal> examine(std::string_view json, const EventLimits& limits);

}  // namespace fb
