#include "engine/event/escapes.h"

#include <array>
#include <bit>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace fb {
namespace {

// One bit for each backslash among the 64 bytes at p.
uint64_t backslashes(const char* p) {
#if defined(__SSE2__)
  const __m128i backslash = _mm_set1_epi8('\\');
  uint64_t bits = 0;
  for (int i = 0; i < 4; ++i) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
    const auto found = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, backslash)));
    bits |= static_cast<uint64_t>(found) << (16 * i);
  }
  return bits;
#else
  uint64_t bits = 0;
  for (int i = 0; i < 64; ++i) bits |= static_cast<uint64_t>(p[i] == '\\') << i;
  return bits;
#endif
}

// What the character after a backslash stands for; 0 when it is no escape, 'u' for \uXXXX.
constexpr std::array<char, 256> kMeaning = [] {
  std::array<char, 256> table{};
  table['"'] = '"';
  table['\\'] = '\\';
  table['/'] = '/';
  table['b'] = '\b';
  table['f'] = '\f';
  table['n'] = '\n';
  table['r'] = '\r';
  table['t'] = '\t';
  table['u'] = 'u';
  return table;
}();

constexpr std::array<int8_t, 256> kHex = [] {
  std::array<int8_t, 256> table{};
  table.fill(-1);
  for (int i = 0; i < 10; ++i) table[static_cast<size_t>('0' + i)] = static_cast<int8_t>(i);
  for (int i = 0; i < 6; ++i) {
    table[static_cast<size_t>('a' + i)] = static_cast<int8_t>(10 + i);
    table[static_cast<size_t>('A' + i)] = static_cast<int8_t>(10 + i);
  }
  return table;
}();

char meaning(char c) {
  return kMeaning[static_cast<unsigned char>(c)];
}

// The value of the four hex digits at p; negative when one is none.
int32_t hex4(const char* p) {
  const int32_t a = kHex[static_cast<unsigned char>(p[0])];
  const int32_t b = kHex[static_cast<unsigned char>(p[1])];
  const int32_t c = kHex[static_cast<unsigned char>(p[2])];
  const int32_t d = kHex[static_cast<unsigned char>(p[3])];
  if ((a | b | c | d) < 0) return -1;
  return (a << 12) | (b << 8) | (c << 4) | d;
}

// The length of the \u sequence at p (6, or 12 for a pair); 0 when it is wrong.
size_t unicode_escape_length(const char* p) {
  const int32_t unit = hex4(p + 2);
  if (unit < 0) return 0;
  if (unit < 0xD800 || unit > 0xDFFF) return 6;
  if (unit > 0xDBFF || p[6] != '\\' || p[7] != 'u') return 0;
  const int32_t low = hex4(p + 8);
  return low >= 0xDC00 && low <= 0xDFFF ? 12 : 0;
}

char* write_utf8(char* out, uint32_t c) {
  const auto put = [&out](uint32_t byte) { *out++ = static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
  return out;
}

// Copies up to the next backslash or `end`, whichever is first; both pointers move.
void copy_plain(const char*& from, const char* end, char*& out) {
#if defined(__SSE2__)
  const __m128i backslash = _mm_set1_epi8('\\');
  while (from < end) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
    const auto found = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, backslash)));
    const auto plain = found == 0 ? 16 : std::countr_zero(found);
    const auto left = end - from;
    if (found != 0 || left <= 16) {
      const auto step = plain < left ? plain : left;
      from += step;
      out += step;
      return;
    }
    from += 16;
    out += 16;
  }
#else
  const auto* stop = static_cast<const char*>(std::memchr(from, '\\', static_cast<size_t>(end - from)));
  const auto length = static_cast<size_t>((stop == nullptr ? end : stop) - from);
  std::memcpy(out, from, length);
  from += length;
  out += length;
#endif
}

}  // namespace

bool EscapeMap::scan(std::string_view json) {
  const size_t blocks = (json.size() + 63) / 64;
  if (marks_.size() < blocks) marks_.resize(blocks * 2);
  const char* const begin = json.data();
  const char* next = begin;  // where the next escape may begin: past the one before
  for (size_t block = 0; block < blocks; ++block) {
    const char* const base = begin + block * 64;
    uint64_t bits = backslashes(base);
    const size_t left = json.size() - block * 64;
    if (left < 64) bits &= (uint64_t{1} << left) - 1;
    marks_[block] = bits;
    while (bits != 0) {
      const char* const p = base + std::countr_zero(bits);
      bits &= bits - 1;
      if (p < next) continue;
      const char kind = meaning(p[1]);
      if (kind == 0) return false;
      if (kind != 'u') {
        next = p + 2;
        continue;
      }
      const size_t length = unicode_escape_length(p);
      if (length == 0) return false;
      next = p + length;
    }
  }
  return true;
}

char* unescape(const char* begin, const char* end, char* out) {
  const char* from = begin;
  for (;;) {
    copy_plain(from, end, out);
    if (from >= end) return out;
    const char kind = meaning(from[1]);
    if (kind != 'u') {
      *out++ = kind;
      from += 2;
      continue;
    }
    auto c = static_cast<uint32_t>(hex4(from + 2));
    from += 6;
    if (c >= 0xD800 && c <= 0xDBFF) {
      c = 0x10000 + ((c - 0xD800) << 10) + (static_cast<uint32_t>(hex4(from + 2)) - 0xDC00);
      from += 6;
    }
    out = write_utf8(out, c);
  }
}

}  // namespace fb
