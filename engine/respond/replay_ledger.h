// The guard's facts for a replay: in memory, on event time, budgets empty at the start. Nothing is read from or written
// to a record. One thread. Memory: one entry an endpoint that an intent was made for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/ports/record.h"

namespace fb {

class ReplayLedger final : public Ledger {
 public:
  // Every endpoint is known, released and unprotected. Without a number of enrolled endpoints the percentages have no
  // base, and the fixed numbers of the budgets hold.
  explicit ReplayLedger(int64_t enrolled = 0) : enrolled_(enrolled) {}
  // The directory says who is known, how many they are and who is protected (Endpoint::is_protected). Isolations that
  // stand in it are not carried over: a replay starts from nothing.
  explicit ReplayLedger(const std::vector<Endpoint>& directory);

  // Event time has come this far: ends the leases that are over. Call it before each judgement. Time that runs
  // backwards (records out of order) changes nothing.
  void advance(int64_t event_time_ms);

  // Before the judgement of the alert's actions: which rules agree about an endpoint.
  void note_alert(const std::string& endpoint_id, const std::string& rule_id, int64_t event_time_ms);

  // Keeps what the guard said, as the record would in the same transaction.
  void record_intent(const PlannedAction& action, const Judgement& judgement, int64_t event_time_ms);

  Result<EndpointFacts> endpoint(const std::string& endpoint_id) override;
  Result<int64_t> enrolled() override;
  Result<int64_t> rule_intents_since(const std::string& rule_id, int64_t since_ms) override;
  Result<int64_t> auto_intents_since(int64_t since_ms) override;
  Result<int64_t> standing_auto_isolations() override;
  Result<bool> rule_tripped(const std::string& rule_id) override;
  Result<bool> fleet_tripped() override;
  Status trip_rule(const std::string& rule_id, const std::string& why) override;
  Status trip_fleet(const std::string& why) override;
  // A replay knows no tags, no history of rules, no actions that were given and no maintenance.
  Result<std::vector<Group>> groups_of(const std::string& endpoint_id) override;
  Result<int64_t> rule_first_seen(const std::string& rule_id, const std::string& rule_hash) override;
  Result<int64_t> rules_alerting_since(const std::string& endpoint_id, int64_t since_ms) override;
  Result<bool> issued(const std::string& action_id, const std::string& endpoint_id, int64_t since_ms) override;
  Result<std::vector<Maintenance>> maintenance_of(const std::string& endpoint_id, int64_t now_ms) override;

 private:
  struct Host {
    std::string standing;  // action id of the isolation that would hold it
    std::string by_rule;   // whose it is
    int64_t lease_until_ms = 0;
    std::string waiting;  // action id of the first isolation that would wait for a person
    int64_t released_at_ms = 0;
    std::string released_rule;
    int64_t generation = 0;
  };
  using LastIntent = std::unordered_map<std::string, int64_t>;  // endpoint id -> event time

  void end(Host& host, int64_t at_ms);

  int64_t enrolled_ = 0;
  std::optional<std::unordered_map<std::string, bool>> directory_;  // endpoint id -> protected
  std::unordered_map<std::string, Host> hosts_;
  std::multimap<int64_t, std::string> leases_;  // end -> endpoint id
  std::unordered_map<std::string, LastIntent> by_rule_;
  LastIntent by_any_;
  std::unordered_map<std::string, std::unordered_map<std::string, int64_t>> alerted_;  // endpoint -> rule -> time
  int64_t standing_ = 0;
  std::set<std::string> tripped_rules_;
  bool fleet_tripped_ = false;
};

}  // namespace fb
