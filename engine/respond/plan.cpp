#include "engine/respond/plan.h"

#include <algorithm>
#include <utility>

#include "engine/model/ids.h"

namespace fb {

int64_t freshness_base_ms(const Alert& alert) {
  if (alert.broker_time_is_append && alert.broker_time_ms > 0) return alert.broker_time_ms;
  return alert.read_time_ms - std::max<int64_t>(alert.lag_ms, 0);
}

void plan(const Alert& alert, const EndpointDirectory& directory, std::vector<PlannedAction>& out) {
  plan(alert, directory, PlanDefaults{}, out);
}

void plan(const Alert& alert, const EndpointDirectory& directory, const PlanDefaults& defaults,
          std::vector<PlannedAction>& out) {
  const RuleMeta& rule = *alert.rule;
  if (rule.actions.empty()) return;
  const Resolved resolved = directory.resolve(alert.target);
  const size_t first = out.size();
  for (const ResponseAction& wanted : rule.actions) {
    PlannedAction p;
    p.action_id = action_id(wanted.verb, resolved.endpoint_id, alert.alert_id);
    const bool repeated = std::any_of(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(),
                                      [&p](const PlannedAction& other) { return other.action_id == p.action_id; });
    if (repeated) continue;
    p.verb = wanted.verb;
    p.target = alert.target;
    p.endpoint_id = resolved.endpoint_id;
    p.target_note = resolved.note;
    p.comment = wanted.comment;
    p.cause = alert.alert_id;
    p.alert_id = alert.alert_id;
    p.rule = alert.rule;
    p.request_id = p.action_id;
    p.requested_by = "rule:" + rule.rule_id;
    if (wanted.verb == Verb::isolate) {
      p.lease_ms = rule.response.lease_ms.has_value() ? rule.response.lease_ms : defaults.lease_ms;
    }
    p.ceiling = rule.response.mode;
    p.event_age_base_ms = freshness_base_ms(alert);
    p.self_caused = alert.self_caused;
    p.told_actions = alert.told_actions;
    out.push_back(std::move(p));
  }
}

}  // namespace fb
