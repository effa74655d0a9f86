// An import of rules whose exception lists shall be new ones (`as_new_list`). Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace fb::api {

// The file with another list_id for every exception list that it holds, in the lists, in their items and in the rules
// that name them; items get another item_id. Lines that are no JSON object stay as they are. Cost: one parse a line.
std::string with_new_lists(std::string_view ndjson);

}  // namespace fb::api
