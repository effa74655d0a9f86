#include "connectors/file/line_reader.h"

#include <algorithm>
#include <cstring>

namespace fb {
namespace {

constexpr size_t kBlock = 256u << 10;

bool is_blank(std::string_view line) {
  // Nearly every line begins with '{': decided by its first byte.
  for (const char c : line) {
    if (c != ' ' && c != '\t' && c != '\r') return false;
  }
  return true;
}

}  // namespace

LineReader::LineReader(std::vector<std::string> paths, size_t max_line_bytes)
    : paths_(std::move(paths)), max_line_bytes_(max_line_bytes), buffer_(kBlock + kPadding) {}
LineReader::~LineReader() = default;

Result<bool> LineReader::next(std::string_view* line) {
  FB_TRY(const Got got, next_within(line, -1));
  return got == Got::line;
}

Result<LineReader::Got> LineReader::next_within(std::string_view* line, int wait_ms) {
  for (;;) {
    const char* data = buffer_.data();
    const auto* newline = static_cast<const char*>(std::memchr(data + scanned_, '\n', end_ - scanned_));
    if (newline != nullptr) {
      const std::string_view raw(data + start_, static_cast<size_t>(newline - data) - start_);
      start_ = scanned_ = static_cast<size_t>(newline - data) + 1;
      if (take(raw, line)) return Got::line;
      continue;
    }
    scanned_ = end_;
    // The limit is checked with a line end's worth of slack: "\r" is not part of the line.
    if (end_ - start_ > max_line_bytes_ + 1) {
      const std::string_view raw(data + start_, max_line_bytes_ + 1);
      const bool given = !overlong_;
      start_ = scanned_ = end_;
      overlong_ = true;
      if (given) {
        ++line_number_;
        ++count_;
        *line = raw;
        return Got::line;
      }
      continue;
    }
    if (file_ended_) {
      // The last line may lack its end.
      const std::string_view raw(data + start_, end_ - start_);
      start_ = scanned_ = end_;
      file_ended_ = false;
      reader_.reset();
      const bool unfinished = overlong_ || !raw.empty();
      if (unfinished && take(raw, line)) return Got::line;
      continue;
    }
    FB_TRY(const Got got, refill(wait_ms));
    if (got != Got::line) return got;
  }
}

// Decides over one raw line; false when it is none to give.
bool LineReader::take(std::string_view raw, std::string_view* line) {
  if (overlong_) {
    overlong_ = false;
    return false;
  }
  ++line_number_;
  if (is_blank(raw)) return false;
  if (raw.back() == '\r') raw.remove_suffix(1);
  if (raw.size() > max_line_bytes_) raw = raw.substr(0, max_line_bytes_ + 1);
  ++count_;
  *line = raw;
  return true;
}

// Makes room and reads on; Got::line means "there is more to look at".
Result<LineReader::Got> LineReader::refill(int wait_ms) {
  if (!reader_) {
    if (next_path_ == paths_.size()) return Got::end;
    path_ = paths_[next_path_];
    FB_TRY(reader_, ByteReader::open(path_));
    ++next_path_;
    line_number_ = 0;
    start_ = scanned_ = end_ = 0;
  }
  if (start_ > 0) {
    const size_t kept = end_ - start_;
    std::memmove(buffer_.data(), buffer_.data() + start_, kept);
    start_ = 0;
    scanned_ = end_ = kept;
  }
  if (buffer_.size() - kPadding - end_ < kBlock / 2) {
    // Doubles up to the longest line that is kept whole; overlong lines are dropped before this can grow further.
    buffer_.resize(std::min(2 * buffer_.size(), max_line_bytes_ + 2 + kBlock + kPadding));
  }
  FB_TRY(const ByteReader::Read r, reader_->read(buffer_.data() + end_, buffer_.size() - kPadding - end_, wait_ms));
  if (r.got == ByteReader::Got::nothing_yet) return Got::nothing_yet;
  if (r.got == ByteReader::Got::end) {
    file_ended_ = true;
  } else {
    end_ += r.count;
    bytes_ += r.count;
  }
  return Got::line;
}

}  // namespace fb
