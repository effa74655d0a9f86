// An end in time for what may block while the service stops: a broker's client that does not return, a thread that
// hangs. Without it the process would stay for ever, with its partitions and its record held.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace fb::cli {

// What all the stops of one process may take together.
struct StopTime {
  int64_t left_ms = 0;
};

// While it lives, a thread of its own watches. The parts are told by one thread. `late` is called once, on the watching
// thread, when all stops together took longer; it is meant to end the process.
class BoundedStop {
 public:
  using Late = std::function<void(const std::string& part)>;
  // Takes of `time` what it lasts; `time` outlives it, and one stop at a time uses it.
  BoundedStop(StopTime& time, Late late);
  ~BoundedStop();
  BoundedStop(const BoundedStop&) = delete;
  BoundedStop& operator=(const BoundedStop&) = delete;

  // What is being stopped from now on.
  void part(const char* name);

 private:
  void watch(int64_t limit_ms);

  StopTime& time_;
  const std::chrono::steady_clock::time_point begun_;
  const Late late_;
  std::mutex mutex_;
  std::condition_variable done_changed_;
  bool done_ = false;
  const char* part_ = "the service";
  std::thread watcher_;  // last: it uses the others
};

// Logs which part does not end and ends the process with this code: the supervisor starts it again, and what is on disk
// decides. No destructor runs, since one of them is what hangs.
void end_late(const std::string& part, int64_t limit_ms, int exit_code);

}  // namespace fb::cli
