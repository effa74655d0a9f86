// Response actions as a client sees them: one entry a request of a person (over the actions of its endpoints, the open
// one that an endpoint's part joined included), one an action by a rule. And endpoints with what an operator asks of
// them. Plain data; the calls are the Store's (store.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/model.h"

namespace fb {

// Kibana's three words for what became of an action. successful comes from read-back only.
enum class Outcome : uint8_t { pending, successful, failed };
std::string_view to_string(Outcome);
Outcome outcome_of(ActionState state);

// One endpoint's part.
struct ResponsePart {
  std::string endpoint_id;
  std::string hostname;   // "" when it is not known (any more)
  std::string action_id;  // the one that it joined, if it did
  bool joined = false;
  ActionState state = ActionState::requested;
  std::string guard;
  std::string detail;
  std::string decided_by;
  bool override_protected = false;
  int64_t finished_at_ms = 0;  // 0 = not over; never before the request
  int64_t expires_at_ms = 0;
  int64_t lease_ms = 0;
};

struct ResponseEntry {
  std::string id;  // a UUID; of an action by a rule its action id
  Verb verb = Verb::isolate;
  bool by_rule = false;
  std::string rule_id;
  std::string rule_uuid;  // what its alert calls the rule (kibana.alert.rule.uuid)
  std::string rule_name;
  std::string comment;
  std::string requested_by;
  int64_t created_at_ms = 0;
  std::vector<std::string> alert_ids;
  std::vector<std::string> case_ids;
  std::vector<ResponsePart> parts;
};

// Empty lists and absent values do not filter.
struct ResponseFilter {
  std::vector<std::string> ids;
  std::vector<std::string> endpoint_ids;
  std::vector<std::string> commands;  // "isolate", "release"
  std::vector<std::string> users;     // names; "unknown" is a rule
  std::vector<std::string> outcomes;
  std::optional<bool> automated;  // of a rule, or asked for with alerts, as Kibana counts them
  std::optional<int64_t> from_ms;
  std::optional<int64_t> to_ms;  // included
  int64_t limit = 10;
  int64_t skip = 0;
};

struct ResponsePage {
  std::vector<ResponseEntry> entries;  // newest first
  int64_t total = 0;                   // without limit and skip
};

// How many open actions there are on an endpoint, by verb.
using OpenCounts = std::map<Verb, int64_t>;

struct EndpointDetails {
  Endpoint endpoint;
  std::string status_detail;
  bool drifted = false;
  std::vector<std::string> problems;
  int64_t enrolled_at_ms = 0;
  int64_t isolated_at_ms = 0;
  std::string policy_id;
  std::string policy_name;
  int64_t policy_version = 0;
  std::string policy_digest;  // of the policy in force there while it is isolated
  OpenCounts open;
  // Its newest action; an empty id when there was none.
  std::string last_action_id;
  Verb last_verb = Verb::isolate;
  ActionState last_state = ActionState::requested;
  int64_t last_at_ms = 0;
  bool revoked = false;  // it has no certificate that is valid, though it had one
};

// A page of all endpoints. Those alike in what they are ordered by come by their ids.
struct EndpointPick {
  enum class Order : uint8_t { enrolled_at, last_seen, hostname, os, ips, agent_version };
  Order order = Order::enrolled_at;
  bool descending = true;
  int64_t limit = 10;
  int64_t skip = 0;
};

struct EndpointPage {
  std::vector<EndpointDetails> endpoints;
  int64_t total = 0;  // without limit and skip
};

}  // namespace fb
