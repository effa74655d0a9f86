// The rule routes beside create, read, change and delete: pages with chosen fields, filters as Kibana's clients write
// them, lists of rules of older clients, what refusals say.
#include "tests/unit/api_rules/rules_fixture.h"

namespace fb::api {
namespace {

constexpr const char* kFind = "/api/detection_engine/rules/_find";
constexpr const char* kBulk = "/api/detection_engine/rules/_bulk_action";

class RuleRoutes : public RulesApi {
 protected:
  void make(const std::string& id, const Json& more = Json::object()) {
    Json r = rule(id);
    r.update(more);
    ASSERT_EQ(call("POST", kRules, r).status, 200);
  }
  std::vector<std::string> found(const std::string& filter) {
    const net::Response r = call("GET", kFind, {}, {{"filter", filter}, {"sort_field", "name"}, {"sort_order", "asc"}});
    EXPECT_EQ(r.status, 200) << filter << " " << r.body;
    std::vector<std::string> ids;
    const Json page = parsed(r);
    for (const Json& one : page["data"]) ids.push_back(one["rule_id"]);
    return ids;
  }
  using Ids = std::vector<std::string>;
};

TEST_F(RuleRoutes, FindAnswersWithTheFieldsThatAreAskedFor) {
  make("a");
  const auto keys = [&](const std::string& fields) {
    const net::Response r =
        call("GET", kFind, {}, {{"filter", "alert.attributes.params.ruleId: a"}, {"fields", fields}});
    EXPECT_EQ(r.status, 200) << r.body;
    std::vector<std::string> out;
    const Json page = parsed(r);
    for (const auto& [key, value] : page["data"][0].items()) out.push_back(key);
    return out;
  };
  EXPECT_EQ(keys("name"), (Ids{"id", "name", "type", "rule_id"}));
  EXPECT_EQ(keys("name&fields=enabled"), (Ids{"id", "name", "type", "rule_id", "enabled"})) << "repeated";
  EXPECT_EQ(keys("alert.attributes.params.riskScore,tags"), (Ids{"id", "risk_score", "type", "rule_id", "tags"}));
  EXPECT_GT(keys("").size(), 20u);
}

TEST_F(RuleRoutes, FiltersAreReadAsKibanasClientsWriteThem) {
  make("a", {{"risk_score", 10}, {"severity", "low"}});
  make("b", {{"risk_score", 90}, {"severity", "critical"}});
  const std::string id = parsed(call("GET", kRules, {}, {{"rule_id", "b"}}))["id"];
  EXPECT_EQ(found("alert.attributes.params.riskScore > 50"), Ids{"b"});
  EXPECT_EQ(found("alert.attributes.params.risk_score > 50"), Ids{"b"}) << "as the answer spells it";
  EXPECT_EQ(found("alert.attributes.mapped_params.severity: \"80-critical\""), Ids{"b"});
  EXPECT_EQ(found("alert.id: \"alert:" + id + "\""), Ids{"b"});
  EXPECT_EQ(found("alert.attributes.createdAt > now-1h and alert.attributes.params.ruleId: a"), Ids{"a"});
  EXPECT_EQ(found("alert.attributes.updatedAt < now-1h and alert.attributes.params.ruleId: a"), Ids{});
  EXPECT_EQ(found("alert.attributes.updatedAt <= now and alert.attributes.params.ruleId: a"), Ids{"a"});
  for (const char* filter : {"name: a", "alert.attributes.name: a and tags: x", "words alone"}) {
    const net::Response r = call("GET", kFind, {}, {{"filter", filter}});
    EXPECT_EQ(r.status, 400) << filter << ": nothing found would be no answer";
    EXPECT_NE(parsed(r)["message"].get<std::string>().find("saved object type"), std::string::npos) << r.body;
  }
  const net::Response sort = call("GET", kFind, {}, {{"sort_field", "nope"}, {"sort_order", "asc"}});
  EXPECT_EQ(sort.status, 400);
  EXPECT_EQ(parsed(sort)["message"].get<std::string>().find("[request query]: sort_field"), 0u);
}

TEST_F(RuleRoutes, WhatIsWrongWithTheMeaningIsAListWithPlaceAndConstruct) {
  const auto told = [&](const Json& body) {
    const net::Response r = call("POST", kRules, body);
    EXPECT_EQ(r.status, 400) << r.body;
    const Json answer = parsed(r);
    EXPECT_EQ(answer["status_code"], 400);
    EXPECT_TRUE(answer["message"].is_array()) << answer;
    return answer["message"].is_array() && !answer["message"].empty() ? answer["message"][0].get<std::string>() : "";
  };
  Json r = rule("a");
  r["query"] = "process.name: a\n  and )";
  EXPECT_EQ(told(r).find("query, line 2, column 7: "), 0u) << told(r);
  r = rule("a");
  r["timeline_id"] = "t";
  told(r);
  const std::vector<std::pair<Json, std::string>> unbuilt = {
      {{{"type", "esql"}, {"language", "esql"}, {"query", "FROM x"}}, "type 'esql'"},
      {{{"type", "machine_learning"}, {"anomaly_threshold", 50}, {"machine_learning_job_id", "j"}},
       "type 'machine_learning'"},
  };
  for (const bool enabled : {true, false}) {
    for (const auto& [more, start] : unbuilt) {
      Json body = rule("u");
      body.erase("query");
      body.update(more);
      body["enabled"] = enabled;
      EXPECT_NE(told(body).find(start), std::string::npos)
          << told(body) << ": what is kept must run once it is switched on";
    }
  }
  for (const auto& query : {std::map<std::string, std::string>{}, {{"id", "x"}, {"rule_id", "y"}}}) {
    for (const char* method : {"GET", "DELETE"}) {
      const net::Response both = call(method, kRules, {}, query);
      EXPECT_EQ(both.status, 400);
      EXPECT_EQ(parsed(both)["message"], Json::array({"either \"id\" or \"rule_id\" must be set"}));
    }
  }
}

TEST_F(RuleRoutes, MembersOutOfBoundsAreToldAsKibanaTellsThem) {
  const auto refused = [&](const char* key, const char* value, const std::string& text) {
    Json r = rule("a");
    r[key] = Json::parse(value);
    const net::Response answer = call("POST", kRules, r);
    EXPECT_EQ(answer.status, 400) << key << value;
    EXPECT_EQ(parsed(answer)["message"], "[request body]: " + text);
  };
  refused("alert_suppression", R"({"group_by":[]})",
          "alert_suppression.group_by: Array must contain at least 1 element(s)");
  refused("alert_suppression", R"({"group_by":["a","b","c","d"]})",
          "alert_suppression.group_by: Array must contain at most 3 element(s)");
  refused("alert_suppression", R"({"duration":{"value":1,"unit":"m"}})", "alert_suppression.group_by: Required");
  refused("alert_suppression", R"({"group_by":["a"],"duration":{"value":0,"unit":"m"}})",
          "alert_suppression.duration.value: Number must be greater than or equal to 1");
  refused("alert_suppression", R"({"group_by":["a"],"duration":{"value":1,"unit":"d"}})",
          "alert_suppression.duration.unit: Invalid enum value. Expected 's' | 'm' | 'h', received 'd'");
  refused("investigation_fields", R"({"field_names":[]})",
          "investigation_fields.field_names: Array must contain at least 1 element(s)");
  refused("severity_mapping", R"([{"field":"a","operator":"is","value":"x","severity":"low"}])",
          "severity_mapping.0.operator: Invalid enum value. Expected 'equals', received 'is'");
  refused("exceptions_list", R"([{"id":"x","list_id":"l","type":"detection","namespace_type":"all"}])",
          "exceptions_list.0.namespace_type: Invalid enum value. Expected 'agnostic' | 'single', received 'all'");
}

TEST_F(RuleRoutes, OlderClientsSendListsAndGetAListBack) {
  const std::string create = std::string(kRules) + "/_bulk_create";
  const std::string update = std::string(kRules) + "/_bulk_update";
  const std::string remove = std::string(kRules) + "/_bulk_delete";
  Json broken = rule("c");
  broken["query"] = "a: (";
  const net::Response made = call("POST", create, Json::array({rule("a"), rule("a"), broken, 5, rule("b")}));
  ASSERT_EQ(made.status, 200) << made.body;
  Json list = parsed(made);
  ASSERT_EQ(list.size(), 5u);
  EXPECT_EQ(list[0]["rule_id"], "a");
  EXPECT_EQ(list[1]["error"]["status_code"], 409);
  EXPECT_EQ(list[1]["rule_id"], "a");
  EXPECT_EQ(list[2]["error"]["status_code"], 400);
  EXPECT_EQ(list[3]["error"]["status_code"], 400);
  EXPECT_EQ(list[4]["name"], "Rule b") << "one that is refused holds back no other";

  Json tagged = rule("a");
  tagged["tags"] = {"x"};
  list = parsed(call("PUT", update, Json::array({tagged, rule("none")})));
  EXPECT_EQ(list[0]["tags"], Json({"x"}));
  EXPECT_EQ(list[1]["error"], (Json{{"status_code", 404}, {"message", "rule_id: \"none\" not found"}}));
  list = parsed(call("PATCH", update, Json::array({{{"rule_id", "a"}, {"name", "New"}}, Json::object()})));
  EXPECT_EQ(list[0]["name"], "New");
  EXPECT_EQ(list[0]["tags"], Json({"x"}));
  EXPECT_EQ(list[1]["error"]["status_code"], 400);
  list = parsed(call("DELETE", remove, Json::array({{{"rule_id", "a"}}, {{"rule_id", "from-a-file"}}, {{"id", "?"}}})));
  EXPECT_EQ(list[0]["rule_id"], "a");
  EXPECT_EQ(list[1]["error"]["status_code"], 400) << "a file's rule";
  EXPECT_EQ(list[2]["error"]["status_code"], 404);
  EXPECT_EQ(parsed(call("POST", remove, Json::array({{{"rule_id", "b"}}})))[0]["rule_id"], "b");
  EXPECT_EQ(parsed(call("GET", kFind))["total"], 1) << "the file's";
  EXPECT_EQ(call("POST", create, Json::object()).status, 400);
  EXPECT_EQ(call("POST", create, Json(std::vector<int>(1001, 1))).status, 400);
  EXPECT_EQ(parsed(call("PUT", std::string(kRules) + "/prepackaged"))["rules_installed"], 0);
  EXPECT_EQ(parsed(call("POST", "/api/detection_engine/index"))["acknowledged"], true);
}

TEST_F(RuleRoutes, SuppressionIsSetAndTakenAwayInBulk) {
  make("a");
  const auto edit = [&](const Json& one) {
    return call("POST", kBulk,
                {{"action", "edit"}, {"query", "alert.attributes.params.ruleId: a"}, {"edit", Json::array({one})}});
  };
  const Json by_host{
      {"group_by", {"host.id"}}, {"duration", {{"value", 5}, {"unit", "m"}}}, {"missing_fields_strategy", "suppress"}};
  const net::Response set = edit({{"type", "set_alert_suppression"}, {"value", by_host}});
  ASSERT_EQ(set.status, 200) << set.body;
  EXPECT_EQ(parsed(set)["attributes"]["results"]["updated"][0]["alert_suppression"], by_host);
  EXPECT_EQ(edit({{"type", "set_alert_suppression"}, {"value", {{"group_by", Json::array()}}}}).status, 400);
  const net::Response gone = edit({{"type", "delete_alert_suppression"}});
  EXPECT_FALSE(parsed(gone)["attributes"]["results"]["updated"][0].contains("alert_suppression")) << gone.body;
}

TEST_F(RuleRoutes, WhatABulkEditMakesIsARuleThatPutTakes) {
  make("a", {{"timeline_id", "t"}, {"timeline_title", "T"}});
  const auto edit = [&](const char* type, const char* value, const char* query = "alert.attributes.params.ruleId: a") {
    return call("POST", kBulk,
                {{"action", "edit"},
                 {"query", query},
                 {"edit", Json::array({{{"type", type}, {"value", Json::parse(value)}}})}});
  };
  const auto standing = [&] { return parsed(call("GET", kRules, {}, {{"rule_id", "a"}})); };
  const auto goes_back = [&] {
    const net::Response put = call("PUT", kRules, standing());
    EXPECT_EQ(put.status, 200) << put.body;
    const net::Response patched = call("PATCH", kRules, {{"rule_id", "a"}, {"enabled", false}});
    EXPECT_EQ(patched.status, 200) << patched.body;
  };
  const char* const one = R"({"actions":[{"id":"c","params":{},"group":"default"}]})";
  EXPECT_EQ(edit("set_rule_actions", one).status, 200);
  EXPECT_EQ(standing()["actions"][0]["action_type_id"], ".unknown") << "nobody said of what kind it is";
  goes_back();
  EXPECT_EQ(parsed(edit("add_rule_actions", one))["attributes"]["summary"]["skipped"], 1) << "it stands already";

  EXPECT_EQ(edit("set_rule_actions", R"({"actions":[{"id":"c","action_type_id":".slack","params":{}}]})").status, 200);
  EXPECT_EQ(edit("add_rule_actions", R"({"actions":[{"id":"c","params":{"message":"m"}}]})").status, 200);
  EXPECT_EQ(standing()["actions"][1]["action_type_id"], ".slack") << "as the rule's own action with this id";
  goes_back();

  EXPECT_EQ(edit("set_timeline", R"({"timeline_id":"","timeline_title":""})").status, 200);
  EXPECT_FALSE(standing().contains("timeline_id"));
  EXPECT_FALSE(standing().contains("timeline_title"));
  goes_back();

  // What PUT would refuse is an error of that rule, in a trial as well.
  make("b", {{"data_view_id", "d"}});
  for (const char* trial : {"true", "false"}) {
    const net::Response part = call("POST", kBulk,
                                    {{"action", "edit"},
                                     {"query", "alert.attributes.params.ruleId: (a or b)"},
                                     {"edit", Json::parse(R"([{"type":"set_index_patterns","value":["logs-*"]}])")}},
                                    {{"dry_run", trial}});
    EXPECT_EQ(part.status, 500) << part.body;
    const Json errors = parsed(part)["attributes"]["errors"];
    ASSERT_EQ(errors.size(), 1u) << part.body;
    EXPECT_EQ(errors[0]["rules"][0]["name"], "Rule b");
    EXPECT_EQ(errors[0]["message"], "\"index\" and \"data_view_id\" can't both be set");
  }
  EXPECT_EQ(standing()["index"], Json({"logs-*"})) << "the other one is changed";
  for (const auto& [type, value] :
       std::vector<std::pair<const char*, const char*>>{{"set_timeline", R"({"timeline_id":"t","timeline_title":""})"},
                                                        {"set_rule_actions", R"({"actions":[{"id":"c"}]})"},
                                                        {"set_rule_actions", R"({"actions":[],"throttle":"xx"})"},
                                                        {"set_rule_actions", R"({"actions":[],"throttle":5})"}}) {
    const net::Response r = edit(type, value);
    EXPECT_EQ(r.status, 500) << value << r.body;
    EXPECT_NE(r.body.find("[request body]: "), std::string::npos) << r.body;
  }
}

TEST_F(RuleRoutes, ADuplicatesSwitchesAreTrueOrFalse) {
  make("a");
  const auto duplicate = [&](const char* how) {
    return call(
        "POST", kBulk,
        {{"action", "duplicate"}, {"query", "alert.attributes.params.ruleId: a"}, {"duplicate", Json::parse(how)}});
  };
  EXPECT_EQ(parsed(duplicate(R"({"include_exceptions":"no"})"))["message"],
            "[request body]: duplicate.include_exceptions: Expected boolean, received string");
  EXPECT_EQ(parsed(duplicate(R"({"include_expired_exceptions":1})"))["message"],
            "[request body]: duplicate.include_expired_exceptions: Expected boolean, received number");
  EXPECT_EQ(duplicate(R"({"include_exceptions":false,"include_expired_exceptions":true})").status, 200);
}

TEST_F(RuleRoutes, WordsOfTheContractAreChecked) {
  const auto told = [&](const char* key, const char* value) {
    Json r = rule("a");
    r[key] = Json::parse(value);
    const net::Response answer = call("POST", kRules, r);
    EXPECT_EQ(answer.status, 400) << key << value;
    const Json body = parsed(answer);
    EXPECT_EQ(body.value("statusCode", 0), 400) << body << ": the platform's shape";
    return body.contains("statusCode") ? body["message"].get<std::string>() : body.dump();
  };
  for (const char* bad : {R"("xx")", R"("")", R"("0m")", R"("1")", R"("m")", R"("1w")", R"("1 h")", R"("-1h")"}) {
    EXPECT_EQ(told("throttle", bad).find("[request body]: throttle: Invalid value. Expected 'no_actions' | 'rule' | "),
              0u)
        << told("throttle", bad);
  }
  const auto action = [](const std::string& frequency) {
    return R"([{"id":"c","action_type_id":".slack","params":{},"frequency":)" + frequency + "}]";
  };
  const std::string at = "[request body]: actions.0.frequency.";
  EXPECT_EQ(told("actions", action(R"({"notifyWhen":"onActiveAlert","throttle":null})").c_str()),
            at + "summary: Required");
  EXPECT_EQ(told("actions", action(R"({"summary":true,"notifyWhen":"daily","throttle":null})").c_str()),
            at + "notifyWhen: Invalid enum value. Expected 'onActiveAlert' | 'onThrottleInterval' | "
                 "'onActionGroupChange', received 'daily'");
  EXPECT_EQ(told("actions", action(R"({"summary":true,"notifyWhen":"onActiveAlert"})").c_str()),
            at + "throttle: Required");
  EXPECT_EQ(told("actions", action(R"({"summary":true,"notifyWhen":"onThrottleInterval","throttle":"x"})").c_str())
                .find(at + "throttle: Invalid value."),
            0u);
  EXPECT_EQ(told("exceptions_list", R"([{"id":"x","list_id":"l","type":"other","namespace_type":"single"}])")
                .find("[request body]: exceptions_list.0.type: Invalid enum value. Expected 'detection' | "),
            0u);
  Json good = rule("a");
  good["throttle"] = "12h";
  good["actions"] = Json::parse(action(R"({"summary":false,"notifyWhen":"onThrottleInterval","throttle":"1d"})"));
  good["response_actions"] = Json::parse(R"([
      {"action_type_id":".endpoint","params":{"command":"suspend-process","config":{"field":"process.entity_id"}}},
      {"action_type_id":".endpoint","params":{"command":"runscript","config":{"linux":{"scriptId":"s"}}}}])");
  const net::Response made = call("POST", kRules, good);
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(parsed(made)["response_actions"][0]["params"]["config"]["overwrite"], true);
}

TEST_F(RuleRoutes, WhatIsMissingOrNoWordIsToldInThePlatformsShape) {
  const auto told = [&](const Json& more) {
    Json r = rule("a");
    r.update(more);
    for (auto it = r.begin(); it != r.end();) it = it->is_null() ? r.erase(it) : std::next(it);
    const net::Response answer = call("POST", kRules, r);
    EXPECT_EQ(answer.status, 400) << more;
    const Json body = parsed(answer);
    return body.contains("statusCode") ? body["message"].get<std::string>() : body.dump();
  };
  const std::vector<std::pair<const char*, std::string>> actions = {
      {R"([{}])", "0.action_type_id: Required, response_actions.0.params: Required"},
      {R"([{"action_type_id":".other","params":{}}])",
       "0.action_type_id: Invalid enum value. Expected '.endpoint' | '.osquery', received '.other'"},
      {R"([{"action_type_id":".endpoint","params":{"command":"bad"}}])",
       "0.params.command: Invalid enum value. Expected 'isolate' | 'kill-process' | 'suspend-process' | 'runscript', "
       "received 'bad'"},
      {R"([{"action_type_id":".endpoint","params":{}}])", "0.params.command: Required"},
      {R"([{"action_type_id":".endpoint","params":{"command":"isolate","comment":5}}])",
       "0.params.comment: Expected string, received number"},
      {R"([{"action_type_id":".endpoint","params":{"command":"kill-process"}}])", "0.params.config: Required"},
      {R"([{"action_type_id":".endpoint","params":{"command":"kill-process","config":{}}}])",
       "0.params.config.field: Required"},
      {R"([{"action_type_id":".osquery","params":{"queries":"q"}}])",
       "0.params.queries: Expected array, received string"}};
  for (const auto& [value, text] : actions) {
    EXPECT_EQ(told({{"response_actions", Json::parse(value)}}), "[request body]: response_actions." + text);
  }
  // Two isolations are no mistake of the schema.
  const Json isolate = Json::parse(R"({"action_type_id":".endpoint","params":{"command":"isolate"}})");
  EXPECT_NE(told({{"response_actions", {isolate, isolate}}}).find("\"message\":["), std::string::npos);

  const std::vector<std::pair<const char*, std::string>> types = {
      {R"({"type":"threshold"})", "threshold: Required"},
      {R"({"type":"threshold","threshold":{"field":[]}})", "threshold.value: Required"},
      {R"({"type":"threshold","threshold":{"field":5,"value":0}})",
       "threshold.field: Expected array, received number, threshold.value: Number must be greater than or equal to 1"},
      {R"({"type":"new_terms","query":null})",
       "query: Required, new_terms_fields: Required, history_window_start: Required"},
      {R"({"type":"new_terms","new_terms_fields":[],"history_window_start":"now-1d"})",
       "new_terms_fields: Array must contain at least 1 element(s)"},
      {R"({"type":"threat_match"})", "threat_query: Required, threat_mapping: Required, threat_index: Required"},
      {R"({"type":"eql","query":null})", "query: Required, language: Required"},
      {R"({"type":"saved_query"})", "saved_id: Required"},
      {R"({"type":"machine_learning"})", "anomaly_threshold: Required, machine_learning_job_id: Required"}};
  for (const auto& [more, text] : types) EXPECT_EQ(told(Json::parse(more)), "[request body]: " + text);
  // Whole, but not built: as before.
  for (const char* more :
       {R"({"type":"threshold","threshold":{"field":"host.name","value":5,"cardinality":[{"field":"a","value":2}]}})",
        R"({"type":"saved_query","saved_id":"s"})", R"({"type":"eql","language":"eql","query":"any where true"})",
        R"({"type":"threat_match","threat_query":"*:*","threat_index":["t"],
            "threat_mapping":[{"entries":[{"field":"a","type":"mapping","value":"b"}]}]})"}) {
    EXPECT_NE(told(Json::parse(more)).find("not built"), std::string::npos) << told(Json::parse(more));
  }
}

TEST_F(RuleRoutes, SortsByTheExecutionThatAnswersShow) {
  make("a", {{"enabled", true}});
  clock_.advance_ms(1000);
  make("b");
  clock_.advance_ms(1000);
  make("c", {{"enabled", true}});
  clock_.advance_ms(1000);
  ASSERT_EQ(call("PATCH", kRules, {{"rule_id", "a"}, {"name", "Later"}}).status, 200);
  const auto shown = [&](const char* what, const char* order) {
    const Json page = parsed(call("GET", kFind, {},
                                  {{"filter", "alert.attributes.params.immutable: false"},
                                   {"sort_field", "execution_summary.last_execution." + std::string(what)},
                                   {"sort_order", order}}));
    std::string ids;
    for (const Json& one : page["data"]) ids += one["rule_id"].get<std::string>();
    return ids;
  };
  EXPECT_EQ(shown("date", "asc"), "bca");
  EXPECT_EQ(shown("date", "desc"), "acb");
  EXPECT_EQ(shown("status", "asc").substr(0, 1), "b") << "by status_order: one that is off comes first";
  EXPECT_EQ(shown("status", "desc").substr(2), "b");
}

TEST_F(RuleRoutes, FiltersSpellInnerKeysEitherWay) {
  make("a", {{"exceptions_list",
              Json::parse(R"([{"id":"x","list_id":"mine","type":"detection","namespace_type":"single"}])")},
             {"response_actions", Json::parse(R"([{"action_type_id":".osquery","params":{"query":"SELECT 1;"}}])")}});
  make("b");
  for (const char* filter :
       {"alert.attributes.params.exceptionsList.listId: mine", "alert.attributes.params.exceptionsList.list_id: mine",
        "alert.attributes.params.exceptions_list.list_id: mine", "alert.attributes.exceptionsList.listId: mine",
        "alert.attributes.params.exceptionsList:{ listId: mine and namespaceType: single }",
        "alert.attributes.params.exceptions_list:{ list_id: mine and type: detection }",
        "alert.attributes.params.exceptions*: mine", "alert.attributes.params.responseActions.actionTypeId: .osquery",
        "alert.attributes.params.response_actions.action_type_id: .osquery"}) {
    EXPECT_EQ(found(filter), Ids{"a"}) << filter;
  }
  EXPECT_EQ(found("alert.attributes.mapped_params.risk_score: 50 and alert.attributes.params.ruleId: b"), Ids{"b"});
  EXPECT_EQ(found("alert.attributes.created_at > now-1h and alert.attributes.params.ruleId: b"), Ids{"b"});
}

TEST_F(RuleRoutes, AnIdAndARuleIdOfAnotherRuleAreRefused) {
  make("a");
  const Json a = parsed(call("GET", kRules, {}, {{"rule_id", "a"}}));
  Json body = a;
  EXPECT_EQ(call("PUT", kRules, body).status, 200) << "both, of one rule";
  body["rule_id"] = "other";
  const std::string id = a["id"];
  for (const char* method : {"PUT", "PATCH"}) {
    const net::Response r = call(method, kRules, body);
    EXPECT_EQ(r.status, 400) << method;
    EXPECT_EQ(parsed(r)["message"], Json::array({"id: \"" + id +
                                                 "\" is the rule of rule_id: \"a\", not of rule_id: "
                                                 "\"other\"; a rule_id can't be changed"}));
  }
}

TEST_F(RuleRoutes, AnExportNamesWhatItCouldNotFindAndTakesNoList) {
  make("a");
  const std::string id = parsed(call("GET", kRules, {}, {{"rule_id", "a"}}))["id"];
  const net::Response out = call("POST", kBulk, {{"action", "export"}, {"ids", {id, "none"}}});
  ASSERT_EQ(out.status, 200);
  const Json details = Json::parse(out.body.substr(out.body.find('\n') + 1));
  EXPECT_EQ(details["missing_rules"], Json::array({{{"rule_id", "none"}}}));
  EXPECT_EQ(call("POST", std::string(kRules) + "/_export", Json::array()).status, 400);
}

TEST_F(RuleRoutes, AnImportTellsTheLineAndWithOverwriteTheLastOfARuleCounts) {
  const auto import = [&](const std::string& lines, const std::string& overwrite) {
    const std::string body =
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.ndjson\"\r\n\r\n" + lines + "\r\n--B--\r\n";
    return parsed(send("POST", std::string(kRules) + "/_import", body, {{"overwrite", overwrite}},
                       {{"content-type", "multipart/form-data; boundary=B"}}));
  };
  Json second = rule("a");
  second["name"] = "Second";
  Json nameless = rule("x");
  nameless.erase("rule_id");
  const std::string lines = rule("a").dump() + "\n\n{bad\n" + second.dump() + "\r\n" + nameless.dump();
  Json done = import(lines, "false");
  EXPECT_EQ(done["rules_count"], 4);
  EXPECT_EQ(done["success_count"], 1);
  ASSERT_EQ(done["errors"].size(), 3u);
  EXPECT_EQ(done["errors"][0]["error"]["message"], "line 3 is not a JSON object");
  EXPECT_EQ(done["errors"][1]["error"]["message"], "More than one rule with rule-id: \"a\" found");
  EXPECT_EQ(done["errors"][2]["error"]["message"], "line 5: rule_id: Required");
  done = import(rule("a").dump() + "\n" + second.dump(), "true");
  EXPECT_EQ(done["success"], true) << done;
  EXPECT_EQ(parsed(call("GET", kRules, {}, {{"rule_id", "a"}}))["name"], "Second");
  std::string garbage;
  for (int i = 0; i < 1500; ++i) garbage += "x\n";
  done = import(garbage, "false");
  EXPECT_EQ(done["errors"].size(), 1001u);
  EXPECT_NE(done["errors"][1000]["error"]["message"].get<std::string>().find("from line 1001"), std::string::npos);
}

}  // namespace
}  // namespace fb::api
