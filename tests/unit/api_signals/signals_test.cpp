#include "api/signals/search.h"
#include "tests/unit/api_signals/signals_fixture.h"

namespace fb::api {
namespace {

TEST_F(SignalsApi, EveryClauseFindsWhatItSays) {
  EXPECT_EQ(hits(R"({"match_all":{}})"), 10);
  EXPECT_EQ(hits(R"({"term":{"kibana.alert.rule.rule_id":"even"}})"), 5);
  EXPECT_EQ(hits(R"({"terms":{"agent.id":["agent-0","agent-1"]}})"), 7);
  EXPECT_EQ(hits(R"({"ids":{"values":[")" + ids_[3] + R"(","none"]}})"), 1);
  EXPECT_EQ(hits(R"({"match":{"process.name":"cmd.exe"}})"), 5);
  EXPECT_EQ(hits(R"({"match_phrase":{"process.name":{"query":"bash"}}})"), 5);
  EXPECT_EQ(hits(R"({"exists":{"field":"process.executable"}})"), 10);
  EXPECT_EQ(hits(R"({"exists":{"field":"user.name"}})"), 0);
  EXPECT_EQ(hits(R"({"range":{"kibana.alert.risk_score":{"gte":30,"lt":60}}})"), 3);
  EXPECT_EQ(hits(R"({"range":{"@timestamp":{"gte":"2023-11-14T22:13:25.000Z","lte":"now"}}})"), 0)
      << "the clock stands before them";
  EXPECT_EQ(hits(R"({"range":{"@timestamp":{"gte":"2023-11-14T22:13:25.000Z"}}})"), 5);
  EXPECT_EQ(hits(R"({"query_string":{"query":"process.name:bash AND kibana.alert.rule.rule_id:odd"}})"), 3);
  EXPECT_EQ(hits(R"({"wildcard":{"process.name":{"value":"cm?.*"}}})"), 5);
  EXPECT_EQ(hits(R"({"prefix":{"agent.id":"agent-"}})"), 10);
  EXPECT_EQ(hits(R"({"bool":{"filter":[{"term":{"kibana.alert.workflow_status":"open"}},
      {"term":{"kibana.alert.rule.rule_id":"odd"}}],"must_not":{"term":{"process.name":"bash"}}}})"),
            2);
  EXPECT_EQ(hits(R"({"bool":{"should":[{"term":{"agent.id":"agent-0"}},{"term":{"agent.id":"agent-1"}}]}})"), 7);
  EXPECT_EQ(hits(R"({"bool":{"filter":[{"term":{"process.name":"bash"}}],
      "should":[{"term":{"agent.id":"agent-0"}}],"minimum_should_match":1}})"),
            2);
}

// Elastic's older clients ask by the names that alerts had first.
TEST_F(SignalsApi, OldNamesOfFieldsAreTheNewOnes) {
  BatchOutcome b = batch(test::rule("old"), "agent-old", 10);
  b.planned.clear();
  Alert& a = b.alerts.back();
  a.read_time_ms = 1'700'000'200'000;
  ids_.push_back(a.alert_id);
  a.doc = Json{
      {"@timestamp", iso8601(a.read_time_ms)},
      {"kibana.alert.uuid", a.alert_id},
      {"kibana.alert.workflow_status", "open"},
      {"kibana.alert.rule.rule_id", "old"},
      {"kibana.alert.rule.uuid", "uuid-1"},
      {"kibana.alert.rule.name", "Old rule"},
      {"kibana.alert.rule.indices", {"logs-*"}},
      {"kibana.alert.rule.severity_mapping", {{{"field", "event.severity"}}}},
      {"kibana.alert.severity", "high"},
      {"kibana.alert.risk_score", 95},
      {"kibana.alert.original_event.action", "start"},
      {"kibana.alert.original_time", "2023-11-14T22:16:40.000Z"},
      {"kibana.alert.depth", 1},
      {"kibana.alert.reason", "process event on h1"},
      {"kibana.alert.ancestors", {{{"id", "t:0:10"}, {"depth", 0}}}},
      {"kibana.alert.group.id", "g-1"},
      {"kibana.alert.threshold_result.count",
       7}}.dump();
  keep(b);
  for (const auto& [field, value] : std::initializer_list<std::pair<std::string, Json>>{
           {"signal.rule.id", "uuid-1"},
           {"signal.rule.rule_id", "old"},
           {"signal.rule.name", "Old rule"},
           {"signal.rule.index", "logs-*"},
           {"signal.rule.severity", "high"},
           {"signal.rule.severity_mapping.field", "event.severity"},
           {"signal.rule.risk_score", 95},
           {"signal.original_event.action", "start"},
           {"signal.original_time", "2023-11-14T22:16:40.000Z"},
           {"signal.depth", 1},
           {"signal.reason", "process event on h1"},
           {"signal.ancestors.id", "t:0:10"},
           {"signal.group.id", "g-1"},
           {"signal.threshold_result.count", 7},
           {"_id", a.alert_id},
       }) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    const std::string kql = field + ": \"" + text + "\"";
    for (const Json& query : std::initializer_list<Json>{
             {{"term", {{field, value}}}},
             {{"terms", {{field, Json::array({value})}}}},
             {{"match", {{field, value}}}},
             {{"match_phrase", {{field, {{"query", value}}}}}},
             {{"multi_match", {{"query", value}, {"fields", Json::array({field})}}}},
             {{"query_string", {{"query", kql}}}},
             {{"query_string", {{"query", "\"" + text + "\""}, {"default_field", field}}}},
             {{"bool", {{"must", {{{"exists", {{"field", field}}}}, {{"term", {{field, value}}}}}}}}},
         }) {
      EXPECT_EQ(hits(query.dump()), 1) << query;
    }
    const Json found = search(Json{{"kuery", kql}, {"fields", Json::array({field})}}.dump());
    ASSERT_EQ(found["hits"]["hits"].size(), 1u) << kql;
    EXPECT_EQ(found["hits"]["hits"][0]["fields"][field], Json::array({value})) << field;
    const Json buckets = search(
        Json{{"size", 0}, {"query", {{"term", {{field, value}}}}}, {"aggs", {{"x", {{"terms", {{"field", field}}}}}}}}
            .dump());
    EXPECT_EQ(buckets["aggregations"]["x"]["buckets"][0]["key"], value) << field;
  }
  EXPECT_EQ(hits(R"({"prefix":{"signal.rule.name":"Old"}})"), 1);
  EXPECT_EQ(hits(R"({"wildcard":{"signal.rule.name":{"value":"*rule"}}})"), 1);
  EXPECT_EQ(hits(R"({"range":{"signal.rule.risk_score":{"gte":91}}})"), 1);
  EXPECT_EQ(hits(R"({"range":{"signal.original_time":{"gte":"2023-11-14T22:16","lt":"2023-11-14T22:17"}}})"), 1);
  EXPECT_EQ(hits(R"({"query_string":{"query":"signal.rule.\\*: \"Old rule\""}})"), 0) << "an escaped * is none";
  EXPECT_EQ(hits(R"({"query_string":{"query":"signal.rule.*: \"Old rule\""}})"), 1);
  EXPECT_EQ(hits(R"({"query_string":{"query":"signal.*: \"Old rule\""}})"), 1);
  const Json sorted = search(R"({"size":1,"sort":[{"signal.rule.risk_score":"desc"}],"_source":false,
      "fields":["signal.rule.n*","signal.st*"]})")["hits"]["hits"][0];
  EXPECT_EQ(sorted["sort"], Json::array({95}));
  EXPECT_EQ(sorted["fields"], Json::parse(R"({"signal.rule.name":["Old rule"],"signal.status":["open"]})"));
  EXPECT_FALSE(search(R"({"size":1,"fields":["*"]})")["hits"]["hits"][0]["fields"].contains("signal.status"));
  EXPECT_EQ(search(R"({"size":0,"aggs":{"x":{"filter":{"term":{"signal.rule.id":"uuid-1"}}}}})")["aggregations"]["x"]
                                                                                                ["doc_count"],
            1);
  const Json changed = Json::parse(call("POST", "/api/detection_engine/signals/status",
                                        {{"query", {{"term", {{"signal.rule.id", "uuid-1"}}}}}, {"status", "closed"}})
                                       .body);
  EXPECT_EQ(changed["updated"], 1);
  EXPECT_EQ(hits(R"({"term":{"signal.status":"closed"}})"), 1);
}

// What leads by index under its new name does under its old one.
TEST_F(SignalsApi, OldNamesLeadByIndexToo) {
  const auto query = [](const std::string& text) { return read_alert_query(text, 0).value(); };
  const AlertQuery old = query(R"({"bool":{"filter":[{"term":{"signal.rule.rule_id":"r"}},
      {"terms":{"signal.status":["open"]}},{"match":{"_id":"x"}}]}})");
  EXPECT_EQ(old.pick.rule_ids, std::vector<std::string>{"r"});
  EXPECT_EQ(old.pick.statuses, std::vector<std::string>{"open"});
  EXPECT_EQ(old.pick.alert_ids, std::vector<std::string>{"x"});
  EXPECT_TRUE(old.exact);
  const AlertQuery kql = read_alert_kuery("signal.rule.rule_id: r and signal.status: open").value();
  EXPECT_EQ(kql.pick.rule_ids, std::vector<std::string>{"r"});
  EXPECT_EQ(kql.pick.statuses, std::vector<std::string>{"open"});
}

TEST_F(SignalsApi, WhatIsNotSupportedIsNamedWithItsPlace) {
  const auto refused = [&](const std::string& body, const std::string& place) {
    const net::Response r = call("POST", "/api/detection_engine/signals/search", Json::parse(body));
    EXPECT_EQ(r.status, 400) << body;
    EXPECT_NE(Json::parse(r.body)["message"].get<std::string>().find(place), std::string::npos) << r.body;
  };
  refused(R"({"query":{"bool":{"filter":[{"match_all":{}},{"geo_shape":{}}]}}})", "query.bool.filter[1].geo_shape");
  refused(R"({"query":{"range":{"a":{"above":1}}}})", "query.range.a.above");
  refused(R"({"query":{"query_string":{"query":"a:[1 TO 2]"}}})", "query.query_string.query: character 3");
  refused(R"({"query":{"query_string":{"query":"process.name: one two"}}})", "AND or OR");
  refused(R"({"aggs":{"x":{"terms":{"field":"a"},"aggs":{"y":{"top_hits":{}}}}}})", "aggs.x.aggs.y.top_hits");
  refused(R"({"runtime_mappings":{"a":{}}})", "runtime_mappings");
  refused(R"({"size":10001})", "size");
  refused(R"({"highlight":{}})", "highlight");
}

TEST_F(SignalsApi, SortsPagesCutsAndCounts) {
  const Json newest = search(R"({"size":2,"from":1,"sort":[{"@timestamp":{"order":"desc"}}]})");
  ASSERT_EQ(newest["hits"]["hits"].size(), 2u);
  EXPECT_EQ(newest["hits"]["total"]["value"], 10);
  EXPECT_EQ(newest["hits"]["hits"][0]["_id"], ids_[8]);
  const Json oldest = search(R"({"size":1,"sort":{"@timestamp":"asc"},"query":{"exists":{"field":"agent.id"}}})");
  EXPECT_EQ(oldest["hits"]["hits"][0]["_id"], ids_[0]);
  const Json risky = search(R"({"size":3,"sort":[{"process.name":"asc"},{"kibana.alert.risk_score":"desc"}]})");
  EXPECT_EQ(risky["hits"]["hits"][0]["_id"], ids_[9]);
  EXPECT_EQ(risky["hits"]["hits"][0]["sort"], Json::parse(R"(["bash",90])"));
  const Json cut = search(R"({"size":1,"_source":["process.name"],"fields":["agent.id"]})");
  EXPECT_EQ(cut["hits"]["hits"][0]["_source"], Json::parse(R"({"process":{"name":"bash"}})"));
  EXPECT_EQ(cut["hits"]["hits"][0]["fields"]["agent.id"], Json::parse(R"(["agent-0"])"));
  const Json aggs = search(R"({"size":0,"aggs":{"by":{"terms":{"field":"agent.id","size":1}}}})");
  EXPECT_EQ(aggs["aggregations"]["by"]["buckets"], Json::parse(R"([{"key":"agent-0","doc_count":4}])"));
  EXPECT_EQ(aggs["aggregations"]["by"]["sum_other_doc_count"], 6);
}

TEST_F(SignalsApi, OneAnswerHoldsNoMoreBytesThanItMay) {
  constexpr int kLarge = 18;  // of 4 KiB
  constexpr size_t kMost = 64u << 10;
  BatchOutcome b = batch(test::rule("large"), "agent-large", 10);
  Alert one = b.alerts.back();
  b.alerts.clear();
  b.planned.clear();
  for (int i = 0; i < kLarge; ++i) {
    one.alert_id = std::string(62, 'a') + std::to_string(10 + i);
    one.read_time_ms = 1'700'000'100'000 + i;
    one.doc = Json{{"@timestamp", iso8601(one.read_time_ms)},
                   {"kibana.alert.rule.rule_id", "large"},
                   {"kibana.alert.risk_score", i},
                   {"message", std::string(4u << 10, 'x')}}
                  .dump();
    b.alerts.push_back(one);
  }
  keep(b);
  const auto found = [&](const std::string& rest) {
    return search_alerts(*store_, clock_,
                         R"({"size":100,"query":{"term":{"kibana.alert.rule.rule_id":"large"}},)" + rest + "}", kMost)
        .value();
  };
  const auto hits_in = [](const std::string& answer) {
    size_t n = 0;
    for (size_t at = answer.find("\"_index\""); at != std::string::npos; at = answer.find("\"_index\"", at + 1)) ++n;
    return n;
  };
  for (const std::string sort : {R"("sort":[])", R"("sort":[{"kibana.alert.risk_score":"desc"}])"}) {
    const std::string cut = found(sort);
    EXPECT_NE(cut.find("\"timed_out\":true"), std::string::npos) << sort;
    EXPECT_EQ(hits_in(cut), 15u) << sort;
    EXPECT_LT(cut.find(std::string(62, 'a') + "27"), size_t{1000}) << sort;
    const std::string rest = found(R"("from":15,)" + sort);
    EXPECT_NE(rest.find("\"timed_out\":false"), std::string::npos) << sort;
    EXPECT_EQ(hits_in(rest), 3u) << sort;
  }
  const std::string part = found(R"("_source":["kibana.alert.risk_score"],"sort":["kibana.alert.risk_score"])");
  EXPECT_NE(part.find("\"timed_out\":false"), std::string::npos) << "it is small";
  EXPECT_EQ(hits_in(part), static_cast<size_t>(kLarge));
  const std::string by_text = found(R"("_source":false,"sort":["message:asc"])");
  EXPECT_NE(by_text.find("\"timed_out\":true"), std::string::npos) << "what is sorted by is as large";
}

TEST_F(SignalsApi, NumbersOverFields) {
  const Json a = search(R"({"size":0,"query":{"bool":{"filter":[{"match":{"signal.status":"open"}}]}},"aggs":{
      "lastSeen":{"max":{"field":"@timestamp"}},"first":{"min":{"field":"@timestamp"}},
      "risk":{"avg":{"field":"kibana.alert.risk_score"}},"sum":{"sum":{"field":"kibana.alert.risk_score"}},
      "hosts":{"cardinality":{"field":"agent.id"}},"names":{"value_count":{"field":"process.name"}},
      "none":{"max":{"field":"user.name"}}}})")["aggregations"];
  EXPECT_EQ(a["lastSeen"]["value"], 1'700'000'009'000);
  EXPECT_EQ(a["lastSeen"]["value_as_string"], "2023-11-14T22:13:29.000Z");
  EXPECT_EQ(a["first"]["value"], 1'700'000'000'000);
  EXPECT_EQ(a["risk"]["value"], 45);
  EXPECT_EQ(a["sum"]["value"], 450);
  EXPECT_EQ(a["hosts"]["value"], 3);
  EXPECT_EQ(a["names"]["value"], 10);
  EXPECT_EQ(a["none"]["value"], nullptr);
}

TEST_F(SignalsApi, StatusTagsAndAssigneesAreMergedAndAudited) {
  const std::string base = "/api/detection_engine/signals/";
  const Json one =
      Json::parse(call("POST", base + "status", {{"signal_ids", {ids_[0], "none"}}, {"status", "closed"}}).body);
  EXPECT_EQ(one["updated"], 1);
  EXPECT_EQ(one["total"], 1);
  const Json many = Json::parse(call("POST", base + "status",
                                     {{"query", Json::parse(R"({"term":{"process.name":"bash"}})")},
                                      {"status", "acknowledged"},
                                      {"conflicts", "proceed"}})
                                    .body);
  EXPECT_EQ(many["updated"], 5);
  EXPECT_EQ(hits(R"({"term":{"kibana.alert.workflow_status":"acknowledged"}})"), 5);
  EXPECT_EQ(hits(R"({"term":{"kibana.alert.workflow_status":"open"}})"), 4);
  const Json tags = {{"ids", {ids_[0]}}, {"tags", {{"tags_to_add", {"<b>", "x"}}, {"tags_to_remove", Json::array()}}}};
  EXPECT_EQ(Json::parse(call("POST", base + "tags", tags).body)["updated"], 1);
  EXPECT_EQ(Json::parse(call("POST", base + "tags", tags).body)["noops"], 1);
  EXPECT_EQ(
      call("POST", base + "assignees", {{"ids", {ids_[0]}}, {"assignees", {{"add", {"ada"}}, {"remove", {"ada"}}}}})
          .status,
      400);
  EXPECT_EQ(call("POST", base + "assignees",
                 {{"ids", {ids_[0]}}, {"assignees", {{"add", {"ada"}}, {"remove", Json::array()}}}})
                .status,
            200);
  const Json found = search(R"({"query":{"term":{"kibana.alert.workflow_tags":"<b>"}}})");
  ASSERT_EQ(found["hits"]["hits"].size(), 1u);
  const Json source = found["hits"]["hits"][0]["_source"];
  EXPECT_EQ(source["kibana.alert.workflow_status"], "closed");
  EXPECT_EQ(source["kibana.alert.workflow_assignee_ids"], Json::parse(R"(["ada"])"));
  EXPECT_EQ(call("POST", base + "status", {{"signal_ids", {ids_[0]}}, {"status", "gone"}}).status, 400);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what LIKE 'alert_%' AND actor = 'user:ada'"), 8);
}

TEST_F(SignalsApi, NotesBelongToTheirAuthor) {
  const Json note = Json::parse(call("PATCH", "/api/note", {{"note", {{"eventId", ids_[0]}, {"note", "look"}}}}).body);
  const std::string id = note["note"]["noteId"];
  EXPECT_EQ(note["note"]["createdBy"], "ada");
  EXPECT_EQ(call("PATCH", "/api/note", {{"noteId", id}, {"note", {{"note", "mine"}}}}, "bob").status, 403);
  EXPECT_EQ(call("PATCH", "/api/note", {{"note", {{"eventId", "none"}, {"note", "x"}}}}).status, 404);
  EXPECT_EQ(Json::parse(call("GET", "/api/note").body)["totalCount"], 1);
  roles_ = {Role::analyst};
  EXPECT_EQ(call("DELETE", "/api/note", {{"noteId", id}}).status, 200);
  EXPECT_EQ(Json::parse(call("GET", "/api/note").body)["totalCount"], 0);
}

TEST_F(SignalsApi, NotesOfOthersAreDeletedByAdminsAlone) {
  const auto write = [&](const char* who) {
    const net::Response r = call("PATCH", "/api/note", {{"note", {{"eventId", ids_[0]}, {"note", "look"}}}}, who);
    return Json::parse(r.body)["note"]["noteId"].get<std::string>();
  };
  const std::string adas = write("ada");
  const std::string bobs = write("bob");
  roles_ = {Role::responder};
  const net::Response refused = call("DELETE", "/api/note", {{"noteIds", {bobs, adas}}}, "bob");
  EXPECT_EQ(refused.status, 403) << refused.body;
  EXPECT_EQ(Json::parse(call("GET", "/api/note").body)["totalCount"], 2) << "all or none";
  EXPECT_EQ(call("DELETE", "/api/note", {{"noteIds", {bobs, "none"}}}, "bob").status, 200);
  roles_ = {Role::admin};
  EXPECT_EQ(call("DELETE", "/api/note", {{"noteId", adas}}, "eve").status, 200);
  EXPECT_EQ(Json::parse(call("GET", "/api/note").body)["totalCount"], 0);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'alert_note_removed'"), 2);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'alert_note_removed' AND actor = 'user:eve' AND detail = "
                  "'note " +
                  adas + " of user:ada'"),
            1);
}

TEST_F(SignalsApi, AnAlertsHostIsIsolated) {
  enroll("agent-0");
  const std::string base = "/api/firebreak/alerts/" + ids_[0];
  const Json done = Json::parse(call("POST", base + "/isolate", {{"comment", "now"}}).body);
  EXPECT_EQ(done["endpoint_id"], "agent-0");
  EXPECT_EQ(ask("SELECT count(*) FROM action_alerts WHERE alert_id = '" + ids_[0] + "'"), "1");
  EXPECT_EQ(call("POST", "/api/firebreak/alerts/none/isolate").status, 404);
  EXPECT_EQ(call("POST", "/api/firebreak/alerts/" + ids_[1] + "/isolate").status, 409) << "no such endpoint";
}

// What an event calls a host chooses none: agent-1 is nobody's id, and somebody's name or host id.
TEST_F(SignalsApi, AnAlertNeverReachesAHostByItsName) {
  const std::string base = "/api/firebreak/alerts/" + ids_[1];
  EndpointReport named;
  named.endpoint_id = "ep-9";
  named.host_id = "host-9";
  named.hostname = "AGENT-1";
  named.os = "linux";
  named.observed = Isolation::released;
  ASSERT_TRUE(test::enrol(*store_, named, "credential of ep-9"));
  named.endpoint_id = "ep-8";
  named.host_id = "agent-1";
  named.hostname = "web-8";
  ASSERT_TRUE(test::enrol(*store_, named, "credential of ep-8"));
  for (const char* verb : {"/isolate", "/release"}) {
    const net::Response answer = call("POST", base + verb, {{"comment", "now"}});
    EXPECT_EQ(answer.status, 409) << answer.body;
    EXPECT_NE(answer.body.find("no enrolled endpoint has agent.id agent-1"), std::string::npos) << answer.body;
  }
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 0);
}

}  // namespace
}  // namespace fb::api
