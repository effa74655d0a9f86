// Sends what happens to the clients that follow it, as server-sent events. One thread reads the record for all of them;
// each client is at its own place in the sequence, so a slow one lags (its buffer is bounded) and never holds up
// another, and the HTTP server drops it when it takes nothing. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/clock.h"
#include "engine/net/http.h"
#include "engine/record/store.h"

namespace fb::api {

struct HubLimits {
  size_t max_clients = 128;
  size_t max_backlog_bytes = 256u << 10;  // no more is read for a client that has not taken so much
  int64_t poll_ms = 100;
  int64_t heartbeat_ms = 15'000;
  // Then the stream ends, and the client comes back and shows its credentials again.
  int64_t longest_ms = 15 * 60'000;
  int64_t look_again_ms = 250;  // how often it is asked whether a client may still follow
};

class EventHub {
 public:
  EventHub(Store& store, HubLimits limits);
  ~EventHub();
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  // A place for one more client; false: there are as many as there may be.
  bool has_room();
  // Follows from after `after` on; only events of these kinds. The responder is started already. The stream ends when
  // `may_follow` says no; it is asked on the hub's thread, as long as the hub lives.
  void add(std::shared_ptr<net::Responder> client, int64_t after, std::set<std::string> kinds,
           std::function<bool()> may_follow = {});

 private:
  struct Client {
    std::shared_ptr<net::Responder> responder;
    int64_t at = 0;
    std::set<std::string> kinds;
    int64_t since_ms = 0;
    int64_t spoke_ms = 0;
    std::function<bool()> may_follow = {};
    int64_t asked_ms = 0;
  };
  void loop();
  bool serve(std::vector<Client>& clients);
  bool feed(Client& client, const std::vector<StreamEvent>& events, int64_t now_ms) const;

  Store& store_;
  const HubLimits limits_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Client> fresh_;  // added, not yet taken over by the thread
  size_t clients_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace fb::api
