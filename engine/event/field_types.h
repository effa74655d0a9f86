// What type a field has: Elastic Common Schema by full name, else by last segment, else dynamic. Data, generated into
// ecs_types.inc by scripts/dev/generate_ecs_types. Pure, thread-safe; a lookup is one hash.
#pragma once

#include <cstdint>
#include <string_view>

namespace fb {

enum class FieldType : uint8_t {
  dynamic,  // not in ECS: each value counts by its JSON type
  keyword,  // keyword, constant_keyword, wildcard, flattened: exact bytes
  text,     // text, match_only_text: analysed words
  integer,  // long, integer, short, byte, unsigned_long
  real,     // float, double, half_float, scaled_float
  boolean,
  ip,
  date,
  object,  // object, nested, geo_point: has no leaf value of its own
};

// The type of a full field name such as "process.command_line".
FieldType field_type(std::string_view name);

// True when the field has an analysed `.text` sub-field (ECS multi-field), e.g. process.command_line.
bool has_text_multi_field(std::string_view name);

}  // namespace fb
