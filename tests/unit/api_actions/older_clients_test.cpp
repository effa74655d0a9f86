// What Kibana's clients ask for besides actions and endpoints: the log of one endpoint, what it says of its policy,
// and what Firebreak keeps none of.
#include "tests/unit/api_actions/api_fixture.h"

namespace fb::test {
namespace {

class OlderClients : public ApiTest {};

TEST_F(OlderClients, TheLogOfAnEndpointHasActionsAndAnswers) {
  enroll("a");
  enroll("b");
  const Json first = post("/api/endpoint/action/isolate",
                          {{"endpoint_ids", {"a", "b"}}, {"comment", "why"}, {"alert_ids", {"alert-1"}}})
                         .body["data"];
  const std::string id = first["id"];
  clock_.advance_ms(1000);
  isolate_fully(first["firebreak"]["endpoints"]["a"]["action_id"]);
  clock_.advance_ms(1000);
  post("/api/endpoint/action/unisolate", {{"endpoint_ids", {"a"}}});
  const Json log = get("/api/endpoint/action_log/a").body;
  EXPECT_EQ(asked_, Privilege::actions_read);
  EXPECT_EQ(log["page"], 1);
  EXPECT_EQ(log["pageSize"], 10);
  EXPECT_FALSE(log.contains("startDate"));
  ASSERT_EQ(log["data"].size(), 3u) << log.dump(1);
  EXPECT_EQ(log["data"][0]["item"]["data"]["EndpointActions"]["data"]["command"], "unisolate");
  const Json& answer = log["data"][1];
  EXPECT_EQ(answer["type"], "response");
  EXPECT_EQ(answer["item"]["data"]["agent"]["id"], "a");
  EXPECT_EQ(answer["item"]["data"]["EndpointActions"]["action_id"], id);
  EXPECT_EQ(answer["item"]["data"]["EndpointActions"]["completed_at"], answer["item"]["data"]["@timestamp"]);
  EXPECT_FALSE(answer["item"]["data"].contains("error"));
  const Json& action = log["data"][2];
  EXPECT_EQ(action["type"], "action");
  EXPECT_EQ(action["item"]["id"], id);
  EXPECT_EQ(action["item"]["data"]["agent"]["id"], Json({"a", "b"}));
  EXPECT_EQ(action["item"]["data"]["user"]["id"], "ada");
  EXPECT_EQ(action["item"]["data"]["EndpointActions"]["data"],
            Json({{"command", "isolate"}, {"comment", "why"}, {"alert_id", {"alert-1"}}}));
  EXPECT_GT(action["item"]["data"]["EndpointActions"]["expiration"], action["item"]["data"]["@timestamp"]);

  // b has not answered yet.
  EXPECT_EQ(get("/api/endpoint/action_log/b").body["data"].size(), 1u);
  EXPECT_EQ(get("/api/endpoint/action_log/nobody").body["data"], Json::array());
  const Json second = get("/api/endpoint/action_log/a?page=2&page_size=2").body;
  EXPECT_EQ(second["page"], 2);
  ASSERT_EQ(second["data"].size(), 1u);
  EXPECT_EQ(second["data"][0], action);
  const Json later = get("/api/endpoint/action_log/a?end_date=now&start_date=" + iso8601(clock_.wall_ms() - 500)).body;
  EXPECT_EQ(later["data"].size(), 1u);
  EXPECT_TRUE(later.contains("startDate"));
  for (const char* query : {"page=0", "page_size=0", "page_size=101", "start_date=soon", "pageSize=1"}) {
    EXPECT_EQ(get(std::string("/api/endpoint/action_log/a?") + query).status, 400) << query;
  }
}

TEST_F(OlderClients, AFailureAndARuleStandInTheLog) {
  enroll("a");
  keep(batch(rule("r1"), "a", 0));
  ActionMove broken;
  broken.action_id = ask("SELECT action_id FROM actions");
  ASSERT_TRUE(step(broken.action_id, {ActionState::requested}, ActionState::dispatched));
  clock_.advance_ms(10);
  broken.from = {ActionState::dispatched};
  broken.to = ActionState::failed;
  broken.detail = "nft: no such file";
  ASSERT_TRUE(store_->move(broken).value_or(false));
  const Json data = get("/api/endpoint/action_log/a").body["data"];
  ASSERT_EQ(data.size(), 2u);
  EXPECT_EQ(data[0]["item"]["data"]["error"]["message"], "Endpoint action response error: failed: nft: no such file");
  EXPECT_EQ(data[1]["item"]["data"]["rule"], Json({{"id", "r1"}, {"name", "Rule r1"}}));
  EXPECT_EQ(data[1]["item"]["data"]["user"]["id"], "unknown");
}

TEST_F(OlderClients, AnEndpointTellsOfItsPolicy) {
  enroll("a");
  Json told = get("/api/endpoint/policy_response?agentId=a").body["policy_response"];
  EXPECT_EQ(asked_, Privilege::endpoints_read);
  EXPECT_EQ(told["elastic"]["agent"]["id"], "a");
  EXPECT_EQ(told["event"]["action"], "endpoint_policy_response");
  const Json& applied = told["Endpoint"]["policy"]["applied"];
  EXPECT_EQ(applied["id"], "default");
  EXPECT_EQ(applied["status"], "success");
  EXPECT_EQ(applied["actions"].size(), 1u);
  EXPECT_EQ(applied["response"]["configurations"]["host_isolation"]["status"], "success");

  EndpointReport report = agent("a");
  report.problems = {"no nft table"};
  ASSERT_TRUE(store_->seen(report));
  told = get("/api/endpoint/policy_response?agentId=a").body["policy_response"];
  EXPECT_EQ(told["Endpoint"]["policy"]["applied"]["status"], "failure");
  EXPECT_EQ(told["Endpoint"]["policy"]["applied"]["actions"][1]["message"], "no nft table");
  EXPECT_EQ(get("/api/endpoint/metadata/a").body["metadata"]["Endpoint"]["policy"]["applied"]["status"], "failure");

  EXPECT_EQ(get("/api/endpoint/policy_response?agentId=z").status, 404);
  EXPECT_EQ(get("/api/endpoint/policy_response").body["message"],
            "[request query.agentId]: expected value of type [string] but got [undefined]");
  EXPECT_EQ(get("/api/endpoint/policy_response?agentId=").status, 400);
  EXPECT_EQ(get("/api/endpoint/policy_response?agentId=a&x=1").status, 400);
}

TEST_F(OlderClients, WhatThereIsNoneOfIsSaid) {
  enroll("a");
  const std::string id = post("/api/endpoint/action/isolate", {{"endpoint_ids", {"a"}}}).body["action"];
  EXPECT_EQ(get("/api/endpoint/action/nope/file/f").body["message"], "Action with id 'nope' not found.");
  const Answer none = get("/api/endpoint/action/" + id + "/file/f.0/download");
  EXPECT_EQ(none.status, 404);
  EXPECT_NE(none.body["message"].get<std::string>().find("f.0"), std::string::npos);
  EXPECT_EQ(get("/api/endpoint/scripts_library?pageSize=50&sortField=fileSize").body, Json({{"data", Json::array()},
                                                                                            {"total", 0},
                                                                                            {"page", 1},
                                                                                            {"pageSize", 50},
                                                                                            {"sortField", "fileSize"},
                                                                                            {"sortDirection", "asc"}}));
  EXPECT_EQ(get("/api/endpoint/scripts_library?pageSize=1001").status, 400);
  EXPECT_EQ(get("/api/endpoint/scripts_library?sortField=size").status, 400);
  EXPECT_EQ(post("/api/endpoint/scripts_library", "--x--").status, 501);
  EXPECT_EQ(asked_, Privilege::isolate);
  EXPECT_EQ(get("/api/endpoint/scripts_library/s").status, 404);
  EXPECT_EQ(get("/api/endpoint/scripts_library/s/download").status, 404);
  EXPECT_EQ(call("PATCH", "/api/endpoint/scripts_library/s").status, 404);
  EXPECT_EQ(call("DELETE", "/api/endpoint/scripts_library/s").status, 404);
  EXPECT_EQ(get("/api/endpoint/protection_updates_note/default").status, 404);
  EXPECT_EQ(post("/api/endpoint/protection_updates_note/default", {{"note", "n"}}).status, 501);
}

}  // namespace
}  // namespace fb::test
