#include "apps/firebreak/bounded_stop.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "engine/base/log.h"

namespace fb::cli {

BoundedStop::BoundedStop(StopTime& time, Late late)
    : time_(time), begun_(std::chrono::steady_clock::now()), late_(std::move(late)) {
  watcher_ = std::thread([this, limit_ms = time.left_ms] { watch(limit_ms); });
}

BoundedStop::~BoundedStop() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  done_changed_.notify_all();
  watcher_.join();
  const auto took = std::chrono::steady_clock::now() - begun_;
  const int64_t took_ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  time_.left_ms = std::max<int64_t>(0, time_.left_ms - took_ms);
}

void BoundedStop::part(const char* name) {
  const std::lock_guard lock(mutex_);
  part_ = name;
}

void BoundedStop::watch(int64_t limit_ms) {
  std::unique_lock lock(mutex_);
  if (done_changed_.wait_for(lock, std::chrono::milliseconds(limit_ms), [this] { return done_; })) return;
  const std::string part = part_;
  lock.unlock();
  late_(part);
}

void end_late(const std::string& part, int64_t limit_ms, int exit_code) {
  log(LogLevel::error, "stop_hangs", part + " does not end; the process ends without it, what is on disk decides",
      {{"part", part}, {"after_ms", std::to_string(limit_ms)}, {"exit_code", std::to_string(exit_code)}});
  _exit(exit_code);
}

}  // namespace fb::cli
