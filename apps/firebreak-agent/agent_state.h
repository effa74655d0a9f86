// What the agent keeps in its state_dir: its id, its credential, the service's CA, and a lock so that one state_dir has
// one agent. Not thread-safe.
#pragma once

#include <string>

#include "engine/base/result.h"

namespace fb::agent {

struct Credential {
  std::string agent_id;
  std::string secret;       // "" = not enrolled
  std::string server;       // that it was enrolled with
  std::string fingerprint;  // pinned for good, when the service gave no CA; "" = none
  int heartbeat_ms = 10'000;
};

class AgentState {
 public:
  // Makes the folder (0700) and locks it; busy when another agent has it.
  static Result<AgentState> open(const std::string& folder);
  ~AgentState();
  AgentState(AgentState&& other) noexcept;
  AgentState& operator=(AgentState&&) = delete;
  AgentState(const AgentState&) = delete;
  AgentState& operator=(const AgentState&) = delete;

  const std::string& folder() const { return folder_; }
  std::string ca_file() const { return folder_ + "/ca.pem"; }
  std::string journal_file() const { return folder_ + "/journal.ndjson"; }

  // The id to enrol under: `configured`, else the one kept here, else a new UUID (kept before it is returned).
  Result<std::string> agent_id(const std::string& configured) const;
  Result<Credential> credential() const;
  Status keep(const Credential& credential, const std::string& ca_certificate) const;

 private:
  AgentState(std::string folder, int lock) : folder_(std::move(folder)), lock_(lock) {}
  std::string folder_;
  int lock_ = -1;
};

}  // namespace fb::agent
