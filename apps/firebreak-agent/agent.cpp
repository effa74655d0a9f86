#include "apps/firebreak-agent/agent.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

#include "actions/endpoint/wire.h"
#include "apps/enforcer/enforcer.h"
#include "apps/enforcer/helper_client.h"
#include "apps/firebreak-agent/agent_state.h"
#include "apps/firebreak-agent/backoff.h"
#include "apps/firebreak-agent/enrolment.h"
#include "apps/firebreak-agent/reporter.h"
#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/base/log.h"
#include "engine/net/tls_files.h"

namespace fb::agent {
namespace {

constexpr int kReplyMarginMs = 15'000;  // how much longer than the long poll a reply may take
constexpr int kLingerMs = 500;          // for reports that wait when the agent is stopped

// The enforcer in this process, with the backend that it needs.
class OwnEnforcement final : public Enforcement {
 public:
  OwnEnforcement(std::unique_ptr<IsolationBackend> backend, std::unique_ptr<Enforcer> enforcer)
      : backend_(std::move(backend)), enforcer_(std::move(enforcer)) {
    enforcer_->start_thread();
  }
  Report carry(const std::string& envelope, const std::function<void()>& on_begin) override {
    return enforcer_->carry(envelope, on_begin);
  }
  Result<EnforcementStatus> status() override { return enforcer_->status(); }

 private:
  const std::unique_ptr<IsolationBackend> backend_;
  const std::unique_ptr<Enforcer> enforcer_;  // last: it uses the backend
};

// What a heartbeat says. An enforcer that does not answer is a problem to be told, not a reason to be silent.
EndpointReport describe(const AgentOptions& options, Enforcement& enforcement, const std::string& instance) {
  EndpointReport report;
  report.instance = instance;
  report.clock_ms = std::max<int64_t>(system_clock().wall_ms(), 1);  // before 1970 is as wrong as 1970
  report.host_id = options.host.host_id;
  report.hostname = options.host.hostname;
  report.os = options.host.os;
  report.ips = options.host.ips;
  report.agent_version = agent_version();
  report.simulated = options.backend == kSimulated;
  auto status = enforcement.status();
  if (!status) {
    report.problems.push_back("the isolation helper does not answer: " + status.error().describe());
    return report;
  }
  report.simulated = status->simulated;
  report.observed = status->observed;
  report.generation = status->generation;
  report.epoch = status->epoch;
  report.revision = status->revision;
  report.rule_digest = std::move(status->rule_digest);
  report.policy_digest = std::move(status->policy_digest);
  report.drops = status->drops;
  report.drift_events = status->drift_events;
  report.lease_left_ms = status->lease_left_ms;
  report.problems = std::move(status->problems);
  report.local_release = std::move(status->local_release);
  return report;
}

// The connection that orders come in on.
class OrderLoop {
 public:
  OrderLoop(const AgentOptions& options, std::string agent_id, std::string instance, net::ClientOptions client,
            std::shared_ptr<std::atomic<int>> identity, Enforcement& enforcement, Reporter& reporter)
      : options_(options),
        id_(std::move(agent_id)),
        instance_(std::move(instance)),
        dialer_(std::move(client), std::move(identity)),
        enforcement_(enforcement),
        reporter_(reporter),
        backoff_(options.backoff_min_ms, options.backoff_max_ms) {}

  void run(const std::stop_token& stop) {
    const std::stop_callback cancel(stop, [this] { dialer_.cancel(); });
    const std::string url = without_slash(options_.server) + "/v1/commands?wait=" + std::to_string(options_.wait_s) +
                            "&instance=" + instance_;
    while (!stop.stop_requested()) {
      const auto asked = std::chrono::steady_clock::now();
      const auto reply = dialer_.request("GET", url, {}, "");
      if (stop.stop_requested()) return;
      const std::string problem = take(reply);
      if (!problem.empty()) {
        lost(problem);
        sleep_unless_stopped(stop, backoff_.next_ms());
        continue;
      }
      found();
      // A service that answers "nothing" at once must not make this a busy loop.
      const auto took = std::chrono::steady_clock::now() - asked;
      const bool early = reply->status == 204 && options_.wait_s > 0 && took < std::chrono::milliseconds(50);
      if (early) sleep_unless_stopped(stop, options_.backoff_min_ms);
    }
  }

 private:
  // "" when the poll went well; else why not.
  std::string take(const Result<net::ClientReply>& reply) {
    if (!reply) return reply.error().describe();
    if (reply->status == 204) return "";
    if (reply->status != 200) return error_of_reply(*reply, options_.server).describe();
    const auto order = endpoint::read_order(reply->body);
    if (!order) return "an order that cannot be read: " + order.error().describe();
    Report accepted;
    accepted.kind = Report::Kind::accepted;
    accepted.action_id = order->action_id;
    accepted.generation = order->generation;
    const bool reports = !order->action_id.empty();
    Report report = enforcement_.carry(order->envelope, [&] {
      if (reports) reporter_.add(accepted);
    });
    const bool bad = report.kind == Report::Kind::failed || report.kind == Report::Kind::refused;
    log(bad ? LogLevel::warn : LogLevel::info, "order", report.message,
        {{"endpoint_id", id_},
         {"action_id", order->action_id},
         {"generation", std::to_string(order->generation)},
         {"kind", std::string(endpoint::to_string(report.kind))},
         {"observed", std::string(to_string(report.observed))}});
    if (reports) {
      report.action_id = order->action_id;
      if (report.kind != Report::Kind::state) reporter_.add(std::move(report));
    }
    if (bad || !reports) reporter_.hurry();  // what the service needs to know now stands in the heartbeat
    return "";
  }

  void lost(const std::string& problem) {
    if (problem == lost_why_) return;
    log(LogLevel::warn, "service_lost", problem + "; trying on", {{"endpoint_id", id_}});
    lost_why_ = problem;
  }
  void found() {
    backoff_.reset();
    if (lost_why_.empty()) return;
    lost_why_.clear();
    log(LogLevel::info, "service_found", "the service answers again", {{"endpoint_id", id_}});
    reporter_.hurry();
  }

  const AgentOptions& options_;
  const std::string id_;
  const std::string instance_;
  Dialer dialer_;
  Enforcement& enforcement_;
  Reporter& reporter_;
  Backoff backoff_;
  std::string lost_why_;  // as it was last told; "" = the service answers
};

}  // namespace

std::string agent_version() {
  return FB_VERSION;
}

Result<AgentFacts> read_agent_facts(const std::string& state_dir) {
  FB_TRY(const Credential credential, AgentState::read_credential(state_dir));
  AgentFacts facts{credential.agent_id, credential.server, 0};
  if (facts.agent_id.empty()) return facts;
  FB_TRY(const auto certificate, net::certificate_facts(state_dir + "/identity.pem"));
  facts.certificate_until_ms = certificate.not_after_ms;
  return facts;
}

Result<std::unique_ptr<Enforcement>> open_enforcement(const AgentOptions& options) {
  if (options.backend == kNftables) return connect_helper(options.helper_socket);
  EnforcerOptions enforcer_options;
  enforcer_options.folder = enforcer_folder(options);
  std::unique_ptr<IsolationBackend> backend;
  if (options.make_backend) {
    FB_TRY(backend, options.make_backend(options.state_dir));
  } else {
    backend = make_simulated_backend(options.state_dir);
  }
  FB_TRY(auto enforcer, Enforcer::open(std::move(enforcer_options), *backend, system_clock()));
  return std::make_unique<OwnEnforcement>(std::move(backend), std::move(enforcer));
}

Result<Enrolled> enroll_agent(const AgentOptions& options, std::stop_token stop) {
  FB_TRY_VOID(check_options(options));
  FB_TRY(const AgentState state, AgentState::open(options.state_dir));
  FB_TRY(const Credential known, state.credential());
  if (!known.agent_id.empty()) return Enrolled{known.agent_id, true};
  FB_TRY(const Credential fresh, enroll_once(options, state, stop));
  return Enrolled{fresh.agent_id, false};
}

Status run_agent(const AgentOptions& options, std::stop_token stop) {
  FB_TRY_VOID(check_options(options));
  FB_TRY(const AgentState state, AgentState::open(options.state_dir));
  FB_TRY(Credential credential, state.credential());
  if (credential.agent_id.empty()) {
    FB_TRY(credential, enroll_patiently(options, state, stop));
    if (credential.agent_id.empty()) return {};
  } else if (!options.agent_id.empty() && options.agent_id != credential.agent_id) {
    return fail(ErrorCode::conflict, "this state folder belongs to agent " + credential.agent_id, options.state_dir);
  }
  credential.server = without_slash(options.server);
  FB_TRY(const auto enforcement, open_enforcement(options));
  const bool simulated = options.backend == kSimulated;
  log(LogLevel::info, "agent_started", "the agent runs",
      {{"endpoint_id", credential.agent_id},
       {"server", options.server},
       {"version", agent_version()},
       {"backend", options.backend},
       {"simulated", simulated ? "true" : "false"}});
  if (simulated) {
    log(LogLevel::warn, "simulated_backend",
        "the isolation backend is simulated: this agent cuts nothing off the network",
        {{"endpoint_id", credential.agent_id}});
  }
  const auto identity = std::make_shared<std::atomic<int>>(0);
  Reporter::Options reporting;
  reporting.heartbeat_ms = options.heartbeat_ms > 0 ? options.heartbeat_ms : credential.heartbeat_ms;
  reporting.heartbeat_is_fixed = options.heartbeat_ms > 0;
  reporting.backoff_min_ms = options.backoff_min_ms;
  reporting.backoff_max_ms = options.backoff_max_ms;
  reporting.client = client_options(options, state);
  net::ClientOptions polling = reporting.client;
  polling.total_timeout_ms = options.wait_s * 1000 + kReplyMarginMs;
  const std::string id = credential.agent_id;
  // Of this process: the service tells by it a restart from a second machine with the same identity.
  const std::string instance = hex(random_bytes(16));
  Reporter reporter(std::move(reporting), std::move(credential), state, identity, *enforcement,
                    [&] { return describe(options, *enforcement, instance); });
  OrderLoop(options, id, instance, std::move(polling), identity, *enforcement, reporter).run(stop);
  reporter.stop(kLingerMs);
  log(LogLevel::info, "agent_stopped", "the agent ends", {{"endpoint_id", id}});
  return {};
}

}  // namespace fb::agent
