#include "engine/pipeline/alert_document.h"

#include <gtest/gtest.h>

#include "engine/base/json.h"
#include "engine/model/rule_uuid.h"
#include "tests/support/cpu_time.h"

namespace fb {
namespace {

nlohmann::json document(const std::string& source) {
  auto rule = std::make_shared<RuleMeta>();
  rule->rule_id = "r1";
  rule->name = "A \"quoted\" name";
  rule->type = "query";
  rule->severity = Severity::high;
  rule->risk_score = 73;
  rule->parameters = R"({"rule_id":"r1","threat":[{"framework":"MITRE ATT&CK"}],"index":["logs-*"]})";
  Alert alert;
  alert.alert_id = "id1";
  alert.rule = rule;
  alert.position = {"c", "t", 0, 2, 7};
  alert.event_time_ms = 1'000;
  alert.read_time_ms = 2'000;
  alert.source = source;
  const auto doc = nlohmann::json::parse(alert_document(alert, "set1", alert_rule_members(*rule)), nullptr, false);
  EXPECT_TRUE(doc.is_object()) << source;
  return doc;
}

TEST(AlertDocument, KeepsTheEventAndSpeaksOfTheRule) {
  const auto doc =
      document(R"({"@timestamp":"2020-01-01T00:00:00Z","event":{"kind":"event","code":"1"},"host":{"name":"h"}})");
  EXPECT_EQ(doc["host"]["name"], "h");
  EXPECT_EQ(doc["@timestamp"], "1970-01-01T00:00:02.000Z");
  EXPECT_EQ(doc["event"]["kind"], "signal");
  EXPECT_EQ(doc["event"]["code"], "1");
  EXPECT_EQ(doc["kibana.alert.original_event.kind"], "event");
  EXPECT_EQ(doc["kibana.alert.original_time"], "1970-01-01T00:00:01.000Z");
  EXPECT_EQ(doc["kibana.alert.uuid"], "id1");
  EXPECT_EQ(doc["kibana.alert.ancestors"][0]["id"], "t:2:7");
  EXPECT_EQ(doc["kibana.alert.rule.name"], "A \"quoted\" name");
  EXPECT_EQ(doc["kibana.alert.rule.indices"][0], "logs-*");
  EXPECT_EQ(doc["kibana.alert.rule.parameters"]["rule_id"], "r1");
  EXPECT_EQ(doc["firebreak.rule_set"], "set1");
}

TEST(AlertDocument, CopiesWhatPeopleSaidOfTheRule) {
  RuleMeta rule;
  rule.rule_id = "r1";
  rule.parameters =
      R"({"id":"id-1","actions":[{"id":"c","params":{}}],"namespace":"blue","meta":{"from":"1m"},"timeline_id":"t1",
          "timeline_title":"T","throttle":"no_actions","created_at":"2020-01-01T00:00:00Z","revision":3})";
  const auto members = [&] { return nlohmann::json::parse("{" + alert_rule_members(rule) + "}"); };
  rule.file = kRuleOfApi;
  const auto api = members();
  EXPECT_EQ(api["kibana.alert.rule.uuid"], "id-1");
  EXPECT_EQ(api["kibana.alert.rule.actions"][0]["id"], "c");
  EXPECT_EQ(api["kibana.alert.rule.namespace"], "blue");
  EXPECT_EQ(api["kibana.alert.rule.meta"]["from"], "1m");
  EXPECT_EQ(api["kibana.alert.rule.timeline_id"], "t1");
  EXPECT_EQ(api["kibana.alert.rule.timeline_title"], "T");
  EXPECT_EQ(api["kibana.alert.rule.throttle"], "no_actions");
  EXPECT_EQ(api["kibana.alert.rule.immutable"], false);
  EXPECT_FALSE(api.contains("kibana.alert.rule.created_at") || api.contains("kibana.alert.rule.revision"));
  rule.file = "rules/a.yml";
  const auto file = members();
  EXPECT_EQ(file["kibana.alert.rule.uuid"], file_rule_uuid("r1")) << "an id in a file is none";
  EXPECT_EQ(file["kibana.alert.rule.immutable"], true);
  rule.parameters = R"({"rule_id":"r1"})";
  EXPECT_FALSE(members().contains("kibana.alert.rule.actions"));
  // It stands in records: it may not change.
  EXPECT_EQ(file_rule_uuid("r1"), "29ff9e80-3dad-8613-a78a-2500a3035e7b");
}

TEST(AlertDocument, DottedEventFieldsCountToo) {
  const auto doc = document(R"({"event.kind":"event","event.action":"start"})");
  EXPECT_EQ(doc["kibana.alert.original_event.action"], "start");
  EXPECT_EQ(doc["event.kind"], "signal");
}

TEST(AlertDocument, ASourceCannotSpeakForTheAlert) {
  const auto doc = document(R"({"kibana.alert.uuid":"forged","kibana":{"alert":{"uuid":"forged"}},"a":1})");
  EXPECT_EQ(doc["kibana.alert.uuid"], "id1");
  EXPECT_FALSE(doc.contains("kibana"));
  EXPECT_EQ(doc["a"], 1);
}

TEST(AlertDocument, RepeatedKeysBecomeOneField) {
  const auto doc = document(R"({"a":1,"a":[2,3],"b":{"c":1},"b":{"d":2}})");
  EXPECT_EQ(doc["a"], nlohmann::json::array({1, 2, 3}));
  EXPECT_EQ(doc["b"]["c"], 1);
  EXPECT_EQ(doc["b"]["d"], 2);

  // No value of a field that rules saw may be missing, however deep its spellings meet.
  const auto deep =
      document(R"({"p":{"q":{"n":"x"},"m":1},"p":{"q":{"n":"y"}},"p":{"q":{"n":["z",{"o":1}]},"m":{"k":2}}})");
  EXPECT_EQ(deep["p"]["q"]["n"], nlohmann::json::parse(R"(["x","y","z",{"o":1}])"));
  EXPECT_EQ(deep["p"]["m"], nlohmann::json::parse(R"([1,{"k":2}])"));

  const auto event = document(R"({"event":{"code":"1","kind":"event"},"event.code":"2","event.action":"a"})");
  EXPECT_EQ(event["kibana.alert.original_event.code"], nlohmann::json::parse(R"(["1","2"])"));
  EXPECT_EQ(event["kibana.alert.original_event.action"], "a");
}

// An event may have 20,000 keys; what an alert costs must not grow with their square.
TEST(AlertDocument, ManyKeysAreNoBomb) {
  std::string keys;
  for (int i = 0; i < 9'900; ++i) keys += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":1";
  std::string dotted;
  for (int i = 0; i < 19'900; ++i) dotted += (i > 0 ? ",\"kibana." : "\"event.") + std::to_string(i) + "\":1";
  const std::string events[] = {"{" + keys + "}", "{\"event\":{" + keys + "},\"event\":{" + keys + "}}",
                                "{" + keys + "," + keys + "}", "{" + dotted + "}"};
  const double start = test::cpu_seconds();
  for (const std::string& event : events) EXPECT_TRUE(document(event).contains("kibana.alert.uuid"));
  EXPECT_LT(test::cpu_seconds() - start, 4 * test::kSanitizerFactor);
}

TEST(AlertDocument, NumbersOfAnySizeStayReadable) {
  const auto doc = document(R"({"u":18446744073709551615,"huge":1e400})");
  EXPECT_EQ(doc["u"], 18446744073709551615ull);
  EXPECT_EQ(doc["huge"], "1e400");
}

TEST(AlertDocument, TheReasonNamesWhatHappened) {
  auto rule = std::make_shared<RuleMeta>();
  rule->name = "Odd shell";
  rule->severity = Severity::critical;
  Alert alert;
  alert.rule = rule;
  alert.source = R"({"event":{"category":["process"]},"process":{"name":"cmd.exe"},"host.name":"h1"})";
  EXPECT_EQ(alert_reason(alert), "process event with process cmd.exe on h1 created critical alert Odd shell.");
}

}  // namespace
}  // namespace fb
