#include "engine/respond/dispatch.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/model/action_life.h"

namespace fb {
namespace {

using State = ActionState;

const std::vector<double> kSeconds{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600};

// How old the record's "last seen" may grow.
constexpr int64_t kSeenMs = 60'000;

Isolation wanted(Verb verb) {
  return verb == Verb::isolate ? Isolation::isolated : Isolation::released;
}

// Before the first byte left: the row may still be stopped.
bool unsent(State s) {
  return s == State::requested || s == State::queued;
}

double seconds(int64_t ms) {
  return static_cast<double>(std::max<int64_t>(ms, 0)) / 1000.0;
}

}  // namespace

DispatchCore::DispatchCore(ActionStore& store, ActionPlugin& plugin, KillSwitch& kill_switch, const Clock& clock,
                           Metrics& metrics, DispatchSettings settings, std::string boot_id)
    : store_(store),
      plugin_(plugin),
      kill_switch_(kill_switch),
      clock_(clock),
      metrics_(metrics),
      settings_(settings),
      boot_id_(std::move(boot_id)),
      random_(settings.seed),
      to_dispatch_(metrics.histogram("firebreak_action_dispatch_seconds", "From an action's row to its first sending.",
                                     kSeconds)),
      event_to_dispatch_(metrics.histogram("firebreak_event_to_dispatch_seconds",
                                           "From the event's broker time (else its read time) to the first sending.",
                                           kSeconds)),
      to_verified_(metrics.histogram("firebreak_action_verified_seconds",
                                     "From an action's row to its effect read back.", kSeconds)),
      repairs_(metrics.counter("firebreak_drift_repairs_total",
                               "Commands sent again because an endpoint left the state it had reached.")),
      stray_reports_(metrics.counter("firebreak_stray_reports_total", "Reports from endpoints that are not enrolled.")),
      troubles_(metrics.counter("firebreak_dispatch_troubles_total",
                                "Reports, actions or endpoints that the record refused a change for.")),
      stuck_(metrics.gauge("firebreak_actions_stuck", "Actions that were sent again and again and do not end.")),
      offline_(metrics.gauge("firebreak_endpoints_offline", "Enrolled endpoints that do not answer.")),
      stopped_(metrics.gauge("firebreak_kill_switch", "1 while no isolation may start.")) {}

Status DispatchCore::step(std::vector<Report> reports) {
  for (Report& r : reports) waiting_.push_back(std::move(r));
  now_ms_ = clock_.wall_ms();
  mono_ms_ = clock_.mono_ms();
  // A switch that can't be read is on; releases and reports go their way all the same.
  if (Status s = kill_switch_.refresh(store_); !s) {
    log(LogLevel::error, "kill_switch_unreadable", s.error().describe());
  }
  stopped_.set(kill_switch_.on() ? 1 : 0);
  Status done = pass();
  if (!done) endpoints_known_ = false;  // the next pass looks at everything anew
  return done;
}

Status DispatchCore::pass() {
  FB_TRY_VOID(load());
  FB_TRY_VOID(take_reports());
  // A pass that was woken for an action does not pay for the whole fleet.
  const bool sweep = endpoints_mono_ms_ == mono_ms_;
  if (sweep) {
    FB_TRY_VOID(mark_silent());
    FB_TRY_VOID(end_leases());
    FB_TRY_VOID(tell_stuck());
  }
  FB_TRY_VOID(advance());
  return sweep ? repair() : Status{};
}

// Actions are read each time, endpoints now and then: a newer generation of one shows as an open action too.
Status DispatchCore::load() {
  FB_TRY(actions_, store_.open_actions());
  action_at_.clear();
  if (!sent_before_) {
    sent_before_.emplace();
    for (const OpenAction& a : actions_) {
      if (a.attempts > 0) sent_before_->insert(a.action_id);
    }
  }
  for (size_t i = 0; i < actions_.size(); ++i) action_at_.emplace(actions_[i].action_id, i);
  const bool stranger = std::any_of(actions_.begin(), actions_.end(),
                                    [this](const OpenAction& a) { return !endpoints_.contains(a.endpoint_id); });
  if (stranger || !endpoints_known_ || mono_ms_ - endpoints_mono_ms_ >= settings_.endpoints_every_ms) {
    FB_TRY_VOID(load_endpoints());
  }
  for (const OpenAction& a : actions_) {
    if (Endpoint* const e = endpoint(a.endpoint_id)) e->generation = std::max(e->generation, a.generation);
    Heard& heard = heard_of(a.endpoint_id);
    heard.ordered_generation = std::max(heard.ordered_generation, a.generation);
    heard.known_generation = std::max(heard.known_generation, a.generation);
  }
  return {};
}

Status DispatchCore::load_endpoints() {
  FB_TRY(std::vector<Endpoint> all, store_.endpoints());
  endpoints_.clear();
  for (Endpoint& e : all) {
    Heard& heard = heard_of(e.endpoint_id);
    if (heard.known_generation < 0) heard.known_generation = e.generation;
    if (e.ordered_generation >= 0) heard.ordered_generation = heard.known_generation = e.ordered_generation;
    std::string id = e.endpoint_id;
    endpoints_.emplace(std::move(id), std::move(e));
  }
  endpoints_known_ = true;
  endpoints_mono_ms_ = mono_ms_;
  return {};
}

DispatchCore::Heard& DispatchCore::heard_of(const std::string& endpoint_id) {
  const auto [it, inserted] = heard_.try_emplace(endpoint_id);
  if (inserted) it->second.mono_ms = mono_ms_;  // silence counts from when we began to listen
  return it->second;
}

Endpoint* DispatchCore::endpoint(const std::string& endpoint_id) {
  const auto it = endpoints_.find(endpoint_id);
  return it == endpoints_.end() ? nullptr : &it->second;
}

OpenAction* DispatchCore::open_action(const std::string& action_id) {
  const auto it = action_at_.find(action_id);
  if (it == action_at_.end() || !is_open(actions_[it->second].state)) return nullptr;
  return &actions_[it->second];
}

bool DispatchCore::has_open_action(const std::string& endpoint_id) const {
  return std::any_of(actions_.begin(), actions_.end(),
                     [&endpoint_id](const OpenAction& a) { return a.endpoint_id == endpoint_id && is_open(a.state); });
}

Result<bool> DispatchCore::move(OpenAction& action, Change change) {
  ActionMove m;
  m.action_id = action.action_id;
  m.from = {action.state};
  m.to = change.to;
  m.detail = change.detail;
  m.next_try_ms = change.next_try_ms;
  m.observed = change.observed;
  m.guard = change.guard;
  m.count_attempt = change.sending;
  if (change.sending) m.boot_id = boot_id_;
  FB_TRY(const bool moved, store_.move(m));
  if (!moved) {
    action_at_.erase(action.action_id);
    action.state = State::superseded;  // for this pass only: hands off
    return false;
  }
  log(LogLevel::info, "action_moved", change.detail,
      {{"action_id", action.action_id},
       {"endpoint_id", action.endpoint_id},
       {"command", std::string(to_string(action.verb))},
       {"from", std::string(to_string(action.state))},
       {"to", std::string(to_string(change.to))}});
  metrics_
      .counter("firebreak_action_moves_total", "Steps in the life of actions.",
               {{"command", std::string(to_string(action.verb))}, {"state", std::string(to_string(change.to))}})
      .add_one();
  action.state = change.to;
  action.next_try_ms = change.next_try_ms;
  if (change.sending) {
    action.boot_id = boot_id_;
    ++action.attempts;
  }
  if (change.observed) {
    if (Endpoint* e = endpoint(action.endpoint_id)) e->observed = *change.observed;
  }
  if (change.to == State::verified) {
    to_verified_.observe(seconds(now_ms_ - action.created_at_ms));
    // The lease of before is over with it; what was read of it at the beginning of this pass must not end the new one.
    Endpoint* const e = endpoint(action.endpoint_id);
    if (e != nullptr && action.generation >= e->generation) {
      const bool leased = action.verb == Verb::isolate && action.lease_ms > 0;
      e->lease_until_ms = leased ? now_ms_ + action.lease_ms : 0;
    }
  }
  return true;
}

// --- what endpoints say
// ---------------------------------------------------------------------------------------------------

Status DispatchCore::take_reports() {
  while (!waiting_.empty()) {
    FB_TRY_VOID(tolerate(take(waiting_.front()), "report_not_taken", waiting_.front().endpoint_id));
    waiting_.pop_front();
  }
  return {};
}

Status DispatchCore::take(const Report& report) {
  Endpoint* const e = endpoint(report.endpoint_id);
  if (e == nullptr) {
    stray_reports_.add_one();
    return {};
  }
  Heard& heard = heard_of(report.endpoint_id);
  heard.mono_ms = mono_ms_;
  // A report of an older generation than the endpoint told of just before was overtaken on its way. After a while it is
  // believed: the agent may have been set up anew.
  const bool late =
      report.generation < heard.generation && mono_ms_ - heard.generation_mono_ms < settings_.late_report_ms;
  if (!late) {
    // An acceptance, a failure or a refusal tells the command's generation, which need not be the endpoint's own.
    if (report.kind == Report::Kind::state || report.kind == Report::Kind::done) {
      heard.generation = report.generation;
      heard.generation_mono_ms = mono_ms_;
    }
    // A record that is behind its endpoint learns the generation before anything is decided.
    if (report.generation > e->generation) {
      FB_TRY_VOID(see(report, *e));
      e->generation = report.generation;
    }
  }
  if (e->status == AgentStatus::offline) {
    FB_TRY_VOID(store_.set_status(e->endpoint_id, AgentStatus::online, "it speaks again"));
    e->status = AgentStatus::online;
  }
  if (report.kind != Report::Kind::state) {
    if (OpenAction* const action = open_action(report.action_id);
        action != nullptr && action->endpoint_id == report.endpoint_id) {
      FB_TRY_VOID(take_answer(report, *action, late));
    }
  }
  return note_state(report, *e, heard, late);
}

Status DispatchCore::see(const Report& report, const Endpoint& e) {
  EndpointReport seen;
  seen.endpoint_id = e.endpoint_id;
  seen.host_id = e.host_id;
  seen.hostname = e.hostname;
  seen.os = e.os;
  seen.ips = e.ips;
  seen.agent_version = e.agent_version;
  seen.simulated = e.simulated;
  seen.observed = report.observed == Isolation::unknown ? e.observed : report.observed;
  seen.generation = report.generation;
  seen.at_ms = now_ms_;
  return store_.seen(seen);
}

Status DispatchCore::note_state(const Report& report, Endpoint& e, Heard& heard, bool late) {
  if (late || report.observed == Isolation::unknown) return {};
  // A plugin may have told the record already.
  if (report.observed != e.observed || now_ms_ - e.last_seen_ms >= kSeenMs) {
    FB_TRY_VOID(see(report, e));
  }
  e.observed = report.observed;
  if (e.observed == e.desired) heard.repairs = 0;
  // The answer may have been lost on the way: a heartbeat that shows the action's generation applied and its state
  // reached is a read-back too.
  for (OpenAction& a : actions_) {
    if (a.endpoint_id != e.endpoint_id || a.generation != report.generation || !is_open(a.state)) continue;
    if (report.observed != wanted(a.verb) || !is_legal_move(a.state, State::verified)) continue;
    FB_TRY_VOID(move(a, {State::verified, "read back from the endpoint's heartbeat", 0, report.observed}));
  }
  return {};
}

Status DispatchCore::take_answer(const Report& r, OpenAction& a, bool late) {
  const auto told = [&r](const char* otherwise) { return r.message.empty() ? std::string(otherwise) : r.message; };
  std::optional<Change> change;
  switch (r.kind) {
    case Report::Kind::state:
      return {};
    case Report::Kind::accepted:
      change = Change{State::accepted, told("the endpoint has the command"), now_ms_ + settings_.result_timeout_ms};
      break;
    case Report::Kind::done:
      // What a late answer read back was true once; the endpoint has gone on since.
      if (late && r.observed != Isolation::unknown) return {};
      if (r.observed == wanted(a.verb)) {
        change = Change{State::verified, told("done and read back"), 0, r.observed};
      } else if (r.observed == Isolation::unknown) {
        change =
            Change{State::unknown, told("done, but its state could not be read"), now_ms_ + backoff_ms(a.attempts)};
      } else {
        change = Change{State::failed,
                        told("the command ran") + ": the endpoint reads " + std::string(to_string(r.observed)), 0,
                        r.observed};
      }
      break;
    case Report::Kind::failed:
      change = Change{State::failed, told("the endpoint could not do it")};
      break;
    case Report::Kind::refused:
      if (r.withheld != Guard::none) {
        // Sent once more meanwhile: the plugin looks at that one anew.
        if (r.attempt != a.attempts) return {};
        // What an earlier run sent may have arrived then, so it waits for what the endpoint says.
        const bool never_arrived = !sent_before_->contains(a.action_id);
        change = Change{never_arrived ? State::blocked : State::unknown, r.message};
        if (never_arrived) change->guard = r.withheld;
        break;
      }
      if (r.generation > a.generation || r.message.starts_with("stale")) {
        change = Change{State::superseded, told("refused: the endpoint has obeyed a later command")};
      } else if (r.message.starts_with("expired") || (a.expires_at_ms > 0 && now_ms_ >= a.expires_at_ms)) {
        change = Change{State::expired, told("refused: the action is over its time")};
      } else {
        change = Change{State::failed, told("the endpoint refused it")};
      }
      break;
  }
  if (!is_legal_move(a.state, change->to)) return {};  // said twice
  if (change->to == State::superseded) return supersede(a, std::move(change->detail));
  FB_TRY_VOID(move(a, std::move(*change)));
  return {};
}

// A later command made it void. When that later one is not of this record (which was restored from a copy, say), a
// release is given again with a newer generation: none is ever lost. The endpoint's word has raised the record's
// generation by now.
Status DispatchCore::supersede(OpenAction& a, std::string why) {
  FB_TRY(const bool moved, move(a, {State::superseded, std::move(why)}));
  if (!moved || a.verb != Verb::release || heard_of(a.endpoint_id).ordered_generation != a.generation) return {};
  const Endpoint* const e = endpoint(a.endpoint_id);
  if (e == nullptr) return {};
  return submit_release(*e, a.comment, "repair", a.action_id + ":again");
}

// --- silence
// --------------------------------------------------------------------------------------------------------------

Status DispatchCore::mark_silent() {
  const int64_t limit = settings_.heartbeat_ms * settings_.missed_heartbeats;
  int64_t offline = 0;
  for (auto& [id, e] : endpoints_) {
    const int64_t silent = mono_ms_ - heard_of(id).mono_ms;
    if (e.status != AgentStatus::offline && silent > limit) {
      FB_TRY_VOID(
          store_.set_status(id, AgentStatus::offline, "nothing heard for " + std::to_string(silent / 1000) + " s"));
      e.status = AgentStatus::offline;
    }
    if (e.status == AgentStatus::offline) ++offline;
  }
  offline_.set(static_cast<double>(offline));
  return {};
}

// Taken and never done, or done and never read back: the action goes on as it is, since nobody knows what has become of
// it, and a person is told once. One that may not be sent again now is told by its age alone. One that waits for an
// endpoint that is away is not stuck.
Status DispatchCore::tell_stuck() {
  int64_t stuck = 0;
  for (OpenAction& a : actions_) {
    const bool sent = a.state == State::dispatched || a.state == State::unknown || a.state == State::accepted;
    if (!sent) continue;
    if (a.stuck_at_ms > 0) {
      ++stuck;
      continue;
    }
    const Endpoint* const e = endpoint(a.endpoint_id);
    if (e == nullptr || e->status == AgentStatus::offline || now_ms_ - a.first_sent_at_ms < settings_.stuck_after_ms) {
      continue;
    }
    std::string against;
    const bool held = a.verb == Verb::isolate && !may_isolate(*e, a.override_protected, against);
    if (!held && a.attempts < settings_.stuck_attempts) continue;
    const std::string why = "sent " + std::to_string(a.attempts) + " times within " +
                            std::to_string((now_ms_ - a.first_sent_at_ms) / 60'000) + " min, still " +
                            std::string(to_string(a.state)) + (held ? "; not sent again: " + against : "");
    FB_TRY_VOID(tolerate(store_.mark_stuck(a.action_id, why), "stuck_not_told", a.action_id));
    a.stuck_at_ms = now_ms_;
    ++stuck;
    log(LogLevel::error, "action_stuck", why, {{"action_id", a.action_id}, {"endpoint_id", a.endpoint_id}});
  }
  stuck_.set(static_cast<double>(stuck));
  return {};
}

// The agent ends its lease by itself; this makes it an action of its own, with a row and a newer generation, so that an
// endpoint which slept through it is released too.
Status DispatchCore::end_leases() {
  bool any = false;
  for (const auto& [id, e] : endpoints_) {
    if (e.desired != Isolation::isolated || e.lease_until_ms == 0 || e.lease_until_ms > now_ms_) continue;
    // A later isolation was let through because it should last longer: that one says when it ends.
    const bool on_its_way = std::any_of(actions_.begin(), actions_.end(), [&e = e](const OpenAction& a) {
      return a.endpoint_id == e.endpoint_id && is_open(a.state) &&
             (a.verb == Verb::release || a.generation >= e.generation);
    });
    if (on_its_way) continue;
    FB_TRY_VOID(submit_release(e, "the lease ended", "lease", id + ":" + std::to_string(e.generation) + ":expiry"));
    any = true;
  }
  return any ? load() : Status{};
}

Status DispatchCore::submit_release(const Endpoint& e, std::string comment, std::string requested_by, std::string key) {
  ActionRequest request;
  request.verb = Verb::release;
  request.endpoint_ids = {e.endpoint_id};
  request.comment = std::move(comment);
  request.requested_by = std::move(requested_by);
  request.idempotency_key = std::move(key);
  endpoints_known_ = false;  // what is wanted of it changes
  const auto submitted = store_.submit(request);
  return tolerate(submitted ? Status{} : Status(tl::unexpected<Error>(submitted.error())), "release_not_submitted",
                  e.endpoint_id);
}

Status DispatchCore::tolerate(Status done, const char* event, const std::string& about) {
  if (done) return done;
  const Error& error = done.error();
  const bool of_the_record = error.retry == Retry::yes || error.code == ErrorCode::busy ||
                             error.code == ErrorCode::no_space || error.code == ErrorCode::io ||
                             error.code == ErrorCode::corrupt || error.code == ErrorCode::unavailable;
  if (of_the_record) return done;
  troubles_.add_one();
  log(LogLevel::error, event, error.describe(), {{"about", about}});
  return {};
}

// --- sending
// --------------------------------------------------------------------------------------------------------------

Status DispatchCore::advance() {
  std::vector<size_t> order(actions_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto rank = [this](size_t i) {
    const OpenAction& a = actions_[i];
    return a.verb == Verb::release ? int{8} : settings_.connector_per_minute > 0 ? static_cast<int>(a.severity) : 0;
  };
  // Releases first; where isolations have to wait for each other, the gravest goes before the others.
  std::stable_sort(order.begin(), order.end(), [&rank](size_t x, size_t y) { return rank(x) > rank(y); });
  for (const size_t i : order) {
    OpenAction& a = actions_[i];
    if (!is_open(a.state) || a.state == State::awaiting_approval) continue;
    Endpoint* const e = endpoint(a.endpoint_id);
    if (e == nullptr) {
      const auto moved = move(a, {State::failed, "the endpoint is not enrolled"});
      FB_TRY_VOID(tolerate(moved ? Status{} : Status(tl::unexpected<Error>(moved.error())), "action_not_advanced",
                           a.action_id));
      continue;
    }
    FB_TRY_VOID(tolerate(advance_one(a, *e), "action_not_advanced", a.action_id));
  }
  return {};
}

Status DispatchCore::advance_one(OpenAction& a, Endpoint& e) {
  if (a.generation < e.generation) {
    return supersede(a, "a later command has generation " + std::to_string(e.generation));
  }
  if (a.expires_at_ms > 0 && now_ms_ >= a.expires_at_ms) {
    Change over{State::expired, "not done in its time"};
    over.guard = Guard::intent_expiry;
    FB_TRY_VOID(move(a, std::move(over)));
    return {};
  }
  if (a.state == State::dispatched && a.boot_id != boot_id_) {
    FB_TRY(const bool moved, move(a, {State::unknown, "sent by an earlier run of the service"}));
    if (!moved) return {};
  } else if ((a.state == State::dispatched || a.state == State::accepted) && is_due(a)) {
    const char* why = a.state == State::accepted ? "accepted, and no result came" : "no answer came";
    FB_TRY_VOID(move(a, {State::unknown, why, now_ms_ + backoff_ms(a.attempts)}));
    return {};
  }
  if (unsent(a.state) || a.state == State::unknown) return send_if_due(a, e);
  return {};
}

// Waits are kept as wall time, since they outlive the process. One that is further away than any wait can be was set
// before somebody moved the clock back.
bool DispatchCore::is_due(const OpenAction& a) const {
  const int64_t longest = std::max({settings_.retry_max_ms, settings_.result_timeout_ms, settings_.answer_timeout_ms});
  return a.next_try_ms <= now_ms_ || a.next_try_ms > now_ms_ + longest;
}

// A bucket that holds what a minute allows and is full at the start.
bool DispatchCore::take_token() {
  const auto most = static_cast<double>(settings_.connector_per_minute);
  if (tokens_mono_ms_ < 0) {
    tokens_ = most;
  } else {
    tokens_ = std::min(most, tokens_ + static_cast<double>(mono_ms_ - tokens_mono_ms_) * most / 60'000.0);
  }
  tokens_mono_ms_ = mono_ms_;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

bool DispatchCore::may_isolate(const Endpoint& e, bool override_protected, std::string& why) const {
  if (kill_switch_.on()) {
    why = "the kill switch is on";
    return false;
  }
  if (e.is_protected && !override_protected) {
    why = "the endpoint is protected";
    return false;
  }
  if (e.is_duplicate) {
    why = "duplicate_identity: two machines use the identity of the endpoint";
    return false;
  }
  return true;
}

Status DispatchCore::send_if_due(OpenAction& a, const Endpoint& e) {
  if (a.verb == Verb::isolate) {
    std::string why;
    if (!may_isolate(e, a.override_protected, why)) {
      // What may have arrived is not called blocked; it is not sent again either, and waits for its answer.
      if (unsent(a.state)) {
        Change change{State::blocked, why};
        change.guard = kill_switch_.on()                         ? Guard::kill_switch
                       : e.is_protected && !a.override_protected ? Guard::protected_endpoint
                                                                 : Guard::unknown_target;
        FB_TRY_VOID(move(a, std::move(change)));
      }
      return {};
    }
  }
  if (e.status == AgentStatus::offline) {
    if (a.state == State::requested) FB_TRY_VOID(move(a, {State::queued, "the endpoint is offline"}));
    return {};
  }
  if (!is_due(a)) return {};
  if (a.verb == Verb::isolate && settings_.connector_per_minute > 0 && !take_token()) {
    if (a.state == State::requested) {
      FB_TRY_VOID(move(a, {State::queued, "connector_bucket: more isolations than " +
                                              std::to_string(settings_.connector_per_minute) + " a minute"}));
    }
    return {};
  }
  return send(a, e);
}

Status DispatchCore::send(OpenAction& a, const Endpoint& e) {
  if (a.verb == Verb::isolate) {
    // The pass may have taken a while; the stop holds from the moment it is pulled.
    if (Status s = kill_switch_.refresh(store_); !s || kill_switch_.on()) return {};
  }
  const bool first = a.attempts == 0;
  FB_TRY(const bool mine, move(a, {State::dispatched, "attempt " + std::to_string(a.attempts + 1),
                                   now_ms_ + settings_.answer_timeout_ms, std::nullopt, true}));
  if (!mine) return {};
  FB_TRY_VOID(failpoint("dispatch.before_send"));

  Command c;
  c.action_id = a.action_id;
  c.verb = a.verb;
  c.endpoint_id = e.endpoint_id;
  c.generation = a.generation;
  c.comment = a.comment;
  c.lease_ms = a.lease_ms;
  c.expires_at_ms = a.verb == Verb::isolate ? a.expires_at_ms : 0;  // a release is never refused for time
  c.override_protected = a.override_protected;
  c.attempt = a.attempts;
  const Result<SendOutcome> outcome = plugin_.send(c);
  FB_TRY_VOID(failpoint("dispatch.after_send"));
  if (first) {
    to_dispatch_.observe(seconds(now_ms_ - a.created_at_ms));
    if (a.event_base_ms > 0) event_to_dispatch_.observe(seconds(now_ms_ - a.event_base_ms));
  }

  std::optional<Change> change;
  if (!outcome) {
    const Error& error = outcome.error();
    const int64_t again = now_ms_ + backoff_ms(a.attempts);
    if (error.code == ErrorCode::conflict) {
      change = Change{State::superseded, error.describe()};
    } else if (error.retry == Retry::no) {
      change = Change{State::failed, error.describe()};
    } else if (error.code == ErrorCode::unavailable) {
      change = Change{State::queued, error.describe(), again};
    } else {
      change = Change{State::unknown, error.describe(), again};
    }
  } else if (*outcome == SendOutcome::offline) {
    change = Change{State::queued, "the endpoint is offline", now_ms_ + backoff_ms(a.attempts)};
  } else if (*outcome == SendOutcome::accepted) {
    change = Change{State::accepted, "the endpoint has the command", now_ms_ + settings_.result_timeout_ms};
  }
  if (!change) return {};
  if (change->to == State::superseded) return supersede(a, std::move(change->detail));
  FB_TRY_VOID(move(a, std::move(*change)));
  return {};
}

int64_t DispatchCore::backoff_ms(int attempts) {
  int64_t bound = settings_.retry_first_ms;
  for (int i = 1; i < attempts && bound < settings_.retry_max_ms; ++i) bound *= 2;
  bound = std::min(bound, settings_.retry_max_ms);
  return std::uniform_int_distribution<int64_t>(0, bound)(random_);
}

}  // namespace fb
