// Lists of values that exception entries of the type `list` look an event up in. Plain data; immutable once shared.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/ir/ir.h"

namespace fb {

struct ValueList {
  std::string type;  // keyword, text, ip, ip_range, boolean, the numbers, the dates
  std::vector<std::string> values;
};

// By id. Null: the list was taken away; an exception that names it counts for nothing then.
using ValueLists = std::map<std::string, std::shared_ptr<const ValueList>>;

namespace compile {

// Whether a value of the field is in the list. invalid_argument: one line about a type that nothing can be looked up
// in.
Result<ir::Node> in_value_list(const std::string& field, const ValueList& list);

// The networks that hold exactly the addresses of "a-b"; of anything else the text itself. "a-b" of two families, or
// from high to low: nothing.
std::vector<std::string> networks_of(const std::string& range);

}  // namespace compile
}  // namespace fb
