// How many rows a table has that only grows, without counting them all each time: the rows up to one number are
// remembered, those after it are counted. True at any moment, whatever others write: a row that was seen committed
// never goes, and a later one has a greater number. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>

#include "engine/record/sqlite.h"

namespace fb::record {

// What is asked: `all` counts every row and tells the greatest number of the table, by whatever index is the smallest;
// `above` does so for the rows above the number ?1. Literals, since connections keep their statements.
struct CountSql {
  const char* all;
  const char* above;
};
inline constexpr CountSql kAlertsCounted = {"SELECT count(*), max(seq) FROM alerts",
                                            "SELECT count(*), max(seq) FROM alerts WHERE seq > ?"};
// The number is that of any action, so that it goes on where only people ask for some.
inline constexpr CountSql kActionsByRulesCounted = {
    "SELECT (SELECT count(*) FROM actions WHERE manual = 0), (SELECT max(seq) FROM actions)",
    "SELECT count(*) FILTER (WHERE manual = 0), max(seq) FROM actions WHERE seq > ?"};

class GrowingCount {
 public:
  explicit GrowingCount(const CountSql& sql) : sql_(sql) {}

  // What the connection reads must not be older than what was read here before.
  Result<int64_t> count(Sqlite& db) {
    const Known before = known();
    FB_TRY(Rows row, before.last == 0 ? db.query(sql_.all) : db.query(sql_.above, before.last));
    FB_TRY(const bool any, row.next());
    if (!any) return before.rows;
    const Known now{before.rows + row.integer(0), row.is_null(1) ? before.last : row.integer(1)};
    const std::lock_guard lock(mutex_);
    if (now.last > known_.last) known_ = now;
    return now.rows;
  }

  // The number up to which the rows are remembered.
  int64_t last() const { return known().last; }

 private:
  struct Known {
    int64_t rows = 0;
    int64_t last = 0;
  };
  Known known() const {
    const std::lock_guard lock(mutex_);
    return known_;
  }

  const CountSql sql_;
  mutable std::mutex mutex_;
  Known known_;
};

}  // namespace fb::record
