// Who may let a rule isolate, and what is an edit of a rule.
#include "tests/unit/api_rules/rules_fixture.h"

namespace fb::api {
namespace {

class Isolating : public RulesApi {
 protected:
  static Json isolating(const std::string& id) {
    Json r = rule(id);
    r["response_actions"] = Json::parse(R"([{"action_type_id":".endpoint","params":{"command":"isolate"}}])");
    return r;
  }
  int patch(Json change) {
    change["rule_id"] = "a";
    return call("PATCH", kRules, change).status;
  }
  std::string id_of(const std::string& rule_id) {
    return parsed(call("GET", kRules, {}, {{"rule_id", rule_id}}))["id"];
  }
  int64_t versions() { return count("SELECT count(*) FROM api_rule_versions"); }
  void as(Role role) { roles_ = {role}; }

  static constexpr const char* kBulk = "/api/detection_engine/rules/_bulk_action";
};

TEST_F(Isolating, ARuleAuthorWritesEveryOtherRule) {
  as(Role::rule_author);
  EXPECT_EQ(call("POST", kRules, rule("a")).status, 200);
  EXPECT_EQ(patch({{"query", "process.name: b"}, {"enabled", true}}), 200);
  const net::Response refused = call("POST", kRules, isolating("b"));
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("[isolate]"), std::string::npos) << refused.body;
  EXPECT_EQ(patch({{"response_actions", isolating("a")["response_actions"]}}), 403);
  EXPECT_EQ(running(), 2u);
}

TEST_F(Isolating, AnIsolatingRuleIsChangedBySomebodyWhoMayIsolate) {
  Json on = isolating("a");
  on["enabled"] = true;
  ASSERT_EQ(call("POST", kRules, on).status, 200);
  as(Role::rule_author);
  EXPECT_EQ(patch({{"query", "process.name: other"}}), 403);
  EXPECT_EQ(patch({{"response", {{"mode", "enforce"}}}}), 403);
  EXPECT_EQ(patch({{"severity", "critical"}}), 403) << "the guard looks at it";
  EXPECT_EQ(patch({{"exceptions_list", Json::array()}}), 200) << "as it is";
  EXPECT_EQ(patch({{"name", "Another name"}, {"tags", {"x"}}, {"note", "n"}}), 200);
  EXPECT_EQ(patch({{"enabled", false}}), 200);
  EXPECT_EQ(patch({{"enabled", true}}), 403);
  EXPECT_EQ(running(), 1u);
  roles_ = {Role::rule_author, Role::responder};
  EXPECT_EQ(patch({{"query", "process.name: other"}, {"enabled", true}}), 200);
  as(Role::rule_author);
  EXPECT_EQ(patch({{"response_actions", Json::array()}}), 200) << "it isolates no more";
  EXPECT_EQ(call("DELETE", kRules, {}, {{"rule_id", "a"}}).status, 200);
}

// Each on its own: what one refuses another may let through.
TEST_F(Isolating, NoWayOfChangingAStandingRuleLeadsThere) {
  Json on = isolating("a");
  on["enabled"] = true;
  ASSERT_EQ(call("POST", kRules, on).status, 200);
  ASSERT_EQ(call("POST", kRules, rule("plain")).status, 200);
  const auto no_way = [&] {
    Json other = on;
    other["query"] = "process.name: other";
    Json plain = isolating("plain");
    for (const Json& body : {other, plain}) {
      EXPECT_EQ(call("PUT", kRules, body).status, 403) << body;
      const std::string update = std::string(kRules) + "/_bulk_update";
      for (const char* method : {"PUT", "PATCH"}) {
        const Json many = parsed(call(method, update, Json::array({body})));
        EXPECT_EQ(many[0]["error"]["status_code"], 403) << method << many;
      }
      const std::string file = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.ndjson\"\r\n\r\n" +
                               body.dump() + "\r\n--B--\r\n";
      const Json taken = parsed(send("POST", "/api/detection_engine/rules/_import", file, {{"overwrite", "true"}},
                                     {{"content-type", "multipart/form-data; boundary=B"}}));
      EXPECT_EQ(taken["errors"][0]["error"]["status_code"], 403) << taken;
    }
    const Json wider = Json::array({Json{{"type", "set_index_patterns"}, {"value", Json::array({"other-*"})}}});
    for (const char* trial : {"true", "false"}) {
      const Json body{{"action", "edit"}, {"ids", Json::array({id_of("a")})}, {"edit", wider}};
      const Json edited = parsed(call("POST", kBulk, body, {{"dry_run", trial}}));
      EXPECT_EQ(edited["attributes"]["errors"][0]["status_code"], 403) << edited;
    }
  };
  const int64_t made = versions();
  as(Role::rule_author);
  no_way();
  as(Role::admin);
  scopes_ = {Privilege::rules_read, Privilege::rules_write, Privilege::exceptions_write};
  no_way();
  EXPECT_EQ(versions(), made);
}

TEST_F(Isolating, ADuplicateOfARuleOfAFileIsNoWayEither) {
  std::ofstream(dir_.path() + "/rules/b.yml")
      << "rule_id: isolates\nname: n\ndescription: d\nrisk_score: 21\nseverity: low\ntype: query\n"
      << "query: 'process.name: b'\nresponse_actions:\n  - action_type_id: .endpoint\n    params: {command: isolate}\n";
  restart();
  const Json body{{"action", "duplicate"}, {"ids", Json::array({id_of("isolates")})}};
  as(Role::rule_author);
  for (const char* trial : {"true", "false"}) {
    const Json refused = parsed(call("POST", kBulk, body, {{"dry_run", trial}}));
    EXPECT_EQ(refused["attributes"]["errors"][0]["status_code"], 403) << refused;
  }
  as(Role::admin);
  EXPECT_EQ(call("POST", kBulk, body).status, 200);
}

// Nothing is made for it and taken back again.
TEST_F(Isolating, ADuplicateThatIsRefusedCopiesNoExceptions) {
  ExceptionStore exceptions = store_->exceptions();
  const auto list = [&](const std::string& id) {
    ExceptionRow row;
    row.id = "id-" + id;
    row.list_id = id;
    row.name = id;
    row.doc = Json{{"id", row.id},       {"list_id", id},          {"name", id},
                   {"description", "d"}, {"type", "rule_default"}, {"namespace_type", "single"}}
                  .dump();
    return exceptions.add_list(row, "user:ada").value();
  };
  const int64_t first = list("own");
  Json on = isolating("a");
  on["exceptions_list"] =
      Json::array({Json{{"id", "id-own"}, {"list_id", "own"}, {"type", "rule_default"}, {"namespace_type", "single"}}});
  ASSERT_EQ(call("POST", kRules, on).status, 200);
  const Json body{{"action", "duplicate"}, {"ids", Json::array({id_of("a")})}};
  as(Role::rule_author);
  const Json refused = parsed(call("POST", kBulk, body));
  EXPECT_EQ(refused["attributes"]["errors"][0]["status_code"], 403) << refused;
  EXPECT_EQ(list("next"), first + 1) << "numbers are never used twice";
  as(Role::admin);
  EXPECT_EQ(call("POST", kBulk, body).status, 200);
  EXPECT_EQ(exceptions.lists(false).value().size(), 3u);
}

TEST_F(Isolating, NoOtherWayLeadsThere) {
  ASSERT_EQ(call("POST", kRules, isolating("a")).status, 200);
  const std::string id = id_of("a");
  as(Role::rule_author);
  for (const char* action : {"enable", "duplicate"}) {
    for (const char* trial : {"true", "false"}) {
      const net::Response r = call("POST", kBulk, {{"action", action}, {"ids", {id}}}, {{"dry_run", trial}});
      EXPECT_EQ(r.status, 500) << action;
      EXPECT_EQ(parsed(r)["attributes"]["errors"][0]["status_code"], 403) << r.body;
    }
  }
  const Json many = parsed(call("POST", "/api/detection_engine/rules/_bulk_create", Json::array({isolating("b")})));
  EXPECT_EQ(many[0]["error"]["status_code"], 403) << many;
  const std::string file = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.ndjson\"\r\n\r\n" +
                           isolating("c").dump() + "\n" + rule("d").dump() + "\r\n--B--\r\n";
  const Json taken = parsed(send("POST", "/api/detection_engine/rules/_import", file, {},
                                 {{"content-type", "multipart/form-data; boundary=B"}}));
  EXPECT_EQ(taken["success_count"], 1) << taken;
  EXPECT_EQ(taken["errors"][0]["error"]["status_code"], 403) << taken;
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'rule_refused' AND ref = 'c'"), 1) << "though it is a 200";
  EXPECT_EQ(call("DELETE", kRules, {}, {{"rule_id", "a"}}).status, 200);
  EXPECT_EQ(call("POST", "/api/firebreak/rules/" + id + "/restore", {{"version", 1}}).status, 403);
  EXPECT_EQ(running(), 1u);
}

// Who switches a rule off may come first: the second one writes nothing.
TEST_F(Isolating, WhatIsSoAlreadyWhenItIsMadeIsNoVersion) {
  ASSERT_EQ(call("POST", kRules, isolating("a")).status, 200);
  const RuleViewPtr stale = desk_->by_rule_id("a");
  ASSERT_TRUE(desk_->patch(R"({"rule_id":"a","enabled":true})", RuleAuthor::trusted("user:bob")));
  const int64_t made = versions();
  const auto on = [](const RuleView& standing) -> RuleResult<std::string> {
    Json doc = parse_ordered_json(standing.doc);
    doc["enabled"] = true;
    return doc.dump();
  };
  const auto again = desk_->apply({{stale, "enabled", "", "", on}}, RuleAuthor::trusted("user:ada")).front();
  ASSERT_TRUE(again);
  EXPECT_EQ(versions(), made);
  EXPECT_EQ(Json::parse((*again)->doc)["updated_by"], "bob");
}

TEST_F(Isolating, SwitchingIsNoEditAndNothingIsNone) {
  ASSERT_EQ(call("POST", kRules, isolating("a")).status, 200);
  const int64_t made = versions();
  const auto last = [&] { return ask("SELECT what FROM api_rule_versions ORDER BY number DESC LIMIT 1"); };
  EXPECT_EQ(patch({{"enabled", true}}), 200);
  EXPECT_EQ(last(), "enabled");
  EXPECT_EQ(versions(), made + 1);
  EXPECT_EQ(patch({{"enabled", true}}), 200);
  EXPECT_EQ(call("PUT", kRules, isolating("a")).status, 200) << "without enabled: it stays";
  EXPECT_EQ(versions(), made + 1);
  Json off = isolating("a");
  off["enabled"] = false;
  EXPECT_EQ(call("PUT", kRules, off).status, 200);
  EXPECT_EQ(last(), "disabled");
  EXPECT_EQ(running(), 1u);
  EXPECT_EQ(patch({{"enabled", true}, {"name", "Another"}}), 200);
  EXPECT_EQ(last(), "updated");
}

}  // namespace
}  // namespace fb::api
