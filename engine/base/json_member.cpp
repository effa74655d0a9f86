#include "engine/base/json_member.h"

#include <algorithm>

namespace fb {
namespace {

// Where the string that begins at `at` (its quote) ends: the place of the closing quote.
size_t end_of_string(std::string_view json, size_t at) {
  for (++at; at < json.size(); ++at) {
    at = json.find_first_of("\"\\", at);
    if (at == std::string_view::npos || json[at] == '"') break;
    ++at;  // what is escaped
  }
  return std::min(at, json.size());
}

size_t after_blanks(std::string_view json, size_t at) {
  return std::min(json.find_first_not_of(" \t\r\n", at), json.size());
}

}  // namespace

std::optional<std::string_view> text_member(std::string_view json, std::string_view key) {
  size_t depth = 0;
  for (size_t at = 0; at < json.size(); ++at) {
    at = json.find_first_of("\"{}[]", at);
    if (at == std::string_view::npos) break;
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
