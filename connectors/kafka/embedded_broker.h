// A Kafka-protocol broker inside this process, on real TCP ports of 127.0.0.1: librdkafka's mock cluster. For
// `firebreak demo` and for tests; clients use it through the same code as any broker.
// Limits: everything is in memory and gone with it; each partition keeps only about its last 5 MiB; no TLS, no ACLs;
// the first member of a group gets its partitions after about 3 s. Its cluster id is new on every start. Threads: the
// cluster has its own; calls are safe from any thread.
#pragma once

#include <memory>
#include <string>

#include "engine/base/result.h"

struct rd_kafka_mock_cluster_s;  // librdkafka's

namespace fb {

class EmbeddedBroker {
 public:
  static Result<std::unique_ptr<EmbeddedBroker>> start(int brokers = 1);
  ~EmbeddedBroker();
  EmbeddedBroker(const EmbeddedBroker&) = delete;
  EmbeddedBroker& operator=(const EmbeddedBroker&) = delete;

  // The value for bootstrap.servers.
  std::string bootstrap() const;
  Status create_topic(const std::string& name, int partitions);

  // For tests that inject faults with rdkafka_mock.h.
  rd_kafka_mock_cluster_s* cluster() const;

 private:
  struct Impl;
  explicit EmbeddedBroker(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb
