// The loader over thousands of foreign rules: nothing crashes, all kuery parses, every file yields rules or a reason.
#include <map>

#include "tests/support/cpu_time.h"
#include "tests/unit/compile/support.h"

namespace fb {
namespace {

using namespace test;

std::string corpus(const std::string& name) {
  const char* shared = std::getenv("FB_SHARED");
  return (shared != nullptr ? std::string(shared) : source_dir() + "/../shared") + "/corpus/" + name;
}

struct Load {
  LoadedRules rules;
  double seconds = 0;
  std::map<std::string, size_t> errors;
  std::map<std::string, size_t> ok_by_type;
};

Load load(const std::string& name) {
  Load out;
  const double start = cpu_seconds();
  Result<LoadedRules> rules = load_rules({corpus(name)});
  out.seconds = cpu_seconds() - start;
  EXPECT_TRUE(rules) << rules.error().describe();
  if (rules) out.rules = std::move(*rules);
  for (const Diagnostic& d : diagnostics(out.rules)) {
    if (d.level == Diagnostic::Level::error) ++out.errors[d.code];
  }
  for (const LoadedRule& rule : out.rules.rules) {
    if (rule.ok) ++out.ok_by_type[rule.type];
    const bool reason = std::any_of(rule.diagnostics.begin(), rule.diagnostics.end(),
                                    [](const Diagnostic& d) { return d.level == Diagnostic::Level::error; });
    EXPECT_NE(rule.ok, reason) << rule.file;
    EXPECT_FALSE(rule.rule_id.empty()) << rule.file;
  }
  return out;
}

TEST(Corpus, ElasticRulesLoadOrSayWhy) {
  const Load found = load("elastic");
  EXPECT_EQ(found.rules.files, found.rules.rules.size());
  EXPECT_GT(found.rules.files, 500u);
  EXPECT_TRUE(found.rules.file_diagnostics.empty()) << all_problems(found.rules).substr(0, 2000);
  // Nothing but what is not built yet stands in the way; above all no kuery query fails to parse.
  for (const auto& [code, count] : found.errors) {
    EXPECT_TRUE(code == "unsupported-type" || code == "unsupported-language") << code << " " << count;
  }
  size_t query_rules = 0;
  for (const LoadedRule& rule : found.rules.rules) {
    if (rule.type != "query" || rule.language != "kuery") continue;
    ++query_rules;
    EXPECT_TRUE(rule.ok) << rule.file;
  }
  EXPECT_GT(query_rules, 100u);
  EXPECT_LT(found.seconds, 10);
}

TEST(Corpus, SigmaRulesAreRecognised) {
  const Load found = load("sigma");
  EXPECT_GT(found.rules.files, 1000u);
  for (const LoadedRule& rule : found.rules.rules) {
    EXPECT_EQ(rule.language, "sigma") << rule.file;
    EXPECT_FALSE(rule.name.empty()) << rule.file;
  }
  for (const auto& [code, count] : found.errors) {
    EXPECT_EQ(code, "unsupported-language") << count << "\n" << all_problems(found.rules).substr(0, 2000);
  }
  EXPECT_LT(found.seconds, 10);
}

}  // namespace
}  // namespace fb
