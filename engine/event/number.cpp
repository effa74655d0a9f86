#include "engine/event/number.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <string>

namespace fb {
namespace {

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

template <class T>
int three_way(T a, T b) {
  return a < b ? -1 : (b < a ? 1 : 0);
}

// An integer against a double. `limit` is the first power of two above the integer type's range, `low` its least value
// as a double; between them the cast is exact up to the fraction.
template <class Integer>
int compare_integer(Integer i, double d, double low, double limit) {
  if (d >= limit) return -1;
  if (d < low) return 1;
  const double whole = std::trunc(d);
  const int order = three_way(i, static_cast<Integer>(whole));
  if (order != 0) return order;
  return three_way(whole, d);
}

int compare_to_real(const Number& a, double d) {
  constexpr double kTwo63 = 9223372036854775808.0;
  constexpr double kTwo64 = 18446744073709551616.0;
  if (a.kind == Number::Kind::signed_integer) return compare_integer(a.i, d, -kTwo63, kTwo63);
  return compare_integer(a.u, d, 0.0, kTwo64);
}

// The parts of a decimal number: sign, digits before and after the point, exponent. Empty spans are missing parts.
struct Parts {
  bool negative = false;
  bool plus = false;  // an explicit leading '+'
  bool point = false;
  bool exponent = false;
  std::string_view whole;
  std::string_view fraction;
  std::string_view power;  // with its sign
};

std::string_view take_digits(std::string_view text, size_t& at) {
  const size_t begin = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return text.substr(begin, at - begin);
}

// Splits the whole text or says no. Only the shape common to JSON and to texts; the callers are stricter.
std::optional<Parts> split(std::string_view text) {
  Parts parts;
  size_t at = 0;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) {
    parts.negative = text[at] == '-';
    parts.plus = !parts.negative;
    ++at;
  }
  parts.whole = take_digits(text, at);
  if (at < text.size() && text[at] == '.') {
    parts.point = true;
    ++at;
    parts.fraction = take_digits(text, at);
  }
  if (parts.whole.empty() && parts.fraction.empty()) return std::nullopt;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    parts.exponent = true;
    const size_t begin = ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (take_digits(text, at).empty()) return std::nullopt;
    parts.power = text.substr(begin, at - begin);
  }
  if (at != text.size()) return std::nullopt;
  return parts;
}

// For a number outside a double's range: is it too large (true) or too near to zero (false)?
bool too_large(const Parts& parts) {
  constexpr int64_t kFar = 1'000'000'000'000;
  int64_t power = 0;
  if (parts.exponent) {
    std::string_view digits = parts.power;
    const bool negative = digits.front() == '-';
    if (negative || digits.front() == '+') digits.remove_prefix(1);
    for (const char c : digits) power = power > kFar ? power : power * 10 + (c - '0');
    if (negative) power = -power;
  }
  const size_t in_whole = parts.whole.find_first_not_of('0');
  if (in_whole != std::string_view::npos) return power + static_cast<int64_t>(parts.whole.size() - in_whole) > 0;
  const size_t in_fraction = parts.fraction.find_first_not_of('0');
  return in_fraction != std::string_view::npos && power > static_cast<int64_t>(in_fraction);
}

// `text` without a leading '+'.
Number real_number(std::string_view text, const Parts& parts) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    value = too_large(parts) ? std::numeric_limits<double>::infinity() : 0.0;
    if (parts.negative) value = -value;
  }
  return Number::of_real(value);
}

Number to_number(std::string_view text, const Parts& parts) {
  if (parts.plus) text.remove_prefix(1);
  if (!parts.point && !parts.exponent) {
    uint64_t magnitude = 0;
    const auto [end, error] = std::from_chars(parts.whole.data(), parts.whole.data() + parts.whole.size(), magnitude);
    constexpr uint64_t kTwo63 = uint64_t{1} << 63;
    if (error == std::errc{}) {
      if (!parts.negative) return Number::of_unsigned(magnitude);
      if (magnitude < kTwo63) return Number::of(-static_cast<int64_t>(magnitude));
      if (magnitude == kTwo63) return Number::of(std::numeric_limits<int64_t>::min());
    }
  }
  return real_number(text, parts);
}

}  // namespace

int compare(const Number& a, const Number& b) {
  using Kind = Number::Kind;
  if (a.kind == Kind::real && b.kind == Kind::real) return three_way(a.d, b.d);
  if (a.kind == Kind::real) return -compare_to_real(b, a.d);
  if (b.kind == Kind::real) return compare_to_real(a, b.d);
  if (a.kind == b.kind) return a.kind == Kind::signed_integer ? three_way(a.i, b.i) : three_way(a.u, b.u);
  if (a.kind == Kind::signed_integer) return a.i < 0 ? -1 : three_way(static_cast<uint64_t>(a.i), b.u);
  return b.i < 0 ? 1 : three_way(a.u, static_cast<uint64_t>(b.i));
}

std::optional<Number> parse_json_number(std::string_view token) {
  const std::optional<Parts> parts = split(token);
  if (!parts || parts->plus || parts->whole.empty()) return std::nullopt;
  if (parts->point && parts->fraction.empty()) return std::nullopt;
  if (parts->whole.size() > 1 && parts->whole.front() == '0') return std::nullopt;
  return to_number(token, *parts);
}

std::optional<Number> parse_number_text(std::string_view text) {
  const std::optional<Parts> parts = split(text);
  if (!parts) return std::nullopt;
  return to_number(text, *parts);
}

}  // namespace fb
