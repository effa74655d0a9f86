// One member of a JSON text, without a tree: for lists that need one word of each of many documents.
#pragma once

#include <optional>
#include <string_view>

namespace fb {

// The text of the top-level member `key` of an object, as it stands there. Nothing when there is none, when it is no
// text, or when it holds an escape (a tree must be asked then). Exact for valid JSON whose own keys are written without
// escapes; of a repeated key the first counts. Pure; linear in what stands before it; allocates nothing.
std::optional<std::string_view> text_member(std::string_view json, std::string_view key);

}  // namespace fb
