#include "apps/enforcer/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include "apps/enforcer/durable_file.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::agent {
namespace {

constexpr size_t kMaxJournalBytes = 256u << 20;
constexpr int kLockTries = 30;
constexpr int kLockPauseMs = 100;

tl::unexpected<Error> io_failed(const std::string& doing, const std::string& path) {
  const int error = errno;
  return fail(error == ENOSPC ? ErrorCode::no_space : ErrorCode::io, doing + ": " + std::strerror(error), path);
}

}  // namespace

std::string write_entry(const JournalEntry& entry) {
  nlohmann::ordered_json json;
  json["action_id"] = entry.action_id;
  json["generation"] = entry.generation;
  json["verb"] = to_string(entry.verb);
  json["phase"] = entry.phase == JournalEntry::Phase::begin ? "begin" : "done";
  json["result"] = entry.result;
  json["at"] = iso8601(entry.at_ms);
  json["at_ms"] = entry.at_ms;
  if (entry.phase == JournalEntry::Phase::done) {
    json["observed"] = to_string(entry.observed);
    json["message"] = entry.message;
  }
  if (!entry.order.empty()) {
    json["order"] = entry.order;
    json["epoch"] = entry.epoch;
    json["revision"] = entry.revision;
    if (entry.sequence > 0) json["sequence"] = entry.sequence;
  }
  return dumped(json);
}

Result<JournalEntry> read_entry(std::string_view line) {
  const auto json = parse_json(line);
  if (json.is_discarded() || !json.is_object()) return fail(ErrorCode::corrupt, "a journal line is not a JSON object");
  const auto text = [&](const char* key) {
    const auto at = json.find(key);
    return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  const auto number = [&](const char* key, int64_t otherwise = -1) {
    const auto at = json.find(key);
    return at != json.end() && at->is_number_integer() ? at->get<int64_t>() : otherwise;
  };
  JournalEntry entry;
  entry.action_id = text("action_id");
  entry.generation = number("generation");
  entry.at_ms = number("at_ms");
  entry.result = text("result");
  entry.message = text("message");
  entry.order = text("order");
  entry.epoch = number("epoch", 0);
  entry.revision = number("revision", 0);
  entry.sequence = number("sequence", 0);
  entry.observed = from_string<Isolation>(text("observed")).value_or(Isolation::unknown);
  const auto verb = from_string<Verb>(text("verb"));
  const std::string phase = text("phase");
  // An update or a renewal may have no action behind it.
  const bool may_be_nameless = entry.order == "update_allow_set" || entry.order == "renew";
  if ((entry.action_id.empty() && !may_be_nameless) || entry.generation < 0 || !verb ||
      (phase != "begin" && phase != "done")) {
    return fail(ErrorCode::corrupt, "a journal line lacks what it must have");
  }
  entry.verb = *verb;
  entry.phase = phase == "begin" ? JournalEntry::Phase::begin : JournalEntry::Phase::done;
  return entry;
}

Result<Journal> Journal::open(const std::string& path, size_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return io_failed("cannot open the journal", path);
  Journal journal(path, fd);
  // The lock ends with the process, or with a child of it that outlives it for a moment.
  for (int tries = 0; ::flock(fd, LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (tries >= kLockTries) return fail(ErrorCode::busy, "another process uses the journal", path);
    std::this_thread::sleep_for(std::chrono::milliseconds(kLockPauseMs));
  }
  FB_TRY(const std::string text, read_file(path, kMaxJournalBytes));
  size_t start = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', start)) {
    const std::string_view line(text.data() + start, end - start);
    start = end + 1;
    if (line.empty()) continue;
    auto entry = read_entry(line);
    if (entry) {
      journal.replayed_.push_back(std::move(*entry));
    } else {
      ++journal.broken_lines_;
    }
  }
  journal.size_ = static_cast<int64_t>(start);
  if (start < text.size()) {
    journal.was_torn_ = true;
    if (::ftruncate(fd, journal.size_) != 0 || ::fdatasync(fd) != 0) return io_failed("cannot mend the journal", path);
  }
  const size_t slash = path.rfind('/');
  FB_TRY_VOID(sync_folder(slash == std::string::npos ? "." : path.substr(0, slash + 1)));
  if (text.size() > max_bytes) FB_TRY_VOID(journal.shorten());
  return journal;
}

Status Journal::shorten() {
  const size_t cut = replayed_.size() > kKeptEntries ? replayed_.size() - kKeptEntries : 0;
  // From what goes: the newest line of each kind, since it may be in force, and its result.
  std::set<size_t> places;
  const auto keep_newest = [&](const auto& is_it) {
    for (size_t i = cut; i-- > 0;) {
      const JournalEntry& begun = replayed_[i];
      if (!is_it(begun) || begun.phase != JournalEntry::Phase::begin) continue;
      places.insert(i);
      for (size_t j = i + 1; j < cut; ++j) {
        const JournalEntry& e = replayed_[j];
        const bool of_it = e.action_id == begun.action_id && e.order == begun.order && e.revision == begun.revision;
        if (of_it && e.phase == JournalEntry::Phase::done) places.insert(j);
      }
      return;
    }
  };
  keep_newest([](const JournalEntry& e) { return e.verb == Verb::release; });
  keep_newest(
      [](const JournalEntry& e) { return e.verb == Verb::isolate && (e.order.empty() || e.order == "isolate"); });
  keep_newest([](const JournalEntry& e) { return e.order == "update_allow_set"; });
  keep_newest([](const JournalEntry& e) { return e.order == "renew"; });
  std::string text;
  std::vector<JournalEntry> kept;
  for (size_t i = 0; i < replayed_.size(); ++i) {
    if (i < cut && !places.contains(i)) continue;
    text += write_entry(replayed_[i]) + "\n";
    kept.push_back(std::move(replayed_[i]));
  }
  const std::string old = path_ + ".1";
  if ((::unlink(old.c_str()) != 0 && errno != ENOENT) || ::link(path_.c_str(), old.c_str()) != 0) {
    return io_failed("cannot put the old journal aside", path_);
  }
  FB_TRY_VOID(replace_file(path_, text));
  const int fd = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    auto failed = io_failed("cannot open the shortened journal", path_);
    if (fd >= 0) ::close(fd);
    return failed;
  }
  ::close(fd_);
  fd_ = fd;
  size_ = static_cast<int64_t>(text.size());
  replayed_ = std::move(kept);
  return {};
}

Journal::Journal(Journal&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      replayed_(std::move(other.replayed_)),
      broken_lines_(other.broken_lines_),
      was_torn_(other.was_torn_) {}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

Status Journal::append(const JournalEntry& entry) {
  const std::string line = write_entry(entry) + "\n";
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    done += static_cast<size_t>(n);
  }
  if (done == line.size() && ::fdatasync(fd_) == 0) {
    size_ += static_cast<int64_t>(line.size());
    return {};
  }
  auto failed = io_failed("cannot write the journal", path_);
  // Half a line in the middle of the file would hide the next one.
  if (::ftruncate(fd_, size_) != 0) return fail(ErrorCode::corrupt, "cannot take back a torn journal line", path_);
  return failed;
}

}  // namespace fb::agent
