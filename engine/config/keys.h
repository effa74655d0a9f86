// Every key of the service's config file, as data: its path, type, default, bounds and meaning. The loader, the JSON
// schema and docs/config.md come from this one table. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace fb {

enum class KeyType : uint8_t {
  text,
  text_list,
  text_map,  // names and scalar values, handed on as text
  flag,
  integer,
  percent,   // 0 to 100, fractions allowed
  duration,  // "90s", "5m"; kept as milliseconds
  choice,    // one of `choices`
};

struct Key {
  std::string_view path = "";  // "kafka.start"
  KeyType type = KeyType::text;
  bool required = false;
  std::string_view fallback = "";  // as it would be written; "" = empty or none
  std::string_view meaning = "";   // one sentence
  std::string_view choices = "";   // choice: words separated by '|'
  int64_t least = 0;               // integer and duration (ms)
  int64_t most = INT64_MAX;
};

std::span<const Key> config_keys();

}  // namespace fb
