#include "engine/base/json_member.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace fb {
namespace {

// The bytes between strings at which the scan stops: by table, since find_first_of() calls memchr for each byte.
constexpr std::array<bool, 256> table_of(std::string_view stops) {
  std::array<bool, 256> table{};
  for (const char c : stops) table[static_cast<uint8_t>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kStops = table_of("\"{}[]");

size_t next_stop(std::string_view json, size_t at) {
  while (at < json.size() && !kStops[static_cast<uint8_t>(json[at])]) ++at;
  return at;
}

// Where the string that begins at `at` (its quote) ends: the place of the closing quote, which is the first one with
// an even number of backslashes before it.
size_t end_of_string(std::string_view json, size_t at) {
  const size_t first = at + 1;
  for (size_t quote = first;; ++quote) {
    quote = json.find('"', quote);
    if (quote == std::string_view::npos) return json.size();
    size_t plain = quote;
    while (plain > first && json[plain - 1] == '\\') --plain;
    if ((quote - plain) % 2 == 0) return quote;
  }
}

size_t after_blanks(std::string_view json, size_t at) {
  return std::min(json.find_first_not_of(" \t\r\n", at), json.size());
}

}  // namespace

std::optional<std::string_view> text_member(std::string_view json, std::string_view key) {
  size_t depth = 0;
  for (size_t at = 0; at < json.size(); ++at) {
    at = next_stop(json, at);
    if (at == json.size()) break;
    if (json[at] == '{' || json[at] == '[') {
      if (depth == 0 && json[at] == '[') return {};
      ++depth;
    } else if (json[at] != '"') {
      --depth;
    } else {
      const size_t end = end_of_string(json, at);
      const size_t colon = depth == 1 ? after_blanks(json, end + 1) : json.size();
      if (colon < json.size() && json[colon] == ':' && json.substr(at + 1, end - at - 1) == key) {
        const size_t value = after_blanks(json, colon + 1);
        if (value >= json.size() || json[value] != '"') return {};
        const std::string_view text = json.substr(value + 1, end_of_string(json, value) - value - 1);
        if (text.find('\\') != std::string_view::npos) return {};
        return text;
      }
      at = end;
    }
  }
  return {};
}

}  // namespace fb
