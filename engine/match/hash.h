// A fast 64-bit hash of short byte strings for the matcher's tables. Not for anything an attacker gains from colliding:
// every hit is checked by the bytes or by the rule's program. Pure; about 2 ns for 20 bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace fb::match {

inline uint64_t load8(const char* p) {
  uint64_t v = 0;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline uint32_t load4(const char* p) {
  uint32_t v = 0;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// The two halves of the 128-bit product, folded together.
inline uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t hash_bytes(std::string_view bytes, uint64_t seed) {
  constexpr uint64_t kOdd1 = 0x9E3779B97F4A7C15ULL;
  constexpr uint64_t kOdd2 = 0xD1B54A32D192ED03ULL;
  const char* p = bytes.data();
  const size_t n = bytes.size();
  uint64_t a = 0;
  uint64_t b = 0;
  seed ^= kOdd2;
  if (n > 16) {
    const char* const last = p + n - 16;
    for (; p < last; p += 16) seed = mix(load8(p) ^ kOdd1, load8(p + 8) ^ seed);
    a = load8(last);
    b = load8(last + 8);
  } else if (n >= 8) {
    a = load8(p);
    b = load8(p + n - 8);
  } else if (n >= 4) {
    a = load4(p);
    b = load4(p + n - 4);
  } else if (n > 0) {
    a = (uint64_t{static_cast<uint8_t>(p[0])} << 16) | (uint64_t{static_cast<uint8_t>(p[n / 2])} << 8) |
        static_cast<uint8_t>(p[n - 1]);
  }
  return mix(kOdd1 ^ n, mix(a ^ kOdd1, b ^ seed));
}

}  // namespace fb::match
