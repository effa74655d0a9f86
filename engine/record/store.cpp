#include "engine/record/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/record/audit.h"
#include "engine/record/impl.h"
#include "engine/record/schema.h"

namespace fb {

using record::Rows;
using record::Sqlite;
using record::Txn;

namespace record {

Result<std::unique_ptr<Sqlite>> ReadPool::take() {
  std::unique_ptr<Sqlite> db;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      db = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (db == nullptr) {
    FB_TRY(db, Sqlite::open(path_, Sqlite::Open::read_only, busy_timeout_ms_));
  }
  db->limit_from_now(limit_ms_);
  return db;
}

void ReadPool::give(std::unique_ptr<Sqlite> db) {
  constexpr size_t kKept = 8;  // as many as threads that serve
  db->limit_from_now(0);
  if (db->took_trouble()) return;  // a fresh connection next time
  const std::lock_guard lock(mutex_);
  if (free_.size() < kKept) free_.push_back(std::move(db));
}

}  // namespace record

namespace {

constexpr const char* kCopy = "restore a backup or move the file away (docs/record.md); it was left as it is";

Error system_error(const std::string& what, const std::string& path) {
  const int code = errno;
  return Error{code == ENOSPC ? ErrorCode::no_space : ErrorCode::io, Retry::no, what + ": " + std::strerror(code),
               path};
}

Status prepare_directory(const std::string& dir) {
  std::error_code ec;
  const std::filesystem::path parent = std::filesystem::path(dir).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, ec);
  if (::mkdir(dir.c_str(), 0700) == 0) return {};
  if (errno != EEXIST) return tl::unexpected<Error>(system_error("the data directory can't be made", dir));
  struct stat info {};
  if (::stat(dir.c_str(), &info) != 0)
    return tl::unexpected<Error>(system_error("the data directory can't be read", dir));
  if (!S_ISDIR(info.st_mode)) return fail(ErrorCode::io, "the data directory is not a directory", dir);
  if ((info.st_mode & 077) != 0 && ::chmod(dir.c_str(), 0700) != 0) {
    return tl::unexpected<Error>(system_error("the data directory is open to others and can't be closed", dir));
  }
  return {};
}

// Held as long as the descriptor is open, whatever way the process ends.
Result<int> take_lock(const std::string& dir) {
  const std::string path = dir + "/firebreak.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return tl::unexpected<Error>(system_error("the lock file can't be opened", path));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    std::array<char, 32> pid{};
    const ssize_t got = ::pread(fd, pid.data(), pid.size() - 1, 0);
    ::close(fd);
    errno = code;
    if (code != EWOULDBLOCK) return tl::unexpected<Error>(system_error("the data directory can't be locked", path));
    std::string who(pid.data(), got > 0 ? static_cast<size_t>(got) : 0);
    while (!who.empty() && (who.back() < '0' || who.back() > '9')) who.pop_back();
    return fail(ErrorCode::busy,
                "another Firebreak" + (who.empty() ? std::string() : " (process " + who + ")") +
                    " uses this data directory; two services need two directories",
                dir);
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    log(LogLevel::debug, "lock_file", "the process id could not be noted", {{"path", path}});
  }
  return fd;
}

Status sync_path(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return tl::unexpected<Error>(system_error("can't be opened", path));
  const bool ok = ::fsync(fd) == 0;
  const Error error = ok ? Error{} : system_error("can't be made durable", path);
  ::close(fd);
  if (!ok) return tl::unexpected<Error>(error);
  return {};
}

// A first record appears whole or not at all: it is built under another name.
Status create_record(const std::string& dir, const std::string& path) {
  const std::string fresh = path + ".new";
  for (const char* tail : {"", "-journal", "-wal", "-shm"}) ::unlink((fresh + tail).c_str());
  const int fd = ::open(fresh.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return tl::unexpected<Error>(system_error("the record can't be made", fresh));
  ::close(fd);
  {
    FB_TRY(std::unique_ptr<Sqlite> db, Sqlite::open(fresh, Sqlite::Open::create, 1000));
    FB_TRY_VOID(db->script("PRAGMA page_size=4096; PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;"));
    FB_TRY_VOID(record::migrate(*db));
  }
  FB_TRY_VOID(failpoint("record.create"));
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    return tl::unexpected<Error>(system_error("the record can't be put in place", path));
  }
  return sync_path(dir, O_RDONLY | O_DIRECTORY);
}

Status check_header(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return tl::unexpected<Error>(system_error("the record can't be opened", path));
  std::array<char, 16> head{};
  const ssize_t got = ::pread(fd, head.data(), head.size(), 0);
  ::close(fd);
  if (got == 0) return fail(ErrorCode::corrupt, std::string("the record is empty (0 bytes); ") + kCopy, path);
  if (got != static_cast<ssize_t>(head.size()) || std::memcmp(head.data(), "SQLite format 3", 16) != 0) {
    return fail(ErrorCode::corrupt, std::string("the record is damaged: this is no SQLite database; ") + kCopy, path);
  }
  return {};
}

Status check_pages(Sqlite& db, const std::string& path) {
  FB_TRY(Rows rows, db.query("PRAGMA quick_check(1)"));
  FB_TRY(const bool any, rows.next());
  const std::string said = any ? rows.string(0) : "no answer";
  if (said == "ok") return {};
  return fail(ErrorCode::corrupt, "the record is damaged (" + said + "); " + kCopy, path);
}

Error explained(Error e) {
  if (e.code == ErrorCode::corrupt && e.message.find(kCopy) == std::string::npos &&
      e.message.find("left alone") == std::string::npos) {
    e.message = "the record is damaged (" + e.message + "); " + kCopy;
  }
  return e;
}

Result<std::unique_ptr<Sqlite>> open_record(const StoreOptions& options, const std::string& path) {
  FB_TRY(std::unique_ptr<Sqlite> db, Sqlite::open(path, Sqlite::Open::read_write, options.busy_timeout_ms));
  if (sqlite3_db_readonly(db->handle(), "main") != 0)
    return fail(ErrorCode::io, "the record can't be written to", path);
  if (options.check) FB_TRY_VOID(check_pages(*db, path));
  FB_TRY_VOID(record::migrate(*db));
  FB_TRY_VOID(record::make_indices(*db));
  FB_TRY(const auto mode, db->text("PRAGMA journal_mode=WAL"));
  if (mode != "wal") return fail(ErrorCode::io, "the file system can't hold a write-ahead log", path);
  FB_TRY_VOID(db->script("PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864; PRAGMA wal_autocheckpoint=0;"));
  if (options.max_pages > 0) FB_TRY_VOID(db->script("PRAGMA max_page_count=" + std::to_string(options.max_pages)));
  return db;
}

}  // namespace

Store::Impl::~Impl() {
  if (writer != nullptr) writer->stop();
  readers.reset();
  writer.reset();  // closes last, so that it can fold the log into the file
  if (lock_fd >= 0) ::close(lock_fd);
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->clock = options.clock != nullptr ? options.clock : &system_clock();
  impl->protection = {options.protected_hosts, options.protected_tags};
  impl->db_path = options.data_dir + "/firebreak.db";
  FB_TRY_VOID(prepare_directory(options.data_dir));
  FB_TRY(impl->lock_fd, take_lock(options.data_dir));
  struct stat info {};
  if (::lstat(impl->db_path.c_str(), &info) != 0) {
    if (errno != ENOENT) return tl::unexpected<Error>(system_error("the record can't be read", impl->db_path));
    // A new file under an old log would be overwritten from that log.
    struct stat log_info {};
    if (::lstat((impl->db_path + "-wal").c_str(), &log_info) == 0 && log_info.st_size > 0) {
      return fail(ErrorCode::corrupt,
                  std::string("the record is gone, but its log firebreak.db-wal is there; ") + kCopy, impl->db_path);
    }
    FB_TRY_VOID(create_record(options.data_dir, impl->db_path));
    log(LogLevel::info, "record_created", "a new record", {{"path", impl->db_path}});
  } else {
    FB_TRY_VOID(check_header(impl->db_path));
    if ((info.st_mode & 077) != 0) (void)::chmod(impl->db_path.c_str(), 0600);
  }
  auto opened = open_record(options, impl->db_path);
  if (!opened) return tl::unexpected<Error>(explained(std::move(opened).error()));
  std::unique_ptr<Sqlite> db = std::move(*opened);

  FB_TRY_VOID(impl->load_directory(*db));
  FB_TRY_VOID(impl->load_contested(*db));
  FB_TRY(const auto kill, db->text("SELECT value FROM settings WHERE key = 'kill_switch'"));
  impl->kill_switch = kill == "on";
  FB_TRY(const record::AuditHead head, record::audit_head(*db));
  log(LogLevel::info, "record_opened", "the record is open",
      {{"path", impl->db_path}, {"audit_rows", std::to_string(head.seq)}, {"audit_head", head.hash}});

  impl->readers = std::make_unique<record::ReadPool>(impl->db_path, options.busy_timeout_ms, options.read_limit_ms);
  record::WriterOptions writer;
  writer.data_dir = options.data_dir;
  writer.db_path = impl->db_path;
  writer.busy_timeout_ms = options.busy_timeout_ms;
  writer.ballast_bytes = options.ballast_bytes;
  writer.max_pages = options.max_pages;
  Impl* raw = impl.get();
  writer.housekeeping = [raw](Txn& txn) { return raw->housekeeping(txn); };
  impl->writer = std::make_unique<record::Writer>(std::move(db), std::move(writer), *impl->clock);
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Result<std::optional<int64_t>> Store::next_offset(const std::string& cluster, const std::string& topic, int32_t epoch,
                                                  int32_t partition) {
  return impl_->readers->with<std::optional<int64_t>>([&](Sqlite& db) {
    return db.integer("SELECT next_offset FROM offsets WHERE cluster = ? AND topic = ? AND epoch = ? AND partition = ?",
                      cluster, topic, epoch, partition);
  });
}

Result<Resolved> Store::resolve_alert(const std::string& alert_id) {
  Target target;
  FB_TRY(const bool known, impl_->readers->with<bool>([&](record::Sqlite& db) -> Result<bool> {
    FB_TRY(record::Rows row, db.query("SELECT agent_id, host_id, ambiguous FROM alerts WHERE alert_id = ?", alert_id));
    FB_TRY(const bool any, row.next());
    if (any) {
      target.agent_id = row.string(0);
      target.host_id = row.string(1);
      target.ambiguous = row.integer(2) != 0;
    }
    return any;
  }));
  if (!known) return fail(ErrorCode::not_found, "no alert has this id", alert_id);
  // The row does not tell which of the two it was.
  if (target.ambiguous) return Resolved{"", "ambiguous: the event's ids are not those of one host"};
  return impl_->directory.resolve(target);
}

const EndpointDirectory& Store::directory() const {
  return impl_->directory;
}
const std::string& Store::db_path() const {
  return impl_->db_path;
}

}  // namespace fb
