// GET /api/note: pages, orders, searches.
#include "tests/unit/api_signals/signals_fixture.h"

namespace fb::api {
namespace {

class Notes : public SignalsApi {
 protected:
  void write(size_t alert, const std::string& text, const std::string& who = "ada") {
    clock_.advance_ms(1000);
    ASSERT_EQ(call("PATCH", "/api/note", {{"note", {{"eventId", ids_[alert]}, {"note", text}}}}, who).status, 200);
  }
  Json list(const std::string& query) {
    const net::Response r = call("GET", "/api/note" + query);
    EXPECT_EQ(r.status, 200) << query << " " << r.body;
    return Json::parse(r.body);
  }
  std::vector<std::string> texts(const std::string& query) {
    std::vector<std::string> out;
    const Json answer = list(query);
    for (const Json& n : answer["notes"]) out.push_back(n["note"]);
    return out;
  }
  using Texts = std::vector<std::string>;
};

TEST_F(Notes, ComeInPages) {
  for (int i = 0; i < 12; ++i) write(0, "n" + std::to_string(i));
  const Json usual = list("");
  EXPECT_EQ(usual["totalCount"], 12);
  EXPECT_EQ(usual["notes"].size(), 10u) << "as many as Kibana answers with";
  EXPECT_EQ(texts("?page=2"), (Texts{"n10", "n11"}));
  EXPECT_EQ(texts("?page=2&perPage=5"), (Texts{"n5", "n6", "n7", "n8", "n9"}));
  EXPECT_EQ(texts("?page=9&perPage=5"), Texts{});
  EXPECT_EQ(list("?perPage=0")["totalCount"], 12);
  EXPECT_EQ(list("?documentIds=" + ids_[0])["notes"].size(), 12u) << "all of an alert that is named";
  EXPECT_EQ(texts("?documentIds=" + ids_[0] + "&perPage=1&page=3"), Texts{"n2"});
  for (const char* wrong : {"?page=0", "?page=x", "?perPage=-1", "?perPage=x", "?sortOrder=up", "?sortField=zzz",
                            "?filter=x:y", "?associatedFilter=zzz"}) {
    EXPECT_EQ(call("GET", std::string("/api/note") + wrong).status, 400) << wrong;
  }
}

TEST_F(Notes, AreSortedSearchedAndOfSeveralAlerts) {
  write(0, "Beacon seen");
  write(1, "all quiet", "bob");
  write(2, "a BEACON again");
  EXPECT_EQ(texts("?sortField=created&sortOrder=desc"), (Texts{"a BEACON again", "all quiet", "Beacon seen"}));
  EXPECT_EQ(texts("?sortOrder=desc&perPage=1"), Texts{"a BEACON again"});
  EXPECT_EQ(texts("?sortField=note&sortOrder=asc"), (Texts{"Beacon seen", "a BEACON again", "all quiet"}));
  EXPECT_EQ(texts("?search=beacon"), (Texts{"Beacon seen", "a BEACON again"}));
  EXPECT_EQ(list("?search=beacon&perPage=1")["totalCount"], 2);
  EXPECT_EQ(texts("?createdByFilter=bob"), Texts{"all quiet"});
  EXPECT_EQ(texts("?documentIds=" + ids_[0] + "&documentIds=" + ids_[1]), (Texts{"Beacon seen", "all quiet"}))
      << "repeated";
  EXPECT_EQ(texts("?associatedFilter=saved_object_only"), Texts{});
}

}  // namespace
}  // namespace fb::api
