// What the guard may be told: the service's mode, its limits, and which endpoints are protected. Plain data with the
// defaults of docs/guard.md; the config file's words for it are set through the functions below. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/model/model.h"

namespace fb {

// response.protected: who is never isolated by a rule. An entry is an endpoint id, a host id, a host name (case does
// not matter, nor does a dot at the end) or "tag:<tag>".
class ProtectedList {
 public:
  Status add(std::string_view entry);           // invalid_argument for an empty entry or tag
  bool covers(const Endpoint& endpoint) const;  // by all that the directory knows of it, never by an event's words
  bool names_id(std::string_view endpoint_id) const;  // by its id alone
  bool empty() const { return ids_.empty() && tags_.empty(); }

 private:
  std::vector<std::string> ids_;   // lower case, sorted: ids and names share one list
  std::vector<std::string> tags_;  // sorted
};

// A limit on a number of endpoints: the greater of a fixed number and a share of the enrolled ones.
struct EndpointLimit {
  int64_t min = 0;
  int64_t percent = 0;

  int64_t of(int64_t enrolled) const;
};

struct GuardSettings {
  Mode mode = Mode::dry_run;  // response.mode; a rule's own mode is a ceiling under it

  int64_t cooldown_same_rule_ms = 60 * 60'000;  // after a release, for the rule whose isolation it ended
  int64_t cooldown_any_rule_ms = 10 * 60'000;   // after a release, for every rule

  EndpointLimit rule_budget{3, 1};  // endpoints with a new intent of one rule within the window
  int64_t rule_budget_window_ms = 10 * 60'000;

  EndpointLimit fleet_standing{3, 5};  // endpoints that stand isolated by rules
  EndpointLimit fleet_new{10, 2};      // endpoints with a new intent of any rule within the window
  int64_t fleet_new_window_ms = 60 * 60'000;
  int64_t fleet_reserve_percent = 30;  // of both, in whole endpoints, kept for rules of severity critical

  // Of each group (tag `group:` or `site:`) that an endpoint belongs to.
  int64_t group_percent = 20;   // at most this share stands isolated by rules
  int64_t group_min_alive = 1;  // so many are left that nobody isolated

  int64_t probation_days = 7;  // a text of a rule only watches for so long after it was first seen

  int64_t corroboration_rules = 2;                // distinct rules that must agree about an endpoint
  int64_t corroboration_window_ms = 10 * 60'000;  // within this; the cool-down's exception counts in it too

  int64_t freshness_limit_ms = 15 * 60'000;  // an older cause goes to a person

  int64_t lease_max_ms = 24 * 3'600'000ll;  // a rule's isolation that would last longer goes to a person
  int64_t default_lease_ms = 0;             // response.lease: of an isolation that names none; 0 = until released

  int64_t approval_expiry_ms = 4 * 3'600'000ll;  // what nobody decided on by then is over
  int64_t intent_expiry_ms = 14 * 86'400'000ll;  // what could not be delivered by then is over
  int64_t connector_per_minute = 0;              // isolations sent; 0 = as many as there are

  ProtectedList protected_list;

  // As shipped, all guards are on but those that a fleet has to opt into. The config file can switch what only limits;
  // mode and the hard guards stay on.
  bool is_on(Guard guard) const { return (off_ & bit(guard)) == 0; }
  void turn(Guard guard, bool on);

 private:
  static constexpr uint32_t bit(Guard guard) { return 1u << static_cast<unsigned>(guard); }
  uint32_t off_ = bit(Guard::probation) | bit(Guard::corroboration) | bit(Guard::lease);
};

// One line under response.guards: `set_guard_option(s, "freshness_limit", "20m")`. Values are "on"/"off" for a guard's
// name, a duration ("90s", "15m") or a whole number for the others, as docs/guard.md lists them. An unknown key names
// the nearest known one.
Status set_guard_option(GuardSettings& settings, std::string_view key, std::string_view value);

}  // namespace fb
