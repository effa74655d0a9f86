// The tables and views of the record, and how an older file is brought up to date. A schema version never changes once
// it was shipped: a change is a new step. docs/record.md describes what stands here.
#pragma once

#include <cstdint>
#include <span>

#include "engine/record/sqlite.h"

namespace fb::record {

inline constexpr int64_t kSchemaVersion = 4;
inline constexpr int64_t kApplicationId = 0x46425231;  // "FBR1": says that a file is a Firebreak record

// Step i leads from version i to i + 1.
std::span<const char* const> schema_steps();

// Brings the schema up to kSchemaVersion in one transaction; nothing to do when it is there. A newer schema, or a
// database of something else, is refused and not touched.
Status migrate(Sqlite& db);

// Makes those indices that only speed up what clients list, where they are missing. They are no part of the version: an
// older Firebreak works with them, and a newer one makes those that it wants besides. On the first start with a large
// record this takes a second or two.
Status make_indices(Sqlite& db);

// The same checks without changing anything, for readers: the file must be at exactly kSchemaVersion.
Status check_schema(Sqlite& db);

}  // namespace fb::record
