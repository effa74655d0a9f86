// A record that only holds offsets, and a consumer that keeps what it reads: what the pipeline and the record are to
// the source, small enough to see through.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "connectors/kafka/embedded_broker.h"
#include "connectors/kafka/kafka_source.h"
#include "connectors/kafka/produce.h"

namespace fb::test {

inline int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The record's offsets, with its compare-and-set: a batch must begin where the last one ended.
class Offsets {
 public:
  using Key = std::tuple<std::string, std::string, int32_t, int32_t>;  // cluster, topic, epoch, partition

  StoredOffset reader() {
    return [this](const std::string& cluster, const std::string& topic, int32_t epoch,
                  int32_t partition) -> Result<std::optional<int64_t>> {
      clusters.push_back(cluster);
      for (const auto& [key, next] : next_of) {
        if (std::get<1>(key) == topic && std::get<2>(key) == epoch && std::get<3>(key) == partition) return next;
      }
      return std::optional<int64_t>();
    };
  }
  void keep(const RawStream& s) {
    ASSERT_FALSE(s.cluster.empty());
    const auto [slot, fresh] = next_of.try_emplace({"", s.topic, s.epoch, s.partition}, s.from);
    ASSERT_EQ(slot->second, s.from) << s.topic << "/" << s.partition
                                    << ": the batch does not begin where the record ends";
    ASSERT_LE(s.from, s.next);
    slot->second = s.next;
  }
  void set(const std::string& topic, int32_t partition, int64_t next, int32_t epoch = 0) {
    next_of[{"", topic, epoch, partition}] = next;
  }
  int64_t at(const std::string& topic, int32_t partition, int32_t epoch = 0) const {
    const auto it = next_of.find({"", topic, epoch, partition});
    return it == next_of.end() ? -1 : it->second;
  }

  std::map<Key, int64_t> next_of;
  std::vector<std::string> clusters;  // asked for, in order
};

struct Seen {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = 0;
  std::string value;
  bool tombstone = false;
  int64_t time_ms = 0;
  bool append = false;
};

class Reader {
 public:
  Reader(KafkaSourceConfig config, Offsets& offsets, const Clock& clock = system_clock()) : offsets_(offsets) {
    KafkaSourceHooks hooks;
    hooks.stored = offsets.reader();
    hooks.on_gap = [this](const KafkaGap& g) { gaps.push_back(g); };
    hooks.on_regression = [this](const KafkaRegression& r) { regressions.push_back(r); };
    Result<std::unique_ptr<KafkaSource>> opened = KafkaSource::open(std::move(config), std::move(hooks), clock);
    EXPECT_TRUE(opened) << opened.error().describe();
    source = std::move(*opened);
  }

  // One turn: what it gave is kept at once.
  bool turn(int wait_ms = 50) {
    const Result<Source::Progress> p = source->poll(batch, limits, wait_ms);
    EXPECT_TRUE(p) << p.error().describe();
    if (!p) return false;
    EXPECT_EQ(*p == Source::Progress::records, !batch.records.empty());
    for (const RawRecord& r : batch.records) {
      const RawStream& s = batch.streams[r.stream];
      EXPECT_GE(r.offset, s.from);
      EXPECT_LT(r.offset, s.next);
      seen.push_back({s.topic, s.partition, r.offset, std::string(r.bytes), r.tombstone, r.broker_time_ms,
                      r.broker_time_is_append});
    }
    if (!keeps) return true;
    std::vector<OffsetAdvance> advances;
    for (const RawStream& s : batch.streams) {
      offsets_.keep(s);
      advances.push_back({s.cluster, s.topic, s.epoch, s.partition, s.from, s.next});
    }
    if (!advances.empty()) source->kept(advances);
    if (!batch.records.empty()) batch_sizes.push_back(batch.records.size());
    return true;
  }
  bool until(const std::function<bool()>& done, int64_t timeout_ms = 20'000) {
    const int64_t end = now_ms() + timeout_ms;
    while (!done()) {
      if (now_ms() > end || !turn()) return false;
    }
    return true;
  }
  bool until_seen(size_t count, int64_t timeout_ms = 20'000) {
    return until([&] { return seen.size() >= count; }, timeout_ms);
  }
  void run_for(int64_t ms) {
    const int64_t end = now_ms() + ms;
    while (now_ms() < end && turn()) {
    }
  }
  std::vector<int64_t> offsets_of(int32_t partition) const {
    std::vector<int64_t> out;
    for (const Seen& s : seen) {
      if (s.partition == partition) out.push_back(s.offset);
    }
    return out;
  }

  std::unique_ptr<KafkaSource> source;
  RawBatch batch;
  BatchLimits limits;
  bool keeps = true;
  std::vector<Seen> seen;
  std::vector<size_t> batch_sizes;
  std::vector<KafkaGap> gaps;
  std::vector<KafkaRegression> regressions;

 private:
  Offsets& offsets_;
};

inline std::vector<int64_t> range(int64_t first, int64_t last) {
  std::vector<int64_t> out;
  for (int64_t i = first; i < last; ++i) out.push_back(i);
  return out;
}

// `count` records {"n":first}... to one partition.
inline std::vector<ProduceRecord> numbered(int32_t partition, int64_t first, int64_t count, size_t pad = 0) {
  std::vector<ProduceRecord> out;
  for (int64_t i = first; i < first + count; ++i) {
    out.push_back({"", "{\"n\":" + std::to_string(i) + ",\"x\":\"" + std::string(pad, 'x') + "\"}", partition, 0, {}});
  }
  return out;
}

// The embedded broker with one topic, and configurations that rejoin quickly.
class OnMock : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<EmbeddedBroker>> started = EmbeddedBroker::start();
    ASSERT_TRUE(started) << started.error().describe();
    broker = std::move(*started);
    ASSERT_TRUE(broker->create_topic("events", 2));
  }
  KafkaSourceConfig config() const {
    KafkaSourceConfig c;
    c.properties = {{"bootstrap.servers", broker->bootstrap()},
                    {"session.timeout.ms", "6000"},
                    {"heartbeat.interval.ms", "200"},
                    {"reconnect.backoff.ms", "20"},
                    {"reconnect.backoff.max.ms", "200"}};
    c.topics = {"events"};
    c.group = "firebreak";
    c.embedded = true;
    return c;
  }
  void send(const std::vector<ProduceRecord>& records, const std::string& topic = "events") {
    const Status s = produce(broker->bootstrap(), topic, records);
    ASSERT_TRUE(s) << s.error().describe();
  }

  std::unique_ptr<EmbeddedBroker> broker;
  Offsets offsets;
};

}  // namespace fb::test
