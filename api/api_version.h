// The header elastic-api-version, which Kibana's clients send. Pure, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fb::api {

// The version of the public routes; answers carry it.
inline constexpr std::string_view kApiVersion = "2023-10-31";

// Kibana has the route, so that the header means something there: all but our own and those outside of /api.
bool has_version(std::string_view pattern);

// What a 400 says to a client that asks for another version of this route than there is; nothing: serve it. "1", which
// most of these routes were called before they were public, is taken on all of them.
std::optional<std::string> refuse_version(std::string_view method, std::string_view pattern, std::string_view asked);

}  // namespace fb::api
