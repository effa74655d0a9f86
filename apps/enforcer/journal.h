// What was done on this host, one JSON object a line in <folder>/journal.ndjson (mode 0600), synced before an effect
// (phase begin) and after it (phase done). It is what makes an order that comes twice act once, over crashes too, and
// what says after a reboot which order is in force. One owner, one thread at a time. An append costs one write and one
// fdatasync.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/model/names.h"

namespace fb::agent {

struct JournalEntry {
  enum class Phase : uint8_t { begin, done };
  std::string action_id;
  int64_t generation = 0;
  Verb verb = Verb::isolate;
  Phase phase = Phase::begin;
  std::string result;                       // of phase done: "done" or "failed"
  Isolation observed = Isolation::unknown;  // read back after it
  std::string message;                      // why it failed
  int64_t at_ms = 0;
  // What the order was: "isolate", "release", "update_allow_set", "renew", or how the host let itself back in: "lease",
  // "break_glass", "rollback". "" in a line of an older agent: as the verb says.
  std::string order;
  int64_t epoch = 0;     // of the envelope; 0 in a line of an older agent and for what the host did by itself
  int64_t revision = 0;  // in that epoch
  int64_t sequence = 0;  // of a local release
};

std::string write_entry(const JournalEntry& entry);  // one line, without its end
Result<JournalEntry> read_entry(std::string_view line);

class Journal {
 public:
  // Reads what is there. A last line without its end is the trace of a crash: it is cut off. A broken line further up
  // is kept in the file, passed over and counted. busy when another process has it. One that has grown beyond max_bytes
  // becomes <path>.1 (one is kept), and the new one begins with what still matters: the last kKeptEntries entries, and
  // the last isolation, update and renewal.
  static constexpr size_t kMaxBytes = 16u << 20;
  static constexpr size_t kKeptEntries = 2'000;
  static Result<Journal> open(const std::string& path, size_t max_bytes = kMaxBytes);
  ~Journal();
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&&) = delete;
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Durable when it returns. After a failure the file is as it was.
  Status append(const JournalEntry& entry);

  const std::vector<JournalEntry>& replayed() const { return replayed_; }
  size_t broken_lines() const { return broken_lines_; }
  bool was_torn() const { return was_torn_; }

 private:
  Status shorten();

  Journal(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
  std::vector<JournalEntry> replayed_;
  size_t broken_lines_ = 0;
  bool was_torn_ = false;
};

}  // namespace fb::agent
