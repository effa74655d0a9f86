// One thread that does what may block (the record), so that the threads that serve connections never wait for a disk.
// Reports and enrolments go before heartbeats. Bounded: a full queue refuses.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace fb::endpoint {

class Worker {
 public:
  explicit Worker(size_t max_waiting) : max_waiting_(max_waiting), thread_([this] { run(); }) {}
  ~Worker() { stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  bool add(bool urgent, std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || urgent_.size() + plain_.size() >= max_waiting_) return false;
      (urgent ? urgent_ : plain_).push_back(std::move(task));
    }
    wake_.notify_one();
    return true;
  }

  // Does what is queued, then ends.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || !urgent_.empty() || !plain_.empty(); });
      auto& queue = urgent_.empty() ? plain_ : urgent_;
      if (queue.empty()) return;
      const std::function<void()> task = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  const size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> urgent_;
  std::deque<std::function<void()>> plain_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace fb::endpoint
