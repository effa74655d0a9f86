// What the tests of the response stages share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/model/ids.h"
#include "engine/model/model.h"
#include "engine/ports/endpoint_directory.h"
#include "engine/respond/kill_switch.h"
#include "engine/respond/plan.h"
#include "tests/support/fake_action_store.h"
#include "tests/support/fake_clock.h"

namespace fb::test {

inline RuleMetaPtr make_rule(const std::string& id, Severity severity = Severity::high, Mode mode = Mode::enforce) {
  auto rule = std::make_shared<RuleMeta>();
  rule->rule_id = id;
  rule->name = "rule " + id;
  rule->severity = severity;
  rule->actions = {{Verb::isolate, "cut off by " + id}};
  rule->response.mode = mode;
  return rule;
}

// A fresh alert of the rule on the endpoint. `number` makes its id.
inline Alert make_alert(const RuleMetaPtr& rule, const std::string& endpoint_id, int64_t number, int64_t at_ms) {
  Alert a;
  a.rule = rule;
  a.position = {"cluster", "events", 0, 0, number};
  a.alert_id = alert_id(rule->rule_id, "[]", a.position);
  a.read_time_ms = at_ms;
  a.event_time_ms = at_ms;
  a.target.agent_id = endpoint_id;
  return a;
}

inline PlannedAction make_planned(const RuleMetaPtr& rule, const std::string& endpoint_id, int64_t number,
                                  int64_t at_ms) {
  std::vector<PlannedAction> out;
  plan(make_alert(rule, endpoint_id, number, at_ms), OpenDirectory{}, out);
  return out.at(0);
}

// A person's request for one endpoint.
inline PlannedAction make_manual(Verb verb, const std::string& endpoint_id, const std::string& key) {
  PlannedAction p;
  p.verb = verb;
  p.endpoint_id = endpoint_id;
  p.cause = key;
  p.action_id = action_id(verb, endpoint_id, key);
  p.requested_by = "user:jo";
  p.manual = true;
  return p;
}

inline bool switch_on(KillSwitch& kill_switch, FakeActionStore& store, bool on) {
  return store.set_kill_switch(on, "jo", "test").has_value() && kill_switch.refresh(store).has_value();
}

}  // namespace fb::test
