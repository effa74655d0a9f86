#include "connectors/kafka/handles.h"

#include <array>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

#include "engine/base/log.h"
#include "engine/base/text.h"

namespace fb::kafka {
namespace {

// Properties that would quietly switch a protection off. The value is the one that is refused.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kUnsafe{{
    {"enable.ssl.certificate.verification", "false"},
    {"ssl.endpoint.identification.algorithm", "none"},
}};

// Properties that a setting of ours decides, by the setting's name.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kOurs{{
    {"group.id", "kafka.group"},
    {"auto.offset.reset", "kafka.start"},
}};

void on_log(const rd_kafka_t*, int level, const char* facility, const char* text) {
  // The client tells every failed try to connect; for us that is a state of health, told once when it begins and ends.
  const std::string_view what = facility;
  const bool routine = level > 4 || what == "CONFWARN" || what == "FAIL" || what == "ERROR";
  log(routine ? LogLevel::debug : LogLevel::warn, "kafka_client", text, {{"facility", facility}});
}

Status set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  std::array<char, 512> why{};
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why.data(), why.size()) == RD_KAFKA_CONF_OK) return {};
  return fail(ErrorCode::invalid_argument, to_utf8(why.data()), "kafka.properties." + name);
}

std::string get(rd_kafka_conf_t* conf, const std::string& name) {
  std::array<char, 1024> value{};
  size_t size = value.size();
  if (rd_kafka_conf_get(conf, name.c_str(), value.data(), &size) != RD_KAFKA_CONF_OK) return "";
  return value.data();
}

}  // namespace

std::string error_text(rd_kafka_resp_err_t error) {
  return rd_kafka_err2str(error);
}

KafkaProperties consumer_defaults(bool embedded) {
  KafkaProperties p{
      {"client.id", "firebreak"},
      {"session.timeout.ms", "30000"},
      {"heartbeat.interval.ms", "3000"},
      {"max.poll.interval.ms", "120000"},
      {"topic.metadata.refresh.interval.ms", "10000"},  // new partitions are found in seconds, not minutes
      {"queued.min.messages", "1000000"},               // bytes are the limit, not a count
      {"queued.max.messages.kbytes", "131072"},
      {"fetch.message.max.bytes", "2097152"},
      {"fetch.error.backoff.ms", "100"},
      {"socket.keepalive.enable", "true"},
      {"reconnect.backoff.max.ms", "5000"},
  };
  if (embedded) p["fetch.wait.max.ms"] = "10";
  return p;
}

KafkaProperties consumer_requirements() {
  return {
      {"enable.auto.commit", "false"},  // the record decides what is handled
      {"enable.auto.offset.store", "false"},
      {"auto.offset.reset", "error"},              // a gap is told, never jumped over
      {"partition.assignment.strategy", "range"},  // the incremental one loses assignments in librdkafka 2.0.2
      {"isolation.level", "read_committed"},
      {"check.crcs", "true"},
      {"enable.partition.eof", "false"},
      {"statistics.interval.ms", "1000"},  // health is read from them
  };
}

Result<Conf> make_conf(const KafkaProperties& user, const KafkaProperties& defaults, const KafkaProperties& required) {
  Conf conf(rd_kafka_conf_new());
  rd_kafka_conf_set_log_cb(conf.get(), on_log);
  if (!user.contains("bootstrap.servers") && !user.contains("metadata.broker.list")) {
    return fail(ErrorCode::invalid_argument, "is missing: the brokers to begin with, as host:port,host:port",
                "kafka.properties.bootstrap.servers");
  }
  for (const auto& [name, value] : defaults) {
    if (!user.contains(name)) FB_TRY_VOID(set(conf.get(), name, value));
  }
  for (const auto& [name, value] : user) {
    const std::string where = "kafka.properties." + name;
    for (const auto& [ours, setting] : kOurs) {
      if (name == ours) {
        return fail(ErrorCode::invalid_argument, "is decided by " + std::string(setting) + "; leave it out", where);
      }
    }
    FB_TRY_VOID(set(conf.get(), name, value));
    const std::string now = get(conf.get(), name);  // as librdkafka reads it: "f" and "0" are "false"
    for (const auto& [unsafe, refused] : kUnsafe) {
      if (name == unsafe && now == refused) {
        return fail(ErrorCode::invalid_argument, "would let anybody pose as the broker; " + now + " is refused", where);
      }
    }
    const auto requirement = required.find(name);
    if (requirement != required.end() && now != requirement->second) {
      return fail(ErrorCode::invalid_argument, "must be " + requirement->second + ", not " + now + "; leave it out",
                  where);
    }
  }
  for (const auto& [name, value] : required) FB_TRY_VOID(set(conf.get(), name, value));
  return conf;
}

Result<rd_kafka_t*> make_handle(Role role, Conf conf) {
  std::array<char, 512> why{};
  rd_kafka_t* handle =
      rd_kafka_new(role == Role::consumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf.get(), why.data(), why.size());
  if (handle == nullptr) return fail(ErrorCode::invalid_argument, to_utf8(why.data()), "kafka.properties");
  (void)conf.release();  // the handle owns it now
  return handle;
}

void destroy_within(rd_kafka_t* handle, int flags, int timeout_ms) {
  struct Ending {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
  };
  const auto ending = std::make_shared<Ending>();
  std::thread destroyer([handle, flags, ending] {
    rd_kafka_destroy_flags(handle, flags);
    const std::lock_guard lock(ending->mutex);
    ending->done = true;
    ending->changed.notify_all();
  });
  std::unique_lock lock(ending->mutex);
  const bool done = ending->changed.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return ending->done; });
  lock.unlock();
  if (done) {
    destroyer.join();
    return;
  }
  log(LogLevel::warn, "kafka_client_left", "the Kafka client does not end and is left behind");
  destroyer.detach();
}

}  // namespace fb::kafka

namespace fb {

Status check_kafka_properties(const KafkaProperties& properties) {
  KafkaProperties required = kafka::consumer_requirements();
  required["group.id"] = "check";
  FB_TRY(kafka::Conf conf, kafka::make_conf(properties, kafka::consumer_defaults(false), required));
  return {};
}

}  // namespace fb
