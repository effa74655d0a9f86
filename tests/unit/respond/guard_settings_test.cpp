#include "engine/respond/guard_settings.h"

#include <gtest/gtest.h>

namespace fb {
namespace {

TEST(GuardSettings, DefaultsAreThoseOfTheGuide) {
  const GuardSettings s;
  EXPECT_EQ(s.mode, Mode::dry_run);
  EXPECT_EQ(s.cooldown_same_rule_ms, 3'600'000);
  EXPECT_EQ(s.cooldown_any_rule_ms, 600'000);
  EXPECT_EQ(s.rule_budget_window_ms, 600'000);
  EXPECT_EQ(s.fleet_new_window_ms, 3'600'000);
  EXPECT_EQ(s.fleet_reserve_percent, 30);
  EXPECT_EQ(s.freshness_limit_ms, 900'000);
  EXPECT_EQ(s.group_percent, 20);
  EXPECT_EQ(s.group_min_alive, 1);
  EXPECT_EQ(s.probation_days, 7);
  EXPECT_EQ(s.corroboration_rules, 2);
  EXPECT_EQ(s.corroboration_window_ms, 600'000);
  EXPECT_EQ(s.lease_max_ms, 86'400'000);
  EXPECT_EQ(s.approval_expiry_ms, 4 * 3'600'000);
  EXPECT_EQ(s.intent_expiry_ms, 14LL * 86'400'000);
  EXPECT_EQ(s.connector_per_minute, 0);
  for (int g = 0; g < 19; ++g) {
    const Guard guard = static_cast<Guard>(g);
    const bool opt_in = guard == Guard::probation || guard == Guard::corroboration || guard == Guard::lease;
    EXPECT_EQ(s.is_on(guard), !opt_in) << to_string(guard);
  }
}

TEST(GuardSettings, LimitsAreTheGreaterOfANumberAndAShare) {
  const GuardSettings s;
  EXPECT_EQ(s.rule_budget.of(0), 3);
  EXPECT_EQ(s.rule_budget.of(399), 3);
  EXPECT_EQ(s.rule_budget.of(400), 4);
  EXPECT_EQ(s.rule_budget.of(500), 5);
  EXPECT_EQ(s.fleet_standing.of(79), 3);
  EXPECT_EQ(s.fleet_standing.of(80), 4);
  EXPECT_EQ(s.fleet_standing.of(500), 25);
  EXPECT_EQ(s.fleet_new.of(549), 10);
  EXPECT_EQ(s.fleet_new.of(550), 11);
}

TEST(GuardSettings, EveryKeyOfTheConfigSetsItsValue) {
  GuardSettings s;
  const auto set = [&s](const char* key, const char* value) {
    const Status done = set_guard_option(s, key, value);
    EXPECT_TRUE(done) << key << ": " << (done ? "" : done.error().describe());
  };
  set("cooldown_same_rule", "30m");
  set("cooldown_any_rule", "90s");
  set("rule_budget_window", "1h");
  set("fleet_new_window", "2h");
  set("freshness_limit", "5m");
  set("rule_budget_min", "7");
  set("rule_budget_percent", "2");
  set("fleet_standing_min", "8");
  set("fleet_standing_percent", "9");
  set("fleet_new_min", "11");
  set("fleet_new_percent", "3");
  set("fleet_reserve_percent", "50");
  set("group_percent", "25");
  set("group_min_alive", "2");
  set("probation_days", "3");
  set("corroboration_rules", "4");
  set("corroboration_window", "20m");
  set("lease_max", "8h");
  set("approval_expiry", "2h");
  set("intent_expiry", "1d");
  set("connector_per_minute", "50");
  EXPECT_EQ(s.group_percent, 25);
  EXPECT_EQ(s.group_min_alive, 2);
  EXPECT_EQ(s.probation_days, 3);
  EXPECT_EQ(s.corroboration_rules, 4);
  EXPECT_EQ(s.corroboration_window_ms, 1'200'000);
  EXPECT_EQ(s.lease_max_ms, 8 * 3'600'000);
  EXPECT_EQ(s.approval_expiry_ms, 2 * 3'600'000);
  EXPECT_EQ(s.intent_expiry_ms, 86'400'000);
  EXPECT_EQ(s.connector_per_minute, 50);
  EXPECT_EQ(s.cooldown_same_rule_ms, 1'800'000);
  EXPECT_EQ(s.cooldown_any_rule_ms, 90'000);
  EXPECT_EQ(s.rule_budget_window_ms, 3'600'000);
  EXPECT_EQ(s.fleet_new_window_ms, 7'200'000);
  EXPECT_EQ(s.freshness_limit_ms, 300'000);
  EXPECT_EQ(s.rule_budget.min, 7);
  EXPECT_EQ(s.rule_budget.percent, 2);
  EXPECT_EQ(s.fleet_standing.min, 8);
  EXPECT_EQ(s.fleet_standing.percent, 9);
  EXPECT_EQ(s.fleet_new.min, 11);
  EXPECT_EQ(s.fleet_new.percent, 3);
  EXPECT_EQ(s.fleet_reserve_percent, 50);
  for (const char* guard : {"cooldown", "rule_budget", "fleet_breaker", "freshness", "group_breaker", "probation",
                            "corroboration", "lease"}) {
    set(guard, "off");
    EXPECT_FALSE(s.is_on(*from_string<Guard>(guard))) << guard;
    set(guard, "on");
    EXPECT_TRUE(s.is_on(*from_string<Guard>(guard))) << guard;
  }
}

TEST(GuardSettings, RefusesWhatItDoesNotUnderstand) {
  GuardSettings s;
  const auto why = [&s](const char* key, const char* value) {
    const Status done = set_guard_option(s, key, value);
    EXPECT_FALSE(done) << key << " " << value;
    return done ? std::string() : done.error().describe();
  };
  EXPECT_NE(why("freshness_limit", "soon").find("response.guards.freshness_limit"), std::string::npos);
  EXPECT_NE(why("rule_budget_min", "-1").find("whole number"), std::string::npos);
  EXPECT_NE(why("rule_budget_min", "3x").find("'3x'"), std::string::npos);
  why("rule_budget_min", "");
  why("rule_budget_min", "99999999999999999999");
  why("fleet_new_percent", "101");
  why("cooldown", "yes");
  EXPECT_NE(why("frehsness_limit", "5m").find("'freshness_limit'"), std::string::npos);
  EXPECT_NE(why("corroboration_rule", "3").find("'corroboration_rules'"), std::string::npos);
  EXPECT_NE(why("approval", "off").find("unknown key"), std::string::npos);  // a word of ours, but nothing to switch
  EXPECT_NE(why("approval_expiry", "5s").find("at least 60s"), std::string::npos);
  EXPECT_EQ(s.freshness_limit_ms, 900'000);
  EXPECT_EQ(s.rule_budget.min, 3);
}

TEST(GuardSettings, HardGuardsAndModeHaveNoSwitchInTheConfig) {
  GuardSettings s;
  for (const char* guard : {"kill_switch", "mode", "protected", "unknown_target", "in_flight", "maintenance", "loop"}) {
    const Status done = set_guard_option(s, guard, "off");
    ASSERT_FALSE(done) << guard;
    EXPECT_NE(done.error().message.find("always on"), std::string::npos);
    EXPECT_TRUE(s.is_on(*from_string<Guard>(guard)));
  }
}

TEST(ProtectedList, CoversByIdHostIdNameAndTag) {
  ProtectedList list;
  for (const char* entry : {"agent-1", "HOST-2", "dc01.corp.example", "tag:dns"}) ASSERT_TRUE(list.add(entry));
  const auto endpoint = [](const char* id, const char* host, const char* name, std::vector<std::string> tags) {
    Endpoint e;
    e.endpoint_id = id;
    e.host_id = host;
    e.hostname = name;
    e.tags = std::move(tags);
    return e;
  };
  EXPECT_TRUE(list.covers(endpoint("agent-1", "h", "n", {})));
  EXPECT_TRUE(list.covers(endpoint("x", "host-2", "n", {})));
  EXPECT_TRUE(list.covers(endpoint("x", "h", "DC01.corp.example.", {})));
  EXPECT_TRUE(list.covers(endpoint("x", "h", "n", {"web", "dns"})));
  EXPECT_FALSE(list.covers(endpoint("x", "h", "dc01", {"DNS-2"})));
  EXPECT_FALSE(list.covers(endpoint("", "", "", {})));
  EXPECT_TRUE(list.names_id("Agent-1"));
  EXPECT_FALSE(list.names_id("agent-11"));
}

TEST(ProtectedList, RefusesEmptyEntries) {
  ProtectedList list;
  EXPECT_FALSE(list.add(""));
  EXPECT_FALSE(list.add("tag:"));
  EXPECT_TRUE(list.empty());
}

}  // namespace
}  // namespace fb
