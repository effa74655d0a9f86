// What one request or one text may cost or hide: searches over many lists, pages, comments, the audit.
#include <algorithm>
#include <set>

#include "api/exceptions/find.h"
#include "api/exceptions/schema.h"
#include "engine/record/exception_audit.h"
#include "tests/unit/exceptions/exceptions_fixture.h"

namespace fb::test {
namespace {

class BoundsTest : public ExceptionsTest {
 protected:
  void make(const std::string& list_id) {
    const Json body{{"list_id", list_id}, {"name", list_id}, {"description", "d"}, {"type", "detection"}};
    ASSERT_EQ(ask("POST", "/api/exception_lists", {}, body.dump()).status, 200);
  }
  static Json item(const std::string& list_id, const std::string& item_id, const std::string& description = "d") {
    return {{"list_id", list_id},
            {"item_id", item_id},
            {"name", "n"},
            {"description", description},
            {"type", "simple"},
            {"entries", {{{"field", "user.name"}, {"operator", "included"}, {"type", "match"}, {"value", item_id}}}}};
  }
  Answer look(const std::string& lists, Query more = {}) {
    more["list_id"] = lists;
    if (!more.contains("namespace_type")) {
      std::string spaces = "single";
      for (const char c : lists) spaces += c == ',' ? ",single" : "";
      more["namespace_type"] = spaces;
    }
    return ask("GET", "/api/exception_lists/items/_find", more);
  }
  static std::string repeated(const std::string& word, size_t times) {
    std::string all = word;
    for (size_t i = 1; i < times; ++i) all += "," + word;
    return all;
  }
  std::string audited(const std::string& what) {
    return RawDb(store_->db_path())
        .text("SELECT detail FROM audit WHERE what = '" + what + "' ORDER BY seq DESC LIMIT 1");
  }
};

TEST_F(BoundsTest, ASearchNamesAHundredListsAndReadsEachOnce) {
  make("a");
  ASSERT_EQ(add(item("a", "one")).status, 200);
  ASSERT_EQ(add(item("a", "two")).status, 200);
  EXPECT_EQ(look("a").body["total"], 2);
  const Answer same = look(repeated("a", api::kMaxSearchedLists));
  EXPECT_EQ(same.body["total"], 2) << same.text;
  EXPECT_EQ(same.body["data"].size(), 2u);
  const Answer more = look(repeated("a", api::kMaxSearchedLists + 1));
  EXPECT_EQ(more.status, 400);
  EXPECT_NE(more.text.find("at most 100"), std::string::npos) << more.text;
  EXPECT_EQ(look("a,,a").status, 400);
  EXPECT_EQ(look("a,").status, 400);
  EXPECT_EQ(look(",,,").status, 400);
  EXPECT_EQ(look("a,b", {{"namespace_type", "single,"}}).status, 400);
  const auto by_name = [](const std::string& id) { return "exception-list.attributes.item_id:" + id; };
  EXPECT_EQ(look("a,a", {{"filter", by_name("one") + "," + by_name("two")}}).body["total"], 2)
      << "what either lets pass";
  EXPECT_EQ(look("a,a", {{"filter", by_name("one") + "," + by_name("one")}}).body["total"], 1);
}

TEST_F(BoundsTest, ThePagesOfSeveralListsHoldEachItemOnceInOrder) {
  make("a");
  make("b");
  std::vector<std::string> wanted;
  for (int i = 0; i < 150; ++i) {
    const std::string id = "i" + std::to_string(i);
    const std::string description = std::to_string(100 + (i * 37) % 50);
    ASSERT_EQ(add(item(i % 2 == 0 ? "a" : "b", id, description)).status, 200);
    wanted.push_back(description);
    clock_.advance_ms(1);
  }
  std::sort(wanted.begin(), wanted.end());
  for (const bool descending : {false, true}) {
    std::vector<std::string> got;
    std::set<std::string> ids;
    for (int page = 1; page <= 30; ++page) {
      const Answer one = look("a,b", {{"sort_field", "description"},
                                      {"sort_order", descending ? "desc" : "asc"},
                                      {"per_page", "5"},
                                      {"page", std::to_string(page)}});
      EXPECT_EQ(one.body["total"], 150);
      for (const Json& row : one.body["data"]) {
        got.push_back(row["description"]);
        ids.insert(row["item_id"].get<std::string>());
      }
    }
    EXPECT_EQ(got, wanted);
    EXPECT_EQ(ids.size(), 150u);
    std::reverse(wanted.begin(), wanted.end());
  }
  const Answer newest = look("a,b", {{"per_page", "2"}});
  EXPECT_EQ(newest.body["data"][0]["item_id"], "i149");
  EXPECT_EQ(newest.body["data"][1]["item_id"], "i148");
  EXPECT_EQ(look("a,b", {{"per_page", "0"}}).body["data"].size(), 0u);
  EXPECT_EQ(look("a,b", {{"page", "99"}}).body["data"].size(), 0u);
}

TEST_F(BoundsTest, APageThatIsTooLargeIsRefused) {
  make("a");
  std::vector<ExceptionRow> rows;
  for (int i = 0; i < 65; ++i) {
    ExceptionRow row;
    row.id = row.item_id = "i" + std::to_string(i);
    row.list_id = "a";
    row.name = "n";
    row.doc = Json{{"description", std::string(1 << 20, 'x')}, {"name", "n"}, {"os_types", Json::array()}}.dump();
    rows.push_back(std::move(row));
  }
  ASSERT_TRUE(store_->exceptions().add_items(rows, "user:x"));
  EXPECT_EQ(look("a", {{"per_page", "100"}}).status, 400) << "as it is stored";
  EXPECT_EQ(look("a", {{"per_page", "100"}, {"sort_field", "description"}}).status, 400) << "sorted";
  EXPECT_EQ(look("a", {{"per_page", "0"}}).body["total"], 65);
  const Answer list = ask("GET", "/api/exception_lists", {{"list_id", "a"}});
  const Query whole{{"list_id", "a"}, {"id", list.body["id"]}, {"namespace_type", "single"}};
  EXPECT_EQ(ask("POST", "/api/exception_lists/_export", whole).status, 400);
  EXPECT_EQ(ask("GET", "/api/exception_lists/summary", {{"list_id", "a"}}).body["total"], 65);
}

TEST_F(BoundsTest, ACommentHasThirtyThousandCharacters) {
  make_list();
  std::string text;
  for (size_t i = 0; i < api::kMaxCommentChars; ++i) text += "\u00e4";
  Json body = item_body("10.10.0.1", "one");
  body["comments"] = {{{"comment", text}}};
  EXPECT_EQ(add(body).status, 200) << "characters, not bytes";
  body["item_id"] = "two";
  body["comments"] = {{{"comment", text + "x"}}};
  const Answer longer = add(body);
  EXPECT_EQ(longer.status, 400);
  EXPECT_NE(longer.text.find("comments.0.comment"), std::string::npos) << longer.text.substr(0, 200);
}

TEST_F(BoundsTest, NoLengthOfTheRestHidesWhatWasOpened) {
  make_list();
  Json body = item_body("10.10.0.77", "one");
  Json comments = Json::array();
  for (int i = 0; i < 10; ++i) comments.push_back({{"comment", std::to_string(i) + std::string(20'000, 'c')}});
  body["comments"] = comments;
  body["meta"] = {{"long", std::string(100'000, 'm')}};
  body["expire_time"] = "2033-01-01T00:00:00.000Z";
  ASSERT_EQ(add(body).status, 200);
  const std::string text = audited("exception_added");
  EXPECT_LE(text.size(), record::kMaxAuditText);
  EXPECT_EQ(text.find("{\"entries\":[{\"field\":\"destination.ip\",\"value\":\"10.10.0.77\""), 0u) << text;
  const Json shown = Json::parse(text);
  EXPECT_EQ(shown["os_types"], body["os_types"]);
  EXPECT_EQ(shown["tags"], body["tags"]);
  EXPECT_EQ(shown["expire_time"], body["expire_time"]);
  EXPECT_EQ(shown["name"], "n");
  EXPECT_EQ(shown["comments"].size(), 3u);
  EXPECT_EQ(shown["comments"][2]["comment"].get<std::string>().substr(0, 2), "9c");
  EXPECT_EQ(shown["older_comments"], 7);
  EXPECT_LT(text.find("expire_time"), text.find("comments"));
}

TEST_F(BoundsTest, ALongMemberDoesNotPushTheNextOneOut) {
  make("a");
  Json body = item("a", "one");
  Json many = Json::array();
  for (int i = 0; i < 5'000; ++i) many.push_back("\"quoted\" user " + std::to_string(i));
  body["entries"] = {{{"field", "user.name"}, {"operator", "included"}, {"type", "match_any"}, {"value", many}}};
  body["name"] = "the name";
  ASSERT_EQ(add(body).status, 200);
  const Json shown = Json::parse(audited("exception_added"));
  EXPECT_TRUE(shown["entries"].is_string()) << "its beginning";
  EXPECT_NE(shown["entries"].get<std::string>().find("user 7"), std::string::npos);
  EXPECT_EQ(shown["name"], "the name");
  EXPECT_EQ(shown["list_id"], "a");
}

TEST_F(BoundsTest, TheAuditNamesWhatWentWithAList) {
  make_list();
  for (int i = 0; i < 60; ++i)
    ASSERT_EQ(add(item_body("10.10.0." + std::to_string(i), "i" + std::to_string(i))).status, 200);
  ASSERT_EQ(ask("DELETE", "/api/exception_lists", kAgnosticList).status, 200);
  const std::string text = audited("exception_list_removed");
  EXPECT_TRUE(text.starts_with("60 items: i0 (10.10.0.0, n), i1 (10.10.0.1, n), ")) << text;
  EXPECT_NE(text.find("i49 (10.10.0.49, n)"), std::string::npos) << text;
  EXPECT_EQ(text.find("i50 ("), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with(" and 10 more")) << text;
  make_list();
  ASSERT_EQ(add(item_body("10.10.0.1", "one")).status, 200);
  const auto list = *store_->exceptions().list(true, ExceptionStore::By::human_id, kList);
  ASSERT_TRUE(
      store_->exceptions().apply({{ExceptionStore::Change::What::change_list, *list, list->seq_no, true}}, "user:x"));
  EXPECT_EQ(audited("exceptions_removed"), "1 item: one (10.10.0.1, n)");
}

TEST_F(BoundsTest, AVersionStaysWithinWhatClientsCanRead) {
  const auto made_with = [&](const std::string& version) {
    return ask("POST", "/api/exception_lists", {},
               R"({"list_id":"v","name":"n","description":"d","type":"detection","version":)" + version + "}");
  };
  for (const char* wrong : {"0", "-1", "1.5", "2147483648", "9223372036854775807", "18446744073709551615"}) {
    EXPECT_EQ(made_with(wrong).status, 400) << wrong;
  }
  EXPECT_EQ(made_with("2147483647").body["version"], 2147483647);
}

}  // namespace
}  // namespace fb::test
