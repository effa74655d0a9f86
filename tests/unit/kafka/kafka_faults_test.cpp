// Rebalances, brokers that go and come, injected protocol errors, and logs that no longer hold what we want.
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
// After rdkafka.h, as it demands.
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "tests/unit/kafka/harness.h"

namespace fb {
namespace {

using test::now_ms;
using test::numbered;
using test::Offsets;
using test::range;
using test::Reader;

class KafkaFaults : public test::OnMock {};

// Protocol request types.
constexpr int16_t kFetch = 1;
constexpr int16_t kListOffsets = 2;
constexpr int16_t kOffsetCommit = 8;
constexpr int16_t kOffsetFetch = 9;
constexpr int16_t kFindCoordinator = 10;
constexpr int16_t kJoinGroup = 11;
constexpr int16_t kHeartbeat = 12;
constexpr int16_t kSyncGroup = 14;

void push(rd_kafka_mock_cluster_t* cluster, int16_t request, rd_kafka_resp_err_t error, size_t count) {
  const std::vector<rd_kafka_resp_err_t> errors(count, error);
  rd_kafka_mock_push_request_errors_array(cluster, request, count, errors.data());
}

TEST_F(KafkaFaults, TwoConsumersShareLoseNothingAndKeepNothingTwice) {
  // Both write to one record, as two turns of one service would: its compare-and-set sees every loss and repetition.
  std::atomic<bool> stop{false};
  std::thread producer([&] {
    Result<Producer> p = Producer::open({{"bootstrap.servers", broker->bootstrap()}});
    ASSERT_TRUE(p);
    for (int64_t i = 0; !stop; i += 5) {
      ASSERT_TRUE(p->send("events", numbered(0, i, 5)));
      ASSERT_TRUE(p->send("events", numbered(1, i, 5)));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  Reader a(config(), offsets);
  EXPECT_TRUE(a.until_seen(50));
  std::optional<Reader> b;
  b.emplace(config(), offsets);
  const auto both = [&](const std::function<bool()>& done) {
    const int64_t end = now_ms() + 30'000;
    while (!done() && now_ms() < end) {
      a.turn(20);
      if (b) b->turn(20);
    }
    EXPECT_TRUE(done());
  };
  both(
      [&] { return b->seen.size() > 50 && a.source->counts().partitions == 1 && b->source->counts().partitions == 1; });
  const size_t seen_by_b = b->seen.size();
  EXPECT_GT(seen_by_b, 50u);
  b->source->close();
  std::vector<test::Seen> all = b->seen;
  b.reset();
  both([&] { return a.source->counts().partitions == 2; });
  const size_t before = a.seen.size();
  both([&] { return a.seen.size() > before + 50; });
  stop = true;
  producer.join();
  a.run_for(500);
  EXPECT_GE(a.source->counts().revocations, 2u);
  all.insert(all.end(), a.seen.begin(), a.seen.end());
  for (const int32_t partition : {0, 1}) {
    std::vector<int64_t> seen;
    for (const test::Seen& s : all) {
      if (s.partition == partition) seen.push_back(s.offset);
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, range(0, offsets.at("events", partition))) << "partition " << partition;
  }
}

// The source asks for the time when a batch's first record arrives: there, with the batch open, a test can interfere.
class InterferingClock final : public Clock {
 public:
  int64_t wall_ms() const override {
    if (interfere) std::exchange(interfere, nullptr)();
    return system_clock().wall_ms();
  }
  int64_t mono_ms() const override { return system_clock().mono_ms(); }
  mutable std::function<void()> interfere;
};

// A batch is being filled when the partitions go: its records were never kept, so whoever comes next reads them again.
TEST_F(KafkaFaults, RevokedRecordsLeaveTheOpenBatch) {
  for (const auto& [error, lost] :
       {std::pair{RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, false}, {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, true}}) {
    SetUp();
    offsets = {};
    send(numbered(0, 0, 50));
    InterferingClock clock;
    Reader a(config(), offsets, clock);
    ASSERT_TRUE(a.until_seen(50));
    clock.interfere = [this, answer = error] {
      push(broker->cluster(), kHeartbeat, answer, 1);
      std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // the client learns it with a heartbeat
    };
    send(numbered(0, 50, 200));
    ASSERT_TRUE(a.until([&] { return a.source->counts().revocations == 1; }));
    EXPECT_GE(a.source->counts().dropped, 1u);
    EXPECT_EQ(a.source->counts().lost, lost ? 1u : 0u);
    EXPECT_EQ(a.seen.size(), 50u);
    EXPECT_EQ(offsets.at("events", 0), 50);
    ASSERT_TRUE(a.until_seen(250)) << a.source->health().detail;
    EXPECT_EQ(a.offsets_of(0), range(0, 250));
  }
}

TEST_F(KafkaFaults, BrokerGoesAndComesBack) {
  send(numbered(0, 0, 20));
  Reader a(config(), offsets);
  ASSERT_TRUE(a.until_seen(20));
  ASSERT_TRUE(a.until([&] { return a.source->health().connected; }));
  rd_kafka_mock_broker_set_down(broker->cluster(), -1);
  ASSERT_TRUE(a.until([&] { return !a.source->health().connected; })) << a.source->health().detail;
  EXPECT_FALSE(a.source->health().detail.empty());
  a.run_for(1000);
  rd_kafka_mock_broker_set_up(broker->cluster(), -1);
  send(numbered(0, 20, 20));
  ASSERT_TRUE(a.until_seen(40));
  ASSERT_TRUE(a.until([&] { return a.source->health().connected; })) << a.source->health().detail;
  EXPECT_EQ(a.offsets_of(0), range(0, 40));
}

TEST_F(KafkaFaults, BrokerAbsentAtStartIsAStateAndNotAnEnd) {
  rd_kafka_mock_broker_set_down(broker->cluster(), -1);
  Reader a(config(), offsets);
  a.run_for(2500);
  EXPECT_FALSE(a.source->health().connected);
  EXPECT_NE(a.source->health().detail.find("127.0.0.1"), std::string::npos) << a.source->health().detail;
  rd_kafka_mock_broker_set_up(broker->cluster(), -1);
  send(numbered(0, 0, 10));
  ASSERT_TRUE(a.until_seen(10)) << a.source->health().detail;
  EXPECT_EQ(a.offsets_of(0), range(0, 10));
}

TEST_F(KafkaFaults, ClosesInTimeWhenTheBrokerIsAway) {
  Reader a(config(), offsets);
  ASSERT_TRUE(a.until([&] { return a.source->counts().partitions == 2; }));
  rd_kafka_mock_broker_set_down(broker->cluster(), -1);
  a.run_for(300);
  const int64_t begin = now_ms();
  a.source->close();
  EXPECT_LT(now_ms() - begin, 8'000);
}

TEST_F(KafkaFaults, ConsumerIsMadeAnewAfterLongSilence) {
  KafkaSourceConfig c = config();
  c.recreate_after_ms = 1'500;
  send(numbered(0, 0, 10));
  Reader a(c, offsets);
  ASSERT_TRUE(a.until_seen(10));
  rd_kafka_mock_broker_set_down(broker->cluster(), -1);
  ASSERT_TRUE(a.until([&] { return a.source->counts().recreated >= 2; }, 30'000));
  rd_kafka_mock_broker_set_up(broker->cluster(), -1);
  send(numbered(0, 10, 10));
  ASSERT_TRUE(a.until_seen(20, 30'000)) << a.source->health().detail;
  EXPECT_EQ(a.offsets_of(0), range(0, 20));
}

TEST_F(KafkaFaults, LeaderMovesWithoutLoss) {
  broker.reset();
  Result<std::unique_ptr<EmbeddedBroker>> three = EmbeddedBroker::start(3);
  ASSERT_TRUE(three);
  broker = std::move(*three);
  ASSERT_TRUE(broker->create_topic("events", 2));
  send(numbered(0, 0, 20));
  Reader a(config(), offsets);
  ASSERT_TRUE(a.until_seen(20));
  for (int32_t leader = 1; leader <= 3; ++leader) {
    rd_kafka_mock_partition_set_leader(broker->cluster(), "events", 0, leader);
    rd_kafka_mock_coordinator_set(broker->cluster(), "group", "firebreak", 1 + leader % 3);
    const int64_t from = offsets.at("events", 0);
    send(numbered(0, from, 20));
    ASSERT_TRUE(a.until([&] { return offsets.at("events", 0) == from + 20; })) << a.source->health().detail;
  }
  EXPECT_EQ(a.offsets_of(0), range(0, 80));
}

// ---- Errors that a broker may answer with. Whatever it is, every record comes once and in order in the end.

struct Injection {
  const char* name;
  int16_t request;
  rd_kafka_resp_err_t error;
  size_t count;
};

// The group's offset is put there by a client that never joins, as the command-line tools do it.
void commit_by_hand(const std::string& bootstrap, int64_t offset) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char why[256];
  rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap.c_str(), why, sizeof why);
  rd_kafka_conf_set(conf, "group.id", "firebreak", why, sizeof why);
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
  ASSERT_NE(client, nullptr) << why;
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, "events", 0)->offset = offset;
  EXPECT_EQ(rd_kafka_commit(client, list, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_destroy(client);
}

class InjectedErrors : public test::OnMock {
 public:
  void TestBody() override {}
  void survive(const Injection& in) {
    SetUp();
    send(numbered(0, 0, 60));
    // A start that asks everybody: 45 are committed by the group, 40 are in the record.
    commit_by_hand(broker->bootstrap(), 45);
    offsets.set("events", 0, 40);
    push(broker->cluster(), in.request, in.error, in.count);
    Reader a(config(), offsets);
    EXPECT_TRUE(a.until_seen(15, 60'000)) << in.name << ": " << a.source->health().detail;
    EXPECT_EQ(a.offsets_of(0), range(45, 60)) << in.name;
    // And again while everything runs.
    push(broker->cluster(), in.request, in.error, in.count);
    a.run_for(500);
    send(numbered(0, 60, 20));
    EXPECT_TRUE(a.until_seen(35, 60'000)) << in.name << ": " << a.source->health().detail;
    EXPECT_EQ(a.offsets_of(0), range(45, 80)) << in.name;
  }
};

// Most of the time is waiting for the group, so all of them wait at once, each with its own broker.
TEST(KafkaErrors, AreSurvived) {
  std::vector<std::thread> all;
  for (const Injection& in :
       {Injection{"FetchNotLeader", kFetch, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 5},
        Injection{"FetchTimedOut", kFetch, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, 5},
        Injection{"FetchCut", kFetch, RD_KAFKA_RESP_ERR__TRANSPORT, 5},
        Injection{"OffsetFetchNotCoordinator", kOffsetFetch, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 10},
        Injection{"OffsetFetchLoading", kOffsetFetch, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 10},
        Injection{"OffsetFetchCut", kOffsetFetch, RD_KAFKA_RESP_ERR__TRANSPORT, 5},
        Injection{"OffsetFetchUnknown", kOffsetFetch, RD_KAFKA_RESP_ERR_UNKNOWN, 3},
        Injection{"OffsetCommitNotCoordinator", kOffsetCommit, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 10},
        Injection{"OffsetCommitIllegalGeneration", kOffsetCommit, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, 1},
        Injection{"OffsetCommitRebalancing", kOffsetCommit, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 5},
        Injection{"HeartbeatUnknownMember", kHeartbeat, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 1},
        Injection{"HeartbeatRebalancing", kHeartbeat, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 2},
        Injection{"HeartbeatIllegalGeneration", kHeartbeat, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, 1},
        Injection{"JoinGroupNotCoordinator", kJoinGroup, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 5},
        Injection{"JoinGroupUnknownMember", kJoinGroup, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 3},
        Injection{"SyncGroupRebalancing", kSyncGroup, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 2},
        Injection{"FindCoordinatorAway", kFindCoordinator, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, 10},
        Injection{"ListOffsetsNotLeader", kListOffsets, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 5}}) {
    all.emplace_back([in] { InjectedErrors().survive(in); });
  }
  for (std::thread& t : all) t.join();
}

}  // namespace
}  // namespace fb
