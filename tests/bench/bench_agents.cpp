// A fleet on one gateway: memory, CPU time, and how long an isolation takes to arrive. The gateway and the record are
// the real ones, over mTLS; the agents are light ones in a second process. Before any figure is printed it is checked
// that exactly the hosts meant got exactly their orders.
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <thread>

#include "actions/endpoint/endpoint_plugin.h"
#include "engine/base/log.h"
#include "engine/net/tls_files.h"
#include "engine/record/store.h"
#include "tests/bench/bench_support.h"
#include "tests/bench/light_fleet.h"
#include "tests/support/enrol.h"

namespace fb::bench {
namespace {

constexpr const char* kUsage =
    "bench_agents [--agents N] [--isolate M] [--idle S]\n"
    "Agents (2000) that hold two mTLS connections each, of which M (500) are isolated and released at once, after S\n"
    "(20) seconds of nothing but heartbeats. Exit 1: an order was lost, doubled, or came to the wrong host.\n";
constexpr int kPatienceS = 120;
constexpr int kEnrolThreads = 16;

struct Options {
  size_t agents = 2000;
  size_t isolate = 500;
  size_t idle_s = 20;
};

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double resident_mib() {
  std::ifstream in("/proc/self/statm");
  size_t all = 0, resident = 0;
  in >> all >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// The fleet's process: forked before any thread is started, and told the port later.
class FleetProcess {
 public:
  ~FleetProcess() {
    for (int fd : {go_[1], words_[0]}) {
      if (fd >= 0) close(fd);
    }
    if (child_ > 0) waitpid(child_, nullptr, 0);
  }
  Status start(FleetPlan plan) {
    if (pipe(go_) != 0 || pipe(words_) != 0) return fail(ErrorCode::internal, "no pipes");
    child_ = fork();
    if (child_ < 0) return fail(ErrorCode::internal, "no process for the fleet");
    if (child_ == 0) {
      close(go_[1]);
      close(words_[0]);
      signal(SIGPIPE, SIG_IGN);
      if (read(go_[0], &plan.port, sizeof plan.port) != sizeof plan.port) _exit(0);
      const Status ran = run_light_fleet(plan, go_[0], words_[1]);
      if (!ran) std::fprintf(stderr, "fleet: %s\n", ran.error().describe().c_str());
      _exit(ran ? 0 : 1);
    }
    close(go_[0]);
    close(words_[1]);
    return {};
  }
  bool go(uint16_t port) const { return write(go_[1], &port, sizeof port) == sizeof port; }
  // False: nothing within ms, or the fleet is gone.
  bool next(FleetWord& word, int ms) const {
    pollfd p{words_[0], POLLIN, 0};
    return ::poll(&p, 1, ms) > 0 && read(words_[0], &word, sizeof word) == sizeof word;
  }

 private:
  pid_t child_ = -1;
  int go_[2] = {-1, -1};
  int words_[2] = {-1, -1};
};

Status enrol_all(Store& store, const std::string& folder, size_t agents) {
  FB_TRY(const std::string csr, net::make_certificate_request(folder + "/agent.key"));
  std::ifstream in(folder + "/agent.key");
  const std::string key((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kEnrolThreads; ++t) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < agents && !failed; i = next++) {
        EndpointReport agent;
        agent.endpoint_id = fleet_agent_id(i);
        agent.host_id = "host-" + std::to_string(i);
        agent.hostname = "h" + std::to_string(i);
        agent.os = "linux";
        const auto certificate = net::sign_client_certificate(folder + "/ca.pem", folder + "/ca.key", csr,
                                                              agent.endpoint_id, system_clock().wall_ms() + 86'400'000);
        if (!certificate || !fb::test::enrol(store, agent, certificate->sha256)) failed = true;
        if (certificate) std::ofstream(folder + "/" + std::to_string(i) + ".pem") << certificate->pem << key;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  if (failed) return fail(ErrorCode::internal, "the agents could not be enrolled");
  return {};
}

// What came of one round of orders: milliseconds from send() to the agent.
struct Round {
  std::vector<double> delivered_ms;
};

Result<Round> order_round(endpoint::EndpointPlugin& plugin, const FleetProcess& fleet, Verb verb, int64_t generation,
                          size_t count) {
  std::map<size_t, int64_t> sent;
  for (size_t i = 0; i < count; ++i) {
    Command c;
    c.action_id = std::string(to_string(verb)) + "-" + std::to_string(i);
    c.verb = verb;
    c.endpoint_id = fleet_agent_id(i);
    c.generation = generation;
    sent[i] = now_ns();
    FB_TRY(const SendOutcome outcome, plugin.send(c));
    if (outcome != SendOutcome::sent) return fail(ErrorCode::internal, "an agent is offline", c.endpoint_id);
  }
  Round round;
  std::map<size_t, int> came;
  FleetWord word;
  while (round.delivered_ms.size() < count) {
    if (!fleet.next(word, kPatienceS * 1000)) return fail(ErrorCode::timeout, "orders were lost");
    if (word.kind != FleetWord::Kind::order) {
      return fail(ErrorCode::internal, "the fleet has trouble", std::to_string(word.generation));
    }
    if (!sent.contains(word.agent)) return fail(ErrorCode::internal, "an order for nobody", std::to_string(word.agent));
    if (word.generation != generation) return fail(ErrorCode::internal, "an order of another round");
    if (++came[word.agent] > 1) return fail(ErrorCode::internal, "an order came twice", std::to_string(word.agent));
    round.delivered_ms.push_back(static_cast<double>(word.mono_ns - sent[word.agent]) / 1e6);
  }
  return round;
}

void print_round(const char* what, const Round& round) {
  std::printf("%-10s %5zu hosts: send -> at the host p50 %.1f ms, p99 %.1f ms, last %.1f ms\n", what,
              round.delivered_ms.size(), quantile(round.delivered_ms, 0.5), quantile(round.delivered_ms, 0.99),
              quantile(round.delivered_ms, 1));
}

Status run(const Options& options, const std::string& folder, FleetProcess& fleet) {
  MachineLoad load;
  std::atomic<size_t> done{0};
  StoreOptions record;
  record.data_dir = folder + "/data";
  FB_TRY(const auto store, Store::open(record));
  FB_TRY_VOID(net::create_ca(folder + "/ca.pem", folder + "/ca.key", "Bench CA"));
  FB_TRY_VOID(net::create_server_certificate(folder + "/ca.pem", folder + "/ca.key", folder + "/s.pem",
                                             folder + "/s.key", {std::string("*") + kFleetDomain}));
  FB_TRY_VOID(endpoint::Signer::create(folder + "/signing.key"));
  FB_TRY(const auto signer, endpoint::Signer::load(folder + "/signing.key"));
  FB_TRY_VOID(enrol_all(*store, folder, options.agents));

  endpoint::EndpointOptions gateway;
  gateway.listen = "127.0.0.1:0";
  gateway.certificate_file = folder + "/s.pem";
  gateway.private_key_file = folder + "/s.key";
  gateway.ca_file = folder + "/ca.pem";
  gateway.ca_key_file = folder + "/ca.key";
  gateway.signers = {signer};
  gateway.break_glass_secret = std::string(32, 's');
  gateway.limits.max_connections_per_address = static_cast<uint32_t>(2 * options.agents + 100);
  const double before_mib = resident_mib();
  const double before_cpu = cpu_seconds();
  FB_TRY(const auto plugin,
         endpoint::make_action_plugin_endpoint(gateway, *store, *store, system_clock(), [&done](const Report& r) {
           if (r.kind == Report::Kind::done) done.fetch_add(1);
         }));
  const int64_t begun = now_ns();
  if (!fleet.go(plugin->port())) return fail(ErrorCode::internal, "the fleet is gone");
  FleetWord word;
  if (!fleet.next(word, kPatienceS * 1000) || word.kind != FleetWord::Kind::up) {
    return fail(ErrorCode::timeout, "the fleet did not come up", std::to_string(word.generation));
  }
  const double up_s = static_cast<double>(now_ns() - begun) / 1e9;
  const int64_t until = now_ns() + int64_t{10} * 1'000'000'000;
  while (plugin->stats().open_polls < options.agents && now_ns() < until) usleep(10'000);
  const size_t polls = plugin->stats().open_polls;
  if (polls != options.agents) return fail(ErrorCode::internal, "polls are missing", std::to_string(polls));
  const double up_cpu = cpu_seconds() - before_cpu;
  const double up_mib = resident_mib();

  const double idle_from = cpu_seconds();
  const uint64_t beats_from = plugin->stats().heartbeats;
  if (fleet.next(word, static_cast<int>(options.idle_s) * 1000)) {
    return fail(ErrorCode::internal, "an order that nobody gave, or trouble", std::to_string(word.generation));
  }
  const double idle_cpu = cpu_seconds() - idle_from;
  const uint64_t beats = plugin->stats().heartbeats - beats_from;

  const double act_from = cpu_seconds();
  FB_TRY(const Round isolated, order_round(*plugin, fleet, Verb::isolate, 1, options.isolate));
  const int64_t reports_until = now_ns() + int64_t{30} * 1'000'000'000;
  while (done.load() < options.isolate && now_ns() < reports_until) usleep(1000);
  if (done.load() != options.isolate)
    return fail(ErrorCode::internal, "reports are missing", std::to_string(done.load()));
  FB_TRY(const Round released, order_round(*plugin, fleet, Verb::release, 2, options.isolate));
  const double act_cpu = cpu_seconds() - act_from;
  // Nothing more may come: no order twice, none for the others.
  if (fleet.next(word, 3000)) return fail(ErrorCode::internal, "an order too many", std::to_string(word.agent));

  std::printf("every order came once, to the host it was for, with a signature that holds\n");
  std::printf("%zu agents, two mTLS connections each: up in %.1f s with %.2f s of CPU\n", options.agents, up_s, up_cpu);
  std::printf("memory: %.0f MiB before the gateway, %.0f MiB with the fleet: %.1f KiB an agent\n", before_mib, up_mib,
              (up_mib - before_mib) * 1024 / static_cast<double>(options.agents));
  std::printf("idle:   %zu s, %llu heartbeats, %.2f s of CPU (%.1f %% of one core)\n", options.idle_s,
              static_cast<unsigned long long>(beats), idle_cpu,
              100 * idle_cpu / static_cast<double>(std::max<size_t>(1, options.idle_s)));
  print_round("isolate", isolated);
  print_round("release", released);
  std::printf("both rounds: %.2f s of CPU, of the gateway and its record\n", act_cpu);
  std::printf("machine: %s\n", load.describe().c_str());
  plugin->stop(1000);
  return {};
}

int main_of(int argc, char** argv) {
  Options options;
  Words words(argc, argv, kUsage);
  for (std::string word; words.next(word);) {
    if (word == "--agents") {
      options.agents = words.number(1, 20'000);
    } else if (word == "--isolate") {
      options.isolate = words.number(1, 20'000);
    } else if (word == "--idle") {
      options.idle_s = words.number(1, 600);
    } else {
      words.refuse("unknown option " + word);
    }
  }
  if (options.isolate > options.agents) words.refuse("--isolate is more than --agents");
  set_log_level(LogLevel::error);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur < 2 * options.agents + 200) words.refuse("too few files may be open (ulimit -n)");
  const TempFolder folder("bench-agents");
  FleetProcess fleet;
  FleetPlan plan;
  plan.folder = folder.path();
  plan.agents = options.agents;
  Status ran = fleet.start(plan);
  if (ran) ran = run(options, folder.path(), fleet);
  if (ran) return 0;
  std::fprintf(stderr, "bench_agents: %s\n", ran.error().describe().c_str());
  return 1;
}

}  // namespace
}  // namespace fb::bench

int main(int argc, char** argv) {
  return fb::bench::main_of(argc, argv);
}
