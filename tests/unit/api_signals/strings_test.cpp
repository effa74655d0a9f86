// Strings of every kind as tags, notes, reasons, names and queries; and how much a request may ask.
#include <sys/resource.h>

#include "tests/support/cpu_time.h"
#include "tests/unit/api_signals/signals_fixture.h"

namespace fb::api {
namespace {

const std::vector<std::string>& hostile() {
  static const std::vector<std::string> all = {"<img src=x onerror=alert(1)>",    "'); DELETE FROM alerts; --",
                                               "tab\tnew\nline\x01\x1F\x7F",      std::string("nul\0in", 6),
                                               "\xE2\x80\xAEright to left",       "\xF0\x9F\x94\xA5",
                                               "wild*card? \\ \"quoted\" [x]{y}", "%' OR 1=1 --"};
  return all;
}

TEST_F(SignalsApi, HostileStringsStayData) {
  const std::string base = "/api/detection_engine/signals/";
  for (const std::string& text : hostile()) {
    const Json tags = {{"ids", {ids_[0]}}, {"tags", {{"tags_to_add", {text}}, {"tags_to_remove", Json::array()}}}};
    ASSERT_EQ(call("POST", base + "tags", tags).status, 200);
    const Json by_tag = search(Json{{"query", {{"term", {{"kibana.alert.workflow_tags", text}}}}}}.dump());
    ASSERT_EQ(by_tag["hits"]["hits"].size(), 1u) << text;
    EXPECT_EQ(by_tag["hits"]["hits"][0]["_source"]["kibana.alert.workflow_tags"].back(), text);
    const Json note = Json::parse(call("PATCH", "/api/note", {{"note", {{"eventId", ids_[0]}, {"note", text}}}}).body);
    EXPECT_EQ(note["note"]["note"], text);
    const Json closed = {{"signal_ids", {ids_[1]}}, {"status", "closed"}, {"reason", text}};
    EXPECT_EQ(Json::parse(call("POST", base + "status", closed).body)["updated"], 1);
    EXPECT_EQ(
        search(Json{{"query", {{"term", {{"kibana.alert.workflow_reason", text}}}}}}.dump())["hits"]["total"]["value"],
        1);
    EXPECT_EQ(hits(Json{{"term", {{"process.name", text}}}}.dump()), 0);
    EXPECT_EQ(hits(Json{{"ids", {{"values", {text}}}}}.dump()), 0);
    EXPECT_EQ(call("POST", base + "status", {{"signal_ids", {text}}, {"status", "open"}}).status, 200);
  }
  EXPECT_EQ(hits(R"({"match_all":{}})"), 10);
  const Json notes = Json::parse(call("GET", "/api/note").body);
  ASSERT_EQ(notes["totalCount"], hostile().size());
  EXPECT_EQ(count("SELECT count(*) FROM alerts"), 10);
}

TEST_F(SignalsApi, KqlFindsAlertsToo) {
  const auto kql = [&](const std::string& text) {
    return search(Json{{"size", 0}, {"kuery", text}}.dump())["hits"]["total"]["value"].get<int>();
  };
  EXPECT_EQ(kql(""), 10);
  EXPECT_EQ(kql("process.name: bash and kibana.alert.rule.rule_id: odd"), 3);
  EXPECT_EQ(kql("not agent.id: agent-0 and kibana.alert.workflow_status: open"), 6);
  EXPECT_EQ(kql("agent.id: (agent-0 or agent-1)"), 7);
  EXPECT_EQ(kql("kibana.alert.risk_score >= 30 and kibana.alert.risk_score < 60"), 3);
  EXPECT_EQ(kql("agent.id: agent-0 and agent.id: agent-1"), 0);
  const auto refused = [&](const Json& body) {
    return call("POST", "/api/detection_engine/signals/search", body).status == 400;
  };
  EXPECT_TRUE(refused({{"kuery", "("}}));
  EXPECT_TRUE(refused({{"kuery", 1}}));
  EXPECT_TRUE(refused({{"kuery", "a: b"}, {"query", {{"match_all", Json::object()}}}}));
  EXPECT_TRUE(refused({{"kuery", std::string(40'000, 'a')}}));
}

TEST_F(SignalsApi, WhatChangesAMeaningIsNeverPassedOver) {
  const auto refused = [&](const std::string& query, const std::string& place) {
    const net::Response r = call("POST", "/api/detection_engine/signals/search", {{"query", Json::parse(query)}});
    EXPECT_EQ(r.status, 400) << query;
    EXPECT_NE(r.body.find(place), std::string::npos) << r.body;
  };
  refused(R"({"term":{"a":{"value":"x","case_insensitive":true}}})", "case_insensitive");
  refused(R"({"match":{"a":{"query":"x","fuzziness":"AUTO"}}})", "fuzziness");
  refused(R"({"match":{"a":{"query":"x","minimum_should_match":2}}})", "minimum_should_match");
  refused(R"({"match_phrase":{"a":{"query":"x","slop":2}}})", "slop");
  refused(R"({"regexp":{"a":".*"}})", "regexp");
  refused(R"({"script":{"script":"1"}})", "script");
  refused(R"({"nested":{"path":"a","query":{"match_all":{}}}})", "nested");
  refused(R"({"term":{"a":{"value":null}}})", "query.term.a");
  refused(R"({"term":{"a.*":"x"}})", "pattern");
  refused(R"({"bool":{"should":[{"match_all":{}}],"minimum_should_match":"75%"}})", "minimum_should_match");
  refused(R"({"query_string":{"query":"a:/.*/"}})", "character 3");
  refused(R"([])", "query");
  refused(R"({"bool":{"filter":{"bool":5}}})", "query.bool.filter.bool");
  EXPECT_EQ(hits(R"({"constant_score":{"filter":{"term":{"process.name":"bash"}},"boost":2}})"), 5);
  EXPECT_EQ(hits(R"({"term":{"process.name":{"value":"bash","boost":3,"_name":"n","case_insensitive":false}}})"), 5);
}

TEST_F(SignalsApi, TimesAreTakenInEveryFormThatClientsSend) {
  const auto since = [&](const std::string& bounds) { return hits("{\"range\":{\"@timestamp\":" + bounds + "}}"); };
  EXPECT_EQ(since(R"({"gte":1700000005000,"format":"epoch_millis"})"), 5);
  EXPECT_EQ(since(R"({"gte":"1700000005000","format":"epoch_millis"})"), 5);
  EXPECT_EQ(since(R"({"gte":"2023-11-14T22:13:25Z","lt":"2023-11-14T22:13:27.000Z"})"), 2);
  EXPECT_EQ(since(R"({"gte":"2023-11-14T23:13:25+01:00"})"), 5);
  EXPECT_EQ(since(R"({"gte":"2023-11-14||/d","lte":"2023-11-14","format":"strict_date_optional_time"})"), 10);
  EXPECT_EQ(since(R"({"gte":"now-50y","lte":null})"), 10);
  EXPECT_EQ(since(R"({"from":"2023-11-14T22:13:25Z","to":"2023-11-14T22:13:26Z"})"), 2);
}

TEST_F(SignalsApi, RequestsAreBounded) {
  const auto refused = [&](const Json& body, const std::string& text) {
    const net::Response r = call("POST", "/api/detection_engine/signals/search", body);
    EXPECT_EQ(r.status, 400) << body.dump().substr(0, 200);
    EXPECT_NE(r.body.find(text), std::string::npos) << r.body;
  };
  Json deep = {{"match_all", Json::object()}};
  for (int i = 0; i < 60; ++i) deep = {{"bool", {{"must_not", deep}}}};
  refused({{"query", deep}}, "deeper");
  Json wide = Json::array();
  for (int i = 0; i < 5000; ++i) wide.push_back({{"term", {{"a", i}}}});
  refused({{"query", {{"bool", {{"should", wide}}}}}}, "clauses");
  Json values = Json::array();
  for (int i = 0; i < 70'000; ++i) values.push_back(i);
  refused({{"query", {{"terms", {{"a", values}}}}}}, "65536");
  refused({{"query", {{"query_string", {{"query", std::string(40'000, 'a')}}}}}}, "32768");
  refused({{"from", 9'999}, {"size", 2}}, "from + size");
  refused({{"size", -1}}, "size");
  refused({{"size", "10"}}, "size");
  refused({{"track_total_hits", "yes"}}, "track_total_hits");
}

// Ten clauses of which five must hold, each of them such a clause again: every level multiplies the one below by 252.
Json several_of_many(int levels) {
  if (levels == 0) return {{"term", {{"a", "b"}}}};
  Json should = Json::array();
  const Json inner = several_of_many(levels - 1);
  for (int i = 0; i < 9; ++i) should.push_back({{"term", {{"a", i}}}});
  should.push_back(inner);
  return {{"bool", {{"should", should}, {"minimum_should_match", 5}}}};
}

int64_t most_memory_kb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST_F(SignalsApi, WhatASmallQueryComesToIsBounded) {
  const int64_t before_kb = most_memory_kb();
  const double began = test::cpu_seconds();
  const auto refused = [&](const Json& body) {
    const net::Response r = call("POST", "/api/detection_engine/signals/search", body);
    EXPECT_EQ(r.status, 400) << body.dump().substr(0, 200);
    EXPECT_NE(r.body.find("comes to more than 131072 tests"), std::string::npos) << r.body;
  };
  EXPECT_EQ(hits(several_of_many(1).dump()), 0);
  EXPECT_EQ(hits(several_of_many(2).dump()), 0);
  for (const int levels : {3, 4, 10}) refused({{"query", several_of_many(levels)}});
  // Filters of one search share the room.
  Json filters = Json::object();
  for (int i = 0; i < 50; ++i) filters[std::to_string(i)] = several_of_many(2);
  refused({{"aggs", {{"x", {{"filters", {{"filters", filters}}}}}}}});
  // Words times fields, values times the length of the field's name.
  Json fields = Json::array();
  for (int i = 0; i < 1000; ++i) fields.push_back("f" + std::to_string(i));
  std::string words = "a";
  for (int i = 0; i < 1000; ++i) words += " OR a";
  refused({{"query", {{"query_string", {{"query", words}, {"fields", fields}}}}}});
  Json values = Json::array();
  for (int i = 0; i < 60'000; ++i) values.push_back(i);
  refused({{"query", {{"terms", {{std::string(100'000, 'f'), values}}}}}});
  EXPECT_LT(most_memory_kb() - before_kb, 256 * 1024);
  EXPECT_LT(test::cpu_seconds() - began, 5 * test::kSanitizerFactor);
}

TEST_F(SignalsApi, CountsNoFurtherThanWasAskedFor) {
  const Json some = search(R"({"size":2,"track_total_hits":4,"query":{"exists":{"field":"agent.id"}}})");
  EXPECT_EQ(some["hits"]["total"]["relation"], "gte");
  EXPECT_EQ(some["hits"]["total"]["value"], 4);
  EXPECT_EQ(some["hits"]["hits"].size(), 2u);
  const Json all = search(R"({"size":2,"track_total_hits":true,"query":{"exists":{"field":"agent.id"}}})");
  EXPECT_EQ(all["hits"]["total"]["relation"], "eq");
  EXPECT_EQ(all["hits"]["total"]["value"], 10);
  EXPECT_FALSE(search(R"({"size":1,"track_total_hits":false})")["hits"].contains("total"));
  // However they are counted: by the record, by looking at each, with aggregations, sorted, a page beyond the number.
  for (const char* rest : {R"("query":{"match_all":{}})", R"("query":{"exists":{"field":"agent.id"}})",
                           R"("aggs":{"x":{"max":{"field":"@timestamp"}}})", R"("sort":["process.name"])",
                           R"("query":{"exists":{"field":"agent.id"}},"size":8)"}) {
    const auto total = [&](const std::string& most) {
      return search("{\"track_total_hits\":" + most + "," + rest + "}")["hits"]["total"].dump();
    };
    EXPECT_EQ(total("3"), R"({"value":3,"relation":"gte"})") << rest;
    EXPECT_EQ(total("9"), R"({"value":9,"relation":"gte"})") << rest;
    EXPECT_EQ(total("10"), R"({"value":10,"relation":"eq"})") << rest;
    EXPECT_EQ(total("true"), R"({"value":10,"relation":"eq"})") << rest;
  }
}

}  // namespace
}  // namespace fb::api
