#include "apps/firebreak-agent/enrolment.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <utility>

#include "actions/endpoint/wire.h"
#include "apps/enforcer/durable_file.h"
#include "apps/enforcer/enforcer.h"
#include "apps/firebreak-agent/backoff.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/net/tls_files.h"

namespace fb::agent {
namespace {

constexpr size_t kMaxReplyBytes = 2u << 20;
constexpr size_t kMaxTokenBytes = 8u << 10;

// Only the length of the certificate's life counts: its ends are told by the service's clock, and this host's may be
// years off.
int64_t renewal_time(const std::string& certificate_file) {
  const int64_t now = system_clock().wall_ms();
  const auto facts = net::certificate_facts(certificate_file);
  return facts ? now + (facts->not_after_ms - facts->not_before_ms) / 3 * 2 : now;
}

Status may_write_identity(const AgentOptions& options) {
  const std::string folder = enforcer_folder(options);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && ::access(folder.c_str(), W_OK) == 0) return {};
  return fail(ErrorCode::invalid_argument,
              "this agent is not enrolled, and may not write whom the root helper obeys; run `firebreak-agent enroll` "
              "as root",
              folder);
}

}  // namespace

std::string enforcer_folder(const AgentOptions& options) {
  return options.backend == kSimulated ? options.state_dir + "/enforcer" : options.helper_folder;
}

Status check_options(const AgentOptions& options) {
  if (!options.server.starts_with("https://")) {
    return fail(ErrorCode::invalid_argument, "server '" + options.server + "' must start with https://");
  }
  if (options.host.hostname.empty()) return fail(ErrorCode::invalid_argument, "the host's name is not known");
  return {};
}

std::string without_slash(std::string server) {
  while (server.ends_with('/')) server.pop_back();
  return server;
}

net::ClientOptions client_options(const AgentOptions& options, const AgentState& state) {
  net::ClientOptions client;
  client.max_reply_bytes = kMaxReplyBytes;
  client.ca_file = options.ca_file.empty() ? state.ca_file() : options.ca_file;
  client.address_file = state.folder() + "/server_address";  // an isolated host may have no name server left
  client.client_certificate_file = state.identity_file();
  client.client_key_file = state.identity_file();
  return client;
}

void sleep_unless_stopped(const std::stop_token& stop, int ms) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, std::chrono::milliseconds(ms), [] { return false; });
}

Error error_of_reply(const net::ClientReply& reply, const std::string& url) {
  const bool later = reply.status == 202 || reply.status == 429 || reply.status >= 500;
  return {later ? ErrorCode::unavailable : ErrorCode::refused, later ? Retry::yes : Retry::no,
          "the service answered " + std::to_string(reply.status) + ": " + reply.body.substr(0, 300), url};
}

Result<Credential> enroll_once(const AgentOptions& options, const AgentState& state, const std::stop_token& stop) {
  FB_TRY_VOID(may_write_identity(options));
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
  FB_TRY(request.csr, net::make_certificate_request(state.next_key_file()));
  request.agent.endpoint_id = agent_id;
  request.agent.host_id = options.host.host_id;
  request.agent.hostname = options.host.hostname;
  request.agent.os = options.host.os;
  request.agent.ips = options.host.ips;
  request.agent.agent_version = agent_version();
  request.agent.simulated = options.backend == kSimulated;
  const std::string server = without_slash(options.server);
  FB_TRY(const net::ClientReply reply,
         client.request("POST", server + "/v1/enroll", {{"Content-Type", "application/json"}},
                        endpoint::write_enroll_request(request)));
  if (reply.status != 200) return tl::unexpected<Error>(error_of_reply(reply, server));
  FB_TRY(const endpoint::EnrollReply answer, endpoint::read_enroll_reply(reply.body));
  if (answer.agent_id != agent_id) {
    return fail(ErrorCode::refused, "the service enrolled another agent id than was asked for", server);
  }
  // First whom the enforcer obeys; only then is the agent enrolled. Left between the two, it asks again.
  FB_TRY_VOID(keep_identity(enforcer_folder(options), {agent_id, server, answer.signing_keys}));
  Credential credential;
  credential.agent_id = agent_id;
  credential.server = server;
  if (answer.heartbeat_interval_ms > 0) credential.heartbeat_ms = answer.heartbeat_interval_ms;
  const std::string fresh = state.folder() + "/fresh.pem";
  FB_TRY_VOID(replace_file(fresh, answer.certificate));
  credential.renew_at_ms = renewal_time(fresh);
  ::unlink(fresh.c_str());
  FB_TRY_VOID(state.keep(credential, answer.certificate, answer.ca_certificate));
  FB_TRY_VOID(state.hand_over());
  log(LogLevel::info, "enrolled", "this agent enrolled", {{"endpoint_id", agent_id}, {"server", server}});
  return credential;
}

Result<Credential> enroll_patiently(const AgentOptions& options, const AgentState& state, const std::stop_token& stop) {
  if (options.token_file.empty()) {
    return fail(ErrorCode::invalid_argument, "this agent is not enrolled and has no token_file", options.state_dir);
  }
  FB_TRY_VOID(may_write_identity(options));
  Backoff backoff(options.backoff_min_ms, options.backoff_max_ms);
  std::string last;
  while (!stop.stop_requested()) {
    auto credential = enroll_once(options, state, stop);
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

Result<Credential> renew_certificate(const Credential& credential, const AgentState& state, net::HttpClient& client) {
  FB_TRY(const std::string csr, net::make_certificate_request(state.next_key_file()));
  FB_TRY(const net::ClientReply reply,
         client.request("POST", credential.server + "/v1/renew", {{"Content-Type", "application/json"}},
                        endpoint::write_one("csr", csr)));
  if (reply.status != 200) return tl::unexpected<Error>(error_of_reply(reply, credential.server));
  FB_TRY(const std::string certificate, endpoint::read_one("certificate", reply.body));
  const std::string fresh = state.folder() + "/fresh.pem";
  FB_TRY_VOID(replace_file(fresh, certificate));
  Credential next = credential;
  next.renew_at_ms = renewal_time(fresh);
  ::unlink(fresh.c_str());
  FB_TRY_VOID(state.keep(next, certificate, ""));
  log(LogLevel::info, "certificate_renewed", "this agent has a new certificate",
      {{"endpoint_id", credential.agent_id}});
  return next;
}

}  // namespace fb::agent
