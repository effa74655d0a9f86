// A change that is kept while rules can't take it yet: the answer says so, and says it of nothing else.
#include "tests/unit/exceptions/in_force_fixture.h"

namespace fb::test {
namespace {

class KeptTest : public InForceTest {
 protected:
  void expect_kept(const Answer& a) {
    EXPECT_EQ(a.status, 503) << a.text;
    EXPECT_NE(a.text.find("the change is kept"), std::string::npos) << a.text;
  }
  // What could not be read can be, and the rules have it.
  void recover() {
    failing_ = false;
    EXPECT_TRUE(desk_->lists_changed().swapped);
  }
  bool has_item(const std::string& item_id, bool agnostic = false) {
    return store_->exceptions().item(agnostic, ExceptionStore::By::human_id, item_id).value().has_value();
  }
  static std::string multipart(const std::string& lines) {
    return "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"e.ndjson\"\r\n\r\n" + lines +
           "\r\n--B--\r\n";
  }
  Answer import(const std::string& path, const std::string& lines, const Query& query = {}) {
    return ask("POST", path, query, multipart(lines), "elastic", {{"content-type", "multipart/form-data; boundary=B"}});
  }
  static std::string list_line(const std::string& list_id) {
    return Json{
        {"list_id", list_id}, {"name", "n"}, {"description", "d"}, {"type", "detection"}, {"namespace_type", "single"}}
        .dump();
  }
  static std::string item_line(const std::string& user, const std::string& item_id, const std::string& list_id) {
    Json line = item(user, item_id, list_id);
    line["namespace_type"] = "single";
    return line.dump();
  }
};

constexpr const char* kMine = R"([{"id":"1","list_id":"mine","type":"detection","namespace_type":"single"}])";
constexpr const char* kMineAndOther = R"([{"id":"1","list_id":"mine","type":"detection","namespace_type":"single"},)"
                                      R"({"id":"2","list_id":"other","type":"detection","namespace_type":"single"}])";

// What it says is kept must be: the list that comes with the first item excepts nothing, and holds it up in no way.
TEST_F(KeptTest, AnItemOfTheEndpointListIsThereWhenItIsSaidToBe) {
  rule("r", R"([{"id":"1","list_id":"endpoint_list","type":"endpoint","namespace_type":"agnostic"}])");
  failing_ = true;
  expect_kept(ask("POST", "/api/endpoint_list/items", {}, item("svc", "one").dump()));
  EXPECT_TRUE(has_item("one", true));
  Json changed = item("anna", "one");
  expect_kept(ask("PUT", "/api/endpoint_list/items", {}, changed.dump()));
  EXPECT_TRUE(alerts("r", kAnna));
  recover();
  EXPECT_TRUE(alerts("r", kSvc));
  EXPECT_FALSE(alerts("r", kAnna));
  failing_ = true;
  expect_kept(ask("DELETE", "/api/endpoint_list/items", {{"item_id", "one"}}));
  EXPECT_FALSE(has_item("one", true));
}

TEST_F(KeptTest, AnEmptyListIsInForceAtOnce) {
  rule("r", kMine);
  rule("e", R"([{"id":"1","list_id":"endpoint_list","type":"endpoint","namespace_type":"agnostic"}])");
  failing_ = true;
  const Json body{{"name", "n"}, {"description", "d"}, {"type", "detection"}, {"list_id", "mine"}};
  const Answer made = ask("POST", "/api/exception_lists", {}, body.dump());
  EXPECT_EQ(made.status, 200) << made.text;
  const Answer endpoint = ask("POST", "/api/endpoint_list");
  EXPECT_EQ(endpoint.status, 200) << endpoint.text;
  expect_kept(add(item("svc", "one", "mine")));
  EXPECT_TRUE(has_item("one"));
}

TEST_F(KeptTest, AChangedItemIsKept) {
  list("mine");
  rule("r", kMine);
  ASSERT_EQ(add(item("svc", "one", "mine")).status, 200);
  failing_ = true;
  expect_kept(change(item("anna", "one", "mine")));
  EXPECT_FALSE(alerts("r", kSvc)) << "the old content stands";
  recover();
  EXPECT_TRUE(alerts("r", kSvc));
  EXPECT_FALSE(alerts("r", kAnna));
}

TEST_F(KeptTest, ARemovedListIsKept) {
  list("mine");
  rule("r", kMine);
  ASSERT_EQ(add(item("svc", "one", "mine")).status, 200);
  failing_ = true;
  expect_kept(ask("DELETE", "/api/exception_lists", {{"list_id", "mine"}}));
  EXPECT_FALSE(has_item("one"));
  recover();
  EXPECT_TRUE(alerts("r", kSvc));
}

TEST_F(KeptTest, ValuesAreKept) {
  list("mine");
  rule("r", kMine);
  ASSERT_EQ(ask("POST", "/api/lists", {}, R"({"id":"users","name":"n","description":"d","type":"keyword"})").status,
            200);
  Json by_list = item("", "one", "mine");
  by_list["entries"] = Json::parse(
      R"([{"field":"user.name","operator":"included","type":"list","list":{"id":"users","type":"keyword"}}])");
  ASSERT_EQ(add(by_list).status, 200);
  failing_ = true;
  expect_kept(ask("POST", "/api/lists/items", {}, R"({"id":"v","list_id":"users","value":"svc"})"));
  EXPECT_TRUE(alerts("r", kSvc));
  recover();
  EXPECT_FALSE(alerts("r", kSvc));
  failing_ = true;
  expect_kept(ask("PUT", "/api/lists/items", {}, R"({"id":"v","value":"anna"})"));
  recover();
  EXPECT_TRUE(alerts("r", kSvc));
  EXPECT_FALSE(alerts("r", kAnna));
  failing_ = true;
  expect_kept(ask("PATCH", "/api/lists/items", {}, R"({"id":"v","value":"svc"})"));
  expect_kept(ask("DELETE", "/api/lists/items", {{"id", "v"}}));
  expect_kept(ask("POST", "/api/lists/items/_import", {{"list_id", "users"}},
                  "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"u.txt\"\r\n\r\nsvc\r\n--B--\r\n",
                  "elastic", {{"content-type", "multipart/form-data; boundary=B"}}));
  recover();
  EXPECT_FALSE(alerts("r", kSvc));
  EXPECT_TRUE(alerts("r", kAnna));
  failing_ = true;
  expect_kept(ask("DELETE", "/api/lists", {{"id", "users"}, {"ignoreReferences", "true"}}));
  EXPECT_EQ(ask("GET", "/api/lists", {{"id", "users"}}).status, 404);
  recover();
  EXPECT_TRUE(alerts("r", kSvc));
}

TEST_F(KeptTest, AnImportAnswersForItsOwnLists) {
  list("mine");
  list("other");
  rule("r", kMineAndOther);
  failing_ = true;  // all but "other"
  expect_kept(add(item("bob", "behind", "mine")));
  const std::string lines = list_line("other") + "\n" + item_line("svc", "one", "other");
  const std::string of_mine = list_line("mine") + "\n" + item_line("anna", "two", "mine");
  const Query over{{"overwrite_exceptions", "true"}};
  const Answer taken = import("/api/exception_lists/_import", lines, {{"overwrite", "true"}});
  EXPECT_EQ(taken.status, 200) << taken.text;
  EXPECT_FALSE(alerts("r", kSvc));
  const Answer nothing = import("/api/exception_lists/_import", of_mine.substr(0, of_mine.find('\n')));
  EXPECT_EQ(nothing.status, 200) << "it is there already, and nothing was changed: " << nothing.text;
  EXPECT_EQ(nothing.body["success"], false);
  const Answer with_rules = import("/api/detection_engine/rules/_import", lines, over);
  EXPECT_EQ(with_rules.body["exceptions_success"], true) << with_rules.text;
  const Answer late = import("/api/detection_engine/rules/_import", of_mine, over);
  EXPECT_EQ(late.body["exceptions_success"], false) << late.text;
  EXPECT_EQ(late.body["exceptions_errors"][0]["error"]["status_code"], 503) << late.text;
  expect_kept(import("/api/exception_lists/_import", of_mine, {{"overwrite", "true"}}));
  recover();
  EXPECT_FALSE(alerts("r", kAnna));
}

// The rule can be run with its new list when that is tried, and no longer when it is put in force.
TEST_F(KeptTest, TheFirstExceptionsOfARuleAreInForceAsTheyWereTried) {
  const std::string id = rule("r");
  reads_left_ = 1;
  EXPECT_EQ(except(id, Json::array({item("svc", "one")})).status, 200);
  EXPECT_FALSE(alerts("r", kSvc));
  EXPECT_TRUE(alerts("r", kAnna));
  EXPECT_NE(book_->lists_problem(), "") << "what has come since is not known";
  EXPECT_TRUE(has_item("one"));
  EXPECT_EQ(lists(), 1u);
  EXPECT_EQ(api::RuleDesk::exception_lists_of(desk_->by_id(id)->doc).size(), 1u);
  recover();
  EXPECT_FALSE(alerts("r", kSvc));
  EXPECT_TRUE(alerts("r", kAnna));
}

// A value list that goes while somebody adds an exception that names it: whichever was first, it excepts nothing.
TEST_F(KeptTest, AValueListThatIsGoneExceptsNothingWhoeverNamesItMeanwhile) {
  list("mine");
  rule("r", kMine);
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(ask("POST", "/api/lists", {}, R"({"id":"users","name":"n","description":"d","type":"keyword"})").status,
              200);
    ASSERT_EQ(ask("POST", "/api/lists/items", {}, R"({"list_id":"users","value":"svc"})").status, 200);
    Json by_list = item("", "i" + std::to_string(round), "mine");
    by_list["entries"] = Json::parse(
        R"([{"field":"user.name","operator":"included","type":"list","list":{"id":"users","type":"keyword"}}])");
    std::atomic<int> ready = 0;
    const auto together = [&ready](const auto& work) {
      return std::thread([&ready, work] {
        ++ready;
        while (ready < 2) std::this_thread::yield();
        work();
      });
    };
    std::thread adds = together([&] { (void)add(by_list); });
    std::thread removes = together([&] {
      (void)ask("DELETE", "/api/lists", {{"id", "users"}, {"deleteReferences", "true"}});
    });
    adds.join();
    removes.join();
    ASSERT_EQ(ask("GET", "/api/lists", {{"id", "users"}}).status, 404);
    ASSERT_TRUE(alerts("r", kSvc)) << "round " << round;
    (void)ask("DELETE", "/api/exception_lists/items", {{"item_id", by_list["item_id"]}});
  }
}

TEST_F(KeptTest, ExceptionsOfARuleAreKept) {
  const std::string id = rule("r");
  ASSERT_EQ(except(id, Json::array({item("svc", "one")})).status, 200);
  failing_ = true;
  expect_kept(except(id, Json::array({item("anna", "two")})));
  EXPECT_TRUE(has_item("two"));
  recover();
  EXPECT_FALSE(alerts("r", kAnna));
}

TEST_F(KeptTest, ADuplicateSharesWhatTheFirstOneOnlyCallsItsOwn) {
  list("mine");
  ASSERT_EQ(add(item("bob", "zero", "mine")).status, 200);
  const std::string id = rule("r", R"([{"id":"1","list_id":"mine","type":"rule_default","namespace_type":"single"}])");
  const Answer made =
      ask("POST", "/api/detection_engine/rules/_bulk_action", {}, Json{{"action", "duplicate"}, {"ids", {id}}}.dump());
  ASSERT_EQ(made.status, 200) << made.text;
  EXPECT_EQ(lists(), 1u);
  const Json copy = made.body["attributes"]["results"]["created"][0];
  EXPECT_EQ(copy["exceptions_list"][0]["list_id"], "mine");
  EXPECT_EQ(copy["exceptions_list"][0]["type"], "detection");
}

}  // namespace
}  // namespace fb::test
