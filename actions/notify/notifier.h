// Tells people what happened: follows the audit, one thread and one cursor a sink, so a sink that is dead or slow costs
// nobody else anything. The record is the queue; a thread holds one page of it and one digest. What was sent is noted
// in the sink's cursor afterwards: at least once, also over restarts. Nothing here can delay or change an isolation.
//
// How it fails: a send that may be tried again is tried again after 1 s, 2 s, 4 s ... 5 min, until the thing is a day
// old; one that the other side refuses for good is given up after five tries. Both are counted and logged.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "actions/notify/notification.h"
#include "actions/notify/sink.h"
#include "actions/notify/trail.h"
#include "engine/base/clock.h"
#include "engine/base/metrics.h"

namespace fb::notify {

struct NotifierOptions {
  int64_t max_per_minute = 30;             // to one sink; what is beyond it comes as one digest at the minute's end
  int64_t reminder_ms = 24 * 3'600'000ll;  // of an isolation that stands
  int64_t give_up_after_ms = 24 * 3'600'000ll;
  int64_t poll_ms = 500;
};

class Notifier {
 public:
  using OpenTrail = std::function<std::unique_ptr<Trail>()>;
  // `clock` and `metrics` outlive it. Starts the threads at once; a sink that is new begins with what happens from now.
  Notifier(std::vector<Subscription> sinks, OpenTrail open, const Clock& clock, Metrics& metrics,
           NotifierOptions options = {});
  ~Notifier();  // stop()
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Ends the threads; what was not sent is sent after the next start. Idempotent.
  void stop();

 private:
  class Feed;
  bool pause(int64_t ms);  // false: it is time to end
  void remind();

  const OpenTrail open_;
  const Clock& clock_;
  Metrics& metrics_;
  const NotifierOptions options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false};
  std::vector<std::unique_ptr<Feed>> feeds_;
  std::vector<std::thread> threads_;
};

// Notes in the audit each isolation that stands for another full period (from there every sink learns of it). Returns
// how many.
Result<int> note_standing_isolations(Trail& trail, int64_t now_ms, int64_t period_ms);

}  // namespace fb::notify
