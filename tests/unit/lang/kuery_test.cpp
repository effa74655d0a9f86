#include "engine/lang/kuery/kuery.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "engine/lang/query_error.h"

namespace fb::lang {
namespace {

std::string repeated(std::string_view part, size_t count) {
  std::string out;
  out.reserve(part.size() * count);
  for (size_t i = 0; i < count; ++i) out += part;
  return out;
}

std::string code_of(const std::string& query, const RuleLimits& limits = {}) {
  const auto parsed = parse_kuery(query, limits);
  return parsed ? "ok" : parsed.error().code;
}

TEST(Kuery, RefusesAQueryOverItsByteLimit) {
  RuleLimits limits;
  limits.max_query_bytes = 10;
  EXPECT_EQ(code_of("a:12345678", limits), "ok");
  EXPECT_EQ(code_of("a:123456789", limits), "query-too-long");
}

TEST(Kuery, RefusesParenthesesAndBracesOverTheDepthLimit) {
  RuleLimits limits;
  limits.max_query_depth = 3;
  EXPECT_EQ(code_of("(((a)))", limits), "ok");
  EXPECT_EQ(code_of("((((a))))", limits), "query-too-deep");
  EXPECT_EQ(code_of("a:{b:{c:(x)}}", limits), "ok");
  EXPECT_EQ(code_of("a:{b:{c:((x))}}", limits), "query-too-deep");
  EXPECT_EQ(code_of("(a) and (b) and (c) and (d) and a:(e)", limits), "ok");
  EXPECT_EQ(code_of(repeated("(", 200) + "a" + repeated(")", 200)), "ok");
  EXPECT_EQ(code_of(repeated("(", 201) + "a" + repeated(")", 201)), "query-too-deep");
}

TEST(Kuery, AMillionParenthesesAreAnErrorNotACrash) {
  RuleLimits limits;
  limits.max_query_bytes = 1u << 24;
  limits.max_query_depth = 1'000'000'000;
  EXPECT_EQ(code_of(repeated("(", 1'000'000), limits), "query-too-deep");
  EXPECT_EQ(code_of(repeated("a:{", 1'000'000), limits), "query-too-deep");
  EXPECT_EQ(code_of(repeated("not (", 1'000'000), limits), "query-too-deep");
  EXPECT_EQ(code_of(repeated("a:(", 1'000'000), limits), "syntax");
}

TEST(Kuery, RefusesMoreConditionsThanItsLimit) {
  RuleLimits limits;
  limits.max_query_nodes = 4;
  EXPECT_EQ(code_of("a and b and c", limits), "ok");
  EXPECT_EQ(code_of("a and b and c and d", limits), "query-too-large");
  EXPECT_EQ(code_of("f:(a or b or c)", limits), "ok");
  EXPECT_EQ(code_of("f:(a or b or c or d)", limits), "query-too-large");
}

TEST(Kuery, RefusesAPatternOverItsLimitButNotAPlainValue) {
  RuleLimits limits;
  limits.max_pattern_bytes = 8;
  EXPECT_EQ(code_of("a:1234567*", limits), "ok");
  EXPECT_EQ(code_of("a:12345678*", limits), "pattern-too-long");
  EXPECT_EQ(code_of("a:123456789", limits), "ok");
  EXPECT_EQ(code_of("a:\"12345678*\"", limits), "ok");
  EXPECT_EQ(code_of("12345678*:a", limits), "field-name-too-long");
  EXPECT_EQ(code_of("abcd:{efgh:x}", limits), "field-name-too-long");
}

TEST(Kuery, RefusesWhatIsNotUtf8AndSaysWhere) {
  const auto parsed = parse_kuery("a:\"x\xFFy\"");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, "query-not-utf8");
  EXPECT_EQ(parsed.error().begin, 4u);
}

// Queries that would take a parser which goes back, or looks ahead again and again, more than linear time. Each is a
// megabyte; the bound is generous, quadratic time would miss it by orders of magnitude.
TEST(Kuery, TakesLinearTimeOnNastyQueries) {
  RuleLimits limits;
  limits.max_query_bytes = 1u << 22;
  limits.max_query_nodes = 1u << 22;
  const size_t size = 1u << 20;
  const std::string nasty[] = {
      repeated(" ", size),
      "a" + repeated(" ", size) + "b",
      repeated("a ", size / 2),
      repeated("a or ", size / 5) + "a",
      repeated("a or ", size / 5),
      "f:(" + repeated("a and not b or ", size / 15) + "c)",
      repeated("no", size / 2) + "t x",
      repeated("\\or", size / 3),
      repeated("*a", size / 2),
      "a:\"" + repeated("\\\"", size / 2),
      "a:\"" + repeated("\\u", size / 2),
      repeated("a:(b) or ", size / 9) + "(",
      repeated("(a:b) and ", size / 10) + "a:b",
      repeated("((a:{b:c} ", size / 10),
      "a:" + repeated("\t \xC2\xA0", size / 4) + ":",
      repeated("or and ", size / 7),
      repeated("a  or  a  ", size / 10),
  };
  for (const std::string& query : nasty) {
    const auto begin = std::chrono::steady_clock::now();
    const std::string code = code_of(query, limits);
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(std::chrono::duration_cast<std::chrono::milliseconds>(took).count(), 20'000)
        << query.substr(0, 30) << " -> " << code;
  }
}

TEST(Kuery, SpansCoverWhatWasWritten) {
  const std::string query = "  proc:  foo bar  and not x:(a or \"b\")";
  const auto parsed = parse_kuery(query);
  ASSERT_TRUE(parsed);
  const auto text = [&](const ir::Node& node) {
    return query.substr(node.span.begin, node.span.end - node.span.begin);
  };
  ASSERT_EQ(parsed->children.size(), 2u);
  EXPECT_EQ(text(parsed->children[0]), "proc:  foo bar");
  EXPECT_EQ(text(parsed->children[1]), "not x:(a or \"b\")");
  EXPECT_EQ(text(parsed->children[1].children[0].children[1]), "\"b\"");
}

TEST(QueryError, IsDrawnWithACaretBelowItsPlace) {
  const auto parsed = parse_kuery("process.name:");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(render(parsed.error(), "rules/a.yml:7:22", "query: 'process.name:'", 22, 1),
            "error[syntax]: expected a value after ':' but the query ends\n"
            "  --> rules/a.yml:7:22\n"
            "   |\n"
            " 7 | query: 'process.name:'\n"
            "   |                      ^\n"
            "   = help: write field:* to ask whether the field has a value\n");
}

TEST(QueryError, CountsCodePointsAndShowsControlsAsOneColumn) {
  QueryError error;
  error.code = "syntax";
  error.message = "m";
  EXPECT_EQ(render(error, "query:1:3", "\xC3\xA9\x1B:x", 3, 2),
            "error[syntax]: m\n"
            "  --> query:1:3\n"
            "   |\n"
            " 1 | \xC3\xA9\xEF\xBF\xBD:x\n"
            "   |   ^^\n");
}

TEST(QueryError, ShowsTheNeighbourhoodOfALongLine) {
  QueryError error;
  error.code = "syntax";
  error.message = "m";
  const std::string line = repeated("a", 500) + "X" + repeated("b", 500);
  const std::string picture = render(error, "query:1:501", line, 501, 1);
  for (const auto& part : {"...aaa", "aXb", "bbb...\n"}) EXPECT_NE(picture.find(part), std::string::npos) << picture;
  EXPECT_LT(picture.size(), 500u);
  const size_t shown = picture.find(" 1 | ");
  const size_t caret = picture.find('^') - picture.rfind('\n', picture.find('^')) - 1;
  EXPECT_EQ(picture[shown + caret], 'X');
}

}  // namespace
}  // namespace fb::lang
