// What an item of a list that rules use must be, beyond the schema: something that those rules can be run with. And the
// way of a change of such lists into the rules. Thread-safe.
#pragma once

#include "engine/base/result.h"
#include "engine/compile/live_exceptions.h"
#include "engine/record/exceptions.h"

namespace fb::api {

struct Parts;

// invalid_argument: a rule names the item's list and could not be run with it.
Status check_rule_item(const ExceptionRow& row, const Parts& parts);

// After a change of lists or items that is not of host isolation, or of value lists that they name: the rules that name
// them run with it when this returns.
void tell_rules(const Parts& parts);

// The record's lists, for a rule book.
ListReader record_lists(Store& store);

}  // namespace fb::api
