#include "apps/firebreak-agent/reporter.h"

#include <algorithm>
#include <chrono>

#include "actions/endpoint/wire.h"
#include "engine/base/log.h"

namespace fb::agent {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kMaxWaiting = 1000;
constexpr int64_t kRenewPauseMs = 60'000;  // before a renewal that failed is tried again

}  // namespace

Reporter::Reporter(Options options, Credential credential, const AgentState& state,
                   std::shared_ptr<std::atomic<int>> identity, Enforcement& enforcement,
                   std::function<EndpointReport()> describe)
    : options_(std::move(options)),
      state_(state),
      enforcement_(enforcement),
      describe_(std::move(describe)),
      identity_(std::move(identity)),
      client_(options_.client, identity_),
      credential_(std::move(credential)),
      heartbeat_ms_(options_.heartbeat_ms),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

Reporter::~Reporter() {
  stop(0);
}

void Reporter::add(Report report) {
  {
    const std::lock_guard lock(mutex_);
    // An end that follows says more than the acceptance that still waits here.
    if (!waiting_.empty() && waiting_.back().kind == Report::Kind::accepted &&
        waiting_.back().action_id == report.action_id && !(sending_ && waiting_.size() == 1)) {
      waiting_.pop_back();
    }
    if (waiting_.size() >= kMaxWaiting && !sending_) waiting_.pop_front();
    if (waiting_.size() < kMaxWaiting) waiting_.push_back(std::move(report));
  }
  wake_.notify_all();
}

void Reporter::hurry() {
  {
    const std::lock_guard lock(mutex_);
    hurry_ = true;
  }
  wake_.notify_all();
}

void Reporter::stop(int linger_ms) {
  if (!thread_.joinable()) return;
  if (linger_ms > 0) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, milliseconds(linger_ms), [&] { return waiting_.empty() && !sending_; });
  }
  thread_.request_stop();
  client_.cancel();
  thread_.join();
}

void Reporter::run(const std::stop_token& stop) {
  Backoff backoff(options_.backoff_min_ms, options_.backoff_max_ms);
  auto next_heartbeat = SteadyClock::now();
  auto not_before = SteadyClock::time_point::min();
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const auto until = std::max(next_heartbeat, not_before);
    wake_.wait_until(lock, stop, until,
                     [&] { return hurry_ || (!waiting_.empty() && SteadyClock::now() >= not_before); });
    if (stop.stop_requested()) return;
    const auto now = SteadyClock::now();
    if (hurry_) {
      hurry_ = false;
      next_heartbeat = now;
      not_before = now;
    }
    if (now < not_before) continue;
    lock.unlock();
    bool there = send_reports();
    if (there && SteadyClock::now() >= next_heartbeat) {
      there = send_heartbeat();
      if (there) next_heartbeat = SteadyClock::now() + milliseconds(heartbeat_ms_);
    }
    lock.lock();
    if (there) {
      backoff.reset();
      not_before = SteadyClock::time_point::min();
    } else {
      not_before = SteadyClock::now() + milliseconds(backoff.next_ms());
    }
    wake_.notify_all();
  }
}

bool Reporter::send_reports() {
  for (;;) {
    Report report;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) return true;
      report = waiting_.front();
      sending_ = true;
    }
    const auto reply = client_.request("POST", credential_.server + "/v1/reports",
                                       {{"Content-Type", "application/json"}}, endpoint::write_report(report));
    const bool taken = reply && reply->status == 200;
    // What the service can never take would hold up everything behind it.
    const bool hopeless = reply && (reply->status == 400 || reply->status == 413);
    if (hopeless) {
      log(LogLevel::error, "report_refused", "the service does not understand a report",
          {{"endpoint_id", credential_.agent_id}, {"action_id", report.action_id}});
    }
    const std::lock_guard lock(mutex_);
    sending_ = false;
    if (!taken && !hopeless) return false;
    waiting_.pop_front();
  }
}

bool Reporter::send_heartbeat() {
  const auto reply = client_.request("POST", credential_.server + "/v1/heartbeat",
                                     {{"Content-Type", "application/json"}}, endpoint::write_heartbeat(describe_()));
  if (!reply) return false;
  if (reply->status != 200) {
    if (!was_refused_) {
      log(LogLevel::warn, "heartbeat_refused", "the service did not take a heartbeat",
          {{"endpoint_id", credential_.agent_id}, {"status", std::to_string(reply->status)}});
    }
    was_refused_ = true;
    return false;
  }
  was_refused_ = false;
  take_heartbeat_reply(reply->body);
  renew_if_due();
  return true;
}

void Reporter::take_heartbeat_reply(const std::string& body) {
  const auto answer = endpoint::read_heartbeat_reply(body);
  if (!answer) {
    log(LogLevel::warn, "heartbeat_answer_unreadable", answer.error().describe(),
        {{"endpoint_id", credential_.agent_id}});
    return;
  }
  asked_to_renew_ = answer->renew;
  if (!options_.heartbeat_is_fixed && answer->heartbeat_interval_ms > 0) {
    heartbeat_ms_ = std::clamp(answer->heartbeat_interval_ms, 100, 3'600'000);
  }
  if (answer->envelope.empty()) return;
  const Report report = enforcement_.carry(answer->envelope, {});
  if (report.kind != Report::Kind::refused && report.kind != Report::Kind::failed) return;
  log(LogLevel::warn, "status_refused", report.message, {{"endpoint_id", credential_.agent_id}});
}

void Reporter::renew_if_due() {
  const int64_t now = system_clock().wall_ms();
  if (now < renew_not_before_ms_ || (!asked_to_renew_ && now < credential_.renew_at_ms)) return;
  auto next = renew_certificate(credential_, state_, *client_.client());
  if (!next) {
    renew_not_before_ms_ = now + kRenewPauseMs;
    log(LogLevel::warn, "certificate_not_renewed", next.error().describe(), {{"endpoint_id", credential_.agent_id}});
    return;
  }
  asked_to_renew_ = false;
  credential_ = std::move(*next);
  identity_->fetch_add(1);
  hurry();  // its first use ends the old one
}

}  // namespace fb::agent
