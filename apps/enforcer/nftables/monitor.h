// Tells when the isolation's rules or the host's links may have changed: the kernel's notifications, read by a thread
// of its own. Changes of other tables are passed over; many changes at once make one call. Not exact on purpose: a call
// too many costs a look at the rules, and when the kernel had to throw notifications away it counts as a change.
#pragma once

#include <functional>
#include <memory>

#include "engine/base/result.h"

namespace fb::agent {

class ChangeMonitor {
 public:
  // For the network namespace of the calling thread.
  static Result<std::unique_ptr<ChangeMonitor>> start(std::function<void()> on_change);
  virtual ~ChangeMonitor() = default;  // after it, no call is running and none comes
};

}  // namespace fb::agent
