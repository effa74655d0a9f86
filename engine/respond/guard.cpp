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
  if (c.facts.known) return std::nullopt;
  std::string why = c.action.target_note;
  if (why.empty()) {
    why =
        c.action.endpoint_id.empty() ? "no endpoint is named" : "endpoint " + c.action.endpoint_id + " is not enrolled";
  }
  return decided(Verdict::blocked, Guard::unknown_target, std::move(why));
}

Answer check_in_flight(const Case& c) {
  const Facts& f = c.facts;
  if (!f.open_isolate.empty() && f.open_isolate != c.action.action_id && !f.open_isolate_awaits_approval) {
    return decided(Verdict::joined, Guard::in_flight, "an isolation of this endpoint is on its way", f.open_isolate);
  }
  if (!f.standing_isolate.empty() && f.standing_isolate != c.action.action_id) {
    return decided(Verdict::joined, Guard::in_flight, "the endpoint is isolated already", f.standing_isolate);
  }
  return std::nullopt;
}

// A release in the future (somebody set the clock back) counts as one just now.
Answer check_cooldown(const Case& c) {
  if (c.facts.released_at_ms == 0) return std::nullopt;
  const int64_t since = c.now_ms - c.facts.released_at_ms;
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
  FB_TRY_VOID(c.ledger.trip_rule(c.rule_id(), why));
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
  if (!tripped) {
    FB_TRY_VOID(c.ledger.trip_fleet(why));
  }
  return decided(Verdict::awaiting_approval, Guard::fleet_breaker, std::move(why));
}

// A cause without a time is as good as an old one.
Answer check_freshness(const Case& c) {
  const int64_t base = c.action.event_age_base_ms;
  if (base > 0 && c.now_ms - base <= c.settings.freshness_limit_ms) return std::nullopt;
  return decided(Verdict::awaiting_approval, Guard::freshness,
                 base > 0 ? "the event is older than " + minutes(c.settings.freshness_limit_ms)
                          : "nobody knows how old the event is");
}

// The guards in their order. `every`: asked for a person's isolation and for an approved one too.
enum class Asked : uint8_t { every, rules_only };
struct Row {
  Guard guard;
  Asked asked;
  Answer (*check)(const Case&);
};
constexpr std::array<Row, 9> kOrder{{
    {Guard::kill_switch, Asked::every, check_kill_switch},
    {Guard::mode, Asked::rules_only, check_mode},
    {Guard::protected_endpoint, Asked::every, check_protected},
    {Guard::unknown_target, Asked::every, check_unknown_target},
    {Guard::in_flight, Asked::every, check_in_flight},
    {Guard::cooldown, Asked::rules_only, check_cooldown},
    {Guard::rule_budget, Asked::rules_only, check_rule_budget},
    {Guard::fleet_breaker, Asked::rules_only, check_fleet_breaker},
    {Guard::freshness, Asked::rules_only, check_freshness},
}};

Result<Judgement> judge_isolate(const Case& c) {
  const bool by_rule = !c.action.manual && !c.action.approved;
  std::optional<Judgement> question;  // what a person would be asked
  for (const Row& row : kOrder) {
    if (!c.settings.is_on(row.guard) || (row.asked == Asked::rules_only && !by_rule)) continue;
    // Once it is a person's to decide, only those guards still speak that would hold after the approval too: nobody is
    // asked what can't be done.
    if (question && row.asked == Asked::rules_only) break;
    FB_TRY(std::optional<Judgement> answer, row.check(c));
    if (!answer) continue;
    if (answer->verdict != Verdict::awaiting_approval) return std::move(*answer);
    if (!question) question = std::move(answer);
  }
  if (!question) return decided(Verdict::would_act, Guard::none, "all guards passed");
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
