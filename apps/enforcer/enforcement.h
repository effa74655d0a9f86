// The line between who carries orders (the network process, unprivileged) and who obeys them (the enforcer: in the root
// helper behind a socket, or in the same process when the backend is the simulated one). Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/model/names.h"
#include "engine/ports/action_plugin.h"
#include "engine/ports/action_store.h"

namespace fb::agent {

struct EnforcementStatus {
  std::string backend;
  bool simulated = false;
  Isolation observed = Isolation::unknown;
  int64_t generation = 0;  // of the last order begun
  int64_t epoch = 0;       // the highest accepted, with the revision in it
  int64_t revision = 0;
  std::string action_id;  // of the last isolation or release
  std::string rule_digest;
  std::string policy_digest;  // of the policy in force; "" when released
  int64_t drops = 0;
  int64_t drift_events = 0;   // times the rules had to be mended
  int64_t lease_left_ms = 0;  // 0 = no lease runs
  std::vector<std::string> problems;
  LocalRelease local_release;  // the last one that the service has not answered yet
};

class Enforcement {
 public:
  virtual ~Enforcement() = default;
  // Hands over one envelope as it came. on_begin is called when the order stands in the journal and before its effect.
  // Always gives a report (its endpoint_id is not set):
  //   done/failed  ran now, or ran before (the stored result; observed is read anew)
  //   refused      a signature that does not hold, another agent's, replayed, of an old generation or epoch, expired,
  //                or an isolation of a host that is marked protected here; nothing was done
  virtual Report carry(const std::string& envelope, const std::function<void()>& on_begin) = 0;
  virtual Result<EnforcementStatus> status() = 0;
};

}  // namespace fb::agent
