// Text for readers of simple markup (chats, desktop notices): the three characters that would make links, mentions and
// entities stand for themselves. Pure.
#pragma once

#include <string>
#include <string_view>

namespace fb {

inline std::string escape_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace fb
