// How many rows a table has that only grows, without counting them all each time: the rows up to one number are
// remembered, those after it are counted. True at any moment, whatever others write: a row that was seen committed
// never goes, and a later one has a greater number. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>

#include "engine/record/sqlite.h"

namespace fb::record {

class GrowingCount {
 public:
  // `sql` counts the rows above the number ?1 and tells the greatest number: SELECT count(*), max(seq) ... > ?1. A
  // literal, the same at every call. What the connection reads must not be older than what was read here before.
  Result<int64_t> count(Sqlite& db, std::string_view sql) {
    const Known before = known();
    FB_TRY(Rows row, db.query(sql, before.last));
    FB_TRY(const bool any, row.next());
    if (!any) return before.rows;
    const Known now{before.rows + row.integer(0), row.is_null(1) ? before.last : row.integer(1)};
    const std::lock_guard lock(mutex_);
    if (now.last > known_.last) known_ = now;
    return now.rows;
  }

 private:
  struct Known {
    int64_t rows = 0;
    int64_t last = 0;
  };
  Known known() const {
    const std::lock_guard lock(mutex_);
    return known_;
  }

  mutable std::mutex mutex_;
  Known known_;
};

}  // namespace fb::record
