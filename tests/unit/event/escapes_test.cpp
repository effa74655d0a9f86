// The escape check against the byte-by-byte reading, with every kernel and over all block borders.
#include "engine/event/escapes.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "engine/event/examine.h"
#include "tests/unit/event/support.h"

namespace fb {
namespace {

constexpr std::array kKernels = {EscapeMap::Kernel::portable, EscapeMap::Kernel::avx2, EscapeMap::Kernel::avx512};

// A string that is only wrong, if at all, in its escapes.
std::string random_string(std::mt19937& random) {
  constexpr std::array<std::string_view, 26> kPieces = {
      "\\\\",     "\\\"",  "\\n",        "\\r",     "\\t",
      "\\b",      "\\f",   "\\/",        "\\u0041", "\\uD83D\\uDE00",
      "\\u00fF",  "u",     "plain text", "x",       "0123456789abcdef",
      "\xC3\xA9", "\\\\u", "\\\\\\\\",   "\\\\\\n", "\\uD83D",
      "\\uDE00",  "\\q",   "\\u12",      "\\U0041", "\\\\\\u",
      "\\u004g"};
  const auto below = [&random](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  std::string body(below(70), 'p');
  const size_t pieces = below(30);
  const size_t sound = below(4) == 0 ? kPieces.size() : 19;  // mostly sound ones
  for (size_t i = 0; i < pieces; ++i) body += kPieces[below(sound)];
  return body;
}

TEST(Escapes, EveryKernelAgreesWithTheByteByByteReading) {
  std::mt19937 random(1);
  size_t sound = 0;
  for (int round = 0; round < 5000; ++round) {
    const std::string body = random_string(random);
    const test::Record record("{\"" + std::string(static_cast<size_t>(round) % 64, 'k') + "\":\"" + body + "\"}");
    const bool expected = !examine(record.view(), {});
    sound += expected;
    const size_t begin = record.view().find(':') + 2;
    for (const EscapeMap::Kernel kernel : kKernels) {
      EscapeMap map(kernel);
      ASSERT_EQ(map.scan(record.view()), expected) << record.view();
      ASSERT_EQ(map.any(begin, record.view().size() - 2), body.find('\\') != std::string::npos) << record.view();
      ASSERT_FALSE(map.any(0, begin));
    }
  }
  EXPECT_GT(sound, 2000U);
  EXPECT_LT(sound, 4900U);
}

TEST(Escapes, AnyLooksAtExactlyTheRange) {
  for (size_t at = 0; at < 400; ++at) {
    std::string text(400, 'x');
    text[at] = '\\';
    if (at + 1 < text.size()) text[at + 1] = 'n';
    const test::Record record(text);
    EscapeMap map;
    map.scan(record.view());
    for (const size_t begin : {size_t{0}, at / 2, at, at + 1}) {
      for (const size_t end : {at, at + 1, (at + 400) / 2, size_t{400}}) {
        ASSERT_EQ(map.any(begin, end), begin <= at && at < end) << at << " " << begin << " " << end;
      }
    }
  }
}

}  // namespace
}  // namespace fb
