// Endpoint directory in memory, fed by the store: a snapshot that is swapped whole when an enrolment commits.
// Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/ports/endpoint_directory.h"

namespace fb::record {

class LiveDirectory final : public EndpointDirectory {
 public:
  struct Entry {
    std::string endpoint_id;
    std::string host_id;
  };
  void replace(const std::vector<Entry>& endpoints);

  // An agent.id that is enrolled decides, and the event's host.id must then be the one that agent enrolled with. A
  // host.id decides when the agent.id is absent or not enrolled: several collectors on one host each have an agent.id,
  // but a host has one host.id.
  Resolved resolve(const Target& target) const override;

 private:
  struct Snapshot {
    std::unordered_map<std::string, std::string> host_of_agent;
    std::unordered_map<std::string, std::string> agent_of_host;  // "" when several have it
  };
  mutable std::mutex mutex_;  // held for the copy of a pointer
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<const Snapshot>();
};

}  // namespace fb::record
