// Rules whose exceptions can't be taken: no answer says that one runs while it does not, and it runs as soon as it can.
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "tests/support/fake_lists.h"
#include "tests/unit/api_rules/rules_fixture.h"

namespace fb::api {
namespace {

class LeftOut : public RulesApi {
 protected:
  void SetUp() override {
    RulesApi::SetUp();
    start();
  }
  std::vector<std::string> start() {
    RuleBookOptions options;
    options.allow_empty = true;
    options.lists = lists_.reader();
    book_ = std::make_unique<RuleBook>(options);
    desk_ = std::make_unique<RuleDesk>(*store_, *book_, clock_);
    return desk_->load().value();
  }
  static Json with_list(const std::string& id, const std::string& list, bool enabled = true) {
    Json body = rule(id);
    body["enabled"] = enabled;
    body["exceptions_list"] =
        Json::array({Json{{"id", "1"}, {"list_id", list}, {"type", "detection"}, {"namespace_type", "single"}}});
    return body;
  }
  bool alerts(const std::string& id, const std::string& user) {
    const std::string event = R"({"process":{"name":")" + id + R"(.exe"},"user":{"name":")" + user + "\"}}";
    for (const RuleInput& r : book_->current()->rules()) {
      if (r.meta->rule_id == id) return ir::matches(r.condition, *parse_json_tree(event), {clock_.wall_ms(), {}});
    }
    return false;
  }
  std::string status_of(const std::string& id) {
    const Json answer = parsed(call("GET", kRules, {}, {{"rule_id", id}}));
    return answer["execution_summary"]["last_execution"]["status"];
  }
  int64_t versions() { return count("SELECT count(*) FROM api_rule_versions"); }

  test::FakeLists lists_;
};

TEST_F(LeftOut, ARuleOfTheRecordRunsOnceItsListCanBeReadAgain) {
  lists_.excepts("mine", "svc");
  ASSERT_EQ(call("POST", kRules, with_list("a", "mine")).status, 200);
  EXPECT_EQ(status_of("a"), "running");
  lists_.fails("mine");
  EXPECT_TRUE(start().empty()) << "it is not broken, it waits";
  EXPECT_EQ(running(), 0u);
  EXPECT_EQ(status_of("a"), "failed");
  EXPECT_NE(book_->lists_problem().find("'a'"), std::string::npos) << book_->lists_problem();
  lists_.recovers("mine");
  EXPECT_TRUE(desk_->lists_changed().changed);
  EXPECT_TRUE(alerts("a", "anna"));
  EXPECT_FALSE(alerts("a", "svc"));
  EXPECT_EQ(status_of("a"), "running");
  EXPECT_EQ(book_->lists_problem(), "");
}

// Saving it as it is, or switching it on again, is a trial; 200 means that it runs.
TEST_F(LeftOut, AnEditThatChangesNothingTriesARuleThatDoesNotRun) {
  lists_.excepts("mine", "svc");
  ASSERT_EQ(call("POST", kRules, with_list("a", "mine")).status, 200);
  const std::string id = desk_->by_rule_id("a")->id;
  lists_.breaks("mine");
  start();
  ASSERT_EQ(running(), 0u);
  EXPECT_EQ(call("PUT", kRules, with_list("a", "mine")).status, 400);
  lists_.excepts("mine", "svc");
  lists_.fails("mine");
  EXPECT_EQ(call("PUT", kRules, with_list("a", "mine")).status, 503);
  const Json enable{{"action", "enable"}, {"ids", Json::array({id})}};
  const Json late = parsed(call("POST", std::string(kRules) + "/_bulk_action", enable));
  EXPECT_EQ(late["attributes"]["errors"][0]["status_code"], 503) << late;
  EXPECT_EQ(versions(), 1);
  lists_.recovers("mine");
  EXPECT_EQ(call("PUT", kRules, with_list("a", "mine")).status, 200);
  EXPECT_TRUE(alerts("a", "anna"));
  EXPECT_EQ(status_of("a"), "running");
}

TEST_F(LeftOut, ARuleRunsWithWhatTheCheckReadThoughTheListIsLockedThen) {
  lists_.excepts("mine", "svc");
  ASSERT_EQ(call("POST", kRules, with_list("a", "none")).status, 200);
  lists_.fails("mine", 1);
  EXPECT_EQ(call("PUT", kRules, with_list("a", "mine")).status, 200);
  EXPECT_TRUE(alerts("a", "anna"));
  EXPECT_FALSE(alerts("a", "svc"));
  EXPECT_NE(book_->lists_problem(), "") << "what may have changed since is told";
}

TEST_F(LeftOut, AListThatCantBeReadNowIsNoMistakeOfTheRule) {
  lists_.fails("mine");
  const net::Response late = call("POST", kRules, with_list("a", "mine"));
  EXPECT_EQ(late.status, 503) << late.body;
  EXPECT_NE(late.body.find("nothing is changed"), std::string::npos) << late.body;
  EXPECT_EQ(desk_->by_rule_id("a"), nullptr);
  const auto trial = desk_->compile(with_list("a", "mine").dump());
  ASSERT_FALSE(trial);
  EXPECT_EQ(trial.error().status, 503);
  lists_.recovers("mine");
  lists_.breaks("mine");
  EXPECT_EQ(call("POST", kRules, with_list("a", "mine")).status, 400);
}

// Who switches a rule off is not made to wait for what it would need to run.
TEST_F(LeftOut, ARuleThatWaitsCanBeSwitchedOff) {
  lists_.excepts("mine", "svc");
  ASSERT_EQ(call("POST", kRules, with_list("a", "mine")).status, 200);
  lists_.fails("mine");
  start();
  EXPECT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"enabled", false}}).status, 200);
  EXPECT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"enabled", true}}).status, 503);
  lists_.recovers("mine");
  desk_->lists_changed();
  EXPECT_EQ(running(), 0u) << "and it stays so";
  EXPECT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"enabled", true}}).status, 200);
  EXPECT_TRUE(alerts("a", "anna"));
}

}  // namespace
}  // namespace fb::api
