// Every guard, over the record on disk: one base case in which all of them pass, and for each guard one change of it
// after which that guard decides, and it alone: with it switched off, the action passes again.
//
// FB_MUTATE_GUARD=<guard> switches that guard off for the whole program. Then its case must fail, and tests/mutation/
// guards.py asserts that it does: a test that passes without its guard would prove nothing.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/respond/store_fixture.h"

namespace fb {
namespace {

using test::changed;
using test::make_rule;
using test::StoreBench;

constexpr int64_t kMinute = 60'000;
constexpr int64_t kDay = 24 * 60 * kMinute;

void switch_off(GuardSettings& settings, Guard guard) {
  settings.turn(guard, false);
  // Three are not asked by the judge but limits that the store and the dispatcher keep.
  if (guard == Guard::approval) settings.approval_expiry_ms = 1000 * kDay;
  if (guard == Guard::intent_expiry) settings.intent_expiry_ms = 1000 * kDay;
  if (guard == Guard::connector_bucket) settings.connector_per_minute = 0;
}

// The guards that are asked for an isolation, all on; nothing speaks against the base case.
GuardSettings all_on() {
  GuardSettings s = StoreBench::enforcing();
  s.turn(Guard::probation, true);
  s.turn(Guard::corroboration, true);
  s.turn(Guard::lease, true);
  s.connector_per_minute = 1;
  return s;
}

RuleMetaPtr base_rule(const std::string& id = "r", Severity severity = Severity::high) {
  return changed(make_rule(id, severity), [](RuleMeta& r) {
    r.hash = "text of " + r.rule_id;
    r.response.lease_ms = 60 * kMinute;
    r.response.certain = true;  // one rule is enough; the case of corroboration takes it away
  });
}

// A rule that ran long enough.
void settle(StoreBench& b, const std::vector<RuleMetaPtr>& rules) {
  ASSERT_TRUE(b.store->note_rules(rules));
  b.clock.advance_ms(8 * kDay);
}

void fleet(StoreBench& b) {
  for (int i = 0; i < 10; ++i) b.enroll("h" + std::to_string(i), {"site:a"});
}

struct Case {
  Guard guard;
  const char* decides;  // "verdict/guard", or "state/guard" for what ends an action later
  const char* without;  // what is said with the guard off
  std::function<std::string(StoreBench&)> play;
};

std::string plain(StoreBench& b) {
  fleet(b);
  settle(b, {base_rule()});
  return b.said(b.keep(base_rule(), "h1"));
}

const std::vector<Case>& cases() {
  static const std::vector<Case> list = {
      {Guard::kill_switch, "blocked/kill_switch", "would_act/",
       [](StoreBench& b) {
         EXPECT_TRUE(b.store->set_kill_switch(true, "user:jo", "drill"));
         EXPECT_TRUE(b.kill_switch.refresh(*b.store));
         return plain(b);
       }},
      {Guard::mode, "dry_run/mode", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         const RuleMetaPtr rule = changed(base_rule(), [](RuleMeta& r) { r.response.mode = Mode::dry_run; });
         settle(b, {rule});
         return b.said(b.keep(rule, "h1"));
       }},
      {Guard::protected_endpoint, "blocked/protected", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         EXPECT_TRUE(b.store->change_tag("h1", "dns", true, "user:jo", ""));
         settle(b, {base_rule()});
         return b.said(b.keep(base_rule(), "h1"));
       }},
      // The store itself makes no intent for an endpoint that it does not know, whatever the guard says: with the guard
      // off, its own words stand there.
      {Guard::unknown_target, "blocked/unknown_target: endpoint nobody is not enrolled",
       "blocked/unknown_target: unknown: the record has no such endpoint",
       [](StoreBench& b) {
         fleet(b);
         settle(b, {base_rule()});
         BatchOutcome batch;
         batch.alerts = {b.alert(base_rule(), "nobody")};
         plan(batch.alerts[0], OpenDirectory{}, batch.planned);  // a directory that knows more than the record
         batch.advances.push_back({"cluster", "events", 0, 0, 0, 1});
         EXPECT_TRUE(b.store->keep(batch));
         const std::string& id = batch.planned.at(0).action_id;
         return b.said(id) + ": " + b.ask("SELECT detail FROM verdicts WHERE action_id = '" + id + "'");
       }},
      {Guard::in_flight, "joined/in_flight", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         settle(b, {base_rule()});
         b.keep(base_rule(), "h1");
         return b.said(b.keep(base_rule(), "h1"));
       }},
      {Guard::cooldown, "awaiting_approval/cooldown", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         settle(b, {base_rule()});
         b.keep(base_rule(), "h1");
         b.run();
         b.ask_for(Verb::release, "h1");
         b.run();
         b.clock.advance_ms(59 * kMinute);
         return b.said(b.keep(base_rule(), "h1"));
       }},
      {Guard::rule_budget, "awaiting_approval/rule_budget", "would_act/",
       [](StoreBench& b) {
         b.settings.fleet_standing = {10, 0};
         b.settings.group_percent = 100;
         b.open();
         fleet(b);
         settle(b, {base_rule()});
         for (int i = 1; i <= 3; ++i) b.keep(base_rule(), "h" + std::to_string(i));
         return b.said(b.keep(base_rule(), "h4"));
       }},
      {Guard::fleet_breaker, "awaiting_approval/fleet_breaker", "would_act/",
       [](StoreBench& b) {
         b.settings.group_percent = 100;
         b.open();
         fleet(b);
         std::vector<RuleMetaPtr> rules;
         for (int i = 0; i < 4; ++i) rules.push_back(base_rule("r" + std::to_string(i)));
         settle(b, rules);
         for (int i = 0; i < 3; ++i) b.keep(rules[static_cast<size_t>(i)], "h" + std::to_string(i));
         return b.said(b.keep(rules[3], "h4"));
       }},
      {Guard::group_breaker, "awaiting_approval/group_breaker", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         settle(b, {base_rule("r1"), base_rule("r2"), base_rule("r3")});
         EXPECT_EQ(b.said(b.keep(base_rule("r1"), "h1")), "would_act/");
         EXPECT_EQ(b.said(b.keep(base_rule("r2"), "h2")), "would_act/");
         return b.said(b.keep(base_rule("r3"), "h3"));  // 3 of 10 are more than 20 %
       }},
      {Guard::probation, "dry_run/probation", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         EXPECT_TRUE(b.store->note_rules({base_rule()}));
         b.clock.advance_ms(7 * kDay - 1);
         return b.said(b.keep(base_rule(), "h1"));
       }},
      {Guard::corroboration, "awaiting_approval/corroboration", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         const RuleMetaPtr rule = changed(base_rule(), [](RuleMeta& r) { r.response.certain = false; });
         settle(b, {rule});
         return b.said(b.keep(rule, "h1"));
       }},
      {Guard::freshness, "awaiting_approval/freshness", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         settle(b, {base_rule()});
         Alert old = b.alert(base_rule(), "h1");
         old.read_time_ms -= 15 * kMinute + 1;
         return b.said(b.keep({old}).at(0));
       }},
      {Guard::maintenance, "awaiting_approval/maintenance", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         settle(b, {base_rule()});
         EXPECT_TRUE(b.store->add_maintenance(
             {"", "host:h1", b.clock.wall_ms() - 1, b.clock.wall_ms() + kMinute, false, false, "user:jo", "patches"}));
         return b.said(b.keep(base_rule(), "h1"));
       }},
      {Guard::lease, "awaiting_approval/lease", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         const RuleMetaPtr rule = changed(base_rule(), [](RuleMeta& r) { r.response.lease_ms = kDay + 1; });
         settle(b, {rule});
         return b.said(b.keep(rule, "h1"));
       }},
      {Guard::loop, "blocked/loop", "would_act/",
       [](StoreBench& b) {
         fleet(b);
         settle(b, {base_rule()});
         Alert own = b.alert(base_rule(), "h1");
         own.self_caused = true;
         return b.said(b.keep({own}).at(0));
       }},
      {Guard::approval, "expired/approval", "requested/mode",
       [](StoreBench& b) {
         fleet(b);
         const RuleMetaPtr rule = changed(base_rule(), [](RuleMeta& r) { r.response.mode = Mode::approve; });
         settle(b, {rule});
         const std::string id = b.keep(rule, "h1");
         EXPECT_EQ(b.said(id), "awaiting_approval/mode");
         b.clock.advance_ms(4 * 60 * kMinute);
         static_cast<void>(b.store->decide(id, true, "user:kim", "late"));
         return b.state(id);
       }},
      {Guard::intent_expiry, "expired/intent_expiry", "dispatched/",
       [](StoreBench& b) {
         fleet(b);
         settle(b, {base_rule()});
         b.plugin.outcome = SendOutcome::offline;
         const std::string id = b.keep(base_rule(), "h1");
         EXPECT_TRUE(b.core->step({}));
         EXPECT_EQ(b.state(id), "queued/");
         b.clock.advance_ms(14 * kDay);
         b.plugin.outcome = SendOutcome::sent;
         EXPECT_TRUE(b.core->step({b.agents.at("h1").heartbeat()}));
         return b.state(id);
       }},
      {Guard::connector_bucket, "h2 first; queued: connector_bucket", "h1 first; dispatched: attempt 1",
       [](StoreBench& b) {
         b.settings.group_percent = 100;
         b.open();
         fleet(b);
         settle(b, {base_rule("grave", Severity::critical), base_rule("r")});
         b.keep({b.alert(base_rule("r"), "h1"), b.alert(base_rule("grave", Severity::critical), "h2")});
         const std::string waits = b.ask("SELECT action_id FROM actions WHERE rule_id = 'r'");
         EXPECT_TRUE(b.core->step({}));
         // The graver one takes the only place of this minute.
         return b.plugin.sent.at(0).endpoint_id + " first; " +
                b.ask("SELECT state || ': ' || substr(detail, 1, 16) FROM actions WHERE action_id = '" + waits + "'");
       }},
  };
  return list;
}

void mutate(GuardSettings& settings) {
  if (const char* name = std::getenv("FB_MUTATE_GUARD")) {
    const auto guard = from_string<Guard>(name);
    ASSERT_TRUE(guard && *guard != Guard::none) << "no guard is called " << name;
    switch_off(settings, *guard);
  }
}

class GuardAlone : public testing::TestWithParam<size_t> {};

TEST_P(GuardAlone, DecidesWhereTheBaseCasePasses) {
  const Case& c = cases().at(GetParam());
  GuardSettings with = all_on();
  if (c.guard != Guard::connector_bucket) with.connector_per_minute = 0;
  mutate(with);
  {
    StoreBench b(with);
    EXPECT_EQ(c.play(b), c.decides);
  }
  GuardSettings without = with;
  switch_off(without, c.guard);
  StoreBench b(without);
  EXPECT_EQ(c.play(b), c.without) << "another guard decides too";
}

INSTANTIATE_TEST_SUITE_P(Every, GuardAlone, testing::Range<size_t>(0, cases().size()),
                         [](const auto& at) { return std::string(to_string(cases().at(at.param).guard)); });

TEST(GuardAlonePasses, TheBaseCase) {
  StoreBench b(all_on());
  EXPECT_EQ(plain(b), "would_act/");
}

// No guard without a case: the words of the model, one for one.
TEST(GuardAlonePasses, EveryGuardHasItsCase) {
  std::vector<std::string> with_case;
  for (const Case& c : cases()) with_case.emplace_back(to_string(c.guard));
  for (unsigned g = 1; g < 19; ++g) {
    const std::string name(to_string(static_cast<Guard>(g)));
    EXPECT_EQ(std::count(with_case.begin(), with_case.end(), name), 1) << name;
  }
}

}  // namespace
}  // namespace fb
