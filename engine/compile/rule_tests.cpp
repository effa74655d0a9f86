#include "engine/compile/rule_tests.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/ir/typed.h"
#include "engine/match/matcher.h"

namespace fb {
namespace {

// The distinct values of one field of an event.
std::set<std::string> values_of(const Event& event, FieldIx field) {
  std::set<std::string> out;
  const FieldValues* values = event.find(field);
  if (values == nullptr) return out;
  for (uint32_t at = values->first; at != Value::kEnd; at = event.value(at).next) {
    out.emplace(event.value(at).text);
  }
  return out;
}

struct Host {
  std::set<std::string> names;  // all that the event calls it
};

std::string quoted_list(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out.empty() ? "none" : out;
}

int64_t time_of(const Event& event) {
  const FieldValues* values = event.find(FieldTable::kTimestamp);
  if (values == nullptr || values->first == Value::kEnd) return 0;
  return ir::parse_date_value(event.value(values->first).text).value_or(0);
}

}  // namespace

RuleTestResult run_rule_test(const LoadedRule& rule, const RuleTest& test) {
  RuleTestResult result;
  const auto failed = [&](std::string message) {
    result.message = std::move(message);
    return result;
  };
  if (!rule.ok) return failed("the rule is broken");
  const RuleSetPtr rules = RuleSet::build({rule.input});
  Decoder decoder(rules->fields(), EventLimits{});
  Matcher matcher(rules, decoder);
  const bool isolates = std::any_of(rule.input.meta->actions.begin(), rule.input.meta->actions.end(),
                                    [](const ResponseAction& a) { return a.verb == Verb::isolate; });
  std::map<std::string, Host> hosts;
  for (size_t i = 0; i < test.events.size(); ++i) {
    const std::string place = "event " + std::to_string(i);
    const std::string padded = test.events[i] + std::string(Decoder::kPadding, ' ');
    const std::string_view json = std::string_view(padded).substr(0, test.events[i].size());
    const Event* event = decoder.decode(json);
    if (event == nullptr) return failed(place + " is refused: " + decoder.refusal().detail);
    const Result<JsonNode> tree = parse_json_tree(json);
    if (!tree) return failed(place + " is refused by the oracle's parser: " + tree.error().describe());

    const int64_t now = time_of(*event);
    const std::set<std::string> agents = values_of(*event, FieldTable::kAgentId);
    const std::set<std::string> ids = values_of(*event, FieldTable::kHostId);
    const std::set<std::string> names = values_of(*event, FieldTable::kHostName);
    const bool conflict = event->identity_conflict();
    std::vector<RuleIx> with_index;
    std::vector<RuleIx> without_index;
    matcher.match(*event, now, with_index);
    matcher.match_without_index(*event, now, without_index);
    ir::OracleContext context;
    context.now_ms = now;
    const bool by_oracle = ir::matches(rule.input.condition, *tree, context);
    const bool hit = !with_index.empty();
    if (hit != !without_index.empty() || hit != by_oracle) {
      return failed(place + ": the matcher " + (hit ? "found" : "did not find") + " it, without its index it " +
                    (without_index.empty() ? "did not" : "did") + ", the oracle " + (by_oracle ? "did" : "did not") +
                    "; this is a fault of Firebreak");
    }
    if (!hit) continue;
    ++result.alerts;
    // An event that names no host, or several, isolates none.
    if (!isolates || conflict || agents.size() > 1 || ids.size() > 1 || (agents.empty() && ids.empty())) continue;
    const std::string& id = agents.empty() ? *ids.begin() : *agents.begin();
    Host& host = hosts[id];
    host.names.insert(agents.begin(), agents.end());
    host.names.insert(ids.begin(), ids.end());
    host.names.insert(names.begin(), names.end());
  }
  for (const auto& [id, host] : hosts) result.isolated.push_back(id);

  if (result.alerts != test.alerts) {
    return failed("expected " + std::to_string(test.alerts) + " alerts, got " + std::to_string(result.alerts));
  }
  if (test.checks_isolate) {
    std::set<std::string> met;
    for (const std::string& expected : test.isolate) {
      const auto host = std::find_if(hosts.begin(), hosts.end(),
                                     [&](const auto& entry) { return entry.second.names.count(expected) > 0; });
      if (host == hosts.end()) {
        return failed("expected " + expected + " to be isolated; isolated: " + quoted_list(result.isolated));
      }
      met.insert(host->first);
    }
    if (met.size() != hosts.size()) {
      return failed("expected only " + quoted_list(test.isolate) +
                    " to be isolated; isolated: " + quoted_list(result.isolated));
    }
  }
  result.passed = true;
  return result;
}

}  // namespace fb
