// A time range of topics, read without a trace: against the embedded broker.
#include "connectors/kafka/range_reader.h"

#include "tests/unit/kafka/harness.h"

namespace fb {
namespace {

using test::numbered;
using test::range;
using test::Reader;

class RangeReaderTest : public test::OnMock {
 protected:
  RangeReaderConfig past() const {
    RangeReaderConfig c;
    c.properties = {{"bootstrap.servers", broker->bootstrap()}};
    c.topics = {"events"};
    c.embedded = true;
    return c;
  }
  static std::vector<ProduceRecord> at(int64_t time_ms, int32_t partition, int64_t first, int64_t count) {
    std::vector<ProduceRecord> records = numbered(partition, first, count);
    for (ProduceRecord& r : records) r.timestamp_ms = time_ms;
    return records;
  }
  struct Got {
    PastRead read;
    std::vector<std::string> events;
  };
  Got get(const EventRange& r) {
    Got got;
    const Result<PastRead> read = read_range(
        past(), r,
        [&](std::string_view event) {
          got.events.emplace_back(event);
          return true;
        },
        system_clock());
    EXPECT_TRUE(read) << read.error().describe();
    if (read) got.read = *read;
    return got;
  }
  static EventRange between(int64_t from, int64_t to) {
    EventRange r;
    r.from_ms = from;
    r.to_ms = to;
    return r;
  }
};

TEST_F(RangeReaderTest, TakesWhatLiesInTheTimeAndNothingElse) {
  send(at(1'000'000, 0, 0, 100));
  send(at(2'000'000, 0, 100, 50));
  send(at(2'000'000, 1, 150, 25));
  send(at(3'000'000, 1, 175, 100));
  const Got got = get(between(2'000'000, 3'000'000));
  EXPECT_TRUE(got.read.complete) << got.read.why;
  EXPECT_EQ(got.read.taken, 75u);
  EXPECT_EQ(got.read.looked_at, 275u) << "the embedded broker can't be asked for a time";
  ASSERT_EQ(got.events.size(), 75u);
  EXPECT_EQ(get(between(0, 1'000'000)).events.size(), 0u) << "the end is not in the range";
  EXPECT_EQ(get(between(0, 1'000'001)).events.size(), 100u);
  EXPECT_EQ(get(between(4'000'000, 5'000'000)).events.size(), 0u);
}

TEST_F(RangeReaderTest, ABrokerWithoutAnIndexOfTimesIsLookedThroughNotPassedOver) {
  send(at(1'000'000, 0, 0, 10));
  send(at(2'000'000, 1, 10, 20));
  RangeReaderConfig c = past();
  c.embedded = false;  // nobody said that this broker is not a whole one
  size_t seen = 0;
  const auto read = read_range(
      c, between(1'500'000, 2'500'000), [&](std::string_view) { return ++seen > 0; }, system_clock());
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_TRUE(read->complete) << read->why;
  EXPECT_EQ(seen, 20u);
}

TEST_F(RangeReaderTest, LeavesNoTraceForWhoReadsForReal) {
  send(numbered(0, 0, 200));
  send(numbered(1, 0, 100));
  Reader real(config(), offsets);
  ASSERT_TRUE(real.until_seen(300)) << real.source->health().detail;
  const auto before = real.source->counts();
  const int64_t now = system_clock().wall_ms();
  EXPECT_EQ(get(between(now - 600'000, now + 600'000)).events.size(), 300u);
  send(numbered(0, 200, 20));
  ASSERT_TRUE(real.until_seen(320));
  real.run_for(300);
  EXPECT_EQ(real.offsets_of(0), range(0, 220)) << "nothing twice, nothing missing";
  EXPECT_EQ(real.source->counts().assignments, before.assignments) << "nobody took part in the group";
  EXPECT_EQ(real.source->counts().revocations, before.revocations);
}

TEST_F(RangeReaderTest, EveryBoundEndsItAndSaysSo) {
  send(numbered(0, 0, 1000, 1000));
  const int64_t now = system_clock().wall_ms();
  EventRange r = between(now - 600'000, now + 600'000);
  r.max_events = 10;
  Got got = get(r);
  EXPECT_EQ(got.events.size(), 10u);
  EXPECT_FALSE(got.read.complete);
  EXPECT_NE(got.read.why.find("more than 10 events"), std::string::npos);
  r.max_events = 100'000;
  r.max_bytes = 100'000;
  got = get(r);
  EXPECT_FALSE(got.read.complete);
  EXPECT_LT(got.events.size(), 100u);
  EXPECT_GT(got.events.size(), 50u);
  r.max_events = 1000;
  r.max_bytes = 64u << 20;
  EXPECT_TRUE(get(r).read.complete) << "as many as there are is all of them";
  // Who had enough ends it, too.
  size_t seen = 0;
  const auto some = read_range(
      past(), r, [&](std::string_view) { return ++seen < 5; }, system_clock());
  ASSERT_TRUE(some);
  EXPECT_EQ(seen, 5u);
}

TEST_F(RangeReaderTest, WhatCantBeReadIsAnError) {
  const auto refused = [&](RangeReaderConfig c, const EventRange& r) {
    const auto read = read_range(
        c, r, [](std::string_view) { return true; }, system_clock());
    EXPECT_FALSE(read);
    return read ? ErrorCode::internal : read.error().code;
  };
  EXPECT_EQ(refused(past(), between(5, 5)), ErrorCode::invalid_argument);
  RangeReaderConfig c = past();
  c.topics = {"^events.*"};
  EXPECT_EQ(refused(c, between(0, 5)), ErrorCode::unsupported);
  c = past();
  c.properties["bootstrap.servers"] = "127.0.0.1:1";
  EventRange r = between(0, 5);
  r.budget_ms = 300;
  const int64_t began = test::now_ms();
  EXPECT_EQ(refused(c, r), ErrorCode::unavailable);
  EXPECT_LT(test::now_ms() - began, 5'000);
}

}  // namespace
}  // namespace fb
