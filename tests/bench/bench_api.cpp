// The API under load while the engine works: 2,000 mixed reads a second over 100 kept connections, beside 20,000 events
// a second through Kafka, rules and record. The service (engine and API) is this process and nothing else: what asks
// and what produces events is a child, the embedded broker another one. So the CPU time of this process is the
// service's, and three rounds (the engine alone, the API alone, both) tell what an event and a request cost, and what
// each costs the other. Every kind of request is answered once and read whole before a time is told.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/api_keys.h"
#include "api_client.h"
#include "apps/firebreak/service.h"
#include "apps/firebreak/service_files.h"
#include "bench_support.h"
#include "connectors/kafka/produce.h"
#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/base/log.h"
#include "engine/model/ids.h"
#include "tests/support/enrol.h"

namespace fb::bench {
namespace {

using std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr double kTargetMs = 20;
constexpr size_t kPartitions = 16;
constexpr size_t kMostRecorded = 20'000;
constexpr int kPatienceMs = 60'000;  // for a busy machine
constexpr size_t kWarmUpEvents = 5'000;
constexpr size_t kEnrolThreads = 32;
constexpr size_t kMostActions = 50;
constexpr size_t kMostRequests = 64;
constexpr size_t kMostRequestBytes = 1024;

constexpr const char* kUsage =
    "bench_api: mixed reads over the API while the engine takes events from Kafka\n"
    "\n"
    "  FB_KAFKA=host:port bench_api [options]   with an Apache Kafka; otherwise with the embedded broker\n"
    "\n"
    "  --quick          rounds of 3 s and a small record (otherwise 20 s)\n"
    "  --seconds N      how long each of the three rounds takes\n"
    "  --rate N         requests a second (2000)\n"
    "  --connections N  kept open (100)\n"
    "  --events N       events a second (20000; 0 = none)\n"
    "  --endpoints N    enrolled before it begins (1000)\n"
    "  --exceptions N   host isolation exceptions before it begins (100)\n"
    "  --only TEXT      only requests whose line holds this text\n"
    "\n"
    "Run it from the project's folder, or with FB_SOURCE_DIR set. Exit 1: an answer was wrong or did not come.\n";

struct Options {
  size_t seconds = 20;
  size_t rate = 2000;
  size_t connections = 100;
  size_t events = 20'000;
  size_t endpoints = 1000;
  size_t exceptions = 100;
  std::string only;
};

Options read_options(int argc, char** argv) {
  Options out;
  Words words(argc, argv, kUsage);
  for (std::string word; words.next(word);) {
    if (word == "--quick") {
      out.seconds = 3;
      out.endpoints = 200;
      out.exceptions = 20;
    } else if (word == "--seconds") {
      out.seconds = words.number(1, 3600);
    } else if (word == "--rate") {
      out.rate = words.number(1, 100'000);
    } else if (word == "--connections") {
      out.connections = words.number(1, 1000);
    } else if (word == "--events") {
      out.events = words.number(0, 1'000'000);
    } else if (word == "--endpoints") {
      out.endpoints = words.number(1, 20'000);
    } else if (word == "--exceptions") {
      out.exceptions = words.number(1, 10'000);
    } else if (word == "--only") {
      out.only = words.value();
    } else {
      words.refuse("unknown option " + word);
    }
  }
  return out;
}

// What is asked in turn. `member` is a member of the answer that must not be empty; "" = each line is an object, and
// there is one; "*" = any object.
struct Asked {
  std::string line;
  std::string member;
};

// What the service's process and the one that loads it both see.
struct Shared {
  std::atomic<uint64_t> taken{0};    // events, by the engine
  std::atomic<bool> produce{false};  // the producer works
  std::atomic<int> round{0};         // of requests: the last one that was ordered
  std::atomic<int> round_done{0};
  std::atomic<bool> failed{false};
  std::array<char, 1024> wrong{};
  uint16_t port = 0;
  size_t request_count = 0;
  std::array<std::array<char, kMostRequestBytes>, kMostRequests> requests{};

  void fail_with(const std::string& why) {
    if (failed.load()) return;
    std::snprintf(wrong.data(), wrong.size(), "%s", why.c_str());
    failed.store(true);
  }
};

// Memory that stays common over fork().
template <class T>
Result<T*> common(size_t count) {
  void* at =
      mmap(nullptr, sizeof(T) * count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return fail(ErrorCode::io, "no memory to share");
  return static_cast<T*>(at);
}

double cpu_seconds(int who) {
  rusage use{};
  getrusage(who, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

// The child: events at their rate while they are wanted, and each round of requests as it is ordered.
class Loader {
 public:
  Loader(const Options& options, Shared& shared, Sample* samples, std::string bootstrap, std::string topic)
      : options_(options),
        shared_(shared),
        samples_(samples),
        bootstrap_(std::move(bootstrap)),
        topic_(std::move(topic)) {}

  [[noreturn]] void run() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::jthread producer;
    if (options_.events > 0) producer = std::jthread([this] { produce(); });
    for (int done = 0;;) {
      if (shared_.round.load() == done) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      LoadPlan plan{shared_.port, options_.connections, options_.rate, options_.seconds * options_.rate, {}};
      for (size_t i = 0; i < shared_.request_count; ++i) plan.requests.emplace_back(shared_.requests[i].data());
      if (const Status s = run_load(plan, samples_); !s) shared_.fail_with(s.error().describe());
      shared_.round_done.store(++done);
    }
  }

 private:
  // What is due by now, at most a tenth of a second's worth at a time; ahead of the engine by half a second at most,
  // which is what the embedded broker keeps.
  void produce() {
    auto recorded = read_recorded({source_dir() + "/samples"}, kMostRecorded);
    if (!recorded) return shared_.fail_with(recorded.error().describe());
    auto producer = Producer::open({{"bootstrap.servers", bootstrap_}, {"linger.ms", "5"}});
    if (!producer) return shared_.fail_with(producer.error().describe());
    uint64_t sent = 0;
    uint64_t first = 0;  // of this stretch
    steady_clock::time_point began;
    bool working = false;
    while (!shared_.failed.load()) {
      if (!shared_.produce.load()) {
        working = false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        continue;
      }
      if (!working) {
        began = steady_clock::now();
        first = sent;
        working = true;
      }
      const double due =
          std::chrono::duration<double>(steady_clock::now() - began).count() * static_cast<double>(options_.events);
      const uint64_t most =
          std::min(first + static_cast<uint64_t>(due), shared_.taken.load() + options_.events / 2 + 1);
      if (most <= sent) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        continue;
      }
      std::vector<ProduceRecord> records(std::min<uint64_t>(most - sent, options_.events / 10 + 1));
      for (ProduceRecord& record : records) {
        (*recorded)[sent % recorded->size()].write(static_cast<uint32_t>(sent / recorded->size()),
                                                   record.value.emplace());
        record.partition = static_cast<int32_t>(sent % kPartitions);
        ++sent;
      }
      if (const Status done = producer->send(topic_, records); !done) shared_.fail_with(done.error().describe());
    }
  }

  const Options& options_;
  Shared& shared_;
  Sample* samples_;
  const std::string bootstrap_;
  const std::string topic_;
};

// What one round showed.
struct Round {
  const char* name = "";
  double seconds = 0;
  double events = 0;
  double requests = 0;
  double cpu = 0;  // of the service, seconds
  std::string machine;
};

class Run {
 public:
  Run(const Options& options, const Broker& broker, std::string topic, std::string folder)
      : options_(options), broker_(broker), topic_(std::move(topic)), folder_(std::move(folder)) {}
  ~Run() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    if (service_) service_->stop();
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Before any thread is started.
  Status start_loader() {
    FB_TRY(Shared * shared, common<Shared>(1));
    shared_ = new (shared) Shared();
    FB_TRY(samples_, common<Sample>(options_.seconds * options_.rate));
    child_ = fork();
    if (child_ < 0) return fail(ErrorCode::io, "no process for the load");
    if (child_ > 0) return {};
    Loader(options_, *shared_, samples_, broker_.bootstrap(), topic_).run();
  }

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
    FB_TRY_VOID(service_->store().add_user({"bench", {Role::admin}, false, "", 0, ""}, "service"));
    api::NewKey key = api::new_key();
    key.row.person = "bench";
    FB_TRY_VOID(service_->store().add_key(key.row, "service"));
    authorization_ = "ApiKey " + key.shown_once;
    FB_TRY_VOID(by_hand_.open(service_->http_port()));
    FB_TRY_VOID(enrol());
    FB_TRY_VOID(add_exceptions());
    FB_TRY_VOID(add_actions());
    FB_TRY_VOID(warm_up());
    FB_TRY_VOID(choose_requests());
    return check_answers();
  }

  Status measure() {
    Round engine{"engine alone", 0, 0, 0, 0, ""};
    Round api{"API alone", 0, 0, 0, 0, ""};
    Round both{"both", 0, 0, 0, 0, ""};
    if (options_.events > 0) FB_TRY_VOID(run_round(engine, true, false));
    FB_TRY_VOID(run_round(api, false, true));
    const std::vector<Sample> calm = samples();
    if (options_.events > 0) FB_TRY_VOID(run_round(both, true, true));
    FB_TRY_VOID(check_answers());
    const std::vector<Sample> busy = samples();
    FB_TRY_VOID(cost_each());
    report(engine, api, both, calm, busy);
    return {};
  }

 private:
  static std::string endpoint_id(size_t n) {
    const std::string h = hex(sha256("bench endpoint " + std::to_string(n)));
    return h.substr(0, 8) + "-" + h.substr(8, 4) + "-4" + h.substr(13, 3) + "-a" + h.substr(17, 3) + "-" +
           h.substr(20, 12);
  }

  Status enrol() {
    std::atomic<size_t> next{0};
    std::vector<Status> done(kEnrolThreads);
    {
      std::vector<std::jthread> threads;
      for (size_t t = 0; t < kEnrolThreads; ++t) {
        threads.emplace_back([this, &next, &outcome = done[t]] {
          for (size_t n = next++; n < options_.endpoints && outcome; n = next++) {
            EndpointReport r;
            r.endpoint_id = endpoint_id(n);
            r.host_id = "bench-host-id-" + std::to_string(n);
            r.hostname = "bench-host-" + std::to_string(n);
            r.os = n % 3 == 0 ? "windows" : "linux";
            r.ips = {"198.51.100." + std::to_string(n % 250), "2001:db8::" + std::to_string(n % 9999)};
            r.agent_version = "1.0";
            r.observed = Isolation::released;
            outcome = test::enrol(service_->store(), r, hex(sha256("bench certificate " + std::to_string(n))));
          }
        });
      }
    }
    for (const Status& s : done) FB_TRY_VOID(s);
    return {};
  }

  Result<Json> ask(const std::string& line) {
    FB_TRY(const Connection::Answer answer, by_hand_.ask(wire(line, authorization_)));
    Json json = Json::parse(answer.body, nullptr, false);
    if (answer.status == 200 && !json.is_discarded()) return json;
    return fail(ErrorCode::corrupt, std::to_string(answer.status) + " " + answer.body.substr(0, 300), line);
  }

  Status add_exceptions() {
    const std::string list = "endpoint_host_isolation_exceptions";
    FB_TRY_VOID(ask(
        "POST /api/exception_lists " +
        Json{{"list_id", list}, {"name", list}, {"description", list}, {"type", list}, {"namespace_type", "agnostic"}}
            .dump()));
    for (size_t n = 0; n < options_.exceptions; ++n) {
      const std::string address =
          "10." + std::to_string(n / 65025) + "." + std::to_string(n / 255 % 255) + "." + std::to_string(n % 255);
      const Json item{
          {"list_id", list},
          {"item_id", "bench-" + std::to_string(n)},
          {"name", "Exception " + std::to_string(n)},
          {"description", "of the benchmark"},
          {"type", "simple"},
          {"namespace_type", "agnostic"},
          {"os_types", {"linux", "macos", "windows"}},
          {"tags", {"policy:all"}},
          {"entries",
           {{{"field", "destination.ip"}, {"operator", "included"}, {"type", "match"}, {"value", address}}}}};
      FB_TRY_VOID(ask("POST /api/exception_lists/items " + item.dump()));
    }
    return {};
  }

  Status add_actions() {
    for (size_t n = 0; n < std::min(options_.endpoints, kMostActions); ++n) {
      FB_TRY(const Json done, ask("POST /api/endpoint/action/isolate " +
                                  Json{{"endpoint_ids", {endpoint_id(n)}}, {"comment", "of the benchmark"}}.dump()));
      action_ = done.value("action", done.at("data").value("id", ""));
    }
    return {};
  }

  // Events and alerts in the record before anything is timed.
  Status warm_up() {
    if (options_.events == 0) return {};
    shared_->produce.store(true);
    const int64_t until = system_clock().mono_ms() + kPatienceMs;
    while (service_->events() < std::min(options_.events, kWarmUpEvents)) {
      shared_->taken.store(service_->events());
      if (shared_->failed.load()) return fail(ErrorCode::corrupt, shared_->wrong.data());
      if (system_clock().mono_ms() > until) return fail(ErrorCode::timeout, "the engine took no events");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    shared_->produce.store(false);
    return drain();
  }

  Status choose_requests() {
    const std::string first = endpoint_id(0);
    const std::string search = R"({"size":20,"sort":[{"@timestamp":"desc"}],"query":{"bool":{"filter":[)"
                               R"({"term":{"kibana.alert.workflow_status":"open"}}]}}})";
    const std::string any = options_.events > 0 ? "" : "*";
    const std::vector<Asked> all{
        {"GET /api/firebreak/alerts?limit=20", any},
        {"GET /api/firebreak/actions?limit=20", ""},
        {"GET /api/firebreak/endpoints?host=bench-host-7", ""},
        {"GET /api/firebreak/audit?limit=20", ""},
        {"GET /api/firebreak/kill_switch", "*"},
        {"GET /api/endpoint/action?pageSize=10", "data"},
        {"GET /api/endpoint/action/" + action_, "data"},
        {"GET /api/endpoint/action_status?agent_ids=" + first, "data"},
        {"GET /api/endpoint/metadata?pageSize=10", "data"},
        {"GET /api/endpoint/metadata/" + first, "metadata"},
        {"GET /api/detection_engine/rules/_find?per_page=5", "data"},
        {"GET /api/exception_lists/_find?namespace_type=agnostic&per_page=5", "data"},
        {"GET /api/exception_lists/items/"
         "_find?list_id=endpoint_host_isolation_exceptions&namespace_type=agnostic&per_page=20",
         "data"},
        {"POST /api/detection_engine/signals/search " + search, "hits"},
        {"GET /api/status", "status"},
    };
    for (const Asked& a : all) {
      if (a.line.find(options_.only) != std::string::npos) asked_.push_back(a);
    }
    if (asked_.empty()) return fail(ErrorCode::invalid_argument, "no request holds this text", options_.only);
    shared_->port = service_->http_port();
    for (const Asked& a : asked_) {
      const std::string request = wire(a.line, authorization_);
      if (request.size() >= kMostRequestBytes || shared_->request_count == kMostRequests) {
        return fail(ErrorCode::internal, "no room for the request", a.line);
      }
      std::memcpy(shared_->requests[shared_->request_count++].data(), request.c_str(), request.size() + 1);
    }
    return {};
  }

  // Each kind once, read whole.
  Status check_answers() {
    FB_TRY_VOID(by_hand_.open(service_->http_port()));  // the one before was idle for too long
    for (const Asked& a : asked_) {
      FB_TRY(const Connection::Answer answer, by_hand_.ask(wire(a.line, authorization_)));
      const auto wrong = [&] {
        return fail(ErrorCode::corrupt,
                    "a wrong answer: " + std::to_string(answer.status) + " " + answer.body.substr(0, 300), a.line);
      };
      if (answer.status != 200) return wrong();
      if (!a.member.empty()) {
        const Json json = Json::parse(answer.body, nullptr, false);
        if (json.is_discarded()) return wrong();
        if (a.member != "*" && (!json.is_object() || !json.contains(a.member) || json[a.member].empty()))
          return wrong();
        continue;
      }
      size_t lines = 0;
      for (size_t at = 0; at < answer.body.size(); ++lines) {
        const size_t end = std::min(answer.body.find('\n', at), answer.body.size());
        if (!Json::accept(std::string_view(answer.body).substr(at, end - at))) return wrong();
        at = end + 1;
      }
      if (lines == 0) return wrong();
    }
    return {};
  }

  // What an answer of each kind costs the service when nothing else is asked: one after the other on one connection,
  // without the CPU time of this thread, which asks.
  Status cost_each() {
    constexpr size_t kTimes = 200;
    FB_TRY_VOID(by_hand_.open(service_->http_port()));
    for (const Asked& a : asked_) {
      const std::string request = wire(a.line, authorization_);
      const double before = cpu_seconds(RUSAGE_SELF) - cpu_seconds(RUSAGE_THREAD);
      size_t bytes = 0;
      for (size_t i = 0; i < kTimes; ++i) {
        FB_TRY(const Connection::Answer answer, by_hand_.ask(request));
        bytes = answer.body.size();
      }
      const double cpu = cpu_seconds(RUSAGE_SELF) - cpu_seconds(RUSAGE_THREAD) - before;
      costs_.push_back({1e6 * cpu / static_cast<double>(kTimes), bytes});
    }
    return {};
  }

  // Until the engine has nothing more to do.
  Status drain() {
    const int64_t until = system_clock().mono_ms() + kPatienceMs;
    for (uint64_t last = service_->events(), quiet = 0; quiet < 5;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      const uint64_t now = service_->events();
      shared_->taken.store(now);
      quiet = now == last ? quiet + 1 : 0;
      last = now;
      if (system_clock().mono_ms() > until) return fail(ErrorCode::timeout, "the engine does not come to rest");
    }
    return {};
  }

  Status run_round(Round& round, bool with_events, bool with_requests) {
    std::printf("%s ...\n", round.name);
    std::fflush(stdout);
    if (with_events) {
      shared_->produce.store(true);
      FB_TRY_VOID(watch_for(std::chrono::seconds(1), false));
    }
    MachineLoad machine;
    const double cpu = cpu_seconds(RUSAGE_SELF);
    const uint64_t events = service_->events();
    const auto began = steady_clock::now();
    if (with_requests) shared_->round.fetch_add(1);
    FB_TRY_VOID(watch_for(std::chrono::seconds(options_.seconds), with_requests));
    round.seconds = std::chrono::duration<double>(steady_clock::now() - began).count();
    round.events = static_cast<double>(service_->events() - events);
    round.cpu = cpu_seconds(RUSAGE_SELF) - cpu;
    round.requests = with_requests ? static_cast<double>(options_.seconds * options_.rate) : 0;
    round.machine = machine.describe();
    shared_->produce.store(false);
    return with_events ? drain() : Status();
  }

  // Tells the producer how far the engine is, until the time or the round of requests is over.
  Status watch_for(std::chrono::seconds time, bool until_answered) {
    const auto end = steady_clock::now() + time;
    const auto answered = [this] { return shared_->round_done.load() == shared_->round.load(); };
    while (until_answered ? !answered() : steady_clock::now() < end) {
      shared_->taken.store(service_->events());
      if (shared_->failed.load()) return fail(ErrorCode::corrupt, shared_->wrong.data());
      if (service_->fatal_exit() != 0) return fail(ErrorCode::internal, "the service ended early");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (shared_->failed.load()) return fail(ErrorCode::corrupt, shared_->wrong.data());
    return {};
  }

  std::vector<Sample> samples() const { return {samples_, samples_ + options_.seconds * options_.rate}; }

  static std::vector<double> of(const std::vector<Sample>& all, size_t which) {
    std::vector<double> out;
    for (const Sample& s : all) {
      if (which == SIZE_MAX || s.which == which) out.push_back(s.latency_ms);
    }
    return out;
  }

  void report(const Round& engine, const Round& api, const Round& both, const std::vector<Sample>& calm,
              const std::vector<Sample>& busy) const {
    const auto a_second = [](double count, const Round& r) { return r.seconds > 0 ? count / r.seconds : 0; };
    const auto each_us = [](double cpu, double count) { return count > 0 ? 1e6 * cpu / count : 0; };
    const double event_us = each_us(engine.cpu, engine.events);
    const double request_us = each_us(api.cpu, api.requests);
    std::printf("\n%zu kinds of request, each answer read whole before and after; %zu endpoints, %zu exceptions\n\n",
                asked_.size(), options_.endpoints, options_.exceptions);
    std::printf("%-13s %11s %12s %11s %9s %9s %9s %9s\n", "", "events/s", "requests/s", "CPU of one", "p50 ms",
                "p90 ms", "p99 ms", "max ms");
    const auto row = [&](const Round& r, const std::vector<Sample>& s) {
      if (r.seconds == 0) return;
      std::printf("%-13s %11.0f %12.0f %10.1f%%", r.name, a_second(r.events, r), a_second(r.requests, r),
                  100 * r.cpu / r.seconds);
      const std::vector<double> ms = of(s, SIZE_MAX);
      if (r.requests > 0)
        std::printf(" %9.2f %9.2f %9.2f %9.2f", quantile(ms, 0.5), quantile(ms, 0.9), quantile(ms, 0.99),
                    quantile(ms, 1));
      std::printf("\n");
    };
    row(engine, {});
    row(api, calm);
    row(both, busy);
    std::printf("\nCPU time of the service: %.1f us an event (engine alone), %.1f us a request (API alone)\n", event_us,
                request_us);
    if (both.seconds > 0) {
      std::printf("together: %.2f of the sum of both; %.2f of the engine's events a second alone\n",
                  both.cpu / ((event_us * both.events + request_us * both.requests) / 1e6),
                  a_second(both.events, both) / std::max(1.0, a_second(engine.events, engine)));
    }
    std::printf("\n%-70s %7s %7s %9s %9s %9s %9s\n", "latency from when a request was due, ms", "CPU us", "bytes",
                "alone p50", "p99", "both p50", "p99");
    for (size_t i = 0; i < asked_.size(); ++i) {
      const std::vector<double> a = of(calm, i);
      const std::vector<double> b = both.seconds > 0 ? of(busy, i) : std::vector<double>();
      std::printf("  %-68s %7.0f %7zu %9.2f %9.2f %9.2f %9.2f\n", asked_[i].line.substr(0, 68).c_str(), costs_[i].us,
                  costs_[i].bytes, quantile(a, 0.5), quantile(a, 0.99), quantile(b, 0.5), quantile(b, 0.99));
    }
    const double p99 = quantile(of(both.seconds > 0 ? busy : calm, SIZE_MAX), 0.99);
    std::printf("\ntarget: p99 under %.0f ms%s: %s\n", kTargetMs, both.seconds > 0 ? " beside the engine" : "",
                p99 < kTargetMs ? "met" : "MISSED");
    for (const Round* r : {&engine, &api, &both}) {
      if (r->seconds > 0) std::printf("machine, %s: %s\n", r->name, r->machine.c_str());
    }
  }

  const Options& options_;
  const Broker& broker_;
  const std::string topic_;
  const std::string folder_;
  Shared* shared_ = nullptr;
  Sample* samples_ = nullptr;
  pid_t child_ = 0;
  std::string authorization_;
  std::string action_;
  std::vector<Asked> asked_;
  struct Cost {
    double us = 0;
    size_t bytes = 0;
  };
  std::vector<Cost> costs_;  // of each kind, by itself
  std::unique_ptr<cli::Service> service_;
  Connection by_hand_;
};

Status run(const Options& options) {
  const TempFolder folder("firebreak-bench-api");
  if (folder.path().empty()) return fail(ErrorCode::io, "can't make a folder for the run");
  const std::string topic = "firebreak-bench-api-" + new_uuid().substr(0, 8);
  FB_TRY(const auto broker, Broker::start({{topic, static_cast<int>(kPartitions)}}));
  std::printf("broker: %s\n", broker->describe().c_str());
  std::fflush(stdout);
  Run run(options, *broker, topic, folder.path());
  FB_TRY_VOID(run.start_loader());
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
