#include "engine/event/json_tree.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fb {
namespace {

TEST(JsonTree, KeepsOrderAndRepeatedKeys) {
  const auto tree = parse_json_tree(R"({"b":1,"a":{"x":null,"x":[true,"s\n"]},"b":2})");
  ASSERT_TRUE(tree);
  ASSERT_EQ(tree->members.size(), 3U);
  EXPECT_EQ(tree->members[0].first, "b");
  EXPECT_EQ(tree->members[1].first, "a");
  EXPECT_EQ(tree->members[2].first, "b");
  EXPECT_EQ(tree->members[2].second.number.i, 2);
  const JsonNode& a = tree->members[1].second;
  ASSERT_EQ(a.members.size(), 2U);
  EXPECT_EQ(a.members[0].second.kind, JsonNode::Kind::null);
  const JsonNode& list = a.members[1].second;
  ASSERT_EQ(list.items.size(), 2U);
  EXPECT_TRUE(list.items[0].truth);
  EXPECT_EQ(list.items[1].text, "s\n");
}

TEST(JsonTree, NumbersKeepTheirSpelling) {
  const auto tree = parse_json_tree(R"({"-1":"2","n":[-0,1.0,1E+2,18446744073709551616,-1e999,1e999,7]})");
  ASSERT_TRUE(tree);
  const auto& n = tree->members[1].second.items;
  const char* const spelt[] = {"-0", "1.0", "1E+2", "18446744073709551616", "-1e999", "1e999", "7"};
  ASSERT_EQ(n.size(), std::size(spelt));
  for (size_t i = 0; i < n.size(); ++i) {
    EXPECT_EQ(n[i].text, spelt[i]);
    EXPECT_EQ(compare(n[i].number, *parse_json_number(spelt[i])), 0);
  }
  EXPECT_TRUE(std::isinf(n[4].number.d) && n[4].number.d < 0);
}

TEST(JsonTree, ErrorsNameTheOffset) {
  const auto tree = parse_json_tree(R"({"a":1,"b":tru})");
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(tree.error().context, "offset 14");
  EXPECT_TRUE(tree.error().message.starts_with("not-json: ")) << tree.error().message;
}

}  // namespace
}  // namespace fb
