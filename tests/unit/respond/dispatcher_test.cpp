// The dispatcher's thread, on the machine's own clock.
#include "engine/respond/dispatcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "tests/support/fake_agent.h"
#include "tests/unit/respond/fixtures.h"

namespace fb {
namespace {

using test::FakeActionStore;
using test::FakeAgent;
using test::make_manual;

// An agent that answers from a thread of its own.
class LivePlugin final : public ActionPlugin {
 public:
  explicit LivePlugin(ReportSink sink) : sink_(std::move(sink)) {}
  ~LivePlugin() override { join(); }
  Result<SendOutcome> send(const Command& c) override {
    ++sends;
    join();
    answer_ = std::thread([this, c] { sink_(agent_.obey(c, 0)); });
    return SendOutcome::sent;
  }
  void join() {
    if (answer_.joinable()) answer_.join();
  }
  std::atomic<int> sends{0};

 private:
  ReportSink sink_;
  FakeAgent agent_{"a1"};
  std::thread answer_;
};

bool soon(const std::function<bool()>& holds) {
  for (int i = 0; i < 2'000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

class DispatcherTest : public testing::Test {
 protected:
  DispatcherTest() : store(system_clock()) {
    store.add_endpoint("a1");
    settings.tick_ms = 60'000;  // so that only waking explains progress
  }
  ActionState state(const std::string& id) { return store.action(id).row.state; }

  FakeActionStore store;
  KillSwitch kill_switch;
  Metrics metrics;
  DispatchSettings settings;
};

TEST_F(DispatcherTest, WakingCarriesAnActionToItsReadBack) {
  Dispatcher dispatcher(store, kill_switch, system_clock(), metrics, settings, "boot");
  LivePlugin plugin(dispatcher.sink());
  dispatcher.start(plugin, {});
  const PlannedAction p = make_manual(Verb::isolate, "a1", "k");
  ASSERT_TRUE(store.keep(p));
  dispatcher.wake();
  EXPECT_TRUE(soon([&] { return state(p.action_id) == ActionState::verified; }));
  EXPECT_EQ(plugin.sends, 1);
  dispatcher.stop();
  dispatcher.stop();
  EXPECT_NE(metrics.expose().find("firebreak_action_moves_total{command=\"isolate\",state=\"verified\"} 1"),
            std::string::npos)
      << metrics.expose();
}

TEST_F(DispatcherTest, RowsThatWaitAreTakenAtStart) {
  const PlannedAction p = make_manual(Verb::isolate, "a1", "k");
  ASSERT_TRUE(store.keep(p));
  Dispatcher dispatcher(store, kill_switch, system_clock(), metrics, settings, "boot");
  LivePlugin plugin(dispatcher.sink());
  dispatcher.start(plugin, {});
  EXPECT_TRUE(soon([&] { return state(p.action_id) == ActionState::verified; }));
}

TEST_F(DispatcherTest, APassingErrorIsTriedAgainAfterATick) {
  settings.tick_ms = 20;
  Dispatcher dispatcher(store, kill_switch, system_clock(), metrics, settings, "boot");
  LivePlugin plugin(dispatcher.sink());
  const PlannedAction p = make_manual(Verb::isolate, "a1", "k");
  ASSERT_TRUE(store.keep(p));
  store.fail_writes(3, {ErrorCode::no_space, Retry::yes, "disk full", ""});
  std::atomic<int> fatal{0};
  dispatcher.start(plugin, [&](const Error&) { ++fatal; });
  EXPECT_TRUE(soon([&] { return state(p.action_id) == ActionState::verified; }));
  EXPECT_EQ(fatal, 0);
}

TEST_F(DispatcherTest, ADeadRecordIsToldOnceAndEndsTheThread) {
  Dispatcher dispatcher(store, kill_switch, system_clock(), metrics, settings, "boot");
  LivePlugin plugin(dispatcher.sink());
  ASSERT_TRUE(store.keep(make_manual(Verb::isolate, "a1", "k")));
  store.fail_writes(1, {ErrorCode::corrupt, Retry::no, "malformed", ""});
  std::atomic<int> fatal{0};
  dispatcher.start(plugin, [&](const Error& e) { fatal += e.code == ErrorCode::corrupt ? 1 : 100; });
  EXPECT_TRUE(soon([&] { return fatal > 0; }));
  dispatcher.wake();
  dispatcher.stop();
  EXPECT_EQ(fatal, 1);
  EXPECT_EQ(plugin.sends, 0);
}

TEST_F(DispatcherTest, TooManyWaitingReportsAreDroppedAndCounted) {
  Dispatcher dispatcher(store, kill_switch, system_clock(), metrics, settings, "boot");
  const ReportSink sink = dispatcher.sink();
  for (size_t i = 0; i < Dispatcher::kMaxWaitingReports + 7; ++i) sink(Report{});
  EXPECT_NE(metrics.expose().find("firebreak_reports_dropped_total 7"), std::string::npos);
}

TEST_F(DispatcherTest, ManyThreadsMayReportAndWakeAtOnce) {
  settings.tick_ms = 5;
  Dispatcher dispatcher(store, kill_switch, system_clock(), metrics, settings, "boot");
  LivePlugin plugin(dispatcher.sink());
  dispatcher.start(plugin, {});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&dispatcher, &sink = plugin] {
      static_cast<void>(sink);
      const ReportSink report = dispatcher.sink();
      for (int i = 0; i < 500; ++i) {
        Report r;
        r.endpoint_id = "a1";
        r.observed = Isolation::released;
        report(r);
        dispatcher.wake();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_TRUE(soon([&] { return store.at("a1").last_seen_ms > 0; }));
  dispatcher.stop();
}

}  // namespace
}  // namespace fb
