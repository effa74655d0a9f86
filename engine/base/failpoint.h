// Named points where a test makes the process die, fail or wait, so that every step of a transaction can be broken on
// purpose. Armed by the environment, FB_FAILPOINT=name:n:kill|err|full|sleep (name "*": any point; n: the n-th hit from
// 1), or by arm_failpoint in a test. Unarmed it costs one relaxed load. Thread-safe. The only process-wide state of the
// engine, since the points stand where nothing can be passed in.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "engine/base/result.h"

namespace fb {

namespace failpoint_detail {
extern std::atomic<bool> armed;
Status hit(std::string_view name);
}  // namespace failpoint_detail

// kill: the process ends as by SIGKILL. err: an Error of code io. full: an Error of code no_space. sleep: half a
// second.
inline Status failpoint(std::string_view name) {
  if (!failpoint_detail::armed.load(std::memory_order_relaxed)) return {};
  return failpoint_detail::hit(name);
}

// Replaces what was armed before; "" disarms. An error names what is wrong with the specification.
Status arm_failpoint(std::string_view specification);

// Hits of the armed point so far.
uint64_t failpoint_hits();

}  // namespace fb
