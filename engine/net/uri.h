// The parts of a request target and of a listen address, taken apart. Pure, thread-safe; Result says what is wrong.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace fb::net {

struct Target {
  std::string path;                          // decoded, starts with '/'; "*" for OPTIONS *
  std::map<std::string, std::string> query;  // decoded; the last of repeated names
};

// "/a%20b?x=1", "http://host/a", "*". Refuses a broken escape and a zero byte.
Result<Target> parse_target(std::string_view target);

// %41 -> A; with `plus_is_space` also + -> space. Nothing on a broken escape.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);
// Everything but A-Z a-z 0-9 - . _ ~ becomes %XX.
std::string percent_encode(std::string_view text);

struct ListenAddress {
  std::string host;  // numeric, without brackets
  uint16_t port = 0;
};
// "127.0.0.1:8770", "[::1]:0", "localhost:80". A name other than localhost is refused: what it means could change.
Result<ListenAddress> parse_listen_address(std::string_view text);

}  // namespace fb::net
