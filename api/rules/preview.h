// Backtest of one rule over events that are at hand. Pure but for the clock: it has nothing to act with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/compile/rules.h"

namespace fb::api {

struct PreviewInput {
  std::vector<std::string> events;  // JSON texts
  size_t max_alerts = 20;           // documents that come back
  int64_t budget_ms = 10'000;       // of time; then it ends and says so
};

struct PreviewOutcome {
  uint64_t events = 0;
  uint64_t refused = 0;  // lines that are not events
  uint64_t alerts = 0;
  bool aborted = false;
  int64_t took_ms = 0;
  std::vector<std::string> documents;        // the first alerts
  std::vector<std::string> would_isolate;    // endpoints, each once
  std::vector<std::string> refused_reasons;  // the first few, "event N: ..."
};

// The rule runs whether it is enabled or not.
Result<PreviewOutcome> preview(const LoadedRule& rule, const PreviewInput& input, const Clock& clock);

}  // namespace fb::api
