#include "engine/pipeline/alert_document.h"
#include "tests/unit/api_rules/rules_fixture.h"

namespace fb::api {
namespace {

TEST_F(RulesApi, CreatesWithKibanasDefaults) {
  const net::Response made = call("POST", kRules, rule("a"));
  ASSERT_EQ(made.status, 200) << made.body;
  const Json r = parsed(made);
  EXPECT_EQ(r["enabled"], false);
  EXPECT_EQ(r["interval"], "5m");
  EXPECT_EQ(r["from"], "now-6m");
  EXPECT_EQ(r["max_signals"], 100);
  EXPECT_EQ(r["language"], "kuery");
  EXPECT_EQ(r["revision"], 0);
  EXPECT_EQ(r["version"], 1);
  EXPECT_EQ(r["immutable"], false);
  EXPECT_EQ(r["rule_source"]["type"], "internal");
  EXPECT_EQ(r["created_by"], "ada");
  EXPECT_EQ(r["exceptions_list"], Json::array());
  EXPECT_EQ(running(), 1u) << "a disabled rule does not run";
  EXPECT_EQ(parsed(call("GET", kRules, {}, {{"id", r["id"]}}))["rule_id"], "a");
  EXPECT_EQ(parsed(call("GET", kRules, {}, {{"rule_id", "a"}}))["id"], r["id"]);

  Json nameless = rule("x");
  nameless.erase("rule_id");
  EXPECT_EQ(parsed(call("POST", kRules, nameless))["rule_id"].get<std::string>().size(), 36u);
}

TEST_F(RulesApi, RefusesInBothShapes) {
  Json missing = rule("a");
  missing.erase("severity");
  const net::Response schema = call("POST", kRules, missing);
  EXPECT_EQ(schema.status, 400);
  EXPECT_EQ(parsed(schema)["statusCode"], 400);
  EXPECT_EQ(parsed(schema)["message"], "[request body]: severity: Required");

  Json unparsable = rule("a");
  unparsable["query"] = "process.name: (a or";
  const net::Response query = call("POST", kRules, unparsable);
  EXPECT_EQ(query.status, 400);
  EXPECT_EQ(parsed(query)["status_code"], 400);
  EXPECT_NE(query.body.find("query, line 1, column "), std::string::npos) << query.body;

  Json ml = rule("a");
  ml["type"] = "machine_learning";
  ml.erase("query");
  EXPECT_EQ(call("POST", kRules, ml).status, 400);

  EXPECT_EQ(call("GET", kRules).status, 400);
  EXPECT_EQ(call("GET", kRules, {}, {{"id", "x"}, {"rule_id", "y"}}).status, 400);
  const net::Response none = call("GET", kRules, {}, {{"rule_id", "nope"}});
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(parsed(none)["message"], "rule_id: \"nope\" not found");
  ASSERT_EQ(call("POST", kRules, rule("a")).status, 200);
  const net::Response twice = call("POST", kRules, rule("a"));
  EXPECT_EQ(twice.status, 409);
  EXPECT_EQ(parsed(twice)["message"], "rule_id: \"a\" already exists");
}

TEST_F(RulesApi, AnIsolatingRuleThatMatchesEverythingIsRefused) {
  Json all = rule("all");
  all["query"] = "*";
  all["enabled"] = true;
  all["response_actions"] = Json::parse(R"([{"action_type_id":".endpoint","params":{"command":"isolate"}}])");
  EXPECT_EQ(call("POST", kRules, all).status, 400);
  EXPECT_EQ(running(), 1u);
  all["response_actions"][0]["params"]["command"] = "unisolate";
  all["query"] = "process.name: a";
  EXPECT_EQ(call("POST", kRules, all).status, 400);
}

TEST_F(RulesApi, PutReplacesPatchChangesAndRevisionsCount) {
  Json first = rule("a");
  first["tags"] = {"one"};
  first["note"] = "n";
  const std::string id = parsed(call("POST", kRules, first))["id"];
  clock_.advance_ms(1000);
  const Json patched = parsed(call("PATCH", kRules, {{"id", id}, {"name", "Other"}, {"enabled", true}}));
  EXPECT_EQ(patched["name"], "Other");
  EXPECT_EQ(patched["revision"], 1);
  EXPECT_EQ(patched["note"], "n");
  EXPECT_NE(patched["updated_at"], patched["created_at"]);
  EXPECT_EQ(running(), 2u);
  const Json off = parsed(call("PATCH", kRules, {{"rule_id", "a"}, {"enabled", false}}));
  EXPECT_EQ(off["revision"], 1) << "switching off is no change of the rule";
  EXPECT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"type", "eql"}}).status, 400);
  EXPECT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"query", "((("}}).status, 400);
  EXPECT_EQ(parsed(call("GET", kRules, {}, {{"id", id}}))["query"], first["query"]);
  const Json replaced = parsed(call("PUT", kRules, rule("a")));
  EXPECT_FALSE(replaced.contains("note"));
  EXPECT_EQ(replaced["tags"], Json::array());
  EXPECT_EQ(replaced["id"], id);
  EXPECT_EQ(replaced["revision"], 2);
  // What was read may be sent back as it is.
  EXPECT_EQ(call("PUT", kRules, replaced).status, 200);
  EXPECT_EQ(call("PUT", kRules, rule("other")).status, 404);
}

// From an alert to its rule: the id in the alert is the one that the API shows and finds.
TEST_F(RulesApi, AnAlertNamesItsRuleByTheIdThatTheApiShows) {
  std::ofstream(dir_.path() + "/rules/b.yml") << R"(id: 11111111-2222-3333-4444-555555555555
rule_id: with-an-id
name: File rule with an id
description: d
risk_score: 21
severity: low
type: query
query: 'process.name: "evil.exe"'
)";
  restart();
  ASSERT_EQ(call("POST", kRules, rule("of-the-api")).status, 200);
  size_t looked = 0;
  const auto look = [&](const RuleMeta& meta) {
    const Json shown = parsed(call("GET", kRules, {}, {{"rule_id", meta.rule_id}}));
    const Json alert = Json::parse("{" + alert_rule_members(meta) + "}");
    const std::string uuid = alert["kibana.alert.rule.uuid"];
    EXPECT_EQ(shown["id"].get<std::string>(), uuid) << meta.rule_id;
    EXPECT_EQ(parsed(call("GET", kRules, {}, {{"id", uuid}}))["rule_id"].get<std::string>(), meta.rule_id);
    EXPECT_EQ(alert["kibana.alert.rule.immutable"], shown["immutable"]) << meta.rule_id;
    ++looked;
  };
  for (const LoadedRule& loaded : book_->file_rules()->rules) look(*loaded.input.meta);
  look(*desk_->compile(desk_->by_rule_id("of-the-api")->doc).value().input.meta);
  EXPECT_EQ(looked, 3u);
}

TEST_F(RulesApi, FileRulesAreShownAndNeverChanged) {
  const Json r = parsed(call("GET", kRules, {}, {{"rule_id", "from-a-file"}}));
  EXPECT_EQ(r["immutable"], true);
  EXPECT_EQ(r["firebreak"]["source"], "file");
  EXPECT_FALSE(r["firebreak"]["notices"].empty());
  const std::string id = r["id"];
  for (const net::Response& refused :
       {call("PATCH", kRules, {{"id", id}, {"name", "x"}}), call("PUT", kRules, rule("from-a-file")),
        call("DELETE", kRules, {}, {{"id", id}})}) {
    EXPECT_EQ(refused.status, 400);
    EXPECT_NE(refused.body.find("rule file"), std::string::npos) << refused.body;
  }
  EXPECT_EQ(call("POST", kRules, rule("from-a-file")).status, 409);
  const net::Response bulk =
      call("POST", "/api/detection_engine/rules/_bulk_action", {{"action", "delete"}, {"ids", {id}}});
  EXPECT_EQ(bulk.status, 500);
  EXPECT_EQ(parsed(bulk)["attributes"]["errors"][0]["err_code"], "IMMUTABLE");
  EXPECT_EQ(running(), 1u);
}

TEST_F(RulesApi, AFileMayNotTakeTheIdOfAStoredRule) {
  ASSERT_EQ(call("POST", kRules, rule("taken")).status, 200);
  std::ofstream(dir_.path() + "/rules/b.yml") << "rule_id: taken\nname: n\nrisk_score: 1\nseverity: low\ntype: "
                                                 "query\nquery: 'user.name: x'\n";
  const ReloadReport report = book_->reload();
  EXPECT_FALSE(report.swapped);
  EXPECT_NE(report.problem.find("taken"), std::string::npos);
  EXPECT_EQ(running(), 1u);
}

TEST_F(RulesApi, RulesComeBackAfterARestart) {
  Json on = rule("a");
  on["enabled"] = true;
  const Json before = parsed(call("POST", kRules, on));
  EXPECT_TRUE(restart().empty());
  EXPECT_EQ(running(), 2u);
  EXPECT_EQ(parsed(call("GET", kRules, {}, {{"rule_id", "a"}})), before);
}

TEST_F(RulesApi, FindFiltersSortsAndPages) {
  for (const char* id : {"c", "a", "b"}) {
    Json r = rule(id);
    r["tags"] = {std::string("tag-") + id};
    r["severity"] = std::string(id) == "a" ? "critical" : "low";
    ASSERT_EQ(call("POST", kRules, r).status, 200);
    clock_.advance_ms(10);
  }
  const std::string find = "/api/detection_engine/rules/_find";
  const Json all = parsed(call("GET", find, {}, {{"per_page", "2"}, {"page", "2"}}));
  EXPECT_EQ(all["perPage"], 2);
  EXPECT_EQ(all["total"], 4);
  EXPECT_EQ(all["data"].size(), 2u);
  const Json sorted = parsed(call("GET", find, {}, {{"sort_field", "name"}, {"sort_order", "asc"}}));
  EXPECT_EQ(sorted["data"][1]["rule_id"], "a");
  EXPECT_EQ(sorted["data"][3]["rule_id"], "c");
  const Json grave = parsed(call("GET", find, {}, {{"sort_field", "severity"}, {"sort_order", "desc"}}));
  EXPECT_EQ(grave["data"][0]["rule_id"], "a");
  const auto hits = [&](const std::string& filter) -> Json {
    return parsed(call("GET", find, {}, {{"filter", filter}}))["total"];
  };
  EXPECT_EQ(hits("alert.attributes.tags: \"tag-b\""), 1);
  EXPECT_EQ(hits("alert.attributes.name: rule"), 4) << "the name is read as words";
  EXPECT_EQ(hits("alert.attributes.enabled: true"), 1) << "the file's";
  EXPECT_EQ(hits("alert.attributes.params.severity: low and not alert.attributes.params.immutable: true"), 2);
  EXPECT_EQ(hits("alert.attributes.params.riskScore >= 50"), 3);
  EXPECT_EQ(call("GET", find, {}, {{"filter", "alert.attributes.name: ("}}).status, 400);
  EXPECT_EQ(call("GET", find, {}, {{"sort_field", "name"}}).status, 400);
  EXPECT_EQ(call("GET", find, {}, {{"sort_field", "nope"}, {"sort_order", "asc"}}).status, 400);
  EXPECT_EQ(parsed(call("GET", "/api/detection_engine/tags")), Json({"files", "tag-a", "tag-b", "tag-c"}));
}

TEST_F(RulesApi, BulkActionsChangeWhatTheyCanAndSayTheRest) {
  const std::string a = parsed(call("POST", kRules, rule("a")))["id"];
  const std::string b = parsed(call("POST", kRules, rule("b")))["id"];
  const std::string bulk = "/api/detection_engine/rules/_bulk_action";
  const Json trial = parsed(call("POST", bulk, {{"action", "enable"}, {"ids", {a, b}}}, {{"dry_run", "true"}}));
  EXPECT_EQ(trial["attributes"]["summary"]["succeeded"], 2);
  EXPECT_EQ(running(), 1u);
  const Json on = parsed(call("POST", bulk, {{"action", "enable"}, {"ids", {a, b}}}));
  EXPECT_EQ(on["success"], true);
  EXPECT_EQ(on["attributes"]["results"]["updated"].size(), 2u);
  EXPECT_EQ(running(), 3u);
  const Json again = parsed(call("POST", bulk, {{"action", "enable"}, {"query", "alert.attributes.tags: none"}}));
  EXPECT_EQ(again["attributes"]["summary"]["total"], 0);
  const Json edit = parsed(call(
      "POST", bulk, {{"action", "edit"}, {"ids", {a}}, {"edit", Json::parse(R"([{"type":"add_tags","value":["x","x"]},
                                   {"type":"set_schedule","value":{"interval":"10m","lookback":"1m"}}])")}}));
  EXPECT_EQ(edit["attributes"]["results"]["updated"][0]["tags"], Json({"x"}));
  EXPECT_EQ(edit["attributes"]["results"]["updated"][0]["from"], "now-660s");
  const Json same =
      parsed(call("POST", bulk,
                  {{"action", "edit"}, {"ids", {a}}, {"edit", Json::parse(R"([{"type":"add_tags","value":["x"]}])")}}));
  EXPECT_EQ(same["attributes"]["results"]["skipped"][0]["skip_reason"], "RULE_NOT_MODIFIED");
  const Json copy = parsed(call("POST", bulk, {{"action", "duplicate"}, {"ids", {a}}}));
  EXPECT_EQ(copy["attributes"]["results"]["created"][0]["name"], "Rule a [Duplicate]");
  const net::Response part = call("POST", bulk, {{"action", "delete"}, {"ids", {b, "gone"}}});
  EXPECT_EQ(part.status, 500);
  EXPECT_EQ(parsed(part)["attributes"]["results"]["deleted"].size(), 1u);
  EXPECT_EQ(parsed(part)["attributes"]["summary"]["failed"], 1);
  EXPECT_EQ(call("GET", kRules, {}, {{"id", b}}).status, 404);
  EXPECT_EQ(call("POST", bulk, {{"action", "export"}, {"ids", {a}}}, {{"dry_run", "true"}}).status, 400);
  EXPECT_EQ(call("POST", bulk, {{"action", "edit"}, {"ids", {a}}, {"edit", Json::parse(R"([{"type":"x","value":1}])")}})
                .status,
            400);
}

TEST_F(RulesApi, OnlyABodyThatNamesNoRulesAtAllMeansEveryRule) {
  Json on = rule("a");
  on["enabled"] = true;
  const std::string a = parsed(call("POST", kRules, on))["id"];
  const std::string bulk = "/api/detection_engine/rules/_bulk_action";
  for (const char* body : {R"({"action":"disable","ids":null})", R"({"action":"disable","query":null})",
                           R"({"action":"delete","ids":null,"query":null})"}) {
    const net::Response r = call("POST", bulk, Json::parse(body));
    EXPECT_EQ(r.status, 400) << body;
    EXPECT_NE(r.body.find("received null"), std::string::npos) << r.body;
  }
  EXPECT_EQ(running(), 2u);
  EXPECT_EQ(call("POST", bulk, {{"action", "disable"}, {"ids", {a}}, {"query", nullptr}}).status, 200);
  EXPECT_EQ(running(), 1u);
  EXPECT_EQ(
      call("POST", bulk, {{"action", "enable"}, {"ids", nullptr}, {"query", "alert.attributes.enabled: false"}}).status,
      200);
  EXPECT_EQ(running(), 2u);
  call("POST", bulk, {{"action", "disable"}});
  EXPECT_EQ(running(), 1u) << "the file's rule stays";
}

TEST_F(RulesApi, ExportAndImportRoundTrip) {
  Json r = rule("a");
  r["tags"] = {"<script>", "'; DROP TABLE api_rules; --"};
  ASSERT_EQ(call("POST", kRules, r).status, 200);
  const net::Response file = call("POST", "/api/detection_engine/rules/_export", {}, {});
  EXPECT_EQ(file.content_type, "application/x-ndjson");
  const size_t line = file.body.find('\n');
  EXPECT_EQ(Json::parse(file.body.substr(line))["exported_rules_count"], 1);
  const Json missing =
      Json::parse(call("POST", "/api/detection_engine/rules/_export", {{"objects", {{{"rule_id", "gone"}}}}}).body);
  EXPECT_EQ(missing["missing_rules"][0]["rule_id"], "gone");

  const auto import = [&](const std::string& content, bool overwrite) {
    const std::string body = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.ndjson\"\r\n\r\n" +
                             content + "\r\n--B--\r\n";
    return parsed(send("POST", "/api/detection_engine/rules/_import", body,
                       {{"overwrite", overwrite ? "true" : "false"}},
                       {{"content-type", "multipart/form-data; boundary=B"}}));
  };
  const Json clash = import(file.body, false);
  EXPECT_EQ(clash["success"], false);
  EXPECT_EQ(clash["errors"][0]["error"]["status_code"], 409);
  ASSERT_EQ(call("DELETE", kRules, {}, {{"rule_id", "a"}}).status, 200);
  Json bad = rule("bad");
  bad["query"] = "(";
  const Json mixed = import(file.body + bad.dump() + "\nnot json\n" + rule("a").dump() + "\n", false);
  EXPECT_EQ(mixed["success_count"], 1);
  EXPECT_EQ(mixed["rules_count"], 4) << "what could not be read counts, too";
  EXPECT_EQ(mixed["errors"].size(), 3u);
  EXPECT_EQ(parsed(call("GET", kRules, {}, {{"rule_id", "a"}}))["tags"], r["tags"]);
  EXPECT_EQ(import(rule("a").dump(), true)["success"], true);
  EXPECT_EQ(parsed(call("GET", kRules, {}, {{"rule_id", "a"}}))["tags"], Json::array());
}

TEST_F(RulesApi, VersionsTellWhoAndCanBeRestored) {
  const std::string id = parsed(call("POST", kRules, rule("a")))["id"];
  ASSERT_EQ(call("PATCH", kRules, {{"id", id}, {"query", "user.name: mallory"}}).status, 200);
  ASSERT_EQ(call("DELETE", kRules, {}, {{"id", id}}).status, 200);
  const std::string base = "/api/firebreak/rules/" + id;
  const Json list = parsed(call("GET", base + "/versions"));
  ASSERT_EQ(list["versions"].size(), 3u);
  EXPECT_EQ(list["versions"][1]["author"], "user:ada");
  EXPECT_EQ(list["versions"][2]["what"], "deleted");
  const Json diff = parsed(call("GET", base + "/diff", {}, {{"from", "1"}, {"to", "2"}}));
  bool query = false;
  for (const Json& change : diff["changes"])
    query = query || (change["field"] == "query" && change["to"] == "user.name: mallory");
  EXPECT_TRUE(query) << diff;
  const Json back = parsed(call("POST", base + "/restore", {{"version", 1}}));
  EXPECT_EQ(back["query"], rule("a")["query"]);
  EXPECT_EQ(back["id"], id);
  EXPECT_EQ(call("POST", base + "/restore", {{"version", 9}}).status, 404);
  EXPECT_EQ(call("GET", "/api/firebreak/rules/none/versions").status, 404);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what LIKE 'rule_%' AND actor = 'user:ada'"), 4);
}

TEST_F(RulesApi, PreviewCountsAndNeverActs) {
  enroll("agent-1");
  Json r = rule("p");
  r["response_actions"] = Json::parse(R"([{"action_type_id":".endpoint","params":{"command":"isolate"}}])");
  r["events"] = Json::array(
      {Json::parse(R"({"@timestamp":"2026-11-21T00:00:00Z","process":{"name":"p.exe"},"agent":{"id":"agent-1"}})"),
       R"({"process":{"name":"other"}})", "not json"});
  const net::Response done = call("POST", "/api/detection_engine/rules/preview", r);
  ASSERT_EQ(done.status, 200) << done.body;
  const Json p = parsed(done);
  EXPECT_EQ(p["firebreak"]["events"], 3);
  EXPECT_EQ(p["firebreak"]["refused"], 1);
  EXPECT_EQ(p["firebreak"]["alerts_count"], 1);
  EXPECT_EQ(p["firebreak"]["would_isolate"], Json({"agent-1"}));
  EXPECT_EQ(p["firebreak"]["alerts"][0]["kibana.alert.rule.rule_id"], "p");
  EXPECT_EQ(p["isAborted"], false);
  EXPECT_EQ(count("SELECT count(*) FROM alerts") + count("SELECT count(*) FROM actions"), 0);
  EXPECT_EQ(running(), 1u);
  r["query"] = "(";
  const Json bad = parsed(call("POST", "/api/detection_engine/rules/preview", r));
  EXPECT_EQ(bad["logs"][0]["errors"].size(), 1u);
  r.erase("events");
  EXPECT_EQ(call("POST", "/api/detection_engine/rules/preview", r).status, 400);
}

TEST_F(RulesApi, PreviewRunsOverTheEventsBehindTheRecordsAlerts) {
  keep(batch(test::rule("old"), "agent-7", 0));
  Json r = rule("p");
  r["query"] = "agent.id: agent-7";
  r["invocationCount"] = 1000;
  r["timeframeEnd"] = iso8601(clock_.wall_ms() + 1000);
  const Json p = parsed(call("POST", "/api/detection_engine/rules/preview", r));
  EXPECT_EQ(p["firebreak"]["source"], "record");
  EXPECT_EQ(p["firebreak"]["alerts_count"], 1) << p;
  EXPECT_FALSE(p["firebreak"]["notices"].empty());
}

TEST_F(RulesApi, APreviewOfTheRecordNeedsThePrivilegeOfItsAlerts) {
  keep(batch(test::rule("old"), "agent-7", 0));
  Json r = rule("p");
  r["query"] = "agent.id: agent-7";
  r["invocationCount"] = 1000;
  r["timeframeEnd"] = iso8601(clock_.wall_ms() + 1000);
  scopes_ = {Privilege::rules_read, Privilege::rules_write};
  for (const char* source : {"record", "kafka"}) {
    past_events_ = [](const EventRange&, const auto&) -> Result<PastRead> {
      ADD_FAILURE() << "it was read";
      return PastRead{};
    };
    r["source"] = source;
    const net::Response refused = call("POST", "/api/detection_engine/rules/preview", r);
    EXPECT_EQ(refused.status, 403) << source;
    EXPECT_NE(refused.body.find("alerts_read"), std::string::npos) << refused.body;
  }
  r.erase("source");
  r["events"] = Json::array({Json::parse(R"({"agent":{"id":"agent-7"}})")});
  const Json mine = parsed(call("POST", "/api/detection_engine/rules/preview", r));
  EXPECT_EQ(mine["firebreak"]["alerts_count"], 1) << "one's own events";
}

TEST_F(RulesApi, APreviewTakes64MiBOfTheRecordAndSaysSo) {
  for (int i = 0; i < 20; ++i) {
    BatchOutcome one = batch(test::rule("old"), "agent-7", i);
    one.alerts.back().source = R"({"agent":{"id":"agent-7"},"message":")" + std::string(4u << 20, 'x') + "\"}";
    one.planned.clear();
    keep(one);
  }
  Json r = rule("p");
  r["query"] = "agent.id: agent-7";
  r["invocationCount"] = 1000;
  r["timeframeEnd"] = iso8601(clock_.wall_ms() + 1000);
  const Json p = parsed(call("POST", "/api/detection_engine/rules/preview", r));
  EXPECT_EQ(p["firebreak"]["events"], 15) << "of 4 MiB and a little";
  EXPECT_EQ(p["isAborted"], true);
  EXPECT_NE(p["logs"][0]["warnings"].dump().find("only the first 64 MiB"), std::string::npos);
}

}  // namespace
}  // namespace fb::api
