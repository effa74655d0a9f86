// What the golden files of tests/golden/kuery don't reach: trees that no KQL query makes, and explanations.
#include "engine/ir/oracle.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace fb::ir {
namespace {

JsonNode event_of(const std::string& json) {
  auto tree = parse_json_tree(json);
  EXPECT_TRUE(tree) << json;
  return tree ? *tree : JsonNode{};
}

Node named(std::string field, Op op, std::string literal = "", Span span = {}) {
  ir::Test t;
  t.field.name = std::move(field);
  t.op = op;
  t.literal = std::move(literal);
  return test(std::move(t), span);
}

TEST(Oracle, ConstantsAndGroups) {
  const JsonNode event = event_of("{}");
  EXPECT_TRUE(matches(always(), event, {}));
  EXPECT_FALSE(matches(never(), event, {}));
  EXPECT_FALSE(matches(all_of({always(), never()}), event, {}));
  EXPECT_TRUE(matches(any_of({never(), always()}), event, {}));
  EXPECT_TRUE(matches(negate(never()), event, {}));
  EXPECT_FALSE(matches(nested("a", always()), event, {}));
}

TEST(Oracle, OneCodePointWildcards) {
  ir::Test t;
  t.field.name = "user.name";
  t.op = Op::glob;
  t.glob = {{GlobPart::Kind::literal, "Zo"}, {GlobPart::Kind::any_one, ""}};
  EXPECT_TRUE(matches(test(t), event_of(R"({"user":{"name":"Zoë"}})"), {}));
  EXPECT_FALSE(matches(test(t), event_of(R"({"user":{"name":"Zo"}})"), {}));
  t.field.name = "message";
  EXPECT_TRUE(matches(test(t), event_of(R"({"message":"hello ZOË"})"), {}));
  EXPECT_FALSE(matches(test(t), event_of(R"({"message":"hello ZO"})"), {}));
}

TEST(Oracle, BoundsOverAnyField) {
  ir::Test t;
  t.field.scope = FieldRef::Scope::any;
  t.op = Op::greater;
  t.literal = "5";
  EXPECT_TRUE(matches(test(t), event_of(R"({"x":6})"), {}));
  EXPECT_FALSE(matches(test(t), event_of(R"({"x":5})"), {}));
}

TEST(Oracle, DateMathUsesTheContextsClock) {
  const JsonNode event = event_of(R"({"@timestamp":"2024-01-02T00:00:00Z"})");
  const Node recent = named("@timestamp", Op::greater, "now-1h");
  OracleContext context;
  context.now_ms = 1'704'153'600'000;  // that very time
  EXPECT_TRUE(matches(recent, event, context));
  context.now_ms += 3'600'001;
  EXPECT_FALSE(matches(recent, event, context));
}

TEST(Oracle, ExplainsEachTestWithTheValuesItSaw) {
  const JsonNode event =
      event_of(R"({"process":{"name":"cmd.exe","pid":7},"tags":["a","b","c","d","e","f","g"],"n":[{"k":1},{"k":2}]})");
  const Node query =
      all_of({named("process.name", Op::equal, "cmd.exe", {0, 5}),
              negate(named("process.pid", Op::greater, "9", {6, 9})), named("tags", Op::equal, "a"),
              named("process", Op::exists), named("missing", Op::exists), nested("n", named("n.k", Op::equal, "2"))});
  const auto lines = explain(query, event, {});
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[0].test, "(eq process.name \"cmd.exe\")");
  EXPECT_TRUE(lines[0].held);
  EXPECT_EQ(lines[0].values, "\"cmd.exe\"");
  EXPECT_EQ(lines[0].span.end, 5u);
  EXPECT_FALSE(lines[1].held);
  EXPECT_EQ(lines[1].values, "7");
  EXPECT_EQ(lines[2].values, "\"a\", \"b\", \"c\", \"d\", \"e\", and 2 more");
  EXPECT_EQ(lines[3].values, "process.name = \"cmd.exe\", process.pid = 7");
  EXPECT_FALSE(lines[4].held);
  EXPECT_EQ(lines[4].values, "absent");
  EXPECT_TRUE(lines[5].held);
  EXPECT_EQ(lines[5].values, "1, 2");
}

TEST(Oracle, ExplainShortensAndCleansForeignText) {
  const std::string json = "{\"user\":{\"name\":\"\\u001b[31m" + std::string(500, 'x') + "\"}}";
  const auto lines = explain(named("user.name", Op::exists), event_of(json), {});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_LT(lines[0].values.size(), 150u);
  EXPECT_EQ(lines[0].values.find('\x1b'), std::string::npos);
  EXPECT_NE(lines[0].values.find("..."), std::string::npos);
}

}  // namespace
}  // namespace fb::ir
