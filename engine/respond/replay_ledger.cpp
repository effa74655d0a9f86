#include "engine/respond/replay_ledger.h"

#include <algorithm>

namespace fb {
namespace {

int64_t count_since(const std::unordered_map<std::string, int64_t>& last, int64_t since_ms) {
  return std::count_if(last.begin(), last.end(), [since_ms](const auto& entry) { return entry.second >= since_ms; });
}

void remember_latest(std::unordered_map<std::string, int64_t>& last, const std::string& endpoint_id, int64_t at_ms) {
  const auto [it, inserted] = last.try_emplace(endpoint_id, at_ms);
  if (!inserted) it->second = std::max(it->second, at_ms);
}

}  // namespace

ReplayLedger::ReplayLedger(const std::vector<Endpoint>& directory) : enrolled_(static_cast<int64_t>(directory.size())) {
  directory_.emplace();
  for (const Endpoint& e : directory) (*directory_)[e.endpoint_id] = e.is_protected;
}

void ReplayLedger::end(Host& host, int64_t at_ms) {
  host.released_at_ms = at_ms;
  host.released_rule = host.by_rule;
  host.standing.clear();
  host.by_rule.clear();
  host.lease_until_ms = 0;
  ++host.generation;
  --standing_;
}

void ReplayLedger::advance(int64_t event_time_ms) {
  while (!leases_.empty() && leases_.begin()->first <= event_time_ms) {
    const auto [until, endpoint_id] = *leases_.begin();
    leases_.erase(leases_.begin());
    Host& host = hosts_[endpoint_id];
    // A release may have ended it before, and another isolation may stand by now.
    if (!host.standing.empty() && host.lease_until_ms == until) end(host, until);
  }
}

void ReplayLedger::record_intent(const PlannedAction& action, const Judgement& judgement, int64_t event_time_ms) {
  if (action.endpoint_id.empty()) return;
  if (judgement.verdict == Verdict::awaiting_approval && action.verb == Verb::isolate) {
    Host& host = hosts_[action.endpoint_id];
    if (host.waiting.empty()) host.waiting = action.action_id;
    return;
  }
  if (judgement.verdict != Verdict::would_act) return;
  Host& host = hosts_[action.endpoint_id];
  if (action.verb == Verb::release) {
    if (!host.standing.empty()) end(host, event_time_ms);
    return;
  }
  if (host.standing.empty()) ++standing_;
  host.standing = action.action_id;
  host.by_rule = action.rule ? action.rule->rule_id : "";
  host.waiting.clear();
  ++host.generation;
  host.lease_until_ms = 0;
  if (action.lease_ms.value_or(0) > 0) {
    host.lease_until_ms = event_time_ms + *action.lease_ms;
    leases_.emplace(host.lease_until_ms, action.endpoint_id);
  }
  remember_latest(by_any_, action.endpoint_id, event_time_ms);
  remember_latest(by_rule_[host.by_rule], action.endpoint_id, event_time_ms);
}

void ReplayLedger::note_alert(const std::string& endpoint_id, const std::string& rule_id, int64_t event_time_ms) {
  if (!endpoint_id.empty()) remember_latest(alerted_[endpoint_id], rule_id, event_time_ms);
}

Result<Ledger::EndpointFacts> ReplayLedger::endpoint(const std::string& endpoint_id) {
  EndpointFacts facts;
  if (directory_) {
    const auto it = directory_->find(endpoint_id);
    if (it == directory_->end()) return facts;
    facts.is_protected = it->second;
  }
  facts.known = true;
  facts.status = AgentStatus::online;
  facts.observed = Isolation::released;
  const auto it = hosts_.find(endpoint_id);
  if (it == hosts_.end()) return facts;
  const Host& host = it->second;
  facts.standing_isolate = host.standing;
  if (!host.standing.empty()) facts.desired = facts.observed = Isolation::isolated;
  facts.open_isolate = host.waiting;
  facts.open_isolate_awaits_approval = !host.waiting.empty();
  facts.released_at_ms = host.released_at_ms;
  facts.released_rule = host.released_rule;
  facts.generation = host.generation;
  return facts;
}

Result<int64_t> ReplayLedger::enrolled() {
  return enrolled_;
}

Result<int64_t> ReplayLedger::rule_intents_since(const std::string& rule_id, int64_t since_ms) {
  const auto it = by_rule_.find(rule_id);
  return it == by_rule_.end() ? 0 : count_since(it->second, since_ms);
}

Result<int64_t> ReplayLedger::auto_intents_since(int64_t since_ms) {
  return count_since(by_any_, since_ms);
}

Result<int64_t> ReplayLedger::standing_auto_isolations() {
  return standing_;
}

Result<bool> ReplayLedger::rule_tripped(const std::string& rule_id) {
  return tripped_rules_.contains(rule_id);
}

Result<bool> ReplayLedger::fleet_tripped() {
  return fleet_tripped_;
}

Status ReplayLedger::trip_rule(const std::string& rule_id, const std::string&) {
  tripped_rules_.insert(rule_id);
  return {};
}

Status ReplayLedger::trip_fleet(const std::string&) {
  fleet_tripped_ = true;
  return {};
}

Result<std::vector<Ledger::Group>> ReplayLedger::groups_of(const std::string&) {
  return std::vector<Group>{};
}

Result<int64_t> ReplayLedger::rule_first_seen(const std::string&, const std::string&) {
  return 0;
}

Result<int64_t> ReplayLedger::rules_alerting_since(const std::string& endpoint_id, int64_t since_ms) {
  const auto it = alerted_.find(endpoint_id);
  return it == alerted_.end() ? 0 : count_since(it->second, since_ms);
}

Result<bool> ReplayLedger::issued(const std::string&, const std::string&, int64_t) {
  return false;
}

Result<std::vector<Ledger::Maintenance>> ReplayLedger::maintenance_of(const std::string&, int64_t) {
  return std::vector<Maintenance>{};
}

}  // namespace fb
