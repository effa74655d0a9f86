// How this host is cut off and let back in. A backend is used under one lock (the enforcer's); only the change callback
// comes from a thread of its own. Nothing here judges whether it should be done.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "actions/endpoint/allow_set.h"
#include "engine/base/result.h"
#include "engine/model/names.h"

namespace fb::agent {

// A numeric address with a TCP port that stays open outward.
struct OpenService {
  endpoint::Prefix address;  // full length
  uint16_t port = 0;

  auto operator<=>(const OpenService&) const = default;
};

// What stays open, resolved to numbers. `services` includes the control plane.
struct Cut {
  std::vector<endpoint::Prefix> exceptions;  // merged; both directions
  std::vector<OpenService> services;
  std::vector<endpoint::Prefix> dns;
  bool dhcp = true;

  bool operator==(const Cut&) const = default;
};

struct Observation {
  Isolation state = Isolation::unknown;  // read back from the kernel, not remembered
  bool intact = true;                    // isolated exactly as last applied, on every link there is now
  bool links_changed = false;            // not intact only because links came, went or changed their name
  std::string rule_digest;               // hex SHA-256 of the rules in force without counters; "" when released
  int64_t drops = 0;                     // packets that the isolation dropped so far
  std::vector<std::string> problems;     // what is not covered: "raw sockets not covered: ..."; said to the service
};

class IsolationBackend {
 public:
  virtual ~IsolationBackend() = default;
  virtual std::string_view name() const = 0;
  // True: it only writes down what it would do. Said in every heartbeat, in the log and by --version.
  virtual bool simulated() const = 0;
  // Idempotent. On a host that is isolated already it changes the allow set in place: what stays allowed is never
  // interrupted. Also mends rules that somebody changed.
  virtual Status isolate(const Cut& cut) = 0;
  virtual Status release() = 0;  // idempotent
  virtual Result<Observation> observe() = 0;
  // Calls back soon (within 100 ms) after the rules or the links of the host may have changed, by whomever; from a
  // thread of the backend, until the backend is destroyed. The callback must not call the backend itself.
  virtual Status watch(std::function<void()> on_change) = 0;
};

using BackendFactory = std::function<Result<std::unique_ptr<IsolationBackend>>(const std::string& state_dir)>;

// Keeps the state in <state_dir>/simulated_isolation.json and touches no network.
std::unique_ptr<IsolationBackend> make_simulated_backend(const std::string& state_dir);

}  // namespace fb::agent
