// The one thread that writes: it owns the only read-write connection, puts the jobs that wait into one transaction
// (group commit), each within a savepoint so that one that fails takes no other down, and makes the checkpoints. A
// caller's thread waits in run() until its job is durable. Thread-safe.
//
// How it fails: no_space and busy may be retried as they are. After io or corrupt (and any error of COMMIT that leaves
// doubt) every call fails the same way: the process must end, and what is on disk decides at the next start.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/record/sqlite.h"

namespace fb::record {

// What a job works with. Not kept beyond the job.
struct Txn {
  Sqlite& db;
  int64_t now_ms = 0;
  bool commit_now = false;  // set by the job: no further job joins this transaction (an intent is not kept waiting)
  std::vector<std::function<void()>>
      after_commit;  // in the writer's thread, once the job is durable, before its caller returns

  Status audit(std::string_view actor, std::string_view what, std::string_view ref, std::string_view detail);
  Status point(std::string_view name);  // a failpoint whose error counts as the disk's
  bool disk_trouble = false;
};

struct WriterOptions {
  std::string data_dir;
  std::string db_path;
  int busy_timeout_ms = 5000;
  int64_t ballast_bytes = 4 << 20;           // 0: no ballast
  int64_t max_pages = 0;                     // the database's size, in pages of 4 KiB; 0: no limit
  int64_t wal_cap_bytes = 64 << 20;          // beyond it a checkpoint waits for readers
  std::function<Status(Txn&)> housekeeping;  // about once a second
};

class Writer {
 public:
  enum class Kind : uint8_t {
    ingest,   // refused while the disk is so full that the ballast had to go
    control,  // releases, states, audit: may use what the ballast left
  };
  using Work = std::function<Status(Txn&)>;

  Writer(std::unique_ptr<Sqlite> db, WriterOptions options, const Clock& clock);
  ~Writer();  // finishes what waits, checkpoints, closes
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // `work` may run more than once (each time from the state before it), so it must set its results anew each time.
  Status run(Kind kind, Work work);

  // Finishes what waits; later calls are refused. The connection stays open until the end.
  void stop();

 private:
  struct Job {
    Kind kind;
    Work work;
    Status result;
    std::vector<std::function<void()>> after_commit;
    bool done = false;
  };

  void loop();
  void run_group(std::deque<Job*>& waiting);
  Status commit_group(std::deque<Job*>& waiting, std::vector<Job*>& taken, bool alone);
  Status run_job(Job& job, Txn& txn);
  void finish(const std::vector<Job*>& jobs);
  void rollback();
  void break_down(const Error& error);
  void idle();
  void checkpoint(bool wait_for_readers);
  void make_ballast();
  void free_ballast(const Error& why);
  bool room_for_ballast() const;

  std::unique_ptr<Sqlite> db_;
  const WriterOptions options_;
  const Clock& clock_;
  std::string ballast_path_;
  bool starved_ = false;         // the ballast was given up and is not back
  bool full_noted_ = false;      // one audit row for each time that reading stops
  std::optional<Error> broken_;  // writer's thread only
  int wal_pages_ = 0;
  int64_t last_idle_ms_ = 0;
  int64_t last_truncate_ms_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::deque<Job*> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace fb::record
