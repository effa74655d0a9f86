// A Source over NDJSON files and standard input. Positions are ("file", "", epoch 0, partition 0, index), where the
// index counts non-blank lines over all inputs from 0. Ends when the inputs do. One thread; health() any thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "connectors/file/line_reader.h"
#include "engine/base/clock.h"
#include "engine/ports/source.h"

namespace fb {

class FileSource final : public Source {
 public:
  // "-" among the paths is standard input. Lines longer than max_event_bytes are handed on as max_event_bytes + 1
  // bytes.
  FileSource(std::vector<std::string> paths, const Clock& clock,
             size_t max_event_bytes = EventLimits{}.max_event_bytes);

  // An input that can't be read ends the source with an Error that names it; what was read before comes first.
  Result<Progress> poll(RawBatch& batch, const BatchLimits& limits, int idle_wait_ms) override;
  void kept(const std::vector<OffsetAdvance>& advances) override;
  Health health() const override;
  void close() override;

  const LineReader& lines() const { return reader_; }

 private:
  LineReader reader_;
  const Clock& clock_;
  std::optional<Error> error_;  // met while a batch was being filled: told by the next poll
  mutable std::mutex mutex_;
  std::string trouble_;
};

}  // namespace fb
