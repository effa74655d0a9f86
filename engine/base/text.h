// Small text helpers that several components share. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fb {

// True when the bytes are well-formed UTF-8 (no overlong form, no surrogate, nothing above U+10FFFF).
bool is_utf8(std::string_view bytes);

// Ill-formed bytes become U+FFFD, so that the result can always be written as JSON.
std::string to_utf8(std::string_view bytes);

// Appends one code point (must be a scalar value) as UTF-8.
void append_utf8(std::string& out, uint32_t code_point);

// Makes foreign text safe to print on a terminal: control characters, ESC and bidirectional marks become \xNN /
// \u{NNNN}.
std::string printable(std::string_view text);

// 1-based line and column of a byte offset; columns count code points.
struct LineColumn {
  uint32_t line = 1;
  uint32_t column = 1;
};
LineColumn locate(std::string_view text, size_t offset);

// "90s", "5m", "1500ms", "4h", "7d", "2w" -> milliseconds; nothing when it is not that, is negative or overflows.
std::optional<int64_t> parse_duration_ms(std::string_view text);

// The known word nearest to a misspelt one (edit distance at most 1/3 of its length, at least 1), or "".
template <class Words>
std::string_view nearest_word(std::string_view word, const Words& known);
size_t edit_distance(std::string_view a, std::string_view b);

template <class Words>
std::string_view nearest_word(std::string_view word, const Words& known) {
  std::string_view best;
  size_t best_distance = word.size() / 3 + 2;
  for (const auto& candidate : known) {
    const size_t d = edit_distance(word, candidate);
    if (d < best_distance) {
      best_distance = d;
      best = candidate;
    }
  }
  return best;
}

}  // namespace fb
