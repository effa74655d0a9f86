// What is decided about a request before its route is: the host it is meant for, where it comes from, its space. Pure,
// thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/net/http.h"

namespace fb::api {

// The path as it was sent (not decoded, without the query), without the prefix of the default space. Nothing: another
// space, of which there are none.
std::optional<std::string> path_in_space(std::string_view target);

// Is it one of our names? Any numeric address, localhost, this host's name and `names` are. A page of a foreign name
// that resolves to us (DNS rebinding) is told apart by this.
bool is_our_host(std::string_view host_header, const std::vector<std::string>& names);

// A browser says that a page of another origin makes this request.
bool is_cross_origin(const net::Request& request);

// Whether objects and lists of a JSON text stand within each other deeper than `most`. Exact for valid JSON; linear.
inline constexpr size_t kMostJsonLevels = 300;
bool is_nested_deeper(std::string_view json, size_t most = kMostJsonLevels);

}  // namespace fb::api
