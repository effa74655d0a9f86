// Runs the readable files of tests/golden/kuery.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "engine/event/json_tree.h"
#include "engine/ir/ir.h"
#include "engine/ir/oracle.h"
#include "engine/ir/typed.h"
#include "engine/lang/kuery/kuery.h"

namespace fb {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder(const char* part) {
  const char* root = std::getenv("FB_SOURCE_DIR");
  return fs::path(root == nullptr ? "." : root) / "tests/golden/kuery" / part;
}

std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::ifstream in(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::string query_of(std::string text) {
  replace_all(text, "␣", " ");
  replace_all(text, "⏎", "\n");
  replace_all(text, "␉", "\t");
  replace_all(text, "␠", "\xC2\xA0");
  return text;
}

// What the parser makes of a query, as the files write it.
std::string outcome_of(const std::string& query) {
  const auto parsed = lang::parse_kuery(query);
  if (parsed) return "  " + ir::print(*parsed) + "\n";
  const lang::QueryError& error = parsed.error();
  const LineColumn at = locate(query, error.begin);
  std::string out = "  error " + std::to_string(at.line) + ":" + std::to_string(at.column) + " " + error.code + " " +
                    error.message + "\n";
  if (!error.help.empty()) out += "  help " + error.help + "\n";
  return out;
}

TEST(KueryGolden, EachQueryBecomesTheTreeOrTheErrorInItsFile) {
  const bool update = std::getenv("FB_UPDATE_GOLDEN") != nullptr;
  size_t queries = 0;
  for (const fs::path& file : files_of(golden_folder("syntax"))) {
    const std::vector<std::string> lines = lines_of(file);
    std::string renewed;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].rfind("> ", 0) != 0) {
        if (lines[i].rfind("  ", 0) != 0) renewed += lines[i] + "\n";
        continue;
      }
      ++queries;
      std::string expected;
      for (size_t next = i + 1; next < lines.size() && lines[next].rfind("  ", 0) == 0; ++next) {
        expected += lines[next] + "\n";
      }
      const std::string outcome = outcome_of(query_of(lines[i].substr(2)));
      renewed += lines[i] + "\n" + outcome;
      if (!update) {
        EXPECT_EQ(outcome, expected) << file.filename().string() << ":" << i + 1 << ": " << lines[i].substr(2);
      }
    }
    if (update) std::ofstream(file) << renewed;
  }
  EXPECT_GT(queries, 250u);
}

TEST(KueryGolden, EachQueryMatchesTheEventsThatItsFileSays) {
  size_t checks = 0;
  for (const fs::path& file : files_of(golden_folder("match"))) {
    const std::vector<std::string> lines = lines_of(file);
    std::optional<JsonNode> event;
    std::string event_text;
    ir::OracleContext context;
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::string where = file.filename().string() + ":" + std::to_string(i + 1);
      std::istringstream words(lines[i]);
      std::string verb;
      words >> verb;
      if (verb.empty() || verb[0] == '#') continue;
      std::string rest;
      std::getline(words >> std::ws, rest);
      if (verb == "event") {
        auto tree = parse_json_tree(rest);
        ASSERT_TRUE(tree) << where << ": " << tree.error().describe();
        event = std::move(*tree);
        event_text = rest;
      } else if (verb == "now") {
        const auto now = ir::parse_date_value(rest);
        ASSERT_TRUE(now) << where;
        context.now_ms = *now;
      } else if (verb == "rename") {
        const size_t blank = rest.find(' ');
        ASSERT_NE(blank, std::string::npos) << where;
        context.renames.emplace_back(rest.substr(0, blank), rest.substr(blank + 1));
      } else {
        ASSERT_TRUE(verb == "yes" || verb == "no") << where << ": " << verb;
        ASSERT_TRUE(event) << where;
        const std::string query = query_of(rest);
        const auto parsed = lang::parse_kuery(query);
        ASSERT_TRUE(parsed) << where << ": " << query << ": " << parsed.error().message;
        EXPECT_EQ(ir::matches(*parsed, *event, context), verb == "yes")
            << where << ": " << query << "\n  " << ir::print(*parsed) << "\n  " << event_text;
        ++checks;
      }
    }
  }
  EXPECT_GT(checks, 300u);
}

}  // namespace
}  // namespace fb
