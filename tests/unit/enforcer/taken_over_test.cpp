// A service that was taken over, with the real signing key, against a fleet: each host is held by its own limits alone.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/base/log.h"
#include "tests/unit/enforcer/enforcer_support.h"

namespace fb::agent {
namespace {

using namespace test;

constexpr int64_t kMinute = 60'000;
constexpr int64_t kHour = 60 * kMinute;
constexpr int kHosts = 40;
constexpr int kGuarded = 10;
constexpr int kOrders = 1000;
constexpr int kChanges = 10;  // an hour; fewer than the orders that each host gets

struct Fleet {
  Fleet() {
    set_log_level(LogLevel::error);
    for (int i = 0; i < kHosts; ++i) {
      hosts.push_back(std::make_unique<Host>());
      hosts.back()->options.changes_per_hour = kChanges;
      hosts.back()->restart();
      if (i < kGuarded) put_file(hosts.back()->options.protected_file, "");
    }
  }
  ~Fleet() { set_log_level(LogLevel::info); }
  int cut(int from, int to) const {
    int n = 0;
    for (int i = from; i < to; ++i) n += hosts[static_cast<size_t>(i)]->backend.state == Isolation::isolated;
    return n;
  }
  void pass_ms(int64_t ms) const {
    for (const auto& host : hosts) host->pass_ms(ms);
  }

  std::vector<std::unique_ptr<Host>> hosts;
};

// 1,000 isolations, each with a lease as long as its signer likes, a release between any two on one host: the pattern
// that cuts off most and longest.
TEST(TakenOver, AThousandIsolationsMeetEveryHostsOwnLimits) {
  Fleet fleet;
  std::vector<std::vector<int64_t>> cuts(kHosts);  // when each host was cut
  for (int n = 0; n < kOrders; ++n) {
    const auto at = static_cast<size_t>(n % kHosts);
    Host& host = *fleet.hosts[at];
    const int64_t generation = 2 * (n / kHosts) + 1;
    const int before = host.backend.isolations;
    Envelope order = host.service.isolate("i" + std::to_string(n), generation);
    order.lease_ms = 24 * kHour;
    host.carry(order);
    if (host.backend.isolations > before) cuts[at].push_back(host.clock.mono_ms());
    host.release("r" + std::to_string(n), generation + 1);
    EXPECT_EQ(host.backend.state, Isolation::released) << "a release is never held back";
    if (at + 1 == kHosts) fleet.pass_ms(2 * kMinute);
  }
  for (size_t i = 0; i < kHosts; ++i) {
    const Host& host = *fleet.hosts[i];
    if (i < kGuarded) {
      EXPECT_EQ(host.backend.isolations, 0) << "host " << i << " is protected";
      continue;
    }
    EXPECT_EQ(cuts[i].size(), static_cast<size_t>(kChanges)) << "host " << i << ", all within an hour";
    for (size_t first = 0; first < cuts[i].size(); ++first) {
      const auto within_hour = std::count_if(cuts[i].begin() + static_cast<std::ptrdiff_t>(first), cuts[i].end(),
                                             [&](int64_t t) { return t - cuts[i][first] < kHour; });
      EXPECT_LE(within_hour, host.options.changes_per_hour) << "host " << i;
    }
  }
}

// The whole fleet at once, and then silence: the protected hosts stand, and the others come back by their own clocks.
TEST(TakenOver, ProtectedHostsStandAndLeasesEndWithoutTheService) {
  Fleet fleet;
  for (int i = 0; i < kHosts; ++i) {
    Host& host = *fleet.hosts[static_cast<size_t>(i)];
    Envelope order = host.service.isolate("all", 1);
    order.lease_ms = 24 * kHour;
    host.carry(order);
  }
  EXPECT_EQ(fleet.cut(0, kGuarded), 0);
  EXPECT_EQ(fleet.cut(kGuarded, kHosts), kHosts - kGuarded);
  fleet.pass_ms(23 * kHour);
  EXPECT_EQ(fleet.cut(kGuarded, kHosts), kHosts - kGuarded);
  for (const auto& host : fleet.hosts) host->restart();  // an end of the program changes nothing about it
  fleet.pass_ms(kHour + kMinute);
  EXPECT_EQ(fleet.cut(0, kHosts), 0) << "every lease is over";
}

// The person at the host can always let it in, whatever the service signs.
TEST(TakenOver, ACodeOfTheRightServiceOpensAHostThatWasCut) {
  Host host;
  host.isolate("a", 1);
  ASSERT_EQ(host.backend.state, Isolation::isolated);
  EXPECT_TRUE(host.enforcer->break_glass(Service::code(1)));
  EXPECT_EQ(host.backend.state, Isolation::released);
  host.isolate("again", 1);
  EXPECT_EQ(host.backend.state, Isolation::released) << "not by the same order";
}

}  // namespace
}  // namespace fb::agent
