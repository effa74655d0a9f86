// Opening: permissions, the lock, what is refused and left alone, migration.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "engine/record/schema.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::test {
namespace {

namespace fs = std::filesystem;

class Open : public RecordTest {
 protected:
  static std::string bytes_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << bytes;
    ASSERT_TRUE(out.good());
  }
  static mode_t mode_of(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }
  // Refused, with this code and this in the message, and the file is byte for byte as it was.
  void refused(ErrorCode code, const std::string& part) {
    const std::string before = bytes_of(db());
    const auto opened = Store::open(options());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, code) << opened.error().describe();
    EXPECT_EQ(opened.error().retry, Retry::no);
    EXPECT_NE(opened.error().message.find(part), std::string::npos) << opened.error().message;
    EXPECT_EQ(bytes_of(db()), before) << "the file was touched";
  }
  void fill() {
    open();
    for (int64_t i = 0; i < 200; ++i) {
      BatchOutcome b;
      b.alerts = {alert(rule("r1"), "ep-1", i)};
      b.alerts[0].source.assign(2000, 'x');
      b.advances = {advance(i, i + 1)};
      keep(b);
    }
    close();
  }
};

TEST_F(Open, FilesAreTheOwnersOnly) {
  ::umask(0);
  open();
  ::umask(022);
  enroll("ep-1");
  EXPECT_EQ(mode_of(dir_.path() + "/data"), 0700u);
  for (const char* name : {"firebreak.db", "firebreak.db-wal", "firebreak.db-shm", "firebreak.lock", "ballast"}) {
    EXPECT_EQ(mode_of(dir_.path() + "/data/" + name), 0600u) << name;
  }
}

TEST_F(Open, DirectoryThatIsOpenToOthersIsClosed) {
  fs::create_directories(dir_.path() + "/data");
  ::chmod((dir_.path() + "/data").c_str(), 0755);
  open();
  EXPECT_EQ(mode_of(dir_.path() + "/data"), 0700u);
}

TEST_F(Open, SettingsThatDurabilityRestsOn) {
  open();
  EXPECT_EQ(ask("PRAGMA journal_mode"), "wal");
  EXPECT_EQ(ask("PRAGMA page_size"), "4096");
  EXPECT_EQ(ask("PRAGMA integrity_check"), "ok");
}

TEST_F(Open, SecondServiceOnOneDirectoryIsRefused) {
  open();
  const auto second = Store::open(options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  EXPECT_EQ(second.error().retry, Retry::no);
  EXPECT_NE(second.error().message.find("process " + std::to_string(::getpid())), std::string::npos)
      << second.error().message;
  close();
  open();  // given back at the end
}

TEST_F(Open, LockOfAKilledServiceIsGone) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto held = Store::open(options());
    const char ok = held ? '1' : '0';
    if (::write(ready[1], &ok, 1) != 1) ::_exit(9);
    ::pause();
    ::_exit(0);
  }
  char ok = 0;
  ASSERT_EQ(::read(ready[0], &ok, 1), 1);
  ASSERT_EQ(ok, '1');
  EXPECT_EQ(Store::open(options()).error().code, ErrorCode::busy);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  open();
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(Open, EmptyFileIsRefused) {
  open();
  close();
  write(db(), "");
  refused(ErrorCode::corrupt, "0 bytes");
}

TEST_F(Open, FileThatIsNoDatabaseIsRefused) {
  open();
  close();
  write(db(), std::string(8192, 'z'));
  refused(ErrorCode::corrupt, "no SQLite database");
}

TEST_F(Open, DamagedHeaderIsRefused) {
  fill();
  std::string bytes = bytes_of(db());
  for (size_t i = 16; i < 100; ++i) bytes[i] = '\x5a';
  write(db(), bytes);
  refused(ErrorCode::corrupt, "damaged");
}

TEST_F(Open, DamagedPageInTheMiddleIsRefused) {
  fill();
  std::string bytes = bytes_of(db());
  ASSERT_GT(bytes.size(), size_t{4096 * 40});
  for (size_t page = bytes.size() / 4096 / 2; page < bytes.size() / 4096 / 2 + 4; ++page) {
    for (size_t i = 0; i < 4096; ++i) bytes[page * 4096 + i] = static_cast<char>(i * 7 + page);
  }
  write(db(), bytes);
  refused(ErrorCode::corrupt, "damaged");
}

TEST_F(Open, FileCutOffIsRefused) {
  fill();
  const std::string bytes = bytes_of(db());
  write(db(), bytes.substr(0, bytes.size() / 2));
  refused(ErrorCode::corrupt, "damaged");
}

TEST_F(Open, NewerSchemaIsRefusedAndOlderServiceSaysWhatToDo) {
  open();
  close();
  RawDb(db()).run("PRAGMA user_version = 99");
  refused(ErrorCode::unsupported,
          "newer Firebreak (schema 99, this one knows " + std::to_string(record::kSchemaVersion) + ")");
  const auto reader = record::Reader::open(db());
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, ErrorCode::unsupported);
}

TEST_F(Open, SomebodyElsesDatabaseIsRefused) {
  fs::create_directories(dir_.path() + "/data");
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(db().c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(raw, "CREATE TABLE t(a)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(raw);
  refused(ErrorCode::corrupt, "not a Firebreak record");
}

TEST_F(Open, LogWithoutItsFileIsNotBuriedUnderANewOne) {
  fs::create_directories(dir_.path() + "/data");
  write(db() + "-wal", "frames");
  const auto opened = Store::open(options());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
  EXPECT_FALSE(fs::exists(db()));
}

TEST_F(Open, HalfMadeFirstRecordIsMadeAnew) {
  fs::create_directories(dir_.path() + "/data");
  write(db() + ".new", "half");
  open();
  EXPECT_FALSE(fs::exists(db() + ".new"));
  EXPECT_EQ(count("SELECT count(*) FROM alerts"), 0);
}

TEST_F(Open, LostSharedMemoryFileIsMadeAnew) {
  fill();
  fs::remove(db() + "-shm");
  open();
  EXPECT_EQ(count("SELECT count(*) FROM alerts"), 200);
}

TEST_F(Open, TornEndOfTheLogLosesOnlyWhatWasNotWhole) {
  open();
  enroll("ep-1");
  keep(batch(rule("r1"), "ep-1", 0));
  // The files as a crash would leave them; the store goes on meanwhile and is not looked at again.
  const std::string copy = dir_.path() + "/copy";
  fs::create_directories(copy);
  const pid_t child = ::fork();  // another process, so that closing its descriptors drops no lock of ours
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::error_code ec;
    fs::copy_file(db(), copy + "/firebreak.db", ec);
    fs::copy_file(db() + "-wal", copy + "/firebreak.db-wal", ec);
    ::_exit(ec ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  close();
  const std::string log = bytes_of(copy + "/firebreak.db-wal");
  ASSERT_GT(log.size(), 200u);
  write(copy + "/firebreak.db-wal", log.substr(0, log.size() - 100));
  StoreOptions o = options();
  o.data_dir = copy;
  open(o);
  EXPECT_FALSE(store_->next_offset("cluster", "events", 0, 0).value().has_value())
      << "the last commit was torn: all of it is gone";
  EXPECT_EQ(RawDb(copy + "/firebreak.db").number("SELECT count(*) FROM alerts"), 0);
  EXPECT_EQ(RawDb(copy + "/firebreak.db").number("SELECT count(*) FROM endpoints"), 1);
  EXPECT_EQ(keep(batch(rule("r1"), "ep-1", 0)).intents, 1u);
}

TEST_F(Open, MigrationIsMadeOnceAndOpeningAgainChangesNothing) {
  fill();
  const std::string schema = ask("SELECT group_concat(sql, ';') FROM sqlite_master");
  const std::string before = bytes_of(db());
  for (int i = 0; i < 3; ++i) {
    open();
    close();
  }
  EXPECT_EQ(ask("SELECT group_concat(sql, ';') FROM sqlite_master"), schema);
  EXPECT_EQ(bytes_of(db()), before);
  EXPECT_EQ(ask("SELECT value FROM meta WHERE key = 'schema'"), std::to_string(record::kSchemaVersion));
  EXPECT_EQ(count("PRAGMA user_version"), record::kSchemaVersion);
}

TEST_F(Open, CopyMadeWhileItRunsIsAWholeRecord) {
  open();
  enroll("ep-1");
  keep(batch(rule("r1"), "ep-1", 0));
  const std::string copy = dir_.path() + "/restored";
  fs::create_directories(copy);
  RawDb(db()).run("VACUUM INTO '" + copy + "/firebreak.db'");
  keep(batch(rule("r1"), "ep-1", 1));
  close();
  StoreOptions o = options();
  o.data_dir = copy;
  open(o);
  EXPECT_EQ(store_->next_offset("cluster", "events", 0, 0).value(), 1);
  EXPECT_TRUE(record::verify_audit(copy + "/firebreak.db").value().ok);
  EXPECT_EQ(keep(batch(rule("r1"), "ep-1", 0)).known_alerts, 1u) << "what is read again is known";
  EXPECT_EQ(keep(batch(rule("r1"), "ep-1", 1)).new_alerts, 1u);
}

}  // namespace
}  // namespace fb::test
