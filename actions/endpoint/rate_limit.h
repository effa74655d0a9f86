// How often one key (an address) may do something in a minute. Bounded memory: when too many keys are known, the
// minutes that are over are dropped, and if that is not enough a new key shares one common count. Thread-safe; the
// caller passes the monotonic time.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

namespace fb::endpoint {

class RateLimit {
 public:
  explicit RateLimit(uint32_t per_minute) : per_minute_(per_minute) {}

  // Counts one; false when it is more than allowed.
  bool take(const std::string& key, int64_t now_ms) {
    const std::lock_guard lock(mutex_);
    Minute& m = minute_of(key, now_ms);
    if (m.count >= per_minute_) return false;
    ++m.count;
    return true;
  }
  // Without counting: is the allowance used up?
  bool exhausted(const std::string& key, int64_t now_ms) {
    const std::lock_guard lock(mutex_);
    return minute_of(key, now_ms).count >= per_minute_;
  }

 private:
  struct Minute {
    int64_t start_ms = 0;
    uint32_t count = 0;
  };
  static constexpr size_t kMaxKeys = 20'000;

  Minute& minute_of(const std::string& key, int64_t now_ms) {
    // Sweeping costs a walk over all keys, so it is done at most once a second: a flood of keys must not make each one
    // dear.
    if (minutes_.size() >= kMaxKeys && now_ms - swept_ms_ >= 1000) {
      swept_ms_ = now_ms;
      std::erase_if(minutes_, [&](const auto& m) { return now_ms - m.second.start_ms >= 60'000; });
    }
    const bool full = minutes_.size() >= kMaxKeys && !minutes_.contains(key);
    Minute& m = minutes_[full ? std::string() : key];
    if (m.count == 0 || now_ms - m.start_ms >= 60'000) m = {now_ms, 0};
    return m;
  }

  const uint32_t per_minute_;
  std::mutex mutex_;
  std::unordered_map<std::string, Minute> minutes_;
  int64_t swept_ms_ = 0;
};

}  // namespace fb::endpoint
