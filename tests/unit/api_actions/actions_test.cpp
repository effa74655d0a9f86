// Response actions over the API: what a request makes, the history with its filters, what is pending.
#include "tests/unit/api_actions/api_fixture.h"

namespace fb::test {
namespace {

constexpr const char* kIsolate = "/api/endpoint/action/isolate";
constexpr const char* kRelease = "/api/endpoint/action/unisolate";

class ActionsApi : public ApiTest {};

TEST_F(ActionsApi, AnIsolationHasKibanasShape) {
  enroll("a");
  enroll("b");
  const Answer answer = post(kIsolate, {{"endpoint_ids", {"a", "b"}},
                                        {"comment", "found mimikatz"},
                                        {"case_ids", {"case-1"}},
                                        {"alert_ids", {"alert-1", "alert-2"}}});
  ASSERT_EQ(answer.status, 200) << answer.raw.body;
  EXPECT_EQ(asked_, Privilege::isolate);
  EXPECT_EQ(woken_, 1);
  const Json& d = answer.body["data"];
  EXPECT_EQ(answer.body["action"], d["id"]);
  EXPECT_EQ(d["id"].get<std::string>().size(), 36u);
  EXPECT_EQ(d["agentType"], "endpoint");
  EXPECT_EQ(d["agents"], Json({"a", "b"}));
  EXPECT_EQ(d["hosts"], Json({{"a", {{"name", "name-of-a"}}}, {"b", {{"name", "name-of-b"}}}}));
  EXPECT_EQ(d["command"], "isolate");
  EXPECT_EQ(d["status"], "pending");
  EXPECT_EQ(d["isCompleted"], false);
  EXPECT_EQ(d["wasSuccessful"], false);
  EXPECT_EQ(d["isExpired"], false);
  EXPECT_EQ(d["outputs"], Json::object());
  EXPECT_EQ(d["parameters"], Json::object());
  EXPECT_EQ(d["agentState"]["a"], Json({{"isCompleted", false}, {"wasSuccessful", false}}));
  EXPECT_EQ(d["createdBy"], "ada");
  EXPECT_EQ(d["comment"], "found mimikatz");
  EXPECT_EQ(d["caseIds"], Json({"case-1"}));
  EXPECT_EQ(d["alertIds"], Json({"alert-1", "alert-2"}));
  EXPECT_FALSE(d.contains("completedAt"));
  EXPECT_FALSE(d.contains("errors"));
  EXPECT_FALSE(d.contains("ruleId"));
  EXPECT_EQ(get("/api/endpoint/action/" + d["id"].get<std::string>()).body["data"], d);
}

TEST_F(ActionsApi, WhatFirebreakDoesNotDoIsSaid) {
  enroll("a");
  for (const char* command : {"kill_process", "suspend_process", "running_procs", "get_file", "execute", "upload",
                              "scan", "run_script", "cancel", "memory_dump"}) {
    const Answer answer = post(std::string("/api/endpoint/action/") + command, {{"endpoint_ids", {"a"}}});
    EXPECT_EQ(answer.status, 501) << command;
    EXPECT_NE(answer.body["message"].get<std::string>().find(command), std::string::npos);
  }
  EXPECT_EQ(asked_, Privilege::isolate);
  EXPECT_EQ(woken_, 0);
}

TEST_F(ActionsApi, SuccessfulComesFromReadBackAlone) {
  enroll("a");
  const Json d = post(kIsolate, {{"endpoint_ids", {"a"}}}).body["data"];
  const std::string path = "/api/endpoint/action/" + d["id"].get<std::string>();
  const std::string action = action_of(d);
  ASSERT_TRUE(step(action, {ActionState::requested}, ActionState::dispatched));
  ASSERT_TRUE(step(action, {ActionState::dispatched}, ActionState::accepted));
  EXPECT_EQ(get(path).body["data"]["status"], "pending");
  clock_.advance_ms(5);
  ASSERT_TRUE(step(action, {ActionState::accepted}, ActionState::verified, Isolation::isolated));
  const Json done = get(path).body["data"];
  EXPECT_EQ(done["status"], "successful");
  EXPECT_EQ(done["isCompleted"], true);
  EXPECT_EQ(done["wasSuccessful"], true);
  EXPECT_EQ(done["completedAt"], done["agentState"]["a"]["completedAt"]);
  EXPECT_GT(done["completedAt"], done["startedAt"]);

  // Asked for again: a record of its own, over at once.
  clock_.advance_ms(1000);
  const Json again = post(kIsolate, {{"endpoint_ids", {"a"}}}).body["data"];
  EXPECT_NE(again["id"], d["id"]);
  EXPECT_EQ(again["status"], "successful");
  EXPECT_EQ(again["completedAt"], again["startedAt"]);
}

TEST_F(ActionsApi, AFailureOfOneEndpointIsTold) {
  enroll("a");
  enroll("b");
  const Json d = post(kIsolate, {{"endpoint_ids", {"a", "b"}}}).body["data"];
  const std::string path = "/api/endpoint/action/" + d["id"].get<std::string>();
  const Json& ours = d["firebreak"]["endpoints"];
  isolate_fully(ours["a"]["action_id"]);
  EXPECT_EQ(get(path).body["data"]["status"], "pending");
  ASSERT_TRUE(step(ours["b"]["action_id"], {ActionState::requested}, ActionState::dispatched));
  ActionMove broken;
  broken.action_id = ours["b"]["action_id"];
  broken.from = {ActionState::dispatched};
  broken.to = ActionState::failed;
  broken.detail = "nft: no such file";
  ASSERT_TRUE(store_->move(broken).value_or(false));
  const Json done = get(path).body["data"];
  EXPECT_EQ(done["status"], "failed");
  EXPECT_EQ(done["isCompleted"], true);
  EXPECT_EQ(done["wasSuccessful"], false);
  EXPECT_EQ(done["errors"], Json({"Endpoint action response error: failed: nft: no such file"}));
  EXPECT_EQ(done["agentState"]["a"]["wasSuccessful"], true);
  EXPECT_EQ(done["agentState"]["b"]["errors"].size(), 1u);
}

TEST_F(ActionsApi, IdsThatNoEndpointHasAreLeftOutAndNamed) {
  enroll("a");
  const Json d = post(kIsolate, {{"endpoint_ids", {"a", "x\"y"}}, {"comment", "why"}}).body["data"];
  EXPECT_EQ(d["agents"], Json({"a"}));
  EXPECT_EQ(d["comment"],
            "why. (WARNING: The following agent ids are not valid: [\"x\\\"y\"] and will not be included in action "
            "request)");
  const Answer none = post(kIsolate, {{"endpoint_ids", {"x"}}});
  EXPECT_EQ(none.status, 400);
  EXPECT_EQ(none.body["message"], "The host does not have Elastic Defend integration installed");
}

TEST_F(ActionsApi, BadBodiesAreRefusedWithKibanasWords) {
  enroll("a");
  const auto message = [&](const Json& body) {
    const Answer answer = post(kIsolate, body);
    EXPECT_EQ(answer.status, 400) << answer.raw.body;
    return answer.body["message"].get<std::string>();
  };
  EXPECT_EQ(message({{"endpoint_ids", Json::array()}}),
            "[request body.endpoint_ids]: array size is [0], but cannot be smaller than [1]");
  EXPECT_EQ(message(Json::object()), "[request body.endpoint_ids]: expected value of type [array] but got [undefined]");
  EXPECT_EQ(message({{"endpoint_ids", "a"}}),
            "[request body.endpoint_ids]: expected value of type [array] but got [string]");
  EXPECT_EQ(message({{"endpoint_ids", {"a", ""}}}),
            "[request body.endpoint_ids.1]: value has length [0] but it must have a minimum length of [1].");
  EXPECT_EQ(message({{"endpoint_ids", {"a"}}, {"foo", 1}}), "[request body.foo]: definition for this key is missing");
  EXPECT_EQ(message({{"endpoint_ids", {"a"}}, {"agent_type", "crowdstrike"}}),
            "[request body.agent_type]: feature is disabled");
  EXPECT_EQ(message({{"endpoint_ids", {"a"}}, {"alert_ids", Json::array()}}),
            "[request body.alert_ids]: array size is [0], but cannot be smaller than [1]");
  EXPECT_NE(message({{"endpoint_ids", {"a"}}, {"agent_type", "vax"}}).find("agent_type"), std::string::npos);
  EXPECT_NE(message({{"endpoint_ids", {"a"}}, {"comment", std::string(30'001, 'x')}}).find("30000"), std::string::npos);
  EXPECT_EQ(message("not json"), "Invalid request payload JSON format");
  EXPECT_EQ(message(nullptr), "[request body]: expected a plain object value, but found [null] instead.");
  EXPECT_EQ(message(Json::array()), "[request body]: expected a plain object value, but found [Array] instead.");
  EXPECT_EQ(message({{"endpoint_ids", {"a"}}, {"comment", {"x"}}}),
            "[request body.comment]: expected value of type [string] but got [Array]");
  EXPECT_EQ(message({{"endpoint_ids", {"a"}}, {"parameters", {{"pid", 1}}}}),
            "[request body.parameters.pid]: definition for this key is missing");
  EXPECT_NE(message({{"endpoint_ids", {"a"}}, {"parameters", {{"firebreak", {{"ovrride", true}}}}}}).find("ovrride"),
            std::string::npos);
  EXPECT_EQ(get("/api/endpoint/action").body["total"], 0);
}

TEST_F(ActionsApi, TextSurvivesAsData) {
  enroll("a");
  const std::string text = "<script>alert(1)</script>'; DROP TABLE actions;-- \x01\xe2\x80\xae";
  const Json d = post(kIsolate, {{"endpoint_ids", {"a"}}, {"comment", text}, {"case_ids", {text}}}).body["data"];
  EXPECT_EQ(d["comment"], text);
  EXPECT_EQ(d["caseIds"], Json({text}));
}

TEST_F(ActionsApi, AProtectedEndpointTakesAnOverrideAndASecondPerson) {
  enroll("dc-1");
  enroll("a");
  const Answer refused = post(kIsolate, {{"endpoint_ids", {"a", "dc-1"}}, {"comment", "c"}});
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body["message"].get<std::string>().find("dc-1"), std::string::npos);
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 0);
  EXPECT_EQ(ask("SELECT ref FROM audit WHERE what = 'isolation_refused'"), "dc-1");

  const Json parameters{{"firebreak", {{"override", true}}}};
  EXPECT_EQ(post(kIsolate, {{"endpoint_ids", {"dc-1"}}, {"parameters", parameters}}).status, 400);
  const Answer waits = post(kIsolate, {{"endpoint_ids", {"dc-1"}}, {"comment", "c"}, {"parameters", parameters}});
  ASSERT_EQ(waits.status, 200) << waits.raw.body;
  const Json& d = waits.body["data"];
  EXPECT_EQ(d["status"], "pending");
  EXPECT_EQ(d["parameters"], parameters);
  EXPECT_EQ(d["firebreak"]["endpoints"]["dc-1"]["status"], "awaiting_approval");
  const std::string approve = "/api/firebreak/actions/" + action_of(d) + "/approve";
  EXPECT_EQ(post(approve, Json::object()).status, 403);
  person_ = "grace";
  EXPECT_EQ(post(approve, Json::object()).body["status"], "requested");

  // A release needs none of that.
  EXPECT_EQ(post(kRelease, {{"endpoint_ids", {"dc-1"}}}).status, 200);
}

TEST_F(ActionsApi, WhatNobodyApprovedInTimeIsExpired) {
  enroll("dc-1");
  const Json parameters{{"firebreak", {{"override", true}}}};
  const Json d =
      post(kIsolate, {{"endpoint_ids", {"dc-1"}}, {"comment", "c"}, {"parameters", parameters}}).body["data"];
  clock_.advance_ms(5 * 3'600'000);
  person_ = "grace";
  post("/api/firebreak/actions/" + action_of(d) + "/approve", Json::object());
  const Json late = get("/api/endpoint/action/" + d["id"].get<std::string>()).body["data"];
  EXPECT_EQ(late["status"], "failed");
  EXPECT_EQ(late["isExpired"], true);
  EXPECT_EQ(late["isCompleted"], false);
  EXPECT_EQ(get("/api/endpoint/action?statuses=failed").body["total"], 1);
  EXPECT_EQ(get("/api/endpoint/action?statuses=pending").body["total"], 0);
}

TEST_F(ActionsApi, ARepeatedIdempotencyKeyAnswersTheSame) {
  enroll("a");
  const std::map<std::string, std::string> key{{"idempotency-key", "k1"}};
  const Json body{{"endpoint_ids", {"a", "gone"}}, {"comment", "c"}};
  const Answer first = post(kIsolate, body, key);
  ASSERT_EQ(first.status, 200);
  // One more endpoint by then changes nothing about what was asked.
  enroll("gone");
  EXPECT_EQ(post(kIsolate, body, key).raw.body, first.raw.body);
  EXPECT_EQ(post(kIsolate, {{"endpoint_ids", {"a"}}, {"comment", "other"}}, key).status, 409);
  EXPECT_EQ(post(kRelease, body, key).status, 409);
  EXPECT_EQ(get("/api/endpoint/action").body["total"], 1);
  EXPECT_NE(post(kIsolate, body).body["action"], first.body["action"]);
}

TEST_F(ActionsApi, ARepeatedKeyAnswersTheSameWhateverBecameOfTheEndpointSince) {
  enroll("a");
  const std::map<std::string, std::string> key{{"idempotency-key", "k1"}};
  const Json body{{"endpoint_ids", {"a"}}, {"comment", "c"}};
  const Answer first = post(kIsolate, body, key);
  ASSERT_EQ(first.status, 200);
  ASSERT_TRUE(store_->set_tags("a", {"protected"}, "user:ada", ""));
  const Answer again = post(kIsolate, body, key);
  EXPECT_EQ(again.status, 200) << again.raw.body;
  EXPECT_EQ(again.body["action"], first.body["action"]);
  EXPECT_EQ(post(kIsolate, {{"endpoint_ids", {"a"}}, {"comment", "d"}}, key).status, 409);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'isolation_refused'"), 0);
}

TEST_F(ActionsApi, ACommentIsCountedInCharactersAsKibanaDoes) {
  enroll("a");
  std::string text;
  for (int i = 0; i < 30'000; ++i) text += "\xc3\xa4";
  EXPECT_EQ(post(kIsolate, {{"endpoint_ids", {"a"}}, {"comment", text}}).body["data"]["comment"], text);
  EXPECT_EQ(post(kIsolate, {{"endpoint_ids", {"a"}}, {"comment", text + "x"}}).status, 400);
  std::string wide;  // two units each
  for (int i = 0; i < 15'001; ++i) wide += "\xf0\x9f\x94\xa5";
  EXPECT_EQ(post(kIsolate, {{"endpoint_ids", {"a"}}, {"comment", wide}}).body["message"],
            "[request body.comment]: value has length [30002] but it must have a maximum length of [30000].");
}

TEST_F(ActionsApi, AWaitingActionIsDecidedByItsRequestToo) {
  enroll("dc-1");
  const Json parameters{{"firebreak", {{"override", true}}}};
  const Json made = post(kIsolate, {{"endpoint_ids", {"dc-1"}}, {"comment", "c"}, {"parameters", parameters}}).body;
  person_ = "grace";
  const Answer approved =
      post("/api/firebreak/actions/" + made["action"].get<std::string>() + "/approve", Json::object());
  EXPECT_EQ(approved.status, 200) << approved.raw.body;
  EXPECT_EQ(approved.body["action_id"], action_of(made["data"]));
  EXPECT_EQ(approved.body["status"], "requested");
}

TEST_F(ActionsApi, ALeaseCanBeAskedFor) {
  enroll("a");
  const Json d =
      post(kIsolate, {{"endpoint_ids", {"a"}}, {"parameters", {{"firebreak", {{"lease", "4h"}}}}}}).body["data"];
  EXPECT_EQ(d["firebreak"]["endpoints"]["a"]["lease_ms"], 4 * 3'600'000);
}

TEST_F(ActionsApi, TheOldPathsAndReleaseAreServed) {
  enroll("a");
  EXPECT_EQ(post("/api/endpoint/isolate", {{"endpoint_ids", {"a"}}}).body["data"]["command"], "isolate");
  EXPECT_EQ(asked_, Privilege::isolate);
  for (const char* path :
       {"/api/endpoint/unisolate", "/api/endpoint/action/unisolate", "/api/endpoint/action/release"}) {
    EXPECT_EQ(post(path, {{"endpoint_ids", {"a"}}}).body["data"]["command"], "unisolate") << path;
    EXPECT_EQ(asked_, Privilege::release) << path;
  }
  EXPECT_EQ(get("/api/endpoint/action/state").body, Json::parse(R"({"data":{"canEncrypt":true}})"));
}

TEST_F(ActionsApi, AnActionByARuleTellsItsRuleAndAlerts) {
  enroll("a");
  keep(batch(rule("r1"), "a", 0));
  const Json page = get("/api/endpoint/action").body;
  ASSERT_EQ(page["total"], 1);
  const Json& d = page["data"][0];
  EXPECT_EQ(d["ruleId"], "r1");
  EXPECT_EQ(d["ruleName"], "Rule r1");
  EXPECT_EQ(d["alertIds"].size(), 1u);
  EXPECT_EQ(d["createdBy"], "unknown");
  EXPECT_EQ(d["firebreak"]["type"], "automated");
  EXPECT_EQ(get("/api/endpoint/action/" + d["id"].get<std::string>()).body["data"], d);
}

TEST_F(ActionsApi, AnActionNamesItsRuleAsItsAlertDoes) {
  enroll("a");
  BatchOutcome made = batch(rule("r1"), "a", 0);
  made.alerts.front().doc = R"({"kibana.alert.rule.uuid":"7c0c1d2e"})";
  keep(made);
  const Json d = get("/api/endpoint/action").body["data"][0];
  EXPECT_EQ(d["ruleId"], "7c0c1d2e");
  EXPECT_EQ(d["firebreak"]["rule_id"], "r1");
  EXPECT_EQ(get("/api/endpoint/action_log/a").body["data"][0]["item"]["data"]["rule"]["id"], "7c0c1d2e");
}

TEST_F(ActionsApi, TheHistoryIsFilteredSortedAndPaged) {
  enroll("a");
  enroll("b");
  keep(batch(rule("r1"), "b", 0));
  clock_.advance_ms(1000);
  const int64_t middle = clock_.wall_ms();
  const Json first = post(kIsolate, {{"endpoint_ids", {"a"}}, {"alert_ids", {"x"}}}).body["data"];
  isolate_fully(action_of(first));
  clock_.advance_ms(1000);
  person_ = "grace";
  post(kRelease, {{"endpoint_ids", {"a", "b"}}});
  const auto total = [&](const std::string& query) {
    const Answer answer = get("/api/endpoint/action?" + query);
    EXPECT_EQ(answer.status, 200) << query << answer.raw.body;
    EXPECT_EQ(answer.body["total"], answer.body["data"].size()) << query;
    return answer.body["total"].get<int>();
  };
  EXPECT_EQ(total(""), 3);
  EXPECT_EQ(total("agentIds=a"), 2);
  EXPECT_EQ(total("agentIds=a&agentIds=b"), 3);
  EXPECT_EQ(total("agentIds=a,b"), 3);
  EXPECT_EQ(total("agentIds=nobody"), 0);
  EXPECT_EQ(total("agentIds=%5B%22a%22%2C%22b%22%5D"), 3);  // as Kibana's own pages write a list
  EXPECT_EQ(total("agentIds=%5B%22a%22%5D"), 2);
  EXPECT_EQ(total("commands=unisolate"), 1);
  EXPECT_EQ(total("commands=isolate"), 2);
  EXPECT_EQ(total("commands=scan"), 0);
  EXPECT_EQ(total("commands=scan&commands=isolate"), 2);
  EXPECT_EQ(total("userIds=grace"), 1);
  EXPECT_EQ(total("userIds=unknown"), 1);
  EXPECT_EQ(total("types=automated"), 2) << "the rule's, and the one with an alert, as Kibana counts them";
  EXPECT_EQ(total("types=manual"), 1);
  EXPECT_EQ(total("types=automated&agentIds=a"), 1);
  EXPECT_EQ(total("types=automated&startDate=" + iso8601(middle)), 1);
  EXPECT_EQ(total("types=manual&types=automated"), 3);
  EXPECT_EQ(total("statuses=successful"), 1);
  EXPECT_EQ(total("statuses=failed"), 1);  // the rule's, which the release overtook
  EXPECT_EQ(total("statuses=pending"), 1);
  EXPECT_EQ(total("statuses=pending&statuses=successful"), 2);
  EXPECT_EQ(total("agentTypes=endpoint"), 3);
  EXPECT_EQ(total("agentTypes=crowdstrike"), 0);
  EXPECT_EQ(total("startDate=" + iso8601(middle)), 2);
  EXPECT_EQ(total("endDate=" + iso8601(middle)), 2);
  EXPECT_EQ(total("startDate=now-1s"), 2);
  EXPECT_EQ(total("startDate=now-24h/h&endDate=now"), 3);

  const Json page = get("/api/endpoint/action?page=2&pageSize=1&commands=isolate&commands=unisolate").body;
  EXPECT_EQ(page["page"], 2);
  EXPECT_EQ(page["pageSize"], 1);
  EXPECT_EQ(page["total"], 3);
  EXPECT_EQ(page["commands"], Json({"isolate", "unisolate"}));
  EXPECT_FALSE(page.contains("statuses"));
  EXPECT_EQ(page["data"][0]["id"], first["id"]);  // newest first
  EXPECT_EQ(get("/api/endpoint/action?agentIds=a").body["elasticAgentIds"], Json({"a"}));

  const Json without = get("/api/endpoint/action?withOutputs=" + first["id"].get<std::string>()).body;
  for (const Json& d : without["data"]) EXPECT_EQ(d.contains("outputs"), d["id"] == first["id"]);
}

TEST_F(ActionsApi, BadQueriesAreRefused) {
  for (const char* query : {"page=0", "pageSize=10001", "pageSize=0", "page=x", "commands=format-disk", "statuses=ok",
                            "types=both", "startDate=yesterday", "foo=1", "agentTypes=x", "agentIds=", "userIds=",
                            "commands=", "statuses=", "types=", "withOutputs=", "agentIds=[]"}) {
    EXPECT_EQ(get(std::string("/api/endpoint/action?") + query).status, 400) << query;
  }
  const Answer unknown = get("/api/endpoint/action/nope");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.body,
            Json({{"statusCode", 404}, {"error", "Not Found"}, {"message", "Action with id 'nope' not found."}}));
}

TEST_F(ActionsApi, PendingActionsAreCounted) {
  enroll("a");
  EXPECT_EQ(get("/api/endpoint/action_status?agent_ids=a").body,
            Json::parse(R"({"data":[{"agent_id":"a","pending_actions":{}}]})"));
  const Json d = post(kIsolate, {{"endpoint_ids", {"a"}}}).body["data"];
  EXPECT_EQ(get("/api/endpoint/action_status?agent_ids=a&agent_ids=z").body,
            Json::parse(R"({"data":[{"agent_id":"a","pending_actions":{"isolate":1}},
                                    {"agent_id":"z","pending_actions":{}}]})"));
  EXPECT_EQ(get("/api/endpoint/action_status").status, 400);
  // Another request joins the one under way; both wait for it.
  const Json joined = post(kIsolate, {{"endpoint_ids", {"a"}}, {"alert_ids", {"x"}}}).body["data"];
  EXPECT_EQ(joined["firebreak"]["endpoints"]["a"]["joined"], true);
  EXPECT_EQ(get("/api/endpoint/action?statuses=pending&agentIds=a").body["total"], 2);
  EXPECT_EQ(get("/api/endpoint/action_status?agent_ids=a").body["data"][0]["pending_actions"], Json({{"isolate", 2}}));
  Json status = get("/internal/api/endpoint/agent_status?agentIds=a&agentIds=z").body["data"];
  EXPECT_EQ(status["a"]["pendingActions"], Json({{"isolate", 2}}));
  EXPECT_EQ(status["a"]["isolated"], false);
  EXPECT_EQ(status["a"]["status"], "healthy");
  EXPECT_EQ(status["z"]["found"], false);
  const Json others = get("/internal/api/endpoint/agent_status?agentIds=a&agentType=crowdstrike").body["data"];
  EXPECT_EQ(others["a"]["found"], false);
  EXPECT_EQ(others["a"]["agentType"], "crowdstrike");
  EXPECT_EQ(get("/internal/api/endpoint/agent_status?agentIds=a&agentType=vax").status, 400);
  isolate_fully(action_of(d));
  status = get("/internal/api/endpoint/agent_status?agentIds=a").body["data"];
  EXPECT_EQ(status["a"]["isolated"], true);
  EXPECT_EQ(status["a"]["pendingActions"], Json::object());
  EXPECT_EQ(get("/api/endpoint/action_status?agent_ids=a").body["data"][0]["pending_actions"], Json::object());
}

TEST_F(ActionsApi, WhatALaterRequestOvertookNamesItAsListsDo) {
  enroll("a");
  const Json first = post(kIsolate, {{"endpoint_ids", {"a"}}}).body["data"];
  const Json later = post(kRelease, {{"endpoint_ids", {"a"}}}).body["data"];
  const std::string id = later["id"];
  const Json over = get("/api/endpoint/action/" + first["id"].get<std::string>()).body["data"];
  EXPECT_EQ(over["status"], "failed");
  EXPECT_EQ(over["errors"], Json({"Endpoint action response error: superseded by " + id}));
  EXPECT_EQ(get("/api/endpoint/action/" + id).status, 200);
}

}  // namespace
}  // namespace fb::test
