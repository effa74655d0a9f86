// Lists of values that exception entries of the type `list` look an event up in. Plain data; immutable once shared.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/ir/ir.h"

namespace fb {

// Made once for one content and shared by every rule that names the list.
struct ValueList {
  std::shared_ptr<const ir::ValueSet> values;  // null: nothing can be looked up in it, see `problem`
  std::string problem;                         // one line
};

// By id. Null: the list was taken away; an exception that names it counts for nothing then.
using ValueLists = std::map<std::string, std::shared_ptr<const ValueList>>;

namespace compile {

// What one list may hold for exceptions to use it: all of it is in memory, once as it is and once as a table.
inline constexpr size_t kMaxValueListBytes = size_t{32} << 20;

// Kibana's name of a type: keyword, text, ip, ip_range, boolean, the numbers, the dates can be looked up in.
bool exceptions_can_use(const std::string& type);

// Linear in the values. `values` are of the type; what is no address in a list of addresses is left out.
ValueList make_value_list(const std::string& type, std::vector<std::string> values);

// Whether a value of the field is in the list. invalid_argument: one line about a list that nothing can be looked up
// in, or about addresses on a field that holds none.
Result<ir::Node> in_value_list(const std::string& field, const ValueList& list);

}  // namespace compile
}  // namespace fb
