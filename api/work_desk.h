// Threads for what takes long (hashing a password, reading an import), so that the threads that serve connections do
// not wait for it. The queue is bounded: what comes on top is refused. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace fb::api {

class WorkDesk {
 public:
  WorkDesk(size_t threads, size_t max_waiting);
  ~WorkDesk();  // what waits is dropped; what runs is waited for
  WorkDesk(const WorkDesk&) = delete;
  WorkDesk& operator=(const WorkDesk&) = delete;

  // False: too much waits already, and `work` was not taken. It must not throw.
  bool take(std::function<void()> work);

 private:
  void run();

  const size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace fb::api
