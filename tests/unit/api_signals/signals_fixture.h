// The alert routes over a record with ten alerts of two rules on three hosts.
#pragma once

#include "api/api.h"
#include "api/router.h"
#include "engine/base/json.h"
#include "tests/support/openapi.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::api {
void add_signals_routes(Router& router);
void add_notes_routes(Router& router);
void add_false_positives_routes(Router& router);

using Json = nlohmann::ordered_json;

class SignalsApi : public test::RecordTest {
 protected:
  void SetUp() override {
    open();
    add_signals_routes(router_);
    add_notes_routes(router_);
    add_false_positives_routes(router_);
    for (int i = 0; i < 10; ++i) add_alert(i);
  }

  void add_alert(int i) {
    const std::string agent_id = "agent-" + std::to_string(i % 3);
    BatchOutcome b = batch(test::rule(i % 2 == 0 ? "even" : "odd"), agent_id, i);
    b.planned.clear();
    Alert& a = b.alerts.back();
    a.read_time_ms = 1'700'000'000'000 + i * 1000;
    ids_.push_back(a.alert_id);
    a.doc = Json{{"@timestamp", iso8601(a.read_time_ms)},
                 {"kibana.alert.uuid", a.alert_id},
                 {"kibana.alert.rule.rule_id", a.rule->rule_id},
                 {"kibana.alert.rule.name", "Rule <b>"},
                 {"kibana.alert.risk_score", i * 10},
                 {"kibana.alert.workflow_status", "open"},
                 {"kibana.alert.workflow_tags", Json::array()},
                 {"kibana.alert.workflow_assignee_ids", Json::array()},
                 {"agent", {{"id", agent_id}}},
                 {"process", {{"name", i < 5 ? "cmd.exe" : "bash"}, {"executable", "/bin/x"}}}}
                .dump();
    keep(b);
  }

  net::Response call(const std::string& method, const std::string& path, const Json& body = Json(),
                     const std::string& person = "ada") {
    net::Request request;
    request.method = method;
    request.target = path;
    request.path = path.substr(0, path.find('?'));
    request.body = body.is_null() ? "" : body.dump();
    const Router::Match match = router_.find(method, request.path);
    EXPECT_NE(match.handle, nullptr) << method << " " << path;
    Principal who;
    who.person = person;
    who.roles = roles_;
    Parts parts{*store_, clock_, metrics_, [] {}, {}, {}, "1", "", {}, {}};
    parts.rules = desk_;
    net::Response answer = (*match.handle)(Call{request, match.params, who, parts});
    test::expect_described(request, answer);
    return answer;
  }
  Json search(const std::string& body) {
    const net::Response r = call("POST", "/api/detection_engine/signals/search", Json::parse(body));
    EXPECT_EQ(r.status, 200) << r.body;
    return Json::parse(r.body);
  }
  int64_t hits(const std::string& query) {
    return search("{\"size\":0,\"query\":" + query + "}")["hits"]["total"]["value"].get<int64_t>();
  }

  std::vector<Role> roles_ = {Role::admin};
  RuleDesk* desk_ = nullptr;
  Metrics metrics_;
  Router router_;
  std::vector<std::string> ids_;
};

}  // namespace fb::api
