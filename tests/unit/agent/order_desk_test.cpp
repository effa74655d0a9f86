#include "actions/endpoint/order_desk.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/fake_clock.h"
#include "tests/unit/agent/agent_support.h"

namespace fb::endpoint {
namespace {

using agent::test::TemporaryFolder;

// Only the epoch: the desk asks for nothing else.
class EpochStore final : public AgentStore {
 public:
  Result<Admission> admit(const EndpointReport&, const std::string&, const std::string&) override {
    return Admission::refused;
  }
  Status keep_agent(const EndpointReport&, const std::string&, int64_t, std::vector<std::string>*) override {
    return fail(ErrorCode::unsupported, "not here");
  }
  Status add_certificate(const std::string&, const std::string&, int64_t) override {
    return fail(ErrorCode::unsupported, "not here");
  }
  Result<std::string> use_certificate(const std::string&) override { return std::string(); }
  Result<int64_t> raise_epoch(int64_t above) override {
    if (broken) return fail(ErrorCode::busy, "locked");
    return epoch = std::max(epoch, above) + 1;
  }
  Status contest(const std::string&, const std::string&) override { return {}; }
  bool is_contested(const std::string&) const override { return false; }
  Status note(const std::string&, const std::string&, const std::string&, const std::string&) override { return {}; }

  int64_t epoch = 4;
  bool broken = false;
};

struct Rig {
  TemporaryFolder dir;
  EpochStore store;
  test::FakeClock clock;
  std::shared_ptr<const Signer> first = signer("1.key");
  std::shared_ptr<const Signer> second = signer("2.key");
  CutPolicy policy{{"192.0.2.1"}, {}, {}, true, false, ""};
  OrderDesk desk{{first}, "secret", [this](const std::string&) { return in_force(policy); }, store, clock};

  Rig() { EXPECT_TRUE(desk.start()); }
  std::shared_ptr<const Signer> signer(const std::string& name) {
    EXPECT_TRUE(Signer::create(dir / name));
    return *Signer::load(dir / name);
  }
  // Opened with this key alone: a wrong one fails.
  static Envelope open(const std::string& text, const std::shared_ptr<const Signer>& key) {
    const auto e = open_envelope(text, {{key->kid(), key->public_key()}});
    EXPECT_TRUE(e) << e.error().describe();
    return e ? *e : Envelope{};
  }
};

Command isolation(int64_t generation) {
  Command c;
  c.action_id = "act";
  c.endpoint_id = "a1";
  c.generation = generation;
  c.comment = "why";
  c.lease_ms = 5000;
  c.expires_at_ms = 99;
  return c;
}

TEST(OrderDesk, PutsIntoAnIsolationAllThatTheHostNeeds) {
  Rig rig;
  const Envelope e = Rig::open(rig.desk.command(isolation(7)), rig.first);
  EXPECT_EQ(e.order, Order::isolate);
  EXPECT_EQ(e.agent_id, "a1");
  EXPECT_EQ(e.action_id, "act");
  EXPECT_EQ(e.generation, 7);
  EXPECT_EQ(e.epoch, 5) << "above the record's";
  EXPECT_EQ(e.lease_ms, 5000);
  EXPECT_EQ(e.expires_at_ms, 99);
  EXPECT_EQ(e.issued_at_ms, rig.clock.wall_ms());
  EXPECT_EQ(e.policy, rig.policy);
  EXPECT_EQ(e.break_glass_sha256, break_glass_hash(break_glass_code("secret", "a1", 7), "a1", 7));
  Command c = isolation(8);
  c.verb = Verb::release;
  const Envelope release = Rig::open(rig.desk.command(c), rig.first);
  EXPECT_EQ(release.order, Order::release);
  EXPECT_EQ(release.break_glass_sha256, "");
  EXPECT_EQ(release.policy, CutPolicy{});
}

TEST(OrderDesk, EveryHandOutIsNew) {
  Rig rig;
  const Envelope a = Rig::open(rig.desk.command(isolation(1)), rig.first);
  const Envelope b = Rig::open(rig.desk.command(isolation(1)), rig.first);
  const Envelope c = Rig::open(rig.desk.status("a2", 0), rig.first);
  EXPECT_LT(a.revision, b.revision);
  EXPECT_LT(b.revision, c.revision);
  EXPECT_NE(a.nonce, b.nonce);
}

TEST(OrderDesk, SignsWithTheOldKeyUntilTheHostTookAnOrderThatBroughtTheNew) {
  Rig rig;
  Envelope e = Rig::open(rig.desk.status("a1", 0), rig.first);
  EXPECT_EQ(e.trust.size(), 1u) << "the first word to each host of a run says who signs";
  ASSERT_TRUE(rig.desk.heard("a1", e.epoch, e.revision));
  EXPECT_TRUE(rig.desk.knows_keys("a1"));
  EXPECT_TRUE(Rig::open(rig.desk.status("a1", 0), rig.first).trust.empty());
  rig.desk.replace_signers({rig.second, rig.first});
  EXPECT_FALSE(rig.desk.knows_keys("a1"));
  ASSERT_TRUE(rig.desk.heard("a1", e.epoch, e.revision + 1)) << "an order of before the rotation";
  EXPECT_FALSE(rig.desk.knows_keys("a1"));
  e = Rig::open(rig.desk.status("a1", 0), rig.first);
  EXPECT_EQ(e.trust, rig.desk.trusted());
  EXPECT_EQ(e.trust.size(), 2u);
  ASSERT_TRUE(rig.desk.heard("a1", e.epoch, e.revision));
  e = Rig::open(rig.desk.status("a1", 0), rig.second);
  EXPECT_TRUE(e.trust.empty());
  EXPECT_EQ(Rig::open(rig.desk.status("a2", 0), rig.first).trust.size(), 2u) << "another host has not learnt it";
  rig.desk.forget_knowledge("a1");
  Rig::open(rig.desk.status("a1", 0), rig.first);
}

TEST(OrderDesk, FollowsAHigherEpochOnceItIsInTheRecordAndBelievesNotEveryClaim) {
  Rig rig;
  ASSERT_TRUE(rig.desk.heard("a1", 40, 3));
  EXPECT_EQ(rig.desk.epoch(), 41);
  EXPECT_EQ(Rig::open(rig.desk.status("a1", 0), rig.first).epoch, 41);
  ASSERT_TRUE(rig.desk.heard("a1", 41 + kMaxEpochJump + 1, 3));
  EXPECT_EQ(rig.desk.epoch(), 41) << "that can't be";
  rig.store.broken = true;
  EXPECT_FALSE(rig.desk.heard("a1", 50, 3));
  EXPECT_EQ(rig.desk.epoch(), 41) << "never used before it is stored";
  rig.store.broken = false;
  ASSERT_TRUE(rig.desk.raise_epoch());
  EXPECT_EQ(rig.desk.epoch(), 42);
}

}  // namespace
}  // namespace fb::endpoint
