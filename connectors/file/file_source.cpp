#include "connectors/file/file_source.h"

namespace fb {

FileSource::FileSource(std::vector<std::string> paths, const Clock& clock, size_t max_event_bytes)
    : reader_(std::move(paths), max_event_bytes), clock_(clock) {}

Result<Source::Progress> FileSource::poll(RawBatch& batch, const BatchLimits& limits, int idle_wait_ms) {
  batch.clear();
  if (error_) return tl::unexpected<Error>(*error_);
  RawStream stream;
  stream.cluster = "file";
  stream.from = stream.next = reader_.count();
  bool ended = false;
  int64_t close_at = 0;
  while (batch.records.size() < limits.max_records && batch.bytes() < limits.max_bytes) {
    std::string_view line;
    Result<LineReader::Got> got = reader_.next_within(&line, batch.records.empty() ? idle_wait_ms : 0);
    if (!got) {
      error_ = std::move(got).error();
      const std::lock_guard lock(mutex_);
      trouble_ = error_->describe();
      break;
    }
    if (*got == LineReader::Got::end) ended = true;
    if (*got != LineReader::Got::line) break;
    if (batch.records.empty()) {
      batch.read_time_ms = clock_.wall_ms();
      close_at = clock_.mono_ms() + limits.max_wait_ms;
    }
    batch.add(line, 0, stream.next++, 0, false);
    // A slow pipe must not hold a batch open; looking at the clock for every line would cost more than the line.
    if ((batch.records.size() & 63u) == 0 && clock_.mono_ms() >= close_at) break;
  }
  if (!batch.records.empty()) {
    batch.streams.push_back(std::move(stream));
    return Progress::records;
  }
  if (error_) return tl::unexpected<Error>(*error_);
  return ended ? Progress::ended : Progress::idle;
}

void FileSource::kept(const std::vector<OffsetAdvance>&) {}  // files keep no position of their own

Source::Health FileSource::health() const {
  const std::lock_guard lock(mutex_);
  return {trouble_.empty(), trouble_};
}

void FileSource::close() {}

}  // namespace fb
