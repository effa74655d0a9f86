// A JSON tree as text on one line, the way everything of ours is written that another program reads: bytes that are no
// UTF-8 become U+FFFD instead of an exception. Pure; linear in the tree; any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace fb {

std::string dumped(const nlohmann::json& value);
std::string dumped(const nlohmann::ordered_json& value);

}  // namespace fb
