// The guard over whole fleets: the numbers of the guide, and what must hold for any stream of alerts.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "engine/respond/guard.h"
#include "tests/unit/respond/fixtures.h"

namespace fb {
namespace {

using test::FakeActionStore;
using test::FakeClock;
using test::make_manual;
using test::make_planned;
using test::make_rule;

TEST(GuardFleet, OneBadRuleOn500HostsIsolatesFiveAndAsksFor495) {
  FakeClock clock;
  KillSwitch kill_switch;
  GuardSettings settings;
  settings.mode = Mode::enforce;
  ActionGuard guard(settings, kill_switch);
  FakeActionStore store(clock, &guard);
  ASSERT_TRUE(kill_switch.refresh(store));
  for (int i = 0; i < 500; ++i) store.add_endpoint("h" + std::to_string(i));

  std::map<std::string, int> said;
  std::map<std::string, int> guards;
  const RuleMetaPtr bad = make_rule("bad");
  for (int i = 0; i < 500; ++i) {
    const Result<Judgement> j = store.keep(make_planned(bad, "h" + std::to_string(i), i, clock.wall_ms()));
    ASSERT_TRUE(j);
    ++said[std::string(to_string(j->verdict))];
    ++guards[std::string(to_string(j->guard))];
    clock.advance_ms(10);
  }
  EXPECT_EQ(said["would_act"], 5);
  EXPECT_EQ(said["awaiting_approval"], 495);
  EXPECT_EQ(guards["rule_budget"], 495);
  EXPECT_TRUE(store.tripped_rules().contains("bad"));

  // A second alert on a host that waits asks nothing more, one on a host that is cut off joins.
  EXPECT_EQ(store.keep(make_planned(bad, "h400", 1000, clock.wall_ms()))->verdict, Verdict::joined);
  EXPECT_EQ(store.keep(make_planned(bad, "h2", 1001, clock.wall_ms()))->verdict, Verdict::joined);

  // Another rule's host still isolates, one that waits for the bad rule's sake included.
  EXPECT_EQ(store.keep(make_planned(make_rule("good"), "h300", 2000, clock.wall_ms()))->verdict, Verdict::would_act);
  EXPECT_EQ(store.standing_auto_isolations(), 6);
}

// Many rules, one host each: the fleet's limits hold, with their reserve.
TEST(GuardFleet, ManyRulesStopAtTheFleetsLimitsAndCriticalOnesAtTheReserve) {
  FakeClock clock;
  KillSwitch kill_switch;
  GuardSettings settings;
  settings.mode = Mode::enforce;
  ActionGuard guard(settings, kill_switch);
  FakeActionStore store(clock, &guard);
  ASSERT_TRUE(kill_switch.refresh(store));
  for (int i = 0; i < 500; ++i) store.add_endpoint("h" + std::to_string(i));
  int acted = 0;
  int critical = 0;
  for (int i = 0; i < 20; ++i) {
    const auto j =
        store.keep(make_planned(make_rule("r" + std::to_string(i)), "h" + std::to_string(i), i, clock.wall_ms()));
    acted += j->verdict == Verdict::would_act ? 1 : 0;
  }
  for (int i = 20; i < 40; ++i) {
    const auto j = store.keep(make_planned(make_rule("r" + std::to_string(i), Severity::critical),
                                           "h" + std::to_string(i), i, clock.wall_ms()));
    critical += j->verdict == Verdict::would_act ? 1 : 0;
  }
  EXPECT_EQ(acted, 7);     // 10 in an hour, less the reserve of 3
  EXPECT_EQ(critical, 3);  // the reserve
  // Hour after hour: 25 may stand, 18 of them without being critical. A person resets the breaker each time.
  for (int round = 0; round < 4; ++round) {
    clock.advance_ms(3'600'001);
    store.reset_trips();
    for (int i = 0; i < 20; ++i) {
      const int n = 100 + round * 20 + i;
      ASSERT_TRUE(
          store.keep(make_planned(make_rule("r" + std::to_string(n)), "h" + std::to_string(n), n, clock.wall_ms())));
    }
  }
  EXPECT_EQ(store.standing_auto_isolations(), 18);
  for (int round = 0; round < 4; ++round) {
    clock.advance_ms(3'600'001);
    for (int i = 0; i < 20; ++i) {
      const int n = 200 + round * 20 + i;
      ASSERT_TRUE(store.keep(make_planned(make_rule("c" + std::to_string(n), Severity::critical),
                                          "h" + std::to_string(n), n, clock.wall_ms())));
    }
  }
  EXPECT_EQ(store.standing_auto_isolations(), 25);
}

// Random fleets, rules, times and releases. Always: one verdict and one row an alert, nobody protected, no limit
// exceeded.
TEST(GuardFleet, HoldsItsPromisesOnRandomStreams) {
  int64_t acted = 0;
  int64_t held = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&random](int64_t below) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(below));
    };
    FakeClock clock;
    KillSwitch kill_switch;
    GuardSettings settings;
    settings.mode = Mode::enforce;
    ActionGuard guard(settings, kill_switch);
    FakeActionStore store(clock, &guard);
    ASSERT_TRUE(kill_switch.refresh(store));
    const int64_t fleet = 5 + pick(300);
    std::set<std::string> guarded;
    for (int64_t i = 0; i < fleet; ++i) {
      const std::string id = "h" + std::to_string(i);
      const bool is_protected = pick(10) == 0;
      if (is_protected) guarded.insert(id);
      store.add_endpoint(id, AgentStatus::online, is_protected);
    }
    std::vector<RuleMetaPtr> rules;
    for (int r = 0; r < 6; ++r) rules.push_back(make_rule("r" + std::to_string(r), static_cast<Severity>(pick(4))));

    struct Act {
      int64_t at_ms;
      std::string rule;
      std::string endpoint;
    };
    std::vector<Act> acts;
    for (int64_t n = 0; n < 250; ++n) {
      clock.advance_ms(pick(3) == 0 ? pick(600'000) : pick(2'000));
      const std::string endpoint = "h" + std::to_string(pick(fleet + 3));  // some are not enrolled
      if (pick(12) == 0) {
        const auto released = store.keep(make_manual(Verb::release, endpoint, "k" + std::to_string(n)));
        ASSERT_TRUE(released);
        continue;
      }
      if (pick(60) == 0) store.reset_trips();
      const RuleMetaPtr& rule = rules[static_cast<size_t>(pick(6))];
      const PlannedAction p = make_planned(rule, endpoint, n, clock.wall_ms() - pick(1'200'000));
      const size_t rows = store.rows();
      const Result<Judgement> j = store.keep(p);
      ASSERT_TRUE(j);
      EXPECT_FALSE(j->detail.empty());
      EXPECT_EQ(store.rows(), rows + (j->verdict == Verdict::joined ? 0 : 1));
      if (j->verdict == Verdict::joined) {
        EXPECT_EQ(store.action(j->joined_action).row.endpoint_id, endpoint);
      }
      if (j->verdict != Verdict::would_act) {
        ++held;
        EXPECT_NE(j->guard, Guard::none);
        continue;
      }
      ++acted;
      EXPECT_EQ(j->guard, Guard::none);
      EXPECT_FALSE(guarded.contains(endpoint));
      EXPECT_LT(std::stoll(endpoint.substr(1)), fleet);
      acts.push_back({clock.wall_ms(), rule->rule_id, endpoint});

      std::set<std::string> of_rule;
      std::set<std::string> of_all;
      for (const Act& a : acts) {
        if (a.rule == rule->rule_id && a.at_ms >= clock.wall_ms() - 600'000) of_rule.insert(a.endpoint);
        if (a.at_ms >= clock.wall_ms() - 3'600'000) of_all.insert(a.endpoint);
      }
      EXPECT_LE(static_cast<int64_t>(of_rule.size()), std::max<int64_t>(3, fleet / 100));
      EXPECT_LE(static_cast<int64_t>(of_all.size()), std::max<int64_t>(10, fleet * 2 / 100));
      EXPECT_LE(*store.standing_auto_isolations(), std::max<int64_t>(3, fleet * 5 / 100));
    }
  }
  EXPECT_GT(acted, 300);  // the streams do reach the limits
  EXPECT_GT(held, 3000);
}

// Alerts of one batch in any order: the number that acts is the same.
TEST(GuardFleet, TheOrderWithinABatchChangesNoCount) {
  std::set<int> counts;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    FakeClock clock;
    KillSwitch kill_switch;
    GuardSettings settings;
    settings.mode = Mode::enforce;
    ActionGuard guard(settings, kill_switch);
    FakeActionStore store(clock, &guard);
    ASSERT_TRUE(kill_switch.refresh(store));
    for (int i = 0; i < 100; ++i) store.add_endpoint("h" + std::to_string(i));
    std::vector<PlannedAction> batch;
    for (int i = 0; i < 40; ++i) {
      batch.push_back(make_planned(make_rule("r"), "h" + std::to_string(i % 20), i, clock.wall_ms()));
    }
    std::mt19937_64 random(seed);
    std::shuffle(batch.begin(), batch.end(), random);
    int acted = 0;
    for (const PlannedAction& p : batch) acted += store.keep(p)->verdict == Verdict::would_act ? 1 : 0;
    counts.insert(acted);
  }
  EXPECT_EQ(counts, std::set<int>{3});
}

}  // namespace
}  // namespace fb
