// The same promises against Apache Kafka itself: FB_KAFKA names a broker that scripts/kafka started.
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "connectors/kafka/alert_publisher.h"
#include "connectors/kafka/range_reader.h"
#include "tests/unit/kafka/harness.h"

namespace fb {
namespace {

using test::now_ms;
using test::numbered;
using test::Offsets;
using test::range;
using test::Reader;

class RealKafka : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* address = std::getenv("FB_KAFKA");
    ASSERT_NE(address, nullptr) << "FB_KAFKA must name a broker: FB_KAFKA=$(scripts/kafka up --port 0)";
    bootstrap = address;
    // Every test has topics and a group of its own: the broker may be an old one.
    std::random_device random;
    suffix = std::to_string(random()) + std::to_string(random());
    topic = "events-" + suffix;
    char why[512];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", address, why, sizeof why);
    admin = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    ASSERT_NE(admin, nullptr) << why;
    queue = rd_kafka_queue_new(admin);
    make_topic(topic, 2);
  }
  void TearDown() override {
    if (queue != nullptr) rd_kafka_queue_destroy(queue);
    if (admin != nullptr) rd_kafka_destroy(admin);
  }
  rd_kafka_event_t* answer() { return rd_kafka_queue_poll(queue, 15'000); }
  void make_topic(const std::string& name, int partitions, bool append_time = false) {
    char why[512];
    rd_kafka_NewTopic_t* t = rd_kafka_NewTopic_new(name.c_str(), partitions, 1, why, sizeof why);
    if (append_time) rd_kafka_NewTopic_set_config(t, "message.timestamp.type", "LogAppendTime");
    rd_kafka_CreateTopics(admin, &t, 1, nullptr, queue);
    rd_kafka_NewTopic_destroy(t);
    rd_kafka_event_t* e = answer();
    ASSERT_NE(e, nullptr);
    size_t count = 0;
    const rd_kafka_topic_result_t** results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(e), &count);
    ASSERT_EQ(count, 1u);
    EXPECT_EQ(rd_kafka_topic_result_error(results[0]), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(e);
  }
  void more_partitions(int total) {
    char why[512];
    rd_kafka_NewPartitions_t* p =
        rd_kafka_NewPartitions_new(topic.c_str(), static_cast<size_t>(total), why, sizeof why);
    rd_kafka_CreatePartitions(admin, &p, 1, nullptr, queue);
    rd_kafka_NewPartitions_destroy(p);
    rd_kafka_event_t* e = answer();
    ASSERT_NE(e, nullptr);
    EXPECT_EQ(rd_kafka_event_error(e), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(e);
  }
  void delete_topic(const std::string& name) {
    rd_kafka_DeleteTopic_t* t = rd_kafka_DeleteTopic_new(name.c_str());
    rd_kafka_DeleteTopics(admin, &t, 1, nullptr, queue);
    rd_kafka_DeleteTopic_destroy(t);
    rd_kafka_event_t* e = answer();
    ASSERT_NE(e, nullptr);
    EXPECT_EQ(rd_kafka_event_error(e), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(e);
  }
  // The log of partition 0 begins at `offset` from now on, as retention would have it.
  void delete_before(int64_t offset) {
    rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic.c_str(), 0)->offset = offset;
    rd_kafka_DeleteRecords_t* d = rd_kafka_DeleteRecords_new(list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_DeleteRecords(admin, &d, 1, nullptr, queue);
    rd_kafka_DeleteRecords_destroy(d);
    rd_kafka_event_t* e = answer();
    ASSERT_NE(e, nullptr);
    EXPECT_EQ(rd_kafka_event_error(e), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(e);
  }
  KafkaSourceConfig config() const {
    KafkaSourceConfig c;
    c.properties = {{"bootstrap.servers", bootstrap}, {"session.timeout.ms", "6000"}, {"heartbeat.interval.ms", "200"}};
    c.topics = {topic};
    c.group = "group-" + suffix;
    return c;
  }
  void send(const std::vector<ProduceRecord>& records) {
    const Status s = produce(bootstrap, topic, records);
    ASSERT_TRUE(s) << s.error().describe();
  }

  std::string bootstrap;
  std::string suffix;
  std::string topic;
  rd_kafka_t* admin = nullptr;
  rd_kafka_queue_t* queue = nullptr;
  Offsets offsets;
};

TEST_F(RealKafka, ReadsCommitsAndStartsWhereItEnded) {
  send(numbered(0, 0, 5000));
  send(numbered(1, 0, 5000));
  {
    Reader a(config(), offsets);
    ASSERT_TRUE(a.until_seen(10'000)) << a.source->health().detail;
    EXPECT_EQ(a.offsets_of(0), range(0, 5000));
    EXPECT_EQ(a.offsets_of(1), range(0, 5000));
    EXPECT_TRUE(a.gaps.empty());
    ASSERT_TRUE(a.until([&] { return a.source->health().connected; }));
    a.source->close();
  }
  send(numbered(0, 5000, 10));
  Offsets nothing;
  Reader b(config(), nothing);  // the group's commit alone
  ASSERT_TRUE(b.until_seen(10));
  b.run_for(300);
  EXPECT_EQ(b.offsets_of(0), range(5000, 5010));
  EXPECT_TRUE(b.offsets_of(1).empty());
}

TEST_F(RealKafka, TwoConsumersShareLoseNothingAndKeepNothingTwice) {
  Reader a(config(), offsets);
  ASSERT_TRUE(a.until([&] { return a.source->counts().partitions == 2; }));
  std::optional<Reader> b;
  b.emplace(config(), offsets);
  Result<Producer> producer = Producer::open({{"bootstrap.servers", bootstrap}});
  ASSERT_TRUE(producer);
  int64_t sent = 0;
  const auto both = [&](const std::function<bool()>& done) {
    const int64_t end = now_ms() + 30'000;
    while (!done() && now_ms() < end) {
      ASSERT_TRUE(producer->send(topic, numbered(0, sent, 5)));
      ASSERT_TRUE(producer->send(topic, numbered(1, sent, 5)));
      sent += 5;
      a.turn(5);
      if (b) b->turn(5);
    }
    ASSERT_TRUE(done());
  };
  both(
      [&] { return a.source->counts().partitions == 1 && b->source->counts().partitions == 1 && b->seen.size() > 20; });
  b->source->close();
  std::vector<test::Seen> all = b->seen;
  b.reset();
  both([&] { return a.source->counts().partitions == 2; });
  ASSERT_TRUE(a.until([&] { return offsets.at(topic, 0) == sent && offsets.at(topic, 1) == sent; }));
  all.insert(all.end(), a.seen.begin(), a.seen.end());
  for (const int32_t partition : {0, 1}) {
    std::vector<int64_t> seen;
    for (const test::Seen& s : all) {
      if (s.partition == partition) seen.push_back(s.offset);
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, range(0, sent)) << "partition " << partition;
  }
}

TEST_F(RealKafka, RetentionIsAGapThatIsToldAndPassed) {
  send(numbered(0, 0, 100));
  delete_before(60);
  offsets.set(topic, 0, 10);
  Reader a(config(), offsets);
  ASSERT_TRUE(a.until_seen(40)) << a.source->health().detail;
  EXPECT_EQ(a.offsets_of(0), range(60, 100));
  ASSERT_EQ(a.gaps.size(), 1u);
  EXPECT_EQ(a.gaps[0].kind, GapKind::log_start);
  EXPECT_EQ(a.gaps[0].first, 10);
  EXPECT_EQ(a.gaps[0].last, 60);
}

TEST_F(RealKafka, APositionBeyondTheEndStops) {
  send(numbered(0, 0, 10));
  offsets.set(topic, 0, 500);
  Reader a(config(), offsets);
  ASSERT_TRUE(a.until([&] { return !a.gaps.empty(); }));
  EXPECT_EQ(a.gaps[0].kind, GapKind::beyond_end);
  EXPECT_TRUE(a.seen.empty());
}

// New records must not get the positions of old ones: the ids of their alerts would be taken.
TEST_F(RealKafka, ATopicThatIsMadeAnewUnderUsStopsAndIsReadUnderTheNextEpoch) {
  send(numbered(0, 0, 20));
  KafkaSourceConfig c = config();
  c.properties["topic.metadata.refresh.interval.ms"] = "500";
  {
    Reader a(c, offsets);
    ASSERT_TRUE(a.until_seen(20));
    a.run_for(1200);  // the commit is out
    delete_topic(topic);
    a.run_for(1500);
    make_topic(topic, 2);
    send(numbered(0, 0, 3));
    ASSERT_TRUE(a.until([&] { return !a.gaps.empty(); }, 40'000)) << a.source->health().detail;
    EXPECT_EQ(a.gaps[0].kind, GapKind::beyond_end);
    a.run_for(500);
    EXPECT_EQ(a.seen.size(), 20u);
    EXPECT_FALSE(a.source->health().connected);
    a.source->close();
  }
  c.epoch = 1;
  Reader b(c, offsets);
  ASSERT_TRUE(b.until_seen(3)) << b.source->health().detail;
  EXPECT_EQ(b.offsets_of(0), range(0, 3));
  EXPECT_EQ(offsets.at(topic, 0, 1), 3);
  EXPECT_EQ(offsets.at(topic, 0, 0), 20);
}

TEST_F(RealKafka, LatestStartsAtTheEndAndNewPartitionsAtTheirBeginning) {
  send(numbered(0, 0, 30));
  KafkaSourceConfig c = config();
  c.start = StartPolicy::latest;
  c.properties["topic.metadata.refresh.interval.ms"] = "500";
  Reader a(c, offsets);
  ASSERT_TRUE(a.until([&] { return a.source->counts().partitions == 2; }));
  send(numbered(0, 30, 5));
  ASSERT_TRUE(a.until_seen(5));
  EXPECT_EQ(a.offsets_of(0), range(30, 35));
  more_partitions(3);
  // The producer must learn of it too; what it sends first is there before any consumer looks.
  send(numbered(2, 0, 7));
  ASSERT_TRUE(a.until([&] { return a.offsets_of(2).size() >= 7; })) << a.source->health().detail;
  EXPECT_EQ(a.offsets_of(2), range(0, 7));
}

TEST_F(RealKafka, ATopicThatComesLaterIsReadFromItsBeginning) {
  KafkaSourceConfig c = config();
  c.topics = {"later-" + suffix};
  c.properties["topic.metadata.refresh.interval.ms"] = "500";
  Reader a(c, offsets);
  ASSERT_TRUE(a.until([&] { return a.source->health().detail.find("later-") != std::string::npos; }))
      << a.source->health().detail;
  EXPECT_FALSE(a.source->health().connected);
  make_topic("later-" + suffix, 1);
  ASSERT_TRUE(produce(bootstrap, "later-" + suffix, numbered(0, 0, 3)));
  ASSERT_TRUE(a.until_seen(3, 30'000)) << a.source->health().detail;
  ASSERT_TRUE(a.until([&] { return a.source->health().connected; }));
}

TEST_F(RealKafka, TombstonesLargeRecordsAndBrokerTimes) {
  topic = "append-" + suffix;
  make_topic(topic, 1, true);
  const std::string big = "{\"x\":\"" + std::string(1'048'576 - 8, 'y') + "\"}";
  send({{"k", std::nullopt, 0, 1000, {}}, {"k", "", 0, 1000, {}}, {"", big, 0, 1000, {{"h", "v"}}}});
  Reader a(config(), offsets);
  ASSERT_TRUE(a.until_seen(3)) << a.source->health().detail;
  EXPECT_TRUE(a.seen[0].tombstone);
  EXPECT_FALSE(a.seen[1].tombstone);
  EXPECT_EQ(a.seen[2].value, big);
  for (const test::Seen& s : a.seen) {
    EXPECT_TRUE(s.append);
    EXPECT_LT(std::abs(s.time_ms - system_clock().wall_ms()), 60'000);  // the broker's, not the producer's 1000
  }
}

// Aborted transactions and control records make holes: the record's chain of offsets must stay whole over them.
TEST_F(RealKafka, AbortedTransactionsAreNotSeenAndLeaveNoHoleInTheRecord) {
  char why[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap.c_str(), why, sizeof why);
  rd_kafka_conf_set(conf, "transactional.id", ("tx-" + suffix).c_str(), why, sizeof why);
  rd_kafka_t* tx = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  ASSERT_NE(tx, nullptr) << why;
  const auto ok = [](rd_kafka_error_t* e) {
    if (e == nullptr) return true;
    ADD_FAILURE() << rd_kafka_error_string(e);
    rd_kafka_error_destroy(e);
    return false;
  };
  ASSERT_TRUE(ok(rd_kafka_init_transactions(tx, 20'000)));
  for (int round = 0; round < 4; ++round) {
    ASSERT_TRUE(ok(rd_kafka_begin_transaction(tx)));
    const std::string value = round % 2 == 0 ? "{\"keep\":1}" : "{\"drop\":1}";
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(rd_kafka_producev(tx, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(0),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                  RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()), RD_KAFKA_V_END),
                RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    ASSERT_EQ(rd_kafka_flush(tx, 10'000), RD_KAFKA_RESP_ERR_NO_ERROR);
    ASSERT_TRUE(ok(round % 2 == 0 ? rd_kafka_commit_transaction(tx, 20'000) : rd_kafka_abort_transaction(tx, 20'000)));
  }
  rd_kafka_destroy(tx);
  send(numbered(0, 0, 1));
  Reader a(config(), offsets);
  a.limits.max_records = 3;
  ASSERT_TRUE(a.until_seen(11)) << a.seen.size() << " " << a.source->health().detail;
  a.run_for(300);
  EXPECT_EQ(a.seen.size(), 11u);
  for (const test::Seen& s : a.seen) EXPECT_EQ(s.value.find("drop"), std::string::npos);
  EXPECT_TRUE(a.gaps.empty());
}

TEST_F(RealKafka, AlertsArePublished) {
  std::mutex mutex;
  std::map<int64_t, OutboxRow> rows;
  for (int64_t i = 1; i <= 200; ++i)
    rows[i] = {i, "endpoint-" + std::to_string(i % 5), "{\"alert\":" + std::to_string(i) + "}"};
  AlertPublisherHooks hooks;
  hooks.take = [&](int64_t after, size_t max) -> Result<std::vector<OutboxRow>> {
    const std::lock_guard lock(mutex);
    std::vector<OutboxRow> out;
    for (auto it = rows.upper_bound(after); it != rows.end() && out.size() < max; ++it) out.push_back(it->second);
    return out;
  };
  hooks.delivered = [&](const std::vector<int64_t>& seqs) -> Status {
    const std::lock_guard lock(mutex);
    for (const int64_t seq : seqs) rows.erase(seq);
    return {};
  };
  AlertPublisherConfig c;
  c.properties = {{"bootstrap.servers", bootstrap}};
  c.topic = topic;
  auto publisher = AlertPublisher::start(c, hooks);
  ASSERT_TRUE(publisher) << publisher.error().describe();
  Reader a(config(), offsets);
  ASSERT_TRUE(a.until_seen(200)) << (*publisher)->health().detail;
  (*publisher)->stop();
  EXPECT_TRUE(rows.empty());
}

// A preview's reading: by the broker's time index, without a group, and nobody's offsets move.
TEST_F(RealKafka, ATimeRangeIsReadWithoutATrace) {
  const int64_t now = system_clock().wall_ms();
  std::vector<ProduceRecord> records = numbered(0, 0, 300);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].timestamp_ms = now - 300'000 + static_cast<int64_t>(i) * 1'000;
    records[i].partition = static_cast<int32_t>(i % 2);
  }
  send(records);
  Reader real(config(), offsets);
  ASSERT_TRUE(real.until_seen(300)) << real.source->health().detail;
  real.run_for(1'200);  // the commit is out
  const auto before = real.source->counts();
  RangeReaderConfig c;
  c.properties = {{"bootstrap.servers", bootstrap}};
  c.topics = {topic};
  EventRange r;
  r.from_ms = now - 200'000;
  r.to_ms = now - 100'000;
  std::vector<std::string> events;
  const auto read = read_range(
      c, r,
      [&](std::string_view event) {
        events.emplace_back(event);
        return true;
      },
      system_clock());
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_TRUE(read->complete) << read->why;
  EXPECT_EQ(read->taken, 100u);
  EXPECT_EQ(read->looked_at, 100u) << "the broker's index leads to the first and the last";
  ASSERT_EQ(events.size(), 100u);
  real.run_for(1'200);
  EXPECT_EQ(real.seen.size(), 300u);
  EXPECT_EQ(real.source->counts().assignments, before.assignments);
  EXPECT_EQ(real.source->counts().revocations, before.revocations);
  real.source->close();
  // The group stands where it stood: at the end of both partitions.
  Offsets nothing;
  Reader again(config(), nothing);
  again.run_for(6'000);
  EXPECT_TRUE(again.seen.empty());
  c.topics = {"no-such-topic-" + suffix};
  const auto none = read_range(
      c, r, [](std::string_view) { return true; }, system_clock());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found) << none.error().describe();
}

}  // namespace
}  // namespace fb
