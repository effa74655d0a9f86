#include "connectors/kafka/embedded_broker.h"

#include <librdkafka/rdkafka.h>
// After rdkafka.h, as it demands.
#include <librdkafka/rdkafka_mock.h>

#include "connectors/kafka/handles.h"

namespace fb {

struct EmbeddedBroker::Impl {
  rd_kafka_t* handle = nullptr;
  rd_kafka_mock_cluster_t* cluster = nullptr;
  ~Impl() {
    if (cluster != nullptr) rd_kafka_mock_cluster_destroy(cluster);
    if (handle != nullptr) rd_kafka_destroy(handle);
  }
};

EmbeddedBroker::EmbeddedBroker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EmbeddedBroker::~EmbeddedBroker() = default;

Result<std::unique_ptr<EmbeddedBroker>> EmbeddedBroker::start(int brokers) {
  auto impl = std::make_unique<Impl>();
  // The cluster lives in a client's handle; this client itself connects to nothing.
  FB_TRY(kafka::Conf conf,
         kafka::make_conf({{"bootstrap.servers", "127.0.0.1:9"}}, {{"client.id", "firebreak-broker"}}, {}));
  rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
  FB_TRY(impl->handle, kafka::make_handle(kafka::Role::producer, std::move(conf)));
  impl->cluster = rd_kafka_mock_cluster_new(impl->handle, brokers);
  if (impl->cluster == nullptr) {
    return fail(ErrorCode::unavailable, "the embedded broker found no port to listen on", "127.0.0.1");
  }
  return std::unique_ptr<EmbeddedBroker>(new EmbeddedBroker(std::move(impl)));
}

std::string EmbeddedBroker::bootstrap() const {
  return rd_kafka_mock_cluster_bootstraps(impl_->cluster);
}

Status EmbeddedBroker::create_topic(const std::string& name, int partitions) {
  const rd_kafka_resp_err_t error = rd_kafka_mock_topic_create(impl_->cluster, name.c_str(), partitions, 1);
  if (error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return fail(ErrorCode::already_exists, "the topic exists", name);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(ErrorCode::invalid_argument, kafka::error_text(error), name);
  return {};
}

rd_kafka_mock_cluster_s* EmbeddedBroker::cluster() const {
  return impl_->cluster;
}

}  // namespace fb
