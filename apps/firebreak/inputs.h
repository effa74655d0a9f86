// What several commands read: event files, `--fields`, small NDJSON files. Each error names the file.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/result.h"
#include "engine/event/decoder.h"
#include "engine/pipeline/replay.h"

namespace fb::cli {

// Lines of all the files in order; checks first that every file can be opened.
Result<NextLine> open_events(const std::vector<std::string>& paths);

// The whole of a small file that the command line names, such as a query file. A pipe is fine; a folder, or more than
// 64 MiB, is not. `what` is how messages call it ("query file").
Result<std::string> read_text(const std::string& path, std::string_view what);

// Says which of these files is not there.
Status must_exist(const std::vector<std::string>& paths);

// ecs and none rename nothing (events are read under the names they have; types are ECS); a file is a YAML map
// `event.field: ecs.field`.
Result<std::vector<std::pair<std::string, std::string>>> read_fields(const std::string& fields);

// What a command ends with: `code`, or the news that its output could not be written (a full disk), which must not look
// like an empty answer.
int after_output(int code);

// `| head` ends a command that only prints, as it ends grep. The service and the clients ignore the signal instead.
void end_with_the_pipe();

// A note on standard error for every refused line, the first kMaxNotes in full, then a count.
class RefusedLines {
 public:
  void note(int64_t event_index, const Refusal& refusal);
  void finish() const;

 private:
  static constexpr uint64_t kMaxNotes = 20;
  uint64_t count_ = 0;
};

// "events matched so far" on a terminal's standard error while a long scan runs.
class ProgressLine {
 public:
  void show(uint64_t events, uint64_t bytes);
  void clear();

 private:
  bool shown_ = false;
};

}  // namespace fb::cli
