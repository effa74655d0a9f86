#include <atomic>
#include <set>
#include <thread>

#include "api/exceptions/objects.h"
#include "tests/unit/exceptions/exceptions_fixture.h"

namespace fb::test {
namespace {

TEST_F(ExceptionsTest, TheLifeOfAListAndAnItem) {
  EXPECT_EQ(add(item_body("10.10.0.1")).status, 404) << "no container yet";
  make_list();
  const Answer again = ask("POST", "/api/exception_lists", {}, list_body().dump());
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(again.body, (Json{{"message", std::string("exception list id: \"") + kList + "\" already exists"},
                              {"status_code", 409}}));
  const Answer made = add(item_body("10.10.0.1", "one"));
  ASSERT_EQ(made.status, 200) << made.text;
  for (const char* key :
       {"_version", "id", "item_id", "list_id", "type", "name", "description", "entries", "namespace_type", "comments",
        "tie_breaker_id", "created_at", "created_by", "updated_at", "updated_by", "os_types", "tags"}) {
    EXPECT_TRUE(made.body.contains(key)) << key;
  }
  EXPECT_FALSE(made.body.contains("meta") || made.body.contains("expire_time"));
  EXPECT_EQ(made.body["created_by"], "elastic");
  EXPECT_EQ(read("one").body, made.body);
  EXPECT_EQ(add(item_body("10.10.0.2", "one")).body["message"], "exception list item id: \"one\" already exists");
  const Answer gone = ask("DELETE", "/api/exception_lists/items", {{"item_id", "one"}, {"namespace_type", "agnostic"}});
  EXPECT_EQ(gone.body, made.body);
  EXPECT_EQ(read("one").body,
            (Json{{"message", "exception list item item_id: \"one\" does not exist"}, {"status_code", 404}}));
  ASSERT_EQ(add(item_body("10.10.0.3", "three")).status, 200);
  ASSERT_EQ(ask("DELETE", "/api/exception_lists", kAgnosticList).status, 200);
  EXPECT_EQ(read("three").status, 404) << "a list takes its items along";
  EXPECT_EQ(ask("GET", "/api/exception_lists", kAgnosticList).status, 404);
}

TEST_F(ExceptionsTest, NamespacesAreApart) {
  make_list();
  ASSERT_EQ(add(item_body("10.10.0.1", "one")).status, 200);
  EXPECT_EQ(ask("GET", "/api/exception_lists/items", {{"item_id", "one"}}).status, 404);
  EXPECT_EQ(ask("GET", "/api/exception_lists/items", {{"item_id", "one"}, {"namespace_type", "single"}}).status, 404);
  EXPECT_EQ(ask("GET", "/api/exception_lists/items", {{"item_id", "one"}, {"namespace_type", "all"}}).status, 400);
  Json single = item_body("10.10.0.1", "two");
  single["namespace_type"] = "single";
  EXPECT_EQ(add(single).status, 404);
  Json list = list_body();
  list["namespace_type"] = "single";
  EXPECT_EQ(ask("POST", "/api/exception_lists", {}, list.dump()).status, 400);
  list["list_id"] = "mine";
  EXPECT_EQ(ask("POST", "/api/exception_lists", {}, list.dump()).status, 200);
  list["namespace_type"] = "agnostic";
  EXPECT_EQ(ask("POST", "/api/exception_lists", {}, list.dump()).status, 200) << "the other namespace";
}

TEST_F(ExceptionsTest, ABodyIsHeldAgainstItsSchema) {
  make_list();
  const auto message = [&](const Json& body) {
    const Answer a = add(body);
    EXPECT_EQ(a.status, 400) << body;
    EXPECT_EQ(a.body.value("statusCode", 0), 400) << a.text;
    EXPECT_EQ(a.body.value("error", ""), "Bad Request");
    return a.body.value("message", "");
  };
  Json body = item_body("10.10.0.1");
  body["list_id"] = 5;
  EXPECT_EQ(message(body), "[request body]: list_id: Expected string, received number");
  for (const char* key : {"description", "entries", "list_id", "name", "type"}) {
    body = item_body("10.10.0.1");
    body.erase(key);
    EXPECT_EQ(message(body), std::string("[request body]: ") + key + ": Required");
  }
  const struct {
    const char* key;
    Json value;
  } wrong[] = {{"type", "other"},
               {"os_types", "linux"},
               {"os_types", {"linux", "beos"}},
               {"tags", {1}},
               {"entries", Json::object()},
               {"entries", Json::array()},
               {"namespace_type", "all"},
               {"comments", {"text"}},
               {"comments", {{{"comment", " "}}}},
               {"meta", "text"},
               {"expire_time", "soon"},
               {"item_id", ""}};
  for (const auto& w : wrong) {
    body = item_body("10.10.0.1");
    body[w.key] = w.value;
    EXPECT_TRUE(message(body).starts_with(std::string("[request body]: ") + w.key)) << w.key << w.value;
  }
  Json list = list_body();
  list["list_id"] = "nulls";
  for (const char* key : {"os_types", "tags", "meta", "version"}) list[key] = nullptr;
  const Answer made = ask("POST", "/api/exception_lists", {}, list.dump());
  EXPECT_EQ(made.status, 200) << made.text;
  EXPECT_EQ(made.body["version"], 1);
  EXPECT_FALSE(made.body.contains("meta"));
  list["name"] = nullptr;
  EXPECT_EQ(ask("POST", "/api/exception_lists", {}, list.dump()).body["message"],
            "[request body]: name: Expected string, received null");
  EXPECT_EQ(ask("POST", "/api/exception_lists/items", {}, "{").body["message"], "Invalid request payload JSON format");
  EXPECT_EQ(ask("POST", "/api/exception_lists/items", {}, "[]").status, 400);
  EXPECT_EQ(find({}).body["total"], 0);
}

TEST_F(ExceptionsTest, AHostIsolationExceptionIsOneAddress) {
  make_list();
  const auto refused = [&](const Json& body) {
    const Answer a = add(body);
    EXPECT_EQ(a.status, 400) << body;
    EXPECT_EQ(a.body.value("status_code", 0), 400) << a.text;
    const auto text = a.body.value("message", "");
    EXPECT_TRUE(text.starts_with("EndpointArtifactError: ")) << text;
    return text.substr(std::min<size_t>(text.size(), 23));
  };
  for (const char* value : {"256.1.1.1", "host.example", " 10.0.0.1", "10.0.0.1 ", "10.0.0.0/33", "010.0.0.1",
                            "10.0.0.0/08", "10.0.0", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.1\n"}) {
    EXPECT_EQ(refused(item_body(value)), std::string("[entries.0.value]: invalid ip: ") + value);
  }
  for (const char* value : {"0.0.0.0/0", "::/0", "10.0.0.0/7", "2001::/31", "1.2.3.4/0"}) {
    const std::string text = refused(item_body(value));
    EXPECT_GT(text.size(), std::string("[entries.0.value]: invalid ip: : ").size() + std::string(value).size()) << text;
  }
  for (const char* value : {"10.10.0.1", "10.1.2.3/8", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32"}) {
    const Answer a = add(item_body(value));
    EXPECT_EQ(a.status, 200) << a.text;
    EXPECT_EQ(a.body["entries"][0]["value"], value) << "as it was sent";
  }
  Json body = item_body("10.10.0.1");
  body["entries"].push_back(body["entries"][0]);
  EXPECT_EQ(refused(body), "[entries]: array size is [2], but cannot be greater than [1]");
  body = item_body("10.10.0.1");
  body["entries"][0]["more"] = 1;
  EXPECT_EQ(refused(body), "[entries.0.more]: definition for this key is missing");
  body["entries"][0].erase("more");
  body["entries"][0]["field"] = "source.ip";
  EXPECT_EQ(refused(body), "[entries.0.field]: expected value to equal [destination.ip]");
  body = item_body("10.10.0.1");
  body["entries"][0]["operator"] = "excluded";
  refused(body);
  body["entries"][0] = {
      {"field", "destination.ip"}, {"type", "match_any"}, {"operator", "included"}, {"value", {"10.0.0.1"}}};
  refused(body);
  body = item_body("10.10.0.1");
  body["os_types"] = {"linux"};
  EXPECT_EQ(refused(body), "[osTypes]: array size is [1], but cannot be smaller than [3]");
  body["os_types"] = {"linux", "linux", "macos", "windows"};
  EXPECT_EQ(refused(body), "[osTypes]: array size is [4], but cannot be greater than [3]");
  body.erase("os_types");
  refused(body);
  body = item_body("10.10.0.1");
  body["name"] = "";
  refused(body);
  body["name"] = std::string(257, 'x');
  refused(body);
}

TEST_F(ExceptionsTest, TagsNamePoliciesThatExist) {
  make_list();
  EndpointPolicy policy;
  policy.id = "servers";
  policy.name = "Servers";
  ASSERT_TRUE(store_->add_policy(policy, "user:x"));
  Json body = item_body("10.10.0.1");
  body["tags"] = {"policy:all", "policy:servers"};
  EXPECT_EQ(add(body).status, 400);
  body["tags"] = {"policy:a", "policy:servers", "policy:b"};
  EXPECT_EQ(add(body).body["message"], "EndpointArtifactError: invalid policy ids: a, b");
  body["tags"] = {"policy:"};
  EXPECT_EQ(add(body).body["message"], "EndpointArtifactError: invalid policy ids: ");
  body["tags"] = {"policy:servers", "ownerSpaceId:default", "words"};
  const Answer a = add(body);
  EXPECT_EQ(a.status, 200) << a.text;
  EXPECT_EQ(a.body["tags"], body["tags"]);
}

// Another policy of the same id, later, must not open what was meant for the first one.
TEST_F(ExceptionsTest, APolicyThatGoesIsTakenOutOfTheItemsThatNameIt) {
  make_list();
  EndpointPolicy servers, clients;
  servers.id = "servers", servers.name = "Servers";
  clients.id = "clients", clients.name = "Clients";
  ASSERT_TRUE(store_->add_policy(servers, "user:x"));
  ASSERT_TRUE(store_->add_policy(clients, "user:x"));
  Json body = item_body("10.10.0.1", "both");
  body["tags"] = {"policy:servers", "words", "policy:clients"};
  ASSERT_EQ(add(body).status, 200);
  body = item_body("10.10.0.2", "one");
  body["tags"] = {"policy:servers"};
  ASSERT_EQ(add(body).status, 200);
  const Answer other = add(item_body("10.10.0.3", "all"));
  const int told = told_;
  ASSERT_EQ(ask("DELETE", "/api/firebreak/policies/servers", {}, "", "anna").status, 200);
  EXPECT_EQ(told_, told + 1) << "isolated hosts";
  const auto item = [&](const char* item_id) {
    return ask("GET", "/api/exception_lists/items", {{"item_id", item_id}, {"namespace_type", "agnostic"}}).body;
  };
  EXPECT_EQ(item("both")["tags"], Json({"words", "policy:clients"}));
  EXPECT_EQ(item("both")["updated_by"], "anna");
  EXPECT_EQ(item("one")["tags"], Json::array());
  EXPECT_EQ(item("all"), other.body) << "as it was";
  const auto opened = store_->exceptions().open_addresses();
  ASSERT_TRUE(opened);
  for (const OpenAddress& open : *opened) {
    EXPECT_EQ(std::count(open.policies.begin(), open.policies.end(), "servers"), 0) << open.address;
  }
  Json again = item("one");
  for (const char* key : {"created_at", "created_by", "updated_at", "updated_by", "tie_breaker_id", "id"})
    again.erase(key);
  EXPECT_EQ(change(again).status, 200) << "it can be written as it is read";
}

TEST_F(ExceptionsTest, AVersionIsForOneStateOnly) {
  EXPECT_EQ(api::version_token(2118), "WzIxMTgsMV0=");
  EXPECT_EQ(*api::read_version_token("WzQsMV0="), 4);
  make_list();
  const Answer made = add(item_body("10.10.0.1", "one"));
  Json body = item_body("10.10.0.15", "one");
  body["_version"] = made.body["_version"];
  const Answer changed = change(body);
  ASSERT_EQ(changed.status, 200) << changed.text;
  EXPECT_NE(changed.body["_version"], made.body["_version"]);
  EXPECT_EQ(changed.body["created_at"], made.body["created_at"]);
  EXPECT_EQ(changed.body["tie_breaker_id"], made.body["tie_breaker_id"]);
  const Answer stale = change(body);
  EXPECT_EQ(stale.status, 409);
  EXPECT_EQ(stale.body.value("status_code", 0), 409);
  for (const char* token : {"", "x", "WzFd", "e30=", "WyJhIiwxXQ=="}) {
    body["_version"] = token;
    EXPECT_EQ(change(body).status, 400) << token;
  }
  body["_version"] = "WzEsMl0=";  // of another primary term
  EXPECT_EQ(change(body).status, 409);
  body.erase("_version");
  EXPECT_EQ(change(body).status, 200) << "the last writer wins";
  Json list = list_body();
  list["_version"] = "WzEsMV0=";
  EXPECT_EQ(ask("PUT", "/api/exception_lists", {}, list.dump()).status, 200) << "the list's own first version";
  EXPECT_EQ(ask("PUT", "/api/exception_lists", {}, list.dump()).status, 409);
  // Deleted and made anew: not the old one's version.
  ASSERT_EQ(ask("DELETE", "/api/exception_lists/items", {{"item_id", "one"}, {"namespace_type", "agnostic"}}).status,
            200);
  EXPECT_NE(add(item_body("10.10.0.1", "one")).body["_version"], made.body["_version"]);
}

TEST_F(ExceptionsTest, PutIsWholeButForWhatIsNotTheClients) {
  make_list();
  Json body = item_body("10.10.0.1", "one");
  body["meta"] = {{"b", 1}, {"a", {1.5, nullptr, "x"}}};
  const Answer made = add(body);
  ASSERT_EQ(made.status, 200);
  EXPECT_EQ(made.body["meta"].dump(), body["meta"].dump()) << "in its order";
  clock_.advance_ms(5);
  Json put = item_body("10.10.0.15");
  put.erase("tags");
  put.erase("list_id");
  put["id"] = made.body["id"];
  put["item_id"] = "renamed";
  const Answer changed = change(put, "another");
  ASSERT_EQ(changed.status, 200) << changed.text;
  EXPECT_EQ(changed.body["tags"], Json::array());
  EXPECT_FALSE(changed.body.contains("meta"));
  EXPECT_EQ(changed.body["item_id"], "renamed");
  EXPECT_EQ(changed.body["created_by"], "elastic");
  EXPECT_EQ(changed.body["updated_by"], "another");
  EXPECT_NE(changed.body["updated_at"], made.body["updated_at"]);
  put.erase("os_types");
  EXPECT_EQ(change(put).status, 400);
  put = item_body("10.10.0.15");
  EXPECT_EQ(change(put).body, (Json{{"message", "either id or item_id need to be defined"}, {"status_code", 404}}));
  put["item_id"] = "nobody";
  EXPECT_EQ(change(put).status, 404);
  put["item_id"] = "renamed";
  put["list_id"] = "other";
  EXPECT_EQ(change(put).status, 404);
}

TEST_F(ExceptionsTest, CommentsAreTheirAuthors) {
  make_list();
  Json body = item_body("10.10.0.1", "one");
  body["comments"] = {{{"comment", "first"}}};
  const Answer made = add(body, "anna");
  const std::string first = made.body["comments"][0]["id"];
  EXPECT_EQ(made.body["comments"][0]["created_by"], "anna");
  body["comments"] = {{{"comment", "by bert"}}, {{"comment", "first"}, {"id", first}}};
  const Answer disordered = change(body, "bert");
  EXPECT_EQ(disordered.status, 400);
  EXPECT_EQ(disordered.body["message"], Json({"item \"comments\" are append only"}));
  body["comments"] = {{{"comment", "first"}, {"id", first}}, {{"comment", "by bert"}}};
  const Answer second = change(body, "bert");
  ASSERT_EQ(second.status, 200) << second.text;
  ASSERT_EQ(second.body["comments"].size(), 2u);
  EXPECT_EQ(second.body["comments"][0], made.body["comments"][0]) << "sent back as it was: no change";
  EXPECT_EQ(second.body["comments"][1]["created_by"], "bert");
  body["comments"] = {{{"comment", "changed"}, {"id", first}}};
  EXPECT_EQ(change(body, "bert").status, 403);
  const Answer third = change(body, "anna");
  ASSERT_EQ(third.status, 200) << third.text;
  ASSERT_EQ(third.body["comments"].size(), 2u) << "left out is kept";
  EXPECT_EQ(third.body["comments"][0]["comment"], "changed");
  EXPECT_EQ(third.body["comments"][0]["updated_by"], "anna");
  EXPECT_TRUE(third.body["comments"][0].contains("updated_at"));
  body["comments"] = {{{"comment", "x"}, {"id", "nobody's"}}};
  const Answer wrong = change(body);
  EXPECT_EQ(wrong.status, 400);
  EXPECT_TRUE(wrong.body["message"].is_array());
  body.erase("comments");
  EXPECT_EQ(change(body).body["comments"].size(), 2u);
}

TEST_F(ExceptionsTest, OfRacingCreatesOneWins) {
  make_list();
  std::atomic<int> made = 0;
  std::atomic<int> taken = 0;
  std::vector<std::thread> racers;
  for (int i = 0; i < 8; ++i) {
    racers.emplace_back([&] {
      const int status = add(item_body("10.10.0.1", "same")).status;
      if (status == 200) ++made;
      if (status == 409) ++taken;
    });
  }
  for (std::thread& t : racers) t.join();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(taken, 7);
  // Changes without a version: every one gets through, each with a version of its own.
  std::mutex mutex;
  std::set<std::string> versions;
  racers.clear();
  for (int i = 0; i < 8; ++i) {
    racers.emplace_back([&, i] {
      const Answer a = change(item_body("10.10.0." + std::to_string(i + 1), "same"));
      const std::lock_guard lock(mutex);
      if (a.status == 200) versions.insert(a.body["_version"].get<std::string>());
    });
  }
  for (std::thread& t : racers) t.join();
  EXPECT_EQ(versions.size(), 8u);
}

TEST_F(ExceptionsTest, TextsAreData) {
  make_list();
  const std::string nasty =
      "'; DROP TABLE exception_items; --\"<script>alert(1)</script>\\ \x01\x1b[31m\t\n{}%s ${x} "
      "\xF0\x9F\x94\xA5\xE2\x80\xAE";
  Json body = item_body("10.10.0.1", nasty);
  body["name"] = nasty;
  body["description"] = nasty;
  body["tags"] = {"policy:all", nasty};
  body["meta"] = {{nasty, nasty}};
  body["comments"] = {{{"comment", nasty}}};
  const Answer made = add(body);
  ASSERT_EQ(made.status, 200) << made.text;
  const Answer back = read(nasty);
  ASSERT_EQ(back.status, 200);
  EXPECT_EQ(back.body, made.body);
  for (const char* key : {"name", "description", "item_id"}) EXPECT_EQ(back.body[key], nasty) << key;
  EXPECT_EQ(back.body["meta"], body["meta"]);
  EXPECT_EQ(back.body["comments"][0]["comment"], nasty);
  EXPECT_EQ(find({{"sort_field", "name"}}).body["data"][0], back.body);
  body["item_id"] = std::string("a\0b", 3);
  EXPECT_EQ(add(body).status, 200);
  EXPECT_EQ(read(std::string("a\0b", 3)).body["item_id"], std::string("a\0b", 3));
  EXPECT_EQ(ask("POST", "/api/exception_lists/items", {}, "{\"name\":\"\xff\"}").status, 400);
}

TEST_F(ExceptionsTest, FindPagesAndSorts) {
  make_list();
  for (const char* id : {"b", "a", "c", "e", "d"}) {
    Json body = item_body("10.10.0.1", id);
    body["name"] = std::string("name-") + id;
    ASSERT_EQ(add(body).status, 200);
    clock_.advance_ms(1000);
  }
  const auto ids = [&](const Query& query) {
    const Answer a = find(query);
    std::string all;
    for (const Json& item : a.body["data"]) all += item["item_id"].get<std::string>();
    return all;
  };
  EXPECT_EQ(ids({}), "decab") << "newest first";
  EXPECT_EQ(ids({{"sort_field", "name"}}), "abcde");
  EXPECT_EQ(ids({{"sort_field", "name"}, {"sort_order", "desc"}}), "edcba");
  EXPECT_EQ(ids({{"sort_field", "item_id"}, {"per_page", "2"}, {"page", "2"}}), "cd");
  EXPECT_EQ(ids({{"sort_field", "description"}, {"per_page", "2"}}).size(), 2u);
  EXPECT_EQ(ids({{"sort_field", "created_at"}, {"filter", "exception-list-agnostic.attributes.name:*"}}), "baced");
  EXPECT_EQ(ids({{"page", "9"}}), "");
  const Answer page = find({{"page", "2"}, {"per_page", "2"}});
  EXPECT_EQ(page.body["total"], 5);
  EXPECT_EQ(page.body["page"], 2);
  EXPECT_EQ(page.body["per_page"], 2);
  EXPECT_EQ(find({}).body["per_page"], 20);
  const Json part = find({{"fields", "name,tags"}, {"per_page", "1"}}).body["data"][0];
  EXPECT_EQ(part["name"], "name-d");
  EXPECT_TRUE(part.contains("tags") && part.contains("id") && part.contains("item_id"));
  EXPECT_FALSE(part.contains("entries") || part.contains("comments"));
  EXPECT_EQ(find({{"page", "x"}}).status, 400);
  EXPECT_EQ(find({{"per_page", "-1"}}).status, 400);
  EXPECT_EQ(find({{"sort_order", "up"}}).status, 400);
  EXPECT_EQ(find({{"sort_field", "nothing"}}).body,
            (Json{{"message", "Unknown sort field nothing: Bad Request"}, {"status_code", 400}}));
  EXPECT_EQ(find({{"per_page", "10000"}}).status, 200);
  for (const Query& beyond : {Query{{"per_page", "10001"}}, Query{{"page", "101"}, {"per_page", "100"}}}) {
    const Answer a = find(beyond);
    EXPECT_EQ(a.status, 400);
    EXPECT_TRUE(a.body.value("message", "").starts_with("Result window is too large")) << a.text;
  }
  EXPECT_EQ(ids({{"search", "name-c"}, {"sort_field", "name"}}), "abcde") << "any of the words";
  EXPECT_EQ(ids({{"search", "nothing"}}), "");
}

TEST_F(ExceptionsTest, FindFiltersByKql) {
  make_list();
  EndpointPolicy policy;
  policy.id = "p1";
  policy.name = "P1";
  ASSERT_TRUE(store_->add_policy(policy, "user:x"));
  Json body = item_body("10.10.0.1", "one");
  body["name"] = "Update server";
  ASSERT_EQ(add(body).status, 200);
  body = item_body("192.0.2.0/24", "two");
  body["tags"] = {"policy:p1"};
  ASSERT_EQ(add(body, "anna").status, 200);
  const auto ids = [&](const std::string& filter) {
    const Answer a = find({{"filter", filter}, {"sort_field", "item_id"}});
    EXPECT_EQ(a.status, 200) << filter << a.text;
    const Json data = a.body.value("data", Json::array());
    std::string all;
    for (const Json& item : data) all += item["item_id"].get<std::string>() + " ";
    return all;
  };
  const std::string p = "exception-list-agnostic.attributes.";
  EXPECT_EQ(ids(p + "name:Update*"), "one ");
  EXPECT_EQ(ids(p + "name:\"Update server\""), "one ");
  EXPECT_EQ(ids(p + "tags:\"policy:all\""), "one ");
  EXPECT_EQ(ids(p + "tags:policy\\:p1"), "two ");
  EXPECT_EQ(ids(p + "entries.value:\"10.10.0.1\""), "one ");
  EXPECT_EQ(ids(p + "entries.value:*192*"), "two ");
  EXPECT_EQ(ids(p + "os_types:linux"), "one two ");
  EXPECT_EQ(ids("not " + p + "created_by:elastic"), "two ");
  EXPECT_EQ(ids("(" + p + "item_id:one or " + p + "item_id:two) and not " + p + "name.text:server"), "two ");
  EXPECT_EQ(ids(p + "list_type:item and " + p + "meta:*"), "");
  EXPECT_EQ(ids(p + "item_id >= two"), "two ");
  EXPECT_EQ(ids(p + "created_at >= now-1h"), "one two ");
  EXPECT_EQ(ids(p + "created_at < now-1h"), "");
  EXPECT_EQ(ids(p + "created_at >= now-1h and not exception-list-agnostic.updated_at > now+1h"), "one two ");
  const auto message = [&](const std::string& filter) {
    const Answer a = find({{"filter", filter}});
    EXPECT_EQ(a.status, 400) << filter;
    return a.body.value("message", "");
  };
  EXPECT_EQ(message("name:x"),
            "This key 'name' need to be wrapped by a saved object type like exception-list-agnostic: Bad Request");
  EXPECT_EQ(message("exception-list.attributes.name:x"), "This type exception-list is not allowed: Bad Request");
  message("alert.attributes.name:x");
  message(p + "secret:x");
  message("exception-list-agnostic.name:x");
  message("just words");
  message(p + "name:(");
  EXPECT_EQ(message(p + "name:a," + p + "name:b"),
            "list_id and filter need to have the same comma separated number of values. Expected list_id length: 1 to "
            "equal filter length: 2");
  const Answer two = ask("GET", "/api/exception_lists/items/_find",
                         {{"list_id", std::string(kList) + ",other"}, {"namespace_type", "agnostic"}});
  EXPECT_EQ(two.body["message"],
            "list_id and namespace_id need to have the same comma separated number of values. Expected list_id length: "
            "2 to equal namespace_type length: 1");
  const Answer some = ask("GET", "/api/exception_lists/items/_find",
                          {{"list_id", std::string(kList) + ",other"}, {"namespace_type", "agnostic,single"}});
  EXPECT_EQ(some.body["total"], 2);
  EXPECT_EQ(
      ask("GET", "/api/exception_lists/items/_find", {{"list_id", "a,b"}, {"namespace_type", "single,single"}}).body,
      (Json{{"message", "exception list id: \"a,b\" does not exist"}, {"status_code", 404}}));
}

TEST_F(ExceptionsTest, GenericListsTakeEveryKindOfEntry) {
  const Json list{{"name", "n"}, {"description", "d"}, {"type", "detection"}, {"list_id", "mine"}};
  ASSERT_EQ(ask("POST", "/api/exception_lists", {}, list.dump()).status, 200);
  const Json entries = Json::parse(R"([
    {"field":"a","operator":"included","type":"match","value":"x"},
    {"field":"b","operator":"excluded","type":"match_any","value":["x","y"]},
    {"field":"c","operator":"included","type":"exists"},
    {"field":"d","operator":"included","type":"wildcard","value":"x*"},
    {"field":"e","operator":"included","type":"list","list":{"id":"l","type":"ip"}},
    {"field":"f","type":"nested","entries":[{"field":"g","operator":"included","type":"match","value":"x"}]}])");
  Json item{{"list_id", "mine"}, {"name", "n"}, {"description", "d"}, {"type", "simple"}, {"entries", entries}};
  item["expire_time"] = "2030-01-01T00:00:00.000Z";
  const Answer made = add(item);
  ASSERT_EQ(made.status, 200) << made.text;
  EXPECT_EQ(made.body["entries"].dump(), entries.dump()) << "as it was sent, in its order";
  EXPECT_EQ(made.body["namespace_type"], "single");
  EXPECT_EQ(made.body["expire_time"], "2030-01-01T00:00:00.000Z");
  EXPECT_EQ(made.body["os_types"], Json::array());
  item["entries"] = {{{"field", "f"},
                      {"type", "nested"},
                      {"entries", {{{"field", "g"}, {"type", "nested"}, {"entries", Json::array()}}}}}};
  EXPECT_EQ(add(item).status, 400);
  const Answer lists = ask("GET", "/api/exception_lists/_find", {{"filter", "exception-list.attributes.list_id:mine"}});
  EXPECT_EQ(lists.body["total"], 1);
  EXPECT_EQ(ask("GET", "/api/exception_lists/_find", {{"namespace_type", "agnostic"}}).body["total"], 0);
  EXPECT_EQ(ask("GET", "/api/exception_lists/_find", {{"page", "0"}}).status, 400);
}

TEST_F(ExceptionsTest, EveryChangeIsInTheAudit) {
  make_list();
  ASSERT_EQ(add(item_body("10.10.0.1", "one"), "anna").status, 200);
  ASSERT_EQ(change(item_body("10.10.0.2", "one"), "bert").status, 200);
  ASSERT_EQ(ask("DELETE", "/api/exception_lists/items", {{"item_id", "one"}, {"namespace_type", "agnostic"}}).status,
            200);
  const auto reader = record::Reader::open(store_->db_path());
  ASSERT_TRUE(reader);
  const auto rows = (*reader)->audit(0, 100);
  ASSERT_TRUE(rows);
  std::string seen;
  for (const record::AuditRow& row : *rows) {
    if (row.ref == "one") seen += row.actor + " " + row.what + "; ";
  }
  EXPECT_EQ(seen, "user:anna exception_added; user:bert exception_changed; user:elastic exception_removed; ");
}

}  // namespace
}  // namespace fb::test
