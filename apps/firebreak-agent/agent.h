// The isolation agent as a library: firebreak-agent runs one in a process, `firebreak demo` and load tests run several.
// It dials the service and listens on nothing: one connection keeps a long poll open for commands, a second one carries
// reports and heartbeats. It keeps trying for ever when the service is away.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "apps/enforcer/backend.h"
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
  std::string server;       // https://host:8771; plain http is taken for this machine only
  std::string ca_file;      // PEM; "" = what enrolment brought
  std::string fingerprint;  // hex SHA-256 of the service's CA, for enrolment without ca_file; "" = the token's own
  std::string token_file;
  std::string state_dir;
  std::string backend;   // see backend_names()
  std::string agent_id;  // "" = from state_dir, else a new UUID
  HostFacts host;        // read_host_facts(), or what a simulated endpoint shall be
  int wait_s = 50;       // a long poll
  int heartbeat_ms = 0;  // 0 = as the service says
  int backoff_min_ms = 200;
  int backoff_max_ms = 30'000;
  BackendFactory make_backend;  // for tests; empty = by `backend`
};

struct Enrolled {
  std::string agent_id;
  bool was_enrolled = false;  // before: nothing was done
};
// One attempt. Keeps the credential in state_dir (mode 0600). Errors: unavailable or timeout (try again), refused (the
// token is wrong, used or expired, or another agent has this host).
Result<Enrolled> enroll_agent(const AgentOptions& options, std::stop_token stop);

// Runs until stop is requested, then returns success within about a second. Enrols by itself when it has no credential
// and a token_file is given. Errors are those that waiting cannot mend: options, state_dir in use or broken.
Status run_agent(const AgentOptions& options, std::stop_token stop);

}  // namespace fb::agent
