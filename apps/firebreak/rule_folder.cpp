#include "apps/firebreak/rule_folder.h"

#include <algorithm>
#include <filesystem>

#include "apps/firebreak/rule_yaml.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/compile/rule_files.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

LoadOptions as_pulled() {
  LoadOptions options;
  options.any_names = true;        // the API takes ids that files of people may not have
  options.lists_elsewhere = true;  // the service has them
  return options;
}

bool same_tests(const std::vector<RuleTest>& a, const std::vector<RuleTest>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const RuleTest& x, const RuleTest& y) {
    return x.name == y.name && x.events == y.events && x.alerts == y.alerts && x.isolate == y.isolate &&
           x.checks_isolate == y.checks_isolate;
  });
}

std::string_view next_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return line;
}

// The comments before the first key, such as a licence.
std::string head_of(std::string_view text) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  std::string out;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (!line.empty() && line.front() != '#' && line != "\r") break;
    out += line;
    out += '\n';
  }
  return out;
}

// `tests` as it is written, with its comments, where it is a block of lines. Whether it is the right one is for the
// loader to say.
std::string tests_block(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    const bool begins_key = !line.empty() && line.front() != ' ' && line.front() != '#' && line.front() != '-' &&
                            line.front() != '\r' && line.front() != '\t';
    if (begins_key && !out.empty()) break;
    if (out.empty() && line.substr(0, 6) != "tests:") continue;
    out += line;
    out += '\n';
  }
  return out;
}

// The same from what the loader read, for files that are written in another way; events as maps, or as their exact
// text.
std::string tests_anew(const std::vector<RuleTest>& tests, bool as_text) {
  Json list = Json::array();
  for (const RuleTest& t : tests) {
    Json events = Json::array();
    for (const std::string& event : t.events) events.push_back(as_text ? Json(event) : parse_ordered_json(event));
    Json expect{{"alerts", t.alerts}};
    if (t.checks_isolate) expect["isolate"] = t.isolate;
    list.push_back(Json{{"name", t.name}, {"events", std::move(events)}, {"expect", std::move(expect)}});
  }
  return rule_yaml(dumped(Json{{"tests", std::move(list)}}));
}

}  // namespace

Result<RuleFolder> RuleFolder::open(const std::string& folder) {
  RuleFolder out;
  std::error_code error;
  if (!std::filesystem::exists(folder, error)) return out;
  FB_TRY(out.loaded_, load_rules({folder}, as_pulled()));
  return out;
}

std::vector<const LoadedRule*> RuleFolder::find(std::string_view rule_id) const {
  std::vector<const LoadedRule*> out;
  for (const LoadedRule& rule : loaded_.rules) {
    if (rule.rule_id == rule_id) out.push_back(&rule);
  }
  return out;
}

std::vector<std::string> RuleFolder::unread() const {
  std::vector<std::string> out;
  for (const Diagnostic& d : loaded_.file_diagnostics) {
    if (d.level == Diagnostic::Level::error) out.push_back(printable(d.file) + ": " + printable(d.message));
  }
  return out;
}

Result<std::string> RuleFolder::rewritten(const LoadedRule& rule, const std::string& yaml) const {
  const auto by_hand = [&rule](const std::string& why) {
    return fail(ErrorCode::refused, printable(rule.file) + " " + why + "; it stays as it is");
  };
  const auto in_file = std::count_if(loaded_.rules.begin(), loaded_.rules.end(),
                                     [&](const LoadedRule& r) { return r.file == rule.file; });
  if (in_file > 1) return by_hand("holds this rule and others");
  if (rule.type == "sigma") return by_hand("holds this rule as a Sigma rule");
  if (!rule.file.ends_with(".yml") && !rule.file.ends_with(".yaml")) return by_hand("holds this rule and is not YAML");
  auto text = compile::read_rule_file(compile::resolve_path(rule.file), RuleLimits{});
  if (!text) return by_hand("can't be read: " + text.error().message);
  const compile::FileKind kind = compile::kind_of(rule.file, *text);
  // A line of JSON may have others after it (of exceptions), which are no rules and yet somebody's.
  if (kind == compile::FileKind::toml || (kind == compile::FileKind::json && parse_json(*text).is_discarded())) {
    return by_hand("holds this rule and is not YAML");
  }
  const bool has_problem = std::any_of(loaded_.file_diagnostics.begin(), loaded_.file_diagnostics.end(),
                                       [&](const Diagnostic& d) { return d.file == rule.file; });
  if (!rule.ok || has_problem) return by_hand("holds this rule and is broken");

  const std::string anew = head_of(*text) + yaml;
  if (rule.tests.empty()) return anew;
  for (const std::string& tests : {tests_block(*text), tests_anew(rule.tests, false), tests_anew(rule.tests, true)}) {
    std::string whole = anew + tests;
    const LoadedRules read = load_rule_text(whole, rule.file, as_pulled());
    if (read.file_diagnostics.empty() && read.rules.size() == 1 && same_tests(read.rules[0].tests, rule.tests)) {
      return whole;
    }
  }
  return by_hand("holds this rule with tests that can't be carried over");
}

}  // namespace fb::cli
