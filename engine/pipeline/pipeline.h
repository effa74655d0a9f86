// The path of one event, whole: pipeline.cpp reads top-down. One thread runs a pipeline; everything it needs is handed
// in and outlives it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/base/metrics.h"
#include "engine/event/decoder.h"
#include "engine/match/matcher.h"
#include "engine/pipeline/provenance.h"
#include "engine/pipeline/rule_book.h"
#include "engine/ports/endpoint_directory.h"
#include "engine/ports/record.h"
#include "engine/ports/source.h"

namespace fb {

struct PipelineOptions {
  BatchLimits batch;
  EventLimits events;
  int idle_wait_ms = 100;           // how long a turn waits for a first record
  int retry_wait_ms = 1000;         // how long it waits before it tries the record again (disk full, locked)
  IdentityBindings identity_bound;  // topics that prove a host
};

struct PipelineParts {
  Source& source;
  const RuleBook& rules;
  const EndpointDirectory& directory;
  Record& record;
  const Clock& clock;
  Metrics& metrics;
  std::function<void()> wake_dispatcher;  // called after intents were committed
};

struct TurnStats {
  uint32_t records = 0;
  uint32_t alerts = 0;  // new ones
  uint32_t intents = 0;
  uint32_t dead_letters = 0;
  bool ended = false;  // a finite source is at its end
};

class Pipeline {
 public:
  Pipeline(PipelineParts parts, PipelineOptions options);
  ~Pipeline();

  // One batch from the source to the record. An error means that the process must end (the record can't be trusted to
  // have or not have the batch); everything that may pass by itself is waited for inside, as long as keep_going() is
  // true.
  Result<TurnStats> turn(const std::function<bool()>& keep_going);

  // True while the record refuses writes for a passing cause (disk full, locked); any thread.
  bool storage_stalled() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb
