// What is decided about a request before its route is: the host it is meant for, where it comes from, its space. Pure,
// thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/json_depth.h"
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

// Whether the body is of a kind that a route may read: JSON, lines of it, a form with files, and what programs say that
// were not told what they send. Not text, XML, or anything compressed.
bool takes_media(const net::Request& request);

// A key that stands twice in one object of a JSON text: readers differ in which of the two they take. Nothing: there is
// none, or the text is not one JSON value (lines of them are looked at by who reads them). Cost: one pass; each
// object's keys are held while it is open.
std::optional<std::string> repeated_key(std::string_view json);

// The host that a target in the absolute form ("http://host:port/path") names; "" in every other form.
std::string_view host_in_target(std::string_view target);

// Whether a JSON reader would take the text for an object or a list: the blanks and the byte order mark that it skips
// are skipped here, too.
bool may_be_json(std::string_view text);

}  // namespace fb::api
