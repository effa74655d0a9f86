// The edits of a bulk action, on one rule's document. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "api/rules/shape.h"

namespace fb::api {

// `edits` is the request's list [{type, value}]. Says first whether they can be understood at all: "" or one line.
std::string check_edits(std::string_view edits);

// The document after them; unchanged when there was nothing to do.
std::string edited(std::string_view doc, std::string_view edits);

}  // namespace fb::api
