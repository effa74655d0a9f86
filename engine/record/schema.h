// The tables and views of the record, and how an older file is brought up to date. A schema version never changes once
// it was shipped: a change is a new step. docs/record.md describes what stands here.
#pragma once

#include <cstdint>

#include "engine/record/sqlite.h"

namespace fb::record {

inline constexpr int64_t kSchemaVersion = 4;
inline constexpr int64_t kApplicationId = 0x46425231;  // "FBR1": says that a file is a Firebreak record

// Brings the schema up to kSchemaVersion in one transaction; nothing to do when it is there. A newer schema, or a
// database of something else, is refused and not touched.
Status migrate(Sqlite& db);

// The same checks without changing anything, for readers: the file must be at exactly kSchemaVersion.
Status check_schema(Sqlite& db);

}  // namespace fb::record
