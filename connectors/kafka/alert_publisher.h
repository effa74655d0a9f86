// Sends alerts to the alerts topic, keyed by endpoint id, from the record's outbox. At least once, in the outbox's
// order per key: a row leaves the outbox only after the brokers acknowledged it, and while Kafka is away rows simply
// stay. One thread of its own; the callbacks run on it. Bounded: at most `max_in_flight` rows are with the client at a
// time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "connectors/kafka/kafka_source.h"
#include "engine/base/result.h"
#include "engine/ports/source.h"

namespace fb {

struct OutboxRow {
  int64_t seq = 0;
  std::string key;      // endpoint id; "" = none
  std::string payload;  // the alert document, carries the alert id
};

struct AlertPublisherHooks {
  // Rows with seq > after, in order, at most `max`. Rows that were reported are not given again.
  std::function<Result<std::vector<OutboxRow>>(int64_t after, size_t max)> take;
  // The brokers have these: they may leave the outbox. On an error they are reported again later.
  std::function<Status(const std::vector<int64_t>& seqs)> delivered;
  // The broker will never take this row (too large): it is told once, then passed over and reported as delivered.
  std::function<void(int64_t seq, const std::string& why)> refused;
};

struct AlertPublisherConfig {
  KafkaProperties properties;
  std::string topic;
  size_t max_in_flight = 500;
  int poll_outbox_ms = 1'000;  // looks into the outbox this often without being woken
  int delivery_timeout_ms = 30'000;
  int retry_wait_ms = 1'000;  // after a failure
};

class AlertPublisher {
 public:
  // Checks the configuration and starts the thread; does not wait for a broker.
  static Result<std::unique_ptr<AlertPublisher>> start(AlertPublisherConfig config, AlertPublisherHooks hooks);
  ~AlertPublisher();
  AlertPublisher(const AlertPublisher&) = delete;
  AlertPublisher& operator=(const AlertPublisher&) = delete;

  void wake();  // there are new rows; any thread
  void stop();  // waits up to 3 s for rows on their way; what is not acknowledged stays in the outbox

  Source::Health health() const;  // any thread
  uint64_t delivered() const;     // rows, since start
  uint64_t failed() const;        // deliveries that failed and are tried again

 private:
  struct Impl;
  explicit AlertPublisher(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb
