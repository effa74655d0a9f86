// Value lists as conditions: which texts stand for which addresses, and what nothing can be looked up in.
#include "engine/compile/value_lists.h"

#include <gtest/gtest.h>

#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "tests/unit/compile/support.h"

namespace fb {
namespace {

using List = std::vector<std::string>;

TEST(ValueLists, ARangeBecomesTheFewestNetworks) {
  using compile::networks_of;
  EXPECT_EQ(networks_of("192.0.2.0/24"), List{"192.0.2.0/24"});
  EXPECT_EQ(networks_of("192.0.2.7-192.0.2.7"), List{"192.0.2.7/32"});
  EXPECT_EQ(networks_of("192.0.2.0-192.0.2.255"), List{"192.0.2.0/24"});
  EXPECT_EQ(networks_of("192.0.2.5-192.0.2.9"), (List{"192.0.2.5/32", "192.0.2.6/31", "192.0.2.8/31"}));
  EXPECT_EQ(networks_of("0.0.0.0-255.255.255.255"), List{"0.0.0.0/0"});
  EXPECT_EQ(networks_of("255.255.255.254-255.255.255.255"), List{"255.255.255.254/31"});
  EXPECT_EQ(networks_of("0.0.0.1-255.255.255.254").size(), 62u);
  EXPECT_EQ(networks_of("2001:db8::-2001:db8::3"), List{"2001:0db8:0000:0000:0000:0000:0000:0000/126"});
  for (const char* wrong : {"192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1", "192.0.2.1-", "-", "a-b"}) {
    EXPECT_EQ(networks_of(wrong), List{}) << wrong;
  }
}

TEST(ValueLists, AnEventIsLookedUp) {
  const auto holds = [](const std::string& field, const ValueList& list, const std::string& event) {
    const auto condition = compile::in_value_list(field, list);
    return condition && ir::matches(*condition, *parse_json_tree(event), {0, {}});
  };
  const ValueList ranges{"ip_range", {"192.0.2.5-192.0.2.9", "10.0.0.0/8"}};
  for (const char* ip : {"192.0.2.5", "192.0.2.6", "192.0.2.9", "10.255.0.1"}) {
    EXPECT_TRUE(holds("source.ip", ranges, std::string(R"({"source.ip":")") + ip + "\"}")) << ip;
  }
  for (const char* ip : {"192.0.2.4", "192.0.2.10", "11.0.0.1"}) {
    EXPECT_FALSE(holds("source.ip", ranges, std::string(R"({"source.ip":")") + ip + "\"}")) << ip;
  }
  EXPECT_TRUE(holds("user.name", {"keyword", {"a", "b"}}, R"({"user":{"name":["x","b"]}})"));
  EXPECT_FALSE(holds("user.name", {"keyword", {"a", "b*"}}, R"({"user":{"name":"bc"}})")) << "no wildcards";
  EXPECT_FALSE(holds("user.name", {"keyword", {}}, R"({"user":{"name":"a"}})"));
  EXPECT_TRUE(holds("destination.port", {"long", {"443"}}, R"({"destination.port":443})"));
  EXPECT_FALSE(compile::in_value_list("x", {"geo_shape", {"POINT(1 1)"}}));
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
