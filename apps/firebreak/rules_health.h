// What is wrong with the rules in force, one problem a cause, so that one which passes hides no other: /readyz tells
// them all. Owned by the service. Thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "engine/pipeline/rule_book.h"

namespace fb::cli {

class RulesHealth {
 public:
  // A set was taken or refused: what the report is about has this problem now, or none; the others stay.
  void took(const ReloadReport& report);
  // Rules of the record that can't be run, one line each; found at the start.
  void left_out(const std::vector<std::string>& problems);
  // One line; "" when all is well. Of lists: RuleBook::lists_problem() and lists_warning().
  std::string problems(const std::string& lists_behind, const std::string& lists_warning) const;

 private:
  mutable std::mutex mutex_;
  std::string files_;
  size_t left_out_ = 0;
  std::string first_left_out_;
};

}  // namespace fb::cli
