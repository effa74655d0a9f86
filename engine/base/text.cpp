#include "engine/base/text.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

namespace fb {
namespace {

// Length of the well-formed sequence at the start of s, or 0; the code point goes to *cp.
size_t decode(std::string_view s, uint32_t* cp) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const auto tail = [&](size_t i) { return i < s.size() && (at(i) & 0xC0) == 0x80; };
  const uint8_t b = at(0);
  if (b < 0x80) {
    *cp = b;
    return 1;
  }
  if (b >= 0xC2 && b <= 0xDF && tail(1)) {
    *cp = static_cast<uint32_t>(b & 0x1F) << 6 | (at(1) & 0x3Fu);
    return 2;
  }
  if (b >= 0xE0 && b <= 0xEF && tail(1) && tail(2)) {
    const uint32_t v = static_cast<uint32_t>(b & 0x0F) << 12 | (at(1) & 0x3Fu) << 6 | (at(2) & 0x3Fu);
    if (v < 0x800 || (v >= 0xD800 && v <= 0xDFFF)) return 0;
    *cp = v;
    return 3;
  }
  if (b >= 0xF0 && b <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    const uint32_t v =
        static_cast<uint32_t>(b & 0x07) << 18 | (at(1) & 0x3Fu) << 12 | (at(2) & 0x3Fu) << 6 | (at(3) & 0x3Fu);
    if (v < 0x10000 || v > 0x10FFFF) return 0;
    *cp = v;
    return 4;
  }
  return 0;
}

// How many bytes of plain ASCII the text begins with; in steps of eight, so that the last few may be left out.
size_t ascii_at_front(std::string_view s) {
  constexpr uint64_t kHighBits = 0x8080808080808080u;
  size_t n = 0;
  for (uint64_t eight = 0; n + sizeof eight <= s.size(); n += sizeof eight) {
    std::memcpy(&eight, s.data() + n, sizeof eight);
    if ((eight & kHighBits) != 0) break;
  }
  return n;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  uint32_t cp = 0;
  while (!bytes.empty()) {
    bytes.remove_prefix(ascii_at_front(bytes));
    if (bytes.empty()) break;
    const size_t n = decode(bytes, &cp);
    if (n == 0) return false;
    bytes.remove_prefix(n);
  }
  return true;
}

std::string to_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  uint32_t cp = 0;
  while (!bytes.empty()) {
    const size_t n = decode(bytes, &cp);
    if (n == 0) {
      out += "\xEF\xBF\xBD";
      bytes.remove_prefix(1);
    } else {
      out.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
    }
  }
  return out;
}

void append_utf8(std::string& out, uint32_t cp) {
  if (cp < 0x80) {
    out += static_cast<char>(cp);
  } else if (cp < 0x800) {
    out += static_cast<char>(0xC0 | cp >> 6);
    out += static_cast<char>(0x80 | (cp & 0x3F));
  } else if (cp < 0x10000) {
    out += static_cast<char>(0xE0 | cp >> 12);
    out += static_cast<char>(0x80 | (cp >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (cp & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | cp >> 18);
    out += static_cast<char>(0x80 | (cp >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (cp >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (cp & 0x3F));
  }
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  uint32_t cp = 0;
  char escape[16];
  while (!text.empty()) {
    const size_t n = decode(text, &cp);
    if (n == 0 || cp < 0x20 || (cp >= 0x7F && cp < 0xA0)) {
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<uint8_t>(text[0])));
      out += escape;
      if (n > 1) {
        std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<uint8_t>(text[1])));
        out += escape;
      }
      text.remove_prefix(n == 0 ? 1 : n);
      continue;
    }
    const bool bidi = (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0x200E ||
                      cp == 0x200F || cp == 0x061C || cp == 0x2028 || cp == 0x2029;
    if (bidi) {
      std::snprintf(escape, sizeof escape, "\\u{%04x}", cp);
      out += escape;
    } else {
      out.append(text.substr(0, n));
    }
    text.remove_prefix(n);
  }
  return out;
}

LineColumn locate(std::string_view text, size_t offset) {
  LineColumn at;
  offset = std::min(offset, text.size());
  for (size_t i = 0; i < offset; ++i) {
    const auto b = static_cast<uint8_t>(text[i]);
    if (b == '\n') {
      ++at.line;
      at.column = 1;
    } else if ((b & 0xC0) != 0x80) {
      ++at.column;
    }
  }
  return at;
}

std::optional<int64_t> parse_duration_ms(std::string_view text) {
  size_t i = 0;
  int64_t n = 0;
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  while (i < text.size() && text[i] >= '0' && text[i] <= '9') {
    const int64_t digit = text[i] - '0';
    if (n > (kMax - digit) / 10) return std::nullopt;
    n = n * 10 + digit;
    ++i;
  }
  if (i == 0) return std::nullopt;
  const std::string_view unit = text.substr(i);
  int64_t scale = 0;
  if (unit == "ms") scale = 1;
  if (unit == "s") scale = 1000;
  if (unit == "m") scale = 60'000;
  if (unit == "h") scale = 3'600'000;
  if (unit == "d") scale = 86'400'000;
  if (unit == "w") scale = 604'800'000;
  if (scale == 0 || n > kMax / scale) return std::nullopt;
  return n * scale;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace fb
