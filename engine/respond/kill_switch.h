// The emergency stop as the guard and the dispatcher see it. It is on until the first reading succeeds and after a
// reading that failed: who can't tell whether the stop is pulled does not act. It stops isolations only, never
// releases. Owner: main. `on` may be asked from any thread; `refresh` is called by the dispatcher before it sends and
// once at start.
#pragma once

#include <atomic>
#include <string>

#include "engine/base/result.h"
#include "engine/ports/action_store.h"

namespace fb {

class KillSwitch {
 public:
  // While a file of this name exists the switch is on, whatever the record says ("" = no such file is looked for).
  explicit KillSwitch(std::string stop_file = {}) : stop_file_(std::move(stop_file)) {}

  bool on() const { return on_.load(std::memory_order_acquire); }

  // Reads the file and the record: one stat and one query.
  Status refresh(ActionStore& store);

 private:
  const std::string stop_file_;
  std::atomic<bool> on_{true};
};

}  // namespace fb
