// librdkafka's objects as owned pointers, and its configuration from our properties. Only for connectors/kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "connectors/kafka/kafka_source.h"
#include "engine/base/result.h"

namespace fb::kafka {

struct Deleter {
  void operator()(rd_kafka_conf_t* p) const { rd_kafka_conf_destroy(p); }
  void operator()(rd_kafka_message_t* p) const { rd_kafka_message_destroy(p); }
  void operator()(rd_kafka_topic_partition_list_t* p) const { rd_kafka_topic_partition_list_destroy(p); }
  void operator()(rd_kafka_queue_t* p) const { rd_kafka_queue_destroy(p); }
  void operator()(rd_kafka_topic_t* p) const { rd_kafka_topic_destroy(p); }
  void operator()(rd_kafka_event_t* p) const { rd_kafka_event_destroy(p); }
  void operator()(rd_kafka_error_t* p) const { rd_kafka_error_destroy(p); }
  void operator()(const rd_kafka_metadata_t* p) const { rd_kafka_metadata_destroy(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Deleter>;

using Conf = Owned<rd_kafka_conf_t>;
using Partitions = Owned<rd_kafka_topic_partition_list_t>;

enum class Role : uint8_t { consumer, producer };

// A configuration with the user's properties, our defaults below them and our requirements above them; a property that
// contradicts a requirement, or that librdkafka does not know, is refused by name. Logs go to our log.
Result<Conf> make_conf(const KafkaProperties& user, const KafkaProperties& defaults, const KafkaProperties& required);

// The values for a consumer. "group" is required by the caller.
KafkaProperties consumer_defaults(bool embedded);
KafkaProperties consumer_requirements();

// rd_kafka_new; takes the configuration.
Result<rd_kafka_t*> make_handle(Role role, Conf conf);

// rd_kafka_destroy_flags, waiting at most timeout_ms. librdkafka 2.0.2 waits for ever for a thread of its own when a
// topic was deleted and made anew under a consumer; such a handle is left to a thread that ends with the process.
void destroy_within(rd_kafka_t* handle, int flags, int timeout_ms);

// "Broker: ..." in one line.
std::string error_text(rd_kafka_resp_err_t error);

}  // namespace fb::kafka
