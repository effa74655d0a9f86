// Who obeys orders on this host. It verifies every envelope itself and trusts nobody who carries one: signature, agent,
// epoch and revision (each envelope acts at most once), generation (an older command never undoes a newer one), expiry,
// the host's own ceilings and its protected flag. Journal before the effect, read-back and journal after it. Runs the
// lease on the boot clock, takes break-glass codes, mends what others changed, and brings the state of before a reboot
// back. Thread-safe; one lock, held over an effect.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actions/endpoint/envelope.h"
#include "apps/enforcer/backend.h"
#include "apps/enforcer/enforcement.h"
#include "engine/base/clock.h"

namespace fb::agent {

// Who this host is and whom it obeys: written by enrolment, read by the enforcer.
struct Identity {
  std::string agent_id;
  std::string server;        // "https://host:8771": the control plane, which stays reachable
  endpoint::KeySet trusted;  // who may sign
};
// <folder>/identity.json, mode 0600, durable. not_found when the host is not enrolled.
Status keep_identity(const std::string& folder, const Identity& identity);
Result<Identity> read_identity(const std::string& folder);

// Tells users who are logged in; errors are the notifier's to log. Called outside the enforcer's lock.
using UserNotice = std::function<void(Isolation now, const std::string& comment, const std::string& message)>;

struct EnforcerOptions {
  std::string folder;          // identity, journal, the state that a reboot finds; 0700
  std::string protected_file;  // while it exists no isolation is obeyed; "" = none
  int changes_per_hour = 120;  // isolations and updates obeyed within an hour; a release is never held back
  int self_test_ms = 5'000;    // how long the control plane may take to answer after the cut
  int mend_after_ms = 50;      // quiet time after a change of the rules before they are looked at
  int look_every_ms = 1'000;   // and looked at anyway
  int lease_sync_ms = 60'000;  // how often the remaining lease is made durable
  UserNotice notice;           // may be empty
  // Names to numbers (control plane, services of the policy). Empty: the system's resolver, with the last good answer
  // kept in the folder.
  std::function<Result<std::vector<endpoint::Prefix>>(const std::string& host)> resolve;
  // After the cut: can the control plane be reached? Empty: a TCP connection.
  std::function<bool(const std::string& server)> probe;
};

class Enforcer : public Enforcement {
 public:
  // Reads what is there and brings the host back into the state of the last order (a reboot, a crash in the middle of
  // an order). The backend and the clock outlive it.
  static Result<std::unique_ptr<Enforcer>> open(EnforcerOptions options, IsolationBackend& backend, const Clock& clock);

  // A person at the host: one-time code of the service for the isolation that stands. 5 tries, then each waits longer.
  virtual Status break_glass(const std::string& code) = 0;
  // What time brings: the lease's end, drift, name refresh. Called by an own thread of the enforcer; for tests on a
  // fake clock, by hand (`own_thread` false).
  virtual void tick() = 0;
  virtual void start_thread() = 0;
};

}  // namespace fb::agent
