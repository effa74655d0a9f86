// Sends records and waits until the broker has all of them: for the demo, tests and load makers. Not for the alert
// path.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "connectors/kafka/kafka_source.h"
#include "engine/base/result.h"

namespace fb {

struct ProduceRecord {
  std::string key;                   // "" = none
  std::optional<std::string> value;  // nothing = a tombstone
  int32_t partition = -1;            // -1 = by key
  int64_t timestamp_ms = 0;          // 0 = now
  std::vector<std::pair<std::string, std::string>> headers;
};

// One connection for several sends. One thread.
class Producer {
 public:
  static Result<Producer> open(const KafkaProperties& properties);
  Producer(Producer&&) noexcept;
  Producer& operator=(Producer&&) noexcept;
  ~Producer();

  // Returns when every record is acknowledged; otherwise timeout or the broker's refusal (some may have been sent).
  Status send(const std::string& topic, const std::vector<ProduceRecord>& records, int timeout_ms = 30'000);

 private:
  struct Impl;
  explicit Producer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

Status produce(const std::string& bootstrap, const std::string& topic, const std::vector<ProduceRecord>& records,
               int timeout_ms = 30'000);

}  // namespace fb
