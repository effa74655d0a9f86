// Rules that name a list of the record run with its items, from the moment a change was answered.
#include <algorithm>
#include <fstream>

#include "api/exceptions/rule_item.h"
#include "api/rules/desk.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "tests/unit/exceptions/exceptions_fixture.h"

namespace fb::test {
namespace {

class RuleListsTest : public ExceptionsTest {
 protected:
  RuleListsTest() {
    write_rule(R"([{"id": "1", "list_id": "mine", "type": "detection", "namespace_type": "single"}])");
    RuleBookOptions options;
    options.paths = {dir_.path() + "/rule.yml"};
    options.lists = api::record_lists(*store_);
    book_ = std::make_unique<RuleBook>(options);
    desk_ = std::make_unique<api::RuleDesk>(*store_, *book_, clock_);
    parts_->rules = desk_.get();
  }

  void write_rule(const std::string& lists) {
    std::ofstream(dir_.path() + "/rule.yml")
        << "rule_id: r1\nname: r1\ndescription: d\ntype: query\nlanguage: kuery\nseverity: low\nrisk_score: 21\n"
        << "query: 'event.code: 4688'\nexceptions_list: " << lists << "\n";
  }
  void load() {
    const ReloadReport report = book_->reload();
    ASSERT_TRUE(report.swapped) << report.problem;
  }
  bool alerts(const std::string& event) {
    const RuleSetPtr set = book_->current();
    if (set->rules().size() != 1) throw std::runtime_error("not one rule");
    return ir::matches(set->rules()[0].condition, *parse_json_tree(event), {clock_.wall_ms(), {}});
  }
  void list(const std::string& id, const std::string& type = "detection", const std::string& space = "single") {
    const Json body{{"name", "n"}, {"description", "d"}, {"type", type}, {"list_id", id}, {"namespace_type", space}};
    ASSERT_EQ(ask("POST", "/api/exception_lists", {}, body.dump()).status, 200);
  }
  static Json item(const std::string& entries, const std::string& item_id, const std::string& list_id = "mine",
                   const std::string& space = "single") {
    return {{"list_id", list_id},
            {"item_id", item_id},
            {"name", "n"},
            {"description", "d"},
            {"type", "simple"},
            {"namespace_type", space},
            {"entries", Json::parse(entries)}};
  }
  std::unique_ptr<RuleBook> book_;
  std::unique_ptr<api::RuleDesk> desk_;
};

constexpr const char* kUserSvc = R"([{"field":"user.name","operator":"included","type":"match","value":"svc"}])";
constexpr const char* kSvc = R"({"event":{"code":"4688"},"user":{"name":"svc"}})";
constexpr const char* kAnna = R"({"event":{"code":"4688"},"user":{"name":"anna"}})";

TEST_F(RuleListsTest, AnItemCountsFromItsAnswerOnAndNoLongerThanItIsThere) {
  load();
  EXPECT_TRUE(alerts(kSvc)) << "there is no list yet";
  const std::string before = book_->current()->hash();
  list("mine");
  EXPECT_EQ(book_->current()->hash(), before) << "an empty list changes no rule";
  ASSERT_EQ(add(item(kUserSvc, "one")).status, 200);
  EXPECT_FALSE(alerts(kSvc));
  EXPECT_TRUE(alerts(kAnna));
  EXPECT_NE(book_->current()->hash(), before);
  Json changed = item(R"([{"field":"user.name","operator":"included","type":"match","value":"anna"}])", "one");
  ASSERT_EQ(change(changed).status, 200);
  EXPECT_TRUE(alerts(kSvc));
  EXPECT_FALSE(alerts(kAnna));
  ASSERT_EQ(ask("DELETE", "/api/exception_lists/items", {{"item_id", "one"}}).status, 200);
  EXPECT_TRUE(alerts(kAnna));
  EXPECT_EQ(book_->current()->hash(), before);
  ASSERT_EQ(add(item(kUserSvc, "two")).status, 200);
  EXPECT_FALSE(alerts(kSvc));
  ASSERT_EQ(ask("DELETE", "/api/exception_lists", {{"list_id", "mine"}}).status, 200);
  EXPECT_TRUE(alerts(kSvc)) << "the items went with their list";
}

// Its own list, and one that it shares; no rule of a file names either.
TEST_F(RuleListsTest, ARuleOfTheApiHasItsExceptionsToo) {
  load();
  list("shared");
  ASSERT_EQ(ask("POST", "/api/exception_lists/items", {}, item(kUserSvc, "i-1", "shared").dump()).status, 200);
  const Json rule{
      {"rule_id", "by-api"},
      {"name", "n"},
      {"description", "d"},
      {"type", "query"},
      {"language", "kuery"},
      {"query", "event.code: 4688"},
      {"severity", "low"},
      {"risk_score", 21},
      {"enabled", true},
      {"exceptions_list",
       Json::parse(R"([{"id": "1", "list_id": "shared", "type": "detection", "namespace_type": "single"}])")}};
  const auto made = ask("POST", "/api/detection_engine/rules", {}, rule.dump());
  ASSERT_EQ(made.status, 200) << made.text;
  const auto by_api = [this](const std::string& event) -> bool {
    for (const RuleInput& r : book_->current()->rules()) {
      if (r.meta->rule_id == "by-api") return ir::matches(r.condition, *parse_json_tree(event), {clock_.wall_ms(), {}});
    }
    throw std::runtime_error("the rule does not run");
  };
  EXPECT_FALSE(by_api(kSvc));
  EXPECT_TRUE(by_api(kAnna));
  const std::string id = made.body["id"];
  Json own = item(R"([{"field":"user.name","operator":"included","type":"match","value":"anna"}])", "i-2");
  own.erase("list_id");
  const auto added =
      ask("POST", "/api/detection_engine/rules/" + id + "/exceptions", {}, Json{{"items", Json::array({own})}}.dump());
  ASSERT_EQ(added.status, 200) << added.text;
  EXPECT_FALSE(by_api(kSvc));
  EXPECT_FALSE(by_api(kAnna));
  ASSERT_EQ(ask("DELETE", "/api/exception_lists/items", {{"item_id", "i-1"}}).status, 200);
  EXPECT_TRUE(by_api(kSvc));
  EXPECT_FALSE(by_api(kAnna));
  // What the rule can't be run with stands nowhere.
  const auto refused =
      ask("POST", "/api/detection_engine/rules/" + id + "/exceptions", {},
          R"({"items": [{"name": "n", "description": "d", "type": "simple", "entries": [{"field": "user.name",
             "operator": "included", "type": "list", "list": {"id": "values", "type": "keyword"}}]}]})");
  EXPECT_EQ(refused.status, 400) << refused.text;
}

TEST_F(RuleListsTest, EveryKindOfEntryCounts) {
  list("mine");
  load();
  const struct {
    const char* entries;
    const char* excepted;
    const char* not_excepted;
  } cases[] = {
      {R"([{"field":"a","operator":"included","type":"match_any","value":["x","y"]}])", R"({"a":"y"})", R"({"a":"z"})"},
      {R"([{"field":"a","operator":"excluded","type":"match","value":"x"}])", R"({"a":"y"})", R"({"a":"x"})"},
      {R"([{"field":"a","operator":"included","type":"exists"}])", R"({"a":"y"})", R"({"b":"y"})"},
      {R"([{"field":"a","operator":"included","type":"wildcard","value":"x*z"}])", R"({"a":"xyz"})", R"({"a":"xy"})"},
      {R"([{"field":"a","type":"nested","entries":[{"field":"b","operator":"included","type":"match","value":"1"},)"
       R"({"field":"c","operator":"included","type":"match","value":"2"}]}])",
       R"({"a":[{"b":"1","c":"2"}]})", R"({"a":[{"b":"1"},{"c":"2"}]})"},
      {R"([{"field":"a","operator":"included","type":"match","value":"x"},)"
       R"({"field":"b","operator":"included","type":"match","value":"y"}])",
       R"({"a":"x","b":"y"})", R"({"a":"x","b":"z"})"},
  };
  const auto event = [](const char* more) {
    Json e = Json::parse(more);
    e["event"] = {{"code", "4688"}};
    return e.dump();
  };
  for (const auto& c : cases) {
    ASSERT_TRUE(alerts(event(c.excepted))) << c.entries;
    ASSERT_EQ(add(item(c.entries, "one")).status, 200) << c.entries;
    EXPECT_FALSE(alerts(event(c.excepted))) << c.entries;
    EXPECT_TRUE(alerts(event(c.not_excepted))) << c.entries;
    ASSERT_EQ(ask("DELETE", "/api/exception_lists/items", {{"item_id", "one"}}).status, 200);
  }
}

TEST_F(RuleListsTest, RulesOfTheApiUseThemToo) {
  RuleBookOptions options;
  options.lists = api::record_lists(*store_);
  options.allow_empty = true;
  book_ = std::make_unique<RuleBook>(options);
  desk_ = std::make_unique<api::RuleDesk>(*store_, *book_, clock_);
  parts_->rules = desk_.get();
  ASSERT_TRUE(desk_->load());
  list("mine");
  ASSERT_EQ(add(item(kUserSvc, "one")).status, 200);
  const std::string rule =
      R"({"rule_id":"r2","name":"r2","description":"d","type":"query","language":"kuery","query":"event.code: 4688",)"
      R"("severity":"low","risk_score":21,"enabled":true,"exceptions_list":[)"
      R"({"id":"x","list_id":"mine","type":"detection","namespace_type":"single"}]})";
  ASSERT_TRUE(desk_->create(rule, api::RuleAuthor::trusted("user:anna")));
  EXPECT_FALSE(alerts(kSvc));
  EXPECT_TRUE(alerts(kAnna));
  const auto tried = desk_->compile(rule);
  ASSERT_TRUE(tried);
  EXPECT_FALSE(ir::matches(tried->input.condition, *parse_json_tree(kSvc), {clock_.wall_ms(), {}}))
      << "a preview shows what it would do";
  ASSERT_EQ(ask("DELETE", "/api/exception_lists/items", {{"item_id", "one"}}).status, 200);
  EXPECT_TRUE(alerts(kSvc));
}

TEST_F(RuleListsTest, NamespacesAndPlatformsAreApart) {
  write_rule(R"([{"list_id": "endpoint_list", "type": "endpoint", "namespace_type": "agnostic"}])");
  load();
  list("endpoint_list", "endpoint", "single");
  ASSERT_EQ(add(item(kUserSvc, "one", "endpoint_list", "single")).status, 200);
  EXPECT_TRUE(alerts(kSvc)) << "a list of that name in the other namespace";
  list("endpoint_list", "endpoint", "agnostic");
  Json body = item(kUserSvc, "one", "endpoint_list", "agnostic");
  body["os_types"] = {"windows"};
  ASSERT_EQ(add(body).status, 200);
  EXPECT_TRUE(alerts(kSvc)) << "of no platform";
  EXPECT_FALSE(alerts(R"({"event":{"code":"4688"},"user":{"name":"svc"},"host":{"os":{"type":"windows"}}})"));
  EXPECT_TRUE(alerts(R"({"event":{"code":"4688"},"user":{"name":"svc"},"host":{"os":{"type":"linux"}}})"));
}

TEST_F(RuleListsTest, ARuleOfAFileHasNoListOfItsOwnWhereOthersShareIt) {
  write_rule(R"([{"id": "1", "list_id": "mine", "type": "rule_default", "namespace_type": "single"}])");
  load();
  const auto except = [&](const std::string& item_id) {
    Json body = item(kUserSvc, item_id);
    body.erase("list_id");
    body.erase("namespace_type");
    return ask("POST", "/api/detection_engine/rules/" + desk_->by_rule_id("r1")->id + "/exceptions", {},
               Json{{"items", {body}}}.dump());
  };
  list("mine");
  const Answer refused = except("one");
  EXPECT_EQ(refused.status, 400) << refused.text;
  EXPECT_NE(refused.text.find("names no exception list of its own"), std::string::npos) << refused.text;
  EXPECT_TRUE(alerts(kSvc));
  ASSERT_EQ(ask("DELETE", "/api/exception_lists", {{"list_id", "mine"}}).status, 200);
  EXPECT_EQ(except("two").status, 200) << "the list is made as the rule's own";
  EXPECT_EQ(except("three").status, 200);
  EXPECT_FALSE(alerts(kSvc));
}

TEST_F(RuleListsTest, AnItemExpiresByTheEventsTime) {
  list("mine");
  load();
  Json body = item(kUserSvc, "one");
  body["expire_time"] = "2030-01-01T00:00:00.000Z";
  ASSERT_EQ(add(body).status, 200);
  EXPECT_FALSE(alerts(R"({"@timestamp":"2029-12-31T23:59:59.999Z","event":{"code":"4688"},"user":{"name":"svc"}})"));
  EXPECT_TRUE(alerts(R"({"@timestamp":"2030-01-01T00:00:00.000Z","event":{"code":"4688"},"user":{"name":"svc"}})"));
}

TEST_F(RuleListsTest, WhatARuleOfAFileCannotRunWithIsRefused) {
  const char* const kOfList =
      R"([{"field":"a","operator":"included","type":"list","list":{"id":"l","type":"keyword"}}])";
  list("mine");
  load();
  EXPECT_EQ(add(item(kOfList, "one")).status, 400);
  EXPECT_TRUE(alerts(kSvc)) << "and the rules run on";
  ASSERT_EQ(add(item(kUserSvc, "two")).status, 200);
  Json worse = item(kOfList, "two");
  EXPECT_EQ(change(worse).status, 400);
  EXPECT_FALSE(alerts(kSvc));
  // A list that no rule names may hold it; a rule that names that list then runs without it, and that is told.
  list("other");
  const Json shapes{{"id", "l"}, {"name", "n"}, {"description", "d"}, {"type", "geo_shape"}};
  ASSERT_EQ(ask("POST", "/api/lists", {}, shapes.dump()).status, 200);
  EXPECT_EQ(add(item(kOfList, "three", "other")).status, 200);
  write_rule(R"([{"list_id": "other", "type": "detection", "namespace_type": "single"}])");
  const ReloadReport report = book_->reload();
  EXPECT_TRUE(report.swapped) << report.problem;
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_NE(report.warnings[0].find("'three'"), std::string::npos) << report.warnings[0];
  EXPECT_NE(book_->lists_warning().find("geo_shape"), std::string::npos) << book_->lists_warning();
  EXPECT_TRUE(alerts(kSvc)) << "the rule names another list now";
}

// However a list of another type comes about: other exceptions go on counting and changing, and the next start works.
TEST_F(RuleListsTest, AValueListThatExceptionsCantUseBreaksNothing) {
  list("mine");
  load();
  const auto made = [this](const char* type) {
    const Json body{{"id", "names"}, {"name", "n"}, {"description", "d"}, {"type", type}};
    return ask("POST", "/api/lists", {}, body.dump());
  };
  ASSERT_EQ(made("keyword").status, 200);
  ASSERT_EQ(ask("POST", "/api/lists/items", {}, R"({"list_id":"names","value":"anna"})").status, 200);
  ASSERT_EQ(
      add(item(R"([{"field":"user.name","operator":"excluded","type":"list","list":{"id":"names","type":"keyword"}}])",
               "one"))
          .status,
      200);
  EXPECT_FALSE(alerts(kSvc)) << "not in the list";
  ASSERT_EQ(ask("DELETE", "/api/lists", {{"id", "names"}, {"ignoreReferences", "true"}}).status, 200);
  const Answer refused = made("geo_shape");
  EXPECT_EQ(refused.status, 400) << refused.text;
  EXPECT_NE(refused.text.find("one"), std::string::npos) << "it names the item: " << refused.text;
  // One that stands there already, from before they were refused.
  RawDb(store_->db_path())
      .run(
          "INSERT INTO value_lists(id, type, name, description, meta, serializer, deserializer, tie_breaker, version, "
          "seq_no, created_at, created_by, updated_at, updated_by) VALUES('names', 'geo_shape', 'n', 'd', '', '', '', "
          "'t', 1, 1, 0, 'x', 0, 'x')");
  RawDb(store_->db_path()).run("UPDATE meta SET value = value + 1 WHERE key = 'value_lists_seq_no'");
  const Answer added = add(item(kUserSvc, "two"));
  ASSERT_EQ(added.status, 200) << added.text;
  EXPECT_FALSE(alerts(kSvc)) << "the change counts";
  EXPECT_TRUE(alerts(kAnna)) << "the unusable list excepts nobody";
  EXPECT_NE(book_->lists_warning().find("'one'"), std::string::npos) << book_->lists_warning();
  RuleBookOptions options;
  options.paths = {dir_.path() + "/rule.yml"};
  options.lists = api::record_lists(*store_);
  RuleBook again(options);
  const ReloadReport start = again.reload();
  EXPECT_TRUE(start.swapped) << start.problem;
  EXPECT_EQ(start.warnings.size(), 1u);
}

// An import makes a list named like its file.
TEST_F(RuleListsTest, AnImportOfATypeThatExceptionsCantUseIsRefusedWhereTheyNameIt) {
  list("other");
  load();
  const auto import = [this](const std::string& type) {
    const std::string form =
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"nets.txt\"\r\n\r\n1-5\n\r\n--B--\r\n";
    return ask("POST", "/api/lists/items/_import", {{"type", type}}, form, "elastic",
               {{"content-type", "multipart/form-data; boundary=B"}});
  };
  ASSERT_EQ(add(item(R"([{"field":"a","operator":"included","type":"list","list":{"id":"nets.txt","type":"keyword"}}])",
                     "one", "other"))
                .status,
            200);
  const Answer refused = import("integer_range");
  EXPECT_EQ(refused.status, 400) << refused.text;
  EXPECT_EQ(ask("GET", "/api/lists", {{"id", "nets.txt"}}).status, 404) << "and nothing was made";
  EXPECT_EQ(import("keyword").status, 200);
}

TEST_F(RuleListsTest, AnImportAndARestartCount) {
  load();
  const std::string file =
      Json{{"name", "n"}, {"description", "d"}, {"type", "detection"}, {"list_id", "mine"}}.dump() + "\n" +
      item(kUserSvc, "one").dump() + "\n";
  const std::string form =
      "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.ndjson\"\r\n\r\n" + file + "\r\n--B--\r\n";
  const Answer in = ask("POST", "/api/exception_lists/_import", {}, form, "elastic",
                        {{"content-type", "multipart/form-data; boundary=B"}});
  ASSERT_EQ(in.body["success"], true) << in.text;
  EXPECT_FALSE(alerts(kSvc));
  RuleBookOptions options;
  options.paths = {dir_.path() + "/rule.yml"};
  options.lists = api::record_lists(*store_);
  RuleBook again(options);
  ASSERT_TRUE(again.reload().swapped);
  EXPECT_EQ(again.current()->hash(), book_->current()->hash());
}

constexpr const char* kUserInNames =
    R"([{"field":"user.name","operator":"included","type":"list","list":{"id":"names","type":"keyword"}}])";

TEST_F(RuleListsTest, AValueCountsFromItsAnswerOn) {
  list("mine");
  load();
  EXPECT_EQ(add(item(kUserInNames, "one")).status, 400) << "there is no such value list";
  const auto names = [this](const std::string& method, const std::string& path, const Json& body) {
    const Answer a = ask(method, path, {}, body.dump());
    ASSERT_EQ(a.status, 200) << a.text;
  };
  names("POST", "/api/lists", {{"id", "names"}, {"name", "n"}, {"description", "d"}, {"type", "keyword"}});
  ASSERT_EQ(add(item(kUserInNames, "one")).status, 200);
  EXPECT_TRUE(alerts(kSvc)) << "nothing is in it";
  const std::string before = book_->current()->hash();
  names("POST", "/api/lists/items", {{"list_id", "names"}, {"value", "svc"}, {"id", "v"}});
  EXPECT_FALSE(alerts(kSvc));
  EXPECT_TRUE(alerts(kAnna));
  EXPECT_NE(book_->current()->hash(), before) << "an alert tells what the rule ran with";
  names("PUT", "/api/lists/items", {{"id", "v"}, {"value", "anna"}});
  EXPECT_TRUE(alerts(kSvc));
  EXPECT_FALSE(alerts(kAnna));
  const std::string form =
      "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.txt\"\r\n\r\nsvc\n\r\n--B--\r\n";
  ASSERT_EQ(ask("POST", "/api/lists/items/_import", {{"list_id", "names"}}, form, "elastic",
                {{"content-type", "multipart/form-data; boundary=B"}})
                .status,
            200);
  EXPECT_FALSE(alerts(kSvc));
  ASSERT_EQ(ask("DELETE", "/api/lists/items", {{"list_id", "names"}, {"value", "svc"}}).status, 200);
  EXPECT_TRUE(alerts(kSvc));
  EXPECT_FALSE(alerts(kAnna));
  // The same after a restart.
  RuleBookOptions options;
  options.paths = {dir_.path() + "/rule.yml"};
  options.lists = api::record_lists(*store_);
  RuleBook again(options);
  ASSERT_TRUE(again.reload().swapped);
  EXPECT_EQ(again.current()->hash(), book_->current()->hash());
}

TEST_F(RuleListsTest, AValueListThatIsGoneExceptsNothing) {
  list("mine");
  load();
  const Json names{{"id", "names"}, {"name", "n"}, {"description", "d"}, {"type", "keyword"}};
  ASSERT_EQ(ask("POST", "/api/lists", {}, names.dump()).status, 200);
  ASSERT_EQ(ask("POST", "/api/lists/items", {}, R"({"list_id":"names","value":"svc"})").status, 200);
  std::string excluded = kUserInNames;
  excluded.replace(excluded.find("included"), 8, "excluded");
  ASSERT_EQ(add(item(excluded, "one")).status, 200);
  EXPECT_TRUE(alerts(kSvc));
  EXPECT_FALSE(alerts(kAnna)) << "who is not in the list";
  ASSERT_EQ(ask("DELETE", "/api/lists", {{"id", "names"}, {"ignoreReferences", "true"}}).status, 200);
  EXPECT_TRUE(alerts(kSvc));
  EXPECT_TRUE(alerts(kAnna)) << "a list that is gone must not except everybody";
  RuleBookOptions options;
  options.paths = {dir_.path() + "/rule.yml"};
  options.lists = api::record_lists(*store_);
  RuleBook again(options);
  EXPECT_TRUE(again.reload().swapped) << "nor stop the rules at the next start";
  ASSERT_EQ(ask("POST", "/api/lists", {}, names.dump()).status, 200);
  EXPECT_TRUE(alerts(kAnna)) << "an empty one excepts nobody, too";
  ASSERT_EQ(ask("POST", "/api/lists/items", {}, R"({"list_id":"names","value":"svc"})").status, 200);
  EXPECT_FALSE(alerts(kAnna)) << "a new one of that name counts at once";
  ASSERT_EQ(ask("DELETE", "/api/lists/index").status, 200);
  EXPECT_TRUE(alerts(kAnna));
}

TEST_F(RuleListsTest, AddressesAreLookedUpAsAddresses) {
  list("mine");
  load();
  const Json ranges{{"id", "nets"}, {"name", "n"}, {"description", "d"}, {"type", "ip_range"}};
  ASSERT_EQ(ask("POST", "/api/lists", {}, ranges.dump()).status, 200);
  for (const char* value : {"10.0.0.0/8", "192.0.2.5-192.0.2.9", "2001:db8::/32"}) {
    ASSERT_EQ(ask("POST", "/api/lists/items", {}, Json{{"list_id", "nets"}, {"value", value}}.dump()).status, 200);
  }
  ASSERT_EQ(
      add(item(R"([{"field":"source.ip","operator":"included","type":"list","list":{"id":"nets","type":"ip_range"}}])",
               "one"))
          .status,
      200);
  const auto from = [this](const std::string& ip) {
    return alerts(R"({"event":{"code":"4688"},"source":{"ip":")" + ip + "\"}}");
  };
  for (const char* ip : {"10.1.2.3", "192.0.2.5", "192.0.2.7", "192.0.2.9", "2001:db8:0:0:0:0:0:1"}) {
    EXPECT_FALSE(from(ip)) << ip;
  }
  for (const char* ip : {"11.1.2.3", "192.0.2.4", "192.0.2.10", "2001:db9::1"}) EXPECT_TRUE(from(ip)) << ip;
  const auto on = [this](const std::string& field, const std::string& item_id) {
    Json body =
        item(R"([{"field":"f","operator":"included","type":"list","list":{"id":"nets","type":"ip_range"}}])", item_id);
    body["entries"][0]["field"] = field;
    return add(body);
  };
  ASSERT_EQ(on("source.address", "two").status, 200);
  EXPECT_FALSE(alerts(R"({"event":{"code":"4688"},"source":{"address":"192.0.2.6"}})"));
  EXPECT_TRUE(alerts(R"({"event":{"code":"4688"},"source":{"address":"192.0.2.0/24"}})")) << "no text of the list";
  const Answer refused = on("process.pid", "three");
  EXPECT_EQ(refused.status, 400) << refused.text;
  EXPECT_NE(refused.text.find("process.pid"), std::string::npos) << refused.text;
}

// What 1,000 exception lists name is read and kept once.
TEST_F(RuleListsTest, OneValueListIsOneSetForEveryListThatNamesIt) {
  ASSERT_EQ(ask("POST", "/api/lists", {}, R"({"id":"names","name":"n","description":"d","type":"keyword"})").status,
            200);
  ASSERT_EQ(ask("POST", "/api/lists/items", {}, R"({"list_id":"names","value":"svc"})").status, 200);
  const ListReader reader = api::record_lists(*store_);
  const auto set_of = [&](const std::string& id) {
    const auto content = reader({false, id, false});
    return content && content->items.size() == 1 ? content->items[0].values.at("names") : nullptr;
  };
  for (const char* id : {"mine", "other"}) {
    list(id);
    ASSERT_EQ(add(item(kUserInNames, id, id)).status, 200);
  }
  const auto first = set_of("mine");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first, set_of("other"));
  ASSERT_EQ(ask("DELETE", "/api/lists/items", {{"list_id", "names"}, {"value", "svc"}}).status, 200);
  EXPECT_NE(first, set_of("mine")) << "a value that goes is a change";
  ASSERT_EQ(ask("DELETE", "/api/lists", {{"id", "names"}, {"ignoreReferences", "true"}}).status, 200);
  EXPECT_EQ(set_of("mine"), nullptr) << "as is a list that goes";
}

TEST_F(RuleListsTest, AListThatIsNowhereIsAWarning) {
  const ReloadReport report = book_->reload();
  ASSERT_TRUE(report.swapped);
  ASSERT_EQ(report.loaded.rules.size(), 1u);
  const auto& all = report.loaded.rules[0].diagnostics;
  EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const auto& d) { return d.code == "exception-list-missing"; }), 1);
  list("mine");
  const ReloadReport second = book_->reload();
  EXPECT_EQ(second.loaded.rules[0].diagnostics.size() + 1, all.size());
}

}  // namespace
}  // namespace fb::test
