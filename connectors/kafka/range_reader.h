// Reads a time range of Kafka topics for a backtest: a consumer without a group, which therefore neither joins, nor
// commits, nor takes partitions from anybody. One connection a call, closed at its end. Any thread.
#pragma once

#include <string>
#include <vector>

#include "connectors/kafka/kafka_source.h"
#include "engine/base/clock.h"
#include "engine/ports/past_events.h"

namespace fb {

struct RangeReaderConfig {
  KafkaProperties properties;
  std::vector<std::string> topics;  // names; patterns (^...) are refused as unsupported
  bool embedded = false;            // the embedded broker knows no times: each partition is read from its beginning
};

// A range begins at the first record of a partition that is as late as from_ms, and ends before the first that is as
// late as to_ms; records between them whose own time lies outside are passed over. unavailable: no broker answers.
Result<PastRead> read_range(const RangeReaderConfig& config, const EventRange& range,
                            const std::function<bool(std::string_view event)>& take, const Clock& clock);

}  // namespace fb
