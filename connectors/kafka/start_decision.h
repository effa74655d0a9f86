// Where reading of one partition starts, decided from what the record, the group and the partition's log say. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fb {

// What a partition that nobody has read yet begins with.
enum class StartPolicy : uint8_t { earliest, latest };

// What happens when records that were not handled are gone from the log.
enum class GapPolicy : uint8_t {
  carry_on,  // "continue": tell it and read on from the start of the log
  stop,      // tell it and leave the partition alone until somebody decides
};

enum class GapKind : uint8_t {
  log_start,      // the log begins after the next record: retention was faster
  beyond_end,     // the log ends before the next record: the topic was made anew, or the broker lost its tail
  record_behind,  // the group's committed offset is ahead of the record: another instance took these, or the record is
                  // older
  corrupt,        // the broker served bytes whose checksum is wrong; the client passed over that batch of records
};
std::string_view to_string(GapKind);

struct StartFacts {
  std::optional<int64_t> stored;     // the record: the first offset not handled
  std::optional<int64_t> committed;  // the group's, of this epoch
  bool topic_known = false;  // the group has read other partitions of the topic, or this one under an older epoch
  int64_t low = 0;           // the log holds [low, high)
  int64_t high = 0;
  StartPolicy start = StartPolicy::earliest;
  GapPolicy gap = GapPolicy::carry_on;
  bool from_record = false;  // rewind: the record decides even when the group is ahead
};

struct StartDecision {
  int64_t start = 0;     // read from here
  int64_t handled = 0;   // what the record believes: the next batch covers [handled, ...)
  bool stopped = false;  // do not read
  bool fresh = false;    // nobody had read it
  struct Gap {
    GapKind kind = GapKind::log_start;
    int64_t first = 0;  // offsets [first, last) were not handled here
    int64_t last = 0;
  };
  std::optional<Gap> gap;
};

StartDecision decide_start(const StartFacts& facts);

}  // namespace fb
