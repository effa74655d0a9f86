// An endpoint as Kibana's clients read it (HostInfo), with what Firebreak knows besides under "firebreak"; and our KQL
// over it. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/record/response_actions.h"

namespace fb::api {

// healthy | offline | unhealthy; inactive when its certificates were revoked.
std::string_view host_status(const EndpointDetails& details);
std::string host_document(const EndpointDetails& details);
// What it says of the policy that it was given: applied, or what keeps the agent from its work.
std::string policy_response_document(const EndpointDetails& details);
// Whether it could: "success" or "failure".
std::string_view policy_status(const EndpointDetails& details);
// The same endpoint as Fleet lists its agents: what clients ask for to find an agent's id by its host.
std::string fleet_agent_document(const EndpointDetails& details);

// A `kuery` over HostInfo: `united.endpoint.X` and `metadata.X` are X of the metadata, beside host_status,
// last_checkin, united.agent.* and firebreak.*; and those that Fleet's agents have: local_metadata.*, status,
// policy_id.
class HostQuery {
 public:
  // invalid_argument: the query does not parse; the message says where.
  static Result<HostQuery> parse(std::string_view kuery);
  HostQuery(HostQuery&&) noexcept;
  HostQuery& operator=(HostQuery&&) noexcept;
  ~HostQuery();

  Result<bool> matches(const EndpointDetails& details, int64_t now_ms) const;

 private:
  struct Impl;
  explicit HostQuery(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb::api
