// What the agent's network process keeps in its state_dir: its id, its certificate with the private key, the service's
// CA, and a lock so that one state_dir has one agent. The private key is made here and never leaves. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/result.h"

namespace fb::agent {

struct Credential {
  std::string agent_id;  // "" = not enrolled
  std::string server;    // that it was enrolled with
  int heartbeat_ms = 10'000;
  int64_t renew_at_ms = 0;  // when two thirds of the certificate's life are over
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
  // Certificate and private key in one file, so that both change in one step.
  std::string identity_file() const { return folder_ + "/identity.pem"; }
  // The key of a certificate that was asked for and has not come yet.
  std::string next_key_file() const { return folder_ + "/next.key"; }

  // The id to enrol under: `configured`, else the one kept here, else a new UUID (kept before it is returned).
  Result<std::string> agent_id(const std::string& configured) const;
  Result<Credential> credential() const { return read_credential(folder_); }
  // Also while another process has the folder.
  static Result<Credential> read_credential(const std::string& folder);
  // The certificate belongs to the next key, which becomes the key; `ca_certificate` may be empty (renewal).
  Status keep(const Credential& credential, const std::string& certificate, const std::string& ca_certificate) const;
  // Enrolment ran as root: what it wrote is given to the owner of the folder.
  Status hand_over() const;

 private:
  AgentState(std::string folder, int lock) : folder_(std::move(folder)), lock_(lock) {}
  std::string folder_;
  int lock_ = -1;
};

}  // namespace fb::agent
