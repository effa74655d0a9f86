// A rule's JSON document as a YAML rule file for people: block style, texts of several lines as they are. What the rule
// loader reads back is the same document. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace fb::cli {

// `json` is one JSON object.
std::string rule_yaml(std::string_view json);

}  // namespace fb::cli
