// What the tests of this component share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/compile/rules.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"

namespace fb::test {

// A rule that is right; `more` is put at its end, lines that begin with one of its keys replace it.
inline std::string rule_text(const std::string& more = "", const std::string& query = "query: 'a:b'\n") {
  const std::string lines =
      "rule_id: r-1\n"
      "name: A rule\n"
      "description: For tests\n"
      "type: query\n"
      "severity: low\n"
      "risk_score: 10\n" +
      query;
  std::string kept;
  size_t at = 0;
  while (at < lines.size()) {
    const size_t end = lines.find('\n', at) + 1;
    const std::string line = lines.substr(at, end - at);
    const std::string key = line.substr(0, line.find(':') + 1);
    const bool replaced = key.size() > 1 && key[0] != ' ' && ("\n" + more).find("\n" + key) != std::string::npos;
    if (!replaced) kept += line;
    at = end;
  }
  return kept + more;
}

inline std::string all_problems(const LoadedRules& loaded) {
  std::string out;
  for (const Diagnostic& d : loaded.file_diagnostics) out += render(d);
  for (const LoadedRule& rule : loaded.rules) {
    for (const Diagnostic& d : rule.diagnostics) out += render(d);
  }
  return out;
}

inline std::vector<Diagnostic> diagnostics(const LoadedRules& loaded) {
  std::vector<Diagnostic> out = loaded.file_diagnostics;
  for (const LoadedRule& rule : loaded.rules) out.insert(out.end(), rule.diagnostics.begin(), rule.diagnostics.end());
  return out;
}

// "code@line:column", in order.
inline std::vector<std::string> codes(const LoadedRules& loaded, bool with_place = false) {
  std::vector<std::string> out;
  for (const Diagnostic& d : diagnostics(loaded)) {
    out.push_back(with_place ? d.code + "@" + std::to_string(d.line) + ":" + std::to_string(d.column) : d.code);
  }
  return out;
}

inline std::vector<std::string> codes_of(const std::string& text, const std::string& file = "r.yml") {
  return codes(load_rule_text(text, file));
}
inline std::vector<std::string> places_of(const std::string& text, const std::string& file = "r.yml") {
  return codes(load_rule_text(text, file), true);
}

using Strings = std::vector<std::string>;

// Does the first rule of the text hold for the event, by the oracle?
inline bool holds(const LoadedRules& loaded, const std::string& event) {
  EXPECT_TRUE(!loaded.rules.empty() && loaded.rules.front().ok) << all_problems(loaded);
  if (loaded.rules.empty() || !loaded.rules.front().ok) return false;
  const Result<JsonNode> tree = parse_json_tree(event);
  EXPECT_TRUE(tree.has_value()) << event;
  return tree && ir::matches(loaded.rules.front().input.condition, *tree, {});
}
inline bool holds(const std::string& rule, const std::string& event) {
  return holds(load_rule_text(rule, "r.yml"), event);
}

// A folder that is gone after the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "fb-compile-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }

 private:
  std::string path_;
};

inline std::string source_dir() {
  const char* dir = std::getenv("FB_SOURCE_DIR");
  EXPECT_NE(dir, nullptr) << "run by ctest, or set FB_SOURCE_DIR";
  return dir == nullptr ? std::string(".") : std::string(dir);
}

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace fb::test
