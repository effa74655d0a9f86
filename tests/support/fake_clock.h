// A clock that moves only when the test says so. Thread-safe.
#pragma once

#include <atomic>

#include "engine/base/clock.h"

namespace fb::test {

class FakeClock final : public Clock {
 public:
  explicit FakeClock(int64_t wall_ms = 1'700'000'000'000) : wall_(wall_ms) {}
  int64_t wall_ms() const override { return wall_.load(); }
  int64_t mono_ms() const override { return mono_.load(); }
  void advance_ms(int64_t ms) {  // time passes
    wall_ += ms;
    mono_ += ms;
  }
  void jump_wall_ms(int64_t ms) { wall_ += ms; }  // somebody sets the clock

 private:
  std::atomic<int64_t> wall_;
  std::atomic<int64_t> mono_{1'000'000};
};

}  // namespace fb::test
