// Which endpoint a credential belongs to, by the SHA-256 of the credential, as the store last said. Only credentials
// that the store knows are kept, so memory is bounded by the number of agents. Looking up a hash leaks nothing useful
// by its time (nobody can steer the hash of a secret that they do not know), and the hash found is still compared in
// constant time. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "engine/base/digest.h"

namespace fb::endpoint {

class CredentialCache {
 public:
  explicit CredentialCache(int fresh_ms) : fresh_ms_(fresh_ms) {}

  struct Found {
    std::string endpoint_id;  // "" = not known here
    bool fresh = false;       // false: ask the store again, it may have been revoked
  };
  Found find(const std::string& hash, int64_t now_ms) const {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(hash);
    if (at == entries_.end() || !equal_secret(at->first, hash)) return {};
    return {at->second.endpoint_id, now_ms - at->second.checked_ms < fresh_ms_};
  }
  void keep(const std::string& hash, const std::string& endpoint_id, int64_t now_ms) {
    const std::lock_guard lock(mutex_);
    entries_[hash] = {endpoint_id, now_ms};
  }
  void drop(const std::string& hash) {
    const std::lock_guard lock(mutex_);
    entries_.erase(hash);
  }
  void drop_endpoint(const std::string& endpoint_id) {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const auto& e) { return e.second.endpoint_id == endpoint_id; });
  }

 private:
  struct Entry {
    std::string endpoint_id;
    int64_t checked_ms = 0;
  };
  const int fresh_ms_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace fb::endpoint
