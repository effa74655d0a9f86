// Every code exists, is produced, and is explained in docs/diagnostics.md.
#include <set>

#include "engine/compile/diagnostic_codes.h"
#include "tests/unit/compile/support.h"

namespace fb {
namespace {

using namespace test;
namespace fs = std::filesystem;

// What stands between `before` and `after` in the text, each time both do on one line.
std::set<std::string> found_in(const std::string& text, const std::string& before, const std::string& after) {
  std::set<std::string> out;
  for (size_t at = text.find(before); at != std::string::npos; at = text.find(before, at + 1)) {
    const size_t begin = at + before.size();
    const size_t end = text.find(after, begin);
    if (end < text.find('\n', begin)) out.insert(text.substr(begin, end - begin));
  }
  return out;
}

// Small words tied by hyphens.
bool is_kebab(const std::string& word) {
  return word.find('-') != std::string::npos && word.front() != '-' && word.back() != '-' &&
         word.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

// The same text as an entry of a YAML list.
std::string as_entry(const std::string& rule) {
  std::string out = "- ";
  for (size_t i = 0; i < rule.size(); ++i) {
    out += rule[i];
    if (rule[i] == '\n' && i + 1 < rule.size()) out += "  ";
  }
  return out;
}

std::set<std::string> own_codes() {
  return {compile::code::kAll.begin(), compile::code::kAll.end()};
}

// The codes that the query languages give, read from their sources: kebab-case words and `syntax`.
std::set<std::string> query_codes() {
  std::set<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(source_dir() + "/engine/lang")) {
    if (entry.path().extension() != ".cpp") continue;
    for (const std::string& word : found_in(read_file(entry.path().string()), "\"", "\"")) {
      if (word == "syntax" || (!word.empty() && is_kebab(word))) out.insert(word);
    }
  }
  return out;
}

TEST(Diagnostics, TheListHoldsEveryCode) {
  const std::string header = read_file(source_dir() + "/engine/compile/diagnostic_codes.h");
  EXPECT_EQ(found_in(header, " = \"", "\";"), own_codes());
  EXPECT_EQ(own_codes().size(), compile::code::kAll.size()) << "a code stands twice";
}

TEST(Diagnostics, TheDocumentListsExactlyTheCodes) {
  std::set<std::string> all = own_codes();
  const std::set<std::string> queries = query_codes();
  EXPECT_EQ(queries.count("syntax"), 1u);
  EXPECT_EQ(queries.count("query-too-deep"), 1u);
  all.insert(queries.begin(), queries.end());
  EXPECT_EQ(found_in(read_file(source_dir() + "/docs/diagnostics.md"), "\n| `", "` |"), all);
}

TEST(Diagnostics, EveryCodeIsProduced) {
  std::set<std::string> seen;
  const auto note = [&](const LoadedRules& loaded) {
    for (const Diagnostic& d : diagnostics(loaded)) {
      seen.insert(d.code);
      EXPECT_FALSE(d.message.empty());
      EXPECT_FALSE(render(d).empty());
    }
  };
  const auto text = [&](const std::string& t, const std::string& file = "r.yml") { note(load_rule_text(t, file)); };
  text(std::string("a\0b", 3));
  text("\xFF");
  text("");
  text("x: y\n");
  text("a: b: c\n");
  text("name:\n\tx: y\n");
  text("a: &x 1\n");
  text("a: !x 1\n");
  text("a: 1\n---\nb: 1\n");
  text(std::string(100, '[') + std::string(100, ']'));
  text("a: 1\na: 2\n");
  text("[a]: 1\n");
  text("{\"a\":", "r.json");
  text("a = \n", "r.toml");
  text(rule_text("nope: 1\ntags: x\nseverity: x\nthreshold: {}\n"));
  text("name: x\n");
  text(rule_text("rule_id: ../x\n"));
  text(rule_text() + "\n", "a.yml");
  text(as_entry(rule_text()) + as_entry(rule_text()));
  text(rule_text("type: threshold\nthreshold: {}\n"));
  text(rule_text("language: lucene\n"));
  text(rule_text("response_actions: [{action_type_id: .osquery, params: {}}]\n"));
  text(rule_text("filters: [{query: {script: {}}}]\n"));
  text(rule_text("exceptions_list: [{items: [{entries: [{field: x, type: list}]}]}]\n"));
  text(rule_text("", "query: '*:*'\n"));
  text(rule_text("max_signals: 3\nexceptions_list: [{list_id: l}]\n"));

  TempFolder folder;
  folder.write("good.yml", rule_text("exceptions_list: [{list_id: l}]\n"));
  folder.write("more.yml", rule_text("rule_id: r2\n"));
  folder.write("third.yml", rule_text("rule_id: r3\n"));
  folder.write("large.yml", std::string(300'000, '#'));
  fs::create_symlink("nowhere", folder.path() + "/dangling.yml");
  fs::create_symlink("/dev/null", folder.path() + "/outside.yml");
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "d/";
  folder.write(deep + "r.yml", "");
  LoadOptions options;
  options.limits.max_rules = 2;
  options.exception_files = {
      folder.write("e.txt", "{\"x\":1}\n{\"list_id\":\"l\",\"entries\":[{\"field\":\"x\",\"type\":\"list\"}]}\n")};
  note(*load_rules({folder.path()}, options));
  note(*load_rules({"/dev/null"}));
  EXPECT_EQ(seen.count("duplicate-rule-id"), 1u);

  std::set<std::string> missing;
  for (const std::string& code : own_codes()) {
    if (seen.count(code) == 0) missing.insert(code);
  }
  EXPECT_EQ(missing, std::set<std::string>{});
}

}  // namespace
}  // namespace fb
