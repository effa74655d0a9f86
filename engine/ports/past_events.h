// Events that were there already, by the time of their records: for backtests. Whoever reads them leaves no trace: no
// group, no committed offset, nothing that another reader would notice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace fb {

// Each bound ends the reading; what was taken until then counts.
struct EventRange {
  int64_t from_ms = 0;  // Unix time of the record, as its topic keeps it
  int64_t to_ms = 0;    // exclusive
  size_t max_events = 100'000;
  size_t max_bytes = 64u << 20;
  int budget_ms = 10'000;
};

struct PastRead {
  uint64_t taken = 0;
  uint64_t looked_at = 0;  // records, those of other times included
  bool complete = true;
  std::string why;  // not complete: one line
};

// Hands out one event after the other; within a partition in its order. `take` ends it with false (complete stays
// true). Blocks for at most the budget and the time of a few round trips. Any thread.
using PastEvents =
    std::function<Result<PastRead>(const EventRange& range, const std::function<bool(std::string_view event)>& take)>;

}  // namespace fb
