#include "connectors/kafka/start_decision.h"

#include <algorithm>

namespace fb {

std::string_view to_string(GapKind kind) {
  switch (kind) {
    case GapKind::log_start:
      return "log_start";
    case GapKind::beyond_end:
      return "beyond_end";
    case GapKind::record_behind:
      return "record_behind";
    case GapKind::corrupt:
      return "corrupt";
  }
  return "";
}

StartDecision decide_start(const StartFacts& f) {
  StartDecision d;
  if (!f.stored && !f.committed) {
    // A partition that was added to a topic already being read is read whole, whatever the policy: its first records
    // came while we were responsible for the topic.
    d.fresh = true;
    d.start = f.start == StartPolicy::latest && !f.topic_known ? f.high : f.low;
    d.handled = d.start;
    return d;
  }
  const bool group_counts = f.committed && !(f.from_record && f.stored);
  d.start = std::max(f.stored.value_or(0), group_counts ? *f.committed : 0);
  d.handled = f.stored.value_or(d.start);
  if (f.stored && *f.stored < d.start) d.gap = {GapKind::record_behind, *f.stored, d.start};
  if (d.start < f.low) {
    d.gap = {GapKind::log_start, d.start, f.low};
    d.stopped = f.gap == GapPolicy::stop;
    d.start = f.low;
  } else if (d.start > f.high) {
    // Reading on from anywhere would give new records the positions, and so the ids, of old ones. Only the operator
    // knows what this is: a raised epoch reads the topic as a new one.
    d.gap = {GapKind::beyond_end, f.high, d.start};
    d.stopped = true;
  }
  return d;
}

}  // namespace fb
