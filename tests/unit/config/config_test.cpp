#include "engine/config/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "engine/config/keys.h"

namespace fb {
namespace {

const std::string kGood = R"(data_dir: /tmp/x
kafka:
  properties: {bootstrap.servers: "localhost:9092", session.timeout.ms: 30000, enable.ssl.certificate.verification: true}
  topics: [events]
  start: earliest
rules: [rules]
response:
  mode: dry_run
)";

std::string file_text(const std::string& name) {
  const char* root = std::getenv("FB_SOURCE_DIR");
  EXPECT_NE(root, nullptr) << "run by ctest, or set FB_SOURCE_DIR";
  std::ifstream in(std::string(root == nullptr ? "." : root) + "/" + name);
  EXPECT_TRUE(in.is_open()) << name;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The first problem of a config text, "code line:column message help".
std::string problem(const std::string& text) {
  const Config::Loaded loaded = Config::parse(text, "c.yml");
  if (loaded.problems.empty()) return "";
  const Diagnostic& d = loaded.problems[0];
  return d.code + " " + std::to_string(d.line) + ":" + std::to_string(d.column) + " " + d.message + " | " + d.help;
}

TEST(Config, ReadsWhatIsWrittenAndFillsInDefaults) {
  const Config::Loaded loaded = Config::parse(kGood, "c.yml");
  ASSERT_TRUE(loaded.ok()) << render(loaded.problems[0]);
  const Config& c = loaded.config;
  EXPECT_EQ(c.text("data_dir"), "/tmp/x");
  EXPECT_EQ(c.text("kafka.group"), "firebreak");
  EXPECT_EQ(c.map("kafka.properties").at("session.timeout.ms"), "30000");
  EXPECT_EQ(c.map("kafka.properties").at("enable.ssl.certificate.verification"), "true");
  EXPECT_EQ(c.list("kafka.topics"), std::vector<std::string>{"events"});
  EXPECT_EQ(c.duration_ms("response.lease"), std::nullopt);
  EXPECT_EQ(c.duration_ms("agents.heartbeat"), 10'000);
  EXPECT_EQ(c.limits().event.max_event_bytes, EventLimits{}.max_event_bytes);
}

TEST(Config, RulesMayAllComeThroughTheApi) {
  for (const char* rules : {"", "rules: []\n", "rules:\n"}) {
    std::string text = kGood;
    text.replace(text.find("rules: [rules]\n"), 15, rules);
    const Config::Loaded loaded = Config::parse(text, "c.yml");
    ASSERT_TRUE(loaded.ok()) << render(loaded.problems[0]);
    EXPECT_TRUE(loaded.config.list("rules").empty());
  }
}

TEST(Config, DefaultsOfLimitsAreThoseOfTheCode) {
  const Limits from_config = Config::parse(kGood, "c.yml").config.limits();
  const Limits code;
  EXPECT_EQ(from_config.event.max_event_depth, code.event.max_event_depth);
  EXPECT_EQ(from_config.event.max_event_keys, code.event.max_event_keys);
  EXPECT_EQ(from_config.event.max_array_length, code.event.max_array_length);
  EXPECT_EQ(from_config.event.max_key_bytes, code.event.max_key_bytes);
  EXPECT_EQ(from_config.event.dead_letter_raw_bytes, code.event.dead_letter_raw_bytes);
  EXPECT_EQ(from_config.rule.max_rule_file_bytes, code.rule.max_rule_file_bytes);
  EXPECT_EQ(from_config.rule.max_rule_import_bytes, code.rule.max_rule_import_bytes);
  EXPECT_EQ(from_config.rule.max_rule_name_bytes, code.rule.max_rule_name_bytes);
  EXPECT_EQ(from_config.rule.max_yaml_depth, code.rule.max_yaml_depth);
  EXPECT_EQ(from_config.rule.max_pattern_bytes, code.rule.max_pattern_bytes);
  EXPECT_EQ(from_config.rule.max_query_bytes, code.rule.max_query_bytes);
  EXPECT_EQ(from_config.rule.max_query_depth, code.rule.max_query_depth);
  EXPECT_EQ(from_config.rule.max_query_nodes, code.rule.max_query_nodes);
  EXPECT_EQ(from_config.rule.max_rules, code.rule.max_rules);
}

TEST(Config, TheModeHasNoSilentDefaultAndNoTypoIsTaken) {
  std::string text = kGood;
  text.replace(text.find("  mode: dry_run"), 15, "  lease: 4h");
  EXPECT_NE(problem(text).find("missing-key"), std::string::npos) << problem(text);
  EXPECT_NE(problem(text).find("'response.mode'"), std::string::npos);
  text = kGood;
  text.replace(text.find("dry_run"), 7, "enforced");
  EXPECT_EQ(
      problem(text),
      "bad-value 8:9 'response.mode' can't be 'enforced' | did you mean 'enforce'? One of: dry_run|approve|enforce");
}

TEST(Config, UnknownKeysAreRefusedWithASuggestion) {
  std::string text = kGood;
  text.replace(text.find("  topics"), 8, "  topcis");
  const Config::Loaded loaded = Config::parse(text, "c.yml");
  ASSERT_EQ(loaded.problems.size(), 2u);  // and the right key is missing
  EXPECT_EQ(loaded.problems[0].message, "there is no key 'kafka.topcis'");
  EXPECT_EQ(loaded.problems[0].help, "did you mean 'topics'?");
  EXPECT_EQ(loaded.problems[0].line, 4u);
  EXPECT_EQ(loaded.problems[0].column, 3u);
}

TEST(Config, WrongTypesNameThePlace) {
  const auto with = [](const std::string& line) { return problem(kGood + line); };
  EXPECT_EQ(with("http: 5\n"), "wrong-type 9:7 'http' holds keys of its own, not a number | ");
  EXPECT_EQ(with("limits: {batch_records: lots}\n").substr(0, 14), "bad-value 9:25");
  EXPECT_EQ(with("limits: {batch_records: 0}\n").substr(0, 9), "bad-value");
  EXPECT_EQ(with("agents: {heartbeat: 10}\n").substr(0, 9), "bad-value");
  EXPECT_EQ(with("exceptions: a.ndjson\n").substr(0, 10), "wrong-type");
  EXPECT_EQ(with("http: {listen: [a]}\n").substr(0, 10), "wrong-type");
  EXPECT_EQ(problem("").substr(0, 12), "not-a-config");
  EXPECT_EQ(problem("- a\n").substr(0, 12), "not-a-config");
  EXPECT_FALSE(problem("a: &x 1\n").empty());
}

TEST(Config, AFileThatCannotBeReadIsNamed) {
  const Config::Loaded loaded = Config::load("/nonexistent/firebreak.yml");
  ASSERT_EQ(loaded.problems.size(), 1u);
  EXPECT_EQ(loaded.problems[0].code, "file-unreadable");
  EXPECT_EQ(loaded.problems[0].file, "/nonexistent/firebreak.yml");
}

TEST(Config, TheExampleIsGoodAndTheSchemaIsTheOneInTheTree) {
  const Config::Loaded example =
      Config::parse(file_text("config/firebreak.example.yml"), "config/firebreak.example.yml");
  EXPECT_TRUE(example.ok()) << render(example.problems[0]);
  EXPECT_EQ(config_schema(), file_text("config/firebreak.schema.json"))
      << "run: firebreak config schema > config/firebreak.schema.json";
}

TEST(Config, EveryKeyIsDocumented) {
  const std::string docs = file_text("docs/config.md");
  for (const Key& key : config_keys()) {
    EXPECT_NE(docs.find("`" + std::string(key.path) + "`"), std::string::npos) << key.path;
  }
}

}  // namespace
}  // namespace fb
