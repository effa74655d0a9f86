#include "engine/respond/dispatcher.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/base/log.h"

namespace fb {

Dispatcher::Dispatcher(ActionStore& store, KillSwitch& kill_switch, const Clock& clock, Metrics& metrics,
                       DispatchSettings settings, std::string boot_id)
    : store_(store),
      kill_switch_(kill_switch),
      clock_(clock),
      metrics_(metrics),
      settings_(settings),
      boot_id_(std::move(boot_id)),
      dropped_(metrics.counter("firebreak_reports_dropped_total",
                               "Reports of endpoints dropped because too many waited.")) {}

Dispatcher::~Dispatcher() {
  stop();
}

ReportSink Dispatcher::sink() {
  return [this](Report r) { report(std::move(r)); };
}

void Dispatcher::report(Report r) {
  const bool urgent = r.kind != Report::Kind::state;  // a fleet's heartbeats wait for the tick
  {
    const std::lock_guard lock(mutex_);
    if (reports_.size() >= kMaxWaitingReports) {
      dropped_.add_one();
      return;
    }
    reports_.push_back(std::move(r));
    woken_ = woken_ || urgent;
  }
  if (urgent) changed_.notify_one();
}

void Dispatcher::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_one();
}

void Dispatcher::start(ActionPlugin& plugin, OnFatal on_fatal) {
  stop();
  on_fatal_ = std::move(on_fatal);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = false;
  }
  thread_ = std::thread([this, &plugin] { run(plugin); });
}

void Dispatcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Dispatcher::run(ActionPlugin& plugin) {
  DispatchCore core(store_, plugin, kill_switch_, clock_, metrics_, settings_, boot_id_);
  bool failing = false;
  for (bool first = true;; first = false) {
    std::vector<Report> reports;
    {
      std::unique_lock lock(mutex_);
      // After an error the record gets a tick's rest, whoever calls.
      const auto wake_up = [this, failing] { return stopping_ || (woken_ && !failing); };
      if (!first) changed_.wait_for(lock, std::chrono::milliseconds(settings_.tick_ms), wake_up);
      if (stopping_) return;
      woken_ = false;
      if (core.reports_waiting() == 0) reports.swap(reports_);  // else they stay where their number is bounded
    }
    const Status done = core.step(std::move(reports));
    if (done) {
      failing = false;
      continue;
    }
    const Error& error = done.error();
    if (!failing) log(LogLevel::error, "dispatch_failed", error.describe());
    failing = true;
    if (error.code == ErrorCode::corrupt || error.code == ErrorCode::io) {
      if (on_fatal_) on_fatal_(error);
      return;
    }
  }
}

}  // namespace fb
