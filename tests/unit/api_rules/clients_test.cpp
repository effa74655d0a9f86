// What Kibana's clients send and read: nulls, switches, exports with exceptions, strings of every kind.
#include <algorithm>

#include "api/front.h"
#include "engine/record/rules_store.h"
#include "tests/unit/api_rules/rules_fixture.h"

namespace fb::api {
namespace {

constexpr const char* kImport = "/api/detection_engine/rules/_import";
constexpr const char* kExport = "/api/detection_engine/rules/_export";
constexpr const char* kBulk = "/api/detection_engine/rules/_bulk_action";

class RuleClients : public RulesApi {
 protected:
  net::Response import(const std::string& content, std::map<std::string, std::string> query = {}) {
    const std::string body = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.ndjson\"\r\n\r\n" +
                             content + "\r\n--B--\r\n";
    return send("POST", kImport, body, std::move(query), {{"content-type", "multipart/form-data; boundary=B"}});
  }
  std::string message(const net::Response& r) { return parsed(r)["message"].get<std::string>(); }
};

TEST_F(RuleClients, NullSaysNothingAndUnknownKeysAreLeftOutAndNamed) {
  Json r = rule("a");
  for (const char* key : {"note", "threat", "timeline_id", "throttle", "filters", "alert_suppression", "enabled"}) {
    r[key] = nullptr;
  }
  r["not_a_key"] = "<b>";
  r["created_by"] = "somebody else";
  const net::Response made = call("POST", kRules, r);
  ASSERT_EQ(made.status, 200) << made.body;
  const Json answer = parsed(made);
  EXPECT_FALSE(answer.contains("note"));
  EXPECT_EQ(answer["threat"], Json::array());
  EXPECT_FALSE(answer.contains("not_a_key"));
  EXPECT_EQ(answer["created_by"], "ada");
  bool named = false;
  for (const Json& notice : answer["firebreak"]["notices"]) named = named || notice["field"] == "not_a_key";
  EXPECT_TRUE(named) << answer["firebreak"];
  const Json read = parsed(call("GET", kRules, {}, {{"rule_id", "a"}}));
  for (const Json& notice : read["firebreak"]["notices"]) {
    EXPECT_NE(notice["field"], "not_a_key") << "it is told once, to who sent it";
  }
  Json nameless = rule("b");
  nameless["name"] = nullptr;
  EXPECT_EQ(message(call("POST", kRules, nameless)), "[request body]: name: Expected string, received null");
}

TEST_F(RuleClients, RulesAreSortedByIdForDetectionRules) {
  for (const char* name : {"a", "b", "c"}) ASSERT_EQ(call("POST", kRules, rule(name)).status, 200);
  const auto ids = [&](const char* order) {
    std::vector<std::string> out;
    const Json found =
        parsed(call("GET", kRules + std::string("/_find"), {}, {{"sort_field", "_id"}, {"sort_order", order}}));
    for (const Json& r : found["data"]) out.push_back(r["id"]);
    return out;
  };
  std::vector<std::string> up = ids("asc");
  ASSERT_EQ(up.size(), 4u);
  EXPECT_TRUE(std::is_sorted(up.begin(), up.end()));
  std::reverse(up.begin(), up.end());
  EXPECT_EQ(ids("desc"), up);
}

TEST_F(RuleClients, ResponseActionsThatAreNotRunAreKeptAndNamed) {
  Json r = rule("a");
  r["enabled"] = true;
  r["response_actions"] = Json::parse(R"([
    {"action_type_id": ".osquery", "params": {"query": "SELECT 1;", "timeout": 300, "ecs_mapping": {"a": {"field": "b"}}}},
    {"action_type_id": ".endpoint", "params": {"command": "isolate", "comment": "c"}},
    {"action_type_id": ".endpoint", "params": {"command": "kill-process", "config": {"field": "process.pid", "overwrite": false}}}])");
  const net::Response made = call("POST", kRules, r);
  ASSERT_EQ(made.status, 200) << made.body;
  const Json answer = parsed(call("GET", kRules, {}, {{"rule_id", "a"}}));
  EXPECT_EQ(answer["response_actions"], r["response_actions"]);
  std::vector<std::string> told;
  for (const Json& n : answer["firebreak"]["notices"]) {
    if (n["field"] == "response_actions") told.push_back(n["message"]);
  }
  EXPECT_EQ(told, (std::vector<std::string>{"kept; '.osquery' is not run, a rule can only isolate",
                                            "kept; 'kill-process' is not run, a rule can only isolate"}));
  // What runs is the isolation alone, after a restart as well.
  for (const std::string& problem : restart()) ADD_FAILURE() << problem;
  size_t isolating = 0;
  for (const auto& one : book_->current()->rules()) isolating += one.meta->actions.size();
  EXPECT_EQ(isolating, 1u);
  for (const char* broken : {R"([{"action_type_id": ".osquery"}])", R"([{"action_type_id": ".other", "params": {}}])",
                             R"([{"action_type_id": ".endpoint", "params": {"command": "release"}}])"}) {
    Json other = rule("b");
    other["response_actions"] = Json::parse(broken);
    EXPECT_EQ(call("POST", kRules, other).status, 400) << broken;
  }
}

TEST_F(RuleClients, WrongTypesAreToldAsKibanaTellsThem) {
  const auto refused = [&](const char* key, const Json& value, const std::string& text) {
    Json r = rule("a");
    r[key] = value;
    const net::Response answer = call("POST", kRules, r);
    EXPECT_EQ(answer.status, 400) << key;
    EXPECT_EQ(message(answer), "[request body]: " + text);
  };
  refused("risk_score", "50", "risk_score: Expected number, received string");
  refused("risk_score", 50.5, "risk_score: Expected integer, received float");
  refused("risk_score", 101, "risk_score: Number must be less than or equal to 100");
  refused("max_signals", 0, "max_signals: Number must be greater than or equal to 1");
  refused("severity", "bad",
          "severity: Invalid enum value. Expected 'low' | 'medium' | 'high' | 'critical', received 'bad'");
  refused("interval", "soon", "interval: Failed to parse the interval; it is a number and a unit, such as 5m");
  refused("from", "yesterday-ish", "from: Failed to parse date-math expression");
  refused("name", "", "name: String must contain at least 1 character(s)");
  refused("tags", {"a", 1}, "tags.1: Expected string, received number");
  refused("tags", "a", "tags: Expected array, received string");
  refused("threat", Json::parse(R"([{"framework":"MITRE ATT&CK","tactic":{"id":"T","name":"n"}}])"),
          "threat.0.tactic.reference: Required");
  refused("actions", Json::parse(R"([{"id":"x","action_type_id":".email"}])"), "actions.0.params: Required");
  refused("exceptions_list", Json::parse(R"([{"id":"x","list_id":"l","type":"detection"}])"),
          "exceptions_list.0.namespace_type: Required");
  Json r = rule("a");
  r["risk_score"] = 50.0;
  r["required_fields"] = Json::parse(R"([{"name":"process.name","type":"keyword"},{"name":"x.y","type":"keyword"}])");
  r["actions"] = Json::parse(R"([{"id":"x","action_type_id":".email","params":{"to":["<b>"]}}])");
  const Json made = parsed(call("POST", kRules, r));
  EXPECT_EQ(made["risk_score"], 50);
  EXPECT_EQ(made["required_fields"][0]["ecs"], true);
  EXPECT_EQ(made["required_fields"][1]["ecs"], false);
  EXPECT_EQ(made["actions"][0]["group"], "default");
  // What was read goes back as it is, and changes nothing.
  const Json again = parsed(call("PUT", kRules, made));
  EXPECT_EQ(again["revision"], made["revision"]) << again;
  Json turned = made;  // the order of keys says nothing
  turned["actions"] =
      Json::parse(R"([{"params":{"to":["<b>"]},"group":"default","action_type_id":".email","id":"x"}])");
  EXPECT_EQ(parsed(call("PUT", kRules, turned))["revision"], made["revision"]);
}

TEST_F(RuleClients, PutKeepsWhetherARuleIsOnAndItsVersion) {
  Json r = rule("a");
  r["enabled"] = true;
  r["version"] = 7;
  ASSERT_EQ(call("POST", kRules, r).status, 200);
  const Json replaced = parsed(call("PUT", kRules, rule("a")));
  EXPECT_EQ(replaced["enabled"], true) << "a rule is not switched off by leaving a key out";
  EXPECT_EQ(replaced["version"], 7);
  EXPECT_EQ(running(), 2u);
  r["enabled"] = false;
  EXPECT_EQ(parsed(call("PUT", kRules, r))["enabled"], false);
}

// Markup, SQL, control characters, what looks like formats or paths, writing from right to left, astral planes.
const std::vector<std::string>& hostile() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> out = {"<script>alert(1)</script>",
                                    "'; DROP TABLE api_rules; --",
                                    "\" OR \"1\"=\"1",
                                    "../../etc/passwd",
                                    "%s%n%x {{7*7}} ${jndi:ldap://x}",
                                    "\xE2\x80\xAE"
                                    "exe.cod",
                                    "\xF0\x9F\x94\xA5 \xE2\x80\xA8 line",
                                    "back\\slash \"quote\" 'tick' `grave`",
                                    "tab\tnew\nline\rreturn"};
    std::string controls;
    for (char c = 1; c < 32; ++c) controls += c;
    out.push_back(controls + "\x7F");
    out.push_back(std::string("a\0b", 3));
    return out;
  }();
  return all;
}

TEST_F(RuleClients, HostileStringsComeBackAsTheyWere) {
  int at = 0;
  for (const std::string& text : hostile()) {
    Json r = rule("hostile-" + std::to_string(at++));
    for (const char* key : {"name", "description", "note", "setup", "license"}) r[key] = text;
    for (const char* key : {"tags", "references", "false_positives", "author"}) r[key] = {text};
    r["threat"] = Json::array({{{"framework", text}, {"tactic", {{"id", text}, {"name", text}, {"reference", text}}}}});
    r["meta"] = {{"from", text}, {"deep", {{"er", {text}}}}};
    const net::Response made = call("POST", kRules, r);
    ASSERT_EQ(made.status, 200) << made.body;
    EXPECT_EQ(made.content_type, "application/json");
    const std::string rule_id = r["rule_id"];
    const auto same = [&](const Json& got, const char* where) {
      for (const auto& [key, value] : r.items()) EXPECT_EQ(got[key], value) << where << " " << key;
    };
    same(parsed(made), "create");
    same(parsed(call("GET", kRules, {}, {{"rule_id", rule_id}})), "get");
    const std::string id = parsed(made)["id"];
    same(parsed(call("PATCH", kRules, {{"id", id}, {"risk_score", 50}})), "patch");
    const net::Response file = call("POST", kExport, {{"objects", {{{"rule_id", rule_id}}}}});
    const std::string line = file.body.substr(0, file.body.find('\n'));
    same(Json::parse(line), "export");
    ASSERT_EQ(call("DELETE", kRules, {}, {{"id", id}}).status, 200);
    const Json imported = parsed(import(line + "\n"));
    EXPECT_EQ(imported["success"], true) << imported;
    same(parsed(call("GET", kRules, {}, {{"rule_id", rule_id}})), "import");
    const Json diff = parsed(call("GET", "/api/firebreak/rules/" + rule_id + "/versions"));
    same(diff["versions"].back()["rule"], "versions");
  }
  EXPECT_TRUE(restart().empty());
  at = 0;
  for (const std::string& text : hostile()) {
    const Json r = parsed(call("GET", kRules, {}, {{"rule_id", "hostile-" + std::to_string(at++)}}));
    EXPECT_EQ(r["name"], text) << "after a restart";
    EXPECT_EQ(r["tags"], Json({text}));
  }
  EXPECT_EQ(parsed(call("GET", "/api/detection_engine/tags")).size(), hostile().size() + 1);
}

TEST_F(RuleClients, HostileRuleIdsAndQueriesAreData) {
  for (const std::string& text : hostile()) {
    Json r = rule("x");
    r["rule_id"] = text;
    const net::Response made = call("POST", kRules, r);
    ASSERT_EQ(made.status, 200) << made.body;
    EXPECT_EQ(parsed(made)["rule_id"], text);
    EXPECT_EQ(parsed(call("GET", kRules, {}, {{"rule_id", text}}))["rule_id"], text);
    const net::Response none = call("GET", kRules, {}, {{"rule_id", text + "?"}});
    EXPECT_EQ(none.status, 404);
    EXPECT_EQ(parsed(none)["message"], "rule_id: \"" + text + "?\" not found");
    EXPECT_EQ(call("DELETE", kRules, {}, {{"rule_id", text}}).status, 200);
  }
  EXPECT_EQ(parsed(call("GET", kRules + std::string("/_find")))["total"], 1);
  // A body that is not UTF-8 is refused whole.
  EXPECT_EQ(send("POST", kRules, "{\"name\":\"\xFF\xFE\"}", {}, {}).status, 400);
}

TEST_F(RuleClients, BulkActionsTakeWhatClientsLeaveEmpty) {
  const std::string id = parsed(call("POST", kRules, rule("a")))["id"];
  const Json on = {{"action", "enable"},
                   {"ids", {id}},
                   {"query", nullptr},
                   {"edit", nullptr},
                   {"duplicate", {{"include_exceptions", false}}}};
  EXPECT_EQ(call("POST", kBulk, on, {{"dry_run", "false"}}).status, 200);
  EXPECT_EQ(running(), 2u);
  const Json by_query = {{"action", "disable"}, {"ids", nullptr}, {"query", "alert.attributes.tags: nothing"}};
  EXPECT_EQ(parsed(call("POST", kBulk, by_query))["rules_count"], 0);
  for (const char* word : {"True", "1", "yes", ""}) {
    EXPECT_EQ(call("POST", kBulk, on, {{"dry_run", word}}).status, 400) << word;
  }
  const net::Response lines = call("POST", kBulk, {{"action", "export"}, {"ids", {id}}});
  EXPECT_EQ(lines.content_type, "application/x-ndjson");
  EXPECT_EQ(Json::parse(lines.body.substr(0, lines.body.find('\n')))["rule_id"], "a");
}

TEST_F(RuleClients, FindsByWhatOlderClientsAskFor) {
  ASSERT_EQ(call("POST", kRules, rule("a")).status, 200);
  const auto total = [&](const std::string& filter) {
    const net::Response r =
        call("GET", kRules + std::string("/_find"), {},
             {{"filter", filter}, {"sort_field", "name"}, {"sort_order", "asc"}, {"per_page", "100"}});
    EXPECT_EQ(r.status, 200) << r.body;
    return parsed(r)["total"].get<int>();
  };
  EXPECT_EQ(total("alert.attributes.tags:\"__internal_immutable:false\""), 1);
  EXPECT_EQ(total("alert.attributes.tags:\"__internal_immutable:true\""), 1);
  EXPECT_EQ(total("alert.attributes.params.immutable: true"), 1);
  EXPECT_EQ(total("alert.attributes.alertTypeId: siem.queryRule"), 2);
  EXPECT_EQ(total("alert.attributes.params.ruleId: \"a\""), 1);
  EXPECT_EQ(total("alert.attributes.params.severity: medium and alert.attributes.enabled: false"), 1);
  EXPECT_EQ(total("alert.attributes.params.riskScore >= 50"), 1);
  EXPECT_EQ(parsed(call("GET", "/api/detection_engine/rules/prepackaged/_status"))["rules_installed"], 1);
  EXPECT_EQ(parsed(call("GET", "/api/detection_engine/privileges"))["is_authenticated"], true);
  EXPECT_EQ(parsed(call("GET", "/api/detection_engine/index"))["name"], ".alerts-security.alerts-default");
}

TEST_F(RuleClients, ExportsAndImportsCarryExceptions) {
  const std::string list =
      R"({"list_id":"l","name":"L <b>","description":"d","type":"detection","namespace_type":"single"})";
  const std::string item =
      R"({"list_id":"l","item_id":"i","name":"I","description":"d","type":"simple","namespace_type":"single",)"
      R"("entries":[{"field":"user.name","operator":"included","type":"match","value":"root"}]})";
  Json r = rule("a");
  r["exceptions_list"] = Json::parse(R"([{"id":"x","list_id":"l","type":"detection","namespace_type":"single"}])");
  const std::string connector = R"({"id":"c","type":"action","attributes":{"actionTypeId":".slack","name":"s"}})";
  const Json first = parsed(import(r.dump() + "\n" + list + "\n" + item + "\n" + connector + "\n"));
  EXPECT_EQ(first["success"], true) << first;
  EXPECT_EQ(first["rules_count"], 1);
  EXPECT_EQ(first["exceptions_success"], true) << first;
  EXPECT_EQ(first["exceptions_success_count"], 2);
  ASSERT_EQ(first["action_connectors_warnings"].size(), 1u) << "connectors are not taken, and that is told";

  const net::Response file = call("POST", kExport);
  std::vector<Json> lines;
  for (size_t at = 0; at < file.body.size();) {
    const size_t end = file.body.find('\n', at);
    lines.push_back(Json::parse(file.body.substr(at, end - at)));
    at = end + 1;
  }
  ASSERT_EQ(lines.size(), 4u) << file.body;
  EXPECT_EQ(lines[0]["rule_id"], "a");
  EXPECT_EQ(lines[1]["list_id"], "l");
  EXPECT_EQ(lines[2]["item_id"], "i");
  EXPECT_EQ(lines[3]["exported_count"], 3);
  EXPECT_EQ(lines[3]["exported_rules_count"], 1);
  EXPECT_EQ(lines[3]["exported_exception_list_count"], 1);
  EXPECT_EQ(lines[3]["exported_exception_list_item_count"], 1);

  const Json clash = parsed(import(file.body, {{"overwrite", "true"}}));
  EXPECT_EQ(clash["success"], true) << clash;
  EXPECT_EQ(clash["exceptions_success"], false) << "the list is there already";
  const Json over = parsed(import(file.body, {{"overwrite", "true"}, {"overwrite_exceptions", "true"}}));
  EXPECT_EQ(over["exceptions_success"], true) << over;
  const Json anew = parsed(import(file.body, {{"overwrite", "true"}, {"as_new_list", "true"}}));
  EXPECT_EQ(anew["exceptions_success"], true) << "nothing in the file is there already: " << anew;
  EXPECT_EQ(anew["exceptions_success_count"], 2);
  const Json named = parsed(call("GET", kRules, {}, {{"rule_id", "a"}}))["exceptions_list"][0];
  EXPECT_NE(named["list_id"], "l");
  const auto copied = store_->exceptions().items(false, named["list_id"].get<std::string>());
  ASSERT_TRUE(copied && copied->size() == 1);
  EXPECT_NE(copied->front().item_id, "i");
  EXPECT_EQ(store_->exceptions().items(false, "l")->size(), 1u);
  EXPECT_EQ(import(file.body, {{"overwrite", "True"}}).status, 400);
}

TEST_F(RuleClients, ImportsJudgeEveryLineForItself) {
  Json odd = rule("odd");
  odd["language"] = "klingon";
  Json ml = rule("ml");
  ml["type"] = "machine_learning";
  ml["machine_learning_job_id"] = {"j"};
  ml["anomaly_threshold"] = 50;
  Json extra = rule("extra");
  extra["unheard_of"] = 1;
  const std::string deep = "{\"rule_id\":" + std::string(1000, '[') + std::string(1000, ']') + "}";
  const std::string lines = odd.dump() + "\n" + ml.dump() + "\r\n\n" + extra.dump() + "\n" + deep + "\n[]\n" +
                            rule("from-a-file").dump() + "\n" + rule("twin").dump() + "\n" + rule("twin").dump();
  const Json done = parsed(import(lines));
  EXPECT_EQ(done["success"], false);
  EXPECT_EQ(done["success_count"], 2) << done;
  std::map<std::string, int> status;
  for (const Json& error : done["errors"]) ++status[error["rule_id"].get<std::string>()];
  EXPECT_EQ(status["odd"], 1);
  EXPECT_EQ(status["ml"], 1);
  EXPECT_EQ(status["twin"], 1);
  EXPECT_EQ(status["from-a-file"], 1) << "a file's rule is not written over";
  EXPECT_EQ(status["(unknown id)"], 2);
  EXPECT_EQ(done["firebreak"]["notices"][0]["field"], "unheard_of");
}

TEST_F(RuleClients, DepthIsCounted) {
  EXPECT_FALSE(is_nested_deeper(std::string(300, '[') + std::string(300, ']')));
  EXPECT_TRUE(is_nested_deeper(std::string(301, '[')));
  EXPECT_FALSE(is_nested_deeper("{\"a\":\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"}"));
  EXPECT_TRUE(is_nested_deeper("{\"a\\\\\":" + std::string(301, '[')));
}

// What a preview reads of Kafka is asked of the port; the port's own test reads a broker.
TEST_F(RuleClients, PreviewRunsOverATimeOfTheTopics) {
  enroll("agent-1");
  std::vector<EventRange> ranges;
  PastRead answer;
  past_events_ = [&](const EventRange& range, const auto& take) -> Result<PastRead> {
    ranges.push_back(range);
    for (int i = 0; i < 3; ++i) {
      take(R"({"@timestamp":"2026-11-21T00:00:00Z","process":{"name":"p.exe"},"agent":{"id":"agent-1"}})");
    }
    return answer;
  };
  Json r = rule("p");
  r["enabled"] = true;
  r["interval"] = "10m";
  r["invocationCount"] = 6;
  r["timeframeEnd"] = "2026-11-21T12:00:00.000Z";
  r["response_actions"] = Json::parse(R"([{"action_type_id":".endpoint","params":{"command":"isolate"}}])");
  const Json p = parsed(call("POST", "/api/detection_engine/rules/preview", r));
  ASSERT_EQ(ranges.size(), 1u) << p;
  EXPECT_EQ(ranges[0].to_ms - ranges[0].from_ms, 3'600'000);
  EXPECT_EQ(p["firebreak"]["source"], "kafka");
  EXPECT_EQ(p["firebreak"]["from"], "2026-11-21T11:00:00.000Z");
  EXPECT_EQ(p["firebreak"]["alerts_count"], 3);
  EXPECT_EQ(p["firebreak"]["would_isolate"], Json({"agent-1"}));
  EXPECT_EQ(p["isAborted"], false);
  EXPECT_EQ(count("SELECT count(*) FROM alerts") + count("SELECT count(*) FROM actions"), 0);
  EXPECT_EQ(running(), 1u);

  answer.complete = false;
  answer.why = "there are more than 3 events";
  r["timeframeStart"] = "2026-11-21T11:59:00.000Z";
  const Json cut = parsed(call("POST", "/api/detection_engine/rules/preview", r));
  EXPECT_EQ(ranges.back().from_ms + 60'000, ranges.back().to_ms);
  EXPECT_EQ(cut["isAborted"], true);
  EXPECT_NE(cut["logs"][0]["warnings"].dump().find("more than 3 events"), std::string::npos);

  r["source"] = "record";
  EXPECT_EQ(parsed(call("POST", "/api/detection_engine/rules/preview", r))["firebreak"]["source"], "record");
  EXPECT_EQ(ranges.size(), 2u);
  for (const auto& [key, value] : std::map<std::string, Json>{{"timeframeEnd", "soon"},
                                                              {"timeframeEnd", 5},
                                                              {"timeframeStart", "2027-01-01T00:00:00Z"},
                                                              {"source", "elsewhere"}}) {
    Json bad = r;
    bad[key] = value;
    EXPECT_EQ(call("POST", "/api/detection_engine/rules/preview", bad).status, 400) << key;
  }
  r.erase("timeframeStart");
  r["source"] = "kafka";
  r["invocationCount"] = "6";
  EXPECT_EQ(call("POST", "/api/detection_engine/rules/preview", r).status, 400);
}

// Who changed a rule last can't approve, within a day, what it asks for.
class LastEditor : public RuleClients {
 protected:
  void SetUp() override {
    RuleClients::SetUp();
    enroll("agent-1");
    enroll("agent-2");
    ASSERT_EQ(call("POST", kRules, rule("a")).status, 200);  // by ada
    judge_.answer = [](const PlannedAction& action, Ledger&, int64_t) -> Result<Judgement> {
      if (action.approved) return test::ScriptedJudge::passes();
      return test::ScriptedJudge::says(Verdict::awaiting_approval, Guard::mode, "a person decides");
    };
  }
  std::string waiting(const std::string& rule_id, const std::string& agent, int64_t offset) {
    const BatchOutcome b = batch(test::rule(rule_id), agent, offset);
    keep(b);
    return b.planned.front().action_id;
  }
};

TEST_F(LastEditor, CantApproveWithinADay) {
  const std::string action = waiting("a", "agent-1", 0);
  const auto own = store_->decide(action, true, "user:ada", "fine");
  ASSERT_FALSE(own);
  EXPECT_EQ(own.error().code, ErrorCode::refused);
  EXPECT_NE(own.error().message.find("24 hours"), std::string::npos);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'approval_refused' AND actor = 'user:ada'"), 1);
  EXPECT_EQ(ask("SELECT state FROM actions WHERE action_id = '" + action + "'"), "awaiting_approval");
  EXPECT_EQ(store_->decide(action, true, "user:bob", "fine").value(), ActionState::requested);
  // Saying no is always allowed.
  EXPECT_EQ(store_->decide(waiting("a", "agent-2", 1), false, "user:ada", "no").value(), ActionState::denied);
}

TEST_F(LastEditor, MayApproveAfterADayAndSwitchingIsNoEdit) {
  clock_.advance_ms(24 * 3'600'000ll - 1000);
  ASSERT_TRUE(ApiRules(*store_).write(
      {{parsed(call("GET", kRules, {}, {{"rule_id", "a"}}))["id"], "a", "enabled", rule("a").dump()}}, "user:bob"));
  EXPECT_FALSE(store_->decide(waiting("a", "agent-1", 0), true, "user:ada", "still the editor"));
  EXPECT_TRUE(store_->decide(waiting("a", "agent-1", 1), true, "user:bob", "only switched it on"));
  clock_.advance_ms(2000);
  EXPECT_TRUE(store_->decide(waiting("a", "agent-2", 2), true, "user:ada", "a day later"));
}

// Nobody takes an edit off another's name by one more edit, or by an exception.
TEST_F(LastEditor, EverybodyWhoEditedWithinADayIsOne) {
  const std::string id = parsed(call("GET", kRules, {}, {{"rule_id", "a"}}))["id"];
  clock_.advance_ms(3'600'000);
  ASSERT_TRUE(ApiRules(*store_).write({{id, "a", "updated", rule("a").dump()}}, "user:bob"));
  clock_.advance_ms(3'600'000);
  ASSERT_TRUE(ApiRules(*store_).write({{id, "a", "excepted", rule("a").dump()}}, "user:carl"));
  const std::string action = waiting("a", "agent-1", 0);
  EXPECT_FALSE(store_->decide(action, true, "user:ada", "two edits ago"));
  EXPECT_FALSE(store_->decide(action, true, "user:bob", "one edit ago"));
  EXPECT_EQ(store_->decide(action, true, "user:carl", "only made an exception").value(), ActionState::requested);
}

TEST_F(LastEditor, OfAnotherRuleOrOfAFileMayApprove) {
  EXPECT_TRUE(store_->decide(waiting("from-a-file", "agent-1", 0), true, "user:ada", "another rule"));
}

}  // namespace
}  // namespace fb::api
