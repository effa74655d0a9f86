// A hit becomes an alert: who it speaks of, when, its id, its document. Pure; called for hits only, so it may allocate.
#pragma once

#include <cstdint>
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

// The event's own time: @timestamp (the first value that is a date), else the broker's, else the read time.
int64_t event_time_ms(const Event& event, int64_t broker_time_ms, int64_t read_time_ms);

// Whom the event names. Ambiguous when an identity field has two values.
Target target_of(const Event& event);

// The alert without its document.
Alert make_alert(RuleMetaPtr rule, const Event& event, const EventOrigin& origin);

}  // namespace fb
