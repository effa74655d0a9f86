#include "engine/ir/ir.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace fb::ir {
namespace {

Node named(std::string field, Op op, std::string literal) {
  ir::Test t;
  t.field.name = std::move(field);
  t.op = op;
  t.literal = std::move(literal);
  return test(std::move(t));
}

TEST(Ir, PrintsEachOperator) {
  const std::pair<Op, const char*> cases[] = {
      {Op::exists, "(exists a.b)"},          {Op::equal, "(eq a.b \"x\")"},      {Op::phrase, "(phrase a.b \"x\")"},
      {Op::less, "(lt a.b \"x\")"},          {Op::less_equal, "(le a.b \"x\")"}, {Op::greater, "(gt a.b \"x\")"},
      {Op::greater_equal, "(ge a.b \"x\")"},
  };
  for (const auto& [op, text] : cases) EXPECT_EQ(print(named("a.b", op, "x")), text);
}

TEST(Ir, PrintsGroupsNegationAndNesting) {
  const Node tree = any_of({all_of({named("a", Op::equal, "1"), negate(named("b", Op::exists, ""))}),
                            nested("p.q", named("p.q.c", Op::equal, "2")), always(), never()});
  EXPECT_EQ(print(tree), "(or (and (eq a \"1\") (not (exists b))) (nested p.q (eq p.q.c \"2\")) always never)");
}

TEST(Ir, GroupsOfOneAreThatOneAndEmptyGroupsAreConstants) {
  EXPECT_EQ(print(all_of({named("a", Op::exists, "")})), "(exists a)");
  EXPECT_EQ(print(any_of({named("a", Op::exists, "")})), "(exists a)");
  EXPECT_EQ(print(all_of({})), "always");
  EXPECT_EQ(print(any_of({})), "never");
}

TEST(Ir, DifferentTreesPrintDifferently) {
  std::vector<std::string> texts = {
      print(named("a", Op::equal, "x\" \"y")), print(named("a", Op::equal, "x\\\" \\\"y")),
      print(named("a b", Op::equal, "x")),     print(named("a", Op::equal, "b x")),
      print(named("", Op::equal, "x")),        print(named("a", Op::equal, "\n")),
      print(named("a", Op::equal, "\\n")),     print(named("(any)", Op::equal, "x")),
      print(named("a", Op::equal, "\x01")),    print(named("a", Op::equal, "\\x01")),
  };
  ir::Test any;
  any.field.scope = FieldRef::Scope::any;
  any.op = Op::equal;
  any.literal = "x";
  texts.push_back(print(test(any)));
  ir::Test pattern = any;
  pattern.field.scope = FieldRef::Scope::pattern;
  pattern.field.glob = {{GlobPart::Kind::any_run, ""}};
  texts.push_back(print(test(pattern)));
  pattern.field.glob = {{GlobPart::Kind::literal, "*"}};
  texts.push_back(print(test(pattern)));
  for (size_t i = 0; i < texts.size(); ++i) {
    for (size_t j = i + 1; j < texts.size(); ++j) EXPECT_NE(texts[i], texts[j]);
  }
}

TEST(Ir, PrintsPatternsSoThatPlainStarsDiffer) {
  const Glob glob = {{GlobPart::Kind::literal, "a*b?\\\""},
                     {GlobPart::Kind::any_run, ""},
                     {GlobPart::Kind::any_one, ""},
                     {GlobPart::Kind::literal, "\n"}};
  EXPECT_EQ(print(glob), R"("a\*b\?\\\"*?\n")");
}

}  // namespace
}  // namespace fb::ir
