// Runs the tests that stand inside a rule file. Every event goes through the decoder and the matcher, with the index
// and without it, and through the oracle interpreter; the three must agree. In date math `now` is the event's own
// @timestamp, so that a test gives the same answer on every day. Pure, thread-safe; cost: a rule set is compiled for
// each test.
#pragma once

#include <string>
#include <vector>

#include "engine/compile/rules.h"

namespace fb {

struct RuleTestResult {
  bool passed = false;
  std::string message;                // why not, one line; "" when it passed
  int alerts = 0;                     // what came out
  std::vector<std::string> isolated;  // the hosts that would be isolated: agent.id, else host.id; sorted, each once
};

// `rule` must be ok. The guards do not take part: a rule isolates here when it alerts, has an isolate action, and the
// event names exactly one host.
RuleTestResult run_rule_test(const LoadedRule& rule, const RuleTest& test);

}  // namespace fb
