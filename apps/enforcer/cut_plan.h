// From a policy to what stays open, in numbers: the control plane, the policy's services, exceptions, name servers. An
// entry that can't be used is left out and told; it never widens the rest and never stops an isolation.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "actions/endpoint/envelope.h"
#include "apps/enforcer/backend.h"
#include "apps/enforcer/name_cache.h"

namespace fb::agent {

inline constexpr size_t kMaxOpenServices = 1024;  // address and port pairs of one host

struct CutPlan {
  Cut cut;
  std::vector<OpenService> control_plane;
  std::vector<std::string> problems;
};

// "https://host:8771", "http://127.0.0.1:80"; without a port the scheme's own.
Result<endpoint::Service> control_plane_of(const std::string& server);
// The names that the plan needs numbers for.
std::vector<std::string> hosts_of(const std::string& server, const endpoint::CutPolicy& policy);
CutPlan plan_cut(const std::string& server, const endpoint::CutPolicy& policy, const NameCache& names);

// Does one of them take a TCP connection within timeout_ms (each)? Thread-safe.
bool can_connect(const std::vector<OpenService>& services, int timeout_ms, const std::atomic<bool>& given_up);

}  // namespace fb::agent
