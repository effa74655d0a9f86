// Which rows of the audit people are told of, and that they are told at least once, whatever becomes of a sink.
#include "actions/notify/notifier.h"

#include <gtest/gtest.h>

#include "actions/notify/translate.h"
#include "engine/base/json.h"
#include "tests/unit/notify/fakes.h"

namespace fb::notify {
namespace {

using test::eventually;
using test::FakeTrail;
using test::Inbox;
using test::Record;
using test::ScriptedSink;

Result<std::optional<Notification>> told(Record& r, const std::string& what, const std::string& ref,
                                         const std::string& detail = "") {
  FakeTrail trail(r);
  return translate({7, "2026-11-21T20:14:34.123Z", "key:ada", what, ref, detail}, trail);
}

class Translate : public testing::Test {
 protected:
  Translate() {
    r.endpoints["a1"] = {"a1", "web-1", "isolated", "isolated"};
    r.endpoints["a2"] = {"a2", "web-2", "released", "released"};
    r.actions["waits"] = {"a1", "isolate", "office", "why", "rule:office", "awaiting_approval", "fleet_breaker", "d"};
    r.actions["would"] = {"a1", "isolate", "office", "why", "rule:office", "would_act", "", ""};
    r.actions["manual"] = {"a1", "isolate", "", "why", "key:ada", "would_act", "", ""};
    r.actions["dry"] = {"a1", "isolate", "office", "why", "rule:office", "dry_run", "mode", ""};
  }
  std::string kind(const std::string& what, const std::string& ref) {
    const auto n = told(r, what, ref, "detail");
    return n && *n ? (*n)->kind : "";
  }
  Record r;
};

TEST_F(Translate, each_row_that_people_want_to_know_of_has_its_kind) {
  EXPECT_EQ(kind("judged", "waits"), "action_awaiting_approval");
  EXPECT_EQ(kind("judged", "would"), "action_requested");
  EXPECT_EQ(kind("judged", "manual"), "");  // who asked knows
  EXPECT_EQ(kind("judged", "dry"), "");
  EXPECT_EQ(kind("judged", "joined-another"), "");
  for (const char* state : {"verified", "failed", "expired", "superseded", "denied", "blocked"}) {
    EXPECT_EQ(kind(state, "would"), std::string("action_") + state);
  }
  EXPECT_EQ(kind("dispatched", "would"), "");
  EXPECT_EQ(kind("drifted", "a1"), "endpoint_drifted");
  EXPECT_EQ(kind("offline", "a1"), "endpoint_offline");
  EXPECT_EQ(kind("offline", "a2"), "");  // not isolated: no news
  EXPECT_EQ(kind("released_locally", "a1"), "local_release");
  EXPECT_EQ(kind("local_release_unproven", "a1"), "local_release_unproven");
  EXPECT_EQ(kind("break_glass_issued", "a1"), "break_glass_issued");
  EXPECT_EQ(kind("kill_switch_on", ""), "kill_switch_on");
  EXPECT_EQ(kind("rule_tripped", "office"), "breaker_tripped");
  EXPECT_EQ(kind("fleet_reset", "fleet"), "breaker_reset");
  EXPECT_EQ(kind("isolation_standing", "a1"), "isolation_standing");
  EXPECT_EQ(kind("rules_loaded", "h"), "");
}

TEST_F(Translate, a_notification_says_who_what_where_and_why) {
  const auto n = told(r, "judged", "waits", "isolate a1: ...");
  ASSERT_TRUE(n && *n);
  EXPECT_EQ((*n)->text, "web-1: isolate waits for approval (fleet_breaker), rule office: why [d], by key:ada");
  const auto json = nlohmann::json::parse(json_body(**n));
  const nlohmann::json wanted{{"id", "7"},
                              {"kind", "action_awaiting_approval"},
                              {"severity", "high"},
                              {"time", "2026-11-21T20:14:34.123Z"},
                              {"endpoint_id", "a1"},
                              {"hostname", "web-1"},
                              {"action_id", "waits"},
                              {"command", "isolate"},
                              {"rule_id", "office"},
                              {"comment", "why"},
                              {"who", "key:ada"},
                              {"verdict", "awaiting_approval"},
                              {"guard", "fleet_breaker"},
                              {"detail", "d"},
                              {"text", (*n)->text}};
  EXPECT_EQ(json, wanted);
}

TEST_F(Translate, the_line_holds_no_control_character_and_stays_short) {
  r.actions["evil"] = {"a1", "isolate", "o", "x\r\nBcc: y\x1b]0;t\x07\u202E" + std::string(9000, 'z'),
                       "r",  "blocked", "",  ""};
  const auto n = told(r, "judged", "evil");
  ASSERT_TRUE(n && *n);
  for (const char c : (*n)->text) EXPECT_FALSE(c >= 0 && c < 0x20);
  EXPECT_EQ((*n)->text.find("\u202E"), std::string::npos);
  EXPECT_LT((*n)->text.size(), 1100u);
}

class Notifying : public testing::Test {
 protected:
  std::shared_ptr<Inbox> add(const std::string& name, std::vector<std::string> kinds = {}, Level least = Level::low) {
    auto inbox = std::make_shared<Inbox>();
    sinks.push_back({name, std::make_unique<ScriptedSink>(inbox), std::move(kinds), least});
    return inbox;
  }
  void start(NotifierOptions options = {}) {
    notifier = std::make_unique<Notifier>(
        std::move(sinks), [this] { return std::make_unique<FakeTrail>(r); }, clock, metrics, options);
    sinks.clear();
  }
  bool wait(const std::function<bool()>& done, int64_t step_ms = 20) { return eventually(clock, done, step_ms); }
  // A sink's cursor is set before a test adds rows: what is there before is old.
  void begun(const std::string& name) {
    ASSERT_TRUE(wait([&] { return r.cursor("notify/" + name) >= 0; }));
  }
  static std::vector<std::string> kinds_of(Inbox& inbox) {
    std::vector<std::string> out;
    for (const Notification& n : inbox.all()) out.push_back(n.kind);
    return out;
  }

  Record r;
  fb::test::FakeClock clock;
  Metrics metrics;
  std::vector<Subscription> sinks;
  std::unique_ptr<Notifier> notifier;
};

TEST_F(Notifying, a_new_sink_begins_with_what_happens_from_now) {
  r.add("kill_switch_on", "");
  const auto inbox = add("a");
  start();
  begun("a");
  r.add("kill_switch_off", "");
  ASSERT_TRUE(wait([&] { return inbox->count() == 1; }));
  EXPECT_EQ(kinds_of(*inbox), std::vector<std::string>{"kill_switch_off"});
}

TEST_F(Notifying, filters_by_kind_and_severity) {
  const auto some = add("some", {"kill_switch_on"});
  const auto grave = add("grave", {}, Level::critical);
  const auto all = add("all");
  start();
  for (const char* name : {"some", "grave", "all"}) begun(name);
  r.add("kill_switch_on", "");
  r.add("kill_switch_off", "");
  r.add("drifted", "a1");
  ASSERT_TRUE(wait([&] { return all->count() == 3 && some->count() == 1 && grave->count() == 2; }));
  EXPECT_EQ(kinds_of(*grave), (std::vector<std::string>{"kill_switch_on", "endpoint_drifted"}));
}

TEST_F(Notifying, a_dead_sink_holds_up_no_other_and_gets_everything_when_it_is_back) {
  const auto dead = add("dead");
  dead->answer = [](const Notification&) -> Status { return fail(ErrorCode::unavailable, "down", "", Retry::yes); };
  const auto good = add("good");
  start();
  begun("dead");
  begun("good");
  for (int i = 0; i < 5; ++i) r.add("drifted", "a" + std::to_string(i));
  ASSERT_TRUE(wait([&] { return good->count() == 5; }));
  EXPECT_EQ(dead->count(), 0u);
  ASSERT_TRUE(wait([&] { return dead->tried() >= 4; }, 200));
  EXPECT_LT(dead->tried(), 40);  // it backs off
  EXPECT_EQ(r.cursor("notify/dead"), 0);
  {
    const std::lock_guard lock(dead->mutex);
    dead->answer = nullptr;
  }
  ASSERT_TRUE(wait([&] { return dead->count() == 5; }, 2000));
  const std::string shown = metrics.expose();
  EXPECT_NE(shown.find("firebreak_notifications_sent_total{sink=\"dead\"} 5"), std::string::npos) << shown;
  EXPECT_NE(shown.find("firebreak_notifications_failed_total{sink=\"dead\"}"), std::string::npos);
  EXPECT_NE(shown.find("firebreak_notifications_waiting{sink=\"good\"} 0"), std::string::npos);
}

TEST_F(Notifying, what_was_not_sent_is_sent_after_a_restart) {
  auto inbox = add("a");
  start();
  begun("a");
  r.add("drifted", "one");
  ASSERT_TRUE(wait([&] { return inbox->count() == 1 && r.cursor("notify/a") == 1; }));
  {
    const std::lock_guard lock(inbox->mutex);
    inbox->answer = [](const Notification&) -> Status { return fail(ErrorCode::timeout, "slow", "", Retry::yes); };
  }
  r.add("drifted", "two");
  ASSERT_TRUE(wait([&] { return inbox->tried() >= 2; }, 200));
  notifier->stop();
  EXPECT_EQ(r.cursor("notify/a"), 1);
  r.add("drifted", "three");  // while it is down
  inbox = add("a");
  start();
  ASSERT_TRUE(wait([&] { return inbox->count() == 2; }));
  EXPECT_EQ(inbox->all()[0].endpoint_id, "two");
  EXPECT_EQ(inbox->all()[1].endpoint_id, "three");
}

TEST_F(Notifying, one_that_is_refused_for_good_is_given_up_and_the_next_goes_through) {
  const auto inbox = add("a");
  inbox->answer = [](const Notification& n) -> Status {
    if (n.endpoint_id == "poison") return fail(ErrorCode::refused, "413");
    return {};
  };
  start();
  begun("a");
  r.add("drifted", "poison");
  r.add("drifted", "good");
  ASSERT_TRUE(wait([&] { return inbox->count() == 1; }, 500));
  EXPECT_EQ(inbox->all()[0].endpoint_id, "good");
  EXPECT_EQ(inbox->tried(), 6);
  EXPECT_NE(metrics.expose().find("firebreak_notifications_dropped_total{sink=\"a\"} 1"), std::string::npos);
}

TEST_F(Notifying, an_unreachable_sink_is_tried_for_a_day_and_no_longer) {
  const auto inbox = add("a");
  inbox->answer = [](const Notification&) -> Status { return fail(ErrorCode::unavailable, "down", "", Retry::yes); };
  start();
  begun("a");
  r.add("drifted", "a1");
  ASSERT_TRUE(wait([&] { return r.cursor("notify/a") == 1; }, 60'000));
  EXPECT_NE(metrics.expose().find("firebreak_notifications_dropped_total{sink=\"a\"} 1"), std::string::npos);
}

TEST_F(Notifying, five_hundred_in_a_minute_come_as_a_few_and_a_digest) {
  const auto inbox = add("a");
  NotifierOptions options;
  options.max_per_minute = 10;
  start(options);
  begun("a");
  for (int i = 0; i < 500; ++i) r.add("drifted", "e" + std::to_string(i));
  r.add("fleet_tripped", "fleet", "too many");
  ASSERT_TRUE(wait([&] { return inbox->count() == 11; }, 1));
  EXPECT_EQ(inbox->all().back().kind, "breaker_tripped");  // never folded away
  EXPECT_EQ(r.cursor("notify/a"), 10);                     // the digest is not sent yet
  ASSERT_TRUE(wait([&] { return inbox->count() == 12; }, 1000));
  const Notification digest = inbox->all().back();
  EXPECT_EQ(digest.kind, "digest");
  EXPECT_EQ(digest.level, Level::critical);
  EXPECT_EQ(digest.counts, (std::map<std::string, int64_t>{{"endpoint_drifted", 490}}));
  EXPECT_EQ(digest.samples.size(), 10u);
  EXPECT_EQ(digest.id, "11-500");
  ASSERT_TRUE(wait([&] { return r.cursor("notify/a") == 501; }, 100));
  r.add("drifted", "later");
  ASSERT_TRUE(wait([&] { return inbox->count() == 13; }));
}

TEST_F(Notifying, a_record_that_cannot_be_read_for_a_while_loses_nothing) {
  const auto inbox = add("a");
  start();
  begun("a");
  {
    const std::lock_guard lock(r.mutex);
    r.failing_reads = 5;
  }
  r.add("drifted", "a1");
  EXPECT_TRUE(wait([&] { return inbox->count() == 1; }, 200));
}

TEST_F(Notifying, stopping_is_quick_while_a_sink_backs_off) {
  const auto inbox = add("a");
  inbox->answer = [](const Notification&) -> Status { return fail(ErrorCode::unavailable, "down", "", Retry::yes); };
  start();
  begun("a");
  r.add("drifted", "a1");
  ASSERT_TRUE(wait([&] { return inbox->tried() >= 1; }));
  const auto before = std::chrono::steady_clock::now();
  notifier->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(1));
}

TEST_F(Notifying, an_isolation_that_stands_is_reminded_of_each_period) {
  constexpr int64_t kDay = 24 * 3'600'000ll;
  FakeTrail trail(r);
  const int64_t isolated = clock.wall_ms();
  r.standing = {{"a1", "web-1", isolated}};
  EXPECT_EQ(*note_standing_isolations(trail, isolated + kDay - 1, kDay), 0);
  EXPECT_EQ(*note_standing_isolations(trail, isolated + kDay, kDay), 1);
  EXPECT_EQ(*note_standing_isolations(trail, isolated + kDay + 60'000, kDay), 0);
  EXPECT_EQ(*note_standing_isolations(trail, isolated + 2 * kDay, kDay), 1);
  EXPECT_EQ(r.rows.back().detail, "isolated for 48 h");
  // Released and isolated anew: the day begins again.
  r.standing = {{"a1", "web-1", isolated + 2 * kDay + 5}};
  EXPECT_EQ(*note_standing_isolations(trail, isolated + 3 * kDay, kDay), 0);
  EXPECT_EQ(*note_standing_isolations(trail, isolated + 3 * kDay + 5, kDay), 1);
  EXPECT_EQ(r.rows.size(), 3u);
}

TEST_F(Notifying, the_reminder_reaches_the_sinks) {
  r.endpoints["a1"] = {"a1", "web-1", "isolated", "isolated"};
  r.standing = {{"a1", "web-1", clock.wall_ms()}};
  const auto inbox = add("a", {"isolation_standing"});
  NotifierOptions options;
  options.reminder_ms = 3'600'000;
  start(options);
  begun("a");
  ASSERT_TRUE(wait([&] { return inbox->count() == 1; }, 10'000));
  EXPECT_EQ(inbox->all()[0].text, "web-1: still isolated [isolated for 1 h], by notifier");
}

}  // namespace
}  // namespace fb::notify
