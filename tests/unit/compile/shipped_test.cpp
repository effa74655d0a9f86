// The rules and samples that ship with Firebreak: the rules are right, their tests pass, and the samples set them off.
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <set>

#include "engine/compile/rule_tests.h"
#include "engine/match/matcher.h"
#include "tests/unit/compile/support.h"

namespace fb {
namespace {

using namespace test;
namespace fs = std::filesystem;

const LoadedRules& shipped() {
  static const LoadedRules loaded = [] {
    Result<LoadedRules> rules = load_rules({source_dir() + "/rules"});
    EXPECT_TRUE(rules) << rules.error().describe();
    return rules ? std::move(*rules) : LoadedRules{};
  }();
  return loaded;
}

TEST(Shipped, EveryRuleIsRightAndWithoutWarnings) {
  EXPECT_GE(shipped().rules.size(), 14u);
  EXPECT_EQ(all_problems(shipped()), "");
  size_t isolating = 0;
  for (const LoadedRule& rule : shipped().rules) {
    ASSERT_TRUE(rule.ok) << rule.file;
    const RuleMeta& meta = *rule.input.meta;
    isolating += meta.actions.empty() ? 0 : 1;
    EXPECT_EQ(meta.rule_id.rfind("firebreak-", 0), 0u) << rule.file;
    EXPECT_NE(meta.parameters.find("\"framework\":\"MITRE ATT&CK\""), std::string::npos) << rule.file;
    EXPECT_EQ(meta.parameters.find("\"false_positives\":[]"), std::string::npos) << rule.file;
    EXPECT_EQ(std::count(meta.tags.begin(), meta.tags.end(), "isolates") > 0, !meta.actions.empty()) << rule.file;
    if (!meta.actions.empty()) {
      EXPECT_GE(meta.risk_score, 80) << rule.file;
    }
  }
  EXPECT_GE(isolating, 4u);
}

TEST(Shipped, EveryRuleHasTestsThatPass) {
  for (const LoadedRule& rule : shipped().rules) {
    bool positive = false;
    bool negative = false;
    for (const RuleTest& test : rule.tests) {
      positive = positive || test.alerts > 0;
      negative = negative || test.alerts == 0;
      const RuleTestResult result = run_rule_test(rule, test);
      EXPECT_TRUE(result.passed) << rule.file << ": " << test.name << ": " << result.message;
    }
    EXPECT_TRUE(positive && negative) << rule.file << " needs an event that alerts and one that does not";
  }
}

struct Found {
  std::map<std::string, size_t> by_rule;
  std::set<std::string> isolated;
  std::set<std::string> isolating_rules;
  size_t events = 0;
};

Found run_over(const std::vector<std::string>& lines) {
  const RuleSetPtr rules = RuleSet::build(shipped().runnable());
  Decoder decoder(rules->fields(), EventLimits{});
  Matcher matcher(rules, decoder);
  Found found;
  for (const std::string& line : lines) {
    ++found.events;
    const std::string padded = line + std::string(Decoder::kPadding, ' ');
    const Event* event = decoder.decode(std::string_view(padded).substr(0, line.size()));
    if (event == nullptr) {
      ADD_FAILURE() << decoder.refusal().detail;
      continue;
    }
    std::vector<RuleIx> hits;
    std::vector<RuleIx> slow;
    const FieldValues* agent = event->find(FieldTable::kAgentId);
    const std::string agent_id = agent == nullptr ? "" : std::string(event->value(agent->first).text);
    matcher.match(*event, 0, hits);
    matcher.match_without_index(*event, 0, slow);
    EXPECT_EQ(hits, slow);
    for (const RuleIx hit : hits) {
      const RuleMeta& meta = *rules->rule(hit).meta;
      ++found.by_rule[meta.rule_id];
      if (!meta.actions.empty()) {
        found.isolated.insert(agent_id);
        found.isolating_rules.insert(meta.rule_id);
      }
    }
  }
  return found;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

TEST(Samples, SetOffTheShippedRules) {
  std::vector<std::string> lines;
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(source_dir() + "/samples")) {
    if (entry.path().extension() != ".ndjson") continue;
    ++files;
    const std::vector<std::string> own = lines_of(read_file(entry.path().string()));
    EXPECT_LE(own.size(), 400u) << entry.path();
    EXPECT_LE(fs::file_size(entry.path()), 700'000u) << entry.path();
    EXPECT_FALSE(run_over(own).by_rule.empty()) << entry.path();
    lines.insert(lines.end(), own.begin(), own.end());
  }
  EXPECT_EQ(files, 3u);
  const Found found = run_over(lines);
  EXPECT_GE(found.by_rule.size(), 5u);
  EXPECT_GE(found.isolating_rules.size(), 2u);
  EXPECT_GE(found.isolated.size(), 2u);
  // A domain controller is never cut off by them.
  for (const std::string& line : lines) {
    if (line.find("\"name\":\"MORDORDC") == std::string::npos) continue;
    const Found on_controller = run_over({line});
    EXPECT_TRUE(on_controller.isolated.empty()) << line.substr(0, 300);
  }
}

TEST(Guide, TheExampleRuleIsRightAndItsTestPasses) {
  const std::string guide = read_file(source_dir() + "/docs/guides/rules.md");
  const size_t begin = guide.find("```yaml\n");
  ASSERT_NE(begin, std::string::npos);
  const size_t start = begin + 8;
  std::string rule = guide.substr(start, guide.find("```", start) - start);
  // With the guide's exceptions at its end it is still a right rule.
  const size_t next = guide.find("```yaml\n", start) + 8;
  rule += guide.substr(next, guide.find("```", next) - next);
  const LoadedRules loaded = load_rule_text(rule, "guide.yml");
  ASSERT_EQ(all_problems(loaded), "");
  ASSERT_EQ(loaded.rules.size(), 1u);
  ASSERT_EQ(loaded.rules[0].tests.size(), 1u);
  const RuleTestResult result = run_rule_test(loaded.rules[0], loaded.rules[0].tests[0]);
  EXPECT_TRUE(result.passed) << result.message;
}

// The mapper that made the samples, on events of our own.
std::string map_to_ecs(const std::string& options, const std::string& input) {
  TempFolder folder;
  const std::string file = folder.write("in.ndjson", input);
  const std::string command =
      "python3 '" + source_dir() + "/scripts/dev/map_to_ecs' " + options + " '" + file + "' 2>/dev/null";
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  std::string out;
  std::array<char, 4096> buffer{};
  while (pipe != nullptr) {
    const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe.get());
    if (n == 0) break;
    out.append(buffer.data(), n);
  }
  return out;
}

const std::string kStart =
    R"({"EventID":1,"SourceName":"Microsoft-Windows-Sysmon","Channel":"Microsoft-Windows-Sysmon/Operational",)"
    R"("Hostname":"WS1.lab","@timestamp":"2020-10-19T12:28:44.333Z","ProcessGuid":"{aa-1}","ProcessId":"42",)"
    R"("Image":"C:\\Windows\\System32\\esentutl.exe","CommandLine":"esentutl.exe /y C:\\windows\\system32\\config\\SAM /d x",)"
    R"("ParentImage":"C:\\Windows\\System32\\cmd.exe","User":"LAB\\kim","Hashes":"MD5=AB,SHA256=CD","host":"collector"})";

TEST(MapToEcs, MapsAProcessStart) {
  const std::string out = map_to_ecs("", kStart + "\nnot json\n");
  const Result<JsonNode> tree = parse_json_tree(out);
  ASSERT_TRUE(tree) << out;
  const auto value = [&](std::string_view path) -> std::string {
    const JsonNode* node = &*tree;
    while (!path.empty()) {
      const std::string_view key = path.substr(0, path.find('.'));
      path.remove_prefix(std::min(path.size(), key.size() + 1));
      const auto member =
          std::find_if(node->members.begin(), node->members.end(), [&](const auto& m) { return m.first == key; });
      if (member == node->members.end()) return "(absent)";
      node = &member->second;
    }
    return node->items.empty() ? node->text : node->items.front().text;
  };
  EXPECT_EQ(value("@timestamp"), "2020-10-19T12:28:44.333Z");
  EXPECT_EQ(value("event.code"), "1");
  EXPECT_EQ(value("event.category"), "process");
  EXPECT_EQ(value("event.type"), "start");
  EXPECT_EQ(value("host.name"), "WS1.lab");
  EXPECT_EQ(value("host.os.type"), "windows");
  EXPECT_EQ(value("agent.id").size(), 36u);
  EXPECT_EQ(value("host.id").size(), 36u);
  EXPECT_NE(value("host.id"), value("agent.id"));
  EXPECT_EQ(value("process.name"), "esentutl.exe");
  EXPECT_EQ(value("process.pid"), "42");
  EXPECT_EQ(value("process.entity_id"), "aa-1");
  EXPECT_EQ(value("process.parent.name"), "cmd.exe");
  EXPECT_EQ(value("process.hash.sha256"), "cd");
  EXPECT_EQ(value("user.name"), "kim");
  EXPECT_EQ(value("user.domain"), "LAB");
  EXPECT_EQ(value("winlog.channel"), "Microsoft-Windows-Sysmon/Operational");
  EXPECT_EQ(value("winlog.event_data.Image"), "C:\\Windows\\System32\\esentutl.exe");
  EXPECT_EQ(value("winlog.event_data.host"), "(absent)");
  EXPECT_EQ(run_over(lines_of(out)).by_rule,
            (std::map<std::string, size_t>{{"firebreak-windows-registry-hive-copied", 1}}));
}

TEST(MapToEcs, RepeatsUnderFreshIdsAndIsDeterministic) {
  const std::string out = map_to_ecs("--repeat 6 --hosts 3 --step 60 --rebase 2026-01-01T00:00:00Z", kStart + "\n");
  EXPECT_EQ(out, map_to_ecs("--repeat 6 --hosts 3 --step 60 --rebase 2026-01-01T00:00:00Z", kStart + "\n"));
  const std::vector<std::string> lines = lines_of(out);
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()).size(), 6u);
  EXPECT_NE(lines[0].find("2026-01-01T00:00:00.000Z"), std::string::npos);
  EXPECT_NE(lines[5].find("2026-01-01T00:05:00.000Z"), std::string::npos);
  EXPECT_EQ(run_over(lines).isolated.size(), 3u);
  EXPECT_NE(map_to_ecs("--seed other", kStart + "\n"), map_to_ecs("", kStart + "\n"));
}

}  // namespace
}  // namespace fb
