// Rule files -> rules ready to run. Reads Firebreak YAML, Elastic rule TOML, NDJSON exports and (so far only to name
// them) Sigma YAML, told apart by content. Every problem is a Diagnostic with file, line and column; nothing is skipped
// silently. Pure but for reading files; thread-safe. Cost: milliseconds a hundred rules.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/base/limits.h"
#include "engine/base/result.h"
#include "engine/match/rule_set.h"
#include "engine/model/model.h"

namespace fb {

struct Diagnostic {
  enum class Level : uint8_t { error, warning };
  Level level = Level::error;
  std::string code;  // kebab-case; docs/diagnostics.md lists them all
  std::string file;
  uint32_t line = 1;  // 1-based, code points
  uint32_t column = 1;
  std::string message;
  std::string help;
  std::string excerpt;          // the line of the file, for the caret picture; may be empty
  uint32_t width = 1;           // how many columns the caret line covers
  uint32_t excerpt_column = 1;  // where the caret stands in `excerpt`, which of a long line is only a piece
};

// The compiler-style picture, several lines, ends with a newline.
std::string render(const Diagnostic& diagnostic);

// A test written inside a rule file.
struct RuleTest {
  std::string name;
  std::vector<std::string> events;  // JSON texts
  int alerts = 0;
  std::vector<std::string> isolate;  // agent.id, host.id or host.name of the hosts that must be isolated
  bool checks_isolate = false;       // the test has an `isolate` list; without one any isolation is right
  uint32_t line = 0;
};

// A list of exceptions that a rule names.
struct ListReference {
  bool agnostic = false;  // its namespace: agnostic or single
  std::string list_id;
  bool in_files = false;  // a file of the load has it

  friend bool operator<(const ListReference& a, const ListReference& b) {
    return a.agnostic != b.agnostic ? a.agnostic < b.agnostic : a.list_id < b.list_id;
  }
};

// One rule as it stands in a file, good or broken.
struct LoadedRule {
  std::string file;
  uint32_t line = 1;
  std::string rule_id;  // "" when it could not be read
  std::string name;
  std::string type;
  std::string language;
  bool ok = false;
  std::vector<Diagnostic> diagnostics;  // errors and warnings of this rule
  RuleInput input;                      // when ok; with the exceptions of files
  std::vector<ListReference> exception_lists;
  bool time_fallback = true;  // events without the field of timestamp_override go by @timestamp
  std::vector<RuleTest> tests;
};

struct LoadOptions {
  RuleLimits limits;
  std::vector<std::string> exception_files;  // NDJSON as Kibana exports it; items count for rules that name their list
  bool lists_elsewhere = false;              // a list that no file has may stand elsewhere: that is no warning here
  bool any_names = false;                    // ids and names may be any text; files are held to more
};

struct LoadedRules {
  std::vector<LoadedRule> rules;
  std::vector<Diagnostic> file_diagnostics;  // problems of a file as a whole: unreadable, too large, not a rule file
  uint32_t files = 0;

  bool ok() const;  // no error anywhere
  // What runs: ok and enabled.
  std::vector<RuleInput> runnable() const;
};

// Files and folders (read recursively, *.yml *.yaml *.toml *.ndjson, sorted by path; hidden ones left out).
// An error only when a path given does not exist.
Result<LoadedRules> load_rules(const std::vector<std::string>& paths, const LoadOptions& options = {});

// One rule text as if it stood in `file`; for the API and for tests.
LoadedRules load_rule_text(const std::string& text, const std::string& file, const LoadOptions& options = {});

}  // namespace fb
