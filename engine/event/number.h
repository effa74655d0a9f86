// A JSON number, kept exactly: 64-bit integers as integers, all else as a double. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fb {

struct Number {
  enum class Kind : uint8_t { signed_integer, unsigned_integer, real };  // unsigned only above INT64_MAX
  Kind kind = Kind::signed_integer;
  union {
    int64_t i = 0;
    uint64_t u;
    double d;
  };
  static Number of(int64_t v) {
    Number n;
    n.i = v;
    return n;
  }
  static Number of_unsigned(uint64_t v) {
    if (v <= INT64_MAX) return of(static_cast<int64_t>(v));
    Number n;
    n.kind = Kind::unsigned_integer;
    n.u = v;
    return n;
  }
  static Number of_real(double v) {
    Number n;
    n.kind = Kind::real;
    n.d = v;
    return n;
  }
};

// Exact comparison across kinds: -1, 0, 1; NaN never occurs (JSON has none).
int compare(const Number& a, const Number& b);

// A JSON number token, or the number a string spells ("443", "0443", "+5", "1e3"); nothing for anything else.
// Integers beyond 64 bits become doubles, overflow becomes infinity.
std::optional<Number> parse_json_number(std::string_view token);
std::optional<Number> parse_number_text(std::string_view text);

}  // namespace fb
