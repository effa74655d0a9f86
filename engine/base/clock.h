// Time comes in through this interface, so that a test owns it (tests/support/fake_clock.h). Thread-safe.
#pragma once

#include <cstdint>
#include <string>

namespace fb {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t wall_ms() const = 0;  // Unix time, milliseconds; may jump
  virtual int64_t mono_ms() const = 0;  // never runs backwards, counts suspend (CLOCK_BOOTTIME); origin is the boot
};

// The machine's own clocks. One stateless object for the whole process.
const Clock& system_clock();

// "2026-11-21T20:14:34.123Z".
std::string iso8601(int64_t unix_ms);

}  // namespace fb
