// firebreak rules check | list | test.
#include <algorithm>
#include <cstdio>
#include <fstream>

#include "apps/firebreak/inputs.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/rule_report.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/compile/rule_tests.h"
#include "engine/compile/rules.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

Json problem_json(const Diagnostic& d) {
  return Json{{"code", d.code}, {"line", d.line}, {"column", d.column}, {"message", d.message}};
}

Json rule_json(const LoadedRule& r) {
  Json errors = Json::array();
  Json warnings = Json::array();
  for (const Diagnostic& d : r.diagnostics) {
    (d.level == Diagnostic::Level::error ? errors : warnings).push_back(problem_json(d));
  }
  return Json{{"file", r.file},         {"rule_id", r.rule_id}, {"name", r.name},   {"type", r.type},
              {"language", r.language}, {"ok", r.ok},           {"errors", errors}, {"warnings", warnings}};
}

void print_line(const Json& json) {
  std::printf("%s\n", dumped(json).c_str());
}

// A file that could not be read as rules at all is a line too: nothing is skipped silently.
void print_file_problems_json(const LoadedRules& loaded) {
  std::map<std::string, LoadedRule> by_file;
  for (const Diagnostic& d : loaded.file_diagnostics) {
    LoadedRule& r = by_file[d.file];
    r.file = d.file;
    r.ok = true;
    r.diagnostics.push_back(d);
  }
  for (auto& [file, r] : by_file) {
    for (const Diagnostic& d : r.diagnostics) r.ok = r.ok && d.level != Diagnostic::Level::error;
    print_line(rule_json(r));
  }
}

Result<LoadedRules> load(const RulesOptions& options) {
  end_with_the_pipe();
  FB_TRY_VOID(must_exist(options.exceptions));
  LoadOptions load_options;
  load_options.exception_files = options.exceptions;
  return load_rules(options.paths, load_options);
}

std::string xml(std::string_view text) {
  std::string out;
  for (char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

struct TestOutcome {
  const LoadedRule* rule;
  const RuleTest* test;
  RuleTestResult result;
};

Status write_junit(const std::string& path, const std::vector<TestOutcome>& outcomes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  const auto failed =
      std::count_if(outcomes.begin(), outcomes.end(), [](const TestOutcome& o) { return !o.result.passed; });
  out << "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"firebreak rules\" tests=\"" << outcomes.size()
      << "\" failures=\"" << failed << "\">\n";
  for (const TestOutcome& o : outcomes) {
    out << "  <testcase classname=\"" << xml(o.rule->rule_id) << "\" name=\"" << xml(o.test->name) << "\" file=\""
        << xml(o.rule->file) << "\" line=\"" << o.test->line << "\"";
    if (o.result.passed) {
      out << "/>\n";
    } else {
      out << "><failure message=\"" << xml(o.result.message) << "\"/></testcase>\n";
    }
  }
  out << "</testsuite>\n";
  out.flush();
  if (!out) return fail(ErrorCode::io, "can't write the report", path);
  return {};
}

}  // namespace

void print_problems(const LoadedRules& loaded) {
  constexpr size_t kMostPictures = 100;
  std::fflush(stdout);
  size_t shown = 0;
  const auto show = [&shown](const Diagnostic& d) {
    if (++shown <= kMostPictures) std::fputs(render(d).c_str(), stderr);
  };
  for (const Diagnostic& d : loaded.file_diagnostics) show(d);
  for (const LoadedRule& r : loaded.rules) {
    for (const Diagnostic& d : r.diagnostics) show(d);
  }
  if (shown > kMostPictures) {
    std::fprintf(stderr, "... and %s more problems (`firebreak rules check --format json` lists all)\n",
                 grouped(shown - kMostPictures).c_str());
  }
}

int run_rules_check(const RulesOptions& options) {
  auto loaded = load(options);
  if (!loaded) return complain(loaded.error(), kCantRun);
  const auto good = std::count_if(loaded->rules.begin(), loaded->rules.end(), [](const LoadedRule& r) { return r.ok; });
  if (options.format == Format::json) {
    for (const LoadedRule& r : loaded->rules) print_line(rule_json(r));
    print_file_problems_json(*loaded);
  } else {
    print_problems(*loaded);
    std::printf("%zu rules in %u files: %s good, %s broken\n", loaded->rules.size(), loaded->files,
                grouped(static_cast<uint64_t>(good)).c_str(),
                grouped(loaded->rules.size() - static_cast<uint64_t>(good)).c_str());
  }
  return after_output(loaded->ok() ? kDone : kFound);
}

int run_rules_list(const RulesOptions& options) {
  auto loaded = load(options);
  if (!loaded) return complain(loaded.error(), kCantRun);
  if (options.format == Format::json) {
    for (const LoadedRule& r : loaded->rules) {
      Json line = rule_json(r);
      line["enabled"] = r.ok && r.input.meta->enabled;
      line["severity"] = r.ok ? to_string(r.input.meta->severity) : "";
      line["risk_score"] = r.ok ? r.input.meta->risk_score : 0;
      line["isolates"] = r.ok && !r.input.meta->actions.empty();
      line["tests"] = r.tests.size();
      if (options.with_tests) {
        Json events = Json::array();
        for (const RuleTest& test : r.tests) {
          for (const std::string& event : test.events) events.push_back(event);
        }
        line["test_events"] = std::move(events);
      }
      print_line(line);
    }
    print_problems(*loaded);
    return after_output(kDone);
  }
  Table table({"RULE", "SEVERITY", "RISK", "LANGUAGE", "DOES", "TESTS", "NAME"});
  for (const LoadedRule& r : loaded->rules) {
    if (!r.ok) {
      table.row({r.rule_id, "-", "-", r.language, "broken", std::to_string(r.tests.size()), shortened(r.name, 60)});
      continue;
    }
    const RuleMeta& m = *r.input.meta;
    const char* does = !m.enabled ? "disabled" : m.actions.empty() ? "alert" : "isolate";
    table.row({m.rule_id, std::string(to_string(m.severity)), std::to_string(m.risk_score), m.language, does,
               std::to_string(r.tests.size()), shortened(m.name, 60)});
  }
  table.print();
  print_problems(*loaded);
  return after_output(kDone);
}

int run_rules_test(const RulesOptions& options) {
  auto loaded = load(options);
  if (!loaded) return complain(loaded.error(), kCantRun);
  print_problems(*loaded);
  std::vector<TestOutcome> outcomes;
  size_t untested = 0;
  for (const LoadedRule& rule : loaded->rules) {
    if (!rule.ok) continue;
    if (rule.tests.empty()) ++untested;
    for (const RuleTest& test : rule.tests) outcomes.push_back({&rule, &test, run_rule_test(rule, test)});
  }
  size_t failed = 0;
  for (const TestOutcome& o : outcomes) {
    if (!o.result.passed) ++failed;
    if (options.format == Format::json) {
      print_line(Json{{"file", o.rule->file},
                      {"rule_id", o.rule->rule_id},
                      {"test", o.test->name},
                      {"line", o.test->line},
                      {"ok", o.result.passed},
                      {"message", o.result.message}});
    } else if (!o.result.passed) {
      std::printf("%s  %s:%u  %s: %s\n", paint(Paint::red, "FAIL").c_str(), printable(o.rule->file).c_str(),
                  o.test->line, printable(o.test->name).c_str(), printable(o.result.message).c_str());
    }
  }
  if (options.format == Format::text) {
    std::printf("%zu passed, %zu failed in %zu rules", outcomes.size() - failed, failed, loaded->rules.size());
    std::printf(untested > 0 ? "; %zu rules have no test\n" : "\n", untested);
  }
  if (!options.junit_file.empty()) {
    if (const Status written = write_junit(options.junit_file, outcomes); !written)
      return complain(written.error(), kCantRun);
  }
  return after_output(loaded->ok() && failed == 0 ? kDone : kFound);
}

}  // namespace fb::cli
