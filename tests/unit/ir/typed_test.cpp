#include "engine/ir/typed.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "tests/support/cpu_time.h"

namespace fb::ir {
namespace {

std::string address_hex(const Address& a) {
  return hex(std::string_view(reinterpret_cast<const char*>(a.data()), a.size()));
}

TEST(Address, ReadsBothFamiliesInEverySpelling) {
  const std::pair<const char*, const char*> cases[] = {
      {"10.0.0.1", "00000000000000000000ffff0a000001"},
      {"255.255.255.255", "00000000000000000000ffffffffffff"},
      {"::", "00000000000000000000000000000000"},
      {"::1", "00000000000000000000000000000001"},
      {"0:0:0:0:0:0:0:1", "00000000000000000000000000000001"},
      {"::ffff:10.0.0.1", "00000000000000000000ffff0a000001"},
      {"::FFFF:a00:1", "00000000000000000000ffff0a000001"},
      {"2001:DB8::A", "20010db800000000000000000000000a"},
      {"fe80::1:2:3:4", "fe800000000000000001000200030004"},
      {"1::", "00010000000000000000000000000000"},
      {"1:2:3:4:5:6:7::", "00010002000300040005000600070000"},
      {"::2:3:4:5:6:7:8", "00000002000300040005000600070008"},
      {"1:2:3:4:5:6:1.2.3.4", "00010002000300040005000601020304"},
      {"64:ff9b::1.2.3.4", "0064ff9b000000000000000001020304"},
  };
  for (const auto& [text, expected] : cases) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address_hex(*address), expected) << text;
  }
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* text : {"",
                           ".",
                           "1.2.3",
                           "1.2.3.4.5",
                           "256.1.1.1",
                           "01.2.3.4",
                           "1.2.3.4 ",
                           " 1.2.3.4",
                           "1..2.3",
                           "1.2.3.-4",
                           "a.b.c.d",
                           ":",
                           ":::",
                           "1:2",
                           "1:2:3:4:5:6:7:8:9",
                           "1::2::3",
                           "12345::",
                           "g::",
                           "::1%eth0",
                           "[::1]",
                           "1:2:3:4:5:6:7:8::",
                           "1.2.3.4::",
                           "::1.2.3",
                           "1:",
                           ":1",
                           "1:2:3:4:5:6:7:1.2.3.4",
                           "::1.2.3.4:5",
                           "10.0.0.1/8",
                           "1e1.1.1.1"}) {
    EXPECT_FALSE(parse_address(text)) << text;
  }
}

TEST(Address, RangesIgnoreHostBitsAndKeepFamiliesApart) {
  struct Case {
    const char* range;
    const char* address;
    bool inside;
  };
  const Case cases[] = {
      {"10.0.0.0/8", "10.255.255.255", true},
      {"10.9.9.9/8", "10.0.0.0", true},
      {"10.0.0.0/8", "11.0.0.0", false},
      {"10.0.0.1", "10.0.0.1", true},
      {"10.0.0.1", "10.0.0.2", false},
      {"10.0.0.1/32", "10.0.0.1", true},
      {"10.0.0.1/31", "10.0.0.0", true},
      {"0.0.0.0/0", "255.1.2.3", true},
      {"0.0.0.0/0", "::1", false},
      {"::/0", "10.0.0.1", true},
      {"::/0", "ffff::", true},
      {"fe80::/10", "febf:ffff::1", true},
      {"fe80::/10", "fec0::", false},
      {"2001:db8::/33", "2001:db8:7fff::", true},
      {"2001:db8::/33", "2001:db8:8000::", false},
      {"::1/128", "::1", true},
      {"::ffff:10.0.0.0/104", "10.1.1.1", true},
  };
  for (const Case& c : cases) {
    const auto range = parse_address_range(c.range);
    ASSERT_TRUE(range) << c.range;
    EXPECT_EQ(range->contains(*parse_address(c.address)), c.inside) << c.range << " " << c.address;
  }
  for (const char* text : {"10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/a", "10.0.0.0/-1", "/8", "10.0.0.0/8/8",
                           "10.0/16", "10.0.0.0/ 8", "10.0.0.0/0000008"}) {
    EXPECT_FALSE(parse_address_range(text)) << text;
  }
}

TEST(Date, FillsMissingPartsDownAndUp) {
  struct Case {
    const char* text;
    const char* first;
    const char* last;
  };
  const Case cases[] = {
      {"2024", "2024-01-01T00:00:00.000Z", "2024-01-01T23:59:59.999Z"},
      {"2024-03", "2024-03-01T00:00:00.000Z", "2024-03-01T23:59:59.999Z"},
      {"2024-02-29", "2024-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z"},
      {"2024-03-04T05", "2024-03-04T05:00:00.000Z", "2024-03-04T05:59:59.999Z"},
      {"2024-03-04T05:06", "2024-03-04T05:06:00.000Z", "2024-03-04T05:06:59.999Z"},
      {"2024-03-04T05:06:07", "2024-03-04T05:06:07.000Z", "2024-03-04T05:06:07.999Z"},
      {"2024-03-04T05:06:07.8", "2024-03-04T05:06:07.800Z", "2024-03-04T05:06:07.800Z"},
      {"2024-03-04T05:06:07.123456789Z", "2024-03-04T05:06:07.123Z", "2024-03-04T05:06:07.123Z"},
      {"2024-03-04T05:06:07,5Z", "2024-03-04T05:06:07.500Z", "2024-03-04T05:06:07.500Z"},
      {"2024-03-04T05:06:07+01:30", "2024-03-04T03:36:07.000Z", "2024-03-04T03:36:07.999Z"},
      {"2024-03-04T05-0800", "2024-03-04T13:00:00.000Z", "2024-03-04T13:59:59.999Z"},
      {"2024-03-04+01", "2024-03-03T23:00:00.000Z", "2024-03-04T22:59:59.999Z"},
      {"2024-03-04Z", "2024-03-04T00:00:00.000Z", "2024-03-04T23:59:59.999Z"},
      {"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
      {"1700000000000", "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.000Z"},
      {"1700000000000.9", "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.000Z"},
      {"1.7e12", "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.000Z"},
      {"-1", "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
      {"0", "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"},
      {"12345", "1970-01-01T00:00:12.345Z", "1970-01-01T00:00:12.345Z"},
  };
  for (const Case& c : cases) {
    const auto literal = parse_date_literal(c.text);
    ASSERT_TRUE(literal) << c.text;
    const auto bounds = literal->resolve(0);
    EXPECT_EQ(iso8601(bounds.first_ms), c.first) << c.text;
    EXPECT_EQ(iso8601(bounds.last_ms), c.last) << c.text;
    EXPECT_EQ(parse_date_value(c.text), bounds.first_ms) << c.text;
  }
}

TEST(Date, RefusesWhatIsNone) {
  for (const char* text : {"",
                           "now1",
                           "nowish",
                           "yesterday",
                           "2024-13",
                           "2024-00",
                           "2024-02-30",
                           "2023-02-29",
                           "1900-02-29",
                           "2024-1-1",
                           "2024-01-01T24:00",
                           "2024-01-01T12:60",
                           "2024-01-01T12:00:60",
                           "2024-01-01 12:00:00",
                           "2024-01-01t12:00",
                           "2024-01-01T12:00z",
                           "2024-01-01T12:00:00.",
                           "2024-01-01T",
                           "2024-01-01T1",
                           "2024-01-01T12:00+1",
                           "2024-01-01T12:00+25:00",
                           "20240101T00",
                           "2024Z",
                           "2024-01Z",
                           "1e",
                           "--1",
                           "12a",
                           "1.",
                           "now-",
                           "now-1",
                           "now-1x",
                           "now+d1",
                           "now/2d",
                           "now 1d",
                           "now-1d ",
                           "2024-01-01+1d",
                           "||+1d",
                           "2024||+1q",
                           "now-99999999999d",
                           "+5"}) {
    EXPECT_FALSE(parse_date_literal(text)) << text;
  }
  for (const char* text : {"", "now", "2024-01-01||+1d", " 2024-01-01", "99999999999999999999999"}) {
    EXPECT_FALSE(parse_date_value(text)) << text;
  }
}

TEST(Date, DoesDateMath) {
  const int64_t now = *parse_date_value("2024-03-15T12:34:56.789Z");  // a Friday
  struct Case {
    const char* text;
    const char* first;
    const char* last;
  };
  const Case cases[] = {
      {"now", "2024-03-15T12:34:56.789Z", "2024-03-15T12:34:56.789Z"},
      {"now-1d", "2024-03-14T12:34:56.789Z", "2024-03-14T12:34:56.789Z"},
      {"now+d", "2024-03-16T12:34:56.789Z", "2024-03-16T12:34:56.789Z"},
      {"now-2h", "2024-03-15T10:34:56.789Z", "2024-03-15T10:34:56.789Z"},
      {"now-2H+30m-6s", "2024-03-15T11:04:50.789Z", "2024-03-15T11:04:50.789Z"},
      {"now-1w", "2024-03-08T12:34:56.789Z", "2024-03-08T12:34:56.789Z"},
      {"now-1M", "2024-02-15T12:34:56.789Z", "2024-02-15T12:34:56.789Z"},
      {"now-15d-1M", "2024-01-29T12:34:56.789Z", "2024-01-29T12:34:56.789Z"},
      {"now+1y", "2025-03-15T12:34:56.789Z", "2025-03-15T12:34:56.789Z"},
      {"now/d", "2024-03-15T00:00:00.000Z", "2024-03-15T23:59:59.999Z"},
      {"now/w", "2024-03-11T00:00:00.000Z", "2024-03-17T23:59:59.999Z"},
      {"now/M", "2024-03-01T00:00:00.000Z", "2024-03-31T23:59:59.999Z"},
      {"now/y", "2024-01-01T00:00:00.000Z", "2024-12-31T23:59:59.999Z"},
      {"now/h", "2024-03-15T12:00:00.000Z", "2024-03-15T12:59:59.999Z"},
      {"now/m", "2024-03-15T12:34:00.000Z", "2024-03-15T12:34:59.999Z"},
      {"now/s", "2024-03-15T12:34:56.000Z", "2024-03-15T12:34:56.999Z"},
      {"now-1d/d", "2024-03-14T00:00:00.000Z", "2024-03-14T23:59:59.999Z"},
      {"now/d-1d", "2024-03-14T00:00:00.000Z", "2024-03-14T23:59:59.999Z"},
      {"now-1M/M", "2024-02-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z"},
      {"2024-01-31||+1M", "2024-02-29T00:00:00.000Z", "2024-02-29T00:00:00.000Z"},
      {"2024-02-29||+1y", "2025-02-28T00:00:00.000Z", "2025-02-28T00:00:00.000Z"},
      {"2024-01||", "2024-01-01T00:00:00.000Z", "2024-01-01T00:00:00.000Z"},
      {"2024||/y", "2024-01-01T00:00:00.000Z", "2024-12-31T23:59:59.999Z"},
      {"1700000000000||+1d", "2023-11-15T22:13:20.000Z", "2023-11-15T22:13:20.000Z"},
      {"1970-01-01||/w", "1969-12-29T00:00:00.000Z", "1970-01-04T23:59:59.999Z"},
  };
  for (const Case& c : cases) {
    const auto literal = parse_date_literal(c.text);
    ASSERT_TRUE(literal) << c.text;
    const auto bounds = literal->resolve(now);
    EXPECT_EQ(iso8601(bounds.first_ms), c.first) << c.text;
    EXPECT_EQ(iso8601(bounds.last_ms), c.last) << c.text;
  }
}

TEST(Date, FarMathStopsAtAnEdgeInsteadOfWrapping) {
  for (const char* text :
       {"now+2000000000y", "now+2000000000y+2000000000y/y", "now+2147483647w+2147483647w+2147483647M"}) {
    const auto literal = parse_date_literal(text);
    ASSERT_TRUE(literal) << text;
    const auto bounds = literal->resolve(1'700'000'000'000);
    EXPECT_GT(bounds.first_ms, INT64_C(100'000'000'000'000'000)) << text;
    EXPECT_GE(bounds.last_ms, bounds.first_ms) << text;
  }
  const auto past = parse_date_literal("now-2000000000y-2000000000y/M")->resolve(INT64_MIN);
  EXPECT_LT(past.first_ms, -INT64_C(100'000'000'000'000'000));
}

TEST(Date, CalendarAgreesWithTheClockEveryDayOfEightCenturies) {
  using namespace std::chrono;
  for (sys_days day{year{1600} / 1 / 1}; day < sys_days{year{2400} / 1 / 1}; day += days{1}) {
    const year_month_day ymd{day};
    char text[32];
    std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(ymd.year()), static_cast<unsigned>(ymd.month()),
                  static_cast<unsigned>(ymd.day()));
    const int64_t expected = duration_cast<milliseconds>(day.time_since_epoch()).count();
    ASSERT_EQ(parse_date_value(text), expected) << text;
    const auto month = parse_date_literal(std::string(text) + "||/M")->resolve(0);
    ASSERT_EQ(month.first_ms,
              duration_cast<milliseconds>(sys_days{ymd.year() / ymd.month() / 1}.time_since_epoch()).count())
        << text;
  }
}

TEST(Words, AreThoseOfTheStandardAnalyser) {
  const std::pair<const char*, std::vector<std::string>> cases[] = {
      {"", {}},
      {" \t-", {}},
      {"Quick Brown", {"quick", "brown"}},
      {"foo-bar", {"foo", "bar"}},
      {"foo_bar __ _x_", {"foo_bar", "_x_"}},
      {"Net.WebClient", {"net.webclient"}},
      {"10.0.0.1", {"10.0.0.1"}},
      {"don't 'quoted'", {"don't", "quoted"}},
      {"1,234.5;6", {"1,234.5;6"}},
      {"a,b;c", {"a", "b", "c"}},
      {"a.1 1.a", {"a", "1", "1", "a"}},
      {"a..b 1..2 a. .b", {"a", "b", "1", "2", "a", "b"}},
      {"v1.2 x86_64", {"v1.2", "x86_64"}},
      {"a_.b", {"a_", "b"}},
      {"C:\\Windows\\cmd.exe", {"c", "windows", "cmd.exe"}},
      {"user@example.com/x?y=1&z", {"user", "example.com", "x", "y", "1", "z"}},
      {"it''s", {"it", "s"}},
      {"a:b", {"a", "b"}},
      {"ÄÖ ß Ñandú", {"äö", "ß", "ñandú"}},
      {"Привет, мир", {"привет", "мир"}},
      {"日本語 テスト", {"日", "本", "語", "テスト"}},
      {"l’eau", {"l’eau"}},
      {"“x”…y—z", {"x", "y", "z"}},
      {"e\xCC\x81t\xC3\xA9", {"e\xCC\x81t\xC3\xA9"}},
      {"a\xFF"
       "b",
       {"a", "b"}},
      {"٣.٤", {"٣.٤"}},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(words(text), expected) << text;
}

TEST(FoldCase, LowersWhatHasALowerCase) {
  const std::pair<const char*, const char*> cases[] = {
      {"ABC xyz 09[]", "abc xyz 09[]"},
      {"ÀÖØÞ×ß", "àöøþ×ß"},
      {"ĀĒŸŽ", "āēÿž"},
      {"ΑΒΓΆΏΣς", "αβγάώσς"},
      {"АБВЯЁЂ", "абвяёђ"},
      {"İI", "ii"},
      {"ԱԲ", "աբ"},
      {"K", "k"},
      {"\xF0\x90\x90\x80", "\xF0\x90\x90\xA8"},
      {"日本", "日本"},
      {"\xFF\xC3", "\xFF\xC3"},
      {"ǄǅꞫ", "ǆǆɜ"},
  };
  std::string out = "left over";
  for (const auto& [text, expected] : cases) {
    fold_case(text, out);
    EXPECT_EQ(out, expected) << text;
  }
}

Glob glob_of(std::string_view pattern) {
  Glob glob;
  for (const char c : pattern) {
    if (c == '*') {
      glob.push_back({GlobPart::Kind::any_run, ""});
    } else if (c == '?') {
      glob.push_back({GlobPart::Kind::any_one, ""});
    } else if (!glob.empty() && glob.back().kind == GlobPart::Kind::literal) {
      glob.back().text += c;
    } else {
      glob.push_back({GlobPart::Kind::literal, std::string(1, c)});
    }
  }
  return glob;
}

TEST(Glob, MatchesTheWholeValue) {
  struct Case {
    const char* pattern;
    const char* value;
    bool matches;
  };
  const Case cases[] = {
      {"", "", true},
      {"", "a", false},
      {"*", "", true},
      {"*", "a\nb", true},
      {"a", "a", true},
      {"a", "ab", false},
      {"a*", "a", true},
      {"a*", "ab", true},
      {"a*", "ba", false},
      {"*a", "ba", true},
      {"*a", "ab", false},
      {"*a*", "bab", true},
      {"a*b", "ab", true},
      {"a*b", "a", false},
      {"a*a", "a", false},
      {"a*a", "aa", true},
      {"*ab*ab*", "abab", true},
      {"*ab*ab*", "aab", false},
      {"a*bc*d", "abcbcd", true},
      {"a*bc*d", "abcb", false},
      {"?", "a", true},
      {"?", "", false},
      {"?", "é", true},
      {"??", "é", false},
      {"*?", "", false},
      {"*?", "é", true},
      {"?*", "日", true},
      {"*?x", "éx", true},
      {"*??", "aé", true},
      {"*??", "é", false},
      {"a?c", "aéc", true},
      {"*?b?*", "abc", true},
      {"*?b?*", "ab", false},
      {"*a?", "aab", true},
      {"?*?", "a", false},
      {"?*?", "ab", true},
  };
  for (const Case& c : cases)
    EXPECT_EQ(glob_match(glob_of(c.pattern), c.value), c.matches) << c.pattern << " " << c.value;
}

// Every pattern of up to 5 of {a, b, *, ?} against every value of up to 5 of {a, b}, judged by the textbook recursion.
bool slow_match(std::string_view pattern, std::string_view value) {
  if (pattern.empty()) return value.empty();
  if (pattern[0] == '*') {
    return slow_match(pattern.substr(1), value) || (!value.empty() && slow_match(pattern, value.substr(1)));
  }
  return !value.empty() && (pattern[0] == '?' || pattern[0] == value[0]) &&
         slow_match(pattern.substr(1), value.substr(1));
}

TEST(Glob, AgreesWithTheTextbookOnAllSmallCases) {
  const auto all = [](std::string_view alphabet, size_t longest) {
    std::vector<std::string> out{""};
    for (size_t i = 0; i < out.size(); ++i) {
      if (out[i].size() == longest) break;
      for (const char c : alphabet) out.push_back(out[i] + c);
    }
    return out;
  };
  const auto values = all("ab", 6);
  size_t checked = 0;
  for (const std::string& pattern : all("ab*?", 5)) {
    if (pattern.find("**") != std::string::npos) continue;  // no Glob has two runs side by side
    const Glob glob = glob_of(pattern);
    for (const std::string& value : values) {
      ASSERT_EQ(glob_match(glob, value), slow_match(pattern, value)) << pattern << " " << value;
      ++checked;
    }
  }
  EXPECT_GT(checked, 100'000u);
}

TEST(Glob, TakesNoExponentialTime) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  pattern += "*b";
  const std::string value(100'000, 'a');
  const double begin = test::cpu_seconds();
  EXPECT_FALSE(glob_match(glob_of(pattern), value));
  EXPECT_LT(test::cpu_seconds() - begin, 2 * test::kSanitizerFactor);
}

TEST(View, IsTheLastSegmentOfAPath) {
  const std::pair<const char*, PathView> cases[] = {
      {"process.name.text", {"process.name", View::text}},
      {"process.name.caseless", {"process.name", View::caseless}},
      {"process.name.keyword", {"process.name", View::keyword}},
      {"process.name", {"process.name", View::plain}},
      {"text", {"text", View::plain}},
      {".text", {".text", View::plain}},
      {"a.texts", {"a.texts", View::plain}},
      {"a.Text", {"a.Text", View::plain}},
      {"", {"", View::plain}},
  };
  for (const auto& [path, expected] : cases) {
    const PathView view = split_view(path);
    EXPECT_EQ(view.base, expected.base) << path;
    EXPECT_EQ(view.view, expected.view) << path;
  }
  EXPECT_EQ(viewed_type(View::text, FieldType::integer), FieldType::text);
  EXPECT_EQ(viewed_type(View::caseless, FieldType::integer), FieldType::keyword);
  EXPECT_EQ(viewed_type(View::keyword, FieldType::integer), FieldType::integer);
  EXPECT_EQ(viewed_type(View::keyword, FieldType::text), FieldType::keyword);
  EXPECT_EQ(viewed_type(View::plain, FieldType::text), FieldType::text);
}

TEST(TextClauses, FallApartAtBlanks) {
  const auto clauses = text_clauses(glob_of("Foo-Bar  b*R\xC2\xA0 \n*x "));
  ASSERT_EQ(clauses.size(), 3u);
  EXPECT_EQ(clauses[0].words, (std::vector<std::string>{"foo", "bar"}));
  EXPECT_TRUE(clauses[0].glob.empty());
  EXPECT_EQ(print(clauses[1].glob), "\"b*r\"");
  EXPECT_EQ(print(clauses[2].glob), "\"*x\"");
  EXPECT_TRUE(text_clauses(glob_of("  ")).empty());
}

}  // namespace
}  // namespace fb::ir
