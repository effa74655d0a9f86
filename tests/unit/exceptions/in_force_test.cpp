// What an answer says of exceptions is so: kept and in force, or told; all of a request or nothing of it.
#include "tests/unit/exceptions/in_force_fixture.h"

namespace fb::test {
namespace {

TEST_F(InForceTest, AListThatCantBeReadIsToldAndTriedAgain) {
  list("mine");
  list("other");
  rule("r", R"([{"id":"1","list_id":"mine","type":"detection","namespace_type":"single"},)"
            R"({"id":"2","list_id":"other","type":"detection","namespace_type":"single"}])");
  failing_ = true;
  const Answer kept = add(item("svc", "one", "mine"));
  EXPECT_EQ(kept.status, 503) << kept.text;
  EXPECT_NE(kept.text.find("kept"), std::string::npos) << kept.text;
  EXPECT_NE(kept.text.find("the record is locked"), std::string::npos) << kept.text;
  EXPECT_TRUE(store_->exceptions().item(false, ExceptionStore::By::human_id, "one").value());
  EXPECT_TRUE(alerts("r", kSvc)) << "the old content stands";
  EXPECT_NE(book_->lists_problem(), "");
  EXPECT_EQ(add(item("anna", "two", "other")).status, 200) << "that list is not behind";
  EXPECT_FALSE(alerts("r", kAnna));
  std::atomic<int> seen = 0;
  book_->watch(2, 2, [&](const ReloadReport& report) { seen += report.swapped; });
  failing_ = false;
  for (int i = 0; i < 5000 && seen == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  book_->stop_watching();
  EXPECT_FALSE(alerts("r", kSvc));
  EXPECT_FALSE(alerts("r", kAnna));
  EXPECT_EQ(book_->lists_problem(), "");
}

TEST_F(InForceTest, ARemovedExceptionThatStillHoldsIsTold) {
  list("mine");
  rule("r", R"([{"id":"1","list_id":"mine","type":"detection","namespace_type":"single"}])");
  ASSERT_EQ(add(item("svc", "one", "mine")).status, 200);
  failing_ = true;
  EXPECT_EQ(ask("DELETE", "/api/exception_lists/items", {{"item_id", "one"}}).status, 503);
  EXPECT_FALSE(alerts("r", kSvc));
  failing_ = false;
  EXPECT_TRUE(desk_->lists_changed().swapped);
  EXPECT_TRUE(alerts("r", kSvc));
}

TEST_F(InForceTest, ChangesThatWaitForOneAnotherShareOneReading) {
  list("mine");
  rule("r", R"([{"id":"1","list_id":"mine","type":"detection","namespace_type":"single"}])");
  reads_ = 0;
  held_ = true;
  std::vector<std::thread> all;
  constexpr int kCalls = 16;
  std::atomic<int> begun = 0;
  std::atomic<int> good = 0;
  for (int i = 0; i < kCalls; ++i) {
    all.emplace_back([&] {
      ++begun;
      good += desk_->lists_changed().swapped;
    });
  }
  while (begun < kCalls) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  held_ = false;
  for (std::thread& t : all) t.join();
  EXPECT_EQ(good, kCalls);
  EXPECT_LT(reads_, kCalls);
}

TEST_F(InForceTest, ExceptionsOfARuleAreAllAddedOrNone) {
  const std::string id = rule("r");
  list("shared");
  ASSERT_EQ(add(item("bob", "taken", "shared")).status, 200);
  const std::string before = book_->current()->hash();
  // The first of them would be fine.
  EXPECT_EQ(except(id, {item("svc", "one"), item("anna", "taken")}).status, 409);
  EXPECT_EQ(except(id, {item("svc", "one"), item("anna", "one")}).status, 409);
  Json unusable = item("anna", "two");
  unusable["entries"] = Json::parse(
      R"([{"field":"user.name","operator":"included","type":"list","list":{"id":"none","type":"keyword"}}])");
  EXPECT_EQ(except(id, {item("svc", "one"), unusable}).status, 400);
  failing_ = true;  // the rule can't be run with the list that was just made
  EXPECT_EQ(except(id, Json::array({item("svc", "one")})).status, 503);
  failing_ = false;
  EXPECT_EQ(lists(), 1u) << "no list stays behind";
  EXPECT_FALSE(store_->exceptions().item(false, ExceptionStore::By::human_id, "one").value());
  EXPECT_EQ(book_->current()->hash(), before);
  EXPECT_EQ(desk_->versions(id).value().size(), 1u);
  // The same once the rule has its list.
  ASSERT_EQ(except(id, Json::array({item("svc", "one")})).status, 200);
  EXPECT_EQ(except(id, {item("anna", "three"), item("anna", "taken")}).status, 409);
  EXPECT_EQ(except(id, {item("anna", "three"), unusable}).status, 400);
  EXPECT_FALSE(store_->exceptions().item(false, ExceptionStore::By::human_id, "three").value());
  EXPECT_TRUE(alerts("r", kAnna));
  EXPECT_FALSE(alerts("r", kSvc));
}

TEST_F(InForceTest, TheFirstExceptionsOfTwoPeopleAtOnceAreBothInForce) {
  for (int round = 0; round < 8; ++round) {
    const std::string name = "r" + std::to_string(round);
    const std::string id = rule(name);
    std::atomic<int> ready = 0;
    std::atomic<int> good = 0;
    const auto person = [&](const char* user) {
      ++ready;
      while (ready < 2) std::this_thread::yield();
      good += except(id, Json::array({item(user, name + user)})).status == 200;
    };
    std::thread one(person, "svc");
    std::thread two(person, "anna");
    one.join();
    two.join();
    EXPECT_EQ(good, 2);
    EXPECT_FALSE(alerts(name, kSvc));
    EXPECT_FALSE(alerts(name, kAnna));
    EXPECT_EQ(lists(), static_cast<size_t>(round) + 1) << "one list of its own";
    EXPECT_EQ(api::RuleDesk::exception_lists_of(desk_->by_id(id)->doc).size(), 1u);
  }
}

// The rules name the list already; those of the file stand as they are.
TEST_F(InForceTest, ExceptionsThatComeWithRulesAreInForce) {
  list("mine");
  rule("r", R"([{"id":"1","list_id":"mine","type":"detection","namespace_type":"single"}])");
  Json line = item("svc", "one", "mine");
  line["namespace_type"] = "single";
  const std::string file =
      "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.ndjson\"\r\n\r\n" +
      Json{
          {"list_id", "mine"}, {"name", "n"}, {"description", "d"}, {"type", "detection"}, {"namespace_type", "single"}}
          .dump() +
      "\n" + line.dump() + "\r\n--B--\r\n";
  const auto import = [&] {
    return ask("POST", "/api/detection_engine/rules/_import", {{"overwrite_exceptions", "true"}}, file, "elastic",
               {{"content-type", "multipart/form-data; boundary=B"}});
  };
  failing_ = true;
  const Answer late = import();
  EXPECT_EQ(late.status, 200) << late.text;
  EXPECT_EQ(late.body["exceptions_success"], false);
  ASSERT_EQ(late.body["exceptions_errors"].size(), 1u) << late.text;
  EXPECT_EQ(late.body["exceptions_errors"][0]["error"]["status_code"], 503);
  EXPECT_TRUE(alerts("r", kSvc));
  failing_ = false;
  const Answer taken = import();
  EXPECT_EQ(taken.body["exceptions_success"], true) << taken.text;
  EXPECT_EQ(taken.body["exceptions_success_count"], 2) << taken.text;
  EXPECT_FALSE(alerts("r", kSvc));
}

TEST_F(InForceTest, ADuplicateHasExceptionsOfItsOwn) {
  const std::string id = rule("r");
  ASSERT_EQ(except(id, Json::array({item("svc", "one")})).status, 200);
  const auto bulk = [&](const Json& body) {
    return ask("POST", "/api/detection_engine/rules/_bulk_action", {}, body.dump());
  };
  failing_ = true;  // the new rule can't be run with its list
  EXPECT_EQ(bulk({{"action", "duplicate"}, {"ids", {id}}}).status, 500);
  failing_ = false;
  EXPECT_EQ(lists(), 1u) << "no list stays behind";
  const Answer made = bulk({{"action", "duplicate"}, {"ids", {id}}});
  ASSERT_EQ(made.status, 200) << made.text;
  EXPECT_EQ(lists(), 2u);
  const Json copy = made.body["attributes"]["results"]["created"][0];
  ASSERT_EQ(bulk({{"action", "enable"}, {"ids", {copy["id"]}}}).status, 200);
  EXPECT_FALSE(alerts(copy["rule_id"], kSvc)) << "the exceptions come with it";
  ASSERT_EQ(except(copy["id"], Json::array({item("anna", "two")})).status, 200);
  EXPECT_FALSE(alerts(copy["rule_id"], kAnna));
  EXPECT_TRUE(alerts("r", kAnna)) << "what the copy leaves out says nothing of the first one";
}

// It makes the rule find less, so it is no edit that takes a second person.
TEST_F(InForceTest, AListOfItsOwnIsNoEditOfTheRule) {
  const std::string id = rule("r");
  ASSERT_EQ(except(id, Json::array({item("svc", "one")})).status, 200);
  const auto versions = desk_->versions(id).value();
  ASSERT_EQ(versions.size(), 2u);
  EXPECT_EQ(versions[1].what, "excepted");
}

}  // namespace
}  // namespace fb::test
