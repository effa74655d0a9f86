// The alert as a document in Kibana's shape: the event's fields at top level, `kibana.alert.*` as dotted keys, the
// event's own event.* also under kibana.alert.original_event.*. Pure. Costs some tens of microseconds an alert.
#pragma once

#include <string>

#include "engine/model/model.h"

namespace fb {

// What every alert of one rule has in common: the members `kibana.alert.rule.*` as JSON text, without braces. Made once
// a rule and rule set, since it is most of a document.
std::string alert_rule_members(const RuleMeta& rule);

// `rule_members` is alert_rule_members() of the alert's rule. `rule_set_hash` goes into firebreak.rule_set, so that an
// alert tells which rules were in force.
std::string alert_document(const Alert& alert, const std::string& rule_set_hash, const std::string& rule_members);

// One line for a person: what happened, where, by whom.
std::string alert_reason(const Alert& alert);

}  // namespace fb
