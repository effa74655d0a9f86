#include "engine/pipeline/alert.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/ir/typed.h"
#include "engine/model/ids.h"
#include "engine/pipeline/provenance.h"

namespace fb {
namespace {

// The field's value when it has exactly one distinct non-empty one; *several is set when it has more.
std::string single_value(const Event& event, FieldIx field, bool* several) {
  const FieldValues* values = event.find(field);
  if (values == nullptr || values->first == Value::kEnd) return {};
  const std::string_view first = event.value(values->first).text;
  for (uint32_t at = event.value(values->first).next; at != Value::kEnd; at = event.value(at).next) {
    if (event.value(at).text != first) {
      *several = true;
      return {};
    }
  }
  return std::string(first);
}

}  // namespace

EventTime time_of(const Event& event, int64_t broker_time_ms, int64_t read_time_ms) {
  EventTime time;
  bool has_one = false;
  if (const FieldValues* values = event.find(FieldTable::kTimestamp); values != nullptr) {
    for (uint32_t at = values->first; at != Value::kEnd && !time.claimed_ms; at = event.value(at).next) {
      const Value& v = event.value(at);
      has_one = true;
      if (v.kind != Value::Kind::boolean) time.claimed_ms = ir::parse_date_value(v.text);
    }
  }
  if (broker_time_ms <= 0) {
    time.at_ms = time.claimed_ms.value_or(read_time_ms);
    time.skew = has_one && !time.claimed_ms;
    return time;
  }
  const int64_t claimed = time.claimed_ms.value_or(broker_time_ms);
  time.at_ms = std::clamp(claimed, broker_time_ms - kMaxEventSkewMs, broker_time_ms + kMaxEventSkewMs);
  time.skew = time.at_ms != claimed || (has_one && !time.claimed_ms);
  return time;
}

int64_t event_time_ms(const Event& event, int64_t broker_time_ms, int64_t read_time_ms) {
  return time_of(event, broker_time_ms, read_time_ms).at_ms;
}

Target target_of(const Event& event) {
  Target target;
  bool several = event.identity_conflict();
  bool many_names = false;  // a name never selects a target, so several are no conflict
  target.agent_id = single_value(event, FieldTable::kAgentId, &several);
  target.host_id = single_value(event, FieldTable::kHostId, &several);
  target.host_name = single_value(event, FieldTable::kHostName, &many_names);
  target.ambiguous = several;
  return target;
}

Alert make_alert(RuleMetaPtr rule, const Event& event, const EventOrigin& origin) {
  Alert alert;
  alert.rule = std::move(rule);
  alert.position = origin.position;
  alert.event_index = origin.event_index;
  const EventTime time = time_of(event, origin.broker_time_ms, origin.read_time_ms);
  alert.event_time_ms = time.at_ms;
  alert.claimed_time_ms = time.claimed_ms;
  alert.clock_skew = time.skew;
  alert.read_time_ms = origin.read_time_ms;
  alert.broker_time_ms = origin.broker_time_ms;
  alert.broker_time_is_append = origin.broker_time_is_append;
  alert.lag_ms = origin.lag_ms;
  alert.target = target_of(event);
  if (!alert.rule->actions.empty()) {
    OwnDoing own = own_doing(event.json());
    alert.self_caused = own.certain;
    alert.told_actions = std::move(own.action_ids);
  }
  alert.alert_id = alert_id(alert.rule->rule_id, alert.group_key, alert.position);
  alert.source = std::string(event.json());
  return alert;
}

}  // namespace fb
