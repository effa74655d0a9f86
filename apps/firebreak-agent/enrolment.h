// How an agent gets its certificate, and how it gets the next one. Blocking; a request ends soon when stop is asked
// for.
#pragma once

#include <atomic>
#include <memory>
#include <stop_token>
#include <string>

#include "apps/firebreak-agent/agent.h"
#include "apps/firebreak-agent/agent_state.h"
#include "engine/net/http.h"

namespace fb::agent {

// Where the enforcer finds whom it obeys.
std::string enforcer_folder(const AgentOptions& options);
Status check_options(const AgentOptions& options);
std::string without_slash(std::string server);
// Trust, and who we are, for every connection after enrolment.
net::ClientOptions client_options(const AgentOptions& options, const AgentState& state);

// One attempt. Errors: unavailable with Retry::yes (try again, or a person has to approve it first), refused (a wrong
// token, denied), conflict and io (this host).
Result<Credential> enroll_once(const AgentOptions& options, const AgentState& state, const std::stop_token& stop);
// Tries until it is enrolled. An empty credential: stopped before.
Result<Credential> enroll_patiently(const AgentOptions& options, const AgentState& state, const std::stop_token& stop);

Result<Credential> renew_certificate(const Credential& credential, const AgentState& state, net::HttpClient& client);

// What the service's answer means, when it is not the one hoped for.
Error error_of_reply(const net::ClientReply& reply, const std::string& url);
void sleep_unless_stopped(const std::stop_token& stop, int ms);

// A client that dials anew, with the new certificate, after the identity has changed. One thread at a time, cancel()
// from any.
class Dialer {
 public:
  Dialer(net::ClientOptions options, std::shared_ptr<std::atomic<int>> identity_version)
      : options_(std::move(options)),
        version_(std::move(identity_version)),
        dialed_(version_->load()),
        client_(std::make_shared<net::HttpClient>(options_)) {}

  Result<net::ClientReply> request(const std::string& method, const std::string& url,
                                   const std::map<std::string, std::string>& headers, const std::string& body) {
    return client()->request(method, url, headers, body);
  }
  std::shared_ptr<net::HttpClient> client() {
    const std::lock_guard lock(mutex_);
    if (dialed_ != version_->load()) {
      dialed_ = version_->load();
      client_ = std::make_shared<net::HttpClient>(options_);
      if (cancelled_) client_->cancel();
    }
    return client_;
  }
  void cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    client_->cancel();
  }

 private:
  const net::ClientOptions options_;
  const std::shared_ptr<std::atomic<int>> version_;
  std::mutex mutex_;
  int dialed_;
  bool cancelled_ = false;
  std::shared_ptr<net::HttpClient> client_;
};

}  // namespace fb::agent
