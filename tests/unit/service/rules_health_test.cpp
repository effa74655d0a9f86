#include "apps/firebreak/rules_health.h"

#include <gtest/gtest.h>

#include "tests/support/fake_lists.h"

namespace fb::cli {
namespace {

using Of = ReloadReport::Of;

ReloadReport report(Of of, bool swapped, std::string problem = "") {
  ReloadReport r;
  r.of = of;
  r.swapped = swapped;
  r.problem = std::move(problem);
  return r;
}

TEST(RulesHealth, ARefusedFileIsToldUntilTheFilesAreTaken) {
  RulesHealth health;
  EXPECT_EQ(health.problems("", ""), "");
  health.took(report(Of::files, false, "a.yml:3:1: no query"));
  health.took(report(Of::more, true));
  health.took(report(Of::lists, true));
  EXPECT_EQ(health.problems("", ""), "the old set runs; the changed one was refused: a.yml:3:1: no query");
  health.took(report(Of::files, true));
  EXPECT_EQ(health.problems("", ""), "");
}

TEST(RulesHealth, RulesLeftOutAreToldUntilTheyRunOrAreGone) {
  RulesHealth health;
  health.left_out({"rule_id \"x\": no such language", "rule_id \"y\": too large"});
  health.took(report(Of::files, true));
  const std::string told = health.problems("the rule 'z' names it", "a value list is gone");
  EXPECT_NE(told.find("2, rule_id \"x\": no such language; "), std::string::npos) << told;
  EXPECT_TRUE(told.ends_with("the rule 'z' names it; a value list is gone")) << told;
  // The API changed another rule: what is still broken is known by the report.
  ReloadReport one = report(Of::more, true);
  LoadedRule broken;
  broken.rule_id = "y";
  broken.ok = false;
  Diagnostic d;
  d.message = "too large";
  broken.diagnostics.push_back(d);
  one.loaded.rules.push_back(broken);
  health.took(one);
  EXPECT_NE(health.problems("", "").find("1, rule_id \"y\": too large"), std::string::npos) << health.problems("", "");
  health.took(report(Of::more, true));
  EXPECT_EQ(health.problems("", ""), "");
}

// The reports of a real book say what they are about.
TEST(RulesHealth, TheBookSaysWhatItsReportsAreAbout) {
  RuleBookOptions options;
  options.allow_empty = true;
  RuleBook book(options);
  EXPECT_EQ(book.reload().of, Of::files);
  EXPECT_EQ(book.lists_changed().of, Of::lists);
  const ReloadReport more = book.set_more({{"k", "{\"rule_id\":\"b\"}"}}, RuleBook::Try::swap, true);
  EXPECT_EQ(more.of, Of::more);
  RulesHealth health;
  health.took(more);
  EXPECT_NE(health.problems("", "").find("rule_id \"b\""), std::string::npos) << health.problems("", "");
}

// It is told for as long as it waits, whatever is changed and whoever finds that it can go on.
TEST(RulesHealth, ARuleThatWaitsForItsExceptionsIsToldUntilItRuns) {
  test::FakeLists lists;
  lists.excepts("mine", "svc");
  lists.fails("mine");
  RuleBookOptions options;
  options.allow_empty = true;
  options.lists = lists.reader();
  RuleBook book(options);
  RulesHealth health;
  const auto told = [&] { return health.problems(book.lists_problem(), book.lists_warning()); };
  health.took(book.set_more(
      {{"k",
        R"({"rule_id":"a","name":"n","description":"d","type":"query","language":"kuery","severity":"low","risk_score":21,)"
        R"("query":"event.code: 1","exceptions_list":[{"list_id":"mine","type":"detection","namespace_type":"single"}]})"}},
      RuleBook::Try::swap, true));
  EXPECT_EQ(book.current()->rules().size(), 0u);
  EXPECT_NE(told().find("does not run until"), std::string::npos) << told();
  EXPECT_NE(told().find("'a'"), std::string::npos) << told();
  EXPECT_EQ(told().find("any more"), std::string::npos) << "it is told once: " << told();
  health.took(book.reload());
  EXPECT_NE(told(), "");
  lists.recovers("mine");
  health.took(book.lists_changed());
  EXPECT_EQ(book.current()->rules().size(), 1u);
  EXPECT_EQ(told(), "");
}

}  // namespace
}  // namespace fb::cli
