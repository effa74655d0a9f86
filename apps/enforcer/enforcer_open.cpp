#include <algorithm>
#include <utility>

#include "apps/enforcer/enforcer_impl.h"
#include "engine/base/log.h"

namespace fb::agent {

using endpoint::Envelope;
using endpoint::Order;

Result<std::unique_ptr<Enforcer>> Enforcer::open(EnforcerOptions options, IsolationBackend& backend,
                                                 const Clock& clock) {
  FB_TRY(Identity identity, read_identity(options.folder));
  FB_TRY(EnforcerFiles files, EnforcerFiles::open(options.folder));
  FB_TRY(Journal journal, Journal::open(files.journal()));
  auto enforcer = std::make_unique<EnforcerImpl>(std::move(options), backend, clock, std::move(identity),
                                                 std::move(files), std::move(journal));
  FB_TRY_VOID(enforcer->bring_back());
  return enforcer;
}

EnforcerImpl::EnforcerImpl(EnforcerOptions options, IsolationBackend& backend, const Clock& clock, Identity identity,
                           EnforcerFiles files, Journal journal)
    : options_(std::move(options)),
      backend_(backend),
      clock_(clock),
      notifier_(options_.notice),
      identity_(std::move(identity)),
      files_(std::move(files)),
      journal_(std::move(journal)),
      names_(files_.names(), options_.resolve, clock_) {}

EnforcerImpl::~EnforcerImpl() {
  thread_.request_stop();
  wake_->wake.notify_all();
}

void EnforcerImpl::learn(const JournalEntry& entry) {
  const bool begins = entry.phase == JournalEntry::Phase::begin;
  const std::string order = entry.order.empty() ? std::string(to_string(entry.verb)) : entry.order;
  const Number number{entry.epoch, entry.revision};
  if (begins) {
    replay_.unfinished = entry;
    replay_.local.reset();
  } else if (replay_.unfinished && replay_.unfinished->action_id == entry.action_id &&
             replay_.unfinished->order == entry.order && replay_.unfinished->revision == entry.revision) {
    replay_.unfinished.reset();
  }
  if (order == to_string(Order::update_allow_set)) {
    if (begins) replay_.update = number;
    return;
  }
  if (order == to_string(Order::renew)) {
    if (begins) replay_.renew = number;
    return;
  }
  if (is_local(order)) {
    replay_.isolate.reset();
    replay_.local = entry;
    return;
  }
  Known& known = known_[entry.action_id];
  known.verb = entry.verb;
  known.generation = entry.generation;
  known.epoch = entry.epoch;
  if (!begins) {
    known.finished = true;
    known.ok = entry.result == "done";
    known.message = entry.message;
  }
  // An older agent's journal may hold lines in any order; the newest generation counts there.
  const bool newest = !newest_ || newest_->action_id == entry.action_id || entry.epoch > newest_->what.epoch ||
                      (entry.epoch == newest_->what.epoch && entry.generation > newest_->what.generation);
  if (!newest) return;
  newest_ = Newest{entry.action_id, known};
  if (!begins && entry.verb == Verb::isolate && !known.ok && entry.observed == Isolation::released) {
    replay_.isolate.reset();  // it failed and left nothing behind
    return;
  }
  if (!begins) return;
  replay_.isolate.reset();
  replay_.update.reset();
  replay_.renew.reset();
  if (entry.verb != Verb::isolate) return;
  replay_.isolate = number;
  replay_.isolate_generation = entry.generation;
}

EnforcerImpl::StoredOrders EnforcerImpl::verified_orders() {
  StoredOrders verified;
  endpoint::KeySet keys = identity_.trusted;
  keys.insert(retired_.begin(), retired_.end());
  auto stored = files_.orders();
  if (!stored) {
    problems_at_start_.push_back("the stored orders can't be read: " + stored.error().describe());
    return verified;
  }
  for (StoredOrder& order : *stored) {
    const auto envelope = endpoint::open_envelope(order.text, keys);
    if (!envelope || envelope->agent_id != identity_.agent_id) {
      const std::string why = envelope ? "it is another agent's" : envelope.error().message;
      problems_at_start_.push_back("the stored order " + order.file + " does not hold: " + why);
      continue;
    }
    verified.emplace(Number{envelope->epoch, envelope->revision}, std::pair(*envelope, std::move(order.text)));
  }
  return verified;
}

// The journal says that an isolation stands; the signed orders say what it is. Where an order is missing or was
// changed, the last one that holds counts; without any, everything but the control plane is cut off.
void EnforcerImpl::stand_again(const StoredOrders& orders) {
  const auto find = [&](const std::optional<Number>& number, Order order) -> const Envelope* {
    if (!number) return nullptr;
    const auto at = orders.find(*number);
    const bool fits = at != orders.end() && at->second.first.order == order &&
                      at->second.first.generation == replay_.isolate_generation;
    return fits ? &at->second.first : nullptr;
  };
  Standing standing;
  standing.generation = replay_.isolate_generation;
  standing.isolate = *replay_.isolate;
  standing.update = replay_.update;
  standing.renew = replay_.renew;
  const Envelope* isolate = find(replay_.isolate, Order::isolate);
  const Envelope* update = find(replay_.update, Order::update_allow_set);
  const Envelope* renew = find(replay_.renew, Order::renew);
  if (isolate != nullptr) {
    standing.policy = isolate->policy;
    standing.break_glass_sha256 = isolate->break_glass_sha256;
  } else {
    problems_at_start_.push_back(
        "the order that isolated this host is lost or was changed: only the control plane stays "
        "open unless a later update holds");
  }
  if (update != nullptr) {
    standing.policy = update->policy;
  } else if (replay_.update) {
    problems_at_start_.push_back("the last update of what stays open is lost or was changed; the one before it counts");
  }
  // What is left of the lease is what was last made durable. The time in which this host was down or the enforcer was
  // not there does not count: it can only last longer than it says by that, never shorter, and no reboot starts it
  // anew.
  const Envelope* lease = renew != nullptr ? renew : isolate;
  const std::optional<Number> lease_order = replay_.renew ? replay_.renew : replay_.isolate;
  const bool kept =
      lease_order && state_.lease_epoch == lease_order->epoch && state_.lease_revision == lease_order->revision;
  standing_ = std::move(standing);
  wanted_ = Isolation::isolated;
  settled_ = false;
  if (lease != nullptr && lease->lease_ms > 0) {
    lease_end_ = now() + std::min(kept ? std::min(state_.lease_left_ms, lease->lease_ms) : lease->lease_ms, kForEverMs);
  } else if (lease == nullptr && state_.lease_left_ms > 0) {
    lease_end_ = now() + std::min(state_.lease_left_ms, kForEverMs);
  }
  if (!kept && lease != nullptr) {
    state_.lease_epoch = lease->epoch;
    state_.lease_revision = lease->revision;
  }
}

Status EnforcerImpl::bring_back() {
  const std::lock_guard lock(mutex_);
  if (journal_.was_torn()) log(LogLevel::warn, "journal_mended", "a torn last line was cut off");
  if (journal_.broken_lines() > 0) {
    problems_at_start_.push_back(std::to_string(journal_.broken_lines()) + " lines of the journal can't be read");
  }
  bool state_lost = false;
  if (auto state = files_.state()) {
    state_ = std::move(*state);
  } else {
    state_lost = true;
    if (state.error().code != ErrorCode::not_found) {
      problems_at_start_.push_back("the state can't be read: " + state.error().describe());
    }
  }
  if (auto keys = files_.retired_keys()) {
    retired_ = std::move(*keys);
  } else {
    problems_at_start_.push_back(keys.error().describe());
  }
  const int64_t wall = clock_.wall_ms();
  Number highest{state_.epoch, state_.revision};
  int64_t sequence = 0;
  for (const JournalEntry& entry : journal_.replayed()) {
    learn(entry);
    highest = std::max(highest, Number{entry.epoch, entry.revision});
    sequence = std::max(sequence, entry.sequence);
    const bool counts =
        entry.phase == JournalEntry::Phase::begin && entry.verb == Verb::isolate && entry.order != "renew";
    if (counts && entry.at_ms <= wall && wall - entry.at_ms < kHourMs) changes_.push_back(now() - (wall - entry.at_ms));
  }
  std::sort(changes_.begin(), changes_.end());
  state_.epoch = highest.epoch;
  state_.revision = highest.revision;
  state_.sequence = std::max(state_.sequence, sequence);
  const Replay replayed = replay_;
  if (state_lost && replayed.local) {
    state_.local_release = {replayed.local->generation, replayed.local->sequence, replayed.local->order, "",
                            replayed.local->at_ms};
  }
  const StoredOrders orders = verified_orders();
  service_base_ms_ = state_.service_ms;
  service_base_at_ = now();
  // The state knows better than they do: one of them may be from before the service's clock was set right.
  if (state_lost) {
    for (const auto& [number, order] : orders) hear_service_time(order.first.issued_at_ms);
  }
  if (state_.failed_codes >= kFreeTries) {
    const int doublings = static_cast<int>(std::min<int64_t>(state_.failed_codes - kFreeTries, 16));
    code_wait_end_ = now() + std::min(kFirstWaitMs << doublings, kLongestWaitMs);
  }
  const Status watched = backend_.watch([wake = wake_] {
    {
      const std::lock_guard wake_lock(wake->mutex);
      wake->changed = true;
    }
    wake->wake.notify_all();
  });
  if (!watched) watch_problem_ = "changes of the rules are not told at once: " + watched.error().describe();

  const std::optional<JournalEntry>& unfinished = replayed.unfinished;
  if (replayed.isolate) {
    stand_again(orders);
    const bool ended = state_.local_release.generation == standing_->generation && !state_.local_release.how.empty() &&
                       (!replayed.local || replayed.local->sequence < state_.local_release.sequence);
    if (ended) {
      const Status done = end_isolation(state_.local_release, "this host had let itself back in");
      if (!done) log(LogLevel::error, "local_release_failed", done.error().describe());
    } else {
      // Before any link is up there is nobody to ask for names: the last good answers must do.
      const Status applied = lease_end_ && now() >= *lease_end_ ? Status{} : apply_cut(0);
      if (unfinished) {
        const Report report = finish(*unfinished, applied);
        log(LogLevel::warn, "command_resumed", "an order that was cut short was finished",
            {{"action_id", unfinished->action_id}, {"observed", std::string(to_string(report.observed))}});
      } else if (!applied) {
        mend_problem_ = "the isolation can't be set again: " + applied.error().describe();
        log(LogLevel::error, "isolation_not_set_again", applied.error().describe());
      }
      if (standing_) start_probe(false);
    }
  } else if (newest_ && (newest_->what.verb == Verb::release || replayed.local)) {
    wanted_ = Isolation::released;
    settled_ = false;
    drop_old_orders();
    if (unfinished) {
      finish(*unfinished, backend_.release());
      log(LogLevel::warn, "command_resumed", "a release that was cut short was finished",
          {{"action_id", unfinished->action_id}});
    } else if (observe() != Isolation::released) {
      log(LogLevel::warn, "state_lost", "the host was let back in, but it is not; it is let in again");
      const Status released = backend_.release();
      if (!released) log(LogLevel::error, "release_failed", released.error().describe());
      settled_ = released && observe() == Isolation::released;
    } else {
      settled_ = true;
    }
  }
  // A stored order that is newer than all that was begun: the journal's line for it was lost, by a crash in between or
  // with the journal. The service ordered it, so it counts.
  for (const auto& [number, order] : orders) {
    if (number <= Number{state_.epoch, state_.revision}) continue;
    log(LogLevel::warn, "order_adopted", "a stored order had not been begun", {{"action_id", order.first.action_id}});
    const Report report = obey(order.first, order.second, {});
    if (report.kind != Report::Kind::done) {
      problems_at_start_.push_back("a stored order was not carried out: " + report.message);
    }
  }
  if (!standing_ && wanted_ == Isolation::unknown) drop_old_orders();
  hold_space();
  names_.ask(hosts_of(identity_.server, standing_ ? standing_->policy : endpoint::CutPolicy{}), 0);
  next_names_ = now() + kNamesRetryMs;
  // A disk that takes nothing now must not keep the host from obeying: it is told as a problem and tried again.
  static_cast<void>(with_room([this] { return keep_state(); }));
  return {};
}

}  // namespace fb::agent
