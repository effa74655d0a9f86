// How often an address failed to prove who it is, so that guessing gets slow; and how many refusals may go into the
// audit, so that a flood of them does not fill the disk. In memory, bounded, thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/base/address_group.h"

namespace fb {

// A budget that fills up again over time, for each name.
class Budgets {
 public:
  // `burst` at once, then `per_minute`. Of more than `max_names` names at a time the fullest budgets are forgotten.
  Budgets(double burst, double per_minute, size_t max_names = 65'536)
      : burst_(burst), per_ms_(per_minute / 60'000.0), max_names_(max_names) {}

  // True, and one less, when there is one left.
  bool take(std::string_view name, int64_t mono_ms);
  void give_back(std::string_view name, int64_t mono_ms);
  // Is there one left? Takes nothing.
  bool left(std::string_view name, int64_t mono_ms);
  // Whole seconds until there is one again; at least 1.
  int64_t wait_s(std::string_view name, int64_t mono_ms);
  size_t names() const;

 private:
  struct Budget {
    double left = 0;
    int64_t at_ms = 0;
  };
  Budget now(std::string_view name, int64_t mono_ms) const;
  void make_room(int64_t mono_ms);

  const double burst_;
  const double per_ms_;
  const size_t max_names_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Budget> budgets_;
};

}  // namespace fb
