// What isolated hosts may talk to: what the config says, what the endpoint's policy sets in place of that, and the host
// isolation exceptions for its platform and policy. All of it checked as a host would check it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actions/endpoint/order_desk.h"
#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "engine/record/exceptions.h"

namespace fb::cli {

// Of a config without isolation_problems.
endpoint::CutPolicy isolation_policy(const Config& config);
// Each with its place in the file; none: every host will take it.
std::vector<Diagnostic> isolation_problems(const Config::Loaded& loaded);

// The policy of each endpoint. It is asked with every heartbeat of an isolated host, so it is worked out once for each
// platform and policy, and again only after a change. Thread-safe. When the record can't be read, what was known last
// stays; before anything was read it is the config alone.
class IsolationPolicies {
 public:
  IsolationPolicies(endpoint::CutPolicy config, const Clock& clock) : clock_(clock), config_(std::move(config)) {}

  void use(Store& store);  // must outlive this; reads it
  void replace_config(endpoint::CutPolicy config);
  endpoint::CutPolicy config() const;
  // Exceptions, policies or who has them changed: the next question reads the record anew. Cheap; for the store's hook.
  void changed() { wanted_.fetch_add(1); }

  endpoint::PolicyPtr of(const std::string& endpoint_id);
  // From what was read last, without a look at the record: for questions from inside a transaction.
  bool may_roll_back(const std::string& endpoint_id) const;

  // Whether hosts would take the addresses of these items (which take the place of those with their ids; `emptied`: of
  // all that there are), one after the other: what did not fit does not count against those after it. In their places.
  // invalid_argument: it is no address; refused: alone or with the others it would undo isolations.
  std::vector<Status> fit_in(const std::vector<OpenAddress>& items, bool emptied);
  // Whether the endpoint's exceptions hold this address.
  bool leaves_open(const std::string& endpoint_id, const std::string& address);

 private:
  using Place = std::pair<std::string, std::string>;  // platform, policy id
  void refresh(bool unknown_endpoint);
  Status read();
  endpoint::PolicyPtr work_out(const Place& place) const;
  endpoint::CutPolicy settled(const std::string& policy_id) const;
  std::vector<std::string> open_to(const Place& place) const;
  bool is_live(const OpenAddress& item) const;

  const Clock& clock_;
  std::atomic<uint64_t> wanted_{1};
  mutable std::mutex mutex_;
  endpoint::CutPolicy config_;
  Store* store_ = nullptr;
  uint64_t read_ = 0;           // what `wanted_` was when the record was read last
  int64_t read_at_ms_ = 0;      // monotonic
  int64_t next_expiry_ms_ = 0;  // wall clock; 0 = none
  std::vector<OpenAddress> opens_;
  std::unordered_map<std::string, Place> places_;
  std::map<std::string, PolicySettings> settings_;
  std::map<Place, endpoint::PolicyPtr> cuts_;
};

}  // namespace fb::cli
