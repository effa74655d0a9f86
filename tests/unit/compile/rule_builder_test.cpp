// What a rule may say, and what comes out of it.
#include "engine/base/digest.h"
#include "engine/compile/rule_tests.h"
#include "tests/unit/compile/support.h"

namespace fb {
namespace {

using namespace test;

const std::string kIsolate =
    "response_actions:\n  - action_type_id: .endpoint\n    params: {command: isolate, comment: because}\n";

TEST(RuleBuilder, ReadsAWholeRule) {
  const LoadedRules loaded = load_rule_text(
      rule_text(
          "enabled: false\ntags: [a, b]\nseverity: critical\nrisk_score: 99\ntimestamp_override: event.ingested\n" +
          kIsolate +
          "response: {mode: approve, lease: 4h}\n"
          "tests:\n  - name: one\n    events: [{host.id: h1, a: b}, '{\"a\": \"b\"}']\n"
          "    expect: {alerts: 2, isolate: [h1]}\n"),
      "rules/x.yml");
  ASSERT_TRUE(loaded.ok()) << all_problems(loaded);
  ASSERT_EQ(loaded.rules.size(), 1u);
  const LoadedRule& rule = loaded.rules[0];
  const RuleMeta& meta = *rule.input.meta;
  EXPECT_EQ(meta.rule_id, "r-1");
  EXPECT_EQ(meta.name, "A rule");
  EXPECT_EQ(meta.description, "For tests");
  EXPECT_EQ(meta.type, "query");
  EXPECT_EQ(meta.language, "kuery");
  EXPECT_EQ(meta.severity, Severity::critical);
  EXPECT_EQ(meta.risk_score, 99);
  EXPECT_FALSE(meta.enabled);
  EXPECT_EQ(meta.tags, (Strings{"a", "b"}));
  EXPECT_EQ(meta.timestamp_override, "event.ingested");
  EXPECT_EQ(meta.file, "rules/x.yml");
  EXPECT_EQ(meta.line, 1u);
  ASSERT_EQ(meta.actions.size(), 1u);
  EXPECT_EQ(meta.actions[0].verb, Verb::isolate);
  EXPECT_EQ(meta.actions[0].comment, "because");
  EXPECT_EQ(meta.response.mode, Mode::approve);
  EXPECT_EQ(meta.response.lease_ms, 4 * 3600 * 1000);
  ASSERT_EQ(rule.tests.size(), 1u);
  EXPECT_EQ(rule.tests[0].events, (Strings{R"({"a":"b","host.id":"h1"})", R"({"a": "b"})"}));
  EXPECT_EQ(rule.tests[0].alerts, 2);
  EXPECT_TRUE(rule.tests[0].checks_isolate);
  EXPECT_TRUE(loaded.runnable().empty());  // disabled
}

TEST(RuleBuilder, DefaultsAreEnabledKueryAndEnforceAsTheCeiling) {
  const LoadedRules loaded = load_rule_text(rule_text(), "r.yml");
  ASSERT_TRUE(loaded.ok());
  EXPECT_TRUE(loaded.rules[0].input.meta->enabled);
  EXPECT_EQ(loaded.rules[0].input.meta->response.mode, Mode::enforce);
  EXPECT_FALSE(loaded.rules[0].input.meta->response.lease_ms);
  EXPECT_EQ(loaded.runnable().size(), 1u);
}

TEST(RuleBuilder, SaysHowManyRulesMustAgree) {
  const auto response = [](const std::string& text) {
    const LoadedRules loaded = load_rule_text(rule_text(kIsolate + "response: " + text + "\n"), "r.yml");
    return loaded.ok() ? loaded.rules[0].input.meta->response : ResponseCeiling{Mode::dry_run, {}, -1, false};
  };
  EXPECT_EQ(response("{mode: enforce}").corroboration, 0);
  EXPECT_EQ(response("{corroboration: 3}").corroboration, 3);
  EXPECT_FALSE(response("{corroboration: 3}").certain);
  EXPECT_TRUE(response("{confidence: certain}").certain);
  EXPECT_TRUE(response("{confidence: certain, corroboration: 1}").certain);
  for (const char* bad : {"{corroboration: 0}", "{corroboration: two}", "{confidence: high}", "{corroborations: 2}",
                          "{confidence: certain, corroboration: 2}"}) {
    EXPECT_EQ(response(bad).corroboration, -1) << bad;
  }
  // To take it away is another rule: probation begins anew.
  const auto hash = [](const std::string& text) {
    return load_rule_text(rule_text(kIsolate + text), "r.yml").rules.at(0).input.meta->hash;
  };
  EXPECT_NE(hash("response: {corroboration: 3}\n"), hash(""));
}

TEST(RuleBuilder, RequiredKeys) {
  for (const char* key : {"rule_id", "name", "type", "severity", "risk_score", "query"}) {
    std::string text = rule_text();
    const size_t at = text.find(std::string(key) + ":");
    text.erase(at, text.find('\n', at) + 1 - at);
    const Strings found = codes_of(text);
    EXPECT_NE(std::find(found.begin(), found.end(), "missing-key"), found.end()) << key;
  }
  EXPECT_EQ(codes_of(rule_text("name: '  '\n")), Strings{"bad-value"});
}

TEST(RuleBuilder, UnknownKeysAreErrorsWithTheNearestWord) {
  const LoadedRules loaded = load_rule_text(rule_text("respons: {mode: dry_run}\n"), "r.yml");
  ASSERT_EQ(codes(loaded), Strings{"unknown-key"});
  EXPECT_EQ(loaded.rules[0].diagnostics[0].help, "did you mean 'response'?");
  EXPECT_FALSE(loaded.rules[0].ok);
  EXPECT_EQ(loaded.rules[0].rule_id, "r-1");  // still named
}

TEST(RuleBuilder, TyposNeverFallBackToADefault) {
  EXPECT_EQ(codes_of(rule_text("response: {mode: enforced}\n")), Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text("response: {mode: DRY_RUN}\n")), Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text("response: {mod: dry_run}\n")), Strings{"unknown-key"});
  EXPECT_EQ(codes_of(rule_text("severity: High\n")), Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text("type: querry\n")), Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text("language: kql\n")), Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text("enabled: yes\n")), Strings{"wrong-type"});
  EXPECT_EQ(codes_of(rule_text("enabled: 'true'\n")), Strings{"wrong-type"});
  for (const char* score : {"101", "-1", "4.5", "'50'", "1e2", "99999999999999999999"}) {
    const Strings found = codes_of(rule_text("risk_score: " + std::string(score) + "\n"));
    ASSERT_EQ(found.size(), 1u) << score;
  }
}

TEST(RuleBuilder, LeasesHaveBounds) {
  for (const char* bad : {"0s", "-5m", "10", "99999999999h", "10y", "366d", "500ms", "4 h"}) {
    EXPECT_EQ(codes_of(rule_text("response: {lease: '" + std::string(bad) + "'}\n")), Strings{"bad-value"}) << bad;
  }
  EXPECT_EQ(codes_of(rule_text("response: {lease: 4}\n")), Strings{"wrong-type"});
  EXPECT_EQ(codes_of(rule_text("response: {lease: 365d}\n")), Strings{});
}

TEST(RuleBuilder, IdsAndNamesAreSafeToShow) {
  for (const char* bad : {"../x", "a/../../x", "..\\x", "..", "/etc/x", "' x'"}) {
    EXPECT_EQ(codes_of(rule_text("rule_id: " + std::string(bad) + "\n")), Strings{"unsafe-text"}) << bad;
  }
  EXPECT_EQ(codes_of(rule_text("rule_id: \"a\\x1b[2Jb\"\n")), Strings{"unsafe-text"});
  EXPECT_EQ(codes_of(rule_text("rule_id: \"a\\nb\"\n")), Strings{"unsafe-text"});
  EXPECT_EQ(codes_of(rule_text("rule_id: '" + std::string(4096, 'x') + "'\n")), Strings{"unsafe-text"});
  EXPECT_EQ(codes_of(rule_text("name: \"evil \\u202e txt\"\n")), Strings{"unsafe-text"});
  EXPECT_EQ(codes_of(rule_text("rule_id: ''\n")), Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text("rule_id: '" + std::string(512, 'x') + "'\n")), Strings{});
}

TEST(RuleBuilder, AnyNameIsTakenOnlyWhereItIsAskedForNotByTheNameOfTheFile) {
  const std::string text = R"({"rule_id":"../x","name":"a\nb","description":"d","risk_score":1,"severity":"low",)"
                           R"("type":"query","query":"process.name: x"})";
  LoadOptions options;
  EXPECT_FALSE(load_rule_text(text, "api", options).ok());
  options.any_names = true;
  EXPECT_TRUE(load_rule_text(text, "some.ndjson", options).ok());
}

TEST(RuleBuilder, RuleIdsAreUniqueAndTheFirstIsNamed) {
  TempFolder folder;
  folder.write("a.yml", rule_text());
  folder.write("b/c.yml", "\n" + rule_text());
  const Result<LoadedRules> loaded = load_rules({folder.path()});
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->rules.size(), 2u);
  EXPECT_TRUE(loaded->rules[0].ok);
  EXPECT_FALSE(loaded->rules[1].ok);
  ASSERT_EQ(codes(*loaded, true), Strings{"duplicate-rule-id@2:10"});
  EXPECT_NE(loaded->rules[1].diagnostics[0].help.find("a.yml:1"), std::string::npos);
}

TEST(RuleBuilder, OnlyIsolateCanBeDoneByARule) {
  const auto action = [](const std::string& params, const std::string& kind = ".endpoint") {
    return codes_of(rule_text("response_actions:\n  - action_type_id: " + kind + "\n    params: " + params + "\n"));
  };
  EXPECT_EQ(action("{command: isolate}"), Strings{});
  for (const char* command : {"unisolate", "release", "kill-process", "suspend-process", "runscript"}) {
    EXPECT_EQ(action("{command: " + std::string(command) + "}"), Strings{"unsupported-action"}) << command;
  }
  EXPECT_EQ(action("{query: select 1}", ".osquery"), Strings{"unsupported-action"});
  // A target taken from the event's text, or named at all, is no key.
  EXPECT_EQ(action("{command: isolate, endpoint: '{{host.name}}'}"), Strings{"unknown-key"});
  EXPECT_EQ(action("{command: isolate, comment: '" + std::string(30'001, 'x') + "'}"), Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text(kIsolate + "  - action_type_id: .endpoint\n    params: {command: isolate}\n")),
            Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text("response_actions: [isolate]\n")), Strings{"wrong-type"});
}

TEST(RuleBuilder, ARuleThatMatchesEverythingMustNotIsolate) {
  for (const char* query : {"''", "'*'", "'*:*'", "'a:b or *:*'"}) {
    const std::string line = "query: " + std::string(query) + "\n";
    EXPECT_EQ(codes_of(rule_text(kIsolate, line)), Strings{"matches-everything"}) << query;
    EXPECT_FALSE(load_rule_text(rule_text(kIsolate, line), "r.yml").ok()) << query;
    EXPECT_TRUE(load_rule_text(rule_text("", line), "r.yml").ok()) << query;  // a warning
    EXPECT_TRUE(load_rule_text(rule_text(kIsolate + "response: {mode: dry_run}\n", line), "r.yml").ok()) << query;
  }
}

TEST(RuleBuilder, WhatIsNotBuiltIsNamed) {
  EXPECT_EQ(codes_of(rule_text("language: lucene\n")), Strings{"unsupported-language"});
  EXPECT_EQ(codes_of(rule_text("type: eql\nlanguage: eql\n", "query: process where true\n")),
            Strings{"unsupported-language"});
  EXPECT_EQ(codes_of(rule_text("type: esql\nlanguage: esql\n", "query: FROM x\n")), Strings{"unsupported-language"});
  EXPECT_EQ(codes_of(rule_text("type: threshold\nthreshold: {field: [a], value: 3}\n")), Strings{"unsupported-type"});
  EXPECT_EQ(codes_of(rule_text("type: new_terms\nnew_terms_fields: [a]\nhistory_window_start: now-1d\n")),
            Strings{"unsupported-type"});
  EXPECT_EQ(codes_of(rule_text("type: machine_learning\nanomaly_threshold: 5\nmachine_learning_job_id: j\n")),
            Strings{"unsupported-type"});
  EXPECT_EQ(codes_of(rule_text("type: saved_query\nsaved_id: s\n")), Strings{"unsupported-type"});
  // Their kuery is still checked, in every key that holds one.
  EXPECT_EQ(codes_of(rule_text("type: threshold\nthreshold: {}\n", "query: 'a:'\n")),
            (Strings{"unsupported-type", "syntax"}));
  EXPECT_EQ(codes_of(rule_text("type: threat_match\nthreat_query: 'a:'\nthreat_mapping: []\nthreat_index: [x]\n")),
            (Strings{"unsupported-type", "syntax"}));
  EXPECT_EQ(codes_of(rule_text("threshold: {field: [a], value: 3}\n")), Strings{"key-not-for-type"});
  EXPECT_EQ(codes_of(rule_text("type: eql\nlanguage: kuery\n")), Strings{"bad-value"});
}

TEST(RuleBuilder, SigmaIsRecognisedAndNamed) {
  const LoadedRules loaded = load_rule_text(
      "title: Something\nid: 1234\nlogsource: {product: windows}\ndetection:\n  sel: {a: b}\n  condition: sel\n",
      "s.yml");
  ASSERT_EQ(codes(loaded, true), Strings{"unsupported-language@4:1"});
  EXPECT_EQ(loaded.rules[0].name, "Something");
  EXPECT_EQ(loaded.rules[0].type, "sigma");
  EXPECT_FALSE(loaded.rules[0].ok);
}

TEST(RuleBuilder, ASigmaCorrelationIsSigmaToo) {
  const LoadedRules loaded = load_rule_text(
      "title: Many\nname: many\ncorrelation: {type: event_count, rules: [x], group-by: [a], timespan: 5m}\n", "s.yml");
  EXPECT_EQ(codes(loaded, true), Strings{"unsupported-language@3:1"});
}

TEST(RuleBuilder, AQueryThatIsNoTextIsOneError) {
  EXPECT_EQ(codes_of(rule_text("", "query: 5\n")).size(), 1u);
  EXPECT_EQ(codes_of(rule_text("", "query: null\n")).size(), 1u);
}

TEST(RuleBuilder, KeptButNotAppliedIsAWarning) {
  for (const char* key : {"alert_suppression: {group_by: [host.id], duration: {value: 5, unit: m}}",
                          "severity_mapping: [{field: a, operator: equals, value: x, severity: low}]",
                          "risk_score_mapping: [{field: a, operator: equals, value: ''}]", "rule_name_override: a",
                          "actions: [{action_type_id: .email, id: x, params: {}}]", "max_signals: 20"}) {
    const LoadedRules loaded = load_rule_text(rule_text(std::string(key) + "\n"), "r.yml");
    EXPECT_EQ(codes(loaded), Strings{"not-applied"}) << key;
    EXPECT_TRUE(loaded.ok()) << key;
  }
  for (const char* key :
       {"severity_mapping: []", "max_signals: 100", "actions: []", "building_block_type: default", "interval: 5m",
        "from: now-6m", "index: [logs-*]", "meta: {a: {b: c}}", "investigation_fields: {field_names: [a]}"}) {
    EXPECT_EQ(codes_of(rule_text(std::string(key) + "\n")), Strings{}) << key;
  }
  EXPECT_EQ(codes_of(rule_text("alert_suppression: {group_by: [a], duration: {value: 0, unit: d}}\n")).size(), 3u);
}

TEST(RuleBuilder, ThreatsHaveTheirShape) {
  EXPECT_EQ(codes_of(rule_text("threat:\n  - framework: MITRE ATT&CK\n    tactic: {id: TA0006, name: x, reference: y}\n"
                               "    technique:\n      - {id: T1, name: n, subtechnique: [{id: T1.1, name: m}]}\n")),
            Strings{});
  EXPECT_EQ(codes_of(rule_text("threat: [{framework: x}]\n")), Strings{"missing-key"});
  EXPECT_EQ(codes_of(rule_text("threat: [{framework: x, tactic: {id: a, name: b, url: c}}]\n")),
            Strings{"unknown-key"});
  EXPECT_EQ(codes_of(rule_text("threat: x\n")), Strings{"wrong-type"});
}

TEST(RuleBuilder, TestsHaveTheirShape) {
  EXPECT_EQ(codes_of(rule_text("tests: [{name: t, events: [], expect: {alerts: 0}}]\n")), Strings{});
  EXPECT_EQ(codes_of(rule_text("tests: [{name: t, events: []}]\n")), Strings{"missing-key"});
  EXPECT_EQ(codes_of(rule_text("tests: [{name: t, events: [], expect: {}}]\n")), Strings{"missing-key"});
  EXPECT_EQ(codes_of(rule_text("tests: [{name: t, events: [], expect: {alert: 1}}]\n")).size(), 2u);
  EXPECT_EQ(codes_of(rule_text("tests: [{name: t, events: [1], expect: {alerts: 0}}]\n")), Strings{"wrong-type"});
  EXPECT_EQ(codes_of(rule_text("tests: [{name: t, events: ['{\"a\":'], expect: {alerts: 0}}]\n")),
            Strings{"json-syntax"});
}

TEST(RuleBuilder, ParametersAreTheRuleWithKibanasDefaults) {
  const LoadedRules loaded =
      load_rule_text(rule_text("tags: [x]\ntests: [{name: t, events: [], expect: {alerts: 0}}]\n"), "r.yml");
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded.rules[0].input.meta->parameters,
            R"({"author":[],"description":"For tests","enabled":true,"exceptions_list":[],"false_positives":[],)"
            R"("from":"now-6m","immutable":false,"interval":"5m","language":"kuery","max_signals":100,"name":"A rule",)"
            R"("query":"a:b","references":[],"related_integrations":[],"required_fields":[],"risk_score":10,)"
            R"("risk_score_mapping":[],"rule_id":"r-1","setup":"","severity":"low","severity_mapping":[],"tags":["x"],)"
            R"("threat":[],"to":"now","type":"query","version":1})");
}

TEST(RuleBuilder, TheHashIsOfTheMeaningNotOfTheWriting) {
  const auto hash = [](const std::string& text, const std::string& file = "r.yml") {
    const LoadedRules loaded = load_rule_text(text, file);
    EXPECT_TRUE(loaded.ok()) << all_problems(loaded);
    return loaded.ok() ? loaded.rules[0].input.meta->hash : std::string();
  };
  const std::string yaml = hash(rule_text());
  EXPECT_EQ(yaml.size(), 64u);
  EXPECT_EQ(yaml, hash("# a comment\n" + rule_text("", "query: |-\n  a:b\n")));
  EXPECT_EQ(yaml, hash(R"({"query":"a:b","risk_score":10,"severity":"low","type":"query","description":"For tests",)"
                       R"("name":"A rule","rule_id":"r-1","enabled":true})",
                       "r.ndjson"));
  EXPECT_EQ(yaml, hash(rule_text("tests: [{name: t, events: [], expect: {alerts: 0}}]\n")));
  EXPECT_NE(yaml, hash(rule_text("severity: high\n")));
  EXPECT_NE(yaml, hash(rule_text("response: {mode: dry_run}\n")));
}

TEST(RuleTests, SayWhatCameOut) {
  const auto run = [](const std::string& more) {
    const LoadedRules loaded = load_rule_text(rule_text(kIsolate + more), "r.yml");
    EXPECT_TRUE(loaded.ok()) << all_problems(loaded);
    return run_rule_test(loaded.rules.at(0), loaded.rules.at(0).tests.at(0));
  };
  const std::string events =
      "tests:\n  - name: t\n    events:\n"
      "      - {a: b, agent.id: g1, host: {id: h1, name: n1}}\n      - {a: b, host.id: h2}\n"
      "      - {a: b}\n      - {a: b, agent.id: [g3, g4]}\n      - {a: c, agent.id: g5}\n";
  RuleTestResult result = run(events + "    expect: {alerts: 4, isolate: [n1, h2]}\n");
  EXPECT_TRUE(result.passed) << result.message;
  EXPECT_EQ(result.alerts, 4);
  EXPECT_EQ(result.isolated, (Strings{"g1", "h2"}));
  EXPECT_TRUE(run(events + "    expect: {alerts: 4}\n").passed);
  EXPECT_TRUE(run(events + "    expect: {alerts: 4, isolate: [g1, h2]}\n").passed);

  EXPECT_EQ(run(events + "    expect: {alerts: 3}\n").message, "expected 3 alerts, got 4");
  EXPECT_EQ(run(events + "    expect: {alerts: 4, isolate: [n1]}\n").message,
            "expected only n1 to be isolated; isolated: g1, h2");
  EXPECT_EQ(run(events + "    expect: {alerts: 4, isolate: [n1, h2, g5]}\n").message,
            "expected g5 to be isolated; isolated: g1, h2");
  EXPECT_FALSE(run(events + "    expect: {alerts: 4, isolate: []}\n").passed);
  // Written as text an event may repeat a key, but not an identity with two values.
  EXPECT_TRUE(run("tests:\n  - {name: t, events: ['{\"a\":\"b\",\"a\":\"c\"}'], expect: {alerts: 1}}\n").passed);
  EXPECT_EQ(codes_of(rule_text(
                "tests: [{name: t, events: ['{\"host.id\":\"x\",\"host.id\":\"y\"}'], expect: {alerts: 0}}]\n")),
            Strings{"json-syntax"});
}

TEST(RuleTests, NowIsTheEventsOwnTime) {
  const LoadedRules loaded =
      load_rule_text(rule_text("tests:\n  - name: t\n    events:\n"
                               "      - {'@timestamp': '2020-01-01T12:00:00Z', file.created: '2020-01-01T11:30:00Z'}\n"
                               "      - {'@timestamp': '2020-01-01T12:00:00Z', file.created: '2020-01-01T09:00:00Z'}\n"
                               "    expect: {alerts: 1}\n",
                               "query: 'file.created >= now-1h'\n"),
                     "r.yml");
  ASSERT_TRUE(loaded.ok()) << all_problems(loaded);
  const RuleTestResult result = run_rule_test(loaded.rules[0], loaded.rules[0].tests[0]);
  EXPECT_TRUE(result.passed) << result.message;
}

}  // namespace
}  // namespace fb
