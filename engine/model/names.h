// The words of Firebreak that stand in the database, the API, metrics and the terminal: one enum each, one spelling
// each. Values never change meaning; a new one is added at the end. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fb {

enum class Mode : uint8_t { dry_run, approve, enforce };

enum class Verb : uint8_t { isolate, release };

enum class Severity : uint8_t { low, medium, high, critical };

enum class Verdict : uint8_t { would_act, dry_run, awaiting_approval, blocked, joined };

// Which guard decided; `none` when all passed.
enum class Guard : uint8_t {
  none,
  kill_switch,
  mode,
  protected_endpoint,  // spelt "protected"
  unknown_target,
  in_flight,
  cooldown,
  rule_budget,
  fleet_breaker,
  group_breaker,
  probation,
  corroboration,
  freshness,
  maintenance,
  approval,
  lease,
  intent_expiry,
  connector_bucket,
  loop,
};

enum class ActionState : uint8_t {
  requested,
  dry_run,
  awaiting_approval,
  denied,
  blocked,
  queued,      // the endpoint is offline
  dispatched,  // on its way
  unknown,     // sent, and nobody knows what became of it
  accepted,    // the agent or EDR said it has the command
  verified,    // read back: the endpoint is in the state the action asked for
  failed,
  expired,
  superseded,  // a later action on the endpoint made it void
};

// Desired and observed state of an endpoint.
enum class Isolation : uint8_t { unknown, released, isolated };

enum class AgentStatus : uint8_t { online, offline, unhealthy };

std::string_view to_string(Mode);
std::string_view to_string(Verb);
std::string_view to_string(Severity);
std::string_view to_string(Verdict);
std::string_view to_string(Guard);  // "" for none
std::string_view to_string(ActionState);
std::string_view to_string(Isolation);
std::string_view to_string(AgentStatus);

// Exact spellings only; nothing for anything else.
template <class Enum>
std::optional<Enum> from_string(std::string_view word);

// May the action still change the endpoint or be waited for?
bool is_open(ActionState);

}  // namespace fb
