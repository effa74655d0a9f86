// The audit: who did what, when, in a chain of hashes. Row n's hash is SHA-256 over its own columns and row n-1's hash,
// so an altered, missing or moved row shows. Rows cut off at the end show as long as meta.audit_head was not altered
// too; the head that the service logs at its start and end is the proof against that.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/record/sqlite.h"

namespace fb::record {

struct AuditHead {
  int64_t seq = 0;
  std::string hash;  // 64 zeros before the first row
};

// `what` is a fixed snake_case word; `ref` the id of the thing it is about. Within the caller's transaction.
Status append_audit(Sqlite& db, int64_t at_ms, std::string_view actor, std::string_view what, std::string_view ref,
                    std::string_view detail);

Result<AuditHead> audit_head(Sqlite& db);

// Writes meta.audit_head; the last thing in a transaction that appended rows.
Status seal_audit(Sqlite& db);

struct AuditCheck {
  bool ok = false;
  int64_t rows = 0;     // checked and good, from the first on
  std::string head;     // hash of the last good row
  int64_t bad_seq = 0;  // where the chain breaks; 0 when ok
  std::string why;
};

// Reads the whole chain; 1 to 2 µs a row.
Result<AuditCheck> check_audit(Sqlite& db);

}  // namespace fb::record
