// Logs that do not hold what comes next. The embedded broker drops the oldest records of a partition beyond 5 MiB,
// which is retention faster than the reader.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/kafka/harness.h"

namespace fb {
namespace {

using test::numbered;
using test::Offsets;
using test::Reader;

class KafkaGaps : public test::OnMock {
 protected:
  // About 12 MB in records of 100 kB: the first ones are gone afterwards.
  void overflow(int64_t first) {
    Result<Producer> p = Producer::open({{"bootstrap.servers", broker->bootstrap()}});
    ASSERT_TRUE(p);
    for (int64_t i = first; i < first + 120; i += 10) ASSERT_TRUE(p->send("events", numbered(0, i, 10, 100'000)));
  }
};

TEST_F(KafkaGaps, RetentionBeforeStartIsToldAndReadOn) {
  overflow(0);
  offsets.set("events", 0, 5);
  Reader a(config(), offsets);
  ASSERT_TRUE(a.until([&] { return offsets.at("events", 0) == 120; })) << a.source->health().detail;
  ASSERT_EQ(a.gaps.size(), 1u);
  EXPECT_EQ(a.gaps[0].kind, GapKind::log_start);
  EXPECT_EQ(a.gaps[0].first, 5);
  EXPECT_GT(a.gaps[0].last, 5);
  EXPECT_FALSE(a.gaps[0].stopped);
  EXPECT_EQ(a.seen.front().offset, a.gaps[0].last);
  EXPECT_EQ(a.seen.size(), static_cast<size_t>(120 - a.gaps[0].last));
  EXPECT_NE(a.source->health().detail.find("[5, "), std::string::npos) << a.source->health().detail;
}

TEST_F(KafkaGaps, RetentionBeforeStartStopsThePartitionWhenToldTo) {
  overflow(0);
  ASSERT_TRUE(produce(broker->bootstrap(), "events", numbered(1, 0, 5)));
  offsets.set("events", 0, 5);
  KafkaSourceConfig c = config();
  c.gap = GapPolicy::stop;
  Reader a(c, offsets);
  ASSERT_TRUE(a.until_seen(5));  // the other partition goes on
  a.run_for(500);
  EXPECT_EQ(a.seen.size(), 5u);
  ASSERT_EQ(a.gaps.size(), 1u);
  EXPECT_TRUE(a.gaps[0].stopped);
  EXPECT_EQ(offsets.at("events", 0), 5);
  EXPECT_FALSE(a.source->health().connected);
  EXPECT_NE(a.source->health().detail.find("stopped"), std::string::npos);
}

// The reader is at 5 when the log's start passes it: the broker refuses the position while everything runs.
TEST_F(KafkaGaps, RetentionThatOvertakesTheReaderIsToldAndReadOn) {
  KafkaSourceConfig c = config();
  c.properties["fetch.message.max.bytes"] = "1000";
  c.properties["queued.max.messages.kbytes"] = "1";  // almost nothing is fetched ahead
  ASSERT_TRUE(produce(broker->bootstrap(), "events", numbered(0, 0, 5)));
  Reader a(c, offsets);
  ASSERT_TRUE(a.until_seen(5));
  overflow(5);  // nobody polls meanwhile, and the client holds at most a record or two
  ASSERT_TRUE(a.until([&] { return offsets.at("events", 0) == 125; }, 60'000)) << a.source->health().detail;
  ASSERT_GE(a.gaps.size(), 1u);
  EXPECT_EQ(a.gaps[0].kind, GapKind::log_start);
  // What was seen and what was told gone make the whole, without overlap.
  int64_t told = 0;
  for (const KafkaGap& g : a.gaps) told += g.last - g.first;
  EXPECT_EQ(static_cast<int64_t>(a.seen.size()) + told, 125);
  EXPECT_TRUE(std::is_sorted(a.seen.begin(), a.seen.end(),
                             [](const test::Seen& x, const test::Seen& y) { return x.offset < y.offset; }));
  ASSERT_TRUE(produce(broker->bootstrap(), "events", numbered(0, 125, 3)));
  ASSERT_TRUE(a.until([&] { return offsets.at("events", 0) == 128; }));
}

TEST_F(KafkaGaps, ATopicMadeAnewStopsUntilTheEpochIsRaised) {
  ASSERT_TRUE(produce(broker->bootstrap(), "events", numbered(0, 0, 10)));
  offsets.set("events", 0, 500);  // as if an older topic of this name had been read to 500
  {
    Reader a(config(), offsets);
    ASSERT_TRUE(a.until([&] { return !a.gaps.empty(); }));
    a.run_for(500);
    EXPECT_EQ(a.gaps.size(), 1u);
    EXPECT_EQ(a.gaps[0].kind, GapKind::beyond_end);
    EXPECT_TRUE(a.gaps[0].stopped);
    EXPECT_NE(a.gaps[0].message.find("epoch"), std::string::npos);
    EXPECT_TRUE(a.seen.empty());
    EXPECT_FALSE(a.source->health().connected);
    a.source->close();
  }
  KafkaSourceConfig c = config();
  c.epoch = 1;
  c.start = StartPolicy::latest;  // even so: a new epoch is read whole when the group read the old one
  Reader b(c, offsets);
  b.run_for(100);
  ASSERT_TRUE(b.until([&] { return b.source->counts().partitions == 2; }));
  EXPECT_TRUE(b.gaps.empty());
}

TEST_F(KafkaGaps, CommitsOfAnOlderEpochSayNothingAboutTheNewTopic) {
  ASSERT_TRUE(produce(broker->bootstrap(), "events", numbered(0, 0, 20)));
  {
    Reader a(config(), offsets);
    ASSERT_TRUE(a.until_seen(20));
    a.source->close();  // commits 20 under epoch 0
  }
  KafkaSourceConfig c = config();
  c.epoch = 1;
  c.start = StartPolicy::latest;
  Reader b(c, offsets);
  ASSERT_TRUE(b.until_seen(20));  // the whole topic, from its beginning
  EXPECT_EQ(offsets.at("events", 0, 1), 20);
  EXPECT_EQ(offsets.at("events", 0, 0), 20);
}

TEST_F(KafkaGaps, ABrokerThatLostEverythingIsNotReadOnSilently) {
  ASSERT_TRUE(produce(broker->bootstrap(), "events", numbered(0, 0, 10)));
  {
    Reader a(config(), offsets);
    ASSERT_TRUE(a.until_seen(10));
    a.source->close();
  }
  SetUp();  // another, empty broker
  ASSERT_TRUE(produce(broker->bootstrap(), "events", numbered(0, 0, 3)));
  Reader b(config(), offsets);
  ASSERT_TRUE(b.until([&] { return !b.gaps.empty(); }));
  EXPECT_EQ(b.gaps[0].kind, GapKind::beyond_end);
  EXPECT_TRUE(b.seen.empty());
  // When the log reaches our position after all, reading goes on by itself; the gap was told.
  ASSERT_TRUE(produce(broker->bootstrap(), "events", numbered(0, 3, 12)));
  ASSERT_TRUE(b.until_seen(5, 40'000)) << b.source->health().detail;
  EXPECT_EQ(b.offsets_of(0), test::range(10, 15));
}

}  // namespace
}  // namespace fb
