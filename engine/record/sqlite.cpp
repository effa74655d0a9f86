#include "engine/record/sqlite.h"

#include <sqlite3.h>

#include <utility>

#include "engine/base/clock.h"
#include "engine/base/digest.h"

namespace fb::record {
namespace {

int over_time(void* deadline_ms) {
  const int64_t deadline = *static_cast<const int64_t*>(deadline_ms);
  return deadline != 0 && system_clock().mono_ms() > deadline ? 1 : 0;
}

}  // namespace

Rows::~Rows() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Result<bool> Rows::next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return tl::unexpected<Error>(db_->error(code));
}

int64_t Rows::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string_view Rows::text(int column) const {
  // For text that is valid as stored, blob and text have the same bytes; asking for the blob converts nothing.
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  if (bytes == nullptr || size <= 0) return {};
  return {static_cast<const char*>(bytes), static_cast<size_t>(size)};
}

bool Rows::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

bool Rows::is_integer(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_INTEGER;
}

Result<std::unique_ptr<Sqlite>> Sqlite::open(const std::string& path, Open how, int busy_timeout_ms) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (how) {
    case Open::create:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
    case Open::read_write:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Open::read_only:
      flags |= SQLITE_OPEN_READONLY;
      break;
  }
  return open_as(path, flags, how == Open::read_only, busy_timeout_ms);
}

Result<std::unique_ptr<Sqlite>> Sqlite::open_immutable(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    // What a URI would take for its own.
    if (c == '%' || c == '?' || c == '#') {
      uri += '%' + hex(std::string_view(&c, 1));
    } else {
      uri += c;
    }
  }
  return open_as(uri + "?immutable=1",
                 SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, true, 0);
}

Result<std::unique_ptr<Sqlite>> Sqlite::open_as(const std::string& path, int flags, bool is_reader,
                                                int busy_timeout_ms) {
  // SQLite counts its memory under one lock of the whole process, which every thread that reads takes at each
  // allocation; nobody asks for these counts. Only before its first use: later calls change nothing.
  static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)configured;
  std::unique_ptr<Sqlite> db(new Sqlite);
  db->path_ = path;
  const int code = sqlite3_open_v2(path.c_str(), &db->db_, flags, nullptr);
  if (code != SQLITE_OK) return tl::unexpected<Error>(db->error(code));
  sqlite3_busy_timeout(db->db_, busy_timeout_ms);
  // The schema in the file is data, not program: it may not call functions with side effects, nor be written directly.
  sqlite3_db_config(db->db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db->db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // One connection checkpoints, the writer's (two at once can corrupt the log in SQLite before 3.51.3).
  if (is_reader) sqlite3_db_config(db->db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  FB_TRY_VOID(db->script("PRAGMA mmap_size=0; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"));
  return db;
}

Sqlite::~Sqlite() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Error Sqlite::error(int code) {
  Error e;
  e.context = path_;
  e.message = std::string("SQLite: ") + (db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(code)) + " (" +
              std::to_string(code) + ")";
  switch (code & 0xFF) {
    case SQLITE_FULL:
      e.code = ErrorCode::no_space;
      e.retry = Retry::yes;
      break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      e.code = ErrorCode::busy;
      e.retry = Retry::yes;
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      e.code = ErrorCode::corrupt;
      break;
    case SQLITE_INTERRUPT:
      e.code = ErrorCode::timeout;
      break;
    case SQLITE_CONSTRAINT:
      e.code = ErrorCode::conflict;
      break;
    case SQLITE_TOOBIG:
      e.code = ErrorCode::limit;
      break;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
    case SQLITE_SCHEMA:
      e.code = ErrorCode::internal;
      break;
    default:
      e.code = ErrorCode::io;
      break;
  }
  trouble_ = trouble_ || e.code == ErrorCode::io || e.code == ErrorCode::corrupt || e.code == ErrorCode::no_space;
  return e;
}

Status Sqlite::script(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error(code));
  return {};
}

Result<sqlite3_stmt*> Sqlite::prepare(std::string_view sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second;
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error(code));
  statements_.emplace(sql, statement);
  return statement;
}

Status Sqlite::finish(Rows& rows) {
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return {};
  }
}

Status Sqlite::bind(sqlite3_stmt* statement, int at, std::string_view text) {
  // Copied: a caller's temporary may be gone when the first row is asked for.
  const int code =
      sqlite3_bind_text64(statement, at, text.empty() ? "" : text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error(code));
  return {};
}

Status Sqlite::bind(sqlite3_stmt* statement, int at, Blob blob) {
  const int code = sqlite3_bind_blob64(statement, at, blob.bytes.empty() ? "" : blob.bytes.data(), blob.bytes.size(),
                                       SQLITE_TRANSIENT);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error(code));
  return {};
}

Status Sqlite::bind(sqlite3_stmt* statement, int at, int64_t value) {
  const int code = sqlite3_bind_int64(statement, at, value);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error(code));
  return {};
}

Status Sqlite::bind(sqlite3_stmt* statement, int at, const std::optional<int64_t>& value) {
  return value ? bind(statement, at, *value) : bind(statement, at, nullptr);
}

Status Sqlite::bind(sqlite3_stmt* statement, int at, std::nullptr_t) {
  const int code = sqlite3_bind_null(statement, at);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error(code));
  return {};
}

bool Sqlite::took_trouble() {
  return std::exchange(trouble_, false);
}

bool Sqlite::in_transaction() const {
  return sqlite3_get_autocommit(db_) == 0;
}
int64_t Sqlite::changes() const {
  return sqlite3_changes64(db_);
}
int64_t Sqlite::last_rowid() const {
  return sqlite3_last_insert_rowid(db_);
}

void Sqlite::limit_from_now(int64_t ms) {
  deadline_ms_ = ms == 0 ? 0 : system_clock().mono_ms() + ms;
  sqlite3_progress_handler(db_, ms == 0 ? 0 : 10'000, ms == 0 ? nullptr : &over_time, &deadline_ms_);
}

}  // namespace fb::record
