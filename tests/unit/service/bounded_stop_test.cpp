#include "apps/firebreak/bounded_stop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <future>

namespace fb::cli {
namespace {

TEST(BoundedStop, TellsThePartThatDoesNotEnd) {
  std::promise<std::string> told;
  StopTime time{50};
  BoundedStop bound(time, [&](const std::string& part) { told.set_value(part); });
  bound.part("the API");
  bound.part("the pipeline");
  std::future<std::string> part = told.get_future();
  ASSERT_EQ(part.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(part.get(), "the pipeline");
}

TEST(BoundedStop, SaysNothingOfAStopThatEnds) {
  std::atomic<int> told{0};
  {
    StopTime time{30};
    BoundedStop bound(time, [&](const std::string&) { ++told; });
    bound.part("the API");
  }
  usleep(80'000);
  EXPECT_EQ(told.load(), 0);
}

// One supervisor waits for both the stop and the closing of the record.
TEST(BoundedStop, StopsInARowShareOneTime) {
  StopTime time{300};
  std::atomic<int> told{0};
  const auto stop_for = [&](useconds_t us) {
    BoundedStop bound(time, [&](const std::string&) { ++told; });
    usleep(us);
  };
  stop_for(200'000);
  EXPECT_EQ(told.load(), 0);
  EXPECT_LE(time.left_ms, 100);
  stop_for(200'000);
  EXPECT_EQ(told.load(), 1) << "200 ms are less than the limit, 400 ms are not";
  EXPECT_EQ(time.left_ms, 0);
}

TEST(BoundedStopDeathTest, EndsTheProcessWithItsCode) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto hang = [] {
    StopTime time{50};
    BoundedStop bound(time, [](const std::string& part) { end_late(part, 50, 75); });
    bound.part("the record");
    for (int i = 0; i < 300; ++i) usleep(100'000);
  };
  EXPECT_EXIT(hang(), testing::ExitedWithCode(75), "stop_hangs.*the record does not end");
}

}  // namespace
}  // namespace fb::cli
