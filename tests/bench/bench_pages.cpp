// Ten times the record, the same page: what is listed page by page should not cost ten times as much. The two records
// are asked in turns in one process, so that a busy machine slows both; the ratio is that of the quickest of many.
// Looking at everything (a filter over documents, a count) grows with what there is. Times are printed, not judged;
// every answer is, and is held against the API's description.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tests/unit/api/api_support.h"

namespace fb::api::test {
namespace {

using std::chrono::steady_clock;

// One service over a record of `scale` tenths: 10 = 10,000 endpoints, 10,000 exceptions, 100,000 alerts and actions.
class Sized : public ApiTest {
 public:
  explicit Sized(int scale) : scale_(scale) {}
  void begin() {
    SetUp();
    add_user("ada", {Role::admin});
    key_ = add_key("ada");
    const Json list{{"list_id", "endpoint_host_isolation_exceptions"},
                    {"name", "list"},
                    {"description", "list"},
                    {"type", "endpoint_host_isolation_exceptions"},
                    {"namespace_type", "agnostic"}};
    ASSERT_EQ(asked("POST", "/api/exception_lists", list.dump()).status, 200);
    fill();
  }
  void end() { TearDown(); }
  void TestBody() override {}

  net::Response asked(const std::string& method, const std::string& target, const std::string& body = "") {
    return ask(with(with(request(method, target, body), "authorization", key_), "content-type", "application/json"));
  }

 private:
  // Straight into the tables: what is measured is reading.
  void fill() {
    const std::string few = std::to_string(1000 * scale_);
    const std::string many = std::to_string(10'000 * scale_);
    const auto numbers = [](const std::string& count) {
      return "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < " + count + ") ";
    };
    fb::test::RawDb raw(db());
    raw.run("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE");
    raw.run(
        "INSERT INTO endpoints(endpoint_id, host_id, hostname, os, ips, agent_version, agent_status, simulated, "
        "enrolled_at, last_seen) " +
        numbers(few) +
        "SELECT 'e' || i, 'h' || i, 'host-' || i, 'linux', '[\"192.0.2.1\"]', '1', 'online', 0, i, i FROM n");
    raw.run("INSERT INTO credentials(sha256, endpoint_id, created_at) " + numbers(few) +
            "SELECT 'c' || i, 'e' || i, 0 FROM n");
    raw.run(
        "INSERT INTO exception_items(id, namespace, list_id, item_id, seq_no, name, created_at, updated_at, "
        "expires_at, address, os_types, policies, doc) " +
        numbers(few) +
        "SELECT 'x' || i, 'agnostic', 'endpoint_host_isolation_exceptions', 'item-' || i, 100 + i, 'item ' || i, i, i, "
        "0, '', '[]', '[]', '{\"list_id\":\"endpoint_host_isolation_exceptions\",\"item_id\":\"item-' || i || "
        "'\",\"name\":\"item ' || i || '\",\"description\":\"\",\"type\":\"simple\",\"os_types\":[\"linux\"],"
        "\"tags\":[\"policy:all\"],\"comments\":[],\"entries\":[{\"field\":\"destination.ip\",\"operator\":"
        "\"included\",\"type\":\"match\",\"value\":\"192.0.2.1\"}],\"created_by\":\"ada\",\"updated_by\":\"ada\","
        "\"tie_breaker_id\":\"t\",\"meta\":{}}' FROM n");
    raw.run(
        "INSERT INTO alerts(alert_id, rule_id, rule_name, rule_hash, rule_set_hash, severity, risk_score, cluster, "
        "topic, epoch, partition, \"offset\", event_time, read_time, broker_time, kept_at, agent_id, host_id, "
        "host_name, ambiguous, endpoint_id, group_key, doc, source) " +
        numbers(many) +
        "SELECT printf('%064x', i), 'rule-' || (i % 50), 'Rule', 'h', 's', 'high', 73, 'c', 't', 0, 0, i, i, i, i, i, "
        "'e' || (i % 100), '', '', 0, 'e' || (i % 100), '', '{\"@timestamp\":\"1970-01-01T00:00:00.000Z\","
        "\"kibana.alert.uuid\":\"' || printf('%064x', i) || '\",\"filler\":\"' || hex(zeroblob(700)) || '\"}', x'7b7d' "
        "FROM n");
    raw.run(
        "INSERT INTO actions(action_id, request_id, alert_id, rule_id, rule_hash, verb, endpoint_id, agent_id, "
        "host_id, host_name, ambiguous, comment, cause, requested_by, manual, override_protected, ceiling, "
        "event_age_base, lease_ms, state, verdict, guard, detail, created_at) " +
        numbers(many) +
        "SELECT printf('%064x', i), printf('%064x', i), printf('%064x', i), 'rule-1', 'h', 'isolate', 'e' || (i % "
        "100), '', '', 'host', 0, 'c', "
        "printf('%064x', i), 'rule:rule-1', 0, 0, '', 0, 0, 'dry_run', 'dry_run', '', '', i FROM n");
    raw.run(
        "INSERT INTO verdicts(action_id, alert_id, request_id, rule_id, verb, endpoint_id, verdict, guard, detail, "
        "joined_action, judged_at) SELECT action_id, alert_id, request_id, rule_id, verb, endpoint_id, verdict, "
        "guard, detail, '', created_at FROM actions");
    raw.run("INSERT INTO action_alerts(action_id, alert_id) SELECT action_id, alert_id FROM actions");
    raw.run("COMMIT");
  }

  const int scale_;
  std::string key_;
};

struct Asked {
  const char* what;
  const char* method;
  const char* target;
  const char* body;
  const char* holds;  // in the answer of the large record
};

class Pages : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    small_ = new Sized(1);
    large_ = new Sized(10);
    small_->begin();
    large_->begin();
  }
  static void TearDownTestSuite() {
    small_->end();
    large_->end();
    delete small_;
    delete large_;
  }
  static double once_ms(Sized& service, const Asked& a, std::string* body = nullptr) {
    const auto began = steady_clock::now();
    const net::Response answer = service.asked(a.method, a.target, a.body);
    const double ms = std::chrono::duration<double, std::milli>(steady_clock::now() - began).count();
    EXPECT_EQ(answer.status, 200) << a.what << ": " << answer.body.substr(0, 300);
    if (body != nullptr) *body = answer.body;
    return ms;
  }
  static Sized* small_;
  static Sized* large_;
};
Sized* Pages::small_ = nullptr;
Sized* Pages::large_ = nullptr;

TEST_F(Pages, OfARecordAndOfOneTenTimesAsLarge) {
  constexpr int kTurns = 25;
  const Asked all[] = {
      {"newest alerts", "GET", "/api/firebreak/alerts?limit=20", "", "1869f\""},
      {"newest actions", "GET", "/api/firebreak/actions?limit=20", "", "1869f\""},
      {"one action", "GET", "/api/firebreak/actions/000000000000000000000000000000000000000000000000000000000000004d",
       "", "4d\""},
      {"one of the history", "GET",
       "/api/endpoint/action/000000000000000000000000000000000000000000000000000000000000004d", "", "4d\""},
      {"endpoints, first page", "GET", "/api/endpoint/metadata?pageSize=10", "", "\"total\":10000"},
      {"one endpoint", "GET", "/api/endpoint/metadata/e7", "", "host-7"},
      {"pending of an endpoint", "GET", "/api/endpoint/action_status?agent_ids=e7", "", "pending_actions"},
      {"exceptions, first page", "GET",
       "/api/exception_lists/items/"
       "_find?list_id=endpoint_host_isolation_exceptions&namespace_type=agnostic&per_page=20",
       "", "\"total\":10000"},
      {"alerts of one rule and time", "POST", "/api/detection_engine/signals/search",
       R"({"size":20,"query":{"bool":{"filter":[{"range":{"@timestamp":{"gte":"1970-01-01T00:00:09.900Z",)"
       R"("lte":"1970-01-01T00:00:09.999Z"}}}]}}})",
       "\"value\":100"},
  };
  for (const Asked& a : all) {
    double small = 1e9, large = 1e9;
    std::string body;
    for (int i = 0; i < kTurns; ++i) {
      small = std::min(small, once_ms(*small_, a));
      large = std::min(large, once_ms(*large_, a, &body));
    }
    EXPECT_NE(body.find(a.holds), std::string::npos) << a.what << ": " << body.substr(0, 300);
    std::printf("%-32s %8.3f ms, ten times the record %8.3f ms, ratio %5.2f\n", a.what, small, large, large / small);
  }
}

TEST_F(Pages, AndLookingAtEverything) {
  const Asked all[] = {
      {"history", "GET", "/api/endpoint/action?pageSize=10", "", "\"total\":100000"},
      {"history by rules", "GET", "/api/endpoint/action?pageSize=10&types=automated", "", "\"total\":100000"},
      {"open alerts, counted", "POST", "/api/detection_engine/signals/search",
       R"({"size":20,"track_total_hits":true,)"
       R"("query":{"bool":{"filter":[{"term":{"kibana.alert.workflow_status":"open"}}]}}})",
       "\"value\":100000"},
      {"endpoints by KQL", "GET", "/api/endpoint/metadata?kuery=united.endpoint.host.hostname:host-99*", "",
       "\"total\":111"},
      {"endpoints by status", "GET", "/api/endpoint/metadata?hostStatuses=healthy", "", "\"total\":10000"},
      {"endpoints by policy name", "GET",
       "/api/endpoint/metadata?sortField=metadata.Endpoint.policy.applied.name&sortDirection=asc", "",
       "\"total\":10000"},
      {"Fleet's agents", "GET", "/api/fleet/agents?kuery=local_metadata.host.hostname:host-77", "", "\"total\":1"},
      {"endpoints, all as lines", "GET", "/api/firebreak/endpoints", "", "host-9999"},
      {"exceptions by KQL", "GET",
       "/api/exception_lists/items/_find?list_id=endpoint_host_isolation_exceptions&namespace_type=agnostic&filter="
       "exception-list-agnostic.attributes.name:%22item%2077%22",
       "", "\"total\":1"},
      {"exceptions by name", "GET",
       "/api/exception_lists/items/_find?list_id=endpoint_host_isolation_exceptions&namespace_type=agnostic&"
       "sort_field=name&sort_order=asc&per_page=20",
       "", "\"total\":10000"},
      {"history of an endpoint", "GET", "/api/endpoint/action?agentIds=e7&pageSize=10", "", "\"total\":1000"},
  };
  for (const Asked& a : all) {
    double ms = 1e9;
    std::string body;
    for (int i = 0; i < 3; ++i) ms = std::min(ms, once_ms(*large_, a, &body));
    EXPECT_NE(body.find(a.holds), std::string::npos) << a.what << ": " << body.substr(0, 300);
    std::printf("%-32s %8.1f ms\n", a.what, ms);
  }
}

}  // namespace
}  // namespace fb::api::test
