// The rule set in force. A reload is whole or not at all: the new set replaces the old one only when every rule of it
// is good; until then the old one runs. Thread-safe: the watcher stores, the pipeline reads at the start of a turn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/compile/rules.h"
#include "engine/match/rule_set.h"

namespace fb {

struct RuleBookOptions {
  std::vector<std::string> paths;
  LoadOptions load;
  RuleSetOptions set;
  bool allow_broken = false;  // leave broken rules out (named) instead of refusing the set
  bool allow_empty = false;
};

struct ReloadReport {
  bool swapped = false;  // false: the old set stays, see `problem`
  bool changed = false;  // the new set differs from the old one
  std::string problem;   // one line
  LoadedRules loaded;    // with every diagnostic
};

class RuleBook {
 public:
  explicit RuleBook(RuleBookOptions options);
  ~RuleBook();

  RuleSetPtr current() const;
  // Loads the paths again and swaps when all is well. Returns what it found; safe to call from any thread, one at a
  // time.
  ReloadReport reload();

  // Watches the paths from a thread of its own and reloads when a file changed and has been quiet for `settle_ms`
  // (a half-written file is not read). `seen` is called after each reload.
  void watch(int poll_ms, int settle_ms, std::function<void(const ReloadReport&)> seen);
  void stop_watching();

 private:
  RuleBookOptions options_;
  mutable std::mutex mutex_;  // current_
  RuleSetPtr current_;
  std::mutex reload_mutex_;
  struct Watch;
  std::unique_ptr<Watch> watch_;
};

}  // namespace fb
