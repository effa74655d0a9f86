// JSON as a tree, for what is not an event: requests, replies, documents of the record, configuration. It is
// nlohmann's, with its templates compiled once (in json.cpp) and not in each file that uses them, which halves the time
// to compile such a file.
//
// Include it in sources only, instead of the library's own header. Threads: any, on values of one's own.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

extern template class nlohmann::basic_json<>;
extern template class nlohmann::basic_json<nlohmann::ordered_map>;
extern template class nlohmann::detail::serializer<nlohmann::json>;
extern template class nlohmann::detail::serializer<nlohmann::ordered_json>;

namespace fb {

// The value that the text is; discarded (is_discarded()) when it is not JSON or nested deeper than kMostJsonLevels
// (json_depth.h), never an exception. Cost: two passes, one tree.
nlohmann::json parse_json(std::string_view text);
// The same with the members of objects in the order of the text.
nlohmann::ordered_json parse_ordered_json(std::string_view text);

}  // namespace fb
