// How long to wait before the next try: a random time up to a bound that doubles with each failure, so that agents that
// lost one service do not all come back in the same moment. One owner.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "engine/base/digest.h"

namespace fb::agent {

class Backoff {
 public:
  Backoff(int min_ms, int max_ms)
      : min_ms_(std::max(1, min_ms)), max_ms_(std::max(min_ms_, max_ms)), bound_ms_(min_ms_) {}

  int next_ms() {
    const std::string bytes = random_bytes(sizeof(uint64_t));
    uint64_t random = 0;
    std::memcpy(&random, bytes.data(), sizeof random);
    const int wait = min_ms_ / 2 + static_cast<int>(random % static_cast<uint64_t>(bound_ms_));
    bound_ms_ = bound_ms_ > max_ms_ / 2 ? max_ms_ : bound_ms_ * 2;
    return wait;
  }
  void reset() { bound_ms_ = min_ms_; }

 private:
  int min_ms_;
  int max_ms_;
  int bound_ms_;
};

}  // namespace fb::agent
