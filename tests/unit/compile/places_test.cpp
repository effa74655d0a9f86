// An error in a query points at the very character in the file, however the query is written.
#include "engine/compile/file_node.h"
#include "tests/unit/compile/support.h"

namespace fb {
namespace {

using namespace test;

// The places of the query's errors when `query` stands in the rule's lines 7 and on.
Strings at(const std::string& query) {
  Strings out = places_of(rule_text("", query));
  return out;
}

TEST(Places, PlainScalar) {
  EXPECT_EQ(at("query: a:b and )\n"), Strings{"syntax@7:16"});
  EXPECT_EQ(at("query: a:b or\n  c:d and\n  e:f )\n"), Strings{"syntax@9:7"});
}

TEST(Places, SingleQuoted) {
  EXPECT_EQ(at("query: 'process.name:'\n"), Strings{"syntax@7:22"});
  EXPECT_EQ(at("query: 'a:it''s and )'\n"), Strings{"syntax@7:21"});
  EXPECT_EQ(at("query: 'a:b\n\n   and )'\n"), Strings{"syntax@9:8"});
}

TEST(Places, DoubleQuotedWithEscapes) {
  EXPECT_EQ(at("query: \"a:\\\"x\\\" and )\"\n"), Strings{"syntax@7:21"});
  EXPECT_EQ(at("query: \"a:\\u00fc\\x41 and )\"\n"), Strings{"syntax@7:26"});
  EXPECT_EQ(at("query: \"a:b \\\n   and )\"\n"), Strings{"syntax@8:8"});
  EXPECT_EQ(at("query: \"a:b\\n and )\"\n"), Strings{"syntax@7:19"});
}

TEST(Places, ColumnsAreCodePoints) {
  EXPECT_EQ(at("query: 'n\xC3\xA4me:\xE2\x82\xAC and )'\n"), Strings{"syntax@7:20"});
}

TEST(Places, LiteralBlock) {
  EXPECT_EQ(at("query: |\n  a:b\n    and c:d\n  and )\n"), Strings{"syntax@10:7"});
  EXPECT_EQ(at("query: |-  # a note\n      a:b\n      and )\n"), Strings{"syntax@9:11"});
  EXPECT_EQ(at("query: |2\n  a:b and )\n"), Strings{"syntax@8:11"});
  EXPECT_EQ(at("query: |\r\n  a:b\r\n  and )\r\n"), Strings{"syntax@9:7"});
}

TEST(Places, FoldedBlock) {
  EXPECT_EQ(at("query: >\n  a:b\n  and c:d\n\n  and )\n"), Strings{"syntax@11:7"});
  EXPECT_EQ(at("query: >-\n  a:b\n  and )\n"), Strings{"syntax@9:7"});
}

TEST(Places, TheEndOfABlockIsTheEndOfItsLastWord) {
  EXPECT_EQ(at("query: |\n  process.name:\n\ntags: [x]\n"), Strings{"syntax@8:16"});
}

TEST(Places, RulesInAList) {
  EXPECT_EQ(places_of("- rule_id: r\n  name: n\n  description: d\n  type: query\n  severity: low\n  risk_score: 1\n"
                      "  query: 'a:b )'\n"),
            Strings{"syntax@7:15"});
}

std::string toml(const std::string& query) {
  return "[metadata]\nmaturity = \"production\"\n[rule]\nrule_id = \"r\"\nname = \"n\"\ndescription = \"d\"\n"
         "type = \"query\"\nlanguage = \"kuery\"\nseverity = \"low\"\nrisk_score = 1\n" +
         query;
}

TEST(Places, Toml) {
  EXPECT_EQ(places_of(toml("query = \"a:b and )\"\n"), "r.toml"), Strings{"syntax@11:18"});
  EXPECT_EQ(places_of(toml("query = \"a:\\\"x\\\" and )\"\n"), "r.toml"), Strings{"syntax@11:22"});
  EXPECT_EQ(places_of(toml("query = 'a:b and )'\n"), "r.toml"), Strings{"syntax@11:18"});
  EXPECT_EQ(places_of(toml("query = '''\na:b\n  and )\n'''\n"), "r.toml"), Strings{"syntax@13:7"});
  EXPECT_EQ(places_of(toml("query = \"\"\"\na:\\u00fc\n  and )\n\"\"\"\n"), "r.toml"), Strings{"syntax@13:7"});
  EXPECT_EQ(places_of(toml("query = \"\"\"a:b \\\n     and )\"\"\"\n"), "r.toml"), Strings{"syntax@12:10"});
}

TEST(Places, Json) {
  const std::string start =
      R"({"rule_id":"r","name":"n","description":"d","type":"query","severity":"low","risk_score":1,)";
  const std::string column = std::to_string(start.size() + 18);
  EXPECT_EQ(places_of(start + R"j("query":"a:b and )"})j", "r.ndjson"), Strings{"syntax@1:" + column});
  EXPECT_EQ(places_of("\n" + start + R"j("query":"a:\"\u00fc\ud83d\ude00\" and )"})j", "r.ndjson"),
            Strings{"syntax@2:" + std::to_string(start.size() + 18 + 21)});
}

TEST(Places, OtherDiagnosticsPointAtTheirValueOrKey) {
  EXPECT_EQ(places_of(rule_text("severity: hihg\n")), Strings{"bad-value@7:11"});
  EXPECT_EQ(places_of(rule_text("severty: high\n")), Strings{"unknown-key@8:1"});
  EXPECT_EQ(
      places_of(rule_text("response_actions:\n  - action_type_id: .endpoint\n    params: {command: kill-process}\n")),
      Strings{"unsupported-action@10:23"});
}

TEST(Places, ThePictureShowsTheLineAndTheCaret) {
  const LoadedRules loaded = load_rule_text(rule_text("", "query: 'process.name:'\n"), "rules/a.yml");
  const std::string picture = all_problems(loaded);
  EXPECT_NE(picture.find("error[syntax]"), std::string::npos) << picture;
  EXPECT_NE(picture.find("rules/a.yml:7:22"), std::string::npos) << picture;
  EXPECT_NE(picture.find("7 | query: 'process.name:'"), std::string::npos) << picture;
  // The caret stands below the closing quote.
  const size_t line = picture.find("query: 'process.name:'");
  const size_t line_start = picture.rfind('\n', line) + 1;
  const size_t caret = picture.find('^');
  const size_t caret_start = picture.rfind('\n', caret) + 1;
  EXPECT_EQ(caret - caret_start, line - line_start + 21) << picture;
}

TEST(Places, AWarningIsCalledOne) {
  const LoadedRules loaded = load_rule_text(rule_text("max_signals: 5\n"), "a.yml");
  EXPECT_EQ(all_problems(loaded).rfind("warning[not-applied]", 0), 0u) << all_problems(loaded);
  EXPECT_TRUE(loaded.ok());
}

TEST(Places, ALongLineIsCutAroundTheCaret) {
  std::string query = "a:b";
  for (int i = 0; i < 2000; ++i) query += " and a:b";
  const LoadedRules loaded = load_rule_text(rule_text("", "query: '" + query + " and )'\n"), "a.yml");
  ASSERT_EQ(codes(loaded), Strings{"syntax"});
  const Diagnostic& d = loaded.rules[0].diagnostics[0];
  EXPECT_EQ(d.column, 8 + query.size() + 6);
  EXPECT_LE(d.excerpt.size(), 200u);
  ASSERT_LE(d.excerpt_column, d.excerpt.size());
  EXPECT_EQ(d.excerpt[d.excerpt_column - 1], ')');
}

TEST(Places, TerminalCodesInAFileAreNotPrinted) {
  const LoadedRules loaded = load_rule_text(rule_text("name: \"a\\x1b[2J\"\nseverity: \x1b[2Jx\n"), "a\x1b.yml");
  EXPECT_FALSE(loaded.ok());
  EXPECT_EQ(all_problems(loaded).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace fb
