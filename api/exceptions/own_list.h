// Exceptions that are one rule's alone: they stand in a list of type rule_default that only this rule names. It is made
// with its first items. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/rules/desk.h"
#include "engine/base/result.h"
#include "engine/record/exceptions.h"

namespace fb::api {

struct Call;

bool names_as_own(const RuleView& rule, const std::string& list_id);

struct OwnList {
  std::string list_id;
  bool is_there = false;  // false: this is what it will be called
};

// The rule's own list; of a rule that has none, a new one that is called `suggested` unless that name is taken ("" =
// made up). Of a rule of a file that is the one it names.
Result<OwnList> own_list_of(Store& store, const RuleView& rule, const std::string& suggested = {});

struct AddedToOwn {
  std::vector<ExceptionRow> items;
  Status in_force;  // unavailable: they are kept, but the rule does not run with them yet (tell_rules)
};

// All of the items (their list_id is overwritten) or, with an error, none. Needs no right to change rules: the rule's
// version that names the new list is "excepted", and is no edit of what the rule finds.
// invalid_argument: the rule can't be run with them, or stands in a file and names no list of its own; already_exists:
// an item_id is taken; limit: the list would be too long; conflict: too many others changed it at once; not_found: the
// rule is gone; unavailable: not possible now.
Result<AddedToOwn> add_to_own_list(const Call& call, const RuleViewPtr& rule, std::vector<ExceptionRow> items,
                                   const std::string& suggested = {});

// The document of a rule that is made of another: it names copies of the lists that are the other one's own, so that an
// exception of one silences only that one. Own lists that are not in the record are left out. What was made is added to
// `made`, also when it fails: who then makes no rule removes it.
Result<std::string> with_own_lists_copied(const Call& call, std::string_view doc, bool with_expired,
                                          std::vector<ExceptionRow>& made);

}  // namespace fb::api
