// The isolation agent as a library: firebreak-agent runs one in a process, `firebreak demo` and load tests run several.
// A courier: it carries signed orders from the service to the enforcer (in the root helper behind a socket, or in this
// process when the backend is the simulated one) and answers back, and decides nothing. It dials the service and
// listens on nothing: one connection keeps a long poll open for orders, a second one carries reports and heartbeats. It
// keeps trying for ever when the service is away.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "apps/enforcer/backend.h"
#include "apps/enforcer/enforcement.h"
#include "engine/base/result.h"

namespace fb::agent {

struct HostFacts {
  std::string host_id;  // the machine-id
  std::string hostname;
  std::string os;
  std::vector<std::string> ips;
};
// Of the machine that this runs on.
HostFacts read_host_facts();
std::string agent_version();

struct AgentOptions {
  std::string server;       // https://host:8771
  std::string ca_file;      // PEM; "" = what enrolment brought
  std::string fingerprint;  // hex SHA-256 of the service's CA, for enrolment without ca_file; "" = the token's own
  std::string token_file;
  std::string state_dir;
  std::string backend;                                             // kSimulated or kNftables
  std::string helper_socket = "/run/firebreak-agent/helper.sock";  // of the root helper (nftables)
  std::string helper_folder = "/var/lib/firebreak-agent-helper";   // its folder: enrolment writes whom it obeys there
  std::string agent_id;                                            // "" = from state_dir, else a new UUID
  HostFacts host;        // read_host_facts(), or what a simulated endpoint shall be
  int wait_s = 50;       // a long poll
  int heartbeat_ms = 0;  // 0 = as the service says
  int backoff_min_ms = 200;
  int backoff_max_ms = 30'000;
  BackendFactory make_backend;  // for tests: in place of the simulated one
};

inline constexpr const char* kSimulated = "simulated";  // writes down what it would do, touches no network
inline constexpr const char* kNftables = "nftables";    // the real one, in the root helper

struct Enrolled {
  std::string agent_id;
  bool was_enrolled = false;  // before: nothing was done
};
// One attempt. Keeps the certificate and its key in state_dir (mode 0600), and whom to obey in the enforcer's folder.
// Errors: unavailable or timeout (try again; a person may have to approve it first), refused (the token is wrong, used
// or expired, or a person denied it).
Result<Enrolled> enroll_agent(const AgentOptions& options, std::stop_token stop);

// Of an agent that may be running; agent_id "" when it is not enrolled.
struct AgentFacts {
  std::string agent_id;
  std::string server;
  int64_t certificate_until_ms = 0;
};
Result<AgentFacts> read_agent_facts(const std::string& state_dir);

// The enforcer that `options` leads to: the helper's, or one in this process, which needs an enrolled agent.
Result<std::unique_ptr<Enforcement>> open_enforcement(const AgentOptions& options);

// Runs until stop is requested, then returns success within about a second. Enrols by itself when it has no credential
// and a token_file is given. Errors are those that waiting cannot mend: options, state_dir in use or broken.
Status run_agent(const AgentOptions& options, std::stop_token stop);

}  // namespace fb::agent
