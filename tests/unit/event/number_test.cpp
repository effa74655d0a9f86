#include "engine/event/number.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace fb {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Number json(std::string_view token) {
  const auto number = parse_json_number(token);
  EXPECT_TRUE(number) << token;
  return number.value_or(Number{});
}

TEST(Number, KeepsEvery64BitIntegerExactly) {
  EXPECT_EQ(json("9223372036854775807").i, INT64_MAX);
  EXPECT_EQ(json("-9223372036854775808").i, INT64_MIN);
  EXPECT_EQ(json("9223372036854775808").kind, Number::Kind::unsigned_integer);
  EXPECT_EQ(json("18446744073709551615").u, UINT64_MAX);
  EXPECT_EQ(json("-0").kind, Number::Kind::signed_integer);
  EXPECT_EQ(json("-0").i, 0);
}

TEST(Number, BeyondThatCountsAsADouble) {
  EXPECT_EQ(json("18446744073709551616").d, 18446744073709551616.0);
  EXPECT_EQ(json("-9223372036854775809").d, -9223372036854775808.0);
  EXPECT_EQ(json("1e400").d, kInfinity);
  EXPECT_EQ(json("-1e400").d, -kInfinity);
  EXPECT_EQ(json("1e99999999999999999999").d, kInfinity);
  EXPECT_EQ(json("1e-400").d, 0.0);
  EXPECT_EQ(json("1e-99999999999999999999").d, 0.0);
  EXPECT_EQ(json("0e999999").d, 0.0);
  EXPECT_EQ(json("0.000e999999").d, 0.0);
  EXPECT_EQ(json(std::string(400, '9')).d, kInfinity);
  EXPECT_EQ(json("0." + std::string(500, '0') + "1").d, 0.0);
  EXPECT_EQ(json("0." + std::string(500, '0') + "1e501").d, 1.0);
}

TEST(Number, JsonGrammarIsStrict) {
  for (const char* token : {"", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1.e3", "0x1", "1 ", " 1", "NaN",
                            "Infinity", "1_0", "--1", "1e1.5"}) {
    EXPECT_FALSE(parse_json_number(token)) << token;
  }
  for (const char* token : {"0", "-0", "0.0", "1E+3", "1e-3", "123.456e7"})
    EXPECT_TRUE(parse_json_number(token)) << token;
}

TEST(Number, TextsAreReadMoreFreely) {
  EXPECT_EQ(parse_number_text("443")->i, 443);
  EXPECT_EQ(parse_number_text("0443")->i, 443);
  EXPECT_EQ(parse_number_text("+5")->i, 5);
  EXPECT_EQ(parse_number_text("1e3")->d, 1000.0);
  EXPECT_EQ(parse_number_text("+1.5")->d, 1.5);
  EXPECT_EQ(parse_number_text(".5")->d, 0.5);
  EXPECT_EQ(parse_number_text("0009223372036854775808")->u, 9223372036854775808U);
  for (const char* text : {"", "-", "+", ".", "abc", "1a", "0x10", " 1", "1 ", "inf", "nan", "1e", "+-1"}) {
    EXPECT_FALSE(parse_number_text(text)) << text;
  }
}

TEST(Number, ComparesAcrossKindsWithoutRounding) {
  // In rising order, every pair is compared both ways.
  const std::vector<Number> rising = {
      Number::of_real(-kInfinity),
      Number::of_real(-9223372036854777856.0),
      Number::of(INT64_MIN),
      Number::of(-9007199254740993),
      Number::of_real(-9007199254740992.0),
      Number::of(-2),
      Number::of_real(-1.5),
      Number::of(-1),
      Number::of_real(-0.5),
      Number::of(0),
      Number::of_real(0.5),
      Number::of(1),
      Number::of_real(9007199254740992.0),
      Number::of(9007199254740993),
      Number::of_real(9007199254740994.0),
      Number::of(INT64_MAX),
      Number::of_real(9223372036854775808.0),
      Number::of_unsigned(9223372036854775809U),
      Number::of_unsigned(UINT64_MAX),
      Number::of_real(18446744073709551616.0),
      Number::of_real(kInfinity),
  };
  for (size_t i = 0; i < rising.size(); ++i) {
    for (size_t j = 0; j < rising.size(); ++j) {
      EXPECT_EQ(compare(rising[i], rising[j]), i < j ? -1 : (i > j ? 1 : 0)) << i << " " << j;
    }
  }
}

TEST(Number, EqualValuesOfDifferentKindsAreEqual) {
  EXPECT_EQ(compare(json("443"), json("443.0")), 0);
  EXPECT_EQ(compare(json("1"), json("1.0")), 0);
  EXPECT_EQ(compare(json("-0"), json("-0.0")), 0);
  EXPECT_EQ(compare(json("9223372036854775808"), json("9223372036854775808.0")), 0);
  EXPECT_EQ(compare(json("-9223372036854775808"), json("-9223372036854775808.0")), 0);
  EXPECT_EQ(compare(json("1e400"), json("2e400")), 0);
  EXPECT_EQ(compare(json("9007199254740993"), json("9007199254740992")), 1);
}

}  // namespace
}  // namespace fb
