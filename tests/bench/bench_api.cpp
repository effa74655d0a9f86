// The API under load while the engine works: 2,000 mixed reads a second over 100 kept connections, beside 20,000 events
// a second through Kafka, rules and record, in one process. Each request has a time at which it is due; its latency
// counts from then on, so that a server that falls behind can't hide it. Every answer is checked.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "api/api_keys.h"
#include "apps/firebreak/service.h"
#include "apps/firebreak/service_files.h"
#include "bench_support.h"
#include "connectors/kafka/produce.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/log.h"
#include "engine/model/ids.h"

namespace fb::bench {
namespace {

using std::chrono::steady_clock;

constexpr double kTargetMs = 20;
constexpr size_t kPartitions = 16;
constexpr size_t kMostRecorded = 20'000;
constexpr int kPatienceMs = 30'000;

constexpr const char* kUsage =
    "bench_api: mixed reads over the API while the engine takes events from Kafka\n"
    "\n"
    "  FB_KAFKA=host:port bench_api [options]   with an Apache Kafka; otherwise with the embedded broker\n"
    "\n"
    "  --quick          5 s (otherwise 30)\n"
    "  --seconds N      how long\n"
    "  --rate N         requests a second (2000)\n"
    "  --connections N  kept open (100)\n"
    "  --events N       events a second (20000; 0 = none)\n"
    "\n"
    "Run it from the project's folder, or with FB_SOURCE_DIR set. Exit 1: an answer was wrong or did not come.\n";

struct Options {
  size_t seconds = 30;
  size_t rate = 2000;
  size_t connections = 100;
  size_t events = 20'000;
};

Options read_options(int argc, char** argv) {
  Options out;
  Words words(argc, argv, kUsage);
  for (std::string word; words.next(word);) {
    if (word == "--quick") {
      out.seconds = 5;
    } else if (word == "--seconds") {
      out.seconds = words.number(1, 3600);
    } else if (word == "--rate") {
      out.rate = words.number(1, 100'000);
    } else if (word == "--connections") {
      out.connections = words.number(1, 1000);
    } else if (word == "--events") {
      out.events = words.number(0, 1'000'000);
    } else {
      words.refuse("unknown option " + word);
    }
  }
  return out;
}

// What is asked in turn, and the member that tells a right answer from a wrong one ("" = each line is an object).
struct Asked {
  const char* target;
  const char* member;
};
constexpr std::array<Asked, 10> kAsked = {{
    {"/api/firebreak/alerts?limit=20", ""},
    {"/api/firebreak/actions?limit=20", ""},
    {"/api/firebreak/endpoints", ""},
    {"/api/firebreak/audit?limit=20", ""},
    {"/api/firebreak/kill_switch", "on"},
    {"/api/endpoint/action?pageSize=10", "data"},
    {"/api/endpoint/metadata?pageSize=10", "data"},
    {"/api/detection_engine/rules/_find?per_page=5", "data"},
    {"/api/exception_lists/_find?per_page=5", "data"},
    {"/api/status", "status"},
}};

// One kept connection: a request out, its whole answer in.
class Connection {
 public:
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Status open(uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const timeval patience{kPatienceMs / 1000, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
      return fail(ErrorCode::unavailable, std::strerror(errno), "connect");
    }
    return {};
  }

  Result<std::string> ask(const std::string& request) {
    for (std::string_view rest = request; !rest.empty();) {
      const ssize_t n = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (n <= 0) return fail(ErrorCode::io, "the connection was cut");
      rest.remove_prefix(static_cast<size_t>(n));
    }
    std::string got;
    size_t whole = std::string::npos, body = 0;
    while (got.size() < whole) {
      std::array<char, 16384> buffer;
      const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (n <= 0) return fail(ErrorCode::timeout, "the answer did not come");
      got.append(buffer.data(), static_cast<size_t>(n));
      if (whole != std::string::npos) continue;
      const size_t end = got.find("\r\n\r\n");
      if (end == std::string::npos) continue;
      const size_t length = got.find("Content-Length: ");
      if (!got.starts_with("HTTP/1.1 200") || length > end) return fail(ErrorCode::refused, got.substr(0, 200));
      body = end + 4;
      whole = body + std::stoul(got.substr(length + 16, 20));
    }
    if (got.size() != whole) return fail(ErrorCode::corrupt, "more came than the answer");
    return got.substr(body);
  }

 private:
  int fd_ = -1;
};

Status check(const Asked& asked, const std::string& body) {
  if (*asked.member != '\0') {
    const auto json = parse_json(body);
    if (json.is_object() && json.contains(asked.member)) return {};
    return fail(ErrorCode::corrupt, "a wrong answer: " + body.substr(0, 200), asked.target);
  }
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    if (!nlohmann::json::accept(std::string_view(body).substr(at, end - at))) {
      return fail(ErrorCode::corrupt, "a line is not JSON: " + body.substr(at, 200), asked.target);
    }
    at = end + 1;
  }
  return {};
}

class Run {
 public:
  Run(const Options& options, const Broker& broker, std::string topic, std::string folder)
      : options_(options), broker_(broker), topic_(std::move(topic)), folder_(std::move(folder)) {}
  ~Run() {
    producer_thread_ = {};
    if (service_) service_->stop();
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Status start() {
    const std::string data_dir = folder_ + "/data";
    FB_TRY_VOID(cli::set_up_data_dir(data_dir, {}));
    Config::Loaded loaded = Config::parse(
        "data_dir: " + data_dir + "\nkafka:\n  properties:\n    bootstrap.servers: '" + broker_.bootstrap() +
            "'\n  topics: [" + topic_ + "]\n  group: " + topic_ + "\nrules: ['" + source_dir() +
            "/rules']\nresponse:\n  mode: dry_run\nhttp:\n  listen: 127.0.0.1:0\n  limits: "
            "{max_connections_per_address: 2000}\nagents:\n  listen: 127.0.0.1:0\nlog:\n  level: error\n",
        "bench");
    if (!loaded.ok()) return fail(ErrorCode::internal, loaded.problems[0].message, "config");
    cli::ServiceStart start;
    start.config = std::move(loaded.config);
    start.embedded_broker = broker_.embedded();
    FB_TRY(service_, cli::Service::start(std::move(start)));
    FB_TRY_VOID(service_->store().add_user({"bench", {Role::viewer, Role::approver}, false, "", 0, ""}, "service"));
    api::NewKey key = api::new_key();
    key.row.person = "bench";
    FB_TRY_VOID(service_->store().add_key(key.row, "service"));
    authorization_ = "ApiKey " + key.shown_once;
    FB_TRY(recorded_, read_recorded({source_dir() + "/samples"}, kMostRecorded));
    if (recorded_.empty()) return fail(ErrorCode::not_found, "there are no recorded events", source_dir() + "/samples");
    if (options_.events == 0) return {};
    FB_TRY(Producer producer, Producer::open({{"bootstrap.servers", broker_.bootstrap()}, {"linger.ms", "5"}}));
    producer_.emplace(std::move(producer));
    producer_thread_ = std::jthread([this](std::stop_token stop) { produce(stop); });
    const int64_t until = system_clock().mono_ms() + kPatienceMs;
    while (service_->events() < options_.events) {
      if (system_clock().mono_ms() > until) return fail(ErrorCode::timeout, "the engine took no events");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return {};
  }

  Status measure() {
    MachineLoad machine;
    const uint64_t before = service_->events();
    const auto began = steady_clock::now();
    {
      std::vector<std::jthread> threads;
      for (size_t i = 0; i < options_.connections; ++i)
        threads.emplace_back([this, i, began] { one_connection(i, began); });
    }
    const double seconds = std::chrono::duration<double>(steady_clock::now() - began).count();
    const double taken = static_cast<double>(service_->events() - before);
    producer_thread_ = {};
    if (!wrong_.empty()) return fail(ErrorCode::corrupt, wrong_);
    if (service_->fatal_exit() != 0) return fail(ErrorCode::internal, "the service ended early");
    std::printf(
        "%zu answers over %zu connections in %.1f s (%.0f a second), each one checked; %.0f events a second "
        "meanwhile\n\n",
        latency_ms_.size(), options_.connections, seconds, static_cast<double>(latency_ms_.size()) / seconds,
        taken / seconds);
    std::printf("latency from when a request was due   p50 %.2f   p90 %.2f   p99 %.2f   max %.2f ms\n",
                quantile(latency_ms_, 0.5), quantile(latency_ms_, 0.9), quantile(latency_ms_, 0.99),
                quantile(latency_ms_, 1));
    for (size_t i = 0; i < kAsked.size(); ++i) {
      std::printf("  %-48s p50 %9.2f   p99 %9.2f ms\n", kAsked[i].target, quantile(of_target_ms_[i], 0.5),
                  quantile(of_target_ms_[i], 0.99));
    }
    std::printf("target: p99 under %.0f ms: %s\nmachine meanwhile: %s\n", kTargetMs,
                quantile(latency_ms_, 0.99) < kTargetMs ? "met" : "MISSED", machine.describe().c_str());
    return {};
  }

 private:
  void one_connection(size_t index, steady_clock::time_point began) {
    Connection connection;
    Status good = connection.open(service_->http_port());
    const std::chrono::duration<double> between(static_cast<double>(options_.connections) /
                                                static_cast<double>(options_.rate));
    const size_t count = options_.seconds * options_.rate / options_.connections;
    std::array<std::vector<double>, kAsked.size()> mine;
    for (size_t n = 0; n < count && good && !stopped_; ++n) {
      const size_t which = (n + index) % kAsked.size();
      const Asked& asked = kAsked[which];
      const double place =
          static_cast<double>(n) + static_cast<double>(index) / static_cast<double>(options_.connections);
      const auto due = began + std::chrono::duration_cast<steady_clock::duration>(between * place);
      std::this_thread::sleep_until(due);
      const auto body = connection.ask("GET " + std::string(asked.target) +
                                       " HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + authorization_ + "\r\n\r\n");
      mine[which].push_back(std::chrono::duration<double, std::milli>(steady_clock::now() - due).count());
      good = body ? check(asked, *body) : fail(body.error().code, body.error().message, asked.target);
    }
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < mine.size(); ++i) {
      latency_ms_.insert(latency_ms_.end(), mine[i].begin(), mine[i].end());
      of_target_ms_[i].insert(of_target_ms_[i].end(), mine[i].begin(), mine[i].end());
    }
    if (!good && wrong_.empty()) wrong_ = good.error().describe();
    if (!good) stopped_ = true;
  }

  // What is due by now, at most a tenth of a second's worth at a time; ahead of the engine by half a second at most,
  // which is what the embedded broker keeps.
  void produce(std::stop_token stop) {
    const auto began = steady_clock::now();
    uint64_t sent = 0;
    while (!stop.stop_requested()) {
      const double due =
          std::chrono::duration<double>(steady_clock::now() - began).count() * static_cast<double>(options_.events);
      const uint64_t most = std::min(static_cast<uint64_t>(due), service_->events() + options_.events / 2 + 1);
      if (most <= sent) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        continue;
      }
      std::vector<ProduceRecord> records(std::min<uint64_t>(most - sent, options_.events / 10 + 1));
      for (ProduceRecord& record : records) {
        recorded_[sent % recorded_.size()].write(static_cast<uint32_t>(sent / recorded_.size()),
                                                 record.value.emplace());
        record.partition = static_cast<int32_t>(sent % kPartitions);
        ++sent;
      }
      if (const Status done = producer_->send(topic_, records); !done) {
        const std::lock_guard lock(mutex_);
        if (wrong_.empty()) wrong_ = done.error().describe();
        stopped_ = true;
        return;
      }
    }
  }

  const Options& options_;
  const Broker& broker_;
  const std::string topic_;
  const std::string folder_;
  std::string authorization_;
  std::vector<Recorded> recorded_;
  std::unique_ptr<cli::Service> service_;
  std::optional<Producer> producer_;
  std::mutex mutex_;
  std::vector<double> latency_ms_;
  std::array<std::vector<double>, kAsked.size()> of_target_ms_;
  std::string wrong_;
  std::atomic<bool> stopped_{false};
  std::jthread producer_thread_;  // last: it uses all of the above
};

Status run(const Options& options) {
  const TempFolder folder("firebreak-bench-api");
  if (folder.path().empty()) return fail(ErrorCode::io, "can't make a folder for the run");
  const std::string topic = "firebreak-bench-api-" + new_uuid().substr(0, 8);
  FB_TRY(const auto broker, Broker::start({{topic, static_cast<int>(kPartitions)}}));
  std::printf("broker: %s\n", broker->describe().c_str());
  std::fflush(stdout);
  Run run(options, *broker, topic, folder.path());
  FB_TRY_VOID(run.start());
  return run.measure();
}

}  // namespace
}  // namespace fb::bench

int main(int argc, char** argv) {
  const fb::bench::Options options = fb::bench::read_options(argc, argv);
  fb::set_log_level(fb::LogLevel::error);
  const fb::Status done = fb::bench::run(options);
  if (done) return 0;
  std::fprintf(stderr, "bench_api: %s\n", done.error().describe().c_str());
  return 1;
}
