// Plain data that every layer shares. No behaviour, no library types: JSON stands in strings.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/names.h"

namespace fb {

// Where a record came from; the seed of every id.
struct SourcePosition {
  std::string cluster;  // Kafka's cluster id; "file" for files and standard input
  std::string topic;    // "" for files
  int32_t epoch = 0;    // raised by the operator when a topic is made anew
  int32_t partition = 0;
  int64_t offset = 0;  // files: the index over all inputs, blank lines not counted

  bool operator==(const SourcePosition&) const = default;
};

struct ResponseAction {
  Verb verb = Verb::isolate;
  std::string comment;
};

// A rule's own `response:` block: a ceiling under the service's settings.
struct ResponseCeiling {
  Mode mode = Mode::enforce;
  std::optional<int64_t> lease_ms;
  int corroboration = 0;  // distinct rules that must have alerted on the endpoint; 0 = as the service says
  bool certain = false;   // confidence: certain. The rule needs no other's word
};

// What of a rule goes into its alerts and into the guard. Immutable once loaded; shared by pointer.
struct RuleMeta {
  std::string rule_id;  // as written; the rule's identity
  std::string name;
  std::string description;
  std::string type;      // "query", ...
  std::string language;  // "kuery", ...
  Severity severity = Severity::low;
  int risk_score = 0;
  bool enabled = true;
  std::vector<std::string> tags;
  std::string parameters;  // the rule as one JSON object, Elastic's names; for kibana.alert.rule.parameters
  std::string hash;        // hex SHA-256 of the canonical rule
  std::string file;        // where it was loaded from
  uint32_t line = 0;
  std::string timestamp_override;  // "" = none
  std::vector<ResponseAction> actions;
  ResponseCeiling response;
};
using RuleMetaPtr = std::shared_ptr<const RuleMeta>;

// Who an event speaks of, as the event has it. Empty = absent. `ambiguous`: an identity field has two different values.
// `identity_mismatch`: what the event says is not what its topic proves; it never selects a target.
struct Target {
  std::string agent_id;
  std::string host_id;
  std::string host_name;
  bool ambiguous = false;
  bool identity_mismatch = false;
};

struct Alert {
  std::string alert_id;
  RuleMetaPtr rule;
  SourcePosition position;
  int64_t event_index = -1;   // the record's index in its batch, or in all inputs of a replay
  int64_t event_time_ms = 0;  // @timestamp held near the broker's time (pipeline/alert.h), else that; 0 = none
  std::optional<int64_t> claimed_time_ms;  // @timestamp as the event has it, when it is a date
  bool clock_skew = false;                 // the event's own time can't be right: event_time_ms is not what it claims
  int64_t read_time_ms = 0;                // wall clock when Firebreak first read the record
  int64_t broker_time_ms = 0;              // 0 when unknown; trusted for freshness only when `broker_time_is_append`
  bool broker_time_is_append = false;
  int64_t lag_ms = 0;  // the consumer's lag when it read the record, as time
  Target target;
  bool self_caused = false;  // the event tells of Firebreak's own doing; looked for only where the rule responds
  std::vector<std::string> told_actions;  // what it has as firebreak.action_id; only the record knows which are ours
  std::string group_key = "[]";           // canonical JSON
  std::string doc;                        // the alert document, Kibana's shape
  std::string source;                     // the event's exact bytes
};

// An action that a rule or a person wants. It becomes an intent only when the guard lets it.
struct PlannedAction {
  std::string action_id;
  Verb verb = Verb::isolate;
  Target target;
  std::string endpoint_id;  // resolved through the directory; "" when unknown or ambiguous
  std::string target_note;  // why endpoint_id is empty: "unknown", "ambiguous: ..."
  std::string comment;
  std::string cause;         // alert id, the client's idempotency key, or parent action + ":expiry"
  std::string alert_id;      // "" for a person's
  RuleMetaPtr rule;          // null for a person's
  std::string request_id;    // one UUID over the actions of one request; an automated action's own id
  std::string requested_by;  // "rule:<rule_id>" or "user:<name>"
  std::optional<int64_t> lease_ms;
  Mode ceiling = Mode::enforce;   // the rule's
  int64_t event_age_base_ms = 0;  // the time that freshness is judged from; see decisions 13
  bool manual = false;
  bool override_protected = false;
  bool approved = false;                  // a second person agreed to it: only the hard guards are judged again
  bool self_caused = false;               // its event tells of Firebreak's own doing
  std::vector<std::string> told_actions;  // the action ids that its event names; not yet believed
};

// A person's request as the API takes it.
struct ActionRequest {
  Verb verb = Verb::isolate;
  std::vector<std::string> endpoint_ids;
  std::string comment;
  std::string requested_by;
  std::string idempotency_key;  // "" = none
  std::vector<std::string> alert_ids;
  std::vector<std::string> case_ids;  // kept and told, nothing more
  bool override_protected = false;
  std::optional<int64_t> lease_ms;  // of an isolate; none: the service's own
  // What the caller sent, for telling a repeated idempotency key from a reused one; "" = the fields above are it.
  std::string body;
};

struct Endpoint {
  std::string endpoint_id;  // agent.id
  std::string host_id;
  std::string hostname;
  std::string os;  // linux | windows | macos
  std::vector<std::string> ips;
  std::vector<std::string> tags;
  std::string agent_version;
  AgentStatus status = AgentStatus::offline;
  Isolation desired = Isolation::released;
  Isolation observed = Isolation::unknown;
  bool simulated = false;  // the agent's isolation backend is the simulated one
  int64_t generation = 0;
  // That of the newest action of this record on it, 0 = none yet, -1 = not told. Below `generation` when the endpoint
  // told of a later command than this record gave.
  int64_t ordered_generation = -1;
  int64_t lease_until_ms = 0;  // 0 = none
  int64_t last_seen_ms = 0;
  bool is_protected = false;
  bool is_duplicate = false;  // two machines use its identity, and nobody has said yet which is right
};

// A record that could not be processed.
struct DeadLetter {
  SourcePosition position;
  std::string reason;  // kebab-case code, e.g. "not-an-object"
  std::string detail;  // one line, with the byte offset
  std::string raw;     // the first limits.dead_letter_raw_bytes bytes
  int64_t at_ms = 0;
};

// How far one partition was taken by a batch: records in [from, next) are handled.
struct OffsetAdvance {
  std::string cluster;
  std::string topic;
  int32_t epoch = 0;
  int32_t partition = 0;
  int64_t from = 0;
  int64_t next = 0;
  bool gap = false;  // records between the stored offset and `from` are known to be gone and were reported
};

}  // namespace fb
