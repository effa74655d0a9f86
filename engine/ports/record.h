// What is kept, and how it is asked for: the one authority on disk. `keep` and every other write goes through one
// writer thread with group commit; reads are made on read-only connections and see the last commit.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/model/model.h"
#include "engine/ports/action_plugin.h"

namespace fb {

// The facts a guard may ask for, inside the transaction that would record the intent: counters can't race.
class Ledger {
 public:
  virtual ~Ledger() = default;
  struct EndpointFacts {
    bool known = false;
    bool is_protected = false;  // by tag or by the config's list
    bool is_duplicate = false;  // two machines use its identity
    AgentStatus status = AgentStatus::offline;
    Isolation desired = Isolation::released;
    Isolation observed = Isolation::unknown;
    std::string open_isolate;  // action id of a non-terminal isolate, "" if none
    // True when open_isolate only waits for a person; then another alert may still isolate. An isolate that is on its
    // way goes before a waiting one.
    bool open_isolate_awaits_approval = false;
    int64_t open_lease_ms = 0;      // of open_isolate; 0 = until released
    std::string standing_isolate;   // action id of the isolate that holds the endpoint isolated, "" if none
    int64_t standing_until_ms = 0;  // when its lease ends; 0 = until released
    int64_t released_at_ms = 0;     // last release (by a person, lease or break-glass); 0 = never
    std::string released_rule;      // the rule whose isolation that release ended, "" = a person's
    int64_t generation = 0;
  };
  virtual Result<EndpointFacts> endpoint(const std::string& endpoint_id) = 0;
  virtual Result<int64_t> enrolled() = 0;  // endpoints with a certificate that is valid
  virtual Result<int64_t> rule_intents_since(const std::string& rule_id, int64_t since_ms) = 0;  // distinct endpoints
  virtual Result<int64_t> auto_intents_since(int64_t since_ms) = 0;                              // distinct endpoints
  virtual Result<int64_t> standing_auto_isolations() = 0;                                        // endpoints
  virtual Result<bool> rule_tripped(const std::string& rule_id) = 0;  // the rule's budget tripped and was not reset
  virtual Result<bool> fleet_tripped() = 0;
  virtual Status trip_rule(const std::string& rule_id, const std::string& why) = 0;
  virtual Status trip_fleet(const std::string& why) = 0;

  // A tag `group:NAME` or `site:NAME` of the endpoint and how those that carry it stand. "About to be" counts as
  // isolated; the endpoint itself is a member.
  struct Group {
    std::string tag;
    int64_t members = 0;
    int64_t isolated = 0;       // by anybody
    int64_t isolated_auto = 0;  // by rules
  };
  virtual Result<std::vector<Group>> groups_of(const std::string& endpoint_id) = 0;
  // When this text of the rule was first seen here; an unknown one is noted as of now.
  virtual Result<int64_t> rule_first_seen(const std::string& rule_id, const std::string& rule_hash) = 0;
  // Distinct rules that alerted on the endpoint since then, those of the batch at hand included.
  virtual Result<int64_t> rules_alerting_since(const std::string& endpoint_id, int64_t since_ms) = 0;
  // An action that this record gave to this endpoint and that is on its way, holds it, or was over not before then.
  virtual Result<bool> issued(const std::string& action_id, const std::string& endpoint_id, int64_t since_ms) = 0;
  // A time of maintenance that covers the endpoint now.
  struct Maintenance {
    std::string id;
    bool suppress = false;  // else a person is asked
    bool include_critical = false;
  };
  virtual Result<std::vector<Maintenance>> maintenance_of(const std::string& endpoint_id, int64_t now_ms) = 0;
};

// A guard's answer about one planned action; always becomes a row.
struct Judgement {
  Verdict verdict = Verdict::blocked;
  Guard guard = Guard::none;  // who decided; none when all passed
  std::string detail;         // one line for a person
  std::string joined_action;  // verdict joined: the open action it joins
};

class Judge {
 public:
  virtual ~Judge() = default;
  virtual Result<Judgement> judge(const PlannedAction& action, Ledger& ledger, int64_t now_ms) = 0;
};

// Everything that one batch leaves behind, kept in one transaction.
struct BatchOutcome {
  std::vector<Alert> alerts;
  std::vector<PlannedAction> planned;  // in the order of the alerts
  std::vector<DeadLetter> dead_letters;
  std::vector<OffsetAdvance> advances;
  std::string rule_set_hash;
  bool act = true;  // false: replay-like; planned actions are not judged nor kept
};

struct KeptBatch {
  uint32_t new_alerts = 0;
  uint32_t known_alerts = 0;  // ids that were there already: nothing changed for them
  uint32_t intents = 0;       // actions that may now be dispatched
};

class Record {
 public:
  virtual ~Record() = default;
  // One transaction; returns after it is durable. no_space and busy may be retried with the same outcome; corrupt and
  // io mean the process must end and start again from the disk.
  virtual Result<KeptBatch> keep(const BatchOutcome& outcome) = 0;
  virtual Result<std::optional<int64_t>> next_offset(const std::string& cluster, const std::string& topic,
                                                     int32_t epoch, int32_t partition) = 0;
};

}  // namespace fb
