// What must hold for every stream of alerts, rules, fleets and clocks, over the record on disk.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/respond/store_fixture.h"

namespace fb {
namespace {

using test::make_rule;
using test::StoreBench;

constexpr const char* kStanding =
    "SELECT count(*) FROM (SELECT endpoint_id FROM endpoints WHERE standing_isolate <> '' AND standing_rule <> '' "
    "UNION SELECT endpoint_id FROM actions WHERE manual = 0 AND verb = 'isolate' AND intent_at > 0 AND state IN "
    "('requested', 'queued', 'dispatched', 'unknown', 'accepted'))";

// One planned action, one row that says what was decided; and one action, its own or the one it joined.
void every_plan_has_its_row(StoreBench& b, const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    EXPECT_EQ(b.number("SELECT count(*) FROM verdicts WHERE action_id = '" + id + "'"), 1) << id;
    EXPECT_EQ(b.number("SELECT count(*) FROM verdicts v JOIN actions a ON a.action_id = iif(v.joined_action <> '', "
                       "v.joined_action, v.action_id) WHERE v.action_id = '" +
                       id + "'"),
              1)
        << id;
  }
}

class Stream {
 public:
  Stream(StoreBench& bench, uint64_t seed) : b_(bench), random_(seed) {
    fleet_ = 4 + pick(90);
    for (int64_t i = 0; i < fleet_; ++i) {
      const std::string id = "h" + std::to_string(i);
      std::vector<std::string> tags;
      if (pick(8) == 0) {
        tags.emplace_back("dns");
        guarded_.insert(id);
      }
      if (pick(3) == 0) tags.push_back("group:" + std::to_string(pick(3)));
      b_.enroll(id, tags);
    }
    for (int r = 0; r < 5; ++r) rules_.push_back(make_rule("r" + std::to_string(r), static_cast<Severity>(pick(4))));
  }

  void turn() {
    switch (pick(12)) {
      case 0:
        b_.clock.advance_ms(pick(4 * 3'600'000));
        break;
      case 1:  // somebody sets the clock
        b_.clock.jump_wall_ms(pick(7'200'000) - 3'600'000);
        break;
      case 2:
        static_cast<void>(b_.ask_for(Verb::release, endpoint()));
        break;
      case 3:
        static_cast<void>(b_.store->reset_trip(pick(2) == 0 ? "" : rule()->rule_id, "user:jo", "test"));
        break;
      case 4:
        b_.run();
        break;
      case 5: {  // protection comes after the intent too
        const std::string id = endpoint();
        if (b_.agents.contains(id) && pick(4) == 0) {
          EXPECT_TRUE(b_.store->change_tag(id, "backup", true, "user:jo", ""));
          guarded_.insert(id);
          commands_then_[id] = commands_to(id);
        }
        break;
      }
      default: {
        std::vector<Alert> alerts;
        for (int64_t n = 1 + pick(12); n > 0; --n) {
          Alert a = b_.alert(rule(), endpoint());
          a.read_time_ms -= pick(6) == 0 ? pick(3'600'000) : 0;
          alerts.push_back(std::move(a));
        }
        const std::vector<std::string> ids = b_.keep(alerts);
        every_plan_has_its_row(b_, ids);
        planned_.insert(ids.begin(), ids.end());
      }
    }
    if (pick(3) == 0) b_.run();
    b_.clock.advance_ms(pick(20'000));
    check();
  }

  void check() {
    const int64_t standing = b_.number(kStanding);
    const bool is_over = standing > b_.settings.fleet_standing.of(fleet_);
    over_ += is_over ? 1 : 0;
    EXPECT_FALSE(is_over && b_.settings.is_on(Guard::fleet_breaker)) << standing << " of " << fleet_;
    most_ = std::max(most_, standing);
    for (const Command& c : b_.commands) {
      if (c.verb != Verb::isolate || !guarded_.contains(c.endpoint_id)) continue;
      const auto then = commands_then_.find(c.endpoint_id);
      EXPECT_TRUE(then != commands_then_.end() && commands_to(c.endpoint_id) == then->second)
          << c.endpoint_id << " is protected and got a command";
    }
    EXPECT_EQ(b_.number("SELECT count(*) FROM verdicts WHERE alert_id <> ''"), static_cast<int64_t>(planned_.size()));
  }

  int64_t most() const { return most_; }
  int64_t times_over() const { return over_; }
  size_t planned() const { return planned_.size(); }

 private:
  int64_t pick(int64_t below) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(below)); }
  std::string endpoint() { return "h" + std::to_string(pick(fleet_ + 2)); }
  const RuleMetaPtr& rule() { return rules_[static_cast<size_t>(pick(5))]; }
  int64_t commands_to(const std::string& id) const {
    return std::count_if(b_.commands.begin(), b_.commands.end(),
                         [&id](const Command& c) { return c.endpoint_id == id && c.verb == Verb::isolate; });
  }

  StoreBench& b_;
  std::mt19937_64 random_;
  int64_t fleet_ = 0;
  std::vector<RuleMetaPtr> rules_;
  std::set<std::string> guarded_;
  std::map<std::string, int64_t> commands_then_;  // isolations that were sent before the endpoint became protected
  std::set<std::string> planned_;
  int64_t most_ = 0;
  int64_t over_ = 0;
};

TEST(GuardProperties, CapsProtectionAndRowsHoldOnRandomStreams) {
  int64_t most = 0;
  size_t planned = 0;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    StoreBench b;
    Stream stream(b, seed);
    for (int n = 0; n < 60; ++n) stream.turn();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    most = std::max(most, stream.most());
    planned += stream.planned();
  }
  EXPECT_GE(most, 3);  // the streams do reach the caps
  EXPECT_GT(planned, 2'000u);
}

// The streams are such that it is the breaker that holds the cap.
TEST(GuardProperties, WithoutTheBreakerTheSameStreamsGoOverTheCap) {
  int64_t over = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    GuardSettings settings = StoreBench::enforcing();
    settings.turn(Guard::fleet_breaker, false);
    StoreBench b(settings);
    Stream stream(b, seed);
    for (int n = 0; n < 60; ++n) stream.turn();
    over += stream.times_over();
  }
  EXPECT_GT(over, 10);
}

// The alerts of one batch in any order: the counts are made inside the transaction, one after the other.
TEST(GuardProperties, NoOrderOfABatchExceedsACap) {
  std::mt19937_64 random(7);
  const std::vector<RuleMetaPtr> rules = {make_rule("a"), make_rule("b"), make_rule("c", Severity::critical)};
  std::vector<std::pair<size_t, int>> wanted;
  for (int host = 0; host < 60; ++host) {
    for (size_t r = 0; r < rules.size(); ++r) {
      if ((host + static_cast<int>(r)) % 2 == 0) wanted.emplace_back(r, host);
    }
  }
  std::set<int64_t> outcomes;
  for (int order = 0; order < 25; ++order) {
    StoreBench b;
    for (int i = 0; i < 60; ++i) b.enroll("h" + std::to_string(i));
    std::shuffle(wanted.begin(), wanted.end(), random);
    std::vector<Alert> alerts;
    for (const auto& [r, host] : wanted) alerts.push_back(b.alert(rules[r], "h" + std::to_string(host)));
    every_plan_has_its_row(b, b.keep(alerts));
    EXPECT_LE(b.number(kStanding), b.settings.fleet_standing.of(60));
    EXPECT_LE(b.last.intents, 3u);
    for (const RuleMetaPtr& rule : rules) {
      EXPECT_LE(b.number("SELECT count(DISTINCT endpoint_id) FROM actions WHERE manual = 0 AND intent_at > 0 AND "
                         "rule_id = '" +
                         rule->rule_id + "'"),
                b.settings.rule_budget.of(60));
    }
    outcomes.insert(b.last.intents);
  }
  EXPECT_GT(*outcomes.rbegin(), 0);
}

TEST(GuardProperties, OneBadRuleWithinAMinuteOn500Hosts) {
  StoreBench b;
  for (int i = 0; i < 500; ++i) b.enroll("h" + std::to_string(i));
  const RuleMetaPtr bad = make_rule("bad");
  uint32_t intents = 0;
  for (int second = 0; second < 50; ++second) {
    std::vector<Alert> alerts;
    for (int i = 0; i < 10; ++i) alerts.push_back(b.alert(bad, "h" + std::to_string(second * 10 + i)));
    b.keep(alerts);
    intents += b.last.intents;
    if (second % 10 == 0) b.run();
    b.clock.advance_ms(1'200);
  }
  b.run();
  EXPECT_EQ(intents, 5u);
  const auto count = [&b](const std::string& where) { return b.number("SELECT count(*) FROM " + where); };
  EXPECT_EQ(count("endpoints WHERE observed = 'isolated'"), 5);
  EXPECT_EQ(count("actions WHERE state = 'awaiting_approval' AND guard = 'rule_budget'"), 495);
  EXPECT_EQ(count("verdicts"), 500);
  // Another rule's host, flood or not, and every release.
  const std::string other = b.keep(make_rule("good"), "h300");
  b.run();
  EXPECT_EQ(b.state(other), "verified/");
  EXPECT_EQ(b.ask_for(Verb::release, "h0").state, ActionState::requested);
  EXPECT_EQ(b.ask_for(Verb::release, "h300").state, ActionState::requested);
  b.run();
  EXPECT_EQ(count("endpoints WHERE observed = 'isolated'"), 4);
}

}  // namespace
}  // namespace fb
