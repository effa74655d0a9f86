// Promise 7: with the index, without it, and the oracle give the same answer, on generated rules and events.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "agree.h"
#include "engine/lang/kuery/kuery.h"
#include "generate.h"

namespace fb::test {
namespace {

// "" when the pair is fine (or its query does not parse).
std::string judge_pair(const Pair& pair) {
  auto parsed = lang::parse_kuery(print(pair.query));
  if (!parsed) return {};
  std::vector<ir::Node> conditions;
  conditions.push_back(std::move(*parsed));
  Engines engines(rule_set_of(std::move(conditions)));
  return engines.difference(print(pair.event));
}

void run_trials(uint64_t seed, size_t rounds) {
  Random random(seed);
  constexpr size_t kEvents = 20;
  size_t parsed_count = 0;
  size_t pairs = 0;
  size_t hits = 0;
  size_t accepted = 0;
  for (size_t round = 0; round < rounds; ++round) {
    std::vector<Query> queries;
    std::vector<ir::Node> conditions;
    // Now and then a large set: values are searched for parts and words only when enough rules gain by it.
    const size_t rules = round % 10 == 9 ? 400 : 20;
    pairs += rules * kEvents;
    while (queries.size() < rules) {
      Query query = random_query(random, 1 + static_cast<int>(random() % 4));
      auto parsed = lang::parse_kuery(print(query));
      ASSERT_TRUE(parsed) << print(query) << "\n" << parsed.error().message;
      ++parsed_count;
      conditions.push_back(std::move(*parsed));
      queries.push_back(std::move(query));
    }
    Engines engines(rule_set_of(std::move(conditions)));
    for (size_t e = 0; e < kEvents; ++e) {
      const Json event = random_event(random);
      const std::string difference = engines.difference(print(event));
      if (difference.empty()) continue;
      for (const auto& query : queries) {
        const Pair pair{query, event};
        if (judge_pair(pair).empty()) continue;
        const Pair least = shrink(pair, [](const Pair& p) { return !judge_pair(p).empty(); });
        FAIL() << "seed " << seed << ", round " << round << "\n  query: " << print(least.query)
               << "\n  event: " << print(least.event) << "\n"
               << judge_pair(least);
      }
      FAIL() << "seed " << seed << ", round " << round << ": only all rules together differ\n" << difference;
    }
    hits += engines.hits();
    accepted += kEvents - engines.refused();
  }
  // A trial in which nothing matches, or everything is refused, proves nothing.
  EXPECT_GT(hits, pairs / 20);
  EXPECT_LT(hits, pairs * 19 / 20);
  EXPECT_GT(accepted, rounds * kEvents * 9 / 10);
  std::cout << "seed " << seed << ": " << parsed_count << " rules, " << accepted << " events, " << hits << " hits\n";
}

TEST(MatchProperty, AgreesWithTheOracleOnAFixedSeed) {
  run_trials(20261121, 300);
}

TEST(MatchProperty, AgreesWithTheOracleOnTheSeedOfTheEnvironment) {
  const char* text = std::getenv("FB_SEED");
  const char* rounds = std::getenv("FB_ROUNDS");
  run_trials(text == nullptr ? 7 : std::strtoull(text, nullptr, 10),
             rounds == nullptr ? 60 : std::strtoull(rounds, nullptr, 10));
}

TEST(MatchProperty, TheShrinkerFindsTheSmallestFailingPair) {
  Random random(5);
  // A made-up fault: any query with a range over an event that has "x".
  const auto fails = [](const Pair& pair) {
    return print(pair.query).find(" < ") != std::string::npos && print(pair.event).find("\"x\":") != std::string::npos;
  };
  size_t found = 0;
  for (int i = 0; i < 3000 && found < 5; ++i) {
    const Pair pair{random_query(random, 4), random_event(random)};
    if (!fails(pair)) continue;
    ++found;
    const Pair least = shrink(pair, fails);
    EXPECT_EQ(least.query.kind, Query::Kind::range) << print(least.query);
    EXPECT_LE(print(least.event).size(), std::string("{\"x\":\"a\"}").size() + 2) << print(least.event);
  }
  EXPECT_EQ(found, 5u);
}

// Every tree up to depth 3 over six tests of two fields, on every event over three values.
TEST(MatchProperty, AgreesOnEverySmallTree) {
  const auto test = [](const char* field, ir::Op op, const char* literal) {
    ir::Test t;
    t.field.name = field;
    t.op = op;
    if (op == ir::Op::glob) {
      t.glob = {{ir::GlobPart::Kind::literal, literal}, {ir::GlobPart::Kind::any_run, {}}};
    } else {
      t.literal = literal;
    }
    return ir::test(t);
  };
  std::vector<ir::Node> level1 = {
      test("x", ir::Op::equal, "one"),
      test("x", ir::Op::equal, "2"),
      test("x", ir::Op::exists, ""),
      test("process.name", ir::Op::equal, "one"),
      test("process.name", ir::Op::glob, "on"),
      test("process.name", ir::Op::equal, "2"),
  };
  const auto grow = [](const std::vector<ir::Node>& from) {
    std::vector<ir::Node> out = from;
    for (const auto& a : from) {
      out.push_back(ir::negate(a));
      for (const auto& b : from) {
        out.push_back(ir::all_of({a, b}));
        out.push_back(ir::any_of({a, b}));
      }
    }
    return out;
  };
  const std::vector<ir::Node> all = grow(grow(level1));
  ASSERT_EQ(all.size(), 84u + 84u + 2u * 84u * 84u);
  const std::vector<const char*> values = {"", "null", "\"one\"", "2", "\"three\"", "[\"one\",\"2\"]"};
  Engines engines(rule_set_of(all));
  for (const char* first : values) {
    for (const char* second : values) {
      std::string event = "{";
      if (*first != 0) event += std::string("\"x\":") + first;
      if (*second != 0) event += std::string(event.size() > 1 ? "," : "") + "\"process\":{\"name\":" + second + "}";
      ASSERT_EQ(engines.difference(event + "}"), "");
    }
  }
  EXPECT_GT(engines.hits(), 100'000u);
}

}  // namespace
}  // namespace fb::test
