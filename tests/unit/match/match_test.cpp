// What the matcher promises beside right answers: few rules looked at, hits in order, no allocation once warm, a stable
// hash.
#include <gtest/gtest.h>

#include <random>

#include "agree.h"
#include "engine/ir/value_set.h"
#include "engine/lang/kuery/kuery.h"
#include "engine/match/glob_matcher.h"
#include "engine/match/guard.h"
#include "engine/match/needle.h"
#include "engine/match/part_finder.h"
#include "engine/match/string_set.h"
#include "tests/support/allocations.h"
#include "tests/support/cpu_time.h"

namespace fb::test {
namespace {

ir::Node kuery(const std::string& text) {
  auto parsed = lang::parse_kuery(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : ir::never();
}

RuleSetPtr rules_of(const std::vector<std::string>& queries) {
  std::vector<ir::Node> conditions;
  for (const auto& query : queries) conditions.push_back(kuery(query));
  return rule_set_of(std::move(conditions));
}

using Hits = std::vector<uint32_t>;

ir::Glob glob_of(const std::string& text) {
  ir::Glob out;
  for (const char c : text) {
    if (c == '*') {
      out.push_back({ir::GlobPart::Kind::any_run, {}});
    } else if (c == '?') {
      out.push_back({ir::GlobPart::Kind::any_one, {}});
    } else if (!out.empty() && out.back().kind == ir::GlobPart::Kind::literal) {
      out.back().text += c;
    } else {
      out.push_back({ir::GlobPart::Kind::literal, std::string(1, c)});
    }
  }
  return out;
}

TEST(GlobMatcher, AgreesWithTheSlowOneOnEveryShortPatternAndValue) {
  // Four letters of pattern over {a, b, *, ?} against every value of up to five of {a, b, e-acute}.
  const std::vector<std::string> letters = {"a", "b", "\xC3\xA9"};
  std::vector<std::string> values = {""};
  for (size_t i = 0; values[i].size() < 5 && i < 200; ++i) {
    for (const auto& letter : letters) values.push_back(values[i] + letter);
  }
  size_t held = 0;
  for (int code = 0; code < 5 * 5 * 5 * 5 * 5; ++code) {
    std::string pattern;
    for (int n = 0, rest = code; n < 5; ++n, rest /= 5)
      pattern += std::string("ab*?").substr(static_cast<size_t>(rest % 5), 1);
    if (pattern.find("**") != std::string::npos) continue;
    const ir::Glob glob = glob_of(pattern);
    const match::GlobMatcher matcher(glob);
    for (const auto& value : values) {
      ASSERT_EQ(matcher.matches(value), ir::glob_match(glob, value)) << pattern << " on " << value;
      held += matcher.matches(value) ? 1 : 0;
    }
  }
  EXPECT_GT(held, 10'000u);
}

TEST(Needle, FindsTheFirstPlaceWhateverTheLengths) {
  std::mt19937 random(3);
  size_t found = 0;
  for (int i = 0; i < 40'000; ++i) {
    const auto text = [&](size_t length) {
      std::string out;
      while (out.size() < length) out += static_cast<char>('a' + random() % 3);
      return out;
    };
    const std::string hay = text(random() % 80);
    const match::Needle needle(text(random() % 9));
    const size_t from = random() % (hay.size() + 1);
    // A copy of exact size, so that a sanitizer sees every byte read beyond.
    const std::vector<char> exact(hay.begin(), hay.end());
    const size_t expected = hay.find(needle.text(), from);
    ASSERT_EQ(needle.find({exact.data(), exact.size()}, from), expected) << needle.text() << " in " << hay;
    found += expected != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(found, 5'000u);
}

TEST(PartFinder, FindsEveryPlaceOfEveryLiteral) {
  std::mt19937 random(4);
  const auto text = [&](size_t length) {
    std::string out;
    while (out.size() < length) out += static_cast<char>('a' + random() % 3);
    return out;
  };
  size_t found = 0;
  for (int round = 0; round < 300; ++round) {
    match::PartFinder finder;
    std::vector<std::string> literals;
    for (size_t n = random() % 40; n > 0; --n) literals.push_back(text(4 + random() % 12));
    for (uint32_t i = 0; i < literals.size(); ++i) finder.add(literals[i], i);
    finder.freeze();
    for (int i = 0; i < 20; ++i) {
      const std::string hay = text(random() % 100);
      const std::vector<char> exact(hay.begin(), hay.end());
      std::vector<size_t> places(literals.size());
      finder.find({exact.data(), exact.size()}, [&](uint32_t payload) {
        ++places[payload];
        return false;
      });
      for (size_t l = 0; l < literals.size(); ++l) {
        size_t expected = 0;
        for (size_t at = hay.find(literals[l]); at != std::string::npos; at = hay.find(literals[l], at + 1)) ++expected;
        ASSERT_EQ(places[l], expected) << literals[l] << " in " << hay;
        found += expected;
      }
    }
  }
  EXPECT_GT(found, 2'000u);
}

TEST(StringSet, FindsItsOwnAndNothingElseWhateverItsSize) {
  for (const size_t size : {0u, 1u, 4u, 5u, 100u, 3000u}) {
    match::StringSet set;
    for (size_t i = 0; i < size; ++i) set.add("value " + std::to_string(i * 2));
    set.freeze();
    for (size_t i = 0; i < size * 2 + 2; ++i) {
      EXPECT_EQ(set.contains("value " + std::to_string(i)), i % 2 == 0 && i / 2 < size);
    }
    EXPECT_FALSE(set.contains(""));
  }
}

TEST(Guard, EqualNumbersHaveOneKeyAcrossKinds) {
  EXPECT_EQ(match::number_key(Number::of(443)), match::number_key(Number::of_real(443.0)));
  EXPECT_EQ(match::number_key(Number::of(0)), match::number_key(Number::of_real(-0.0)));
  EXPECT_EQ(match::number_key(Number::of_unsigned(1ULL << 63)),
            match::number_key(Number::of_real(9223372036854775808.0)));
  EXPECT_NE(match::number_key(Number::of(9007199254740993)), match::number_key(Number::of(9007199254740992)));
  EXPECT_NE(match::number_key(Number::of_real(443.5)), match::number_key(Number::of(443)));
}

TEST(Matcher, HitsAreAscendingAndAppended) {
  const auto rules = rules_of({"x:b", "x:*", "not y:*", "x:a or x:b", "y:c", "*"});
  Engines engines(rules);
  EXPECT_EQ(engines.match("{\"x\":[\"b\",\"a\"]}"), (Hits{0, 1, 2, 3, 5}));
  EXPECT_EQ(engines.match("{\"y\":\"c\"}"), (Hits{4, 5}));
  EXPECT_EQ(engines.match_without_index("{\"x\":[\"b\",\"a\"]}"), (Hits{0, 1, 2, 3, 5}));
}

TEST(Matcher, ARuleSetOfNoRulesMatchesNothing) {
  Engines engines(rules_of({}));
  EXPECT_EQ(engines.match("{\"x\":1}"), Hits{});
  EXPECT_EQ(engines.match_without_index("{}"), Hits{});
}

TEST(Matcher, LooksOnlyAtTheRulesWhoseRareLiteralIsThere) {
  std::vector<std::string> queries;
  for (int i = 0; i < 2000; ++i) {
    const std::string n = std::to_string(i);
    queries.push_back("event.category:process and host.os.type:windows and process.name:tool" + n +
                      ".exe and not user.id:S-1");
  }
  const auto rules = rules_of(queries);
  EXPECT_EQ(rules->stats().rules, 2000u);
  EXPECT_EQ(rules->stats().always_checked, 0u);
  // The two constants and the exclusion are shared: 2,000 names and three more.
  EXPECT_EQ(rules->stats().predicates, 2003u);
  Engines engines(rules);
  EXPECT_EQ(engines.match("{\"event\":{\"category\":\"process\"},\"host\":{\"os\":{\"type\":\"windows\"}},"
                          "\"process\":{\"name\":\"tool7.exe\"}}"),
            Hits{7});
  EXPECT_EQ(engines.match("{\"event\":{\"category\":\"process\"},\"host\":{\"os\":{\"type\":\"windows\"}},"
                          "\"process\":{\"name\":\"other.exe\"}}"),
            Hits{});
  EXPECT_EQ(engines.counters().rules_looked_at, 1u);
}

TEST(Matcher, FindsHeadsTailsAndPartsWithoutLookingAtOtherRules) {
  std::vector<std::string> queries;
  for (int i = 0; i < 300; ++i) {
    const std::string n = std::to_string(1000 + i);
    queries.push_back("event.category:process and process.command_line:*needle" + n + "*");
    queries.push_back("event.category:process and process.command_line:head" + n + "*");
    queries.push_back("event.category:process and process.command_line:*tail" + n);
  }
  Engines engines(rules_of(queries));
  EXPECT_EQ(engines.match("{\"event.category\":\"process\",\"process.command_line\":\"head1001 needle1002 tail1003\"}"),
            (Hits{4, 6, 11}));
  EXPECT_EQ(engines.match("{\"event.category\":\"process\",\"process.command_line\":\"needle1002\"}"), Hits{6});
  EXPECT_EQ(engines.match("{\"event.category\":\"process\",\"process.command_line\":\"xhead1001 tail1003x needle\"}"),
            Hits{});
  EXPECT_LT(engines.counters().rules_looked_at, 10u);
}

TEST(Matcher, CaselessViewsFindTheirRulesInTheFoldedValue) {
  std::vector<std::string> queries;
  for (int i = 0; i < 300; ++i) {
    const std::string n = std::to_string(1000 + i);
    queries.push_back("process.name.caseless:Tool" + n + ".EXE");
    queries.push_back("process.name.caseless:Head" + n + "*");
    queries.push_back("process.name.caseless:*Part" + n + "*");
  }
  Engines engines(rules_of(queries));
  EXPECT_EQ(engines.match("{\"process\":{\"name\":\"TOOL1007.exe\"}}"), Hits{21});
  EXPECT_EQ(engines.match("{\"process\":{\"name\":\"hEAD1002 pART1001 x\"}}"), (Hits{5, 7}));
  // The field itself, when an event has it, is compared as it is written.
  EXPECT_EQ(engines.match("{\"process\":{\"name\":{\"caseless\":\"TOOL1007.exe\"}}}"), Hits{});
  EXPECT_EQ(engines.match("{\"process\":{\"name\":{\"caseless\":\"Tool1007.EXE\"}}}"), Hits{21});
  EXPECT_LT(engines.counters().rules_looked_at, 10u);
}

TEST(Matcher, ATermOfATextFindsItsRuleByTheWord) {
  std::vector<std::string> queries;
  for (int i = 0; i < 400; ++i) queries.push_back("message:\"login of user" + std::to_string(i) + " failed\"");
  Engines engines(rules_of(queries));
  EXPECT_EQ(engines.match("{\"message\":\"Login of USER17 failed.\"}"), Hits{17});
  EXPECT_EQ(engines.match("{\"message\":\"user17 failed at login of user\"}"), Hits{});
  EXPECT_LE(engines.counters().rules_looked_at, 2u);
}

TEST(Matcher, CountsPureNegationsAsAlwaysChecked) {
  const auto rules = rules_of({"not x:a", "x:a", "not x:a and y:b", "\"anything\"", "not (not x:c)"});
  EXPECT_EQ(rules->stats().always_checked, 2u);  // the first and the value-only one
  Engines engines(rules);
  EXPECT_EQ(engines.match("{\"x\":\"c\",\"y\":\"b\"}"), (Hits{0, 2, 4}));
  EXPECT_EQ(engines.match("{}"), (Hits{0}));
}

TEST(Matcher, NestedIsJudgedOneObjectAtATime) {
  Engines engines(rules_of({"list:{ k:a and v:1 }", "list.k:a and list.v:1", "list:{ not k:a }", "not list:{ k:a }",
                            "list:{ in:{ k:x and v:y } }"}));
  EXPECT_EQ(engines.match("{\"list\":[{\"k\":\"a\",\"v\":\"2\"},{\"k\":\"b\",\"v\":\"1\"}]}"), (Hits{1, 2}));
  EXPECT_EQ(engines.match("{\"list\":{\"k\":\"a\",\"v\":\"1\"}}"), (Hits{0, 1}));
  EXPECT_EQ(engines.match("{}"), (Hits{3}));
  EXPECT_EQ(engines.match("{\"list\":[{\"in\":[{\"k\":\"x\",\"v\":\"z\"},{\"k\":\"x\",\"v\":\"y\"}]}]}"),
            (Hits{2, 3, 4}));
  EXPECT_EQ(engines.match("{\"list\":[{\"in\":[{\"k\":\"x\",\"v\":\"z\"}]},{\"in\":{\"k\":\"w\",\"v\":\"y\"}}]}"),
            (Hits{2, 3}));
}

TEST(Matcher, RenamedFieldsAreAnotherSpelling) {
  RuleSetOptions options;
  options.renames = {{"Image", "process.executable"}};
  std::vector<ir::Node> conditions;
  conditions.push_back(kuery("process.executable:a"));
  Engines engines(rule_set_of(std::move(conditions), options));
  EXPECT_EQ(engines.match("{\"Image\":\"a\"}"), Hits{0});
  EXPECT_EQ(engines.match("{\"process\":{\"executable\":\"a\"}}"), Hits{0});
  EXPECT_EQ(engines.difference("{\"Image\":\"a\"}"), "");
  EXPECT_EQ(engines.difference("{\"Image\":\"b\",\"process.executable\":\"c\"}"), "");
}

TEST(Matcher, AllocatesNothingOnceWarm) {
  const auto rules = rules_of(
      {"process.name:cmd.exe and process.args:(*foo* or *bar*x or baz*)", "message:\"quick brown\"",
       "source.ip:10.0.0.0/8 or source.port:443", "@timestamp >= now-1d", "\"anything\"", "process.name.caseless:CMD*",
       "list:{ k:a and v >= 1 }", "proc*:zzz", "not user.name:root and process.pid > 5", "message:qui*"});
  auto decoder = std::make_unique<Decoder>(rules->fields(), EventLimits{});
  Matcher matcher(rules, *decoder);
  const std::vector<std::string> events = {
      "{\"process\":{\"name\":\"CMD.EXE\",\"args\":[\"a\",\"xfoox\"],\"pid\":7},\"message\":\"The QUICK brown fox "
      "jumps over it\"}",
      "{\"source\":{\"ip\":\"10.1.2.3\",\"port\":\"0443\"},\"@timestamp\":\"2024-01-01T12:00:00Z\"}",
      "{\"list\":[{\"k\":\"a\",\"v\":0},{\"k\":\"a\",\"v\":2}],\"process.name\":\"cmd.exe\",\"process.args\":"
      "\"bazaar\"}"};
  std::vector<std::string> padded;
  for (const auto& event : events) padded.push_back(event + std::string(Decoder::kPadding, ' '));
  std::vector<RuleIx> hits;
  hits.reserve(100);
  size_t matched = 0;
  EXPECT_GT(allocations(), 0u);
  const auto once = [&] {
    for (size_t i = 0; i < events.size(); ++i) {
      const Event* event = decoder->decode(std::string_view(padded[i]).substr(0, events[i].size()));
      ASSERT_NE(event, nullptr);
      hits.clear();
      matcher.match(*event, kNowMs, hits);
      matched += hits.size();
      hits.clear();
      matcher.match_without_index(*event, kNowMs, hits);
    }
  };
  once();
  EXPECT_GE(matched, 6u);
  const size_t before = allocations();
  for (int i = 0; i < 50; ++i) once();
  EXPECT_EQ(allocations(), before);
}

TEST(RuleSet, HashDoesNotDependOnTheOrderAndDoesOnTheRules) {
  const auto make = [](std::vector<std::pair<std::string, std::string>> list) {
    std::vector<RuleInput> rules;
    for (const auto& [id, query] : list) {
      auto meta = std::make_shared<RuleMeta>();
      meta->rule_id = id;
      meta->hash = "h" + id;
      rules.push_back({std::move(meta), kuery(query)});
    }
    return RuleSet::build(std::move(rules))->hash();
  };
  EXPECT_EQ(make({{"a", "x:1"}, {"b", "x:2"}}), make({{"b", "x:2"}, {"a", "x:1"}}));
  EXPECT_NE(make({{"a", "x:1"}, {"b", "x:2"}}), make({{"a", "x:1"}, {"b", "x:3"}}));
  EXPECT_NE(make({{"a", "x:1"}, {"b", "x:2"}}), make({{"a", "x:1"}}));
  EXPECT_EQ(make({}).size(), 64u);
}

ir::Node one_of(const std::string& field, std::shared_ptr<const ir::ValueSet> values) {
  ir::Test t;
  t.field.name = field;
  t.op = ir::Op::one_of;
  t.values = std::move(values);
  return ir::test(std::move(t));
}
std::shared_ptr<const ir::ValueSet> texts_of(std::vector<std::string> texts, const std::string& digest) {
  auto set = std::make_shared<ir::ValueSet>();
  set->digest = digest;
  set->texts = std::move(texts);
  return set;
}
std::shared_ptr<const ir::ValueSet> addresses_of(const std::vector<std::string>& spans, const std::string& digest) {
  auto set = std::make_shared<ir::ValueSet>();
  set->digest = digest;
  set->addresses = true;
  for (const auto& span : spans) set->ranges.push_back(ir::parse_address_span(span).value());
  set->ranges = ir::merged(std::move(set->ranges));
  return set;
}

TEST(SharedSets, MeanTheSameAsTheirValuesOneByOne) {
  const auto texts = texts_of({"7", "a b", "a b c", "b", "true", "2024-01-01", "svc", "B C d", "now-1d"}, "t");
  const auto nets = addresses_of({"10.0.0.0/8", "192.0.2.5-192.0.2.9", "2001:db8::/32", "192.0.2.7"}, "n");
  const char* fields[] = {"user.name",
                          "message",
                          "process.pid",
                          "x.y",
                          "@timestamp",
                          "process.name.text",
                          "user.name.caseless",
                          "source.ip",
                          "source.address",
                          "x.enabled",
                          "source.address.caseless"};
  std::vector<ir::Node> conditions;
  for (const char* field : fields) {
    for (const auto& set : {texts, nets}) {
      conditions.push_back(one_of(field, set));
      conditions.push_back(ir::negate(one_of(field, set)));
      std::vector<ir::Node> any;
      any.push_back(one_of(field, set));
      any.push_back(kuery("x.y: z"));
      conditions.push_back(ir::any_of(std::move(any)));
    }
  }
  Engines engines(rule_set_of(std::move(conditions)));
  const std::string values[] = {"\"svc\"",
                                "\"SVC\"",
                                "7",
                                "\"7\"",
                                "7.0",
                                "true",
                                "\"true\"",
                                "\"a b\"",
                                "\"x A B c y\"",
                                "\"b c\"",
                                "\"b c d\"",
                                "\"z\"",
                                "\"10.1.2.3\"",
                                "\"192.0.2.4\"",
                                "\"192.0.2.5\"",
                                "\"192.0.2.9\"",
                                "\"192.0.2.10\"",
                                "\"2001:DB8::1\"",
                                "\"2001:db9::1\"",
                                "\"2024-01-01T00:00:00Z\"",
                                "\"2024-01-01T00:00:00.001Z\"",
                                "\"2023-12-31T12:34:56.789Z\"",
                                "[\"q\",\"svc\"]",
                                "null",
                                "{\"deep\":1}"};
  const char* leaves[] = {"user.name",    "message",   "process.pid",    "x.y",      "@timestamp",
                          "process.name", "source.ip", "source.address", "x.enabled"};
  for (const char* leaf : leaves) {
    for (const auto& value : values) {
      const std::string event = std::string("{\"") + leaf + "\":" + value + "}";
      EXPECT_EQ(engines.difference(event), "") << event;
    }
  }
  EXPECT_GT(engines.hits(), 1000u);
}

// 60,000 ranges, dates and phrases against 2,000 events: one by one that would be hundreds of millions of tests.
TEST(SharedSets, ManyValuesAreNotTriedOneByOne) {
  std::vector<std::string> spans;
  std::vector<std::string> dates;
  std::vector<std::string> phrases;
  for (int i = 0; i < 60'000; ++i) {
    const std::string low = "2001:db8:" + std::to_string(i % 10'000) + ":" + std::to_string(i / 10'000) + "::";
    spans.push_back(low + "10-" + low + "20");
    dates.push_back(std::to_string(1000 + i / 20) + "-01-" + (i % 20 < 9 ? "0" : "") + std::to_string(i % 20 + 1));
    phrases.push_back("the same words begin " + std::to_string(i) + " them");
  }
  std::vector<ir::Node> conditions;
  conditions.push_back(one_of("source.ip", addresses_of(spans, "s")));
  conditions.push_back(one_of("@timestamp", texts_of(dates, "d")));
  conditions.push_back(one_of("message", texts_of(phrases, "p")));
  Engines engines(rule_set_of(std::move(conditions)));
  const auto event = [](const std::string& ip, const std::string& date, const std::string& message) {
    return "{\"source.ip\":\"" + ip + "\",\"@timestamp\":\"" + date + "\",\"message\":\"" + message + "\"}";
  };
  const std::string in = event("2001:db8:77:5::11", "3999-01-20T00:00:00Z", "see the same words begin 59999 them all");
  const std::string out = event("2001:db8:77:5::21", "3999-01-21T00:00:00Z", "see the same words begin 60000 them all");
  const double begin = cpu_seconds();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(engines.match(in), (Hits{0, 1, 2}));
    ASSERT_EQ(engines.match(out), Hits{});
  }
  EXPECT_LT(cpu_seconds() - begin, 0.5 * kSanitizerFactor);
}

TEST(SharedSets, RulesThatNameOneShareItsPredicateAndItsTable) {
  const auto set = texts_of(std::vector<std::string>(1, "svc"), "same");
  const auto equal_set = texts_of({"svc"}, "same");
  std::vector<ir::Node> conditions;
  for (int i = 0; i < 10; ++i) {
    std::vector<ir::Node> any;
    any.push_back(one_of("user.name", i % 2 == 0 ? set : equal_set));
    any.push_back(kuery("user.name: u" + std::to_string(i)));
    conditions.push_back(ir::any_of(std::move(any)));
  }
  EXPECT_EQ(rule_set_of(std::move(conditions))->stats().predicates, 11u);
}

}  // namespace
}  // namespace fb::test
