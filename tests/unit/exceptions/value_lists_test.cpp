// Value lists and their values over the API: what goes in comes out, and what is wrong is told in Kibana's words.
#include "engine/record/value_lists.h"

#include "api/exceptions/values.h"
#include "tests/support/cpu_time.h"
#include "tests/unit/exceptions/exceptions_fixture.h"

namespace fb::test {
namespace {

class ValueListsTest : public ExceptionsTest {
 protected:
  Answer make(const std::string& id, const std::string& type) {
    return ask("POST", "/api/lists", {},
               Json{{"id", id}, {"name", "N " + id}, {"description", "D"}, {"type", type}}.dump());
  }
  Answer put_in(const std::string& list, const std::string& value, const std::string& id = "") {
    Json body{{"list_id", list}, {"value", value}};
    if (!id.empty()) body["id"] = id;
    return ask("POST", "/api/lists/items", {}, body.dump());
  }
  Answer upload(const std::string& file, Query query, const std::string& name = "bad.txt") {
    const std::string body = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name +
                             "\"\r\nContent-Type: text/plain\r\n\r\n" + file + "\r\n--B--\r\n";
    return ask("POST", "/api/lists/items/_import", query, body, "elastic",
               {{"content-type", "multipart/form-data; boundary=B"}});
  }
  std::string exported(const std::string& list) {
    return ask("POST", "/api/lists/items/_export", {{"list_id", list}}).text;
  }
  Answer found(const std::string& list, Query query = {}) {
    query["list_id"] = list;
    return ask("GET", "/api/lists/items/_find", query);
  }
};

TEST_F(ValueListsTest, TheLifeOfAList) {
  const Answer made = make("bad-ips", "ip");
  ASSERT_EQ(made.status, 200) << made.text;
  EXPECT_EQ(made.body["id"], "bad-ips");
  EXPECT_EQ(made.body["type"], "ip");
  EXPECT_EQ(made.body["version"], 1);
  EXPECT_EQ(made.body["immutable"], false);
  EXPECT_EQ(made.body["created_by"], "elastic");
  EXPECT_EQ(make("bad-ips", "ip").body["message"], "list id: \"bad-ips\" already exists");
  EXPECT_EQ(make("bad-ips", "ip").status, 409);
  EXPECT_EQ(ask("GET", "/api/lists", {{"id", "bad-ips"}}).body, made.body);
  EXPECT_EQ(ask("GET", "/api/lists", {{"id", "x"}}).body,
            (Json{{"message", "list id: \"x\" does not exist"}, {"status_code", 404}}));
  EXPECT_EQ(ask("GET", "/api/lists").status, 400);

  const Answer patched = ask("PATCH", "/api/lists", {}, R"({"id":"bad-ips","name":"Patched","meta":{"a":1}})", "anna");
  ASSERT_EQ(patched.status, 200) << patched.text;
  EXPECT_EQ(patched.body["name"], "Patched");
  EXPECT_EQ(patched.body["description"], "D") << "what a patch leaves out stays";
  EXPECT_EQ(patched.body["version"], 2);
  EXPECT_EQ(patched.body["updated_by"], "anna");
  EXPECT_NE(patched.body["_version"], made.body["_version"]);
  const Json replacing{
      {"id", "bad-ips"}, {"name", "New"}, {"description", "D2"}, {"_version", patched.body["_version"]}};
  const Answer replaced = ask("PUT", "/api/lists", {}, replacing.dump());
  ASSERT_EQ(replaced.status, 200) << replaced.text;
  EXPECT_EQ(replaced.body["description"], "D2");
  EXPECT_FALSE(replaced.body.contains("meta")) << "what a replacement leaves out goes";
  EXPECT_EQ(ask("PUT", "/api/lists", {}, replacing.dump()).status, 409) << "somebody was faster";
  EXPECT_EQ(ask("PUT", "/api/lists", {}, R"({"id":"bad-ips","name":"n"})").status, 400);
  EXPECT_EQ(ask("PUT", "/api/lists", {}, R"({"id":"x","name":"n","description":"d"})").body["message"],
            "list id: \"x\" not found");

  ASSERT_EQ(put_in("bad-ips", "192.0.2.1").status, 200);
  EXPECT_EQ(ask("DELETE", "/api/lists", {{"id", "bad-ips"}}).body["name"], "New");
  EXPECT_EQ(ask("DELETE", "/api/lists", {{"id", "bad-ips"}}).status, 404);
  ASSERT_EQ(make("bad-ips", "ip").status, 200);
  EXPECT_EQ(found("bad-ips").body["total"], 0) << "the values went with their list";
}

TEST_F(ValueListsTest, TheLifeOfAValue) {
  ASSERT_EQ(make("names", "keyword").status, 200);
  EXPECT_EQ(put_in("nowhere", "x").body["message"], "list id: \"nowhere\" does not exist");
  EXPECT_EQ(put_in("nowhere", "x").status, 404);
  const Answer made = put_in("names", "svc-backup", "v1");
  ASSERT_EQ(made.status, 200) << made.text;
  EXPECT_EQ(made.body["value"], "svc-backup");
  EXPECT_EQ(made.body["list_id"], "names");
  EXPECT_EQ(made.body["type"], "keyword");
  EXPECT_EQ(put_in("names", "other", "v1").body["message"], "list item id: \"v1\" already exists");
  const Query by_id{{"id", "v1"}};
  const Query by_value{{"list_id", "names"}, {"value", "svc-backup"}};
  EXPECT_EQ(ask("GET", "/api/lists/items", by_id).body, made.body);
  EXPECT_EQ(ask("GET", "/api/lists/items", by_value).body, Json::array({made.body}));
  EXPECT_EQ(ask("GET", "/api/lists/items", {{"list_id", "names"}, {"value", "x"}}).body["message"],
            "list_id: \"names\" item of x does not exist");
  EXPECT_EQ(ask("GET", "/api/lists/items", {{"id", "x"}}).body["message"], "list item id: \"x\" does not exist");
  EXPECT_EQ(ask("GET", "/api/lists/items").status, 400);
  const Answer changed = ask("PUT", "/api/lists/items", {}, R"({"id":"v1","value":"svc-2"})", "anna");
  ASSERT_EQ(changed.status, 200) << changed.text;
  EXPECT_EQ(changed.body["value"], "svc-2");
  EXPECT_EQ(changed.body["created_by"], "elastic");
  EXPECT_EQ(changed.body["updated_by"], "anna");
  Json stale{{"id", "v1"}, {"value", "svc-3"}, {"_version", made.body["_version"]}};
  EXPECT_EQ(ask("PATCH", "/api/lists/items", {}, stale.dump()).status, 409);
  stale["_version"] = "junk";
  EXPECT_EQ(ask("PATCH", "/api/lists/items", {}, stale.dump()).status, 400);
  EXPECT_EQ(ask("PATCH", "/api/lists/items", {}, R"({"id":"v1","meta":{"a":1}})").body["value"], "svc-2");
  EXPECT_EQ(ask("PUT", "/api/lists/items", {}, R"({"id":"x","value":"y"})").body["message"],
            "list item id: \"x\" not found");
  EXPECT_EQ(ask("DELETE", "/api/lists/items", by_value).body["message"],
            "list_id: \"names\" with svc-backup was not found");
  EXPECT_EQ(ask("DELETE", "/api/lists/items", by_id).body["value"], "svc-2");
  EXPECT_EQ(ask("DELETE", "/api/lists/items", by_id).status, 404);
  ASSERT_EQ(put_in("names", "twice").status, 200);
  ASSERT_EQ(put_in("names", "twice").status, 200);
  EXPECT_EQ(ask("DELETE", "/api/lists/items", {{"list_id", "names"}, {"value", "twice"}}).body.size(), 2u);
  EXPECT_EQ(found("names").body["total"], 0);
}

TEST_F(ValueListsTest, AValueIsOfItsListsType) {
  const struct {
    const char* type;
    std::vector<const char*> good;
    std::vector<const char*> bad;
  } cases[] = {
      {"ip", {"192.0.2.1", "2001:db8::1"}, {"192.0.2.0/24", "host.example", "256.1.1.1"}},
      {"ip_range",
       {"192.0.2.0/24", "192.0.2.1-192.0.2.9", "2001:db8::/32", "192.0.2.1"},
       {"192.0.2.9-192.0.2.1", "192.0.2.0/33", "192.0.2.1-2001:db8::1", "a-b"}},
      {"byte", {"127", "-128"}, {"128", "x"}},
      {"long", {"9223372036854775807"}, {"9223372036854775808", "1.5"}},
      {"double", {"1.5", "-2e9"}, {"one"}},
      {"boolean", {"true"}, {"yes"}},
      {"date", {"2026-11-22T00:00:00.000Z"}, {"yesterday"}},
      {"integer_range", {"1-5", "-5--1"}, {"1", "a-b"}},
      {"keyword", {"any text, with \"signs\""}, {"two\nlines"}},
      {"text", {"words"}, {}},
  };
  for (const auto& c : cases) {
    ASSERT_EQ(make(c.type, c.type).status, 200);
    for (const char* value : c.good) EXPECT_EQ(put_in(c.type, value).status, 200) << c.type << " " << value;
    for (const char* value : c.bad) {
      const Answer a = put_in(c.type, value);
      EXPECT_EQ(a.status, 400) << c.type << " " << value;
      EXPECT_TRUE(a.body.value("message", "").starts_with("list item invalid")) << a.text;
    }
    EXPECT_EQ(found(c.type).body["total"], c.good.size());
  }
  EXPECT_EQ(put_in("keyword", std::string(32'767, 'x')).status, 400);
  EXPECT_EQ(make("x", "no-type").status, 400);
  EXPECT_EQ(ask("POST", "/api/lists", {}, R"({"name":"n","type":"ip"})").body["message"],
            "[request body]: description: Required");
  EXPECT_EQ(ask("POST", "/api/lists", {}, "[]").body["message"], "[request body]: Expected object, received array");
  EXPECT_EQ(ask("POST", "/api/lists", {}, "{").status, 400);
  EXPECT_EQ(ask("POST", "/api/lists/items", {}, R"({"list_id":"ip","value":5})").body["message"],
            "[request body]: value: Expected string, received number");
  EXPECT_EQ(ask("POST", "/api/lists/items", {}, R"({"list_id":"ip","value":"192.0.2.1","refresh":"now"})").status, 400);
}

TEST_F(ValueListsTest, LinesGoInAndOut) {
  const Answer in = upload("192.0.2.1\r\n\r\n  192.0.2.2 \n192.0.2.1", {{"type", "ip"}});
  ASSERT_EQ(in.status, 200) << in.text;
  EXPECT_EQ(in.body["id"], "bad.txt") << "named like the file";
  EXPECT_EQ(in.body["type"], "ip");
  EXPECT_EQ(in.body["description"], "File uploaded from file system of bad.txt");
  EXPECT_EQ(exported("bad.txt"), "192.0.2.1\n192.0.2.2\n") << "each once";
  EXPECT_EQ(upload("192.0.2.3\n192.0.2.1\n", {{"list_id", "bad.txt"}}, "more.CSV").status, 200);
  EXPECT_EQ(exported("bad.txt"), "192.0.2.1\n192.0.2.2\n192.0.2.3\n");
  const Answer wrong = upload("192.0.2.4\nnonsense\n", {{"list_id", "bad.txt"}});
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(wrong.body["message"], "line 2: list item invalid: 'nonsense' is no value of the type ip");
  EXPECT_EQ(found("bad.txt").body["total"], 3) << "nothing of it was taken";
  EXPECT_EQ(upload("x", {{"list_id", "nowhere"}}).status, 409);
  EXPECT_EQ(upload("x", {}).body["message"], "Either type or list_id need to be defined in the query");
  EXPECT_EQ(upload("x", {{"type", "none"}}).status, 400);
  EXPECT_EQ(upload("x", {{"type", "ip"}}, "x.json").status, 415);
  EXPECT_EQ(ask("POST", "/api/lists/items/_import", {{"type", "ip"}}, "x").status, 400);
  EXPECT_EQ(ask("POST", "/api/lists/items/_export", {{"list_id", "x"}}).body["message"], "list_id: x does not exist");
  std::string many;
  for (int64_t i = 0; i <= kMaxValues; ++i) many += std::to_string(i) + "\n";
  const Answer full = upload(many, {{"type", "keyword"}}, "many.txt");
  EXPECT_EQ(full.status, 400) << full.text;
  EXPECT_EQ(ask("GET", "/api/lists", {{"id", "many.txt"}}).status, 404);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kReadSeconds = 5;
#else
constexpr double kReadSeconds = 2;
#endif

// As many ranges as a list holds, the widest there are; two by two they would be billions of comparisons.
TEST(ValueFiles, ManyRangesAreReadAtOnce) {
  std::string file;
  for (int64_t i = 0; i < kMaxValues; ++i) {
    const std::string n = std::to_string(i % 10'000);
    file += "2001:" + n + "::1-2001:" + n + ":ffff:ffff:ffff:ffff:ffff:fffe\n";
  }
  const double begin = cpu_seconds();
  const auto values = api::read_values(file, "ip_range");
  const double took = cpu_seconds() - begin;
  ASSERT_TRUE(values) << values.error().message;
  EXPECT_EQ(values->size(), static_cast<size_t>(kMaxValues));
  EXPECT_LT(took, kReadSeconds);
  EXPECT_FALSE(api::read_values(file + "192.0.2.1\n", "ip_range")) << "one too many";
}

TEST_F(ValueListsTest, FindPagesSortsAndFilters) {
  ASSERT_EQ(make("names", "keyword").status, 200);
  clock_.advance_ms(10);
  ASSERT_EQ(make("ips", "ip").status, 200);
  for (const char* value : {"b", "a", "c"}) ASSERT_EQ(put_in("names", value).status, 200);
  const auto values = [&](const Query& query) {
    const Answer a = found("names", query);
    EXPECT_EQ(a.status, 200) << a.text;
    std::string all;
    for (const Json& item : a.body.value("data", Json::array())) all += item.value("value", "");
    return all;
  };
  EXPECT_EQ(values({}), "bac");
  EXPECT_EQ(values({{"sort_field", "value"}}), "abc");
  EXPECT_EQ(values({{"sort_field", "value"}, {"sort_order", "desc"}, {"per_page", "2"}}), "cb");
  EXPECT_EQ(values({{"sort_field", "keyword"}, {"per_page", "2"}, {"page", "2"}}), "c");
  EXPECT_EQ(values({{"filter", "value: (a or c)"}}), "ac");
  EXPECT_EQ(values({{"filter", "keyword: b*"}}), "b") << "by the name of the type";
  EXPECT_EQ(found("names", {{"sort_field", "nothing"}}).status, 400);
  EXPECT_EQ(found("names", {{"filter", "value: ("}}).status, 400);
  EXPECT_EQ(found("names", {{"page", "11"}, {"per_page", "1000"}}).status, 400) << "beyond the window";
  EXPECT_EQ(found("nowhere").body["message"], "list id: \"nowhere\" does not exist");
  EXPECT_EQ(ask("GET", "/api/lists/items/_find").status, 400);
  const auto lists = [&](const Query& query) {
    const Answer a = ask("GET", "/api/lists/_find", query);
    std::string all;
    for (const Json& list : a.body.value("data", Json::array())) all += list.value("id", "") + " ";
    return all;
  };
  EXPECT_EQ(lists({}), "names ips ");
  EXPECT_EQ(lists({{"sort_field", "name"}}), "ips names ");
  EXPECT_EQ(lists({{"filter", "type: ip"}}), "ips ");
  EXPECT_EQ(lists({{"sort_field", "created_at"}, {"sort_order", "desc"}, {"per_page", "1"}}), "ips ");
}

TEST_F(ValueListsTest, TheIndexIsThereUntilItIsDeleted) {
  EXPECT_EQ(ask("GET", "/api/lists/index").text, R"({"list_index":true,"list_item_index":true})");
  ASSERT_EQ(make("names", "keyword").status, 200);
  EXPECT_EQ(ask("DELETE", "/api/lists/index").text, R"({"acknowledged":true})");
  EXPECT_EQ(ask("GET", "/api/lists/index").body["message"],
            "data stream .lists-default and data stream .items-default does not exist");
  EXPECT_EQ(ask("DELETE", "/api/lists/index").status, 404);
  EXPECT_EQ(ask("GET", "/api/lists", {{"id", "names"}}).status, 404);
  EXPECT_EQ(make("names", "keyword").body["message"],
            "To create a list, the data stream must exist first. Data stream \".lists-default\" does not exist");
  EXPECT_EQ(upload("x", {{"type", "keyword"}}).status, 400);
  EXPECT_EQ(ask("POST", "/api/lists/index").text, R"({"acknowledged":true})");
  EXPECT_EQ(ask("POST", "/api/lists/index").status, 200);
  EXPECT_EQ(make("names", "keyword").status, 200);
  const Answer may = ask("GET", "/api/lists/privileges");
  EXPECT_EQ(may.body["lists"]["has_all_requested"], true);
  EXPECT_EQ(may.body["is_authenticated"], true);
}

TEST_F(ValueListsTest, AListThatExceptionsNameIsNotDeletedUnawares) {
  ASSERT_EQ(make("names", "keyword").status, 200);
  ASSERT_EQ(
      ask("POST", "/api/exception_lists", {}, R"({"name":"n","description":"d","type":"detection","list_id":"mine"})")
          .status,
      200);
  const auto item = [&](const std::string& id, const Json& entries) {
    const Json body{{"list_id", "mine"},  {"item_id", id},    {"name", "n"},
                    {"description", "d"}, {"type", "simple"}, {"entries", entries}};
    ASSERT_EQ(add(body).status, 200);
  };
  const Json named{{"field", "user.name"},
                   {"operator", "included"},
                   {"type", "list"},
                   {"list", {{"id", "names"}, {"type", "keyword"}}}};
  const Json other{{"field", "host.name"}, {"operator", "included"}, {"type", "match"}, {"value", "names"}};
  item("one", Json::array({named}));
  item("two", Json::array({named, other}));
  item("three", Json::array({other}));
  const Answer kept = ask("DELETE", "/api/lists", {{"id", "names"}});
  EXPECT_EQ(kept.status, 409) << kept.text;
  EXPECT_EQ(kept.body["message"]["error"]["value_list_id"], "names");
  ASSERT_EQ(kept.body["message"]["error"]["references"].size(), 2u) << kept.text;
  EXPECT_EQ(kept.body["message"]["error"]["references"][0]["exception_item"]["item_id"], "one");
  EXPECT_EQ(kept.body["message"]["error"]["references"][0]["exception_list"]["list_id"], "mine");
  EXPECT_EQ(ask("GET", "/api/lists", {{"id", "names"}}).status, 200);
  EXPECT_EQ(ask("DELETE", "/api/lists", {{"id", "names"}, {"deleteReferences", "yes"}}).status, 400);
  EXPECT_EQ(ask("DELETE", "/api/lists", {{"id", "names"}, {"deleteReferences", "true"}}).status, 200);
  EXPECT_EQ(ask("GET", "/api/exception_lists/items", {{"item_id", "one"}}).status, 404);
  EXPECT_EQ(ask("GET", "/api/exception_lists/items", {{"item_id", "two"}}).status, 404)
      << "with its other entry alone it would hold for more events";
  EXPECT_EQ(ask("GET", "/api/exception_lists/items", {{"item_id", "three"}}).body["entries"], Json::array({other}));
  ASSERT_EQ(make("names", "keyword").status, 200);
  item("four", Json::array({named}));
  EXPECT_EQ(ask("DELETE", "/api/lists", {{"id", "names"}, {"ignoreReferences", "true"}}).status, 200);
  EXPECT_EQ(ask("GET", "/api/exception_lists/items", {{"item_id", "four"}}).status, 200);
}

TEST_F(ValueListsTest, AVersionStaysWithinWhatClientsCanRead) {
  const auto made_with = [&](const std::string& version) {
    return ask("POST", "/api/lists", {},
               R"({"id":"v","name":"n","description":"d","type":"keyword","version":)" + version + "}");
  };
  for (const char* wrong : {"0", "-1", "1.5", "\"1\"", "2147483648", "9223372036854775807", "18446744073709551615"}) {
    EXPECT_EQ(made_with(wrong).status, 400) << wrong;
  }
  EXPECT_EQ(made_with("2147483647").body["version"], 2147483647);
  EXPECT_EQ(ask("PATCH", "/api/lists", {}, R"({"id":"v","version":9223372036854775807})").status, 400);
  EXPECT_EQ(ask("PATCH", "/api/lists", {}, R"({"id":"v","name":"x"})").body["version"], 2147483647);
}

TEST_F(ValueListsTest, EveryChangeIsInTheAudit) {
  ASSERT_EQ(make("names", "keyword").status, 200);
  ASSERT_EQ(put_in("names", "a", "v1").status, 200);
  ASSERT_EQ(ask("PUT", "/api/lists/items", {}, R"({"id":"v1","value":"b"})").status, 200);
  ASSERT_EQ(ask("PATCH", "/api/lists", {}, R"({"id":"names","name":"x"})").status, 200);
  ASSERT_EQ(upload("c\nd\n", {{"list_id", "names"}}).status, 200);
  ASSERT_EQ(ask("DELETE", "/api/lists/items", {{"id", "v1"}}).status, 200);
  ASSERT_EQ(ask("DELETE", "/api/lists", {{"id", "names"}}).status, 200);
  ASSERT_EQ(ask("DELETE", "/api/lists/index").status, 200);
  ASSERT_EQ(ask("POST", "/api/lists/index").status, 200);
  RawDb db(store_->db_path());
  for (const char* what : {"value_list_added", "value_added", "value_changed", "value_list_changed", "values_imported",
                           "value_removed", "value_list_removed", "value_lists_dropped", "value_lists_opened"}) {
    EXPECT_EQ(
        db.number(std::string("SELECT count(*) FROM audit WHERE actor = 'user:elastic' AND what = '") + what + "'"), 1)
        << what;
  }
}

// The endpoint list -------------------------------------------------------------------------------------------------

class EndpointListTest : public ExceptionsTest {
 protected:
  static Json item(const std::string& item_id, const std::string& name = "n") {
    return {{"item_id", item_id},
            {"name", name},
            {"description", "d"},
            {"type", "simple"},
            {"os_types", {"windows"}},
            {"entries",
             {{{"field", "process.name"}, {"operator", "included"}, {"type", "match"}, {"value", "backup.exe"}}}}};
  }
};

TEST_F(EndpointListTest, ItsItemsNeedNoList) {
  EXPECT_EQ(ask("GET", "/api/endpoint_list/items/_find").text, R"({"data":[],"page":1,"per_page":20,"total":0})");
  EXPECT_EQ(ask("POST", "/api/endpoint_list/items", {}, "{}").status, 400);
  EXPECT_EQ(ask("GET", "/api/exception_lists", {{"list_id", "endpoint_list"}, {"namespace_type", "agnostic"}}).status,
            404)
      << "reading and wrong requests make none";
  const Answer made = ask("POST", "/api/endpoint_list/items", {}, item("one").dump());
  ASSERT_EQ(made.status, 200) << made.text;
  EXPECT_EQ(made.body["list_id"], "endpoint_list");
  EXPECT_EQ(made.body["namespace_type"], "agnostic");
  EXPECT_EQ(ask("POST", "/api/endpoint_list").text, "{}") << "it is there already";
  EXPECT_EQ(ask("POST", "/api/endpoint_list/items", {}, item("one").dump()).status, 409);
  EXPECT_EQ(ask("GET", "/api/endpoint_list/items", {{"item_id", "one"}}).body, made.body);
  EXPECT_EQ(ask("GET", "/api/endpoint_list/items", {{"id", made.body["id"]}}).body, made.body);
  EXPECT_EQ(ask("GET", "/api/endpoint_list/items").status, 400);
  EXPECT_EQ(ask("GET", "/api/endpoint_list/items", {{"item_id", "x"}}).status, 404);
  const Answer changed = ask("PUT", "/api/endpoint_list/items", {}, item("one", "new name").dump());
  ASSERT_EQ(changed.status, 200) << changed.text;
  EXPECT_EQ(changed.body["name"], "new name");
  EXPECT_EQ(ask("PUT", "/api/endpoint_list/items", {}, item("x").dump()).body["message"],
            "list item item_id: \"x\" not found");
  const Answer found = ask("GET", "/api/endpoint_list/items/_find",
                           {{"filter", "exception-list-agnostic.attributes.name: new*"}, {"list_id", kList}});
  EXPECT_EQ(found.body["total"], 1) << found.text;
  EXPECT_EQ(ask("DELETE", "/api/endpoint_list/items", {{"item_id", "one"}}).body["name"], "new name");
  EXPECT_EQ(ask("DELETE", "/api/endpoint_list/items", {{"item_id", "one"}}).status, 404);
}

TEST_F(EndpointListTest, ItsRoutesReachNoOtherList) {
  const Answer list = ask("POST", "/api/endpoint_list");
  EXPECT_EQ(list.body["name"], "Endpoint Security Exception List");
  EXPECT_EQ(list.body["type"], "endpoint");
  make_list();
  ASSERT_EQ(add(item_body("10.10.0.1", "isolation")).status, 200);
  EXPECT_EQ(ask("GET", "/api/endpoint_list/items", {{"item_id", "isolation"}}).status, 404);
  EXPECT_EQ(ask("DELETE", "/api/endpoint_list/items", {{"item_id", "isolation"}}).status, 404);
  EXPECT_EQ(ask("PUT", "/api/endpoint_list/items", {}, item_body("10.10.0.2", "isolation").dump()).status, 404);
  EXPECT_EQ(read("isolation").body["entries"][0]["value"], "10.10.0.1");
  Json elsewhere = item("two");
  elsewhere["list_id"] = kList;
  EXPECT_EQ(ask("POST", "/api/endpoint_list/items", {}, elsewhere.dump()).body["list_id"], "endpoint_list");
}

}  // namespace
}  // namespace fb::test
