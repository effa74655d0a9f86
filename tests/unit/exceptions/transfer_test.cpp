#include <atomic>
#include <set>
#include <thread>

#include "tests/unit/exceptions/exceptions_fixture.h"

namespace fb::test {
namespace {

class TransferTest : public ExceptionsTest {
 protected:
  Answer upload(const std::string& file, Query query = {}, const std::string& name = "x.ndjson") {
    const std::string body = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name +
                             "\"\r\nContent-Type: application/x-ndjson\r\n\r\n" + file + "\r\n--B--\r\n";
    return ask("POST", "/api/exception_lists/_import", query, body, "elastic",
               {{"content-type", "multipart/form-data; boundary=B"}});
  }
  std::string exported(const std::string& more_key = "", const std::string& more = "") {
    const Answer list = ask("GET", "/api/exception_lists", kAgnosticList);
    Query query = kAgnosticList;
    query["id"] = list.body["id"];
    if (!more_key.empty()) query[more_key] = more;
    const Answer a = ask("POST", "/api/exception_lists/_export", query);
    EXPECT_EQ(a.status, 200);
    return a.text;
  }
  int64_t total() { return find({}).body["total"].get<int64_t>(); }
};

TEST_F(TransferTest, WhatGoesOutComesInAgain) {
  make_list();
  Json body = item_body("10.10.0.1", "one");
  body["comments"] = {{{"comment", "why"}}};
  ASSERT_EQ(add(body).status, 200);
  clock_.advance_ms(10);
  body = item_body("10.10.0.2", "two");
  body["expire_time"] = iso8601(clock_.wall_ms() + 10);
  ASSERT_EQ(add(body).status, 200);
  const std::string file = exported();
  EXPECT_LT(file.find("\"two\""), file.find("\"one\"")) << "newest first";
  EXPECT_NE(file.find("\"exported_exception_list_item_count\":2"), std::string::npos);
  clock_.advance_ms(100);
  EXPECT_EQ(exported("include_expired_exceptions", "false").find("\"two\""), std::string::npos);
  ASSERT_EQ(ask("DELETE", "/api/exception_lists", kAgnosticList).status, 200);
  const Answer in = upload(file);
  ASSERT_EQ(in.status, 200) << in.text;
  EXPECT_EQ(in.body, Json::parse(R"({"errors":[],"success":true,"success_count":3,"success_exception_lists":true,
    "success_count_exception_lists":1,"success_exception_list_items":true,"success_count_exception_list_items":2})"));
  EXPECT_EQ(read("one").body["comments"][0]["comment"], "why");
  EXPECT_EQ(read("two").body["expire_time"], body["expire_time"]);
  const Answer again = upload(file);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.body["success"], false);
  EXPECT_EQ(again.body["errors"].size(), 3u);
  EXPECT_EQ(again.body["errors"][0]["error"]["status_code"], 409);
  ASSERT_EQ(add(item_body("10.10.0.3", "three")).status, 200);
  EXPECT_EQ(upload(file, {{"overwrite", "true"}}).body["success"], true);
  EXPECT_EQ(total(), 2) << "overwriting a list takes its other items away";
  EXPECT_EQ(upload(file, {{"as_new_list", "true"}}).body["success_count"], 3);
  EXPECT_EQ(total(), 2);
  EXPECT_EQ(ask("GET", "/api/exception_lists/_find", {{"namespace_type", "agnostic"}}).body["total"], 2);
}

TEST_F(TransferTest, OneBadLineHoldsNothingElseBack) {
  make_list();
  Json strange = item_body("10.10.0.3", "three");
  strange["tags"] = {"policy:nobody", "kept"};
  const std::string file = "\n" + item_body("10.10.0.1", "one").dump() + "\n{broken\n" +
                           item_body("0.0.0.0/0", "two").dump() + "\n\n" + strange.dump() + "\n" +
                           item_body("10.10.0.4", "one").dump() + "\n";
  const Answer a = upload(file);
  ASSERT_EQ(a.status, 200) << a.text;
  EXPECT_EQ(a.body["success"], false);
  EXPECT_EQ(a.body["success_count_exception_list_items"], 2);
  EXPECT_EQ(a.body["errors"].size(), 3u) << a.text;
  EXPECT_EQ(read("three").body["tags"], Json::array({"kept"})) << "policies that are not here are taken off";
  EXPECT_EQ(read("two").status, 404);
  EXPECT_EQ(upload("{}", {}, "x.txt").status, 400);
  EXPECT_EQ(upload(file, {{"overwrite", "yes"}}).status, 400);
  std::string many;
  for (int i = 0; i < 10'002; ++i) many += "{}\n";
  EXPECT_EQ(upload(many).status, 400);
}

TEST_F(TransferTest, WhoMayNotDeleteEmptiesNoList) {
  make_list();
  scopes_ = {Privilege::exceptions_read, Privilege::exceptions_write};
  const std::string file = list_body().dump() + "\n" + item_body("10.10.0.1", "one").dump() + "\n";
  EXPECT_EQ(upload(file, {{"overwrite", "true"}}).body["success"], true) << "the list has nothing that could go";
  ASSERT_EQ(add(item_body("10.10.0.2", "two")).status, 200);
  const Answer refused = upload(file, {{"overwrite", "true"}});
  EXPECT_EQ(refused.status, 403) << refused.text;
  EXPECT_EQ(total(), 2);
  EXPECT_EQ(upload(list_body().dump() + "\n", {{"overwrite", "true"}}).status, 403);
  EXPECT_EQ(total(), 2);
  scopes_.push_back(Privilege::exceptions_delete);
  EXPECT_EQ(upload(file, {{"overwrite", "true"}}).body["success"], true);
  EXPECT_EQ(total(), 1);
}

TEST_F(TransferTest, OverwritingExceptionsAloneTakesNoneAway) {
  make_list();
  ASSERT_EQ(add(item_body("10.10.0.1", "one")).status, 200);
  ASSERT_EQ(add(item_body("10.10.0.2", "two")).status, 200);
  scopes_ = {Privilege::exceptions_read, Privilege::exceptions_write};
  Json renamed = list_body();
  renamed["name"] = "other";
  const std::string file = renamed.dump() + "\n" + item_body("10.10.0.3", "one").dump() + "\n";
  const Answer done = upload(file, {{"overwrite_exceptions", "true"}});
  ASSERT_EQ(done.status, 200) << done.text;
  EXPECT_EQ(done.body["success"], true) << done.text;
  EXPECT_EQ(total(), 2);
  EXPECT_EQ(read("one").body["entries"][0]["value"], "10.10.0.3");
  EXPECT_EQ(read("two").body["entries"][0]["value"], "10.10.0.2");
  EXPECT_EQ(ask("GET", "/api/exception_lists", kAgnosticList).body["name"], "other");
}

TEST_F(TransferTest, AnImportIsSeenWholeOrNotAtAll) {
  make_list();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(add(item_body("10.10.0.1", "i" + std::to_string(i))).status, 200);
  const std::string file = exported();
  const int told_before = told_;
  std::atomic<bool> done = false;
  std::set<int64_t> seen;
  std::thread reader([&] {
    while (!done) seen.insert(store_->exceptions().open_addresses()->size());
  });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(upload(file, {{"overwrite", "true"}}).body["success"], true);
  done = true;
  reader.join();
  EXPECT_EQ(seen, std::set<int64_t>{50}) << "never an empty or a half list";
  EXPECT_EQ(told_, told_before + 20) << "hosts are told once an import";
}

TEST_F(TransferTest, WhatMovedMeanwhileUndoesAllOfAChange) {
  make_list();
  ASSERT_EQ(add(item_body("10.10.0.1", "one")).status, 200);
  ExceptionStore store = store_->exceptions();
  using Change = ExceptionStore::Change;
  const auto list = *store.list(true, ExceptionStore::By::human_id, kList);
  const auto one = *store.item(true, ExceptionStore::By::human_id, "one");
  ExceptionRow fresh = *one;
  fresh.id = "fresh";
  fresh.item_id = "fresh";
  const auto conflict = [&](const Change& last) {
    const auto done = store.apply({{Change::What::add_item, fresh, 0, false}, last}, "user:x");
    EXPECT_FALSE(done);
    EXPECT_EQ(done ? ErrorCode::internal : done.error().code, ErrorCode::conflict);
    EXPECT_EQ(total(), 1);
    EXPECT_FALSE(*store.item(true, ExceptionStore::By::human_id, "fresh"));
  };
  conflict({Change::What::change_list, *list, list->seq_no - 1, true});
  conflict({Change::What::add_list, *list, 0, false});
  conflict({Change::What::change_item, *one, one->seq_no + 7, false});
  ExceptionRow gone = *one;
  gone.id = "gone";
  conflict({Change::What::change_item, gone, one->seq_no, false});
  conflict({Change::What::add_item, *one, 0, false});
  conflict({Change::What::remove_item, *one, one->seq_no + 7, false});
  conflict({Change::What::remove_item, gone, one->seq_no, false});
  ASSERT_TRUE(store.apply({{Change::What::change_list, *list, list->seq_no, true},
                           {Change::What::add_item, fresh, 0, false},
                           {Change::What::add_item, *one, 0, false}},
                          "user:x"));
  EXPECT_EQ(total(), 2);
}

TEST_F(TransferTest, TheSameListOrItemTwiceInAFile) {
  make_list();
  const std::string list = list_body().dump() + "\n";
  const std::string file = list + item_body("10.10.0.1", "one").dump() + "\n" + list +
                           item_body("10.10.0.2", "one").dump() + "\n" + item_body("10.10.0.3", "two").dump() + "\n";
  const Answer a = upload(file, {{"overwrite", "true"}});
  EXPECT_EQ(a.body["success"], false);
  EXPECT_EQ(a.body["errors"].size(), 2u) << a.text;
  EXPECT_EQ(a.body["success_count"], 3) << a.text;
  EXPECT_EQ(read("one").body["entries"][0]["value"], "10.10.0.1");
}

TEST_F(TransferTest, AListHasRoomForTenThousand) {
  make_list();
  std::string file;
  for (int i = 0; i < 9'999; ++i) {
    file += item_body("10." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ".1", "i" + std::to_string(i))
                .dump() +
            "\n";
  }
  ASSERT_EQ(upload(file).body["success"], true);
  EXPECT_EQ(add(item_body("10.250.0.1")).status, 200);
  const Answer full = add(item_body("10.250.0.1"));
  EXPECT_EQ(full.status, 400);
  EXPECT_EQ(full.body["message"], "Failed to add exception item, exception list would exceed max size of 10000");
  EXPECT_EQ(total(), 10'000);
}

TEST_F(TransferTest, ACopyHasItsOwnIds) {
  make_list();
  ASSERT_EQ(add(item_body("10.10.0.1", "one")).status, 200);
  const Answer copy = ask("POST", "/api/exception_lists/_duplicate", kAgnosticList);
  ASSERT_EQ(copy.status, 200) << copy.text;
  EXPECT_EQ(copy.body["name"], "n [Duplicate]");
  const std::string id = copy.body["list_id"];
  EXPECT_NE(id, kList);
  const Answer items =
      ask("GET", "/api/exception_lists/items/_find", {{"list_id", id}, {"namespace_type", "agnostic"}});
  EXPECT_EQ(items.body["total"], 1);
  EXPECT_NE(items.body["data"][0]["item_id"], "one");
  EXPECT_EQ(ask("POST", "/api/exception_lists/_duplicate", {{"list_id", "x"}, {"namespace_type", "single"}}).status,
            404);
  EXPECT_EQ(store_->exceptions().open_addresses()->size(), 1u) << "a copy opens nothing";
}

TEST_F(TransferTest, TheSummaryCountsByPlatform) {
  make_list();
  const auto summary = [&](Query query = {}) {
    query.insert(kAgnosticList.begin(), kAgnosticList.end());
    return ask("GET", "/api/exception_lists/summary", query).text;
  };
  EXPECT_EQ(summary(), R"({"windows":0,"linux":0,"macos":0,"total":0})");
  ASSERT_EQ(add(item_body("10.10.0.1", "one")).status, 200);
  ASSERT_EQ(add(item_body("10.10.0.2", "two")).status, 200);
  EXPECT_EQ(summary(), R"({"windows":2,"linux":2,"macos":2,"total":2})");
  EXPECT_EQ(summary({{"filter", "exception-list-agnostic.attributes.item_id:one"}}),
            R"({"windows":1,"linux":1,"macos":1,"total":1})");
  EXPECT_EQ(ask("GET", "/api/exception_lists/summary", {}).status, 400);
  Query missing = kAgnosticList;
  missing["list_id"] = "x";
  missing["id"] = "y";
  EXPECT_EQ(ask("POST", "/api/exception_lists/_export", missing).body["message"],
            "exception list with list_id: x or id: y does not exist");
}

}  // namespace
}  // namespace fb::test
