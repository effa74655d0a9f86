// The three answers on real rules: on recorded events, and on events made from each rule's own literals.
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>

#include "agree.h"
#include "engine/lang/kuery/kuery.h"
#include "generate.h"

namespace fb::test {
namespace {

namespace fs = std::filesystem;

fs::path shared() {
  if (const char* given = std::getenv("FB_SHARED")) return given;
  const char* source = std::getenv("FB_SOURCE_DIR");
  return fs::path(source == nullptr ? "." : source) / ".." / "shared";
}

// The value of `key = ...` in a TOML text: 'literal', '''literal''', "basic" or """basic""".
std::string toml_string(const std::string& text, const std::string& key) {
  size_t at = text.find("\n" + key + " = ");
  if (at == std::string::npos) return {};
  at += key.size() + 4;
  const char quote = text[at];
  const bool three = text.compare(at, 3, std::string(3, quote)) == 0;
  const std::string end_mark(three ? 3 : 1, quote);
  at += end_mark.size();
  if (three && text[at] == '\n') ++at;
  std::string out;
  while (at < text.size() && text.compare(at, end_mark.size(), end_mark) != 0) {
    if (quote == '"' && text[at] == '\\') {
      const char next = text[at + 1];
      at += 2;
      if (next == '\n') {
        at = std::min(text.find_first_not_of(" \t\n", at), text.size());
      } else {
        out += next == 'n' ? '\n' : next == 't' ? '\t' : next;
      }
      continue;
    }
    out += text[at++];
  }
  return out;
}

std::vector<ir::Node> corpus_rules() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(shared() / "corpus" / "elastic")) {
    if (entry.path().extension() == ".toml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<ir::Node> out;
  for (const auto& file : files) {
    std::ifstream in(file);
    std::stringstream text;
    text << in.rdbuf();
    // Other tables of the file may hold queries of other kinds.
    std::string rule = text.str();
    rule.erase(0, std::min(rule.find("\n[rule]\n"), rule.size()));
    if (toml_string(rule, "language") != "kuery") continue;
    const std::string query = toml_string(rule, "query");
    if (query.empty()) continue;
    auto parsed = lang::parse_kuery(query);
    EXPECT_TRUE(parsed) << file << ": " << (parsed ? "" : parsed.error().message);
    if (parsed) out.push_back(std::move(*parsed));
  }
  return out;
}

std::vector<std::string> lines_of(const fs::path& file, size_t most) {
  std::vector<std::string> out;
  gzFile in = gzopen(file.c_str(), "rb");
  if (in == nullptr) return out;
  std::string line;
  char buffer[1 << 16];
  while (out.size() < most && gzgets(in, buffer, sizeof buffer) != nullptr) {
    line += buffer;
    if (line.back() != '\n') continue;
    line.pop_back();
    out.push_back(std::move(line));
    line.clear();
  }
  gzclose(in);
  return out;
}

// Makes events that satisfy some of a rule's tests.
class EventMaker {
 public:
  explicit EventMaker(uint64_t seed) : random_(seed) {}

  std::string make(const ir::Node& rule, unsigned percent) {
    members_.clear();
    walk(rule, false, percent, "");
    std::string out = "{";
    for (const auto& [name, value] : members_) out += (out.size() > 1 ? "," : "") + json_string(name) + ":" + value;
    return out + "}";
  }

 private:
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  void walk(const ir::Node& node, bool negated, unsigned percent, const std::string& below) {
    switch (node.kind) {
      case ir::Node::Kind::test:
        // A test under "not" is satisfied now and then, so that exclusions come true as well.
        if (chance(negated ? 5 : percent)) satisfy(node.test, below);
        return;
      case ir::Node::Kind::any_of:
        if (!node.children.empty()) {
          const size_t picked = static_cast<size_t>(random_() % node.children.size());
          walk(node.children[picked], negated, percent, below);
        }
        return;
      case ir::Node::Kind::negate:
        walk(node.children[0], !negated, percent, below);
        return;
      case ir::Node::Kind::nested: {
        auto outer = std::move(members_);
        members_.clear();
        walk(node.children[0], negated, percent, node.path + ".");
        std::string object = "{";
        for (const auto& [name, value] : members_)
          object += (object.size() > 1 ? "," : "") + json_string(name) + ":" + value;
        members_ = std::move(outer);
        members_.emplace_back(node.path, "[" + object + "}]");
        return;
      }
      default:
        for (const auto& child : node.children) walk(child, negated, percent, below);
    }
  }

  void satisfy(const ir::Test& test, const std::string& below) {
    std::string name = test.field.name;
    if (test.field.scope == ir::FieldRef::Scope::any) name = "message";
    if (test.field.scope == ir::FieldRef::Scope::pattern) name = filled(test.field.glob);
    for (const char* view : {".text", ".caseless", ".keyword"}) {
      if (name.ends_with(view) && chance(70)) name.resize(name.size() - std::string(view).size());
    }
    if (!below.empty() && name.starts_with(below)) name = name.substr(below.size());
    std::string text = test.op == ir::Op::exists ? "some" : test.op == ir::Op::glob ? filled(test.glob) : test.literal;
    const size_t slash = text.find('/');
    if (slash != std::string::npos && slash > 2 &&
        text.find_first_not_of("0123456789.:abcdefABCDEF/") == std::string::npos) {
      text.resize(slash);
    }
    if (chance(8)) text += "x";
    if (chance(5))
      std::transform(text.begin(), text.end(), text.begin(),
                     [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    const bool digits = !text.empty() && text.size() < 15 && text[0] != '0' &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    std::string value = digits && chance(60)                                ? text
                        : (text == "true" || text == "false") && chance(60) ? text
                                                                            : json_string(text);
    if (chance(10)) value = "[\"other\"," + value + "]";
    members_.emplace_back(std::move(name), std::move(value));
  }

  std::string filled(const ir::Glob& glob) {
    static const std::vector<std::string> kRuns = {"", "a", "some text", "\\", ".exe", "/x/y"};
    std::string out;
    for (const auto& part : glob) {
      if (part.kind == ir::GlobPart::Kind::literal) out += part.text;
      if (part.kind == ir::GlobPart::Kind::any_one) out += "\xC3\xA9";
      if (part.kind == ir::GlobPart::Kind::any_run) out += kRuns[static_cast<size_t>(random_() % kRuns.size())];
    }
    return out;
  }

  std::mt19937_64 random_;
  std::vector<std::pair<std::string, std::string>> members_;
};

TEST(MatchCorpus, AgreesOnRealRulesAndEventsMadeFromTheirLiterals) {
  const auto rules = corpus_rules();
  ASSERT_GT(rules.size(), 300u);
  Engines engines(rule_set_of(rules));
  EventMaker maker(20261121);
  size_t own_hits = 0;
  for (size_t i = 0; i < rules.size(); ++i) {
    bool hit = false;
    for (const unsigned percent : {100u, 100u, 100u, 100u, 90u, 70u, 40u}) {
      const std::string event = maker.make(rules[i], percent);
      ASSERT_EQ(engines.difference(event), "");
      const auto hits = engines.match(event);
      hit = hit || std::find(hits.begin(), hits.end(), static_cast<uint32_t>(i)) != hits.end();
    }
    own_hits += hit ? 1 : 0;
  }
  // Most rules must have matched an event that was made for them.
  EXPECT_GT(own_hits, rules.size() * 8 / 10);
  std::cout << rules.size() << " rules, " << own_hits << " matched an event of their own, " << engines.hits()
            << " hits, " << engines.refused() << " events refused, "
            << static_cast<double>(engines.counters().rules_looked_at) / static_cast<double>(engines.counters().events)
            << " rules looked at a call\n";
}

TEST(MatchCorpus, AgreesOnRecordedEvents) {
  Engines engines(rule_set_of(corpus_rules()));
  size_t events = 0;
  for (const auto& entry : fs::directory_iterator(shared() / "corpus" / "events")) {
    if (entry.path().extension() != ".gz") continue;
    for (const auto& line : lines_of(entry.path(), 60)) {
      ++events;
      ASSERT_EQ(engines.difference(line), "");
    }
  }
  EXPECT_GT(events, 500u);
}

}  // namespace
}  // namespace fb::test
