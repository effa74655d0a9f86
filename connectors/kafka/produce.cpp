#include "connectors/kafka/produce.h"

#include <chrono>

#include "connectors/kafka/handles.h"

namespace fb {
namespace {

using std::chrono::steady_clock;

struct Outcome {
  size_t waiting = 0;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
};

}  // namespace

struct Producer::Impl {
  rd_kafka_t* handle = nullptr;
  Outcome outcome;
  ~Impl() {
    if (handle == nullptr) return;
    rd_kafka_purge(handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(handle, 0);
    rd_kafka_destroy(handle);
  }
  static void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    Outcome& o = static_cast<Impl*>(opaque)->outcome;
    if (o.waiting > 0) --o.waiting;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) o.error = message->err;
  }
};

Producer::Producer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Producer::Producer(Producer&&) noexcept = default;
Producer& Producer::operator=(Producer&&) noexcept = default;
Producer::~Producer() = default;

Result<Producer> Producer::open(const KafkaProperties& properties) {
  auto impl = std::make_unique<Impl>();
  const KafkaProperties defaults{{"linger.ms", "0"},
                                 {"message.max.bytes", "8388608"},
                                 {"acks", "all"},
                                 {"queue.buffering.max.messages", "1000000"},
                                 {"topic.metadata.propagation.max.ms", "5000"},
                                 {"topic.metadata.refresh.interval.ms", "10000"}};
  FB_TRY(kafka::Conf conf, kafka::make_conf(properties, defaults, {}));
  rd_kafka_conf_set_opaque(conf.get(), impl.get());
  rd_kafka_conf_set_dr_msg_cb(conf.get(), Impl::on_delivery);
  FB_TRY(impl->handle, kafka::make_handle(kafka::Role::producer, std::move(conf)));
  return Producer(std::move(impl));
}

Status Producer::send(const std::string& topic, const std::vector<ProduceRecord>& records, int timeout_ms) {
  const auto until = steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  rd_kafka_t* handle = impl_->handle;
  impl_->outcome = {};
  for (const ProduceRecord& r : records) {
    for (;;) {
      rd_kafka_headers_t* headers = nullptr;
      if (!r.headers.empty()) {
        headers = rd_kafka_headers_new(r.headers.size());
        for (const auto& [name, value] : r.headers) {
          rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                              static_cast<ssize_t>(value.size()));
        }
      }
      // The client copies the value (F_COPY), so the pointer is only read.
      void* value = r.value ? const_cast<char*>(r.value->data()) : nullptr;
      const size_t size = r.value ? r.value->size() : 0;
      const rd_kafka_resp_err_t error =
          rd_kafka_producev(handle, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(r.partition),
                            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, size),
                            RD_KAFKA_V_KEY(r.key.empty() ? nullptr : r.key.data(), r.key.size()),
                            RD_KAFKA_V_TIMESTAMP(r.timestamp_ms), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
      if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++impl_->outcome.waiting;
        break;
      }
      if (headers != nullptr) rd_kafka_headers_destroy(headers);
      if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) return fail(ErrorCode::refused, kafka::error_text(error), topic);
      if (steady_clock::now() >= until) return fail(ErrorCode::timeout, "the broker is too slow", topic, Retry::yes);
      rd_kafka_poll(handle, 50);
    }
  }
  while (impl_->outcome.waiting > 0) {
    if (steady_clock::now() >= until) {
      return fail(ErrorCode::timeout, std::to_string(impl_->outcome.waiting) + " records were not acknowledged in time",
                  topic, Retry::yes);
    }
    rd_kafka_poll(handle, 20);
  }
  if (impl_->outcome.error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return fail(ErrorCode::refused, kafka::error_text(impl_->outcome.error), topic);
  }
  return {};
}

Status produce(const std::string& bootstrap, const std::string& topic, const std::vector<ProduceRecord>& records,
               int timeout_ms) {
  FB_TRY(Producer producer, Producer::open({{"bootstrap.servers", bootstrap}}));
  return producer.send(topic, records, timeout_ms);
}

}  // namespace fb
