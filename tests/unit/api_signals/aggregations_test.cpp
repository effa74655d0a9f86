// Aggregations, chosen fields, sorts and the wider clauses of a search. The fixture's alerts: ten, a second apart, the
// even ones of rule "even", agents 0 to 2 in turn, risk scores 0 to 90, cmd.exe five times and then bash.
#include "tests/unit/api_signals/signals_fixture.h"

namespace fb::api {
namespace {

class Aggregation : public SignalsApi {
 protected:
  Json aggs(const std::string& text, const std::string& query = R"({"match_all":{}})") {
    const net::Response r = call("POST", "/api/detection_engine/signals/search",
                                 Json::parse("{\"size\":0,\"query\":" + query + ",\"aggs\":" + text + "}"));
    EXPECT_EQ(r.status, 200) << text << " " << r.body;
    return r.status == 200 ? Json::parse(r.body)["aggregations"] : Json::object();
  }
  std::string refused(const std::string& body) {
    const net::Response r = call("POST", "/api/detection_engine/signals/search", Json::parse(body));
    EXPECT_EQ(r.status, 400) << body << " " << r.body;
    return r.status == 400 ? Json::parse(r.body)["message"].get<std::string>() : "";
  }
  static std::vector<std::string> keys(const Json& agg) {
    std::vector<std::string> out;
    for (const Json& b : agg["buckets"])
      out.push_back(b["key"].is_string() ? b["key"].get<std::string>() : b["key"].dump());
    return out;
  }
  using Keys = std::vector<std::string>;
};

TEST_F(Aggregation, BucketsHoldBucketsAndNumbers) {
  const Json a = aggs(R"({"p":{"terms":{"field":"process.name"},"aggs":{
      "who":{"terms":{"field":"agent.id","order":{"_key":"desc"}}},"risk":{"max":{"field":"kibana.alert.risk_score"}}}}})");
  ASSERT_EQ(keys(a["p"]), (Keys{"bash", "cmd.exe"})) << a;
  const Json& bash = a["p"]["buckets"][0];
  EXPECT_EQ(bash["doc_count"], 5);
  EXPECT_EQ(bash["risk"]["value"], 90);
  EXPECT_EQ(keys(bash["who"]), (Keys{"agent-2", "agent-1", "agent-0"}));
  EXPECT_EQ(bash["who"]["buckets"][0]["doc_count"], 2) << "alerts 5 and 8";
  EXPECT_EQ(a["p"]["buckets"][1]["risk"]["value"], 40);
}

TEST_F(Aggregation, TermsAreOrderedAsAsked) {
  const std::string terms = R"({"x":{"terms":{"field":"agent.id",)";
  EXPECT_EQ(keys(aggs(terms + R"("order":{"_count":"desc"}}}})")["x"]), (Keys{"agent-0", "agent-1", "agent-2"}));
  EXPECT_EQ(keys(aggs(terms + R"("order":[{"_count":"asc"},{"_key":"desc"}]}}})")["x"]),
            (Keys{"agent-2", "agent-1", "agent-0"}));
  EXPECT_EQ(
      keys(aggs(terms + R"("order":{"r":"desc"}},"aggs":{"r":{"sum":{"field":"kibana.alert.risk_score"}}}}})")["x"]),
      (Keys{"agent-0", "agent-2", "agent-1"}))
      << "180, 150, 120";
  EXPECT_EQ(keys(aggs(terms + R"("min_doc_count":4}}})")["x"]), Keys{"agent-0"});
  EXPECT_EQ(keys(aggs(R"({"x":{"terms":{"field":"nope","missing":"none"}}})")["x"]), Keys{"none"});
  EXPECT_EQ(keys(aggs(R"({"x":{"terms":{"field":"kibana.alert.risk_score","order":{"_key":"desc"},"size":2}}})")["x"]),
            (Keys{"90", "80"}))
      << "numbers by their value";
  EXPECT_NE(refused(R"({"aggs":{"x":{"terms":{"field":"agent.id","order":{"nope":"asc"}}}}})").find("aggs.x.order"),
            std::string::npos);
}

TEST_F(Aggregation, TimesFallIntoIntervals) {
  // 1'700'000'000'000 is 2023-11-14T22:13:20Z.
  const Json a = aggs(
      R"({"d":{"date_histogram":{"field":"@timestamp","fixed_interval":"4s"},"aggs":{"n":{"cardinality":{"field":"agent.id"}}}},
      "m":{"date_histogram":{"field":"@timestamp","calendar_interval":"month"}},"y":{"date_histogram":{"field":"@timestamp","calendar_interval":"1y"}},
      "w":{"date_histogram":{"field":"@timestamp","calendar_interval":"week"}},"h":{"histogram":{"field":"kibana.alert.risk_score","interval":50}}})");
  ASSERT_EQ(a["d"]["buckets"].size(), 3u) << a;
  EXPECT_EQ(a["d"]["buckets"][0]["key_as_string"], "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(a["d"]["buckets"][0]["key"], 1'700'000'000'000);
  EXPECT_EQ(a["d"]["buckets"][0]["doc_count"], 4);
  EXPECT_EQ(a["d"]["buckets"][0]["n"]["value"], 3);
  EXPECT_EQ(a["d"]["buckets"][2]["doc_count"], 2);
  EXPECT_EQ(a["m"]["buckets"][0]["key_as_string"], "2023-11-01T00:00:00.000Z");
  EXPECT_EQ(a["y"]["buckets"][0]["key_as_string"], "2023-01-01T00:00:00.000Z");
  EXPECT_EQ(a["w"]["buckets"][0]["key_as_string"], "2023-11-13T00:00:00.000Z") << "a Monday";
  EXPECT_EQ(keys(a["h"]), (Keys{"0.0", "50.0"}));
  // Between the first and the last no step is missing, unless it is asked for.
  const std::string ends = R"({"ids":{"values":[")" + ids_[0] + R"(",")" + ids_[9] + R"("]}})";
  EXPECT_EQ(
      aggs(R"({"d":{"date_histogram":{"field":"@timestamp","fixed_interval":"1s"}}})", ends)["d"]["buckets"].size(),
      10u);
  EXPECT_EQ(aggs(R"({"d":{"date_histogram":{"field":"@timestamp","fixed_interval":"1s","min_doc_count":1}}})",
                 ends)["d"]["buckets"]
                .size(),
            2u);
}

TEST_F(Aggregation, FiltersAndWhatIsMissing) {
  const Json a = aggs(
      R"({"one":{"filter":{"term":{"process.name":"bash"}},"aggs":{"s":{"stats":{"field":"kibana.alert.risk_score"}}}},
      "both":{"filters":{"filters":{"low":{"range":{"kibana.alert.risk_score":{"lt":30}}},"none":{"term":{"agent.id":"x"}}}}},
      "list":{"filters":{"filters":[{"match_all":{}}]}},"gone":{"missing":{"field":"user.name"}}})");
  EXPECT_EQ(a["one"]["doc_count"], 5) << a;
  EXPECT_EQ(a["one"]["s"], (Json{{"count", 5}, {"min", 50.0}, {"max", 90.0}, {"avg", 70.0}, {"sum", 350.0}}));
  EXPECT_EQ(a["both"]["buckets"]["low"]["doc_count"], 3);
  EXPECT_EQ(a["both"]["buckets"]["none"]["doc_count"], 0);
  EXPECT_EQ(a["list"]["buckets"][0]["doc_count"], 10);
  EXPECT_EQ(a["gone"]["doc_count"], 10);
  const Json none = aggs(
      R"({"t":{"terms":{"field":"agent.id"},"aggs":{"m":{"min":{"field":"x"}}}},"f":{"filter":{"match_all":{}},"aggs":{"m":{"min":{"field":"x"}}}}})",
      R"({"match_none":{}})");
  EXPECT_EQ(none["t"]["buckets"], Json::array());
  EXPECT_EQ(none["f"], (Json{{"doc_count", 0}, {"m", {{"value", nullptr}}}}));
}

TEST_F(Aggregation, WhatWouldBeTooMuchOrIsUnknownIsRefusedWithItsPlace) {
  EXPECT_EQ(refused(R"({"aggs":{"a":{"terms":{"field":"x"},"aggs":{"b":{"top_hits":{}}}}}})"),
            "aggs.a.aggs.b.top_hits: is not supported");
  EXPECT_EQ(refused(R"({"aggs":{"a":{"terms":{"script":"1"}}}})"), "aggs.a.terms.field: is missing");
  EXPECT_EQ(refused(R"({"aggs":{"a":{"max":{"field":"x"},"aggs":{"b":{"max":{"field":"x"}}}}}})"),
            "aggs.a.aggs: a number holds no aggregations");
  EXPECT_EQ(refused(R"({"aggs":{"a":{"terms":{"field":"x","include":"y"}}}})"),
            "aggs.a.terms.include: is not supported");
  EXPECT_EQ(refused(R"({"aggs":{"a":{"date_histogram":{"field":"x"}}}})"), "aggs.a.date_histogram: needs an interval");
  EXPECT_EQ(refused(R"({"aggs":{"a":{"date_histogram":{"field":"x","fixed_interval":"1 day"}}}})"),
            "aggs.a.date_histogram.fixed_interval: an interval such as 1h");
  EXPECT_NE(refused(R"({"aggs":{"a":{"filter":{"nope":{}}}}})").find("aggs.a.filter: query.nope"), std::string::npos);
  EXPECT_NE(
      refused(
          R"({"aggs":{"a":{"date_histogram":{"field":"@timestamp","fixed_interval":"1ms"},"aggs":{"b":{"histogram":{"field":"kibana.alert.risk_score","interval":0.00001}}}},
                       "c":{"histogram":{"field":"kibana.alert.risk_score","interval":0.0001}}}})")
          .find("buckets"),
      std::string::npos);
  std::string deep = R"({"max":{"field":"x"}})";
  for (int i = 0; i < 10; ++i) deep = R"({"terms":{"field":"x"},"aggs":{"a":)" + deep + "}}";
  EXPECT_NE(refused(R"({"aggs":{"a":)" + deep + "}}").find("deeper"), std::string::npos);
}

TEST_F(Aggregation, FieldsTakePatternsAndSortsTakeOrders) {
  const auto first = [&](const std::string& body) { return search(body)["hits"]["hits"][0]; };
  EXPECT_EQ(first(R"({"size":1,"_source":false,"fields":["process.*"]})")["fields"],
            (Json{{"process.name", {"bash"}}, {"process.executable", {"/bin/x"}}}));
  EXPECT_EQ(first(R"({"size":1,"_source":false,"fields":["*.rule_id",{"field":"@timestamp","format":"epoch_millis"}]})")
                ["fields"],
            (Json{{"kibana.alert.rule.rule_id", {"odd"}}, {"@timestamp", {"1700000009000"}}}));
  EXPECT_GT(first(R"({"size":1,"_source":false,"fields":["*"]})")["fields"].size(), 6u);
  EXPECT_NE(refused(R"({"fields":[{"field":"@timestamp","format":"yyyy"}]})").find("format"), std::string::npos);
  EXPECT_EQ(first(R"({"size":1,"sort":"kibana.alert.risk_score:asc"})")["_id"], ids_[0]);
  EXPECT_EQ(first(R"({"size":1,"sort":["kibana.alert.risk_score:desc"]})")["_id"], ids_[9]);
  EXPECT_NE(refused(R"({"sort":[{"_script":{"script":"1"}}]})").find("_script"), std::string::npos);
  EXPECT_NE(refused(R"({"sort":[{"x":{"missing":"0"}}]})").find("missing"), std::string::npos);
}

TEST_F(Aggregation, ClausesOverSeveralFieldsAndSeveralOfMany) {
  EXPECT_EQ(hits(R"({"multi_match":{"query":"bash","fields":["process.name","user.name^2"]}})"), 5);
  EXPECT_EQ(hits(R"({"multi_match":{"query":"bash","fields":["user.name"],"type":"phrase"}})"), 0);
  EXPECT_EQ(hits(R"({"query_string":{"query":"bash","fields":["process.name"]}})"), 5);
  EXPECT_EQ(hits(R"({"query_string":{"query":"bash OR agent-1","default_field":"agent.id"}})"), 3);
  EXPECT_EQ(hits(R"({"query_string":{"query":"bash","default_field":"*"}})"), 5);
  const std::string three =
      R"([{"term":{"process.name":"bash"}},{"term":{"agent.id":"agent-0"}},{"range":{"kibana.alert.risk_score":{"gte":60}}}])";
  EXPECT_EQ(hits(R"({"bool":{"should":)" + three + R"(,"minimum_should_match":2}})"), 4) << "6, 7, 8, 9";
  EXPECT_EQ(hits(R"({"bool":{"should":)" + three + R"(,"minimum_should_match":"3"}})"), 2) << "6 and 9";
  EXPECT_EQ(hits(R"({"bool":{"should":)" + three + R"(,"minimum_should_match":4}})"), 0);
  EXPECT_EQ(hits(R"({"bool":{"adjust_pure_negative":true,"must":[],"boost":1.0}})"), 10);
  EXPECT_NE(refused(R"({"query":{"multi_match":{"query":"x"}}})").find("fields"), std::string::npos);
  EXPECT_NE(refused(R"({"query":{"multi_match":{"query":"x","fields":["a*"]}}})").find("patterns"), std::string::npos);
  EXPECT_NE(refused(R"({"query":{"multi_match":{"query":"x","fields":["a"],"type":"cross_fields"}}})").find("type"),
            std::string::npos);
  EXPECT_NE(refused(R"({"query":{"bool":{"should":[],"minimum_should_match":"75%"}}})").find("minimum_should_match"),
            std::string::npos);
}

}  // namespace
}  // namespace fb::api
