#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "apps/enforcer/enforcer_impl.h"
#include "engine/base/digest.h"
#include "engine/base/failpoint.h"
#include "engine/base/log.h"

namespace fb::agent {
namespace {

constexpr int kProbePauseMs = 100;
constexpr int kConnectMs = 1'000;

std::string seconds(int64_t ms) {
  return std::to_string((ms + 999) / 1000) + " s";
}

}  // namespace

bool is_local(const std::string& order) {
  return order == "lease" || order == "break_glass" || order == "rollback";
}

// --- the notifier

Notifier::~Notifier() {
  thread_.request_stop();
  wake_.notify_all();
}

void Notifier::tell(Isolation now, std::string comment, std::string message) {
  if (!notice_) return;
  constexpr size_t kMaxWaiting = 16;
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= kMaxWaiting) waiting_.pop_front();
  waiting_.push_back({now, std::move(comment), std::move(message)});
  if (!thread_.joinable()) {
    try {
      thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    } catch (const std::system_error& e) {
      log(LogLevel::error, "notice_failed", e.what());
      return;
    }
  }
  wake_.notify_all();
}

void Notifier::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [this] { return !waiting_.empty(); }) && !stop.stop_requested()) {
    const Notice notice = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    notice_(notice.now, notice.comment, notice.message);
    lock.lock();
  }
}

// --- small things

Isolation EnforcerImpl::observe() {
  const auto observed = backend_.observe();
  if (observed) return observed->state;
  log(LogLevel::error, "observe_failed", observed.error().describe(), {{"endpoint_id", identity_.agent_id}});
  return Isolation::unknown;
}

int64_t EnforcerImpl::service_now() const {
  return service_base_ms_ + (now() - service_base_at_);
}

void EnforcerImpl::hear_service_time(int64_t ms) {
  if (ms > service_now()) set_service_time(ms);
}

void EnforcerImpl::set_service_time(int64_t ms) {
  service_base_ms_ = std::min(ms, kForEverMs);
  service_base_at_ = now();
}

int64_t EnforcerImpl::lease_left() const {
  return lease_end_ ? std::max<int64_t>(*lease_end_ - now(), 0) : 0;
}

Status EnforcerImpl::keep_state() {
  state_.service_ms = service_now();
  state_.lease_left_ms = lease_left();
  last_sync_ = now();
  const Status kept = files_.keep_state(state_);
  state_problem_ = kept ? "" : "the state can't be kept: " + kept.error().describe();
  if (!kept) log(LogLevel::error, "state_not_kept", kept.error().describe());
  return kept;
}

void EnforcerImpl::drop_old_orders() {
  std::vector<Number> needed;
  if (standing_) {
    needed.push_back(standing_->isolate);
    if (standing_->update) needed.push_back(*standing_->update);
    if (standing_->renew) needed.push_back(*standing_->renew);
  }
  if (const Status dropped = files_.keep_only(needed); !dropped) {
    log(LogLevel::error, "orders_not_dropped", dropped.error().describe());
  }
  if (!standing_ && !retired_.empty() && files_.keep_retired_keys({})) retired_.clear();
}

// Sets the cut that the policy in force asks for, with the numbers known after at most wait_ms.
Status EnforcerImpl::apply_cut(int wait_ms) {
  const endpoint::CutPolicy& policy = standing_->policy;
  names_.ask(hosts_of(identity_.server, policy), wait_ms);
  names_.collect();
  next_names_ = std::min(next_names_, now() + kNamesRetryMs);
  plan_ = plan_cut(identity_.server, policy, names_);
  return backend_.isolate(plan_.cut);
}

// Not for a simulation: thousands of simulated hosts may share one disk.
void EnforcerImpl::hold_space() {
  if (!backend_.simulated()) files_.hold_space();
}

// --- local releases

Status EnforcerImpl::local_release(const std::string& how, const std::string& proof, const std::string& comment) {
  const LastingState before = state_;
  ++state_.sequence;
  state_.local_release = {standing_->generation, state_.sequence, how, proof, service_now()};
  const std::optional<int64_t> lease = std::exchange(lease_end_, std::nullopt);
  const Status kept = with_room([this] { return keep_state(); });
  // A code is used once; that must be on the disk first. What time itself ends need not wait for a disk.
  if (!kept && how == "break_glass") {
    state_ = before;
    lease_end_ = lease;
    return tl::unexpected<Error>(kept.error());
  }
  FB_TRY_VOID(failpoint("local_release_kept"));
  return end_isolation(state_.local_release, comment);
}

Status EnforcerImpl::end_isolation(const LocalRelease& release, const std::string& comment) {
  JournalEntry begin;
  begin.action_id = "local-" + std::to_string(release.generation) + "-" + std::to_string(release.sequence);
  begin.generation = release.generation;
  begin.verb = Verb::release;
  begin.order = release.how;
  begin.sequence = release.sequence;
  begin.at_ms = clock_.wall_ms();
  if (const Status begun = append_for_release(begin); !begun) {
    log(LogLevel::error, "journal_failed", begun.error().describe(), {{"action_id", begin.action_id}});
  }
  learn(begin);
  standing_.reset();
  lease_end_.reset();
  wanted_ = Isolation::released;
  settled_ = false;
  FB_TRY_VOID(failpoint("agent_begun"));
  drop_old_orders();
  FB_TRY_VOID(failpoint("enforcer_forgotten"));
  const Report report = finish(begin, backend_.release());
  probe_.give_up();
  control_plane_lost_ = false;
  next_probe_.reset();
  log(LogLevel::warn, "local_release", "this host let itself back in",
      {{"how", release.how},
       {"generation", std::to_string(release.generation)},
       {"sequence", std::to_string(release.sequence)},
       {"observed", std::string(to_string(report.observed))}});
  notifier_.tell(Isolation::released, comment, "");
  if (report.kind == Report::Kind::done) return {};
  return fail(ErrorCode::io, "accepted, but the host is not let back in yet and it is tried on: " + report.message);
}

Status EnforcerImpl::break_glass(const std::string& code) {
  const std::lock_guard lock(mutex_);
  if (!standing_) return fail(ErrorCode::conflict, "no order isolates this host");
  if (standing_->break_glass_sha256.empty()) {
    return fail(ErrorCode::unsupported, "the service set no code for this isolation");
  }
  if (now() < code_wait_end_) {
    return fail(ErrorCode::refused, "too many wrong codes; wait " + seconds(code_wait_end_ - now()), "", Retry::yes);
  }
  // Counted before it is looked at, so that a crash gives no free try.
  ++state_.failed_codes;
  if (state_.failed_codes >= kFreeTries) {
    const int doublings = static_cast<int>(std::min<int64_t>(state_.failed_codes - kFreeTries, 16));
    code_wait_end_ = now() + std::min(kFirstWaitMs << doublings, kLongestWaitMs);
  }
  const Status counted = keep_state();
  FB_TRY_VOID(failpoint("break_glass_counted"));
  const std::string hash = code.size() > kMaxCodeBytes
                               ? std::string()
                               : endpoint::break_glass_hash(code, identity_.agent_id, standing_->generation);
  if (!equal_secret(hash, standing_->break_glass_sha256)) {
    log(LogLevel::warn, "break_glass_refused", "a wrong code was given",
        {{"tries", std::to_string(state_.failed_codes)}, {"counted", counted ? "true" : "false"}});
    return fail(ErrorCode::refused, "the code is wrong");
  }
  state_.failed_codes = 0;
  code_wait_end_ = 0;
  return local_release("break_glass", code, "a break-glass code was used at the host");
}

// --- what time brings

void EnforcerImpl::tick() {
  const std::lock_guard lock(mutex_);
  if (standing_ && lease_end_ && now() >= *lease_end_) {
    const Status ended = local_release("lease", "", "the lease ended");
    if (!ended) log(LogLevel::error, "lease_release_failed", ended.error().describe());
  }
  if (standing_ && lease_end_ && now() - last_sync_ >= options_.lease_sync_ms) {
    if (!keep_state()) last_sync_ = now();
  }
  check_probe();
  refresh_names();
  bool changed = false;
  {
    const std::lock_guard wake_lock(wake_->mutex);
    changed = std::exchange(wake_->changed, false);
  }
  if (changed || now() - last_look_ >= options_.look_every_ms) look();
}

// Mends for as long as it takes: who changes the rules again and again is told about, never given way to.
void EnforcerImpl::look() {
  last_look_ = now();
  while (!mends_.empty() && now() - mends_.front() >= kManyMendsMs) mends_.pop_front();
  if (wanted_ == Isolation::released && !settled_) {
    const Status released = backend_.release();
    settled_ = released && observe() == Isolation::released;
    mend_problem_ = settled_    ? ""
                    : !released ? "the host can't be let back in: " + released.error().describe()
                                : "the host can't be let back in: the rules are still there";
    return;
  }
  if (!standing_) {
    mend_problem_.clear();
    return;
  }
  const auto seen = backend_.observe();
  if (seen && seen->state == Isolation::isolated && seen->intact) {
    settled_ = true;
    mend_problem_.clear();
    return;
  }
  const Status mended = backend_.isolate(plan_.cut);
  settled_ = mended.has_value();
  mend_problem_ = mended ? "" : "the isolation can't be mended: " + mended.error().describe();
  if (mended && seen && seen->links_changed) {
    // Nobody touched the rules: a container's link came or went.
    log(LogLevel::info, "isolation_follows_links", "links of this host changed; the isolation covers those there are");
    return;
  }
  ++drift_events_;
  mends_.push_back(now());
  if (mends_.size() > kManyMends) mends_.pop_front();
  log(mended ? LogLevel::warn : LogLevel::error, "isolation_mended",
      mended ? "the isolation was not as it was set; it is set again" : mended.error().describe(),
      {{"seen", seen ? std::string(to_string(seen->state)) : seen.error().describe()},
       {"times", std::to_string(drift_events_)}});
}

// Also while the host is not isolated: when it is, there may be no name server left.
void EnforcerImpl::refresh_names() {
  const bool changed = names_.collect();
  const endpoint::CutPolicy& policy = standing_ ? standing_->policy : expected_;
  if (now() >= next_names_) {
    const auto hosts = hosts_of(identity_.server, policy);
    names_.ask(hosts, 0);
    const bool all_known = std::all_of(hosts.begin(), hosts.end(), [this](const std::string& host) {
      return names_.numbers(host).problem.empty() && !names_.numbers(host).addresses.empty();
    });
    next_names_ = now() + (all_known ? kNamesEveryMs : kNamesRetryMs);
    hold_space();
  }
  if (!changed || !standing_) return;
  CutPlan plan = plan_cut(identity_.server, policy, names_);
  const bool differs = !(plan.cut == plan_.cut);
  plan_ = std::move(plan);
  if (!differs) return;
  const Status applied = backend_.isolate(plan_.cut);
  log(applied ? LogLevel::info : LogLevel::error, "names_changed",
      applied ? "a name has other addresses now; what stays open follows" : applied.error().describe());
  if (applied) start_probe(false);
}

void EnforcerImpl::start_probe(bool may_roll_back) {
  probe_may_roll_back_ = may_roll_back;
  next_probe_.reset();
  const bool started = probe_.start([probe = options_.probe, server = identity_.server, where = plan_.control_plane,
                                     limit_ms = options_.self_test_ms](const std::atomic<bool>& given_up) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(limit_ms);
    for (;;) {
      if (probe ? probe(server) : can_connect(where, std::min(kConnectMs, limit_ms), given_up)) return true;
      if (given_up.load() || std::chrono::steady_clock::now() >= end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(kProbePauseMs));
    }
  });
  if (!started) next_probe_ = now() + kProbeRetryMs;
}

void EnforcerImpl::check_probe() {
  if (!standing_) return;
  if (const auto reached = probe_.take()) {
    if (*reached != !control_plane_lost_) {
      log(*reached ? LogLevel::info : LogLevel::error, *reached ? "control_plane_found" : "control_plane_lost",
          *reached
              ? "the control plane answers while this host is isolated"
              : "the control plane can't be reached since the cut; this host stays isolated unless the policy says "
                "otherwise",
          {{"server", identity_.server}});
    }
    control_plane_lost_ = !*reached;
    if (control_plane_lost_ && probe_may_roll_back_) {
      const Status back = local_release("rollback", "", "the control plane could not be reached after the cut");
      if (!back) log(LogLevel::error, "rollback_failed", back.error().describe());
      return;
    }
    probe_may_roll_back_ = false;
    if (control_plane_lost_) next_probe_ = now() + kProbeRetryMs;
  }
  if (next_probe_ && now() >= *next_probe_) {
    next_names_ = 0;  // it may have moved
    start_probe(false);
  }
}

// Many enforcers may run in one process (load tests, the demo): each sleeps as long as it can.
int EnforcerImpl::ms_to_next_tick() {
  constexpr int64_t kSoonMs = 100;  // an answer of the probe or of a resolver is waited for
  const std::lock_guard lock(mutex_);
  int64_t next = std::max(options_.look_every_ms, 10);
  if (probe_.running() || (standing_ && !plan_.problems.empty())) next = std::min(next, kSoonMs);
  if (lease_end_) next = std::clamp<int64_t>(*lease_end_ - now(), 1, next);
  return static_cast<int>(next);
}

void EnforcerImpl::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    bool changed = false;
    {
      const int wait_ms = ms_to_next_tick();
      std::unique_lock lock(wake_->mutex);
      wake_->wake.wait_for(lock, stop, std::chrono::milliseconds(wait_ms), [this] { return wake_->changed; });
      changed = wake_->changed;
      // Quiet time: a change of the rules comes as several events.
      if (changed && !stop.stop_requested()) {
        wake_->wake.wait_for(lock, stop, std::chrono::milliseconds(options_.mend_after_ms), [] { return false; });
      }
    }
    if (!stop.stop_requested()) tick();
  }
}

void EnforcerImpl::start_thread() {
  try {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  } catch (const std::system_error& e) {
    const std::lock_guard lock(mutex_);
    watch_problem_ = std::string("there is no thread for lease and drift: ") + e.what();
    log(LogLevel::error, "no_thread", e.what());
  }
}

Result<EnforcementStatus> EnforcerImpl::status() {
  const std::lock_guard lock(mutex_);
  EnforcementStatus status;
  status.backend = backend_.name();
  status.simulated = backend_.simulated();
  status.epoch = state_.epoch;
  status.revision = state_.revision;
  if (newest_) {
    status.generation = newest_->what.generation;
    status.action_id = newest_->action_id;
  }
  if (standing_) status.policy_digest = endpoint::digest(standing_->policy);
  status.drift_events = drift_events_;
  status.lease_left_ms = lease_left();
  status.local_release = state_.local_release;
  status.problems = problems_at_start_;
  const auto add = [&](const std::string& problem) {
    if (!problem.empty()) status.problems.push_back(problem);
  };
  const auto observed = backend_.observe();
  if (observed) {
    status.observed = observed->state;
    status.rule_digest = observed->rule_digest;
    status.drops = observed->drops;
    for (const std::string& problem : observed->problems) add(problem);
  } else {
    add("the state of the isolation can't be read: " + observed.error().describe());
  }
  if (standing_) {
    for (const std::string& problem : plan_.problems) add(problem);
    if (control_plane_lost_) add("the control plane " + identity_.server + " can't be reached since the cut");
  }
  if (mends_.size() >= kManyMends && now() - mends_.front() < kManyMendsMs) {
    add("the isolation's rules, or the host's links, change again and again: it was mended " +
        std::to_string(mends_.size()) + " times or more within a minute");
  }
  add(mend_problem_);
  add(state_problem_);
  add(watch_problem_);
  add(key_problem_);
  return status;
}

}  // namespace fb::agent
