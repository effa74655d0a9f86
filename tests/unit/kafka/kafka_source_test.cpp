#include "connectors/kafka/kafka_source.h"

#include <gtest/gtest.h>

#include "tests/unit/kafka/harness.h"

namespace fb {
namespace {

using test::now_ms;
using test::numbered;
using test::Offsets;
using test::range;
using test::Reader;

class KafkaSourceTest : public test::OnMock {};

TEST_F(KafkaSourceTest, ReadsEverythingOnceAndInOrder) {
  send(numbered(0, 0, 500));
  send(numbered(1, 0, 300));
  Reader reader(config(), offsets);
  ASSERT_TRUE(reader.until_seen(800)) << reader.seen.size() << " " << reader.source->health().detail;
  EXPECT_EQ(reader.offsets_of(0), range(0, 500));
  EXPECT_EQ(reader.offsets_of(1), range(0, 300));
  EXPECT_EQ(reader.seen[0].value.substr(0, 6), "{\"n\":0");
  EXPECT_EQ(offsets.at("events", 0), 500);
  EXPECT_EQ(offsets.at("events", 1), 300);
  EXPECT_FALSE(offsets.clusters.front().empty());
  EXPECT_EQ(reader.batch.streams.empty(), reader.batch.records.empty());
  EXPECT_TRUE(reader.until([&] { return reader.source->health().connected; }, 5000));
  EXPECT_TRUE(reader.gaps.empty());
  EXPECT_EQ(reader.source->counts().partitions, 2u);
}

TEST_F(KafkaSourceTest, StartsAtTheGreaterOfRecordAndCommitted) {
  send(numbered(0, 0, 100));
  send(numbered(1, 0, 100));
  {
    Reader first(config(), offsets);  // commits 100 and 100
    ASSERT_TRUE(first.until_seen(200));
    first.source->close();
  }
  send(numbered(0, 100, 10));
  send(numbered(1, 100, 10));
  Offsets other;
  other.set("events", 0, 105);  // ahead of the group: the record decides
  other.set("events", 1, 40);   // behind it: the group decides, and the difference is told
  Reader second(config(), other);
  ASSERT_TRUE(second.until_seen(15));
  second.run_for(300);
  EXPECT_EQ(second.offsets_of(0), range(105, 110));
  EXPECT_EQ(second.offsets_of(1), range(100, 110));
  ASSERT_EQ(second.gaps.size(), 1u);
  EXPECT_EQ(second.gaps[0].kind, GapKind::record_behind);
  EXPECT_EQ(second.gaps[0].partition, 1);
  EXPECT_EQ(second.gaps[0].first, 40);
  EXPECT_EQ(second.gaps[0].last, 100);
  EXPECT_FALSE(second.gaps[0].stopped);
  EXPECT_EQ(other.at("events", 1), 110);  // the record's own chain is unbroken
}

TEST_F(KafkaSourceTest, GoesBackToARestoredRecordWhenTold) {
  send(numbered(0, 0, 50));
  {
    Reader first(config(), offsets);
    ASSERT_TRUE(first.until_seen(50));
    first.source->close();
  }
  Offsets restored;
  restored.set("events", 0, 20);
  KafkaSourceConfig c = config();
  c.from_record = true;
  Reader second(c, restored);
  ASSERT_TRUE(second.until_seen(30));
  EXPECT_EQ(second.offsets_of(0), range(20, 50));
  EXPECT_TRUE(second.gaps.empty());
}

TEST_F(KafkaSourceTest, LatestSkipsWhatWasThereAndRemembersItBeforeTheFirstRecord) {
  send(numbered(0, 0, 30));
  KafkaSourceConfig c = config();
  c.start = StartPolicy::latest;
  {
    Reader first(c, offsets);
    ASSERT_TRUE(first.until([&] { return first.source->counts().partitions == 2; }));
    first.run_for(200);
    EXPECT_TRUE(first.seen.empty());
    first.source->close();
  }
  // What comes while nobody reads is after the start: it must not be skipped a second time.
  send(numbered(0, 30, 5));
  send(numbered(1, 0, 5));
  Reader second(c, offsets);
  ASSERT_TRUE(second.until_seen(10));
  EXPECT_EQ(second.offsets_of(0), range(30, 35));
  EXPECT_EQ(second.offsets_of(1), range(0, 5));
  EXPECT_TRUE(second.gaps.empty());
}

TEST_F(KafkaSourceTest, TombstonesEmptyValuesHeadersAndTimes) {
  std::vector<ProduceRecord> records;
  records.push_back({"key", std::nullopt, 0, 1'700'000'000'123, {}});
  records.push_back({"key", "", 0, 1'700'000'000'124, {}});
  records.push_back({"", "{\"a\":1}", 0, 1'700'000'000'125, {{"trace", "abc"}, {"empty", ""}}});
  send(records);
  Reader reader(config(), offsets);
  ASSERT_TRUE(reader.until_seen(3));
  EXPECT_TRUE(reader.seen[0].tombstone);
  EXPECT_TRUE(reader.seen[0].value.empty());
  EXPECT_FALSE(reader.seen[1].tombstone);
  EXPECT_TRUE(reader.seen[1].value.empty());
  EXPECT_EQ(reader.seen[2].value, "{\"a\":1}");
  EXPECT_EQ(reader.seen[2].time_ms, 1'700'000'000'125);
  EXPECT_FALSE(reader.seen[2].append);
}

TEST_F(KafkaSourceTest, BatchesCloseAtTheirLimitsAndAtOnceWhenNothingMoreComes) {
  send(numbered(0, 0, 1000));
  Reader reader(config(), offsets);
  reader.limits.max_records = 64;
  ASSERT_TRUE(reader.until_seen(1000));
  for (const size_t size : reader.batch_sizes) EXPECT_LE(size, 64u);
  EXPECT_GE(reader.batch_sizes.size(), 16u);

  // One record alone must not wait for company, whatever the limits are.
  reader.limits.max_records = 2000;
  reader.limits.max_wait_ms = 5000;
  Result<Producer> producer = Producer::open({{"bootstrap.servers", broker->bootstrap()}});
  ASSERT_TRUE(producer);
  ASSERT_TRUE(producer->send("events", numbered(0, 1000, 1)));  // the connection is there after this
  ASSERT_TRUE(reader.until_seen(1001));
  std::thread sender([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_TRUE(producer->send("events", numbered(0, 1001, 1)));
  });
  const int64_t begin = now_ms();
  ASSERT_TRUE(reader.until_seen(1002));
  sender.join();
  EXPECT_LT(now_ms() - begin, 1000);

  // Bytes close a batch too, after the record that reaches them.
  reader.limits.max_wait_ms = 100;
  reader.limits.max_bytes = 10'000;
  reader.batch_sizes.clear();
  send(numbered(0, 1002, 100, 1000));
  ASSERT_TRUE(reader.until_seen(1102));
  for (const size_t size : reader.batch_sizes) EXPECT_LE(size, 10u);
}

TEST_F(KafkaSourceTest, TakesRecordsOfAMebibyte) {
  const std::string big = "{\"x\":\"" + std::string(1'048'576 - 8, 'y') + "\"}";
  ASSERT_EQ(big.size(), 1'048'576u);
  send({{"", big, 0, 0, {}}, {"", "{}", 0, 0, {}}});
  Reader reader(config(), offsets);
  ASSERT_TRUE(reader.until_seen(2));
  EXPECT_EQ(reader.seen[0].value, big);
  EXPECT_EQ(reader.seen[1].value, "{}");
}

TEST_F(KafkaSourceTest, LagIsKnownAndFallsToNothing) {
  send(numbered(0, 0, 1000));
  Reader reader(config(), offsets);
  reader.limits.max_records = 100;
  int64_t first_lag = -1;
  int64_t behind = -1;  // of that batch: how many it takes is the broker's affair
  ASSERT_TRUE(reader.until([&] {
    if (first_lag < 0 && !reader.batch.streams.empty()) {
      first_lag = reader.batch.streams[0].lag;
      behind = 1000 - reader.batch.streams[0].next;
    }
    return reader.seen.size() >= 1000;
  }));
  EXPECT_EQ(first_lag, behind);
  EXPECT_GE(behind, 900);
  EXPECT_EQ(reader.batch.streams.at(0).lag, 0);
}

// A producer that dates its records back can't make them look old once the partition was read to its end.
TEST_F(KafkaSourceTest, OldTimestampsOfALiveStreamAreNotTakenForLag) {
  Reader reader(config(), offsets);
  ASSERT_TRUE(reader.until([&] { return reader.source->counts().partitions == 2; }));
  send({{"", "{\"first\":1}", 0, 1'000'000'000'000, {}}});
  ASSERT_TRUE(reader.until_seen(1));
  EXPECT_GT(reader.batch.streams.at(0).lag_ms, 1'000'000'000);  // nothing is known yet: it may be that old
  reader.run_for(2500);                                         // the client's statistics come every second
  send({{"", "{\"second\":1}", 0, 1'000'000'000'000, {}}});
  ASSERT_TRUE(reader.until_seen(2));
  EXPECT_LT(reader.batch.streams.at(0).lag_ms, 10'000);
}

TEST_F(KafkaSourceTest, CommitsWhatIsKeptAndNothingMore) {
  send(numbered(0, 0, 100));
  {
    Reader first(config(), offsets);
    ASSERT_TRUE(first.until_seen(100));
    first.keeps = false;
    send(numbered(0, 100, 50));
    ASSERT_TRUE(first.until_seen(150));  // given out, never kept
    first.source->close();
  }
  Offsets nothing;  // the group alone tells where the kept part ends
  Reader second(config(), nothing);
  ASSERT_TRUE(second.until_seen(50));
  second.run_for(200);
  EXPECT_EQ(second.offsets_of(0), range(100, 150));
}

TEST_F(KafkaSourceTest, ClosesWithinSecondsAndThenGivesNothing) {
  Reader reader(config(), offsets);
  ASSERT_TRUE(reader.until([&] { return reader.source->counts().partitions == 2; }));
  const int64_t begin = now_ms();
  reader.source->close();
  reader.source->close();
  EXPECT_LT(now_ms() - begin, 3000);
  EXPECT_EQ(*reader.source->poll(reader.batch, {}, 10), Source::Progress::ended);
  EXPECT_FALSE(reader.source->health().connected);
}

}  // namespace
}  // namespace fb
