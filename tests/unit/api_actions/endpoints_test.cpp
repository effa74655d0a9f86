// Endpoints and their policies over the API.
#include "tests/support/enrol.h"
#include "tests/unit/api_actions/api_fixture.h"

namespace fb::test {
namespace {

class EndpointsApi : public ApiTest {
 protected:
  void enroll_as(const std::string& id, const std::string& os, const std::string& ip) {
    EndpointReport r = agent(id);
    r.os = os;
    r.ips = {ip};
    const Status done = enrol(*store_, r, hex(sha256("credential of " + id)));
    ASSERT_TRUE(done) << done.error().describe();
    clock_.advance_ms(1000);
  }
  std::vector<std::string> ids(const std::string& query) {
    const Answer answer = get("/api/endpoint/metadata" + query);
    EXPECT_EQ(answer.status, 200) << query << ": " << answer.raw.body;
    std::vector<std::string> list;
    for (const Json& host : answer.body["data"]) list.push_back(host["metadata"]["agent"]["id"]);
    return list;
  }
};

using Ids = std::vector<std::string>;

TEST_F(EndpointsApi, AHostTellsWhatIsWantedAndWhatIs) {
  enroll("a");
  const Json d = post("/api/endpoint/action/isolate", {{"endpoint_ids", {"a"}}}).body["data"];
  clock_.advance_ms(1000);
  Json host = get("/api/endpoint/metadata/a").body;
  EXPECT_EQ(host["host_status"], "healthy");
  EXPECT_EQ(host["metadata"]["Endpoint"]["configuration"]["isolation"], true);
  EXPECT_EQ(host["metadata"]["Endpoint"]["state"]["isolation"], false);
  EXPECT_EQ(host["metadata"]["Endpoint"]["policy"]["applied"]["id"], "default");
  EXPECT_EQ(host["metadata"]["host"]["hostname"], "name-of-a");
  EXPECT_EQ(host["metadata"]["host"]["ip"], Json({"192.0.2.1"}));
  EXPECT_EQ(host["metadata"]["elastic"]["agent"]["id"], "a");
  EXPECT_EQ(host["firebreak"]["pending_actions"], Json({{"isolate", 1}}));
  EXPECT_EQ(host["firebreak"]["last_action"]["action_id"], action_of(d));
  isolate_fully(action_of(d));
  host = get("/api/endpoint/metadata/a").body;
  EXPECT_EQ(host["metadata"]["Endpoint"]["state"]["isolation"], true);
  EXPECT_EQ(host["firebreak"]["observed"], "isolated");
  EXPECT_EQ(host["firebreak"]["last_action"]["status"], "verified");
  EXPECT_EQ(host["metadata"]["@timestamp"], iso8601(clock_.wall_ms())) << "what is told is as new as the answer";
  EXPECT_EQ(get("/api/endpoint/metadata").body["data"][0], host);
  EXPECT_EQ(get("/api/endpoint/metadata/z").status, 404);
  ASSERT_TRUE(store_->revoke_credentials("a", "user:ada", ""));
  EXPECT_EQ(get("/api/endpoint/metadata/a").status, 400) << "unenrolled";
}

TEST_F(EndpointsApi, TheListIsFilteredSortedAndPaged) {
  enroll_as("a", "linux", "10.1.0.1");
  enroll_as("b", "windows", "10.2.0.1");
  enroll_as("c", "macos", "192.0.2.9");
  ASSERT_TRUE(store_->set_status("b", AgentStatus::offline, "silent"));
  ASSERT_TRUE(store_->set_tags("c", {"critical"}, "user:ada", ""));
  EXPECT_EQ(ids(""), (Ids{"c", "b", "a"}));
  EXPECT_EQ(ids("?sortField=metadata.host.hostname&sortDirection=asc"), (Ids{"a", "b", "c"}));
  EXPECT_EQ(ids("?hostStatuses=offline"), (Ids{"b"}));
  EXPECT_EQ(ids("?hostStatuses=offline&hostStatuses=healthy"), (Ids{"c", "b", "a"}));
  EXPECT_EQ(ids("?hostStatuses=updating"), Ids{});
  EXPECT_EQ(ids("?hostStatuses=%5B%22offline%22,%22healthy%22%5D"), (Ids{"c", "b", "a"}));
  EXPECT_EQ(ids("?page=1&pageSize=2"), (Ids{"a"}));
  EXPECT_EQ(ids("?page=9"), Ids{});
  EXPECT_EQ(ids("?kuery=united.endpoint.host.os.name%20%3A%20Windows"), (Ids{"b"}));
  EXPECT_EQ(ids("?kuery=united.endpoint.host.os.name+:+'Windows'"), (Ids{"b"}));
  EXPECT_EQ(ids("?kuery=metadata.host.os.type:(linux+or+macos)+and+not+host_status:offline"), (Ids{"c", "a"}));
  EXPECT_EQ(ids("?kuery=host.ip:%2210.0.0.0/8%22"), (Ids{"b", "a"}));
  EXPECT_EQ(ids("?kuery=united.endpoint.host.hostname:name-of-*"), (Ids{"c", "b", "a"}));
  EXPECT_EQ(ids("?kuery=firebreak.tags:critical"), (Ids{"c"}));
  EXPECT_EQ(ids("?kuery=united.endpoint.Endpoint.state.isolation:true"), Ids{});
  EXPECT_EQ(ids("?kuery=united.agent.policy_id:default"), (Ids{"c", "b", "a"}));
  const Json page = get("/api/endpoint/metadata?pageSize=1").body;
  EXPECT_EQ(page["total"], 3);
  EXPECT_EQ(page["page"], 0);
  EXPECT_EQ(page["pageSize"], 1);
  EXPECT_EQ(page["sortField"], "enrolled_at");
  EXPECT_EQ(page["sortDirection"], "desc");
  std::string many = "?hostStatuses=offline";
  for (int i = 1; i < 20; ++i) many += "&hostStatuses=offline";
  EXPECT_EQ(get("/api/endpoint/metadata" + many).status, 200);
  EXPECT_EQ(get("/api/endpoint/metadata" + many + "&hostStatuses=offline").status, 400);
  for (const char* query : {"?page=-1", "?pageSize=0", "?pageSize=10001", "?hostStatuses=ill", "?sortField=name",
                            "?sortDirection=up", "?kuery=a:(", "?foo=1", "?hostStatuses=", "?sortField="}) {
    EXPECT_EQ(get(std::string("/api/endpoint/metadata") + query).status, 400) << query;
  }
}

// The server's few threads are for what is quick, so that an isolation always finds one; and whoever searches leaves
// the threads for changes of rules alone.
TEST_F(EndpointsApi, WhatLooksAtEverythingAndWhatChangesRulesRunsApart) {
  using api::Desk;
  const auto desk = [&](const std::string& method, const std::string& target) {
    return routes_.find(method, target.substr(0, target.find('?'))).desk_for(target);
  };
  const std::string actions = "/api/endpoint/action";
  for (const char* quick : {"", "?", "?page=2&pageSize=50", "?types=manual&startDate=now-1d&endDate=now&&withOutputs="})
    EXPECT_EQ(desk("GET", actions + quick), Desk::none) << quick;
  for (const char* slow :
       {"?statuses=failed", "?page=1&userIds=ada", "?commands=isolate", "?agentIds=a", "?%73tatuses=failed",
        "?statuses[]=failed", "?page=100&pageSize=10", "?pageSize=10000", "?pageSize=000000010"})
    EXPECT_EQ(desk("GET", actions + slow), Desk::work) << slow;
  EXPECT_EQ(desk("HEAD", actions + "?statuses=failed"), Desk::work);
  EXPECT_EQ(desk("GET", "/api/endpoint/action_log/a"), Desk::work);
  EXPECT_EQ(desk("GET", "/api/fleet/agents"), Desk::work);
  EXPECT_EQ(desk("GET", "/api/fleet/agents/a"), Desk::none);
  EXPECT_EQ(desk("GET", "/api/endpoint/metadata?page=0&pageSize=10"), Desk::none);
  EXPECT_EQ(desk("GET", "/api/endpoint/metadata?kuery=x"), Desk::work);
  EXPECT_EQ(desk("GET", "/api/endpoint/metadata?sortField=host_status"), Desk::work);
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE"})
    EXPECT_EQ(desk(method, "/api/detection_engine/rules?id=x"), Desk::rules) << method;
  EXPECT_EQ(desk("POST", "/api/detection_engine/rules/_bulk_action?dry_run=true"), Desk::rules);
  EXPECT_EQ(desk("POST", "/api/detection_engine/rules/preview"), Desk::work);
  EXPECT_EQ(desk("POST", "/api/detection_engine/signals/search"), Desk::work);
  EXPECT_EQ(desk("POST", "/api/endpoint/action/isolate?statuses=x"), Desk::none);
  EXPECT_EQ(desk("POST", "/api/firebreak/alerts/x/isolate"), Desk::none);
  EXPECT_EQ(desk("GET", "/api/detection_engine/rules?id=x"), Desk::none);
}

TEST_F(EndpointsApi, FleetFindsAnAgentByItsHost) {
  enroll_as("a", "linux", "10.1.0.1");
  enroll_as("b", "windows", "10.2.0.1");
  enroll_as("c", "macos", "192.0.2.9");
  ASSERT_TRUE(store_->set_status("b", AgentStatus::offline, "silent"));
  ASSERT_TRUE(store_->set_status("c", AgentStatus::unhealthy, "mended its rules"));
  const auto found = [this](const std::string& query) {
    const Answer answer = get("/api/fleet/agents" + query);
    EXPECT_EQ(answer.status, 200) << query << ": " << answer.raw.body;
    Ids list;
    for (const Json& agent : answer.body["items"]) list.push_back(agent["id"]);
    return list;
  };
  EXPECT_EQ(found(""), (Ids{"c", "b", "a"}));
  EXPECT_EQ(found("?kuery=local_metadata.host.hostname:%22name-of-b*%22"), (Ids{"b"}));
  EXPECT_EQ(found("?kuery=local_metadata.host.hostname:%22name-*%22"), (Ids{"c", "b", "a"}));
  EXPECT_EQ(found("?kuery=local_metadata.host.hostname:%22of-b%22"), Ids{});
  EXPECT_EQ(found("?kuery=(local_metadata.host.hostname:%22192.0.2.9*%22+OR+local_metadata.host.ip:%22192.0.2.9%22)"),
            (Ids{"c"}));
  EXPECT_EQ(found("?kuery=(status:online+AND+local_metadata.os.platform:linux)&showInactive=false"), (Ids{"a"}));
  EXPECT_EQ(found("?kuery=local_metadata.elastic.agent.id:%22b%22"), (Ids{"b"}));
  EXPECT_EQ(found("?page=2&perPage=2"), (Ids{"a"}));
  EXPECT_EQ(get("/api/fleet/agents?perPage=0").body["total"], 3);
  EXPECT_EQ(get("/api/fleet/agents?kuery=a:(").status, 400);
  EXPECT_EQ(get("/api/fleet/agents?nonsense=1").status, 400);
  const Json one = get("/api/fleet/agents/c").body["item"];
  EXPECT_EQ(asked_, Privilege::endpoints_read);
  EXPECT_EQ(one["status"], "degraded");
  EXPECT_EQ(one["policy_id"], "default");
  EXPECT_EQ(one["local_metadata"]["host"]["hostname"], "name-of-c");
  EXPECT_EQ(one["components"][0]["type"], "endpoint");
  EXPECT_EQ(get("/api/fleet/agents/z").status, 404);
}

TEST_F(EndpointsApi, PoliciesAreMadeChangedGivenAndRemoved) {
  enroll("a");
  enroll("b");
  const Answer made =
      post("/api/firebreak/policies",
           {{"id", "servers"}, {"name", "Servers"}, {"services", {"kafka.example:9092"}}, {"dhcp", false}});
  ASSERT_EQ(made.status, 200) << made.raw.body;
  EXPECT_EQ(made.body["id"], "servers");
  EXPECT_EQ(made.body["version"], 1);
  EXPECT_EQ(made.body["created_by"], "user:ada");
  EXPECT_FALSE(made.body.contains("dns"));
  EXPECT_EQ(get("/api/firebreak/policies/servers").body, made.body);
  EXPECT_EQ(post("/api/firebreak/policies", {{"name", "servers"}}).status, 409);
  EXPECT_EQ(post("/api/firebreak/policies", {{"id", "servers"}, {"name", "x"}}).status, 409);
  EXPECT_EQ(post("/api/firebreak/policies", {{"id", "all"}, {"name", "x"}}).status, 400);
  EXPECT_EQ(post("/api/firebreak/policies", {{"name", "x"}, {"dhcp", "no"}}).status, 400);
  EXPECT_EQ(post("/api/firebreak/policies", {{"name", "x"}, {"foo", 1}}).status, 400);
  EXPECT_TRUE(store_->policy_exists("servers").value_or(false));
  EXPECT_TRUE(store_->policy_exists("default").value_or(false));
  EXPECT_FALSE(store_->policy_exists("nope").value_or(true));

  const Answer given = post("/api/firebreak/policies/servers/assign", {{"hosts", {"name-of-a"}}});
  ASSERT_EQ(given.status, 200) << given.raw.body;
  EXPECT_EQ(given.body["changed"], 1);
  EXPECT_EQ(post("/api/firebreak/policies/servers/assign", {{"hosts", {"a"}}}).body["changed"], 0);
  EXPECT_EQ(post("/api/firebreak/policies/servers/assign", {{"hosts", {"b", "zz"}}}).status, 404);
  EXPECT_EQ(post("/api/firebreak/policies/nope/assign", {{"hosts", {"b"}}}).status, 404);
  EXPECT_EQ(store_->policy_of("a")->id, "servers");
  EXPECT_EQ(store_->policy_of("a")->settings.dhcp, false);
  EXPECT_EQ(store_->policy_of("b")->id, "default");
  EXPECT_EQ(get("/api/firebreak/policies/default/endpoints").body["data"], Json({"b"}));
  EXPECT_EQ(get("/api/endpoint/metadata/a").body["metadata"]["Endpoint"]["policy"]["applied"]["name"], "Servers");

  const Answer changed =
      call("PUT", "/api/firebreak/policies/servers", {{"name", "Servers"}, {"message", "ask IT"}, {"version", 1}});
  ASSERT_EQ(changed.status, 200) << changed.raw.body;
  EXPECT_EQ(changed.body["version"], 2);
  EXPECT_FALSE(changed.body.contains("services"));
  EXPECT_EQ(call("PUT", "/api/firebreak/policies/servers", {{"name", "S"}, {"version", 1}}).status, 409);
  EXPECT_EQ(call("PUT", "/api/firebreak/policies/nope", {{"name", "S"}}).status, 404);

  EXPECT_EQ(call("DELETE", "/api/firebreak/policies/servers").status, 409);
  EXPECT_EQ(call("DELETE", "/api/firebreak/policies/default").status, 409);
  EXPECT_EQ(post("/api/firebreak/policies/default/assign", {{"hosts", {"a"}}}).body["changed"], 1);
  EXPECT_EQ(call("DELETE", "/api/firebreak/policies/servers").status, 200);
  EXPECT_EQ(get("/api/firebreak/policies/servers").status, 404);
  EXPECT_EQ(get("/api/firebreak/policies").body["total"], 1);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what LIKE 'policy_%'"), 5);
}

TEST_F(EndpointsApi, WhatHostsWouldNotTakeIsRefused) {
  parts_->isolation.policy_fits = [](const PolicySettings& s) -> Status {
    if (s.dns) return fail(ErrorCode::invalid_argument, "no dns here");
    return {};
  };
  EXPECT_EQ(post("/api/firebreak/policies", {{"name", "x"}, {"dns", {"1.1.1.1"}}}).status, 400);
  EXPECT_EQ(post("/api/firebreak/policies", {{"name", "x"}}).status, 200);
}

}  // namespace
}  // namespace fb::test
