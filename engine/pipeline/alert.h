// A hit becomes an alert: who it speaks of, when, its id, its document. Pure; called for hits only, so it may allocate.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/event/event.h"
#include "engine/model/model.h"

namespace fb {

// Where and when an event was read.
struct EventOrigin {
  SourcePosition position;
  int64_t event_index = -1;
  int64_t read_time_ms = 0;
  int64_t broker_time_ms = 0;
  bool broker_time_is_append = false;
  int64_t lag_ms = 0;
};

// How far the event's own time may be from the broker's. A host that lies about the time, or does not know it, could
// else open and close every window of a rule.
inline constexpr int64_t kMaxEventSkewMs = 5 * 60'000;

struct EventTime {
  int64_t at_ms = 0;  // what the rules go by: @timestamp, held within kMaxEventSkewMs of the broker's time
  std::optional<int64_t> claimed_ms;  // @timestamp, the first value of it that is a date
  bool skew = false;                  // it was further off than that, or there is one and no date in it
};
// Without a broker's time (files) the event's own counts as it is; without its own the broker's, else the read time.
EventTime time_of(const Event& event, int64_t broker_time_ms, int64_t read_time_ms);
int64_t event_time_ms(const Event& event, int64_t broker_time_ms, int64_t read_time_ms);

// Whom the event names. Ambiguous when an identity field has two values.
Target target_of(const Event& event);

// The alert without its document.
Alert make_alert(RuleMetaPtr rule, const Event& event, const EventOrigin& origin);

}  // namespace fb
