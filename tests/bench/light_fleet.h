// Thousands of agents without threads, for load tests: each holds its two mTLS connections (long poll; heartbeats and
// reports) and answers every order at once, after its signature was checked. Run in a process of its own, so that what
// it costs is not the gateway's. One thread: libcurl over epoll.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/result.h"

namespace fb::bench {

struct FleetPlan {
  uint16_t port = 0;
  std::string folder;  // <n>.pem for each agent, ca.pem, signing.key
  size_t agents = 0;
  int heartbeat_ms = 10'000;
  size_t at_once = 100;  // handshakes under way while the fleet comes up
};

// What the fleet tells through a pipe, one record each.
struct FleetWord {
  enum class Kind : uint32_t {
    up,       // every agent has its poll open and was heard
    order,    // an order came: agent, generation, when
    trouble,  // an order that does not hold, or a request that failed
  };
  Kind kind = Kind::up;
  uint32_t agent = 0;
  int64_t generation = 0;
  int64_t mono_ns = 0;
};

std::string fleet_agent_id(size_t n);
inline constexpr const char* kFleetDomain = ".fleet.example";  // the gateway's certificate is for all below it
// Until stop_fd is closed at its other end; then it ends within a second.
Status run_light_fleet(const FleetPlan& plan, int stop_fd, int words_fd);

}  // namespace fb::bench
