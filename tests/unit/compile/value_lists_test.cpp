// Value lists as conditions: what is in them, what nothing can be looked up in, and what many rules with one cost.
#include "engine/compile/value_lists.h"

#include <gtest/gtest.h>

#include <fstream>

#include "engine/compile/live_exceptions.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/ir/value_set.h"
#include "engine/match/rule_set.h"
#include "tests/support/cpu_time.h"
#include "tests/unit/compile/support.h"

namespace fb {
namespace {

bool holds(const std::string& field, const ValueList& list, const std::string& event) {
  const auto condition = compile::in_value_list(field, list);
  return condition && ir::matches(*condition, *parse_json_tree(event), {0, {}});
}

using compile::make_value_list;

TEST(ValueLists, ARangeStaysItsTwoEnds) {
  const auto span = [](const std::string& text) {
    const auto range = ir::parse_address_span(text);
    return range ? std::optional(std::pair(range->low, range->high)) : std::nullopt;
  };
  const auto at = [](const char* text) { return *ir::parse_address(text); };
  EXPECT_EQ(span("192.0.2.5-192.0.2.9"), std::pair(at("192.0.2.5"), at("192.0.2.9")));
  EXPECT_EQ(span("192.0.2.77/24"), std::pair(at("192.0.2.0"), at("192.0.2.255")));
  EXPECT_EQ(span("2001:db8::1-2001:db8::1"), std::pair(at("2001:db8::1"), at("2001:db8::1")));
  EXPECT_EQ(span("0.0.0.0-255.255.255.255"), std::pair(at("0.0.0.0"), at("255.255.255.255")));
  for (const char* wrong : {"192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1", "192.0.2.1-", "-", "a-b", ""}) {
    EXPECT_EQ(span(wrong), std::nullopt) << wrong;
  }
  const ValueList list = make_value_list(
      "ip_range", {"10.0.0.0/8", "192.0.2.9", "10.1.0.0/16", "192.0.2.5-192.0.2.9", "9.0.0.0-10.0.0.1", "junk"});
  ASSERT_NE(list.values, nullptr);
  EXPECT_EQ(list.values->ranges.size(), 2u) << "those that share addresses are one";
  EXPECT_TRUE(ir::in_ranges(list.values->ranges, at("9.0.0.0")));
  EXPECT_TRUE(ir::in_ranges(list.values->ranges, at("10.255.255.255")));
  EXPECT_FALSE(ir::in_ranges(list.values->ranges, at("8.255.255.255")));
  EXPECT_FALSE(ir::in_ranges(list.values->ranges, at("11.0.0.0")));
  EXPECT_FALSE(ir::in_ranges({}, at("11.0.0.0")));
}

TEST(ValueLists, AnEventIsLookedUp) {
  const ValueList ranges = make_value_list("ip_range", {"192.0.2.5-192.0.2.9", "10.0.0.0/8"});
  for (const char* ip : {"192.0.2.5", "192.0.2.6", "192.0.2.9", "10.255.0.1"}) {
    EXPECT_TRUE(holds("source.ip", ranges, std::string(R"({"source.ip":")") + ip + "\"}")) << ip;
    EXPECT_TRUE(holds("source.address", ranges, std::string(R"({"source.address":")") + ip + "\"}")) << ip;
    EXPECT_TRUE(holds("x.y", ranges, std::string(R"({"x.y":")") + ip + "\"}")) << ip;
  }
  for (const char* ip : {"192.0.2.4", "192.0.2.10", "11.0.0.1"}) {
    EXPECT_FALSE(holds("source.ip", ranges, std::string(R"({"source.ip":")") + ip + "\"}")) << ip;
  }
  EXPECT_TRUE(holds("source.address", make_value_list("ip", {"2001:db8::1"}), R"({"source.address":"2001:DB8:0::1"})"));
  EXPECT_TRUE(holds("user.name", make_value_list("keyword", {"a", "b"}), R"({"user":{"name":["x","b"]}})"));
  EXPECT_FALSE(holds("user.name", make_value_list("keyword", {"a", "b*"}), R"({"user":{"name":"bc"}})"));
  EXPECT_FALSE(holds("user.name", make_value_list("keyword", {}), R"({"user":{"name":"a"}})"));
  EXPECT_TRUE(holds("destination.port", make_value_list("long", {"443"}), R"({"destination.port":443})"));
}

TEST(ValueLists, WhatNothingCanBeLookedUpInSaysWhy) {
  const ValueList shapes = make_value_list("geo_shape", {"POINT(1 1)"});
  EXPECT_EQ(shapes.values, nullptr);
  EXPECT_NE(shapes.problem.find("geo_shape"), std::string::npos);
  EXPECT_FALSE(compile::in_value_list("x", shapes));
  const ValueList addresses = make_value_list("ip", {"192.0.2.1"});
  for (const char* field : {"process.pid", "message", "@timestamp", "process.name.text"}) {
    const auto condition = compile::in_value_list(field, addresses);
    ASSERT_FALSE(condition) << field;
    EXPECT_NE(condition.error().message.find(field), std::string::npos);
  }
  std::vector<std::string> large(compile::kMaxValueListBytes / 1024, std::string(1024, 'x'));
  EXPECT_NE(make_value_list("keyword", large).values, nullptr);
  large.emplace_back("y");
  const ValueList too_large = make_value_list("keyword", large);
  EXPECT_EQ(too_large.values, nullptr);
  EXPECT_NE(too_large.problem.find("32 MiB"), std::string::npos) << too_large.problem;
}

LiveList live_of(const std::string& op, std::shared_ptr<const ValueList> list, const std::string& id = "mine") {
  const std::string text = R"({"item_id":"i","type":"simple","entries":[{"field":"user.name","operator":")" + op +
                           R"(","type":"list","list":{"id":"names","type":"keyword"}}]})";
  ListContent content;
  content.known = true;
  content.items.push_back({"i", text, {{"names", std::move(list)}}});
  return LiveList({false, id, false}, content, {});
}

LoadedRule a_rule(const std::string& more = "") {
  LoadedRules loaded = load_rule_text(test::rule_text(more), "rule.yml", {});
  EXPECT_TRUE(loaded.ok());
  return loaded.rules.at(0);
}

TEST(ValueLists, AListThatIsEmptyMissingOrUnusableExceptsNobody) {
  const auto made = [](const std::string& type, std::vector<std::string> values) {
    return std::make_shared<const ValueList>(make_value_list(type, std::move(values)));
  };
  const LoadedRule rule = a_rule();
  const auto alerts = [&](const LiveList& live, const std::string& user) {
    const RuleInput input = with_exceptions(rule, {&live});
    return ir::matches(input.condition, *parse_json_tree(R"({"a":"b","user.name":")" + user + "\"}"), {0, {}});
  };
  for (const char* op : {"included", "excluded"}) {
    for (const auto& list : {made("keyword", {}), std::shared_ptr<const ValueList>(), made("geo_shape", {"x"})}) {
      const LiveList live = live_of(op, list);
      EXPECT_EQ(live.problem(), "");
      EXPECT_EQ(live.warning().empty(), list == nullptr || list->problem.empty()) << live.warning();
      EXPECT_TRUE(alerts(live, "anna")) << op;
    }
    const LiveList live = live_of(op, made("keyword", {"svc"}));
    EXPECT_EQ(live.warning(), "");
    EXPECT_EQ(alerts(live, "svc"), op == std::string("excluded"));
    EXPECT_EQ(alerts(live, "anna"), op == std::string("included"));
  }
  EXPECT_NE(live_of("included", made("keyword", {"a"})).digest(), live_of("included", made("keyword", {"b"})).digest());
}

size_t resident_bytes() {
  std::ifstream status("/proc/self/statm");
  size_t whole = 0;
  size_t resident = 0;
  status >> whole >> resident;
  return resident * 4096;
}

// Rules by values would be 65 million tests.
TEST(ValueLists, AThousandRulesWithOneLargeListCostOneList) {
  std::vector<std::string> names;
  for (int i = 0; i < 65'536; ++i) names.push_back("service-account-" + std::to_string(i));
  const LoadedRule pattern = a_rule();
  const size_t before = resident_bytes();
  const double begin = test::cpu_seconds();
  const auto list = std::make_shared<const ValueList>(make_value_list("keyword", std::move(names)));
  std::vector<RuleInput> inputs;
  for (int i = 0; i < 1'000; ++i) {
    LoadedRule rule = pattern;
    auto meta = std::make_shared<RuleMeta>(*rule.input.meta);
    meta->rule_id = "r-" + std::to_string(i);
    rule.input.meta = std::move(meta);
    const LiveList live = live_of(i % 2 == 0 ? "included" : "excluded", list, "list-" + std::to_string(i));
    inputs.push_back(with_exceptions(rule, {&live}));
  }
  const RuleSetPtr set = RuleSet::build(std::move(inputs));
  const double took = test::cpu_seconds() - begin;
  EXPECT_EQ(set->rules().size(), 1'000u);
  EXPECT_LE(set->stats().predicates, 3u);
  EXPECT_LT(set->stats().bytes, size_t{16} << 20);
  EXPECT_LT(took, 5.0);
  EXPECT_LT(resident_bytes() - std::min(before, resident_bytes()), size_t{64} << 20);
}

// Files have no value lists: what needs one is told, not passed over.
TEST(ValueLists, AFileCannotNameOne) {
  const std::string rule = test::rule_text(
      "exceptions_list:\n  - items:\n      - name: i\n        entries:\n"
      "          - {field: user.name, type: list, operator: included, list: {id: names, type: keyword}}\n");
  const LoadedRules loaded = load_rule_text(rule, "rule.yml", {});
  ASSERT_EQ(loaded.rules.size(), 1u);
  EXPECT_FALSE(loaded.rules[0].ok);
  ASSERT_FALSE(loaded.rules[0].diagnostics.empty());
  EXPECT_EQ(loaded.rules[0].diagnostics[0].code, "unsupported-exception");
}

}  // namespace
}  // namespace fb
