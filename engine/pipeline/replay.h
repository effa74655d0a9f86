// Backtest: what would these rules have alerted on, and which hosts would have been isolated. Never acts: it has no
// record, no dispatcher and no plugin to act with; verdicts come from the same guard on event time
// (respond/replay_ledger.h). Also the engine of `firebreak query`: many conditions over many lines in one pass.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/limits.h"
#include "engine/base/result.h"
#include "engine/event/decoder.h"
#include "engine/match/rule_set.h"
#include "engine/model/model.h"
#include "engine/ports/endpoint_directory.h"
#include "engine/ports/record.h"

namespace fb {

// The next line that is not blank; false at the end. The bytes stay valid until the next call and are followed by
// Decoder::kPadding readable bytes. An error (a corrupt .gz) ends the input after what came before it.
using NextLine = std::function<Result<bool>(std::string_view* line)>;

struct ScanOptions {
  EventLimits events;
  int threads = 1;                // 1: everything on the calling thread
  bool no_index = false;          // the oracle interpreter judges every rule on every event
  std::optional<int64_t> now_ms;  // what `now` means in date math; without it each event's own time
};

// One event that some rule matched.
struct ScanHit {
  int64_t event_index = 0;
  std::string_view line;             // its bytes
  std::span<const RuleIx> rules;     // ascending
  const std::vector<Alert>* alerts;  // one a rule, same order, without documents; null unless `make_alerts`
};

struct ScanStats {
  uint64_t events = 0;  // lines, refused ones included
  uint64_t bytes = 0;
  uint64_t refused = 0;
  double seconds = 0;  // first byte read to last event matched
};

struct ScanSinks {
  std::function<void(const ScanHit&)> hit;                                   // in event order
  std::function<void(int64_t event_index, const Refusal& refusal)> refused;  // in event order
  std::function<void(uint64_t events, uint64_t bytes)> progress;             // now and then
};

// Runs the rule set over the lines. Sinks are called on the calling thread, in the order of the events.
Result<ScanStats> scan(const RuleSetPtr& rules, const NextLine& next, const ScanOptions& options, bool make_alerts,
                       const ScanSinks& sinks);

// What the guard says of the actions of one alert in a replay.
struct ReplayAction {
  Verb verb = Verb::isolate;
  std::string endpoint;  // the resolved endpoint, else the id or name that the event gave
  std::string comment;
  Verdict verdict = Verdict::blocked;
  Guard guard = Guard::none;
  std::string detail;
};

// Plans and judges alerts in event order, on event time, with budgets from empty.
class ReplayJudge {
 public:
  // Every target with an agent.id or a host.id is known and unprotected.
  ReplayJudge();
  // The known endpoints; the directory resolves among them. It must outlive the judge.
  ReplayJudge(const EndpointDirectory& directory, const std::vector<Endpoint>& endpoints);
  ~ReplayJudge();
  ReplayJudge(const ReplayJudge&) = delete;
  ReplayJudge& operator=(const ReplayJudge&) = delete;
  std::vector<ReplayAction> judge(const Alert& alert);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb
