// The three readers, and what hostile files do to them.
#include "engine/compile/file_readers.h"
#include "tests/support/cpu_time.h"
#include "tests/unit/compile/support.h"

namespace fb {
namespace {

using namespace test;

std::string yaml_json(const std::string& text) {
  const compile::SourceText source("x.yml", text);
  const compile::ReadFile read = compile::read_yaml(source, 64);
  return read.values.empty() ? "?" : compile::to_json(read.values.front());
}

TEST(Yaml, KeepsOnlyJsonNumbersAndPlainBooleans) {
  EXPECT_EQ(yaml_json("a: 1\nb: 04624\nc: 0x1F\nd: 1e3\ne: -0.5\nf: '7'\ng: .inf\nh: 1_000\ni: 5.\n"),
            R"({"a":1,"b":"04624","c":"0x1F","d":1e3,"e":-0.5,"f":"7","g":".inf","h":"1_000","i":"5."})");
  EXPECT_EQ(yaml_json("a: true\nb: False\nc: yes\nd: 'true'\ne: on\nf: ~\ng:\nh: null\n"),
            R"({"a":true,"b":false,"c":"yes","d":"true","e":"on","f":null,"g":null,"h":null})");
}

TEST(Yaml, ReadsFlowAndNestedCollections) {
  EXPECT_EQ(yaml_json("- {a: [1, {b: c}], d: ''}\n- - x\n  - y\n"), R"([{"a":[1,{"b":"c"}],"d":""},["x","y"]])");
}

TEST(Yaml, RefusesWhatMakesGraphs) {
  EXPECT_EQ(places_of("a: &x 1\n"), Strings{"yaml-anchor@1:4"});
  EXPECT_EQ(places_of("a: 1\nb: *x\n"), Strings{"yaml-anchor@2:4"});
  EXPECT_EQ(places_of("a: &a [*a]\n"), Strings{"yaml-anchor@1:4"});
  EXPECT_EQ(places_of("&m\na: 1\n"), Strings{"yaml-anchor@1:1"});
  EXPECT_EQ(places_of("a: !!python/object:os.system x\n"), Strings{"yaml-tag@1:4"});
  EXPECT_EQ(places_of("a: !!str x\n"), Strings{"yaml-tag@1:4"});
  EXPECT_EQ(places_of("a: !x {b: 1}\n"), Strings{"yaml-tag@1:4"});
  EXPECT_EQ(places_of("<<: {a: 1}\nname: x\n").front(), "unknown-key@1:1");
}

TEST(Yaml, RefusesRepeatedKeysAndOddKeys) {
  EXPECT_EQ(places_of("a: 1\nb: 2\na: 3\n"), Strings{"duplicate-key@3:1"});
  EXPECT_EQ(places_of("x: {a: 1, 'a': 2}\n"), Strings{"duplicate-key@1:11"});
  EXPECT_EQ(places_of("? [a]\n: 1\n"), Strings{"bad-key@1:3"});
  EXPECT_EQ(places_of("~: 1\n"), Strings{"bad-key@1:1"});
}

TEST(Yaml, RefusesASecondDocument) {
  EXPECT_EQ(codes_of(rule_text() + "---\n" + rule_text()), Strings{"yaml-documents"});
  EXPECT_TRUE(load_rule_text("---\n" + rule_text() + "...\n", "r.yml").ok());
}

TEST(Yaml, NamesTabsInTheIndent) {
  EXPECT_EQ(codes_of("name: x\nresponse:\n\tmode: dry_run\n"), Strings{"yaml-tab"});
  EXPECT_EQ(codes_of("tags:\n  - a\n\t- b\n"), Strings{"yaml-tab"});
  // Within a quoted or block text a tab is just a character.
  EXPECT_TRUE(load_rule_text(rule_text("description: |\n  a\n  \tb\n"), "r.yml").ok());
}

TEST(Yaml, CrLfIsALineBreak) {
  std::string text = rule_text("tags: [a]\n");
  for (size_t i = 0; (i = text.find('\n', i)) != std::string::npos; i += 2) text.replace(i, 1, "\r\n");
  const LoadedRules loaded = load_rule_text(text, "r.yml");
  ASSERT_TRUE(loaded.ok()) << all_problems(loaded);
  EXPECT_EQ(loaded.rules[0].name, "A rule");
}

TEST(Yaml, SyntaxErrorsSayMoreThanBadFile) {
  for (const char* text : {"a: b: c\n", "a: 'b\n", "a: [1, 2\n", "a: {b: 1\n", "a: \"\\q\"\n", "- a\nb: c\n", "a: ]\n",
                           "a: @x\n", "%YAML 9.9\n---\na: 1\n", "a: \"\\ud8\"\n", "\"a\" b\n", "a: |99\n x\n"}) {
    const LoadedRules loaded = load_rule_text(text, "r.yml");
    ASSERT_FALSE(loaded.ok()) << text;
    for (const Diagnostic& d : diagnostics(loaded)) {
      EXPECT_EQ(d.message.find("bad file"), std::string::npos) << text;
      EXPECT_GE(d.line, 1u);
    }
  }
}

TEST(Json, IsStrict) {
  const auto first = [](const std::string& text) {
    const Strings found = places_of(text, "r.ndjson");
    return found.empty() ? std::string() : found.front();
  };
  EXPECT_EQ(first(R"({"a":tru})"), "json-syntax@1:6");
  EXPECT_EQ(first(R"({"a":01})"), "json-syntax@1:6");
  EXPECT_EQ(first(R"({"a":"\q"})"), "json-syntax@1:7");
  EXPECT_EQ(first(R"({"a":"\ud800"})"), "json-syntax@1:7");
  EXPECT_EQ(first(R"({"a":1,})"), "json-syntax@1:8");
  EXPECT_EQ(first(R"({"a" 1})"), "json-syntax@1:6");
  EXPECT_EQ(first(R"({"a":1} {"b":2})"), "json-syntax@1:9");
  EXPECT_EQ(first("{\"a\":\"x\ny\"}"), "json-syntax@1:6");
  EXPECT_EQ(first("{\"a\":\"x"), "json-syntax@1:6");
  EXPECT_EQ(first(R"({"a":1,"a":2})"), "duplicate-key@1:8");
  EXPECT_EQ(first("{"), "json-syntax@1:2");
}

TEST(Json, ABrokenLineDoesNotHideTheOthers) {
  const std::string rule =
      R"({"rule_id":"ID","name":"n","description":"d","type":"query","severity":"low","risk_score":1,"query":"a:b"})";
  std::string one = rule;
  std::string two = rule;
  one.replace(one.find("ID"), 2, "r1");
  two.replace(two.find("ID"), 2, "r2");
  const LoadedRules loaded = load_rule_text(one + "\n{\"broken\":\n" + two + "\n\n{}x\n", "r.ndjson");
  ASSERT_EQ(loaded.rules.size(), 2u) << all_problems(loaded);
  EXPECT_EQ(loaded.rules[1].rule_id, "r2");
  EXPECT_TRUE(loaded.rules[1].ok);
  EXPECT_FALSE(loaded.ok());
}

TEST(Json, AnUnclosedLineIsNamedOnItsOwnLine) {
  const std::string good =
      R"({"rule_id":"a","name":"n","description":"d","type":"query","severity":"low","risk_score":1,"query":"x:1"})";
  const auto check = [&](const std::string& broken, const std::string& place) {
    for (const std::string& end : {"\n" + good + "\n", "\n\n" + good, std::string("\n"), "\r\n" + good}) {
      const LoadedRules loaded = load_rule_text("\n" + broken + end, "r.ndjson");
      EXPECT_EQ(codes(loaded, true), Strings{place}) << broken << end;
      EXPECT_EQ(loaded.rules.size(), end.size() > good.size() ? 1u : 0u) << broken << end;
    }
  };
  check(R"({"rule_id":)", "json-syntax@2:12");
  check(R"({"rule_id":"b")", "json-syntax@2:15");
  check(R"({"rule_id":["b",)", "json-syntax@2:17");
  // An object over several lines keeps the place where it really breaks.
  EXPECT_EQ(places_of("{\n \"a\": 1,\n \"b\" 2\n}\n", "r.json"), Strings{"json-syntax@3:6"});
  EXPECT_EQ(places_of("[\n{\"a\": 1},\n{\"b\" 2}\n]\n", "r.json").front(), "json-syntax@3:6");
}

TEST(Json, PrettyPrintedAndInAnArray) {
  const std::string rule =
      "{\n \"rule_id\": \"r1\",\n \"name\": \"n\",\n \"description\": \"d\", \"type\": \"query\",\n"
      " \"severity\": \"low\", \"risk_score\": 1, \"query\": \"a:b\"\n}\n";
  EXPECT_TRUE(load_rule_text(rule, "r.json").ok());
  EXPECT_TRUE(load_rule_text("[" + rule + "]", "r.json").ok());
  // By content, whatever the name.
  EXPECT_TRUE(load_rule_text(rule, "r.yml").ok());
  EXPECT_TRUE(load_rule_text(rule, "request").ok());
}

TEST(Toml, IsToldApartByContentAndReportsItsPlace) {
  const std::string good =
      "[rule]\nrule_id = \"r\"\nname = \"n\"\ndescription = \"d\"\ntype = \"query\"\n"
      "severity = \"low\"\nrisk_score = 1\nquery = 'a:b'\n";
  EXPECT_TRUE(load_rule_text(good, "r.toml").ok());
  EXPECT_TRUE(load_rule_text("# a comment\n\n" + good, "r.yml").ok());
  EXPECT_TRUE(load_rule_text(good, "request").ok());
  EXPECT_EQ(places_of("[rule]\nname = \n", "r.toml"), Strings{"toml-syntax@2:8"});
  EXPECT_EQ(codes_of(good + "name = \"m\"\n", "r.toml"), Strings{"duplicate-key"});
  EXPECT_EQ(codes_of("[metadata]\nx = 1\n", "r.toml"), Strings{"not-a-rule"});
  EXPECT_EQ(codes_of(good + "[rulez]\nx = 1\n", "r.toml"), Strings{"unknown-key"});
}

TEST(Toml, ProseOnOneLineIsNoKey) {
  std::string prose;
  for (int i = 0; i < 2000; ++i) prose += "A sentence about file.exe. ";
  const std::string rule =
      "[rule]\nrule_id = \"r\"\nname = \"n\"\ntype = \"query\"\nseverity = \"low\"\nrisk_score = 1\n"
      "query = 'a:b'\ndescription = \"" +
      prose + "\"\n";
  EXPECT_TRUE(load_rule_text(rule, "r.toml").ok()) << all_problems(load_rule_text(rule, "r.toml"));
}

// Hostile files: refused with a place, at once, in little memory.
class Hostile : public testing::Test {
 protected:
  static Strings quick(const std::string& text, const std::string& file = "r.yml") {
    const double start = test::cpu_seconds();
    const Strings found = codes_of(text, file);
    // 200 ms is the promise; sanitizers get some more.
    EXPECT_LT(test::cpu_seconds() - start, 2 * test::kSanitizerFactor) << text.substr(0, 40);
    return found;
  }
  static std::string times(const std::string& text, size_t n) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += text;
    return out;
  }
};

TEST_F(Hostile, DepthBombs) {
  EXPECT_EQ(quick("a: " + times("[", 100'000)), Strings{"too-deep"});
  EXPECT_EQ(quick("a: " + times("{a: ", 50'000)), Strings{"too-deep"});
  EXPECT_EQ(quick("a: " + times("[1,", 80'000)), Strings{"too-deep"});
  EXPECT_EQ(quick("a: " + times(times("[", 900) + times("]", 900) + "\nb: ", 100)), Strings{"too-deep"});
  EXPECT_EQ(quick(times("- ", 100'000) + "x"), Strings{"too-deep"});
  EXPECT_EQ(quick(times("[", 1'000'000), "r.json"), Strings{"too-deep"});
  EXPECT_EQ(quick(times("{\"a\":", 1'000'000), "r.json"), Strings{"too-deep"});
  EXPECT_EQ(quick("a = " + times("[", 100'000), "r.toml"), Strings{"too-deep"});
  EXPECT_EQ(quick("[" + times("a.", 100) + "b]\nx = 1\n", "r.toml"), Strings{"too-deep"});
  EXPECT_EQ(quick("[" + times("a.", 100'000) + "b]\nx = 1\n", "r.toml"), Strings{"too-deep"});
  EXPECT_EQ(quick("[" + times("\"a b\" . ", 30'000) + "b]\nx = 1\n", "r.toml"), Strings{"too-deep"});
  EXPECT_EQ(quick(times("a . 'x y.z z.y x' . ", 10'000) + "b = 1\n", "r.toml"), Strings{"too-deep"});
  EXPECT_EQ(quick("a = " + times("{" + times("a.", 300) + "a = [\n", 400), "r.toml"), Strings{"too-deep"});
  std::string stairs;
  for (int i = 0; i < 500; ++i) stairs += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_EQ(quick(stairs), Strings{"too-deep"});
}

TEST_F(Hostile, AliasBomb) {
  std::string text = "a0: &a0 x\n";
  for (int i = 1; i < 30; ++i) {
    const std::string old = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + old + "," + old + "]\n";
  }
  EXPECT_EQ(quick(text), Strings{"yaml-anchor"});
}

TEST_F(Hostile, ManyKeysAndLongScalars) {
  std::string keys = rule_text();
  for (int i = 0; i < 15'000; ++i) keys += "k" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(quick(keys).size(), 21u);
  EXPECT_EQ(quick(rule_text("description: '" + times("x", 200'000) + "'\n")), Strings{});
  EXPECT_EQ(quick("a: " + times("? ", 50'000)).size(), 1u);
  EXPECT_EQ(quick("a: " + times(": ", 50'000)).size(), 1u);
  EXPECT_EQ(quick(times("a: b\n", 20'000)), Strings{"duplicate-key"});
  EXPECT_FALSE(quick(times("\"", 100'001)).empty());
  EXPECT_FALSE(quick(times("'", 100'001)).empty());
  EXPECT_FALSE(quick("a: " + times("!", 100'000)).empty());
  EXPECT_FALSE(quick(times("%", 100'000)).empty());
}

TEST_F(Hostile, QueryBombs) {
  EXPECT_EQ(quick(rule_text("", "query: '" + times("(", 20'000) + "a:b" + times(")", 20'000) + "'\n")),
            Strings{"query-too-deep"});
  EXPECT_EQ(quick(rule_text("", "query: 'a:" + times("x", 70'000) + "'\n")), Strings{"query-too-long"});
  EXPECT_EQ(quick(rule_text("", "query: 'a:" + times("*x", 10'000) + "'\n")), Strings{"pattern-too-long"});
  // Two thousand patterns are a large query, not a bomb: they load, and quickly.
  std::string many = "a:*x0*";
  for (int i = 1; i < 2000; ++i) many += " or a:*x" + std::to_string(i) + "*";
  EXPECT_EQ(quick(rule_text("", "query: '" + many + "'\n")), Strings{});
}

TEST_F(Hostile, BinaryUtf16AndHugeText) {
  EXPECT_EQ(quick(std::string("\x7f"
                              "ELF\0\0\0",
                              7)),
            Strings{"not-text"});
  EXPECT_EQ(quick(std::string("\xFF\xFEr\0u\0", 6)), Strings{"not-utf8"});
  EXPECT_EQ(quick(std::string("\xFE\xFF\0r\0u", 6)), Strings{"not-utf8"});
  EXPECT_EQ(places_of("name: ok\nx: a\xFFz\n"), Strings{"not-utf8@2:5"});
  EXPECT_EQ(quick(times("# x\n", 70'000)), Strings{"file-too-large"});
  EXPECT_EQ(quick("[rule]\na = '" + times("x", 50'000'000) + "'", "r.toml"), Strings{"file-too-large"});
  EXPECT_EQ(quick(""), Strings{"empty-file"});
  EXPECT_EQ(quick("# only a comment\n"), Strings{"empty-file"});
  EXPECT_TRUE(load_rule_text("\xEF\xBB\xBF" + rule_text(), "r.yml").ok());
  EXPECT_EQ(places_of("\xEF\xBB\xBF" + rule_text("", "query: 'a:b )'\n")), Strings{"syntax@7:13"});
}

// No mutation of a good file may crash the loader or take long.
TEST_F(Hostile, MutationsOfAGoodFile) {
  const std::string good = rule_text(
      "tags: [a, 'b', \"c\\n\"]\nthreat:\n  - framework: MITRE ATT&CK\n    tactic: {id: TA1, name: x}\nnote: |\n  "
      "text\n  more\n"
      "tests:\n  - name: t\n    events: [{a: b}]\n    expect: {alerts: 1}\n");
  const std::string bits = "{}[]:,&*!|>'\"%@`-? \t\n#\\~<=\xC3\xA4";
  uint32_t state = 12345;
  const auto next = [&](size_t below) {
    state = state * 1664525u + 1013904223u;
    return static_cast<size_t>(state >> 8) % below;
  };
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (size_t n = 1 + next(4); n > 0; --n) {
      const size_t at = next(text.size());
      switch (next(3)) {
        case 0:
          text[at] = bits[next(bits.size())];
          break;
        case 1:
          text.insert(at, 1, bits[next(bits.size())]);
          break;
        default:
          text.erase(at, 1 + next(6));
          break;
      }
    }
    const LoadedRules loaded = load_rule_text(text, i % 3 == 0 ? "r.toml" : i % 3 == 1 ? "r.json" : "r.yml");
    // Either a rule came out, or something was said.
    EXPECT_TRUE(!loaded.rules.empty() || !loaded.file_diagnostics.empty()) << text;
    all_problems(loaded);
  }
}

}  // namespace
}  // namespace fb
