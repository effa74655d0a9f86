// A plain tree of an event for the slow side: the oracle interpreter, alert documents, explain. It keeps repeated keys
// and the order of keys, and is built by another parser (nlohmann) than the decoder, so that each checks the other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/limits.h"
#include "engine/base/result.h"
#include "engine/event/number.h"

namespace fb {

struct JsonNode {
  enum class Kind : uint8_t { null, boolean, number, string, array, object };
  JsonNode();  // null; not implicit, as Clang would need the pair below complete for that
  Kind kind = Kind::null;
  bool truth = false;
  Number number;
  std::string text;                                       // strings unescaped; numbers as written
  std::vector<JsonNode> items;                            // array
  std::vector<std::pair<std::string, JsonNode>> members;  // object, repeated keys kept
};

// Strict JSON, within the same limits as the decoder. The context of an error is "offset N".
Result<JsonNode> parse_json_tree(std::string_view json, const EventLimits& limits = {});

}  // namespace fb
