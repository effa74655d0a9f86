#include "engine/record/directory.h"

namespace fb::record {

void LiveDirectory::replace(const std::vector<Entry>& endpoints) {
  auto next = std::make_shared<Snapshot>();
  next->host_of_agent.reserve(endpoints.size());
  next->agent_of_host.reserve(endpoints.size());
  for (const Entry& e : endpoints) {
    next->host_of_agent.emplace(e.endpoint_id, e.host_id);
    if (e.host_id.empty()) continue;
    const auto [at, added] = next->agent_of_host.emplace(e.host_id, e.endpoint_id);
    if (!added) at->second.clear();
  }
  const std::lock_guard lock(mutex_);
  snapshot_ = std::move(next);
}

Resolved LiveDirectory::resolve(const Target& target) const {
  if (target.ambiguous) return {"", "ambiguous: the event spells an identity field in two ways"};
  const Resolved foreign{"", "identity_mismatch: the event's topic belongs to another host"};
  std::shared_ptr<const Snapshot> now;
  {
    const std::lock_guard lock(mutex_);
    now = snapshot_;
  }
  if (!target.agent_id.empty()) {
    const auto agent = now->host_of_agent.find(target.agent_id);
    if (agent != now->host_of_agent.end()) {
      if (!target.host_id.empty() && !agent->second.empty() && agent->second != target.host_id) {
        return {"", "identity_mismatch: agent.id " + target.agent_id + " enrolled with host.id " + agent->second +
                        ", the event says " + target.host_id};
      }
      if (!target.host_id.empty() && agent->second.empty()) {
        const auto host = now->agent_of_host.find(target.host_id);
        if (host != now->agent_of_host.end()) {
          return {"", "identity_mismatch: agent.id " + target.agent_id + " and host.id " + target.host_id +
                          " belong to two endpoints"};
        }
      }
      if (target.identity_mismatch) return foreign;
      return {target.agent_id, ""};
    }
  }
  if (target.identity_mismatch) return foreign;
  if (!target.host_id.empty()) {
    const auto host = now->agent_of_host.find(target.host_id);
    if (host != now->agent_of_host.end()) {
      if (host->second.empty()) return {"", "ambiguous: several endpoints have host.id " + target.host_id};
      return {host->second, ""};
    }
  }
  if (target.agent_id.empty() && target.host_id.empty()) {
    return {"", "unknown: the event names no agent.id and no host.id"};
  }
  return {"", "unknown: no enrolled endpoint has " +
                  (target.agent_id.empty() ? "host.id " + target.host_id : "agent.id " + target.agent_id) +
                  (target.agent_id.empty() || target.host_id.empty() ? "" : " or host.id " + target.host_id)};
}

}  // namespace fb::record
