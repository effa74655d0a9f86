#include "engine/event/escapes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fb {
namespace {

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
#if defined(__x86_64__)
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

void classify_portable(const char* bytes, EscapeMap::Block* blocks, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    EscapeMap::Block block{};
    for (int bit = 0; bit < 64; ++bit) {
      const char c = *bytes++;
      block.backslash |= static_cast<uint64_t>(c == '\\') << bit;
      block.known |= static_cast<uint64_t>(meaning(c) != 0) << bit;
      block.u |= static_cast<uint64_t>(c == 'u') << bit;
    }
    blocks[i] = block;
  }
}

#if defined(__x86_64__)
// The low and the high half of a byte each look up a set of classes; a byte that may follow a backslash has one in
// common: class 1 is 2x, 2 is 5x, 4 is 6x, 8 is 7x. Bytes from 0x80 on look up nothing.
#define FB_BY_LOW_HALF 0, 0, 1 | 4 | 8, 0, 8, 8, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1
#define FB_BY_HIGH_HALF 0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0

__attribute__((target("avx2"))) inline uint64_t bits_of(__m256i first, __m256i second) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(first)) |
         static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(second))) << 32;
}

__attribute__((target("avx2"))) inline __m256i unknown_bytes(__m256i bytes) {
  const __m256i by_low = _mm256_broadcastsi128_si256(_mm_setr_epi8(FB_BY_LOW_HALF));
  const __m256i by_high = _mm256_broadcastsi128_si256(_mm_setr_epi8(FB_BY_HIGH_HALF));
  const __m256i low = _mm256_shuffle_epi8(by_low, bytes);
  const __m256i high_half = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0F));
  const __m256i common = _mm256_and_si256(low, _mm256_shuffle_epi8(by_high, high_half));
  return _mm256_cmpeq_epi8(common, _mm256_setzero_si256());
}

__attribute__((target("avx2"))) void classify_avx2(const char* bytes, EscapeMap::Block* blocks, size_t count) {
  const __m256i backslash = _mm256_set1_epi8('\\');
  const __m256i letter_u = _mm256_set1_epi8('u');
  for (size_t i = 0; i < count; ++i, bytes += 64) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + 32));
    blocks[i].backslash = bits_of(_mm256_cmpeq_epi8(a, backslash), _mm256_cmpeq_epi8(b, backslash));
    blocks[i].known = ~bits_of(unknown_bytes(a), unknown_bytes(b));
    blocks[i].u = bits_of(_mm256_cmpeq_epi8(a, letter_u), _mm256_cmpeq_epi8(b, letter_u));
  }
}

__attribute__((target("avx512f,avx512bw"))) void classify_avx512(const char* bytes, EscapeMap::Block* blocks,
                                                                 size_t count) {
  const __m512i by_low = _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_setr_epi8(FB_BY_LOW_HALF));
  const __m512i by_high = _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_setr_epi8(FB_BY_HIGH_HALF));
  for (size_t i = 0; i < count; ++i, bytes += 64) {
    const __m512i c = _mm512_loadu_si512(bytes);
    const __m512i high_half = _mm512_and_si512(_mm512_srli_epi16(c, 4), _mm512_set1_epi8(0x0F));
    blocks[i].backslash = _mm512_cmpeq_epi8_mask(c, _mm512_set1_epi8('\\'));
    blocks[i].known = _mm512_test_epi8_mask(_mm512_shuffle_epi8(by_low, c), _mm512_shuffle_epi8(by_high, high_half));
    blocks[i].u = _mm512_cmpeq_epi8_mask(c, _mm512_set1_epi8('u'));
  }
}
#endif

}  // namespace

EscapeMap::Kernel EscapeMap::best_kernel() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") != 0) return Kernel::avx512;
  if (__builtin_cpu_supports("avx2") != 0) return Kernel::avx2;
#endif
  return Kernel::portable;
}

EscapeMap::EscapeMap(Kernel kernel) : classify_(classify_portable) {
#if defined(__x86_64__)
  kernel = std::min(kernel, best_kernel());
  if (kernel == Kernel::avx2) classify_ = classify_avx2;
  if (kernel == Kernel::avx512) classify_ = classify_avx512;
#else
  static_cast<void>(kernel);
#endif
}

bool EscapeMap::scan(std::string_view json) {
  const size_t count = (json.size() + 63) / 64;
  if (count == 0) return true;
  if (blocks_.size() < count) blocks_.resize(count * 2);
  classify_(json.data(), blocks_.data(), count);
  if (json.size() % 64 != 0) blocks_[count - 1].backslash &= (uint64_t{1} << (json.size() % 64)) - 1;

  constexpr uint64_t kEven = 0x5555555555555555ULL;
  bool sound = true;
  uint64_t carry = 0;            // bit 0: the next block's first byte is escaped
  const char* low_at = nullptr;  // where the second half of a surrogate pair must stand
  for (size_t i = 0; i < count; ++i) {
    const Block& block = blocks_[i];
    // In a run of backslashes the first, third, ... begin an escape. Adding its first bit to a run clears the run.
    const uint64_t bits = block.backslash & ~carry;
    const uint64_t run_begins = bits & ~(bits << 1);
    const uint64_t even_runs = bits & ~(bits + (run_begins & kEven));
    const uint64_t begins = (even_runs & kEven) | (bits & ~even_runs & ~kEven);
    const uint64_t escaped = (begins << 1) | carry;
    carry = begins >> 63;
    sound &= (escaped & ~block.known) == 0;
    for (uint64_t u = escaped & block.u; u != 0; u &= u - 1) {
      const char* const at = json.data() + i * 64 + std::countr_zero(u);
      const int32_t unit = hex4(at + 1);
      const bool low = unit >= 0xDC00 && unit <= 0xDFFF;
      sound &= unit >= 0 && low == (at == low_at);
      if (unit >= 0xD800 && unit < 0xDC00) {
        sound &= at[5] == '\\' && at[6] == 'u';
        low_at = at + 6;
      }
    }
  }
  return sound;
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
