#include "engine/respond/guard_settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "engine/base/text.h"

namespace fb {
namespace {

std::string canonical(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (out.size() > 1 && out.back() == '.') out.pop_back();
  return out;
}

void insert_sorted(std::vector<std::string>& list, std::string value) {
  const auto at = std::lower_bound(list.begin(), list.end(), value);
  if (at == list.end() || *at != value) list.insert(at, std::move(value));
}

bool contains(const std::vector<std::string>& list, const std::string& value) {
  return std::binary_search(list.begin(), list.end(), value);
}

struct Duration {
  std::string_view key;
  int64_t GuardSettings::*member;
  int64_t least_ms = 0;
};
constexpr std::array<Duration, 9> kDurations{{
    {"cooldown_same_rule", &GuardSettings::cooldown_same_rule_ms},
    {"cooldown_any_rule", &GuardSettings::cooldown_any_rule_ms},
    {"rule_budget_window", &GuardSettings::rule_budget_window_ms},
    {"fleet_new_window", &GuardSettings::fleet_new_window_ms},
    {"freshness_limit", &GuardSettings::freshness_limit_ms},
    {"corroboration_window", &GuardSettings::corroboration_window_ms},
    {"lease_max", &GuardSettings::lease_max_ms, 1000},
    {"approval_expiry", &GuardSettings::approval_expiry_ms, 60'000},
    {"intent_expiry", &GuardSettings::intent_expiry_ms, 60'000},
}};

struct Whole {
  std::string_view key;
  int64_t GuardSettings::*member;
  int64_t most = 0;
};
constexpr std::array<Whole, 6> kNumbers{{
    {"fleet_reserve_percent", &GuardSettings::fleet_reserve_percent, 100},
    {"group_percent", &GuardSettings::group_percent, 100},
    {"group_min_alive", &GuardSettings::group_min_alive, 1'000'000},
    {"probation_days", &GuardSettings::probation_days, 365},
    {"corroboration_rules", &GuardSettings::corroboration_rules, 100},
    {"connector_per_minute", &GuardSettings::connector_per_minute, 1'000'000},
}};

struct Limit {
  std::string_view min_key;
  std::string_view percent_key;
  EndpointLimit GuardSettings::*member;
};
constexpr std::array<Limit, 3> kLimits{{
    {"rule_budget_min", "rule_budget_percent", &GuardSettings::rule_budget},
    {"fleet_standing_min", "fleet_standing_percent", &GuardSettings::fleet_standing},
    {"fleet_new_min", "fleet_new_percent", &GuardSettings::fleet_new},
}};

// Those that may be switched by config, and those that may not.
constexpr std::array<Guard, 8> kSwitchable{Guard::cooldown,      Guard::rule_budget, Guard::fleet_breaker,
                                           Guard::group_breaker, Guard::probation,   Guard::corroboration,
                                           Guard::freshness,     Guard::lease};
constexpr std::array<Guard, 7> kFixed{
    Guard::kill_switch, Guard::mode, Guard::protected_endpoint, Guard::unknown_target, Guard::in_flight,
    Guard::maintenance, Guard::loop};

std::optional<int64_t> parse_whole(std::string_view text, int64_t most) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0 || value > most) return std::nullopt;
  return value;
}

tl::unexpected<Error> bad_value(std::string_view key, std::string_view value, const std::string& wanted) {
  return fail(ErrorCode::invalid_argument, "'" + printable(value) + "' is not " + wanted,
              "response.guards." + std::string(key));
}

Status set_number(int64_t& to, std::string_view key, std::string_view value, int64_t most) {
  const std::optional<int64_t> number = parse_whole(value, most);
  if (!number) return bad_value(key, value, "a whole number from 0 to " + std::to_string(most));
  to = *number;
  return {};
}

std::vector<std::string_view> all_keys() {
  std::vector<std::string_view> keys;
  for (const Duration& d : kDurations) keys.push_back(d.key);
  for (const Limit& l : kLimits) {
    keys.push_back(l.min_key);
    keys.push_back(l.percent_key);
  }
  for (const Whole& n : kNumbers) keys.push_back(n.key);
  for (Guard g : kSwitchable) keys.push_back(to_string(g));
  return keys;
}

}  // namespace

Status ProtectedList::add(std::string_view entry) {
  constexpr std::string_view kTag = "tag:";
  if (entry.starts_with(kTag)) {
    entry.remove_prefix(kTag.size());
    if (entry.empty()) return fail(ErrorCode::invalid_argument, "'tag:' without a tag", "response.protected");
    insert_sorted(tags_, std::string(entry));
    return {};
  }
  if (entry.empty()) return fail(ErrorCode::invalid_argument, "an empty entry", "response.protected");
  insert_sorted(ids_, canonical(entry));
  return {};
}

bool ProtectedList::names_id(std::string_view endpoint_id) const {
  return !ids_.empty() && contains(ids_, canonical(endpoint_id));
}

bool ProtectedList::covers(const Endpoint& endpoint) const {
  if (names_id(endpoint.endpoint_id) || names_id(endpoint.host_id) || names_id(endpoint.hostname)) return true;
  return std::any_of(endpoint.tags.begin(), endpoint.tags.end(),
                     [this](const std::string& tag) { return contains(tags_, tag); });
}

int64_t EndpointLimit::of(int64_t enrolled) const {
  return std::max(min, percent * std::max<int64_t>(enrolled, 0) / 100);
}

void GuardSettings::turn(Guard guard, bool on) {
  off_ = on ? off_ & ~bit(guard) : off_ | bit(guard);
}

Status set_guard_option(GuardSettings& settings, std::string_view key, std::string_view value) {
  for (const Duration& d : kDurations) {
    if (key != d.key) continue;
    const std::optional<int64_t> ms = parse_duration_ms(value);
    if (!ms || *ms < d.least_ms) {
      return bad_value(key, value,
                       d.least_ms == 0 ? std::string("a duration like 15m")
                                       : "a duration of at least " + std::to_string(d.least_ms / 1000) + "s");
    }
    settings.*d.member = *ms;
    return {};
  }
  for (const Limit& l : kLimits) {
    if (key == l.min_key) return set_number((settings.*l.member).min, key, value, 1'000'000);
    if (key == l.percent_key) return set_number((settings.*l.member).percent, key, value, 100);
  }
  for (const Whole& n : kNumbers) {
    if (key == n.key) return set_number(settings.*n.member, key, value, n.most);
  }

  const std::optional<Guard> guard = from_string<Guard>(key);
  if (guard && std::find(kSwitchable.begin(), kSwitchable.end(), *guard) != kSwitchable.end()) {
    if (value != "on" && value != "off") return bad_value(key, value, "on or off");
    settings.turn(*guard, value == "on");
    return {};
  }
  if (guard && std::find(kFixed.begin(), kFixed.end(), *guard) != kFixed.end()) {
    return fail(ErrorCode::invalid_argument, "this guard is always on", "response.guards." + std::string(key));
  }
  const std::vector<std::string_view> keys = all_keys();
  const std::string_view nearest = nearest_word(key, keys);
  std::string message = "unknown key '" + printable(key) + "'";
  if (!nearest.empty()) message += "; did you mean '" + std::string(nearest) + "'?";
  return fail(ErrorCode::invalid_argument, std::move(message), "response.guards");
}

}  // namespace fb
