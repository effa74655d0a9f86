#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "apps/enforcer/enforcer_impl.h"
#include "engine/base/failpoint.h"
#include "engine/base/log.h"

namespace fb::agent {
namespace {

using endpoint::Envelope;
using endpoint::Order;

Verb verb_of(Order order) {
  return order == Order::release ? Verb::release : Verb::isolate;
}

Isolation wanted_by(Verb verb) {
  return verb == Verb::isolate ? Isolation::isolated : Isolation::released;
}

// Of the text form of an envelope: "fbe1.<kid>.".
std::string kid_of(const std::string& text) {
  const size_t from = text.find('.');
  const size_t to = from == std::string::npos ? from : text.find('.', from + 1);
  return to == std::string::npos ? std::string() : text.substr(from + 1, to - from - 1);
}

// Anything but "it is not there" counts as there: a host that can't tell must not be cut off by mistake.
bool is_there(const std::string& file) {
  return !file.empty() && (::access(file.c_str(), F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR));
}

}  // namespace

Report EnforcerImpl::report_of(const JournalEntry& about, Report::Kind kind, std::string message) {
  Report report;
  report.kind = kind;
  report.action_id = about.action_id;
  report.generation = about.generation;
  report.observed = observe();
  report.message = std::move(message);
  report.at_ms = clock_.wall_ms();
  return report;
}

Report EnforcerImpl::refuse(const Envelope& e, std::string message) {
  log(LogLevel::warn, "order_refused", message,
      {{"order", std::string(to_string(e.order))},
       {"action_id", e.action_id},
       {"generation", std::to_string(e.generation)},
       {"epoch", std::to_string(e.epoch)},
       {"revision", std::to_string(e.revision)}});
  return report_of(entry_of(e, 0), Report::Kind::refused, std::move(message));
}

JournalEntry EnforcerImpl::entry_of(const Envelope& e, int64_t at_ms) {
  JournalEntry entry;
  entry.action_id = e.action_id;
  entry.generation = e.generation;
  entry.verb = verb_of(e.order);
  entry.at_ms = at_ms;
  entry.order = to_string(e.order);
  entry.epoch = e.epoch;
  entry.revision = e.revision;
  return entry;
}

Report EnforcerImpl::carry(const std::string& envelope, const std::function<void()>& on_begin) {
  const std::lock_guard lock(mutex_);
  auto opened = endpoint::open_envelope(envelope, identity_.trusted);
  if (!opened && opened.error().code == ErrorCode::refused) {
    // Enrolment may have written other keys meanwhile.
    auto written = read_identity(files_.folder());
    if (written && written->agent_id == identity_.agent_id && written->trusted != identity_.trusted) {
      identity_.trusted = std::move(written->trusted);
      opened = endpoint::open_envelope(envelope, identity_.trusted);
    }
  }
  if (!opened) return refuse(Envelope{}, opened.error().message);
  const Envelope& e = *opened;
  if (e.agent_id != identity_.agent_id) return refuse(e, "the order is for agent " + e.agent_id);
  if (e.epoch < state_.epoch) {
    return refuse(e, "of epoch " + std::to_string(e.epoch) + ", and " + std::to_string(state_.epoch) + " was seen");
  }
  if (e.epoch == state_.epoch && e.revision <= state_.revision) {
    return refuse(e, "replayed: revision " + std::to_string(e.revision) + " is not newer than " +
                         std::to_string(state_.revision));
  }
  return obey(e, envelope, on_begin);
}

// The envelope is genuine and new. From here on it is used up, whatever becomes of it.
Report EnforcerImpl::obey(const Envelope& e, const std::string& text, const std::function<void()>& on_begin) {
  // Keys first: should the process die in between, the same envelope rotates them once more.
  if (!e.trust.empty()) {
    const Status rotated = rotate_keys(e.trust, text);
    key_problem_ = rotated ? "" : "new keys of the service could not be taken: " + rotated.error().describe();
  }
  const bool new_epoch = e.epoch > state_.epoch;
  state_.epoch = e.epoch;
  state_.revision = e.revision;
  hear_service_time(e.issued_at_ms);
  const int64_t released = state_.local_release.generation;
  if (!state_.local_release.how.empty() &&
      (e.generation > released || (e.order == Order::status && e.generation >= released))) {
    state_.local_release = {};  // the service knows
  }
  Report report;
  switch (e.order) {
    case Order::isolate:
    case Order::release:
      report = change(e, text, on_begin);
      break;
    case Order::update_allow_set:
    case Order::renew:
      report = adjust(e, text, on_begin);
      break;
    case Order::status:
      if (e.policy.services != expected_.services) {
        expected_.services = e.policy.services;
        next_names_ = 0;
      }
      report = report_of(entry_of(e, 0), Report::Kind::state, "");
      break;
  }
  // A new epoch may also set the time back: an order that was signed while the service's clock ran ahead would have
  // this host refuse every isolation until then. Only now, so that no late order vouches for itself.
  if (new_epoch) set_service_time(e.issued_at_ms);
  // A refusal uses the envelope up too. What was obeyed stands in the journal already.
  if (const Status kept = keep_state(); !kept && report.kind == Report::Kind::state) {
    report.kind = Report::Kind::failed;
    report.message = kept.error().describe();
  }
  return report;
}

Status EnforcerImpl::rotate_keys(const endpoint::KeySet& trust, const std::string& text) {
  if (trust == identity_.trusted) return {};
  if (trust.size() > endpoint::kMaxSigningKeys) return fail(ErrorCode::limit, "too many keys at once");
  Identity next = identity_;
  next.trusted = trust;
  // The orders in force, this one perhaps among them, were signed by keys that may be leaving: after a reboot they must
  // still verify.
  std::set<std::string> signed_with = {kid_of(text)};
  FB_TRY(const auto stored, files_.orders());
  for (const StoredOrder& order : stored) signed_with.insert(kid_of(order.text));
  endpoint::KeySet known = identity_.trusted;
  known.insert(retired_.begin(), retired_.end());
  endpoint::KeySet retired;
  for (const auto& [kid, key] : known) {
    if (!trust.contains(kid) && signed_with.contains(kid)) retired.emplace(kid, key);
  }
  FB_TRY_VOID(files_.keep_retired_keys(retired));
  retired_ = std::move(retired);
  FB_TRY_VOID(keep_identity(files_.folder(), next));
  identity_ = std::move(next);
  log(LogLevel::info, "keys_rotated", "the service has new keys", {{"keys", std::to_string(trust.size())}});
  return {};
}

bool EnforcerImpl::too_many_changes() {
  while (!changes_.empty() && now() - changes_.front() >= kHourMs) changes_.pop_front();
  return changes_.size() >= static_cast<size_t>(std::max(options_.changes_per_hour, 0));
}

std::string EnforcerImpl::why_not(const Envelope& e) {
  if (e.expires_at_ms > 0 && service_now() >= e.expires_at_ms) return "expired";
  if (is_there(options_.protected_file)) return "protected here: " + options_.protected_file + " exists";
  if (too_many_changes()) {
    return "more than " + std::to_string(options_.changes_per_hour) + " changes within an hour: this host's own limit";
  }
  return "";
}

Report EnforcerImpl::change(const Envelope& e, const std::string& text, const std::function<void()>& on_begin) {
  const Verb verb = verb_of(e.order);
  if (e.action_id.empty()) return refuse(e, "the order names no action");
  // The newest command once more, and its state was lost: it is set again. Not after a local release, which ended it.
  if (newest_ && newest_->what.finished && newest_->what.ok && newest_->what.verb == verb &&
      newest_->what.generation == e.generation && wanted_ == wanted_by(verb) && observe() != wanted_) {
    return set_again(e);
  }
  if (const auto at = known_.find(e.action_id); at != known_.end() && at->second.finished) {
    const Known& known = at->second;
    return report_of(entry_of(e, 0), known.ok ? Report::Kind::done : Report::Kind::failed, known.message);
  }
  // A restored service may have lost generations; its epoch has risen, and it can always let a host back in.
  const bool newer =
      !newest_ || e.generation > newest_->what.generation || (verb == Verb::release && e.epoch > newest_->what.epoch);
  if (!newer) {
    return refuse(e, "stale: generation " + std::to_string(e.generation) + " is not newer than " +
                         std::to_string(newest_->what.generation));
  }
  if (verb == Verb::release) return release(e, on_begin);
  if (const std::string why = why_not(e); !why.empty()) return refuse(e, why);
  return isolate(e, text, on_begin);
}

// It is no new command: the journal has it already.
Report EnforcerImpl::set_again(const Envelope& e) {
  log(LogLevel::warn, "state_lost", "the state is not that of the last command; it is set again",
      {{"action_id", e.action_id}, {"wanted", std::string(to_string(wanted_))}});
  const Status applied = wanted_ == Isolation::isolated ? apply_cut(kResolveOnTheWayMs) : backend_.release();
  if (!applied) return report_of(entry_of(e, 0), Report::Kind::failed, applied.error().describe());
  Report report = report_of(entry_of(e, 0), Report::Kind::done, "");
  settled_ = report.observed == wanted_;
  if (!settled_) {
    report.kind = Report::Kind::failed;
    report.message = "ran, but the state read back is " + std::string(to_string(report.observed));
  }
  return report;
}

Report EnforcerImpl::finish(const JournalEntry& begun, const Status& applied) {
  Report report = report_of(begun, Report::Kind::done, "");
  if (!applied) {
    report.kind = Report::Kind::failed;
    report.message = applied.error().describe();
  } else if (begun.order != to_string(Order::renew) && report.observed != wanted_by(begun.verb)) {
    report.kind = Report::Kind::failed;
    report.message = "ran, but the state read back is " + std::string(to_string(report.observed));
  }
  settled_ = report.observed == wanted_by(begun.verb);
  JournalEntry entry = begun;
  entry.phase = JournalEntry::Phase::done;
  entry.result = report.kind == Report::Kind::done ? "done" : "failed";
  entry.observed = report.observed;
  entry.message = report.message;
  entry.at_ms = clock_.wall_ms();
  const Status failed_point = failpoint("agent_applied");
  const Status kept = failed_point ? journal_.append(entry) : failed_point;
  if (!kept) {
    // The effect is there and is reported. After a restart the order counts as begun and is finished again.
    log(LogLevel::error, "journal_failed", kept.error().describe(), {{"action_id", begun.action_id}});
  }
  learn(entry);
  // An isolation that failed and left nothing behind is over: nobody expects this host to be cut off later by itself.
  if (begun.order == to_string(Order::isolate) && report.kind == Report::Kind::failed &&
      report.observed == Isolation::released) {
    forget_isolation();
  }
  return report;
}

void EnforcerImpl::set_lease(Number order, int64_t lease_ms) {
  state_.lease_epoch = order.epoch;
  state_.lease_revision = order.revision;
  lease_end_.reset();
  if (lease_ms > 0) lease_end_ = now() + std::min(lease_ms, kForEverMs);
}

void EnforcerImpl::stand(const Envelope& e) {
  Standing standing;
  standing.generation = e.generation;
  standing.policy = e.policy;
  standing.break_glass_sha256 = e.break_glass_sha256;
  standing.isolate = {e.epoch, e.revision};
  standing_ = std::move(standing);
  wanted_ = Isolation::isolated;
  settled_ = false;
  set_lease(standing_->isolate, e.lease_ms);
  state_.failed_codes = 0;
  code_wait_end_ = 0;
}

std::optional<Report> EnforcerImpl::commit(const Envelope& e, const std::string& text, const JournalEntry& begin) {
  // The envelope first, then the journal's line: that line is what makes it count.
  if (const Status kept = with_room([&] { return files_.keep_order(e, text); }); !kept) {
    drop_old_orders();
    return report_of(begin, Report::Kind::failed, "not run, since it can't be kept: " + kept.error().describe());
  }
  if (const Status p = failpoint("enforcer_order_kept"); !p) {
    return report_of(begin, Report::Kind::failed, p.error().describe());
  }
  if (const Status begun = with_room([&] { return journal_.append(begin); }); !begun) {
    drop_old_orders();
    return report_of(begin, Report::Kind::failed, "not run, since the journal failed: " + begun.error().describe());
  }
  learn(begin);
  return std::nullopt;
}

Report EnforcerImpl::isolate(const Envelope& e, const std::string& text, const std::function<void()>& on_begin) {
  const JournalEntry begin = entry_of(e, clock_.wall_ms());
  if (std::optional<Report> not_run = commit(e, text, begin)) return std::move(*not_run);
  stand(e);
  changes_.push_back(now());
  if (const Status p = failpoint("agent_begun"); !p) {
    return report_of(begin, Report::Kind::failed, p.error().describe());
  }
  if (on_begin) on_begin();
  Report report = finish(begin, apply_cut(kResolveOnTheWayMs));
  drop_old_orders();
  if (standing_) {
    start_probe(e.policy.rollback);
    notifier_.tell(Isolation::isolated, e.comment, e.policy.message);
  }
  return report;
}

void EnforcerImpl::forget_isolation() {
  standing_.reset();
  lease_end_.reset();
  wanted_ = Isolation::unknown;
  settled_ = true;
  drop_old_orders();
}

Status EnforcerImpl::append_for_release(const JournalEntry& entry) {
  Status kept = with_room([&] { return journal_.append(entry); });
  if (kept || kept.error().code != ErrorCode::no_space) return kept;
  // The orders go in any case; their space is what is left. Should it end here, the host stays cut off and the service
  // sends its release again.
  if (!files_.keep_only({})) return kept;
  return journal_.append(entry);
}

Report EnforcerImpl::release(const Envelope& e, const std::function<void()>& on_begin) {
  const JournalEntry begin = entry_of(e, clock_.wall_ms());
  if (const Status begun = append_for_release(begin); !begun) {
    return report_of(begin, Report::Kind::failed, "not run, since the journal failed: " + begun.error().describe());
  }
  learn(begin);
  const bool was_isolated = standing_.has_value();
  standing_.reset();
  lease_end_.reset();
  wanted_ = Isolation::released;
  settled_ = false;
  if (const Status p = failpoint("agent_begun"); !p) {
    return report_of(begin, Report::Kind::failed, p.error().describe());
  }
  // Gone before the cut is lifted: nothing that lies on the disk can cut this host off again.
  drop_old_orders();
  if (const Status p = failpoint("enforcer_forgotten"); !p) {
    return report_of(begin, Report::Kind::failed, p.error().describe());
  }
  if (on_begin) on_begin();
  Report report = finish(begin, backend_.release());
  probe_.give_up();
  control_plane_lost_ = false;
  next_probe_.reset();
  if (was_isolated) notifier_.tell(Isolation::released, e.comment, "");
  return report;
}

Report EnforcerImpl::adjust(const Envelope& e, const std::string& text, const std::function<void()>& on_begin) {
  if (!standing_ || standing_->generation != e.generation) {
    return refuse(e, "generation " + std::to_string(e.generation) + " does not stand here");
  }
  const bool update = e.order == Order::update_allow_set;
  if (update && too_many_changes()) {
    return refuse(
        e, "more than " + std::to_string(options_.changes_per_hour) + " changes within an hour: this host's own limit");
  }
  const JournalEntry begin = entry_of(e, clock_.wall_ms());
  if (std::optional<Report> not_run = commit(e, text, begin)) return std::move(*not_run);
  if (update) {
    standing_->policy = e.policy;
    standing_->update = Number{e.epoch, e.revision};
    changes_.push_back(now());
  } else {
    standing_->renew = Number{e.epoch, e.revision};
    set_lease(*standing_->renew, e.lease_ms);
  }
  if (const Status p = failpoint("agent_begun"); !p) {
    return report_of(begin, Report::Kind::failed, p.error().describe());
  }
  if (on_begin) on_begin();
  Report report = finish(begin, update ? apply_cut(kResolveOnTheWayMs) : Status{});
  drop_old_orders();
  return report;
}

}  // namespace fb::agent
