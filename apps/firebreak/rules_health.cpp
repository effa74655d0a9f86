#include "apps/firebreak/rules_health.h"

namespace fb::cli {

void RulesHealth::took(const ReloadReport& report) {
  if (report.of == ReloadReport::Of::files) {
    const std::lock_guard lock(mutex_);
    files_ = report.swapped ? "" : report.problem;
    return;
  }
  if (report.of != ReloadReport::Of::more || !report.swapped) return;  // a change that is refused is answered so
  std::vector<std::string> broken;
  for (size_t i = 0; i < report.loaded.rules.size(); ++i) {
    const LoadedRule& rule = report.loaded.rules[i];
    // RuleBook::lists_problem() tells of those that wait, for as long as they do.
    if (rule.ok || report.wait_of(i) != nullptr) continue;
    std::string why = "not a rule";
    for (const Diagnostic& d : rule.diagnostics) {
      if (d.level == Diagnostic::Level::error) why = d.message;
    }
    broken.push_back("rule_id \"" + rule.rule_id + "\": " + why);
  }
  left_out(broken);
}

void RulesHealth::left_out(const std::vector<std::string>& problems) {
  const std::lock_guard lock(mutex_);
  left_out_ = problems.size();
  first_left_out_ = problems.empty() ? "" : problems.front();
}

std::string RulesHealth::problems(const std::string& lists_behind, const std::string& lists_warning) const {
  std::string all;
  const auto add = [&all](const std::string& line) { all += (all.empty() ? "" : "; ") + line; };
  const std::lock_guard lock(mutex_);
  if (!files_.empty()) add("the old set runs; the changed one was refused: " + files_);
  if (left_out_ > 0) {
    add("rules that came through the API and can't be run any more: " + std::to_string(left_out_) + ", " +
        first_left_out_);
  }
  if (!lists_behind.empty()) add("an exception list is not in force as it stands in the record: " + lists_behind);
  if (!lists_warning.empty()) add(lists_warning);
  return all;
}

}  // namespace fb::cli
