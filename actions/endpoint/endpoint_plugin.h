// Firebreak's own agents as a response action: the HTTPS server that agents dial, and the plugin that sends commands to
// them. An agent enrols once with a one-time token, is known by its certificate from then on, keeps one long poll open
// (signed orders come back on it at once) and sends heartbeats and reports. Owned by main; stop it before the store and
// the report sink go. docs/agent.md tells the protocol.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "actions/endpoint/order_desk.h"
#include "engine/base/clock.h"
#include "engine/base/metrics.h"
#include "engine/base/result.h"
#include "engine/net/http.h"
#include "engine/ports/action_plugin.h"
#include "engine/ports/action_store.h"
#include "engine/ports/agent_store.h"

namespace fb::endpoint {

struct EndpointOptions {
  std::string listen = "0.0.0.0:8771";  // agents.listen
  std::string certificate_file;         // the service's certificate, chain included
  std::string private_key_file;
  std::string ca_file;             // signs agents' certificates; given to them on enrolment
  std::string ca_key_file;         // its private key
  int certificate_days = 30;       // agents.certificate_days
  Signers signers;                 // of orders; newest first
  std::string break_glass_secret;  // 32 bytes
  PolicyOf policy;                 // what stays open on an isolated endpoint; called from several threads
  // False: no isolation is handed out now, not even one that was sent and waits for its agent. Called from several
  // threads; none = always.
  std::function<bool()> may_isolate;
  int status_every_ms = 3'600'000;  // an agent is told the service's time at least this often
  net::ServerLimits limits = default_limits();
  int threads = 1;
  int heartbeat_interval_ms = 10'000;      // told to agents
  int offline_after_ms = 30'000;           // silent for so long: offline
  int64_t clock_skew_ms = 120'000;         // a host whose clock is further off than this has the problem `clock_skew`
  int max_wait_ms = 50'000;                // the longest long poll
  int redeliver_after_ms = 1'000;          // a command without a report is handed out again after this
  int credential_fresh_ms = 15'000;        // how long a revoked credential may still pass
  uint32_t enroll_per_minute = 60;         // per address
  uint32_t renew_per_minute = 10;          // per agent
  uint32_t auth_failures_per_minute = 30;  // per address; then 429 for credentials that are not known here
  size_t max_waiting_requests = 20'000;    // reports and heartbeats that wait for the record; then 503

  static net::ServerLimits default_limits() {
    net::ServerLimits l;
    l.max_header_bytes = 8u << 10;
    l.max_headers = 50;
    l.max_body_bytes = 64u << 10;
    l.idle_deadline_ms = 120'000;
    l.max_connections = 20'000;
    return l;
  }
};

struct EndpointStats {
  uint64_t enrolled = 0;
  uint64_t auth_failures = 0;  // wrong token or certificate
  uint64_t commands_handed = 0;
  uint64_t reports = 0;
  uint64_t heartbeats = 0;
  size_t open_polls = 0;
  size_t live_agents = 0;
};

class EndpointPlugin : public ActionPlugin {
 public:
  // Thread-safe; a queue insert. `sent`: handed to the agent's open poll, or kept for its next one. `offline`: not
  // kept; send it again when the agent is back (its heartbeat comes as a Report of kind state). Errors: conflict when a
  // newer generation was sent before. The same command may be sent again.
  Result<SendOutcome> send(const Command& command) override = 0;

  virtual uint16_t port() const = 0;
  virtual bool is_live(const std::string& endpoint_id) const = 0;
  // After its credential was revoked in the store: the agent is cut off now and not after credential_fresh_ms.
  virtual void forget(const std::string& endpoint_id) = 0;
  // With its next heartbeat the agent is asked to get a new certificate.
  virtual void ask_renewal(const std::string& endpoint_id) = 0;
  // Keys were added or taken away: agents learn of it with what they get next.
  virtual void replace_signers(Signers signers) = 0;
  virtual EndpointStats stats() const = 0;
  // Answers the open polls, lets running requests finish for up to drain_ms. Idempotent.
  virtual void stop(int drain_ms) = 0;
};

// Starts serving. The sink is called from one thread of the plugin, one report at a time; a report is acknowledged to
// the agent after the sink returned. metrics may be null.
Result<std::unique_ptr<EndpointPlugin>> make_action_plugin_endpoint(const EndpointOptions& options, ActionStore& store,
                                                                    AgentStore& agents, const Clock& clock,
                                                                    ReportSink sink, Metrics* metrics = nullptr);

}  // namespace fb::endpoint
