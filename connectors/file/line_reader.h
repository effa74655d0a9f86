// The lines of NDJSON inputs, one after the other over all files, without copying them: for replay, query and
// FileSource. Blank lines (nothing but spaces, tabs and a carriage return) are passed over and not counted. One thread.
// Cost: memchr over blocks of 256 KiB; more than 1 GB/s for plain files that are cached.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/file/byte_reader.h"
#include "engine/base/limits.h"
#include "engine/base/result.h"

namespace fb {

class LineReader {
 public:
  // Readable bytes behind every line, as the JSON decoder wants them.
  static constexpr size_t kPadding = 64;

  // Paths of files (.gz and .zst too); "-" is standard input. Files are opened when their turn comes. A line longer
  // than max_line_bytes is given as its first max_line_bytes + 1 bytes, so that whoever checks the limit refuses it;
  // the rest is read past without being kept.
  explicit LineReader(std::vector<std::string> paths, size_t max_line_bytes = EventLimits{}.max_event_bytes);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // True and the next line, without its end ("\n" or "\r\n"); false at the end of the last input. The view is good
  // until the next call. Errors: not_found, invalid_argument (a folder), io, corrupt (a damaged .gz or .zst; every
  // whole line before the damage has been given). They name the path, and the same call would fail again.
  Result<bool> next(std::string_view* line);

  enum class Got : uint8_t { line, nothing_yet, end };
  // The same for a pipe that may be silent: waits at most wait_ms (-1: as long as it takes).
  Result<Got> next_within(std::string_view* line, int wait_ms);

  // Lines given so far; the last one's event index is this less 1.
  int64_t count() const { return count_; }
  // Bytes read so far, decompressed, line ends and blank lines included.
  uint64_t bytes() const { return bytes_; }
  // The input that the last line came from and its 1-based line number there, blank lines counted.
  const std::string& path() const { return path_; }
  uint64_t line_number() const { return line_number_; }

 private:
  Result<Got> refill(int wait_ms);
  bool take(std::string_view raw, std::string_view* line);

  std::vector<std::string> paths_;
  size_t next_path_ = 0;
  size_t max_line_bytes_;
  std::string path_;
  std::unique_ptr<ByteReader> reader_;
  std::vector<char> buffer_;
  size_t start_ = 0;       // where the line in work begins
  size_t scanned_ = 0;     // no line end in [start_, scanned_)
  size_t end_ = 0;         // bytes in the buffer
  bool overlong_ = false;  // the rest of a too long line is being passed over
  bool file_ended_ = false;
  int64_t count_ = 0;
  uint64_t bytes_ = 0;
  uint64_t line_number_ = 0;
};

}  // namespace fb
