// What an item of a list that rules use must be, beyond the schema: something that those rules can be run with. And the
// way of a change of such lists into the rules. Thread-safe.
#pragma once

#include <span>

#include "engine/base/result.h"
#include "engine/compile/live_exceptions.h"
#include "engine/record/exceptions.h"

namespace fb::api {

struct Parts;

// invalid_argument: a rule names the item's list and could not be run with it.
enum class ListIs : uint8_t { named_or_not, about_to_be_named };
Status check_rule_item(const ExceptionRow& row, const Parts& parts, ListIs list = ListIs::named_or_not);

// After a change of lists or items that is not of host isolation, or of value lists that they name: the rules that name
// them run with it when this returns. unavailable (503): the change is kept, but they run with the old content until
// the rule book's watcher could read it. `of`: items or lists that tell which lists changed; others that are behind are
// not this caller's. None: all are.
Status tell_rules(const Parts& parts, std::span<const ExceptionRow> of = {});

// The record's lists, for a rule book.
ListReader record_lists(Store& store);

}  // namespace fb::api
