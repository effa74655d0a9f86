// Where records come from. One thread (the pipeline's) calls a source; implementations: connectors/.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/model/model.h"

namespace fb {

// One record of a batch. Its bytes are followed by RawBatch::kPadding readable bytes.
struct RawRecord {
  std::string_view bytes;
  bool tombstone = false;  // a record without a value
  uint32_t stream = 0;     // index into RawBatch::streams
  int64_t offset = 0;
  int64_t broker_time_ms = 0;  // 0 = unknown
  bool broker_time_is_append = false;
};

// A partition (or the file inputs) that the batch has records of.
struct RawStream {
  std::string cluster;
  std::string topic;
  int32_t epoch = 0;
  int32_t partition = 0;
  int64_t from = 0;  // the batch handles offsets [from, next) of this stream
  int64_t next = 0;
  int64_t lag = 0;     // records behind the end of the partition when read; 0 = unknown or none
  int64_t lag_ms = 0;  // the same as time
};

// Buffers are reused from poll to poll.
struct RawBatch {
  static constexpr size_t kPadding = 64;
  std::vector<RawRecord> records;
  std::vector<RawStream> streams;
  int64_t read_time_ms = 0;  // wall clock when the batch's first record arrived

  void clear();
  // Copies the bytes into the arena with padding; the views stay valid until clear().
  void add(std::string_view bytes, uint32_t stream, int64_t offset, int64_t broker_time_ms, bool is_append);
  size_t bytes() const { return used_; }

 private:
  struct Block {
    std::vector<char> data;
    size_t used = 0;
  };
  std::vector<Block> blocks_;
  size_t block_ = 0;
  size_t used_ = 0;
};

struct BatchLimits {
  uint32_t max_records = 2000;
  size_t max_bytes = 4u << 20;
  int max_wait_ms = 100;  // a batch closes after this long, or at once when the source has nothing more to give
};

class Source {
 public:
  virtual ~Source() = default;

  enum class Progress : uint8_t {
    records,  // the batch holds at least one
    idle,     // nothing within the wait
    ended,    // a finite source is at its end (files)
  };
  // Waits up to idle_wait_ms for the first record, then fills the batch to its limits. An error that may be retried is
  // a state, not an end: the caller keeps polling.
  virtual Result<Progress> poll(RawBatch& batch, const BatchLimits& limits, int idle_wait_ms) = 0;

  // The record holds everything below these offsets: the source may tell its broker. Never called ahead of the record.
  virtual void kept(const std::vector<OffsetAdvance>& advances) = 0;

  struct Health {
    bool connected = false;
    std::string detail;  // why not, one line
  };
  virtual Health health() const = 0;  // any thread

  // Hands partitions back and tells the broker what is kept; bounded by a few seconds.
  virtual void close() = 0;
};

// What a source asks the record when it starts on a partition: the first offset not yet handled.
using StoredOffset = std::function<Result<std::optional<int64_t>>(const std::string& cluster, const std::string& topic,
                                                                  int32_t epoch, int32_t partition)>;

inline void RawBatch::clear() {
  records.clear();
  streams.clear();
  for (Block& b : blocks_) b.used = 0;
  block_ = 0;
  used_ = 0;
  read_time_ms = 0;
}

inline void RawBatch::add(std::string_view bytes, uint32_t stream, int64_t offset, int64_t broker_time_ms,
                          bool is_append) {
  constexpr size_t kBlock = 1u << 20;
  const size_t need = bytes.size() + kPadding;
  while (block_ < blocks_.size() && blocks_[block_].data.size() - blocks_[block_].used < need) ++block_;
  if (block_ == blocks_.size()) {
    blocks_.emplace_back();
    blocks_.back().data.resize(need > kBlock ? need : kBlock);
  }
  Block& b = blocks_[block_];
  char* to = b.data.data() + b.used;
  bytes.copy(to, bytes.size());
  b.used += need;
  used_ += bytes.size();
  records.push_back({std::string_view(to, bytes.size()), false, stream, offset, broker_time_ms, is_append});
}

}  // namespace fb
