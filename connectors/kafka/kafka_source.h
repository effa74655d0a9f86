// Kafka as a Source: one consumer in a consumer group, over librdkafka.
//
// What is handled is decided by the record, not by Kafka: on every assignment a partition starts at the greater of the
// record's next offset and the group's committed one, with explicit offsets. Kafka's commit follows what was kept, once
// a second and whenever partitions are handed back. Records of partitions that are taken away while a batch is being
// filled leave that batch; a batch that poll() gave must be kept (or given up) before the next poll().
//
// Threads: poll, kept, close from one; health and counts from any. librdkafka has its own threads for the network.
// Failure: brokers away, refused credentials, a missing topic are states in health(), tried again for ever. poll()
// returns an Error only when going on is pointless (another process uses the same group.instance.id) or when the record
// can't be asked.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "connectors/kafka/start_decision.h"
#include "engine/base/clock.h"
#include "engine/ports/source.h"

namespace fb {

using KafkaProperties = std::map<std::string, std::string>;  // librdkafka's own names

struct KafkaSourceConfig {
  KafkaProperties properties;  // bootstrap.servers is required
  std::vector<std::string> topics;
  std::string group;
  StartPolicy start = StartPolicy::earliest;
  GapPolicy gap = GapPolicy::carry_on;
  int32_t epoch = 0;                   // raised when a topic is made anew
  bool from_record = false;            // after restoring the record: go back to it although the group is ahead
  bool embedded = false;               // the embedded broker: ask it often, it answers a waiting fetch late
  int64_t recreate_after_ms = 60'000;  // without any broker for this long, the consumer is made anew
};

struct KafkaGap {
  GapKind kind = GapKind::log_start;
  std::string cluster;
  std::string topic;
  int32_t epoch = 0;
  int32_t partition = 0;
  int64_t first = 0;  // offsets [first, last) were not handled
  int64_t last = 0;
  bool stopped = false;  // the partition is not read until somebody decides
  std::string message;   // one line for a person
};

// A record came with an offset below the next one: the broker lost and re-used offsets. It was skipped.
struct KafkaRegression {
  std::string cluster;
  std::string topic;
  int32_t epoch = 0;
  int32_t partition = 0;
  int64_t expected = 0;
  int64_t got = 0;
};

struct KafkaSourceHooks {
  StoredOffset stored;                                        // required
  std::function<void(const KafkaGap&)> on_gap;                // told once per gap and assignment
  std::function<void(const KafkaRegression&)> on_regression;  // told once per run of such records
};

class KafkaSource final : public Source {
 public:
  // Checks the configuration (invalid_argument names the property) and starts to connect; does not wait for a broker.
  static Result<std::unique_ptr<KafkaSource>> open(KafkaSourceConfig config, KafkaSourceHooks hooks,
                                                   const Clock& clock);
  ~KafkaSource() override;
  KafkaSource(const KafkaSource&) = delete;
  KafkaSource& operator=(const KafkaSource&) = delete;

  Result<Progress> poll(RawBatch& batch, const BatchLimits& limits, int idle_wait_ms) override;
  void kept(const std::vector<OffsetAdvance>& advances) override;
  Health health() const override;
  void close() override;

  struct Counts {
    uint64_t assignments = 0;  // partitions were given to us
    uint64_t revocations = 0;  // ... and taken away
    uint64_t lost = 0;         // of these: without a chance to commit
    uint64_t dropped = 0;      // records that left an open batch with their partitions
    uint64_t gaps = 0;
    uint64_t regressions = 0;  // records
    uint64_t commit_errors = 0;
    uint64_t recreated = 0;   // consumers made anew
    uint32_t partitions = 0;  // assigned now
  };
  Counts counts() const;

 private:
  struct Impl;
  explicit KafkaSource(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Only checks: `firebreak check`-like callers see what open() would refuse.
Status check_kafka_properties(const KafkaProperties& properties);

}  // namespace fb
