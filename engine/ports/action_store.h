// The actions' side of the record: what the dispatcher, the agent gateway and the API write and ask. Every call that
// changes something is one durable transaction with its audit rows, made by the record's writer thread; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/model/model.h"

namespace fb {

// An action that is not over (is_open) and may have to be sent, from its committed row.
struct OpenAction {
  std::string action_id;
  Verb verb = Verb::isolate;
  std::string endpoint_id;
  int64_t generation = 0;
  std::string comment;
  std::string rule_id;
  int64_t lease_ms = 0;
  int64_t created_at_ms = 0;
  int64_t expires_at_ms = 0;
  int64_t next_try_ms = 0;  // not before
  int attempts = 0;
  ActionState state = ActionState::requested;
  std::string boot_id;              // the service run that last sent it
  bool override_protected = false;  // a person asked for it and a second one agreed: `protected` does not hold it back
  int64_t event_base_ms = 0;        // the planned action's event_age_base_ms; 0 for a person's
  Severity severity = Severity::critical;  // the alert's; a person's request goes with the gravest
  int64_t first_sent_at_ms = 0;            // 0 = not yet
  int64_t stuck_at_ms = 0;                 // when people were told that it does not come to its end; 0 = they were not
};

// One step of an action's life (model/action_life.h says which are legal).
struct ActionMove {
  std::string action_id;
  std::vector<ActionState> from;  // the move is made only from one of these
  ActionState to = ActionState::failed;
  std::string detail;  // for the audit row and the person who looks
  std::string actor = "dispatcher";
  std::string boot_id;  // set when sending
  int64_t next_try_ms = 0;
  bool count_attempt = false;
  std::optional<Isolation> observed;  // read back with this step: the endpoint's row changes in the same transaction
  Guard guard = Guard::none;          // the guard that ends it; none leaves the row's as it is
};

// A host let itself back in, by its own clock or by a code that a person typed there. Ordered by (generation,
// sequence).
struct LocalRelease {
  int64_t generation = 0;  // of the isolation that it ended; 0 = there was none
  int64_t sequence = 0;    // rises with every local release of the host
  std::string how;         // "lease", "break_glass", "rollback"
  std::string proof;       // break_glass: the code
  int64_t at_ms = 0;       // by the host's idea of the service's clock
};

// What an agent says of itself on enrolment and with every heartbeat.
struct EndpointReport {
  std::string endpoint_id;
  std::string host_id;
  std::string hostname;
  std::string os;
  std::vector<std::string> ips;
  std::string agent_version;
  bool simulated = false;
  Isolation observed = Isolation::unknown;
  int64_t generation = 0;  // the last it applied
  int64_t epoch = 0;       // the highest of the service that it took an order of, with the revision in it
  int64_t revision = 0;
  std::string rule_digest;    // of the isolation rules in force, read back; "" when there are none
  std::string policy_digest;  // of the policy in force; "" when released
  int64_t drops = 0;          // packets that the isolation dropped
  int64_t drift_events = 0;   // times the host had to mend its rules
  int64_t lease_left_ms = 0;
  std::vector<std::string> problems;  // what keeps the agent from its work; not empty: unhealthy
  LocalRelease local_release;
  std::string instance;  // of the agent's process, drawn anew at every start; never comes back once another was heard
  int64_t clock_ms = 0;  // the host's wall clock when it wrote this; 0 = not told
  int64_t at_ms = 0;
};

class ActionStore {
 public:
  virtual ~ActionStore() = default;

  // States requested, queued, dispatched, unknown, accepted; oldest first.
  virtual Result<std::vector<OpenAction>> open_actions() = 0;
  virtual Result<bool> move(const ActionMove& move) = 0;  // false: it was in none of `from`; nothing changed

  // A person's request: planned, judged and kept in one transaction. One row an endpoint.
  struct Submitted {
    std::string action_id;
    std::string request_id;
    std::string endpoint_id;
    ActionState state = ActionState::requested;
    std::string guard;  // who decided, "" when all passed
    std::string detail;
  };
  virtual Result<std::vector<Submitted>> submit(const ActionRequest& request) = 0;
  // awaiting_approval -> requested (the hard guards are judged again) or denied.
  virtual Result<ActionState> decide(const std::string& action_id, bool approve, const std::string& who,
                                     const std::string& comment) = 0;

  // It was sent often enough and did not come to its end: people are told, once. The action goes on as it was.
  virtual Status mark_stuck(const std::string& action_id, const std::string& why) = 0;

  // One-time enrolment tokens, kept hashed.
  virtual Status add_token(const std::string& token_sha256, int64_t expires_at_ms) = 0;

  // Heartbeat. Changes rows only when something but the time changed, or a minute has passed.
  virtual Status seen(const EndpointReport& report) = 0;
  virtual Status set_status(const std::string& endpoint_id, AgentStatus status, const std::string& why) = 0;
  virtual Result<std::vector<Endpoint>> endpoints() = 0;
  // As it is at this moment: asked before an isolation leaves the house. not_found for an unknown endpoint.
  virtual Result<bool> is_protected(const std::string& endpoint_id) = 0;

  virtual Result<bool> kill_switch() = 0;
  virtual Status set_kill_switch(bool on, const std::string& who, const std::string& why) = 0;
};

}  // namespace fb
