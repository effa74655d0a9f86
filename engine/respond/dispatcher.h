// The thread around DispatchCore: steps when it is woken, when an endpoint answers, and once a tick. Owner: main, which
// makes it before the plugins (they need its sink) and starts it after the pipeline's record is open.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/respond/dispatch.h"

namespace fb {

class Dispatcher {
 public:
  static constexpr size_t kMaxWaitingReports = 65'536;

  // Called once, on the dispatcher's thread, when the record fails for good (corrupt, io): the process must end.
  using OnFatal = std::function<void(const Error&)>;

  Dispatcher(ActionStore& store, KillSwitch& kill_switch, const Clock& clock, Metrics& metrics,
             DispatchSettings settings, std::string boot_id);
  ~Dispatcher();  // stops
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Where plugins put what endpoints say: thread-safe, never blocks for more than a queue insert. Must not be called
  // after the dispatcher is gone. When kMaxWaitingReports wait, a further one is dropped and counted; what it answered
  // will be asked for again.
  ReportSink sink();

  void start(ActionPlugin& plugin, OnFatal on_fatal);
  // New rows may be there. Thread-safe, never blocks.
  void wake();
  // Finishes the step that is under way; what was not sent waits in the record. Idempotent.
  void stop();

 private:
  void report(Report r);
  void run(ActionPlugin& plugin);

  ActionStore& store_;
  KillSwitch& kill_switch_;
  const Clock& clock_;
  Metrics& metrics_;
  const DispatchSettings settings_;
  const std::string boot_id_;
  Counter& dropped_;
  OnFatal on_fatal_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Report> reports_;
  bool woken_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace fb
