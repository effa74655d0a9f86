#include "engine/model/names.h"

#include <array>
#include <cstddef>

namespace fb {
namespace {

using std::string_view;

template <class Enum>
struct Words;
template <>
struct Words<Mode> {
  static constexpr std::array<string_view, 3> list{"dry_run", "approve", "enforce"};
};
template <>
struct Words<Verb> {
  static constexpr std::array<string_view, 2> list{"isolate", "release"};
};
template <>
struct Words<Severity> {
  static constexpr std::array<string_view, 4> list{"low", "medium", "high", "critical"};
};
template <>
struct Words<Verdict> {
  static constexpr std::array<string_view, 5> list{"would_act", "dry_run", "awaiting_approval", "blocked", "joined"};
};
template <>
struct Words<Guard> {
  static constexpr std::array<string_view, 19> list{
      "",          "kill_switch", "mode",          "protected",     "unknown_target", "in_flight",
      "cooldown",  "rule_budget", "fleet_breaker", "group_breaker", "probation",      "corroboration",
      "freshness", "maintenance", "approval",      "lease",         "intent_expiry",  "connector_bucket",
      "loop"};
};
template <>
struct Words<ActionState> {
  static constexpr std::array<string_view, 13> list{
      "requested", "dry_run",  "awaiting_approval", "denied", "blocked", "queued",    "dispatched",
      "unknown",   "accepted", "verified",          "failed", "expired", "superseded"};
};
template <>
struct Words<Isolation> {
  static constexpr std::array<string_view, 3> list{"unknown", "released", "isolated"};
};
template <>
struct Words<AgentStatus> {
  static constexpr std::array<string_view, 3> list{"online", "offline", "unhealthy"};
};

template <class Enum>
string_view word(Enum value) {
  return Words<Enum>::list.at(static_cast<size_t>(value));
}

}  // namespace

string_view to_string(Mode v) {
  return word(v);
}
string_view to_string(Verb v) {
  return word(v);
}
string_view to_string(Severity v) {
  return word(v);
}
string_view to_string(Verdict v) {
  return word(v);
}
string_view to_string(Guard v) {
  return word(v);
}
string_view to_string(ActionState v) {
  return word(v);
}
string_view to_string(Isolation v) {
  return word(v);
}
string_view to_string(AgentStatus v) {
  return word(v);
}

template <class Enum>
std::optional<Enum> from_string(string_view text) {
  for (size_t i = 0; i < Words<Enum>::list.size(); ++i) {
    if (Words<Enum>::list[i] == text) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

template std::optional<Mode> from_string<Mode>(string_view);
template std::optional<Verb> from_string<Verb>(string_view);
template std::optional<Severity> from_string<Severity>(string_view);
template std::optional<Verdict> from_string<Verdict>(string_view);
template std::optional<Guard> from_string<Guard>(string_view);
template std::optional<ActionState> from_string<ActionState>(string_view);
template std::optional<Isolation> from_string<Isolation>(string_view);
template std::optional<AgentStatus> from_string<AgentStatus>(string_view);

bool is_open(ActionState s) {
  switch (s) {
    case ActionState::requested:
    case ActionState::awaiting_approval:
    case ActionState::queued:
    case ActionState::dispatched:
    case ActionState::unknown:
    case ActionState::accepted:
      return true;
    case ActionState::dry_run:
    case ActionState::denied:
    case ActionState::blocked:
    case ActionState::verified:
    case ActionState::failed:
    case ActionState::expired:
    case ActionState::superseded:
      return false;
  }
  return false;
}

}  // namespace fb
