// The agent's second connection: sends reports in their order and a heartbeat every interval, on a thread of its own,
// hands what a heartbeat's answer brings to the enforcer, and renews the certificate in time.
// Reports wait while the service is away (bounded: beyond the bound the oldest go, and the service asks again).
// Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "apps/enforcer/enforcement.h"
#include "apps/firebreak-agent/agent_state.h"
#include "apps/firebreak-agent/backoff.h"
#include "apps/firebreak-agent/enrolment.h"
#include "engine/base/clock.h"
#include "engine/net/http.h"
#include "engine/ports/action_plugin.h"
#include "engine/ports/action_store.h"

namespace fb::agent {

class Reporter {
 public:
  struct Options {
    int heartbeat_ms = 10'000;
    bool heartbeat_is_fixed = false;  // configured here: what the service says does not count
    int backoff_min_ms = 200;
    int backoff_max_ms = 30'000;
    net::ClientOptions client;
  };
  // `describe` says what a heartbeat carries; called on the reporter's thread.
  Reporter(Options options, Credential credential, const AgentState& state, std::shared_ptr<std::atomic<int>> identity,
           Enforcement& enforcement, std::function<EndpointReport()> describe);
  ~Reporter();
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  void add(Report report);
  // The service is back: a heartbeat now, and no more waiting.
  void hurry();
  // Gives what waits up to linger_ms to be sent, then ends the thread.
  void stop(int linger_ms);

 private:
  void run(const std::stop_token& stop);
  bool send_reports();  // false: the service is not there
  bool send_heartbeat();
  void take_heartbeat_reply(const std::string& body);
  void renew_if_due();

  const Options options_;
  const AgentState& state_;
  Enforcement& enforcement_;
  const std::function<EndpointReport()> describe_;
  const std::shared_ptr<std::atomic<int>> identity_;  // rises with every new certificate
  Dialer client_;
  Credential credential_;  // the thread's own, like what follows
  bool asked_to_renew_ = false;
  int64_t renew_not_before_ms_ = 0;  // after a renewal that failed
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Report> waiting_;
  bool hurry_ = true;  // the first heartbeat goes out at once
  bool sending_ = false;
  bool was_refused_ = false;
  int heartbeat_ms_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace fb::agent
