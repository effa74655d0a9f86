// Requests as generated clients write them: a list in the query is its name repeated.
#include "engine/net/uri.h"
#include "tests/unit/exceptions/exceptions_fixture.h"

namespace fb::test {
namespace {

class ExceptionClients : public ExceptionsTest {
 protected:
  Answer get(const std::string& target) {
    const auto parts = net::parse_target(target);
    if (!parts) throw std::runtime_error(parts.error().describe());
    const api::Router::Match match = router_.find("GET", parts->path);
    net::Request request;
    request.method = "GET";
    request.target = target;
    request.path = parts->path;
    request.query = parts->query;
    Principal who;
    who.person = "elastic";
    who.roles = {Role::admin};
    const net::Response r = (*match.handle)(api::Call{request, match.params, who, *parts_});
    expect_described(request, r);
    return {r.status, Json::parse(r.body, nullptr, false), r.body};
  }
  void make(const std::string& list_id, const char* name_space) {
    const Json list{{"list_id", list_id},
                    {"name", "n"},
                    {"description", "d"},
                    {"type", "detection"},
                    {"namespace_type", name_space}};
    ASSERT_EQ(ask("POST", "/api/exception_lists", {}, list.dump()).status, 200);
    const Json item{{"list_id", list_id},
                    {"item_id", list_id + "-item"},
                    {"name", "n"},
                    {"description", "d"},
                    {"type", "simple"},
                    {"namespace_type", name_space},
                    {"tags", {"a, b"}},
                    {"entries", {{{"field", "x"}, {"type", "match"}, {"operator", "included"}, {"value", "1"}}}}};
    ASSERT_EQ(ask("POST", "/api/exception_lists/items", {}, item.dump()).status, 200);
  }

  const std::string items_ = "/api/exception_lists/items/_find?";
};

TEST_F(ExceptionClients, ListsInTheQueryAreRepeatedOrHaveCommas) {
  make("one", "single");
  make("two", "agnostic");
  for (const char* query : {"list_id=one&list_id=two&namespace_type=single&namespace_type=agnostic",
                            "list_id[]=one&list_id[]=two&namespace_type[]=single&namespace_type[]=agnostic",
                            "list_id=one,two&namespace_type=single%2Cagnostic"}) {
    const Answer found = get(items_ + query);
    ASSERT_EQ(found.status, 200) << query << found.text;
    EXPECT_EQ(found.body["total"], 2) << query;
  }
  EXPECT_EQ(get("/api/exception_lists/_find?namespace_type=single&namespace_type=agnostic").body["total"], 2);
  EXPECT_EQ(get("/api/exception_lists/_find?namespace_type=agnostic").body["total"], 1);
}

TEST_F(ExceptionClients, OfSeveralListsThoseThatAreThereAreSearched) {
  make("one", "single");
  const Answer found = get(items_ + "list_id=one&list_id=gone&namespace_type=single&namespace_type=single");
  ASSERT_EQ(found.status, 200) << found.text;
  EXPECT_EQ(found.body["total"], 1);
  const Answer none = get(items_ + "list_id=gone&list_id=lost&namespace_type=single&namespace_type=single");
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(none.body["message"], "exception list id: \"gone,lost\" does not exist");
  EXPECT_EQ(get(items_ + "list_id=one&list_id=two&namespace_type=single").status, 400);
  EXPECT_EQ(get(items_ + "list_id=").status, 400);
}

TEST_F(ExceptionClients, ACommaOfARepeatedFilterIsPartOfIt) {
  make("one", "single");
  make("two", "single");
  const std::string lists = items_ + "list_id=one&list_id=two&namespace_type=single&namespace_type=single";
  const std::string filter = "&filter=exception-list.attributes.tags%3A%22a%2C%20b%22";
  const Answer found = get(lists + filter + filter);
  ASSERT_EQ(found.status, 200) << found.text;
  EXPECT_EQ(found.body["total"], 2);
  EXPECT_EQ(get(lists + filter + "&filter=exception-list.attributes.tags%3Ax").body["total"], 1);
}

}  // namespace
}  // namespace fb::test
