#include "engine/respond/guard.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

namespace fb {
namespace {

using Facts = Ledger::EndpointFacts;
using Answer = Result<std::optional<Judgement>>;  // nothing: this guard passes

constexpr int64_t kDay = 86'400'000;
constexpr int64_t kOwnEventsMs = 60 * 60'000;  // so long after an action of ours its own events may still come
constexpr size_t kMostToldActions = 8;         // an event of ours names one
constexpr int64_t kSameLeaseMs = 60'000;       // what lasts no more than this longer is no other wish

std::string short_of(const std::string& id) {
  return id.size() <= 12 ? id : id.substr(0, 12) + "...";
}

// One judgement's view of the world; the endpoint's facts are asked for once.
struct Case {
  const PlannedAction& action;
  const GuardSettings& settings;
  const KillSwitch* kill_switch;
  Ledger& ledger;
  int64_t now_ms;
  Facts facts;  // of action.endpoint_id; known = false when that is empty

  const std::string& rule_id() const { return action.rule->rule_id; }
  bool is_critical() const { return action.rule->severity == Severity::critical; }

  // The rule's text is too new to act.
  Result<bool> on_trial() const {
    if (!settings.is_on(Guard::probation)) return false;
    FB_TRY(const int64_t since, ledger.rule_first_seen(action.rule->rule_id, action.rule->hash));
    return now_ms - since < settings.probation_days * kDay;
  }
  // The event tells of our own doing. An id that it names counts when this record gave that action to this very
  // endpoint, and lately: a made-up or an old one would be a way to stay unharmed.
  Result<bool> self_caused() const {
    if (action.self_caused) return true;
    for (size_t i = 0; i < action.told_actions.size() && i < kMostToldActions; ++i) {
      FB_TRY(const bool ours, ledger.issued(action.told_actions[i], action.endpoint_id, now_ms - kOwnEventsMs));
      if (ours) return true;
    }
    return false;
  }
  // It can't become an isolation whatever the budgets say, so it must not trip them either.
  Result<bool> only_watches() const {
    if (settings.is_on(Guard::loop)) {
      FB_TRY(const bool own, self_caused());
      if (own) return true;
    }
    return on_trial();
  }
};

Judgement decided(Verdict verdict, Guard guard, std::string detail, std::string joined = {}) {
  return {verdict, guard, std::move(detail), std::move(joined)};
}

std::string minutes(int64_t ms) {
  if (ms % 60'000 == 0) return std::to_string(ms / 60'000) + " min";
  return std::to_string(ms / 1000) + " s";
}

Answer check_kill_switch(const Case& c) {
  if (c.kill_switch == nullptr || !c.kill_switch->on()) return std::nullopt;
  return decided(Verdict::blocked, Guard::kill_switch, "the kill switch is on: no isolation starts");
}

Answer check_mode(const Case& c) {
  const Mode mode = std::min(c.settings.mode, c.action.ceiling);
  if (mode == Mode::enforce) return std::nullopt;
  std::string whose = c.settings.mode <= c.action.ceiling ? "the service" : "rule " + c.rule_id();
  if (mode == Mode::dry_run) return decided(Verdict::dry_run, Guard::mode, whose + " is in mode dry_run");
  return decided(Verdict::awaiting_approval, Guard::mode, whose + " is in mode approve");
}

Answer check_protected(const Case& c) {
  if (!c.facts.is_protected && !c.settings.protected_list.names_id(c.action.endpoint_id)) return std::nullopt;
  if (c.action.manual && c.action.override_protected) {
    if (c.action.approved) return std::nullopt;
    return decided(Verdict::awaiting_approval, Guard::protected_endpoint,
                   "endpoint " + c.action.endpoint_id + " is protected: a second person must agree");
  }
  return decided(Verdict::blocked, Guard::protected_endpoint, "endpoint " + c.action.endpoint_id + " is protected");
}

Answer check_unknown_target(const Case& c) {
  // One name for two machines is none: nobody knows which of them would be cut off.
  if (c.facts.is_duplicate && c.action.verb == Verb::isolate) {
    return decided(Verdict::blocked, Guard::unknown_target,
                   "duplicate_identity: two machines use the identity of endpoint " + c.action.endpoint_id +
                       "; see `firebreak agents`, then approve or revoke it");
  }
  if (c.facts.known) return std::nullopt;
  std::string why = c.action.target_note;
  if (why.empty()) {
    why =
        c.action.endpoint_id.empty() ? "no endpoint is named" : "endpoint " + c.action.endpoint_id + " is not enrolled";
  }
  return decided(Verdict::blocked, Guard::unknown_target, std::move(why));
}

// A person's isolation that would last longer than one that ends at `until_ms` (0: when it is released).
bool outlasts(const Case& c, int64_t until_ms) {
  if (until_ms == 0) return false;
  const int64_t lease = c.action.lease_ms.value_or(c.settings.default_lease_ms);
  return lease <= 0 || lease > until_ms - c.now_ms + kSameLeaseMs;
}

// What a person wants is not answered with what is not so (the endpoint left its isolation) or ends too early: such a
// one goes out again, as a later command. Rules join whatever there is: repairing what drifted is the dispatcher's, and
// a rule that alerts again and again would else lengthen its isolation with each event.
Answer check_in_flight(const Case& c) {
  const Facts& f = c.facts;
  const bool by_person = c.action.manual || c.action.approved;
  const int64_t open_until = f.open_lease_ms > 0 ? c.now_ms + f.open_lease_ms : 0;
  if (!f.open_isolate.empty() && f.open_isolate != c.action.action_id && !f.open_isolate_awaits_approval) {
    if (by_person && outlasts(c, open_until)) return std::nullopt;
    return decided(Verdict::joined, Guard::in_flight, "an isolation of this endpoint is on its way", f.open_isolate);
  }
  if (!f.standing_isolate.empty() && f.standing_isolate != c.action.action_id) {
    if (by_person && (f.observed != Isolation::isolated || outlasts(c, f.standing_until_ms))) return std::nullopt;
    return decided(Verdict::joined, Guard::in_flight, "the endpoint is isolated already", f.standing_isolate);
  }
  return std::nullopt;
}

// A release in the future (somebody set the clock back) counts as one just now.
Answer check_cooldown(const Case& c) {
  if (c.facts.released_at_ms == 0) return std::nullopt;
  const int64_t since = c.now_ms - c.facts.released_at_ms;
  if (since >= std::max(c.settings.cooldown_same_rule_ms, c.settings.cooldown_any_rule_ms)) return std::nullopt;
  if (c.is_critical()) {
    // Several rules that agree about one endpoint are no flapping rule.
    FB_TRY(const int64_t agree,
           c.ledger.rules_alerting_since(c.action.endpoint_id, c.now_ms - c.settings.corroboration_window_ms));
    if (agree >= 2) return std::nullopt;
  }
  if (c.facts.released_rule == c.rule_id() && since < c.settings.cooldown_same_rule_ms) {
    return decided(
        Verdict::awaiting_approval, Guard::cooldown,
        "an isolation by this rule was released less than " + minutes(c.settings.cooldown_same_rule_ms) + " ago");
  }
  if (since < c.settings.cooldown_any_rule_ms) {
    return decided(Verdict::awaiting_approval, Guard::cooldown,
                   "the endpoint was released less than " + minutes(c.settings.cooldown_any_rule_ms) + " ago");
  }
  return std::nullopt;
}

Answer check_rule_budget(const Case& c) {
  FB_TRY(const bool tripped, c.ledger.rule_tripped(c.rule_id()));
  if (tripped) {
    return decided(Verdict::awaiting_approval, Guard::rule_budget,
                   "rule " + c.rule_id() + " went over its budget and was not reset since");
  }
  FB_TRY(const int64_t enrolled, c.ledger.enrolled());
  FB_TRY(const int64_t before, c.ledger.rule_intents_since(c.rule_id(), c.now_ms - c.settings.rule_budget_window_ms));
  const int64_t limit = c.settings.rule_budget.of(enrolled);
  if (before + 1 <= limit) return std::nullopt;
  std::string why = "rule " + c.rule_id() + " would isolate " + std::to_string(before + 1) + " endpoints within " +
                    minutes(c.settings.rule_budget_window_ms) + "; " + std::to_string(limit) + " are allowed";
  FB_TRY(const bool only_watches, c.only_watches());
  if (!only_watches) FB_TRY_VOID(c.ledger.trip_rule(c.rule_id(), why));
  return decided(Verdict::awaiting_approval, Guard::rule_budget, std::move(why));
}

// What a rule may use of a fleet limit: all of it when critical, else all but the reserve.
int64_t share(int64_t limit, const Case& c) {
  return c.is_critical() ? limit : limit - limit * c.settings.fleet_reserve_percent / 100;
}

// Open, the breaker leaves only the reserve, and that only to critical rules.
Answer check_fleet_breaker(const Case& c) {
  FB_TRY(const bool tripped, c.ledger.fleet_tripped());
  if (tripped && !c.is_critical()) {
    return decided(Verdict::awaiting_approval, Guard::fleet_breaker,
                   "the fleet breaker is open and was not reset since; only critical rules may use the reserve");
  }
  FB_TRY(const int64_t enrolled, c.ledger.enrolled());
  FB_TRY(const int64_t standing, c.ledger.standing_auto_isolations());
  FB_TRY(const int64_t fresh, c.ledger.auto_intents_since(c.now_ms - c.settings.fleet_new_window_ms));
  const int64_t standing_limit = share(c.settings.fleet_standing.of(enrolled), c);
  const int64_t fresh_limit = share(c.settings.fleet_new.of(enrolled), c);
  std::string why;
  if (standing + 1 > standing_limit) {
    why = std::to_string(standing + 1) + " endpoints would stand isolated by rules; " + std::to_string(standing_limit) +
          " are allowed";
  } else if (fresh + 1 > fresh_limit) {
    why = "rules would isolate " + std::to_string(fresh + 1) + " endpoints within " +
          minutes(c.settings.fleet_new_window_ms) + "; " + std::to_string(fresh_limit) + " are allowed";
  } else {
    return std::nullopt;
  }
  if (!c.is_critical()) why += " below the reserve for critical rules";
  FB_TRY(const bool only_watches, c.only_watches());
  if (!tripped && !only_watches) FB_TRY_VOID(c.ledger.trip_fleet(why));
  return decided(Verdict::awaiting_approval, Guard::fleet_breaker, std::move(why));
}

Answer check_group_breaker(const Case& c) {
  FB_TRY(const std::vector<Ledger::Group> groups, c.ledger.groups_of(c.action.endpoint_id));
  for (const Ledger::Group& g : groups) {
    const int64_t most = g.members * c.settings.group_percent / 100;
    if (g.isolated_auto + 1 > most) {
      return decided(Verdict::awaiting_approval, Guard::group_breaker,
                     std::to_string(g.isolated_auto + 1) + " of the " + std::to_string(g.members) + " endpoints of " +
                         g.tag + " would stand isolated by rules; " + std::to_string(most) + " are allowed");
    }
    const int64_t alive = g.members - g.isolated - 1;
    if (alive < c.settings.group_min_alive) {
      return decided(Verdict::awaiting_approval, Guard::group_breaker,
                     std::to_string(alive) + " endpoints of " + g.tag + " would be left; " +
                         std::to_string(c.settings.group_min_alive) + " must be");
    }
  }
  return std::nullopt;
}

Answer check_probation(const Case& c) {
  FB_TRY(const bool on_trial, c.on_trial());
  if (!on_trial) return std::nullopt;
  return decided(Verdict::dry_run, Guard::probation,
                 "this text of rule " + c.rule_id() + " is known for less than " +
                     std::to_string(c.settings.probation_days) + " days and only watches");
}

Answer check_corroboration(const Case& c) {
  const ResponseCeiling& own = c.action.rule->response;
  const int64_t wanted = own.certain ? 1 : own.corroboration > 0 ? own.corroboration : c.settings.corroboration_rules;
  if (wanted <= 1) return std::nullopt;
  FB_TRY(const int64_t agree,
         c.ledger.rules_alerting_since(c.action.endpoint_id, c.now_ms - c.settings.corroboration_window_ms));
  if (agree >= wanted) return std::nullopt;
  return decided(Verdict::awaiting_approval, Guard::corroboration,
                 std::to_string(agree) + " of the " + std::to_string(wanted) +
                     " rules that must agree about the endpoint have alerted within " +
                     minutes(c.settings.corroboration_window_ms));
}

// A cause without a time is as good as an old one.
Answer check_freshness(const Case& c) {
  const int64_t base = c.action.event_age_base_ms;
  if (base > 0 && c.now_ms - base <= c.settings.freshness_limit_ms) return std::nullopt;
  return decided(Verdict::awaiting_approval, Guard::freshness,
                 base > 0 ? "the event is older than " + minutes(c.settings.freshness_limit_ms)
                          : "nobody knows how old the event is");
}

// What is left out goes before what only waits.
Answer check_maintenance(const Case& c) {
  FB_TRY(const std::vector<Ledger::Maintenance> windows, c.ledger.maintenance_of(c.action.endpoint_id, c.now_ms));
  std::optional<Judgement> asks;
  for (const Ledger::Maintenance& w : windows) {
    if (c.is_critical() && !w.include_critical) continue;
    if (w.suppress) {
      return decided(Verdict::blocked, Guard::maintenance, "maintenance " + w.id + " leaves isolations by rules out");
    }
    if (!asks) {
      asks = decided(Verdict::awaiting_approval, Guard::maintenance,
                     "the endpoint is under maintenance (" + w.id + "); a person decides");
    }
  }
  return asks;
}

Answer check_lease(const Case& c) {
  const int64_t lease = c.action.lease_ms.value_or(c.settings.default_lease_ms);
  if (lease > 0 && lease <= c.settings.lease_max_ms) return std::nullopt;
  return decided(
      Verdict::awaiting_approval, Guard::lease,
      (lease > 0 ? "the isolation would last " + minutes(lease) : std::string("the isolation has no lease")) +
          "; by itself a rule may isolate for at most " + minutes(c.settings.lease_max_ms));
}

Answer check_loop(const Case& c) {
  FB_TRY(const bool own, c.self_caused());
  if (!own) return std::nullopt;
  return decided(Verdict::blocked, Guard::loop, "the event tells of Firebreak's own doing");
}

// The guards in their order. `every`: asked for a person's isolation and for an approved one too. `rules_always`: for a
// rule's, even when a person would be asked already, since nobody is asked about what is not to be done.
enum class Asked : uint8_t { every, rules_only, rules_always };
struct Row {
  Guard guard;
  Asked asked;
  Answer (*check)(const Case&);
};
constexpr std::array<Row, 15> kOrder{{
    {Guard::kill_switch, Asked::every, check_kill_switch},
    {Guard::mode, Asked::rules_only, check_mode},
    {Guard::protected_endpoint, Asked::every, check_protected},
    {Guard::unknown_target, Asked::every, check_unknown_target},
    {Guard::in_flight, Asked::every, check_in_flight},
    {Guard::cooldown, Asked::rules_only, check_cooldown},
    {Guard::rule_budget, Asked::rules_only, check_rule_budget},
    {Guard::fleet_breaker, Asked::rules_only, check_fleet_breaker},
    {Guard::group_breaker, Asked::rules_only, check_group_breaker},
    {Guard::probation, Asked::rules_always, check_probation},
    {Guard::corroboration, Asked::rules_only, check_corroboration},
    {Guard::freshness, Asked::rules_only, check_freshness},
    {Guard::maintenance, Asked::rules_always, check_maintenance},
    {Guard::lease, Asked::rules_only, check_lease},
    {Guard::loop, Asked::rules_always, check_loop},
}};

Result<Judgement> judge_isolate(const Case& c) {
  const bool by_rule = !c.action.manual && !c.action.approved;
  std::optional<Judgement> question;  // what a person would be asked
  for (const Row& row : kOrder) {
    if (!c.settings.is_on(row.guard) || (row.asked != Asked::every && !by_rule)) continue;
    // Once it is a person's to decide, only those guards still speak that would hold after the approval too: nobody is
    // asked what can't be done.
    if (question && row.asked == Asked::rules_only) continue;
    FB_TRY(std::optional<Judgement> answer, row.check(c));
    if (!answer) continue;
    if (answer->verdict != Verdict::awaiting_approval) return std::move(*answer);
    if (!question) question = std::move(answer);
  }
  if (!question) {
    std::string detail = "all guards passed";
    // It stood in the event and was no action of ours: somebody may have hoped to be spared by it.
    if (!c.action.told_actions.empty()) {
      detail +=
          "; the event names action " + short_of(c.action.told_actions.front()) + ", which is none of this endpoint";
    }
    return decided(Verdict::would_act, Guard::none, std::move(detail));
  }
  // One question an endpoint: a second alert joins the first while it waits.
  if (c.facts.open_isolate_awaits_approval && c.facts.open_isolate != c.action.action_id) {
    return decided(Verdict::joined, Guard::in_flight, "an isolation of this endpoint awaits approval",
                   c.facts.open_isolate);
  }
  return std::move(*question);
}

Result<Judgement> judge_release(const Case& c) {
  if (!c.action.manual && !c.action.approved && c.settings.is_on(Guard::mode)) {
    FB_TRY(std::optional<Judgement> answer, check_mode(c));
    if (answer) return std::move(*answer);
  }
  if (c.settings.is_on(Guard::unknown_target)) {
    FB_TRY(std::optional<Judgement> answer, check_unknown_target(c));
    if (answer) return std::move(*answer);
  }
  return decided(Verdict::would_act, Guard::none, "a release is never held back");
}

}  // namespace

ActionGuard::ActionGuard(GuardSettings settings, const KillSwitch& kill_switch)
    : ActionGuard(std::move(settings), &kill_switch) {}

ActionGuard::ActionGuard(GuardSettings settings, const KillSwitch* kill_switch)
    : settings_(std::move(settings)), kill_switch_(kill_switch) {}

ActionGuard ActionGuard::for_replay(GuardSettings live) {
  live.turn(Guard::mode, false);
  live.turn(Guard::kill_switch, false);
  live.turn(Guard::freshness, false);
  live.turn(Guard::probation, false);
  return ActionGuard(std::move(live), nullptr);
}

Result<Judgement> ActionGuard::judge(const PlannedAction& action, Ledger& ledger, int64_t now_ms) {
  if (!action.manual && !action.approved && action.rule == nullptr) {
    return fail(ErrorCode::internal, "an automated action without a rule", action.action_id);
  }
  Case c{action, settings_, kill_switch_, ledger, now_ms, {}};
  if (!action.endpoint_id.empty()) {
    FB_TRY(c.facts, ledger.endpoint(action.endpoint_id));
  }
  return action.verb == Verb::release ? judge_release(c) : judge_isolate(c);
}

}  // namespace fb
