// The guards that look at more than one row: groups, trial, agreement, maintenance; approvals and tags that protect;
// the last look before an order goes out; names that try to choose the target. Over the record on disk.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/respond/store_fixture.h"

namespace fb {
namespace {

using test::changed;
using test::make_rule;
using test::StoreBench;

constexpr int64_t kMinute = 60'000;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
using TagChange = Store::TagChange;

GuardSettings with(Guard guard) {
  GuardSettings s = StoreBench::enforcing();
  s.turn(guard, true);
  return s;
}

TEST(GroupBreaker, CountsOnlyTaggedEndpointsAndLeavesTheLastOneAlive) {
  GuardSettings s = StoreBench::enforcing();
  s.group_percent = 100;
  StoreBench b(s);
  b.enroll("a1", {"group:pair", "web"});
  b.enroll("a2", {"group:pair"});
  b.enroll("a3", {"group:pairs"});
  b.enroll("a4");
  EXPECT_EQ(b.said(b.keep(make_rule("r1"), "a1")), "would_act/");
  EXPECT_EQ(b.said(b.keep(make_rule("r2"), "a2")), "awaiting_approval/group_breaker");  // none would be left
  EXPECT_EQ(b.said(b.keep(make_rule("r3"), "a3")), "awaiting_approval/group_breaker");  // a group of one
  EXPECT_EQ(b.said(b.keep(make_rule("r4"), "a4")), "would_act/");
}

// What people isolate leaves fewer alive, but takes nothing of the rules' share.
TEST(GroupBreaker, PeoplesIsolationsCountAsGone) {
  GuardSettings s = StoreBench::enforcing();
  s.group_percent = 50;
  StoreBench b(s);
  for (const char* id : {"a1", "a2", "a3", "a4"}) b.enroll(id, {"site:x"});
  b.ask_for(Verb::isolate, "a1");
  b.ask_for(Verb::isolate, "a2");
  EXPECT_EQ(b.said(b.keep(make_rule("r1"), "a3")), "would_act/");
  EXPECT_EQ(b.said(b.keep(make_rule("r2"), "a4")), "awaiting_approval/group_breaker");
}

TEST(Probation, AChangedRuleBeginsAnewAndNeverTripsABreaker) {
  StoreBench b(with(Guard::probation));
  for (int i = 0; i < 6; ++i) b.enroll("h" + std::to_string(i));
  const auto text = [](const char* hash, const char* id = "r") {
    return changed(make_rule(id), [hash](RuleMeta& r) { r.hash = hash; });
  };
  EXPECT_EQ(b.said(b.keep(text("one"), "h1")), "dry_run/probation");  // noted at its first planned action
  b.clock.advance_ms(7 * kDay);
  EXPECT_EQ(b.said(b.keep(text("one"), "h1")), "would_act/");
  EXPECT_EQ(b.said(b.keep(text("two"), "h2")), "dry_run/probation");
  // The fleet is at its limit: a rule on trial asks nobody and opens nothing.
  EXPECT_TRUE(b.store->note_rules({text("x", "r3"), text("x", "r4")}));
  b.clock.advance_ms(7 * kDay);
  b.keep(text("x", "r3"), "h3");
  b.keep(text("x", "r4"), "h4");
  EXPECT_EQ(b.said(b.keep(text("new", "r5"), "h5")), "dry_run/probation");
  EXPECT_EQ(b.number("SELECT count(*) FROM trips"), 0);
}

TEST(Corroboration, RulesOfTheSameBatchAgreeAndOldOnesDoNot) {
  StoreBench b(with(Guard::corroboration));
  b.enroll("a1");
  b.enroll("a2");
  b.enroll("a3");
  const RuleMetaPtr one = make_rule("one");
  const RuleMetaPtr two = changed(make_rule("two"), [](RuleMeta& r) { r.actions.clear(); });  // only alerts
  const RuleMetaPtr three = changed(make_rule("three"), [](RuleMeta& r) { r.response.corroboration = 3; });
  EXPECT_EQ(b.said(b.keep({b.alert(two, "a1"), b.alert(one, "a1")}).at(0)), "would_act/");
  EXPECT_EQ(b.said(b.keep({b.alert(two, "a2")}).empty() ? b.keep(three, "a2") : ""),
            "awaiting_approval/corroboration");  // two of three
  b.keep({b.alert(two, "a3")});
  b.clock.advance_ms(10 * kMinute + 1);
  EXPECT_EQ(b.said(b.keep(one, "a3")), "awaiting_approval/corroboration");
  // The same rule twice is one word.
  EXPECT_EQ(b.said(b.keep(one, "a3")), "joined/in_flight");
  EXPECT_EQ(b.number("SELECT count(*) FROM actions WHERE endpoint_id = 'a3' AND intent_at > 0"), 0);
}

TEST(Cooldown, ACriticalRuleThatAnotherAgreesWithPasses) {
  StoreBench b;
  b.enroll("a1");
  b.keep(make_rule("r"), "a1");
  b.run();
  b.ask_for(Verb::release, "a1");
  b.run();
  b.clock.advance_ms(11 * kMinute);
  const RuleMetaPtr grave = make_rule("r", Severity::critical);
  EXPECT_EQ(b.said(b.keep(grave, "a1")), "awaiting_approval/cooldown");
  const RuleMetaPtr other = changed(make_rule("other"), [](RuleMeta& r) { r.actions.clear(); });
  b.keep({b.alert(other, "a1")});
  EXPECT_EQ(b.said(b.keep(make_rule("r"), "a1")), "joined/in_flight");  // not critical: it waits with the first
  EXPECT_EQ(b.said(b.keep(grave, "a1")), "would_act/");
}

TEST(Maintenance, AsksOrLeavesOutByHostAndTagButNotForCriticalRules) {
  StoreBench b;
  for (const char* id : {"a1", "a2", "a3"}) b.enroll(id, {"blue"});
  b.enroll("a4");
  const int64_t now = b.clock.wall_ms();
  const MaintenanceWindow ask{"", "tag:blue", now, now + kHour, false, false, "user:jo", "patches"};
  const auto added = b.store->add_maintenance(ask);
  ASSERT_TRUE(added);
  EXPECT_EQ(b.said(b.keep(make_rule("r"), "a1")), "awaiting_approval/maintenance");
  EXPECT_EQ(b.said(b.keep(make_rule("c", Severity::critical), "a2")), "would_act/");
  EXPECT_EQ(b.said(b.keep(make_rule("r4"), "a4")), "would_act/");
  ASSERT_TRUE(b.store->add_maintenance({"", "host:a3", now, now + kHour, true, true, "user:jo", "rebuild"}));
  EXPECT_EQ(b.said(b.keep(make_rule("c3", Severity::critical), "a3")), "blocked/maintenance");
  EXPECT_EQ(b.ask_for(Verb::isolate, "a3").state, ActionState::requested);  // a person's is nobody's to hold
  EXPECT_EQ(b.store->maintenance()->size(), 2u);
  EXPECT_TRUE(*b.store->remove_maintenance(*added, "user:jo", "done"));
  EXPECT_FALSE(*b.store->remove_maintenance(*added, "user:jo", "done"));
  b.clock.advance_ms(kHour);
  EXPECT_EQ(b.number("SELECT count(*) FROM audit WHERE what LIKE 'maintenance_%'"), 3);
}

TEST(Maintenance, RefusesWindowsThatAreNone) {
  StoreBench b;
  const int64_t now = b.clock.wall_ms();
  const MaintenanceWindow good{"", "host:a", now, now + kDay, false, false, "user:jo", "why"};
  EXPECT_TRUE(b.store->add_maintenance(good));
  const auto refused = [&](const std::function<void(MaintenanceWindow&)>& change) {
    MaintenanceWindow w = good;
    change(w);
    const auto answer = b.store->add_maintenance(w);
    return !answer && answer.error().code == ErrorCode::invalid_argument;
  };
  EXPECT_TRUE(refused([](auto& w) { w.ends_at_ms += 1; }));
  EXPECT_TRUE(refused([](auto& w) { w.ends_at_ms = w.starts_at_ms; }));
  EXPECT_TRUE(refused([](auto& w) { w.starts_at_ms -= 2 * kHour, w.ends_at_ms = w.starts_at_ms + kHour; }));
  EXPECT_TRUE(refused([](auto& w) { w.scope = "a"; }));
  EXPECT_TRUE(refused([](auto& w) { w.scope = "tag:"; }));
  EXPECT_FALSE(refused([](auto& w) { w.why.clear(); })) << "why may be left out";
}

TEST(Tags, AProtectingTagGoesOnlyWhenTwoPeopleWantIt) {
  StoreBench b;
  b.enroll("a1", {"dns", "web"});
  const auto change = [&b](const char* tag, bool add, const char* who, const char* why = "because") {
    const auto done = b.store->change_tag("a1", tag, add, who, why);
    EXPECT_TRUE(done) << (done ? "" : done.error().describe());
    return done.value_or(TagChange::none);
  };
  EXPECT_EQ(change("web", false, "user:jo", ""), TagChange::done);
  EXPECT_FALSE(b.store->change_tag("a1", "dns", false, "user:jo", ""));  // not without a reason
  EXPECT_EQ(change("dns", false, "user:jo"), TagChange::waits);
  EXPECT_EQ(change("dns", false, "jo"), TagChange::waits) << "the person counts, not the spelling";
  EXPECT_EQ(b.said(b.keep(make_rule("r"), "a1")), "blocked/protected");
  EXPECT_EQ(change("dns", true, "user:kim"), TagChange::none);  // it stays: the request is over
  EXPECT_EQ(change("dns", false, "user:kim"), TagChange::waits);
  b.clock.advance_ms(4 * kHour);
  EXPECT_EQ(change("dns", false, "user:jo"), TagChange::waits) << "the other request is too old";
  EXPECT_EQ(change("dns", false, "user:kim"), TagChange::done);
  EXPECT_EQ(b.said(b.keep(make_rule("r"), "a1")), "would_act/");
  EXPECT_EQ(change("dns", true, "user:jo"), TagChange::done);  // to add needs nobody else
  EXPECT_GE(b.number("SELECT count(*) FROM audit WHERE what IN ('untag_requested', 'untag_refused', 'tag_removed')"),
            6);
  EXPECT_FALSE(b.store->change_tag("a1", "no\ntag", true, "user:jo", ""));
  EXPECT_FALSE(b.store->change_tag("ghost", "x", true, "user:jo", ""));
}

TEST(Approval, CountsInTheBudgetsAndIsLookedAtAgain) {
  StoreBench b;
  for (int i = 0; i < 6; ++i) b.enroll("h" + std::to_string(i));
  const RuleMetaPtr asks = changed(make_rule("r"), [](RuleMeta& r) { r.response.mode = Mode::approve; });
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(b.keep(asks, "h" + std::to_string(i)));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(b.store->decide(ids[static_cast<size_t>(i)], true, "user:kim", "yes"));
  EXPECT_EQ(b.said(b.keep(make_rule("r"), "h5")), "awaiting_approval/rule_budget");
  // Over the budget by a person's word; but not over what can't be overridden.
  EXPECT_TRUE(b.store->change_tag("h3", "backup", true, "user:jo", ""));
  EXPECT_FALSE(b.store->decide(ids[3], true, "user:kim", "yes"));
  EXPECT_TRUE(b.store->set_kill_switch(true, "user:jo", "drill"));
  EXPECT_TRUE(b.kill_switch.refresh(*b.store));
  EXPECT_FALSE(b.store->decide(ids[4], true, "user:kim", "yes"));
  EXPECT_TRUE(b.store->set_kill_switch(false, "user:jo", "over"));
  EXPECT_TRUE(b.kill_switch.refresh(*b.store));
  EXPECT_TRUE(b.store->decide(ids[4], true, "user:kim", "yes"));
  EXPECT_EQ(b.state(ids[3]), "awaiting_approval/mode");
}

// The dispatcher's view of the endpoints is up to a second old; the record's is not.
TEST(LastLook, ProtectionThatCameAMomentAgoHoldsTheOrder) {
  StoreBench b;
  b.enroll("a1");
  ASSERT_TRUE(b.core->step({b.agents.at("a1").heartbeat()}));
  const std::string id = b.keep(make_rule("r"), "a1");
  ASSERT_TRUE(b.store->change_tag("a1", "protected", true, "user:jo", "found out"));
  ASSERT_TRUE(b.core->step({}));  // no time has passed: it still thinks the endpoint is free
  EXPECT_TRUE(b.plugin.sent.empty());
  EXPECT_EQ(b.state(id), "blocked/protected");
  EXPECT_EQ(b.ask("SELECT desired FROM endpoints WHERE endpoint_id = 'a1'"), "released");
}

TEST(LastLook, OnePersonsOverrideDoesNotCountForProtectionThatCameLater) {
  StoreBench b;
  b.enroll("a1");
  ASSERT_TRUE(b.core->step({b.agents.at("a1").heartbeat()}));
  const auto asked = b.ask_for(Verb::isolate, "a1", "user:jo", true);
  EXPECT_EQ(asked.state, ActionState::requested) << "nothing is protected yet";
  ASSERT_TRUE(b.store->change_tag("a1", "protected", true, "user:al", "found out"));
  b.clock.advance_ms(2'000);
  ASSERT_TRUE(b.core->step({b.agents.at("a1").heartbeat()}));
  EXPECT_TRUE(b.plugin.sent.empty());
  EXPECT_EQ(b.state(asked.action_id), "blocked/protected");
}

TEST(LastLook, TheKillSwitchOfThisMomentHoldsTheOrder) {
  StoreBench b;
  b.enroll("a1");
  const std::string id = b.keep(make_rule("r"), "a1");
  ASSERT_TRUE(b.store->set_kill_switch(true, "user:jo", "drill"));
  ActionMove m;
  m.action_id = id;
  m.from = {ActionState::requested};
  m.to = ActionState::dispatched;
  const auto moved = b.store->move(m);  // as a dispatcher would that has not looked at the switch
  ASSERT_TRUE(moved);
  EXPECT_FALSE(*moved);
  EXPECT_EQ(b.state(id), "blocked/kill_switch");
}

TEST(Flood, ARuleAtItsLimitLeavesAnotherItsPlace) {
  StoreBench b;
  for (int i = 0; i < 200; ++i) b.enroll("h" + std::to_string(i));
  std::vector<Alert> flood;
  for (int i = 0; i < 150; ++i) flood.push_back(b.alert(make_rule("a"), "h" + std::to_string(i)));
  b.keep(flood);
  EXPECT_EQ(b.last.intents, 3u);
  EXPECT_EQ(b.said(b.keep(make_rule("b"), "h199")), "would_act/");
  EXPECT_EQ(b.said(b.keep(make_rule("c"), "h120")), "would_act/");  // also where the first one waits
}

// No name of an event chooses a target, however it is written: only ids that an agent enrolled with.
TEST(Names, NeverChooseATarget) {
  StoreBench b;
  b.enroll("dc01");
  b.enroll("twin-1");
  b.enroll("twin-2");
  for (const char* id : {"twin-1", "twin-2"}) {
    EndpointReport r;
    r.endpoint_id = id;
    r.host_id = std::string("host-of-") + id;
    r.hostname = "twin";
    r.os = "linux";
    r.observed = Isolation::released;
    ASSERT_TRUE(b.store->seen(r));
  }
  const std::string names[] = {"dc01",
                               "DC01",
                               "dc01.",
                               "Dc01.example",
                               std::string("dc01\0", 5),
                               std::string("dc\0"
                                           "01",
                                           5),
                               "\xD0\xB4\xD1\x81"
                               "01",  // homoglyphs
                               "dc01 ",
                               " dc01",
                               "twin",
                               "TWIN.",
                               ""};
  int64_t planned = 0;
  for (const std::string& name : names) {
    for (int field = 0; field < 3; ++field) {
      Alert a = b.alert(make_rule("r" + std::to_string(++planned)), "");
      std::string& where = field == 0 ? a.target.host_name : field == 1 ? a.target.host_id : a.target.agent_id;
      where = name;
      // "dc01" is the very id of an endpoint: as an agent.id it is no name.
      if (field == 2 && name == "dc01") continue;
      const std::string id = b.keep({a}).at(0);
      EXPECT_EQ(b.said(id), "blocked/unknown_target") << field << " '" << name << "'";
    }
  }
  EXPECT_EQ(b.number("SELECT count(*) FROM actions WHERE intent_at > 0"), 0);
}

// Somebody speaks under another host's name: that host neither pays for it nor is shown with it.
TEST(Names, AFalseNameIsNotTheHosts) {
  StoreBench b(with(Guard::corroboration));
  b.enroll("victim");
  Alert forged = b.alert(make_rule("other"), "victim");
  forged.target.identity_mismatch = true;  // as the pipeline found
  const std::string id = b.keep({forged}).at(0);
  EXPECT_EQ(b.said(id), "blocked/unknown_target");
  EXPECT_TRUE(b.ask("SELECT detail FROM actions WHERE action_id = '" + id + "'").starts_with("identity_mismatch"));
  EXPECT_EQ(b.number("SELECT count(*) FROM v_alerts WHERE endpoint_id = 'victim'"), 0);
  EXPECT_EQ(b.number("SELECT count(*) FROM v_actions WHERE endpoint_id = 'victim'"), 0);
  // Nor does the forged alert count as a rule that agrees.
  EXPECT_EQ(b.said(b.keep(make_rule("r"), "victim")), "awaiting_approval/corroboration");
  // Ids of two hosts, without a topic that tells.
  b.enroll("second");
  Alert two = b.alert(make_rule("r2"), "victim");
  two.target.host_id = "host-of-second";
  const std::string mixed = b.keep({two}).at(0);
  EXPECT_EQ(b.said(mixed), "blocked/unknown_target");
  EXPECT_TRUE(b.ask("SELECT detail FROM actions WHERE action_id = '" + mixed + "'").starts_with("identity_mismatch"));
}

// Each way on which an old event could come to act.
TEST(Freshness, HoldsOnEveryPath) {
  StoreBench b;
  for (int i = 0; i < 6; ++i) b.enroll("h" + std::to_string(i));
  const int64_t now = b.clock.wall_ms();
  Alert appended = b.alert(make_rule("r1"), "h1");
  appended.broker_time_ms = now - 16 * kMinute;
  appended.broker_time_is_append = true;
  EXPECT_EQ(b.said(b.keep({appended}).at(0)), "awaiting_approval/freshness");
  Alert behind = b.alert(make_rule("r2"), "h2");
  behind.lag_ms = 16 * kMinute;
  EXPECT_EQ(b.said(b.keep({behind}).at(0)), "awaiting_approval/freshness");
  Alert timeless = b.alert(make_rule("r3"), "h3");
  timeless.read_time_ms = 0;
  EXPECT_EQ(b.said(b.keep({timeless}).at(0)), "awaiting_approval/freshness");
  Alert claims = b.alert(make_rule("r4"), "h4");  // the producer's own time is believed neither way
  claims.broker_time_ms = now + kDay;
  claims.lag_ms = 16 * kMinute;
  EXPECT_EQ(b.said(b.keep({claims}).at(0)), "awaiting_approval/freshness");
  // Warm-up: alerts are kept, and no action comes of them, then or when they are read again.
  const Alert warming = b.alert(make_rule("r5"), "h5");
  const std::string id = b.keep({warming}, false).at(0);
  EXPECT_EQ(b.number("SELECT count(*) FROM verdicts WHERE action_id = '" + id + "'"), 0);
  b.keep({warming});
  EXPECT_EQ(b.last.intents, 0u);
  EXPECT_EQ(b.number("SELECT count(*) FROM actions WHERE intent_at > 0"), 0);
}

TEST(Lease, TheServicesOwnCounts) {
  GuardSettings s = with(Guard::lease);
  s.default_lease_ms = 4 * kHour;
  StoreBench b(s);
  b.enroll("a1");
  b.enroll("a2");
  EXPECT_EQ(b.said(b.keep(make_rule("r"), "a1")), "would_act/");
  b.settings.default_lease_ms = 0;
  b.open();
  EXPECT_EQ(b.said(b.keep(make_rule("r"), "a2")), "awaiting_approval/lease");
  EXPECT_EQ(b.ask_for(Verb::isolate, "a2").state, ActionState::requested);  // a person's needs none
}

TEST(ConnectorBucket, WaitsAMinuteForTheNextAndNeverHoldsARelease) {
  GuardSettings s = StoreBench::enforcing();
  s.connector_per_minute = 1;
  StoreBench b(s);
  for (const char* id : {"a1", "a2", "a3"}) b.enroll(id);
  b.ask_for(Verb::isolate, "a3");
  b.run();
  EXPECT_EQ(b.agents.at("a3").state, Isolation::isolated);
  b.keep(make_rule("r1"), "a1");
  b.ask_for(Verb::release, "a3");
  b.run();
  EXPECT_EQ(b.agents.at("a3").state, Isolation::released);
  EXPECT_EQ(b.agents.at("a1").state, Isolation::released);
  EXPECT_EQ(b.ask("SELECT state FROM actions WHERE rule_id = 'r1'"), "queued");
  b.clock.advance_ms(60'000);
  b.run();
  EXPECT_EQ(b.agents.at("a1").state, Isolation::isolated);
}

// An event tells of our own doing only by the id of an action that this record gave to that endpoint, and lately.
TEST(Loop, AMadeUpActionIdSparesNobody) {
  StoreBench b;
  for (int i = 0; i < 400; ++i) b.enroll("h" + std::to_string(i));
  const RuleMetaPtr rule = make_rule("r");
  const std::string on_h1 = b.keep(rule, "h1");
  b.run();
  ASSERT_EQ(b.state(on_h1), "verified/");
  const auto told = [&](const std::string& host, const std::string& id) {
    Alert a = b.alert(make_rule("other"), host);
    a.told_actions = {id};
    return b.keep({a}).at(0);
  };
  EXPECT_EQ(b.said(told("h2", "0123456789abcdef")), "would_act/") << "made up";
  EXPECT_EQ(b.ask("SELECT count(*) FROM verdicts WHERE detail LIKE '%names action 0123456789ab...%none of this%'"), "1")
      << "and said so";
  EXPECT_EQ(b.said(told("h3", on_h1)), "would_act/") << "another endpoint's";
  EXPECT_EQ(b.said(told("h4", "")), "would_act/");
}

TEST(Loop, AnActionOfOursIsKnownAsLongAsItsEventsMayCome) {
  StoreBench b;
  for (int i = 0; i < 400; ++i) b.enroll("h" + std::to_string(i));
  const std::string id = b.keep(make_rule("r"), "h1");
  b.run();
  const auto told = [&] {
    Alert a = b.alert(make_rule("other", Severity::critical), "h1");
    a.told_actions = {"made up", id};
    return b.said(b.keep({a}).at(0));
  };
  ASSERT_EQ(b.ask_for(Verb::release, "h1").state, ActionState::requested);
  b.run();
  b.clock.advance_ms(30 * 60'000);
  EXPECT_EQ(told(), "blocked/loop");
  b.clock.advance_ms(3 * 3'600'000);
  EXPECT_EQ(told(), "would_act/") << "a host that was isolated once can't stay unharmed by it";
}

TEST(DuplicateIdentity, NothingIsolatesItAndEverythingReleasesIt) {
  StoreBench b;
  for (int i = 0; i < 10; ++i) b.enroll("h" + std::to_string(i));
  const std::string before = b.keep(make_rule("r"), "h1");
  ASSERT_TRUE(b.store->contest("h1", "two machines"));
  b.run();
  EXPECT_EQ(b.state(before), "blocked/unknown_target") << "the last look";
  const std::string after = b.keep(make_rule("r2"), "h1");
  EXPECT_EQ(b.said(after), "blocked/unknown_target");
  EXPECT_NE(b.ask("SELECT detail FROM verdicts WHERE action_id = '" + after + "'").find("duplicate_identity"),
            std::string::npos);
  EXPECT_EQ(b.ask_for(Verb::isolate, "h1").guard, "unknown_target") << "a person's too";
  const auto release = b.ask_for(Verb::release, "h1");
  b.run();
  EXPECT_EQ(b.state(release.action_id), "verified/");
  EXPECT_TRUE(b.store->decide_enrollment("h1", true, "user:jo", "the copy is gone"));
  b.clock.advance_ms(2 * 3'600'000);
  EXPECT_EQ(b.said(b.keep(make_rule("r3"), "h1")), "would_act/");
}

TEST(Stuck, IsKeptAndToldOnce) {
  StoreBench b;
  b.enroll("h1");
  const std::string id = b.keep(make_rule("r"), "h1");
  const auto heartbeat = [&] { return b.core->step({b.agents.at("h1").heartbeat()}); };
  for (int i = 0; i < 120; ++i) {  // 20 minutes of an agent that takes everything and does nothing
    ASSERT_TRUE(heartbeat());
    b.clock.advance_ms(10'000);
  }
  EXPECT_EQ(b.ask("SELECT count(*) FROM audit WHERE what = 'stuck' AND ref = '" + id + "'"), "1");
  b.open();
  for (int i = 0; i < 120; ++i) {
    ASSERT_TRUE(heartbeat());
    b.clock.advance_ms(10'000);
  }
  EXPECT_EQ(b.ask("SELECT count(*) FROM audit WHERE what = 'stuck'"), "1") << "nor again after a restart";
  EXPECT_NE(b.metrics.expose().find("\nfirebreak_actions_stuck 1\n"), std::string::npos);
  b.plugin.sent.clear();
  b.clock.advance_ms(600'000);
  ASSERT_TRUE(heartbeat());
  b.run();
  EXPECT_EQ(b.state(id), "verified/") << "it may still come to a good end";
  b.clock.advance_ms(10'000);
  ASSERT_TRUE(heartbeat());
  EXPECT_NE(b.metrics.expose().find("\nfirebreak_actions_stuck 0\n"), std::string::npos);
}

}  // namespace
}  // namespace fb
