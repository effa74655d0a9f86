#include "apps/firebreak/rules_health.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace fb::cli
