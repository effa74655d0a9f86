#include "connectors/kafka/alert_publisher.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "connectors/kafka/client_stats.h"
#include "connectors/kafka/handles.h"
#include "engine/base/log.h"

namespace fb {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kStopMs = 3'000;
constexpr int kServeMs = 20;

// Never to be taken, however often it is sent.
bool is_permanent(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || error == RD_KAFKA_RESP_ERR_INVALID_MSG ||
         error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE || error == RD_KAFKA_RESP_ERR_INVALID_RECORD;
}

}  // namespace

struct AlertPublisher::Impl {
  AlertPublisherConfig config;
  AlertPublisherHooks hooks;
  KafkaProperties required;

  // The thread's own.
  rd_kafka_t* handle = nullptr;
  bool fatal = false;
  int64_t after = 0;  // rows up to here were given to the client
  std::set<int64_t> in_flight;
  std::vector<int64_t> done;         // acknowledged, not reported yet
  std::optional<int64_t> rewind_to;  // a delivery failed: everything from here on is sent again, once the rest is in

  mutable std::mutex mutex;
  std::condition_variable changed;
  bool woken = false;
  bool stopping = false;
  bool broker_up = false;
  std::string trouble = "connecting";
  uint64_t delivered_count = 0;
  uint64_t failed_count = 0;
  std::thread thread;

  Status create();
  void destroy();
  void run();
  bool step();  // true: there was something to do
  bool send(const OutboxRow& row);
  void failed(int64_t seq, rd_kafka_resp_err_t error);
  void report();
  void wait(int ms);
  bool is_stopping() const {
    const std::lock_guard lock(mutex);
    return stopping;
  }
  void say(bool up, const std::string& text) {
    const std::lock_guard lock(mutex);
    broker_up = up;
    trouble = text;
  }

  static void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque);
  static void on_error(rd_kafka_t*, int error, const char* reason, void* opaque);
  static int on_stats(rd_kafka_t*, char* json, size_t size, void* opaque);
};

Status AlertPublisher::Impl::create() {
  // Consumer-only properties of the shared map are ignored by a producer.
  const KafkaProperties defaults{{"client.id", "firebreak-alerts"},
                                 {"linger.ms", "5"},
                                 {"message.max.bytes", "8388608"},
                                 {"socket.keepalive.enable", "true"},
                                 {"reconnect.backoff.max.ms", "5000"}};
  FB_TRY(kafka::Conf conf, kafka::make_conf(config.properties, defaults, required));
  rd_kafka_conf_set_opaque(conf.get(), this);
  rd_kafka_conf_set_dr_msg_cb(conf.get(), on_delivery);
  rd_kafka_conf_set_error_cb(conf.get(), on_error);
  rd_kafka_conf_set_stats_cb(conf.get(), on_stats);
  FB_TRY(handle, kafka::make_handle(kafka::Role::producer, std::move(conf)));
  fatal = false;
  return {};
}

void AlertPublisher::Impl::destroy() {
  if (handle == nullptr) return;
  rd_kafka_purge(handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  rd_kafka_poll(handle, 0);
  kafka::destroy_within(handle, 0, kStopMs);
  handle = nullptr;
}

void AlertPublisher::Impl::on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  Impl& self = *static_cast<Impl*>(opaque);
  const auto seq = static_cast<int64_t>(reinterpret_cast<intptr_t>(message->_private));
  self.in_flight.erase(seq);
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    self.done.push_back(seq);
  } else {
    self.failed(seq, message->err);
  }
}

void AlertPublisher::Impl::on_error(rd_kafka_t*, int error, const char* reason, void* opaque) {
  Impl& self = *static_cast<Impl*>(opaque);
  if (error == RD_KAFKA_RESP_ERR__FATAL) self.fatal = true;
  if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) self.say(false, reason);
}

int AlertPublisher::Impl::on_stats(rd_kafka_t*, char* json, size_t size, void* opaque) {
  Impl& self = *static_cast<Impl*>(opaque);
  const bool up = kafka::parse_client_stats({json, size}).any_broker_up;
  const std::lock_guard lock(self.mutex);
  if (up && !self.broker_up) self.trouble.clear();
  if (!up && self.broker_up) self.trouble = "no broker answers";
  self.broker_up = up;
  return 0;
}

void AlertPublisher::Impl::failed(int64_t seq, rd_kafka_resp_err_t error) {
  if (is_permanent(error)) {
    if (hooks.refused) {
      hooks.refused(seq, kafka::error_text(error));
    } else {
      log(LogLevel::error, "alert_not_published", "the broker will not take this alert; it stays in the record",
          {{"seq", std::to_string(seq)}, {"cause", kafka::error_text(error)}});
    }
    done.push_back(seq);
    return;
  }
  rewind_to = std::min(rewind_to.value_or(seq), seq);
  const std::lock_guard lock(mutex);
  ++failed_count;
  if (!stopping) trouble = kafka::error_text(error);
}

bool AlertPublisher::Impl::send(const OutboxRow& row) {
  const rd_kafka_resp_err_t error =
      rd_kafka_producev(handle, RD_KAFKA_V_TOPIC(config.topic.c_str()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                        RD_KAFKA_V_VALUE(const_cast<char*>(row.payload.data()), row.payload.size()),
                        RD_KAFKA_V_KEY(row.key.empty() ? nullptr : row.key.data(), row.key.size()),
                        RD_KAFKA_V_OPAQUE(reinterpret_cast<void*>(static_cast<intptr_t>(row.seq))), RD_KAFKA_V_END);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
    in_flight.insert(row.seq);
    after = row.seq;
    return true;
  }
  if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) return false;
  failed(row.seq, error);
  after = std::max(after, row.seq);
  return true;
}

void AlertPublisher::Impl::report() {
  if (done.empty()) return;
  std::sort(done.begin(), done.end());
  if (const Status s = hooks.delivered(done); !s) {
    log(LogLevel::warn, "outbox_not_updated", "delivered alerts stay in the outbox for now",
        {{"cause", s.error().describe()}});
    wait(config.retry_wait_ms);
    return;
  }
  {
    const std::lock_guard lock(mutex);
    delivered_count += done.size();
  }
  done.clear();
}

bool AlertPublisher::Impl::step() {
  rd_kafka_poll(handle, in_flight.empty() ? 0 : kServeMs);
  report();
  if (fatal) {
    // An idempotent producer that lost count of its sequence numbers can't go on; a new one can, and repeats.
    log(LogLevel::error, "kafka_fatal", "the alerts producer gave up and is made anew");
    destroy();
    if (!in_flight.empty()) rewind_to = std::min(rewind_to.value_or(*in_flight.begin()), *in_flight.begin());
    in_flight.clear();
    wait(config.retry_wait_ms);
    if (const Status s = create(); !s) say(false, s.error().describe());
    return true;
  }
  if (rewind_to) {
    // Later rows wait until those on their way are settled, so that one key's alerts keep their order.
    if (!in_flight.empty()) return true;
    after = *rewind_to - 1;
    rewind_to.reset();
    wait(config.retry_wait_ms);
    return true;
  }
  // Rows that were acknowledged but not yet reported would be taken a second time after a rewind.
  if (!done.empty() || in_flight.size() >= config.max_in_flight) return true;
  Result<std::vector<OutboxRow>> rows = hooks.take(after, config.max_in_flight - in_flight.size());
  if (!rows) {
    say(broker_up, rows.error().describe());
    wait(config.retry_wait_ms);
    return true;
  }
  for (const OutboxRow& row : *rows) {
    if (!send(row)) break;
  }
  return !rows->empty() || !in_flight.empty();
}

void AlertPublisher::Impl::wait(int ms) {
  std::unique_lock lock(mutex);
  changed.wait_for(lock, milliseconds(ms), [this] { return stopping; });
}

void AlertPublisher::Impl::run() {
  while (!is_stopping()) {
    if (handle == nullptr) {
      if (const Status s = create(); !s) {
        say(false, s.error().describe());
        wait(config.retry_wait_ms);
        continue;
      }
    }
    if (step()) continue;
    std::unique_lock lock(mutex);
    // The client must be served now and then even when there is nothing to send: its callbacks tell our health.
    changed.wait_for(lock, milliseconds(std::min(config.poll_outbox_ms, 500)), [this] { return woken || stopping; });
    woken = false;
  }
  const auto until = steady_clock::now() + milliseconds(kStopMs);
  while (handle != nullptr && !in_flight.empty() && steady_clock::now() < until) rd_kafka_poll(handle, kServeMs);
  if (!done.empty() && hooks.delivered(done)) {
    const std::lock_guard lock(mutex);
    delivered_count += done.size();
  }
  destroy();
}

AlertPublisher::AlertPublisher(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AlertPublisher::~AlertPublisher() {
  stop();
}

Result<std::unique_ptr<AlertPublisher>> AlertPublisher::start(AlertPublisherConfig config, AlertPublisherHooks hooks) {
  if (config.topic.empty()) return fail(ErrorCode::invalid_argument, "is empty", "kafka.alerts_topic");
  auto impl = std::make_unique<Impl>();
  impl->required = {{"enable.idempotence", "true"},
                    {"acks", "all"},
                    {"message.timeout.ms", std::to_string(config.delivery_timeout_ms)},
                    {"statistics.interval.ms", "1000"}};
  impl->config = std::move(config);
  impl->hooks = std::move(hooks);
  FB_TRY_VOID(impl->create());
  Impl& self = *impl;
  impl->thread = std::thread([&self] { self.run(); });
  return std::unique_ptr<AlertPublisher>(new AlertPublisher(std::move(impl)));
}

void AlertPublisher::wake() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->woken = true;
  }
  impl_->changed.notify_one();
}

void AlertPublisher::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->changed.notify_one();
  if (impl_->thread.joinable()) impl_->thread.join();
}

Source::Health AlertPublisher::health() const {
  const std::lock_guard lock(impl_->mutex);
  return {impl_->broker_up && impl_->trouble.empty(), impl_->trouble};
}

uint64_t AlertPublisher::delivered() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->delivered_count;
}

uint64_t AlertPublisher::failed() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->failed_count;
}

}  // namespace fb
