// Many connections at once: five thousand idle ones and fifty slow ones leave the others under a second.
#include <sys/resource.h>

#include "tests/unit/api/hostile_support.h"

namespace fb::api::test {
namespace {

constexpr int kIdle = 5000;
constexpr int kSlow = 50;
constexpr rlim_t kDescriptors = 2 * (kIdle + kSlow) + 500;  // both ends are in this process

TEST_F(Hostile, FiveThousandIdleAndFiftySlowConnectionsLeaveTheOthersAlone) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur < kDescriptors) {
    rlimit raised{kDescriptors, std::max(limit.rlim_max, kDescriptors)};
    if (raised.rlim_max > limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) != 0) {
      FAIL() << "this needs " << kDescriptors << " descriptors; the hard limit is " << limit.rlim_max;
    }
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &raised), 0);
  }
  const int64_t before = resident_kib();
  std::vector<std::unique_ptr<net::test::RawClient>> idle, slow;
  for (int i = 0; i < kIdle; ++i) {
    idle.push_back(std::make_unique<net::test::RawClient>(server_->port()));
    ASSERT_TRUE(idle.back()->connected()) << i;
  }
  ASSERT_TRUE(net::test::eventually([&] { return server_->stats().connections >= kIdle; }))
      << server_->stats().connections;
  for (int i = 0; i < kSlow; ++i) {
    slow.push_back(std::make_unique<net::test::RawClient>(server_->port()));
    ASSERT_TRUE(slow.back()->send(
        i % 2 == 0 ? "GET / HT"
                   : head("POST /api/firebreak/kill_switch", authorized() + "Content-Length: 60000\r\n") + "\r\n{"));
  }
  int64_t slowest = 0;
  for (int i = 0; i < 100; ++i) {
    const int64_t began = net::test::now_ms();
    EXPECT_EQ(send(head("GET /api/firebreak/users", authorized()) + "\r\n"), 200) << i;
    slowest = std::max(slowest, net::test::now_ms() - began);
    if (i % 10 == 0) {
      for (auto& client : slow) (void)client->send("s");
    }
  }
  const int64_t kib = resident_kib() - before;
  std::printf("%d idle and %d slow connections: slowest other request %lld ms, %lld KiB\n", kIdle, kSlow,
              static_cast<long long>(slowest), static_cast<long long>(kib));
  EXPECT_LT(slowest, 1000);
  EXPECT_LT(kib, kMemoryFactor * (256 << 10)) << "KiB, both ends and the clients' objects";
  for (auto& client : slow) EXPECT_TRUE(client->closed_within(5000));
  EXPECT_EQ(server_->stats().refused, 0u);
  EXPECT_GE(server_->stats().connections, static_cast<uint32_t>(kIdle)) << "idle ones stay";
}

}  // namespace
}  // namespace fb::api::test
