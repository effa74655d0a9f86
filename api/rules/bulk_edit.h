// The edits of a bulk action, on one rule's document. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "api/rules/shape.h"

namespace fb::api {

// `edits` is the request's list [{type, value}]. Says first whether they can be understood at all: "" or one line.
std::string check_edits(std::string_view edits);

// The document after them, as a PUT of it would be kept; unchanged when there was nothing to do. Refused when PUT would
// refuse it, too.
tl::expected<std::string, RuleRefusal> edited(std::string_view doc, std::string_view edits);

}  // namespace fb::api
