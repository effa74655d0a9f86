// The text of an HTTP answer: what the server writes beside the body. Pure, thread-safe. Not for other components.
#pragma once

#include <string>
#include <string_view>

#include "engine/net/http.h"

namespace fb::net {

// Status line and headers, to the empty line.
std::string head_of(const Response& response, bool keep_alive, bool with_length);

// What the server itself answers when a request cannot be taken. The message is plain ASCII without quotes.
Response refusal(int status, std::string_view message);

// ASCII letters in lower case.
std::string lower(std::string_view text);

}  // namespace fb::net
