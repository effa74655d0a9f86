// What the enforcer keeps in its folder beside the journal: who it is, a small state, and the signed orders in force,
// as they came. Every write is durable when it returns. One owner, one thread at a time; no call waits for anything but
// the disk.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actions/endpoint/envelope.h"
#include "apps/enforcer/enforcement.h"
#include "engine/base/result.h"

namespace fb::agent {

// <folder>/state.json: what must survive and stands in no envelope. Small, written whole.
struct LastingState {
  int64_t epoch = 0;       // of the last envelope taken,
  int64_t revision = 0;    // and its revision: nothing at or below it acts again
  int64_t service_ms = 0;  // the service's time when this was written, as far as this host can tell
  // The lease that runs. It belongs to the order (lease_epoch, lease_revision) that set it.
  int64_t lease_epoch = 0;
  int64_t lease_revision = 0;
  int64_t lease_left_ms = 0;
  int64_t sequence = 0;        // of the last local release
  LocalRelease local_release;  // not acknowledged yet; `how` empty: none
  int64_t failed_codes = 0;    // break-glass tries that failed in a row
};

// An order as it lies on the disk.
struct StoredOrder {
  std::string file;
  std::string text;
};

class EnforcerFiles {
 public:
  // Makes the folder and <folder>/orders (0700) where they are missing.
  static Result<EnforcerFiles> open(const std::string& folder);

  const std::string& folder() const { return folder_; }
  std::string journal() const { return folder_ + "/journal.ndjson"; }
  std::string names() const { return folder_ + "/names.json"; }

  // not_found before the first keep; corrupt when it can't be read.
  Result<LastingState> state() const;
  Status keep_state(const LastingState& state);

  Result<std::vector<StoredOrder>> orders() const;
  Status keep_order(const endpoint::Envelope& envelope, const std::string& text);
  // Of all orders, only those whose (epoch, revision) is listed stay; what can't be read as a name goes too.
  struct Number {
    int64_t epoch = 0;
    int64_t revision = 0;
    auto operator<=>(const Number&) const = default;
  };
  Status keep_only(const std::vector<Number>& numbers);

  // Keys that no longer sign, but have signed an order that is in force.
  Result<endpoint::KeySet> retired_keys() const;
  Status keep_retired_keys(const endpoint::KeySet& keys);

  // A little space is held back, so that who fills the disk can neither keep an isolation away nor a host cut off:
  // freed when a write finds no room, held again when there is some.
  void hold_space();
  void free_space();

 private:
  explicit EnforcerFiles(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
};

}  // namespace fb::agent
