#include "apps/firebreak-agent/agent.h"

#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "actions/endpoint/wire.h"
#include "apps/firebreak-agent/agent_state.h"
#include "apps/firebreak-agent/backoff.h"
#include "apps/enforcer/command_runner.h"
#include "apps/enforcer/durable_file.h"
#include "apps/firebreak-agent/reporter.h"
#include "engine/base/log.h"
#include "engine/net/http.h"

namespace fb::agent {
namespace {

constexpr int kReplyMarginMs = 15'000;  // how much longer than the long poll a reply may take
constexpr int kLingerMs = 500;          // for reports that wait when the agent is stopped
constexpr size_t kMaxReplyBytes = 256u << 10;
constexpr size_t kMaxTokenBytes = 8u << 10;

void sleep_unless_stopped(const std::stop_token& stop, int ms) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, std::chrono::milliseconds(ms), [] { return false; });
}

Status check_server(const std::string& server) {
  if (server.starts_with("https://")) return {};
  for (const char* local : {"http://127.0.0.1", "http://localhost", "http://[::1]"}) {
    const std::string_view prefix = local;
    if (server.starts_with(prefix) && (server.size() == prefix.size() || server[prefix.size()] == ':')) return {};
  }
  return fail(ErrorCode::invalid_argument,
              "server '" + server + "' must start with https:// (http:// only for 127.0.0.1)");
}

std::string without_slash(std::string server) {
  while (server.ends_with('/')) server.pop_back();
  return server;
}

EndpointReport describe(const AgentOptions& options, const IsolationBackend& backend,
                        const CommandRunner::State& state) {
  EndpointReport report;
  report.host_id = options.host.host_id;
  report.hostname = options.host.hostname;
  report.os = options.host.os;
  report.ips = options.host.ips;
  report.agent_version = agent_version();
  report.simulated = backend.simulated();
  report.observed = state.observed;
  report.generation = state.generation;
  return report;
}

Result<std::unique_ptr<IsolationBackend>> backend_of(const AgentOptions& options) {
  if (options.make_backend) return options.make_backend(options.state_dir);
  return make_backend(options.backend, options.state_dir);
}

// The trust for every connection after enrolment.
net::ClientOptions trust_of(const AgentOptions& options, const AgentState& state, const Credential& credential) {
  net::ClientOptions client;
  client.max_reply_bytes = kMaxReplyBytes;
  client.ca_file = options.ca_file;
  if (!client.ca_file.empty()) return client;
  client.pinned_fingerprint = credential.fingerprint;
  if (client.pinned_fingerprint.empty() && read_file(state.ca_file(), kMaxReplyBytes)) client.ca_file = state.ca_file();
  return client;
}

Result<std::string> error_of_reply(const net::ClientReply& reply, const std::string& url) {
  const std::string text = "the service answered " + std::to_string(reply.status) + ": " + reply.body.substr(0, 300);
  const bool later = reply.status == 429 || reply.status >= 500;
  return fail(later ? ErrorCode::unavailable : ErrorCode::refused, text, url, later ? Retry::yes : Retry::no);
}

Result<Credential> enroll(const AgentOptions& options, const AgentState& state, IsolationBackend& backend,
                          const std::stop_token& stop) {
  FB_TRY(std::string token, read_file(options.token_file, kMaxTokenBytes));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (token.empty()) return fail(ErrorCode::invalid_argument, "the token file is empty", options.token_file);
  FB_TRY(const std::string agent_id, state.agent_id(options.agent_id));
  net::ClientOptions trust;
  trust.max_reply_bytes = kMaxReplyBytes;
  trust.ca_file = options.ca_file;
  if (trust.ca_file.empty()) {
    trust.pinned_fingerprint = options.fingerprint.empty() ? endpoint::token_fingerprint(token) : options.fingerprint;
  }
  net::HttpClient client(trust);
  const std::stop_callback cancel(stop, [&client] { client.cancel(); });
  endpoint::EnrollRequest request;
  request.token = token;
  request.agent = describe(options, backend, {backend.observe().value_or(Isolation::unknown), 0});
  request.agent.endpoint_id = agent_id;
  const std::string server = without_slash(options.server);
  FB_TRY(const net::ClientReply reply,
         client.request("POST", server + "/v1/enroll", {{"Content-Type", "application/json"}},
                        endpoint::write_enroll_request(request)));
  if (reply.status != 200) return tl::unexpected<Error>(error_of_reply(reply, server).error());
  FB_TRY(const endpoint::EnrollReply answer, endpoint::read_enroll_reply(reply.body));
  if (answer.agent_id != agent_id) {
    return fail(ErrorCode::refused, "the service enrolled another agent id than was asked for", server);
  }
  Credential credential;
  credential.agent_id = agent_id;
  credential.secret = answer.credential;
  credential.server = server;
  if (answer.ca_certificate.empty()) credential.fingerprint = trust.pinned_fingerprint;
  if (answer.heartbeat_interval_ms > 0) credential.heartbeat_ms = answer.heartbeat_interval_ms;
  FB_TRY_VOID(state.keep(credential, answer.ca_certificate));
  log(LogLevel::info, "enrolled", "this agent enrolled", {{"endpoint_id", agent_id}, {"server", server}});
  return credential;
}

Status check_options(const AgentOptions& options) {
  FB_TRY_VOID(check_server(options.server));
  if (options.host.hostname.empty()) return fail(ErrorCode::invalid_argument, "the host's name is not known");
  return {};
}

// Tries until it is enrolled. An empty credential: stopped before.
Result<Credential> enroll_patiently(const AgentOptions& options, const AgentState& state, IsolationBackend& backend,
                                    const std::stop_token& stop) {
  if (options.token_file.empty()) {
    return fail(ErrorCode::invalid_argument, "this agent is not enrolled and has no token_file", options.state_dir);
  }
  Backoff backoff(options.backoff_min_ms, options.backoff_max_ms);
  std::string last;
  while (!stop.stop_requested()) {
    auto credential = enroll(options, state, backend, stop);
    if (credential) return credential;
    if (credential.error().code == ErrorCode::conflict) return credential;  // the state folder is another agent's
    const std::string problem = credential.error().describe();
    if (problem != last && !stop.stop_requested()) {
      log(LogLevel::warn, "not_enrolled", problem + "; trying on", {{"server", options.server}});
    }
    last = problem;
    // A token that was refused can only be mended by a person.
    const bool refused = credential.error().retry == Retry::no;
    sleep_unless_stopped(stop, refused ? options.backoff_max_ms : backoff.next_ms());
  }
  return Credential{};
}

// The connection that commands come in on.
class CommandLoop {
 public:
  CommandLoop(const AgentOptions& options, const Credential& credential, net::ClientOptions client,
              CommandRunner& runner, Reporter& reporter)
      : options_(options),
        id_(credential.agent_id),
        authorization_("Bearer " + credential.secret),
        client_(std::move(client)),
        runner_(runner),
        reporter_(reporter),
        backoff_(options.backoff_min_ms, options.backoff_max_ms) {}

  void run(const std::stop_token& stop) {
    const std::stop_callback cancel(stop, [this] { client_.cancel(); });
    const std::string url = without_slash(options_.server) + "/v1/commands?wait=" + std::to_string(options_.wait_s);
    while (!stop.stop_requested()) {
      const auto asked = std::chrono::steady_clock::now();
      const auto reply = client_.request("GET", url, {{"Authorization", authorization_}}, "");
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
    if (reply->status != 200) return error_of_reply(*reply, options_.server).error().describe();
    const auto command = endpoint::read_command(reply->body);
    if (!command) return "a command that cannot be read: " + command.error().describe();
    int64_t service_now = 0;
    if (const auto at = reply->headers.find(endpoint::kTimeHeader); at != reply->headers.end()) {
      std::from_chars(at->second.data(), at->second.data() + at->second.size(), service_now);
    }
    Report accepted;
    accepted.kind = Report::Kind::accepted;
    accepted.action_id = command->action_id;
    accepted.generation = command->generation;
    Report report = runner_.run(*command, service_now, [&] { reporter_.add(accepted); });
    log(report.kind == Report::Kind::done ? LogLevel::info : LogLevel::warn, "command", report.message,
        {{"endpoint_id", id_},
         {"action_id", command->action_id},
         {"verb", std::string(to_string(command->verb))},
         {"generation", std::to_string(command->generation)},
         {"kind", std::string(endpoint::to_string(report.kind))},
         {"observed", std::string(to_string(report.observed))}});
    reporter_.add(std::move(report));
    return "";
  }

  void lost(const std::string& problem) {
    if (!lost_) log(LogLevel::warn, "service_lost", problem + "; trying on", {{"endpoint_id", id_}});
    lost_ = true;
  }
  void found() {
    backoff_.reset();
    if (!lost_) return;
    lost_ = false;
    log(LogLevel::info, "service_found", "the service answers again", {{"endpoint_id", id_}});
    reporter_.hurry();
  }

  const AgentOptions& options_;
  const std::string id_;
  const std::string authorization_;
  net::HttpClient client_;
  CommandRunner& runner_;
  Reporter& reporter_;
  Backoff backoff_;
  bool lost_ = false;
};

}  // namespace

std::string agent_version() {
  return FB_VERSION;
}

Result<Enrolled> enroll_agent(const AgentOptions& options, std::stop_token stop) {
  FB_TRY_VOID(check_options(options));
  FB_TRY(const AgentState state, AgentState::open(options.state_dir));
  FB_TRY(const Credential known, state.credential());
  if (!known.secret.empty()) return Enrolled{known.agent_id, true};
  FB_TRY(const auto backend, backend_of(options));
  FB_TRY(const Credential fresh, enroll(options, state, *backend, stop));
  return Enrolled{fresh.agent_id, false};
}

Status run_agent(const AgentOptions& options, std::stop_token stop) {
  FB_TRY_VOID(check_options(options));
  FB_TRY(const AgentState state, AgentState::open(options.state_dir));
  FB_TRY(const auto backend, backend_of(options));
  FB_TRY(Journal journal, Journal::open(state.journal_file()));
  FB_TRY(Credential credential, state.credential());
  if (journal.was_torn())
    log(LogLevel::warn, "journal_mended", "a torn last line was cut off", {{"file", state.journal_file()}});
  if (journal.broken_lines() > 0) {
    log(LogLevel::error, "journal_broken", "lines of the journal cannot be read",
        {{"file", state.journal_file()}, {"lines", std::to_string(journal.broken_lines())}});
  }
  if (credential.secret.empty()) {
    FB_TRY(credential, enroll_patiently(options, state, *backend, stop));
    if (credential.secret.empty()) return {};
  } else if (!options.agent_id.empty() && options.agent_id != credential.agent_id) {
    return fail(ErrorCode::conflict, "this state folder belongs to agent " + credential.agent_id, options.state_dir);
  }
  CommandRunner runner(credential.agent_id, std::move(journal), *backend, system_clock());
  FB_TRY_VOID(runner.resume());
  log(LogLevel::info, "agent_started", "the agent runs",
      {{"endpoint_id", credential.agent_id},
       {"server", options.server},
       {"version", agent_version()},
       {"backend", std::string(backend->name())},
       {"simulated", backend->simulated() ? "true" : "false"}});
  if (backend->simulated()) {
    log(LogLevel::warn, "simulated_backend",
        "the isolation backend is simulated: this agent cuts nothing off the network",
        {{"endpoint_id", credential.agent_id}});
  }
  Reporter::Options reporting;
  reporting.server = without_slash(options.server);
  reporting.secret = credential.secret;
  reporting.endpoint_id = credential.agent_id;
  reporting.heartbeat_ms = options.heartbeat_ms > 0 ? options.heartbeat_ms : credential.heartbeat_ms;
  reporting.heartbeat_is_fixed = options.heartbeat_ms > 0;
  reporting.backoff_min_ms = options.backoff_min_ms;
  reporting.backoff_max_ms = options.backoff_max_ms;
  reporting.client = trust_of(options, state, credential);
  net::ClientOptions polling = reporting.client;
  polling.total_timeout_ms = options.wait_s * 1000 + kReplyMarginMs;
  Reporter reporter(std::move(reporting), [&] { return describe(options, *backend, runner.state()); });
  CommandLoop(options, credential, std::move(polling), runner, reporter).run(stop);
  reporter.stop(kLingerMs);
  log(LogLevel::info, "agent_stopped", "the agent ends", {{"endpoint_id", credential.agent_id}});
  return {};
}

}  // namespace fb::agent
