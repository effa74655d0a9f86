// Turns what the engine wants of a host into signed envelopes: epoch, revision, policy, break-glass hash, keys. Every
// envelope is made when it is handed out, so that its revision is the newest of all. Thread-safe; a signature costs
// about 50 us. Which hosts know the newest keys is remembered for this run only: until one shows that it took an order
// of this run, its orders are signed with the oldest key and bring all keys along.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "actions/endpoint/envelope.h"
#include "engine/base/clock.h"
#include "engine/ports/action_plugin.h"
#include "engine/ports/agent_store.h"

namespace fb::endpoint {

using Signers = std::vector<std::shared_ptr<const Signer>>;  // newest first, at least one
// A policy and its digest, which hosts tell in every heartbeat: worked out once a change, not once a heartbeat.
struct PolicyInForce {
  CutPolicy policy;
  std::string digest;
};
using PolicyPtr = std::shared_ptr<const PolicyInForce>;
PolicyPtr in_force(CutPolicy policy);
using PolicyOf = std::function<PolicyPtr(const std::string& endpoint_id)>;  // empty, or null: an empty policy

// A host that claims an epoch so far ahead of the service's is broken or lies: the service does not follow it.
inline constexpr int64_t kMaxEpochJump = 1'000'000;

class OrderDesk {
 public:
  OrderDesk(Signers signers, std::string break_glass_secret, PolicyOf policy, AgentStore& store, const Clock& clock)
      : store_(store),
        clock_(clock),
        break_glass_secret_(std::move(break_glass_secret)),
        policy_(std::move(policy)),
        signers_(std::move(signers)) {}

  // Takes the epoch of this run out of the record. Before anything is signed.
  Status start();

  std::string command(const Command& command);
  std::string update_allow_set(const std::string& endpoint_id, int64_t generation);
  // generation: of the local release that it acknowledges; 0 = none.
  std::string status(const std::string& endpoint_id, int64_t generation);

  PolicyPtr policy(const std::string& endpoint_id) const;
  // What a heartbeat says of the orders that the host took. A higher epoch than this run's (the record was restored
  // from a backup) raises it; the error is the record's.
  Status heard(const std::string& endpoint_id, int64_t epoch, int64_t revision);
  Status raise_epoch();  // a host refused this one as stale
  // The host refused a signature: it has not learnt the newest key after all.
  void forget_knowledge(const std::string& endpoint_id);
  bool knows_keys(const std::string& endpoint_id) const;

  void replace_signers(Signers signers);
  KeySet trusted() const;
  int64_t epoch() const;

 private:
  std::string sign(Envelope envelope);
  KeySet trusted_locked() const;

  AgentStore& store_;
  const Clock& clock_;
  const std::string break_glass_secret_;
  const PolicyOf policy_;
  mutable std::mutex mutex_;
  Signers signers_;
  int64_t epoch_ = 0;
  int64_t revision_ = 0;        // the last given
  int64_t trust_revision_ = 0;  // whoever took a later one knows the keys of now
  std::unordered_set<std::string> know_keys_;
};

}  // namespace fb::endpoint
