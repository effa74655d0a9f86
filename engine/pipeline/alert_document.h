// The alert as a document in Kibana's shape: the event's fields at top level, `kibana.alert.*` as dotted keys, the
// event's own event.* also under kibana.alert.original_event.*. Pure. Costs some tens of microseconds an alert.
#pragma once

#include <string>

#include "engine/model/model.h"

namespace fb {

// `rule_set_hash` goes into kibana.alert.rule.execution.uuid's place as firebreak.rule_set, so that an alert tells
// which rules were in force.
std::string alert_document(const Alert& alert, const std::string& rule_set_hash);

// One line for a person: what happened, where, by whom.
std::string alert_reason(const Alert& alert);

}  // namespace fb
