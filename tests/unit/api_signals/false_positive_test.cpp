// From an alert that was none to an exception of its rule.
#include <fstream>

#include "api/exceptions/objects.h"
#include "api/exceptions/rule_item.h"
#include "api/rules/desk.h"
#include "tests/unit/api_signals/signals_fixture.h"

namespace fb::api {
namespace {

class FalsePositive : public SignalsApi {
 protected:
  void SetUp() override {
    SignalsApi::SetUp();
    std::filesystem::create_directories(dir_.path() + "/rules");
    std::ofstream(dir_.path() + "/rules/odd.yml") << R"(rule_id: odd
name: Odd
description: d
risk_score: 21
severity: low
type: query
query: 'process.name: bash'
)";
    RuleBookOptions options;
    options.paths = {dir_.path() + "/rules"};
    options.lists = [this, read = record_lists(*store_)](const ListReference& list) -> Result<ListContent> {
      if (failing_) return fail(ErrorCode::busy, "the record is locked");
      return read(list);
    };
    book_ = std::make_unique<RuleBook>(options);
    ASSERT_TRUE(book_->reload().swapped);
    rules_ = std::make_unique<RuleDesk>(*store_, *book_, clock_);
    ASSERT_TRUE(rules_->load());
    desk_ = rules_.get();
    const auto made = rules_->create(
        R"({"rule_id":"even","name":"Even","description":"d","risk_score":1,"severity":"low","type":"query",)"
        R"("query":"process.name: *","enabled":true})",
        RuleAuthor::trusted("user:ada"));
    ASSERT_TRUE(made) << made.error().messages.front();
  }
  net::Response mark(size_t i, const Json& body = Json()) {
    return call("POST", "/api/firebreak/alerts/" + ids_[i] + "/false_positive", body);
  }
  void add_shared_list(const std::string& list_id) {
    ListSent sent;
    sent.list_id = list_id;
    sent.name = "n";
    sent.description = "d";
    sent.type = "detection";
    ASSERT_TRUE(store_->exceptions().add_list(new_list(sent, "ada", clock_.wall_ms()), "user:ada"));
  }
  // The rule "even" names this list, and no other.
  void name_list(const std::string& list_id, const std::string& type, const std::string& name_space) {
    const Json list{{"id", "x"}, {"list_id", list_id}, {"type", type}, {"namespace_type", name_space}};
    const auto patched = rules_->patch(Json{{"rule_id", "even"}, {"exceptions_list", Json::array({list})}}.dump(),
                                       RuleAuthor::trusted("user:ada"));
    ASSERT_TRUE(patched) << patched.error().messages.front();
  }
  static Json parsed(const net::Response& r) { return Json::parse(r.body); }
  std::string status(size_t i) {
    return search(R"({"query":{"ids":{"values":[")" + ids_[i] +
                  R"("]}}})")["hits"]["hits"][0]["_source"]["kibana.alert.workflow_status"];
  }
  bool failing_ = false;
  std::unique_ptr<RuleBook> book_;
  std::unique_ptr<RuleDesk> rules_;
};

TEST_F(FalsePositive, ClosesTheAlertAndDraftsWhatNobodyHasToTake) {
  const Json draft = parsed(mark(0));
  EXPECT_EQ(draft["draft"], true);
  EXPECT_EQ(draft["workflow_status"], "closed");
  EXPECT_EQ(draft["list_exists"], false);
  EXPECT_EQ(draft["exception_item"]["list_id"], "even-exceptions");
  EXPECT_EQ(draft["exception_item"]["entries"][0]["field"], "process.executable");
  EXPECT_EQ(draft["exception_item"]["entries"][0]["value"], "/bin/x");
  EXPECT_EQ(status(0), "closed");
  EXPECT_EQ(ask("SELECT reason FROM alert_workflow WHERE alert_id = '" + ids_[0] + "'"), "false_positive");
  EXPECT_TRUE(store_->exceptions().lists(false).value().empty()) << "a draft is not kept";
  EXPECT_EQ(parsed(mark(2, {{"close", false}}))["workflow_status"], "open");
  EXPECT_EQ(status(2), "open");
}

TEST_F(FalsePositive, TheExceptionIsMadeAndTheRuleRunsWithIt) {
  const std::string before = book_->current()->hash();
  const net::Response done = mark(0, {{"create_exception", true}, {"comment", "known <b>tool</b>"}});
  ASSERT_EQ(done.status, 200) << done.body;
  const Json made = parsed(done);
  EXPECT_EQ(made["draft"], false);
  EXPECT_EQ(made["exception_item"]["created_by"], "ada");
  EXPECT_EQ(made["exception_item"]["comments"][0]["comment"], "known <b>tool</b>");
  const auto lists = RuleDesk::exception_lists_of(rules_->by_rule_id("even")->doc);
  ASSERT_EQ(lists.size(), 1u) << "the rule names the list now";
  EXPECT_EQ(lists[0].list_id, "even-exceptions");
  EXPECT_EQ(lists[0].type, "rule_default");
  EXPECT_EQ(store_->exceptions().items(false, "even-exceptions").value().size(), 1u);
  EXPECT_NE(book_->current()->hash(), before) << "the rules in force have the exception";
  EXPECT_EQ(count("SELECT count(*) FROM api_rule_versions WHERE rule_id = 'even' AND what = 'excepted'"), 1);
  // The second one goes into the same list, with the entries that the caller chose.
  const Json entries = Json::parse(R"([{"field":"user.name","operator":"included","type":"match","value":"'; --"}])");
  const net::Response second = mark(2, {{"create_exception", true}, {"entries", entries}});
  ASSERT_EQ(second.status, 200) << second.body;
  EXPECT_EQ(parsed(second)["exception_item"]["entries"], entries);
  EXPECT_EQ(store_->exceptions().items(false, "even-exceptions").value().size(), 2u);
}

TEST_F(FalsePositive, AListThatRulesShareTakesItOnlyWhenItIsNamed) {
  add_shared_list("shared");
  name_list("shared", "detection", "single");
  EXPECT_EQ(parsed(mark(0, {{"close", false}}))["exception_item"]["list_id"], "even-exceptions");
  const net::Response own = mark(0, {{"create_exception", true}});
  ASSERT_EQ(own.status, 200) << own.body;
  EXPECT_EQ(parsed(own)["exception_item"]["list_id"], "even-exceptions");
  EXPECT_TRUE(store_->exceptions().items(false, "shared").value().empty()) << "other rules go on finding it";
  EXPECT_EQ(RuleDesk::exception_lists_of(rules_->by_rule_id("even")->doc).size(), 2u);
  EXPECT_EQ(mark(2, {{"create_exception", true}, {"list_id", "another"}}).status, 404);
  const net::Response named = mark(2, {{"create_exception", true}, {"list_id", "shared"}});
  ASSERT_EQ(named.status, 200) << named.body;
  EXPECT_EQ(parsed(named)["exception_item"]["list_id"], "shared");
  EXPECT_EQ(store_->exceptions().items(false, "shared").value().size(), 1u);
}

// Somebody's list that has the name by chance.
TEST_F(FalsePositive, AListOfTheSameNameIsNotTakenForTheRulesOwn) {
  add_shared_list("even-exceptions");
  ASSERT_EQ(mark(0, {{"create_exception", true}}).status, 200);
  EXPECT_TRUE(store_->exceptions().items(false, "even-exceptions").value().empty());
  const auto lists = RuleDesk::exception_lists_of(rules_->by_rule_id("even")->doc);
  ASSERT_EQ(lists.size(), 1u);
  EXPECT_EQ(store_->exceptions().items(false, lists[0].list_id).value().size(), 1u);
}

// A rule may call a list its own that was made for several.
TEST_F(FalsePositive, AListIsARulesOwnOnlyWhenItWasMadeAsThat) {
  add_shared_list("shared");
  name_list("shared", "rule_default", "single");
  EXPECT_EQ(parsed(mark(0, {{"close", false}}))["exception_item"]["list_id"], "even-exceptions");
  ASSERT_EQ(mark(0, {{"create_exception", true}}).status, 200);
  EXPECT_TRUE(store_->exceptions().items(false, "shared").value().empty()) << "other rules go on finding it";
  const auto lists = RuleDesk::exception_lists_of(rules_->by_rule_id("even")->doc);
  ASSERT_EQ(lists.size(), 2u) << "the shared one excepts as before";
  EXPECT_EQ(lists[0].list_id, "shared");
  EXPECT_EQ(lists[0].type, "detection");
  EXPECT_EQ(lists[1].list_id, "even-exceptions");
  EXPECT_EQ(lists[1].type, "rule_default");
}

TEST_F(FalsePositive, ARuleThatNamesTheListOfIsolationOpensNothing) {
  name_list("endpoint_host_isolation_exceptions", "detection", "agnostic");
  const Json entries =
      Json::parse(R"([{"field":"destination.ip","operator":"included","type":"match","value":"0.0.0.0/0"}])");
  const net::Response done = mark(0, {{"create_exception", true}, {"entries", entries}});
  ASSERT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(parsed(done)["exception_item"]["list_id"], "even-exceptions");
  EXPECT_TRUE(store_->exceptions().open_addresses().value().empty());
}

// What is asked besides is done, too: nobody asks for it again, since the exception is there.
TEST_F(FalsePositive, AnExceptionThatIsKeptClosesTheAlertThoughRulesCantTakeItYet) {
  failing_ = true;
  const net::Response none = mark(0, {{"create_exception", true}});
  EXPECT_NE(none.status, 200) << none.body;
  EXPECT_TRUE(store_->exceptions().lists(false).value().empty()) << "the rule can't be run with a list of its own";
  EXPECT_EQ(status(0), "open") << "nothing of it is kept";
  failing_ = false;
  ASSERT_EQ(mark(0, {{"create_exception", true}}).status, 200);
  failing_ = true;
  const net::Response kept = mark(2, {{"create_exception", true}});
  EXPECT_EQ(kept.status, 503) << kept.body;
  EXPECT_NE(kept.body.find("the change is kept"), std::string::npos) << kept.body;
  EXPECT_EQ(store_->exceptions().items(false, "even-exceptions").value().size(), 2u);
  EXPECT_EQ(status(2), "closed");
  EXPECT_EQ(mark(4, {{"create_exception", true}, {"close", false}}).status, 503);
  EXPECT_EQ(status(4), "open");
  // The same of a list that the request names.
  const net::Response named = mark(6, {{"create_exception", true}, {"list_id", "even-exceptions"}});
  EXPECT_EQ(named.status, 503) << named.body;
  EXPECT_EQ(status(6), "closed");
  failing_ = false;
  EXPECT_TRUE(rules_->lists_changed().swapped);
}

TEST_F(FalsePositive, WhatCantBeMadeChangesNothing) {
  EXPECT_EQ(mark(1, {{"create_exception", true}}).status, 409) << "a file's rule that names no list";
  EXPECT_EQ(mark(0, {{"create_exception", "yes"}}).status, 400);
  EXPECT_EQ(mark(0, {{"surprise", 1}}).status, 400);
  EXPECT_EQ(mark(0, {{"create_exception", true}, {"entries", Json::array()}}).status, 400);
  EXPECT_EQ(call("POST", "/api/firebreak/alerts/none/false_positive").status, 404);
  roles_ = {Role::analyst};
  EXPECT_EQ(mark(0, {{"create_exception", true}}).status, 403);
  EXPECT_EQ(status(0), "open");
  EXPECT_EQ(status(1), "open");
}

}  // namespace
}  // namespace fb::api
