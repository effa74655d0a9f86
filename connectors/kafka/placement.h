// Asking everybody who has a say in where partitions start: the record, the group, the partition's log. Blocks for a
// few round trips; called from the consumer's thread only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "connectors/kafka/handles.h"
#include "connectors/kafka/start_decision.h"

namespace fb::kafka {

struct Asked {
  std::string topic;
  int32_t partition = 0;
  std::optional<int64_t> position;  // we were reading it already and had come this far: nobody else is asked
};

struct Placed {
  std::string topic;
  int32_t partition = 0;
  StartDecision decision;
};

// An answer that is not certain is no answer: unavailable with Retry::yes, and the caller asks again. Under the policy
// `latest` the start of partitions that nobody had read is committed to the group first, so that a restart before the
// first record does not skip what came meanwhile.
Result<std::vector<Placed>> place(rd_kafka_t* consumer, const KafkaSourceConfig& config, const StoredOffset& stored,
                                  const std::string& cluster, const std::vector<Asked>& asked, int timeout_ms);

// Commits and waits at most timeout_ms. Each element carries the epoch in its metadata (see set_epoch).
Status commit_and_wait(rd_kafka_t* consumer, const rd_kafka_topic_partition_list_t* offsets, int timeout_ms);

// The epoch travels with the commit as ASCII "e=<epoch>": a commit of an older epoch says nothing about a new topic.
void set_epoch(rd_kafka_topic_partition_t* element, int32_t epoch);
std::optional<int32_t> epoch_of(const rd_kafka_topic_partition_t& element);

}  // namespace fb::kafka
