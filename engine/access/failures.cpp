#include "engine/access/failures.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace fb {

Budgets::Budget Budgets::now(std::string_view name, int64_t mono_ms) const {
  const auto it = budgets_.find(std::string(name));
  if (it == budgets_.end()) return {burst_, mono_ms};
  const auto passed = static_cast<double>(std::max<int64_t>(0, mono_ms - it->second.at_ms));
  return {std::min(burst_, it->second.left + passed * per_ms_), mono_ms};
}

bool Budgets::take(std::string_view name, int64_t mono_ms) {
  const std::lock_guard lock(mutex_);
  Budget budget = now(name, mono_ms);
  const bool any = budget.left >= 1;
  if (any) budget.left -= 1;
  if (budgets_.size() >= max_names_ && budgets_.find(std::string(name)) == budgets_.end()) make_room(mono_ms);
  budgets_[std::string(name)] = budget;
  return any;
}

void Budgets::give_back(std::string_view name, int64_t mono_ms) {
  const std::lock_guard lock(mutex_);
  const auto it = budgets_.find(std::string(name));
  if (it == budgets_.end()) return;
  const double left = now(name, mono_ms).left + 1;
  if (left >= burst_) {
    budgets_.erase(it);
  } else {
    it->second = {left, mono_ms};
  }
}

bool Budgets::left(std::string_view name, int64_t mono_ms) {
  const std::lock_guard lock(mutex_);
  return now(name, mono_ms).left >= 1;
}

int64_t Budgets::wait_s(std::string_view name, int64_t mono_ms) {
  const std::lock_guard lock(mutex_);
  const double missing = std::max(0.0, 1 - now(name, mono_ms).left);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(missing / per_ms_ / 1000)));
}

size_t Budgets::names() const {
  const std::lock_guard lock(mutex_);
  return budgets_.size();
}

// Half of the names go, those with most left first: a guesser can't wash its own name out by using many others.
void Budgets::make_room(int64_t mono_ms) {
  std::vector<std::pair<double, std::string>> all;
  all.reserve(budgets_.size());
  for (const auto& [name, budget] : budgets_) all.emplace_back(now(name, mono_ms).left, name);
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
  std::nth_element(all.begin(), middle, all.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (auto it = all.begin(); it != middle; ++it) budgets_.erase(it->second);
}

}  // namespace fb
