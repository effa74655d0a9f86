// The standard analyser: where words begin and end, and lower case.
#include <algorithm>
#include <iterator>

#include "engine/ir/typed.h"

namespace fb::ir {

namespace {

struct LowerRange {
  uint32_t first;
  uint32_t last;
  uint32_t step;
  int32_t distance;
};

enum Class : uint8_t {
  kBreak = 0,
  kLetter = 1,
  kDigit = 2,
  kAlone = 3,
  kUnderscore = 4,
  kJoinsAll = 5,
  kJoinsDigits = 6
};

struct ClassRange {
  uint32_t first;
  uint32_t last;
  uint8_t kind;
};

#include "engine/ir/unicode.inc"

template <class Range, size_t kCount>
const Range* find_range(const Range (&ranges)[kCount], uint32_t code) {
  const auto* after = std::upper_bound(std::begin(ranges), std::end(ranges), code,
                                       [](uint32_t c, const Range& r) { return c < r.first; });
  if (after == std::begin(ranges)) return nullptr;
  const Range* range = after - 1;
  return code <= range->last ? range : nullptr;
}

// Decodes at `at`; an ill-formed byte counts as a code point of its own that separates words.
uint32_t decode(std::string_view text, size_t at, size_t* width) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t lead = byte(at);
  *width = 1;
  if (lead < 0x80) return lead;
  const size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
  if (need == 1 || lead > 0xF4 || at + need > text.size()) return 0xFFFD;
  uint32_t code = lead & (0xFFu >> (need + 1));
  for (size_t i = 1; i < need; ++i) {
    if ((byte(at + i) & 0xC0u) != 0x80u) return 0xFFFD;
    code = (code << 6) | (byte(at + i) & 0x3Fu);
  }
  *width = need;
  return code;
}

Class class_of(uint32_t code) {
  if (code < 0x80) {
    const char c = static_cast<char>(code);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return kLetter;
    if (c >= '0' && c <= '9') return kDigit;
    if (c == '_') return kUnderscore;
    if (c == '.' || c == '\'') return kJoinsAll;
    if (c == ',' || c == ';') return kJoinsDigits;
    return kBreak;
  }
  if (code == 0x2019) return kJoinsAll;  // the typographic apostrophe
  const ClassRange* range = find_range(kClassRanges, code);
  return range == nullptr ? kBreak : static_cast<Class>(range->kind);
}

bool is_inner(Class c) {
  return c == kLetter || c == kDigit || c == kUnderscore;
}

void append_code(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

uint32_t lower(uint32_t code) {
  const LowerRange* range = find_range(kLowerRanges, code);
  if (range == nullptr || (code - range->first) % range->step != 0) return code;
  return static_cast<uint32_t>(static_cast<int64_t>(code) + range->distance);
}

}  // namespace

bool next_word(std::string_view text, size_t* at, size_t* begin, size_t* end) {
  size_t position = *at;
  size_t width = 0;
  while (position < text.size()) {
    Class previous = class_of(decode(text, position, &width));
    if (previous == kAlone) {
      *begin = position;
      *end = position + width;
      *at = *end;
      return true;
    }
    if (!is_inner(previous)) {
      position += width;
      continue;
    }
    const size_t first = position;
    bool has_letter_or_digit = previous != kUnderscore;
    position += width;
    while (position < text.size()) {
      const Class here = class_of(decode(text, position, &width));
      if (is_inner(here)) {
        has_letter_or_digit = has_letter_or_digit || here != kUnderscore;
        previous = here;
        position += width;
        continue;
      }
      if (here != kJoinsAll && here != kJoinsDigits) break;
      const size_t next = position + width;
      if (next >= text.size()) break;
      const Class following = class_of(decode(text, next, &width));
      const bool joins = following == previous && (previous == kDigit || (here == kJoinsAll && previous == kLetter));
      if (!joins) break;
      position = next + width;
    }
    if (!has_letter_or_digit) continue;  // a run of underscores is no word
    *begin = first;
    *end = position;
    *at = position;
    return true;
  }
  *at = position;
  return false;
}

void fold_case(std::string_view text, std::string& out) {
  out.clear();
  out.reserve(text.size());
  size_t at = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (static_cast<unsigned char>(c) < 0x80) {
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
      ++at;
      continue;
    }
    size_t width = 0;
    const uint32_t code = decode(text, at, &width);
    const uint32_t folded = width == 1 ? code : lower(code);
    if (folded == code) {
      out.append(text, at, width);
    } else {
      append_code(out, folded);
    }
    at += width;
  }
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  std::string buffer;
  for_each_word(text, buffer, [&](std::string_view word) { found.emplace_back(word); });
  return found;
}

}  // namespace fb::ir
