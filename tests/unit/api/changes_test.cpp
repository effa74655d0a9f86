// What the audit says of changes that did not go through whole.
#include "api/rules/desk.h"
#include "engine/pipeline/rule_book.h"
#include "tests/unit/api/api_support.h"

namespace fb::api::test {
namespace {

class Changes : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    RuleBookOptions options;
    options.allow_empty = true;
    book_ = std::make_unique<RuleBook>(options);
    desk_ = std::make_unique<RuleDesk>(*store_, *book_, clock_);
    ASSERT_TRUE(desk_->load());
    Parts all = parts();
    all.rules = desk_.get();
    make(all);
    add_user("ada", {Role::admin});
    key_ = add_key("ada");
  }
  net::Response post(const std::string& target, const Json& body) {
    return ask(with(request("POST", target, body.dump()), "authorization", key_));
  }

  std::unique_ptr<RuleBook> book_;
  std::unique_ptr<RuleDesk> desk_;
  std::string key_;
};

TEST_F(Changes, APartOfABulkChangeIsAuditedThoughTheAnswerIs500) {
  const Json rule{{"rule_id", "a"},     {"name", "a"},     {"description", "d"},        {"risk_score", 50},
                  {"severity", "high"}, {"type", "query"}, {"query", "process.name: a"}};
  const net::Response made = post("/api/detection_engine/rules", rule);
  ASSERT_EQ(made.status, 200) << made.body;
  const std::string id = Json::parse(made.body)["id"];
  const net::Response part = post("/api/detection_engine/rules/_bulk_action",
                                  {{"action", "delete"}, {"ids", {id, "gone"}}, {"comment", "it misfires"}});
  EXPECT_EQ(part.status, 500);
  EXPECT_EQ(audited("rule_deleted"), 1) << "it was done";
  EXPECT_EQ(audited("api_request"), 2);
  const std::string last = ask("SELECT ref || ' ' || detail FROM audit WHERE what = 'api_request' ORDER BY seq DESC");
  EXPECT_TRUE(last.starts_with("POST /api/detection_engine/rules/_bulk_action 500, key ")) << last;
  EXPECT_NE(last.find("it misfires"), std::string::npos) << last;
  // What is not built changes nothing, nor does a request that is wrong.
  post("/api/endpoint/action/kill_process", Json::object());
  post("/api/detection_engine/rules", Json::object());
  EXPECT_EQ(audited("api_request"), 2);
}

}  // namespace
}  // namespace fb::api::test
