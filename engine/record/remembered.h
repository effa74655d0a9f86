// Rows that are asked for with every request, kept in memory for as long as nothing was written that could change them.
//
// `version` is that of what the rows came from: whoever writes raises it after the commit and before the write is
// answered. Who reads takes the version first, then looks here or into the record; so a row that was read beside a
// write is put under the old version and never found. A row also ends after kKeptMs: what somebody wrote into the file
// by other means is seen then. Only what was found is kept, at most kMost rows. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>

namespace fb::record {

template <class Row>
class Remembered {
 public:
  static constexpr size_t kMost = 4096;
  static constexpr int64_t kKeptMs = 1000;

  // Null: it is not known, or no longer.
  std::shared_ptr<const Row> find(const std::string& key, uint64_t version, int64_t now_ms) const {
    const std::shared_lock lock(mutex_);
    const auto it = rows_.find(key);
    if (it == rows_.end() || it->second.version != version || now_ms >= it->second.until_ms) return nullptr;
    return it->second.row;
  }

  void put(const std::string& key, uint64_t version, int64_t now_ms, Row row) {
    auto kept = std::make_shared<const Row>(std::move(row));
    const std::lock_guard lock(mutex_);
    if (rows_.size() >= kMost && !rows_.contains(key)) rows_.clear();
    rows_[key] = {std::move(kept), version, now_ms + kKeptMs};
  }

 private:
  struct Kept {
    std::shared_ptr<const Row> row;
    uint64_t version = 0;
    int64_t until_ms = 0;
  };
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, Kept> rows_;
};

}  // namespace fb::record
