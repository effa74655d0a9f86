// How deep a JSON text is nested: what is read into trees is copied and written again by functions that call themselves
// for each level, and a deep enough text would overflow the stack. Pure, linear, thread-safe.
#pragma once

#include <cstddef>
#include <string_view>

namespace fb {

inline constexpr size_t kMostJsonLevels = 300;

// Whether objects and lists of a JSON text stand within each other deeper than `most`. Exact for valid JSON.
bool is_nested_deeper(std::string_view json, size_t most = kMostJsonLevels);

}  // namespace fb
