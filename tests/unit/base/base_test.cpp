#include <gtest/gtest.h>

#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/base/metrics.h"
#include "engine/base/result.h"
#include "engine/base/text.h"
#include "engine/model/ids.h"
#include "engine/model/names.h"

namespace fb {
namespace {

TEST(Digest, IsSha256AndHex) {
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, PartsAreKeptApart) {
  EXPECT_NE(sha256_parts({"ab", "c"}), sha256_parts({"a", "bc"}));
  EXPECT_NE(sha256_parts({"ab"}), sha256_parts({"ab", ""}));
}

TEST(Digest, Base64RoundTripsAndRefusesJunk) {
  for (const std::string& text : {std::string(), std::string("f"), std::string("fo"), std::string("foo"),
                                  std::string("foob"), std::string("\0\xff", 2)}) {
    EXPECT_EQ(unbase64(base64(text)), text);
  }
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_FALSE(unbase64("Zm9vYg="));
  EXPECT_FALSE(unbase64("Zm9v!g=="));
  EXPECT_FALSE(unbase64("Zm=vYg=="));
}

TEST(Ids, AreStable) {
  const SourcePosition p{"c1", "events", 0, 3, 42};
  const std::string id = alert_id("rule-1", "[]", p);
  EXPECT_EQ(id.size(), 64u);
  EXPECT_EQ(id, alert_id("rule-1", "[]", p));
  SourcePosition next = p;
  next.offset = 43;
  EXPECT_NE(id, alert_id("rule-1", "[]", next));
  EXPECT_NE(action_id(Verb::isolate, "a", id), action_id(Verb::release, "a", id));
}

TEST(Ids, UuidIsVersion4) {
  const std::string u = new_uuid();
  ASSERT_EQ(u.size(), 36u);
  EXPECT_EQ(u[14], '4');
  EXPECT_NE(u, new_uuid());
}

TEST(Names, EveryWordComesBack) {
  for (int i = 0; i <= static_cast<int>(ActionState::superseded); ++i) {
    const auto s = static_cast<ActionState>(i);
    EXPECT_EQ(from_string<ActionState>(to_string(s)), s);
  }
  EXPECT_EQ(to_string(Guard::protected_endpoint), "protected");
  EXPECT_EQ(to_string(Guard::loop), "loop");
  EXPECT_EQ(from_string<Mode>("enforced"), std::nullopt);
  EXPECT_EQ(from_string<Mode>("Enforce"), std::nullopt);
}

TEST(Text, DurationsHaveUnits) {
  EXPECT_EQ(parse_duration_ms("90s"), 90'000);
  EXPECT_EQ(parse_duration_ms("1500ms"), 1500);
  EXPECT_EQ(parse_duration_ms("2w"), 1'209'600'000);
  for (const char* bad : {"", "5", "m", "-5m", "5 m", "5M", "99999999999999999999h", "9223372036854775807h"}) {
    EXPECT_FALSE(parse_duration_ms(bad)) << bad;
  }
}

TEST(Text, PrintableDefusesTerminals) {
  EXPECT_EQ(printable("a\x1b]0;x\x07"), "a\\x1b]0;x\\x07");
  EXPECT_EQ(printable("\xE2\x80\xAE"
                      "exe"),
            "\\u{202e}exe");
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
}

TEST(Text, Utf8IsStrict) {
  EXPECT_TRUE(is_utf8("gr\xC3\xBC"));
  for (const char* bad : {"\xC0\xAF", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\x80", "\xE2\x82"}) {
    EXPECT_FALSE(is_utf8(bad));
    EXPECT_TRUE(is_utf8(to_utf8(bad)));
  }
}

TEST(Text, LocateCountsCodePoints) {
  const LineColumn at = locate(
      "a\n\xC3\xBC"
      "b",
      4);
  EXPECT_EQ(at.line, 2u);
  EXPECT_EQ(at.column, 2u);
}

TEST(Text, NearestWordHelpsWithTypos) {
  const std::vector<std::string> known = {"enforce", "approve", "dry_run"};
  EXPECT_EQ(nearest_word("enforced", known), "enforce");
  EXPECT_EQ(nearest_word("zzz", known), "");
}

TEST(Clock, FormatsIso8601) {
  EXPECT_EQ(iso8601(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(iso8601(1'700'000'000'123), "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(iso8601(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(iso8601(951'782'400'000), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(iso8601(253'402'300'799'999), "9999-12-31T23:59:59.999Z");
  EXPECT_EQ(iso8601(253'402'300'800'000), "10000-01-01T00:00:00.000Z");
  EXPECT_EQ(iso8601(-62'167'219'200'000), "0000-01-01T00:00:00.000Z");
}

// Against the C library, over days and moments of all years with four digits.
TEST(Clock, AgreesWithTheCLibrary) {
  constexpr int64_t kStepMs = 86'399'999 * 7ll + 12'345;
  int seen = 0;
  for (int64_t ms = -62'167'219'200'000; ms < 253'402'300'800'000; ms += kStepMs, ++seen) {
    const time_t whole = static_cast<time_t>((ms - (ms % 1000 + 1000) % 1000) / 1000);
    tm parts{};
    gmtime_r(&whole, &parts);
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                  parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                  static_cast<int>((ms % 1000 + 1000) % 1000));
    ASSERT_EQ(iso8601(ms), text) << ms;
  }
  EXPECT_GT(seen, 500'000);
}

TEST(Metrics, SameNameAndLabelsGiveTheSameHandle) {
  Metrics metrics;
  metrics.counter("firebreak_events_total", "Events read").add(2);
  metrics.counter("firebreak_events_total", "Events read").add_one();
  EXPECT_NE(metrics.expose().find("firebreak_events_total 3"), std::string::npos);
}

Result<int> half(int n) {
  if (n % 2 != 0) return fail(ErrorCode::invalid_argument, "odd", "half");
  return n / 2;
}
Result<int> quarter(int n) {
  FB_TRY(const int h, half(n));
  return half(h);
}

TEST(Result, TryHandsErrorsUp) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().describe(), "half: odd");
}

}  // namespace
}  // namespace fb
