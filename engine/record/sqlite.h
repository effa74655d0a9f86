// One SQLite connection and its statements, with Results in place of return codes. Used by one thread at a time.
// Statements are compiled once a connection and kept. Only engine/record sees this file.
//
// Errors: FULL -> no_space (retry), BUSY and LOCKED -> busy (retry), CORRUPT and NOTADB -> corrupt, INTERRUPT ->
// timeout, a broken constraint -> conflict, a statement that is wrong -> internal, what the machine refuses -> io.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace fb::record {

// Bytes that are bound as BLOB; text is bound as TEXT.
struct Blob {
  std::string_view bytes;
};

class Sqlite;

// A running statement. Resets itself when it goes out of scope; views from text() live until the next next().
class Rows {
 public:
  explicit Rows(Sqlite* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  Rows(Rows&& other) noexcept : db_(other.db_), statement_(other.statement_) { other.statement_ = nullptr; }
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  Rows& operator=(Rows&&) = delete;
  ~Rows();

  Result<bool> next();  // false: no more rows
  int64_t integer(int column) const;
  std::string_view text(int column) const;  // "" for NULL; bytes of a BLOB too
  std::string string(int column) const { return std::string(text(column)); }
  bool is_null(int column) const;
  bool is_integer(int column) const;

 private:
  friend class Sqlite;
  Sqlite* db_;
  sqlite3_stmt* statement_;
};

class Sqlite {
 public:
  enum class Open : uint8_t {
    create,      // for a file that does not exist or is empty
    read_write,  // the writer's; the file must exist
    read_only,   // never checkpoints
  };
  static Result<std::unique_ptr<Sqlite>> open(const std::string& path, Open how, int busy_timeout_ms);
  // For a file that nobody writes, in a place where nothing can be written.
  static Result<std::unique_ptr<Sqlite>> open_immutable(const std::string& path);
  ~Sqlite();
  Sqlite(const Sqlite&) = delete;
  Sqlite& operator=(const Sqlite&) = delete;

  // Several statements without parameters or results; for schemas and PRAGMAs.
  Status script(const std::string& sql);

  // `sql` must be a literal (or outlive the connection): it is the key of the statement cache.
  template <class... Args>
  Result<Rows> query(std::string_view sql, const Args&... args) {
    FB_TRY(sqlite3_stmt * statement, prepare(sql));
    Rows rows(this, statement);
    int at = 0;
    Status bound;
    (void)((bound = bind(statement, ++at, args), bound.has_value()) && ...);
    if (!bound) return tl::unexpected<Error>(std::move(bound).error());
    return rows;
  }
  // Runs to the end; the number of rows changed.
  template <class... Args>
  Result<int64_t> change(std::string_view sql, const Args&... args) {
    FB_TRY(Rows rows, query(sql, args...));
    FB_TRY_VOID(finish(rows));
    return changes();
  }
  template <class... Args>
  Status run(std::string_view sql, const Args&... args) {
    FB_TRY(Rows rows, query(sql, args...));
    return finish(rows);
  }
  // The first column of the first row; nothing when there is no row or it is NULL.
  template <class... Args>
  Result<std::optional<int64_t>> integer(std::string_view sql, const Args&... args) {
    FB_TRY(Rows rows, query(sql, args...));
    FB_TRY(const bool any, rows.next());
    if (!any || rows.is_null(0)) return std::optional<int64_t>();
    return std::optional<int64_t>(rows.integer(0));
  }
  template <class... Args>
  Result<std::optional<std::string>> text(std::string_view sql, const Args&... args) {
    FB_TRY(Rows rows, query(sql, args...));
    FB_TRY(const bool any, rows.next());
    if (!any || rows.is_null(0)) return std::optional<std::string>();
    return std::optional<std::string>(rows.string(0));
  }

  bool in_transaction() const;
  int64_t changes() const;
  int64_t last_rowid() const;
  // Statements that run longer than this from now on end with a timeout; 0 = no limit.
  void limit_from_now(int64_t ms);
  sqlite3* handle() const { return db_; }
  Error error(int code);
  // The disk or the file failed (io, corrupt, no_space) since this was asked last; then no job's own error, but
  // everybody's.
  bool took_trouble();

 private:
  friend class Rows;
  Sqlite() = default;
  static Result<std::unique_ptr<Sqlite>> open_as(const std::string& name, int flags, bool is_reader,
                                                 int busy_timeout_ms);
  Result<sqlite3_stmt*> prepare(std::string_view sql);
  Status finish(Rows& rows);
  Status bind(sqlite3_stmt* statement, int at, std::string_view text);
  Status bind(sqlite3_stmt* statement, int at, const std::string& text) {
    return bind(statement, at, std::string_view(text));
  }
  Status bind(sqlite3_stmt* statement, int at, const char* text) { return bind(statement, at, std::string_view(text)); }
  Status bind(sqlite3_stmt* statement, int at, Blob blob);
  Status bind(sqlite3_stmt* statement, int at, int64_t value);
  Status bind(sqlite3_stmt* statement, int at, int value) { return bind(statement, at, int64_t{value}); }
  Status bind(sqlite3_stmt* statement, int at, bool value) { return bind(statement, at, int64_t{value ? 1 : 0}); }
  Status bind(sqlite3_stmt* statement, int at, const std::optional<int64_t>& value);
  Status bind(sqlite3_stmt* statement, int at, std::nullptr_t);

  sqlite3* db_ = nullptr;
  std::string path_;
  int64_t deadline_ms_ = 0;
  bool trouble_ = false;
  std::unordered_map<std::string_view, sqlite3_stmt*> statements_;
};

}  // namespace fb::record
