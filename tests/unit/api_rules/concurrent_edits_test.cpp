// Edits that come at once: none undoes another that it did not see.
#include <atomic>
#include <thread>

#include "tests/unit/api_rules/rules_fixture.h"

namespace fb::api {
namespace {

class ConcurrentEdits : public RulesApi {
 protected:
  void SetUp() override {
    RulesApi::SetUp();
    Json body = rule("a");
    body["enabled"] = true;
    ASSERT_EQ(call("POST", kRules, body).status, 200);
  }
  std::string id() { return desk_->by_rule_id("a")->id; }
  Json now() { return parse_ordered_json(desk_->by_rule_id("a")->doc); }
};

TEST_F(ConcurrentEdits, AChangeIsMadeOfTheRuleAsItStandsThen) {
  const RuleViewPtr stale = desk_->by_rule_id("a");
  ASSERT_TRUE(desk_->patch(R"({"rule_id":"a","enabled":false})", RuleAuthor::trusted("user:bob")));
  int called = 0;
  const auto rename = [&](const RuleView& standing) -> RuleResult<std::string> {
    ++called;
    Json doc = parse_ordered_json(standing.doc);
    EXPECT_EQ(doc["enabled"], false);
    doc["name"] = "renamed";
    return doc.dump();
  };
  const auto made = desk_->apply({{stale, "edited", "", "", rename}}, RuleAuthor::trusted("user:ada")).front();
  ASSERT_TRUE(made) << made.error().messages.front();
  EXPECT_EQ(called, 1);
  EXPECT_EQ(now()["enabled"], false) << "switched off stays switched off";
  EXPECT_EQ(now()["name"], "renamed");
  const auto refuse_it = [](const RuleView&) -> RuleResult<std::string> {
    return tl::unexpected(refuse(409, "not this one"));
  };
  const auto refused = desk_->apply({{stale, "edited", "", "", refuse_it}}, RuleAuthor::trusted("user:ada")).front();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 409);
  EXPECT_EQ(now()["name"], "renamed");
}

// Somebody switches it off while another one's whole new rule is on its way: that one says nothing of "enabled".
TEST_F(ConcurrentEdits, APutWithoutEnabledSwitchesNothing) {
  for (int round = 0; round < 20; ++round) {
    const bool on = round % 2 == 0;
    ASSERT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"enabled", !on}}).status, 200);
    Json whole = rule("a");
    whole["name"] = "round " + std::to_string(round);
    std::atomic<int> ready = 0;
    const auto together = [&ready] {
      ++ready;
      while (ready < 2) std::this_thread::yield();
    };
    std::thread put([&] {
      together();
      EXPECT_EQ(call("PUT", kRules, whole).status, 200);
    });
    std::thread other([&] {
      together();
      EXPECT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"enabled", on}}).status, 200);
    });
    put.join();
    other.join();
    EXPECT_EQ(now()["enabled"], on);
    EXPECT_EQ(now()["name"], whole["name"]);
  }
}

// Bulk edits, a PATCH, and somebody who switches the rule off.
TEST_F(ConcurrentEdits, OfManyPeopleAllCount) {
  constexpr int kTags = 6;
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"enabled", true}, {"tags", Json::array()}}).status, 200);
    std::atomic<int> ready = 0;
    std::vector<std::thread> all;
    const auto start = [&](std::function<void()> work) {
      all.emplace_back([&ready, work = std::move(work)] {
        ++ready;
        while (ready < kTags + 2) std::this_thread::yield();
        work();
      });
    };
    for (int i = 0; i < kTags; ++i) {
      start([this, i] {
        const Json edit = Json::array({Json{{"type", "add_tags"}, {"value", Json::array({"t" + std::to_string(i)})}}});
        const Json body{{"action", "edit"}, {"ids", Json::array({id()})}, {"edit", edit}};
        EXPECT_EQ(call("POST", std::string(kRules) + "/_bulk_action", body).status, 200);
      });
    }
    start([this] {
      const Json off{{"action", "disable"}, {"ids", Json::array({id()})}};
      EXPECT_EQ(call("POST", std::string(kRules) + "/_bulk_action", off).status, 200);
    });
    start([this, round] {
      EXPECT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"risk_score", 60 + round}}).status, 200);
    });
    for (std::thread& t : all) t.join();
    EXPECT_EQ(now()["tags"].size(), static_cast<size_t>(kTags)) << now()["tags"];
    EXPECT_EQ(now()["enabled"], false);
    EXPECT_EQ(now()["risk_score"], 60 + round);
  }
}

}  // namespace
}  // namespace fb::api
