#include "engine/record/writer.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <exception>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/record/audit.h"

namespace fb::record {
namespace {

constexpr size_t kMaxGroup = 128;           // jobs in one transaction
constexpr int kCheckpointPages = 1000;      // pages in the log before it is worth a checkpoint when idle
constexpr int kCheckpointPagesBusy = 8000;  // and before one is made between two transactions
constexpr int64_t kPageBytes = 4096;
constexpr int64_t kIdleMs = 1000;
constexpr int kWaitForReadersMs = 200;

// Errors after which the connection can go on: the transaction is gone, the file is as it was.
bool may_go_on(const Error& e) {
  switch (e.code) {
    case ErrorCode::io:
    case ErrorCode::corrupt:
      return false;
    default:
      return true;
  }
}

int count_wal_pages(void* pages, sqlite3*, const char*, int in_log) {
  *static_cast<int*>(pages) = in_log;
  return SQLITE_OK;
}

}  // namespace

Status Txn::audit(std::string_view actor, std::string_view what, std::string_view ref, std::string_view detail) {
  return append_audit(db, now_ms, actor, what, ref, detail);
}

Status Txn::point(std::string_view name) {
  Status s = failpoint(name);
  disk_trouble = disk_trouble || !s;
  return s;
}

Writer::Writer(std::unique_ptr<Sqlite> db, WriterOptions options, const Clock& clock)
    : db_(std::move(db)), options_(std::move(options)), clock_(clock), ballast_path_(options_.data_dir + "/ballast") {
  sqlite3_wal_hook(db_->handle(), &count_wal_pages, &wal_pages_);  // takes the place of the automatic checkpoint
  make_ballast();
  thread_ = std::thread([this] { loop(); });
}

Writer::~Writer() {
  stop();
  if (!broken_) checkpoint(true);
}

void Writer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status Writer::run(Kind kind, Work work) {
  if (std::this_thread::get_id() == thread_.get_id()) {
    return fail(ErrorCode::internal, "a guard may not write to the store: it would wait for itself");
  }
  Job job{kind, std::move(work), {}, {}, false};
  std::unique_lock lock(mutex_);
  if (stopping_) return fail(ErrorCode::unavailable, "the record is closing");
  queue_.push_back(&job);
  wake_.notify_one();
  done_.wait(lock, [&] { return job.done; });
  return job.result;
}

void Writer::loop() {
  std::deque<Job*> waiting;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, std::chrono::milliseconds(kIdleMs), [&] { return stopping_ || !queue_.empty(); });
    if (stopping_ && queue_.empty()) return;
    waiting.swap(queue_);
    lock.unlock();
    while (!waiting.empty()) run_group(waiting);
    if (!broken_) idle();
    lock.lock();
  }
}

void Writer::finish(const std::vector<Job*>& jobs) {
  for (Job* job : jobs) {
    if (job->result) {
      for (const auto& then : job->after_commit) then();
    }
  }
  {
    const std::lock_guard lock(mutex_);
    for (Job* job : jobs) job->done = true;
  }
  done_.notify_all();  // the jobs live on their callers' stacks: not touched from here on
}

void Writer::run_group(std::deque<Job*>& waiting) {
  std::vector<Job*> taken;
  if (broken_) {
    taken.assign(waiting.begin(), waiting.end());
    waiting.clear();
    for (Job* job : taken) job->result = tl::unexpected<Error>(*broken_);
    finish(taken);
    return;
  }
  Status committed = commit_group(waiting, taken, false);
  if (!committed && may_go_on(committed.error()) && committed.error().code != ErrorCode::busy && taken.size() > 1) {
    // What undid them all may be the fault of one: each alone.
    std::deque<Job*> again(taken.begin(), taken.end());
    while (!again.empty()) {
      std::vector<Job*> one;
      Status alone = commit_group(again, one, true);
      if (!alone) {
        one.front()->result = alone;
        if (alone.error().code == ErrorCode::no_space) free_ballast(alone.error());
        if (!may_go_on(alone.error())) break_down(alone.error());
      }
      finish(one);
      if (broken_) {
        taken.assign(again.begin(), again.end());
        for (Job* job : taken) job->result = tl::unexpected<Error>(*broken_);
        finish(taken);
        return;
      }
    }
    return;
  }
  if (!committed) {
    for (Job* job : taken) job->result = committed;
    if (committed.error().code == ErrorCode::no_space) free_ballast(committed.error());
    if (!may_go_on(committed.error())) break_down(committed.error());
  }
  if (committed) {
    for (const Job* job : taken) full_noted_ = full_noted_ && !(job->kind == Kind::ingest && job->result);
  }
  finish(taken);
  if (!broken_ && wal_pages_ > kCheckpointPagesBusy) {
    const bool over = int64_t{wal_pages_} * kPageBytes > options_.wal_cap_bytes;
    checkpoint(over && clock_.mono_ms() - last_truncate_ms_ > kIdleMs);
  }
}

// Takes jobs from the front into `taken` and commits them as one. An error means that nothing of them is on disk (or,
// for io and corrupt, that nobody knows); a job that failed by itself has its own result and does not count here.
Status Writer::commit_group(std::deque<Job*>& waiting, std::vector<Job*>& taken, bool alone) {
  const auto take = [&]() -> Job* {
    Job* job = waiting.front();
    waiting.pop_front();
    taken.push_back(job);
    job->result = {};
    job->after_commit.clear();
    return job;
  };
  const auto undo = [&](Status why) {
    rollback();
    return why;
  };
  if (Status begun = db_->script("BEGIN IMMEDIATE"); !begun) {
    take();
    while (!alone && !waiting.empty() && taken.size() < kMaxGroup) take();
    return undo(std::move(begun));
  }
  bool stop = false;
  while (!stop && !waiting.empty() && taken.size() < (alone ? 1 : kMaxGroup)) {
    Job* job = take();
    if (taken.size() == 1) {
      if (Status s = failpoint("record.begin"); !s) return undo(std::move(s));
    }
    if (job->kind == Kind::ingest && starved_) {
      make_ballast();
      if (starved_) {
        job->result = fail(ErrorCode::no_space, "the disk is full: nothing is read until there is room again",
                           options_.data_dir, Retry::yes);
        continue;
      }
    }
    Txn txn{*db_, clock_.wall_ms(), false, {}, false};
    (void)db_->took_trouble();
    if (Status s = db_->script("SAVEPOINT job"); !s) return undo(std::move(s));
    job->result = run_job(*job, txn);
    if (job->result) {
      if (Status s = db_->script("RELEASE job"); !s) return undo(std::move(s));
      job->after_commit = std::move(txn.after_commit);
      stop = txn.commit_now;
      continue;
    }
    // A disk that is full or broken is everybody's trouble, and SQLite may have undone the transaction already.
    // A guard's own error, whatever its code, is only this job's.
    if (db_->took_trouble() || txn.disk_trouble || !db_->in_transaction()) return undo(job->result);
    if (Status s = db_->script("ROLLBACK TO job; RELEASE job"); !s) return undo(std::move(s));
  }
  if (Status s = seal_audit(*db_); !s) return undo(std::move(s));
  if (Status s = failpoint("record.before_commit"); !s) return undo(std::move(s));
  if (Status s = db_->script("COMMIT"); !s) return undo(std::move(s));
  return failpoint("record.after_commit");
}

Status Writer::run_job(Job& job, Txn& txn) {
  // Jobs call the guard, which is others' code: an exception must not end the one thread that writes.
  try {
    return job.work(txn);
  } catch (const std::exception& e) {
    return fail(ErrorCode::internal, std::string("a write ended with an exception: ") + e.what());
  }
}

void Writer::rollback() {
  if (db_->in_transaction()) (void)db_->script("ROLLBACK");
}

void Writer::break_down(const Error& error) {
  broken_ = error;
  broken_->retry = Retry::no;
  log(LogLevel::error, "record_broken", "the record can't be written any more; the process must be started again",
      {{"error", error.describe()}});
}

void Writer::idle() {
  const int64_t now = clock_.mono_ms();
  const bool tick = last_idle_ms_ == 0 || now - last_idle_ms_ >= kIdleMs;
  if (wal_pages_ > kCheckpointPages) checkpoint(false);
  if (!tick) return;
  last_idle_ms_ = now;
  if (starved_) make_ballast();
  if (!options_.housekeeping) return;
  Job job{Kind::control, options_.housekeeping, {}, {}, false};
  std::deque<Job*> one{&job};
  std::vector<Job*> taken;
  Status done = commit_group(one, taken, true);
  if (done) done = job.result;
  if (done) {
    for (const auto& then : job.after_commit) then();
  } else if (!may_go_on(done.error())) {
    break_down(done.error());
  } else {
    log(LogLevel::warn, "record_housekeeping_failed", "will be tried again", {{"error", done.error().describe()}});
  }
}

void Writer::checkpoint(bool wait_for_readers) {
  if (Status s = failpoint("record.checkpoint"); !s) return;
  int in_log = 0;
  int moved = 0;
  if (wait_for_readers) {
    last_truncate_ms_ = clock_.mono_ms();
    sqlite3_busy_timeout(db_->handle(), kWaitForReadersMs);
  }
  const int code = sqlite3_wal_checkpoint_v2(db_->handle(), nullptr,
                                             wait_for_readers ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE,
                                             &in_log, &moved);
  if (wait_for_readers) sqlite3_busy_timeout(db_->handle(), options_.busy_timeout_ms);
  if (code == SQLITE_OK) {
    wal_pages_ = in_log - moved;  // what a reader still needs is tried again after the next commits
    return;
  }
  const Error error = db_->error(code);
  // No room, or a reader in the way: the log still has everything.
  log(LogLevel::warn, "record_checkpoint_failed", "the log stays until it succeeds", {{"error", error.describe()}});
  if (!may_go_on(error)) break_down(error);
}

bool Writer::room_for_ballast() const {
  struct statvfs disk {};
  if (statvfs(options_.data_dir.c_str(), &disk) != 0) return false;
  // Twice as much: the ballast and at least as much to work with.
  return static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize) > 2 * options_.ballast_bytes;
}

void Writer::make_ballast() {
  if (options_.ballast_bytes == 0) {
    starved_ = false;
    return;
  }
  if (access(ballast_path_.c_str(), F_OK) == 0) {
    starved_ = false;
    return;
  }
  if (!room_for_ballast()) {
    if (!starved_) log(LogLevel::warn, "disk_nearly_full", "no room for the ballast file", {{"path", ballast_path_}});
    starved_ = true;
    return;
  }
  const int fd = ::open(ballast_path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC | O_EXCL, 0600);
  const bool made = fd >= 0 && posix_fallocate(fd, 0, options_.ballast_bytes) == 0;
  if (fd >= 0) ::close(fd);
  if (!made && fd >= 0) ::unlink(ballast_path_.c_str());
  if (made && starved_) log(LogLevel::info, "disk_has_room", "reading goes on", {{"path", ballast_path_}});
  starved_ = !made;
}

void Writer::free_ballast(const Error& why) {
  if (options_.ballast_bytes == 0 || starved_) return;
  starved_ = true;
  ::unlink(ballast_path_.c_str());
  log(LogLevel::error, "disk_full", "the ballast file was given up so that releases and the audit can still be written",
      {{"error", why.describe()}});
  if (full_noted_) return;
  full_noted_ = true;
  Job job{Kind::control,
          [](Txn& txn) { return txn.audit("record", "disk_full", "", "reading stopped until there is room"); },
          {},
          {},
          false};
  std::deque<Job*> one{&job};
  std::vector<Job*> taken;
  if (Status s = commit_group(one, taken, true); !s && !may_go_on(s.error())) break_down(s.error());
}

}  // namespace fb::record
