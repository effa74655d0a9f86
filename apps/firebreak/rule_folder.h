// The rule files of a folder that rules are pulled into: which file holds which rule, and how a file gets another
// version of its rule without losing what only the file has (its tests). Reads files, writes none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/compile/rules.h"

namespace fb::cli {

class RuleFolder {
 public:
  // A folder that is not there holds nothing.
  static Result<RuleFolder> open(const std::string& folder);

  // Good and broken ones; more than one when the folder has the rule_id twice.
  std::vector<const LoadedRule*> find(std::string_view rule_id) const;
  // Files that could not be read, one line each: which rules they hold is not known.
  std::vector<std::string> unread() const;

  // The text that the rule's file would have with `yaml` (a rule as rule_yaml writes it) in its place: with the file's
  // tests, and the comments before its first key. The error says why a program can't write this file.
  Result<std::string> rewritten(const LoadedRule& rule, const std::string& yaml) const;

 private:
  LoadedRules loaded_;
};

}  // namespace fb::cli
