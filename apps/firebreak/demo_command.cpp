// firebreak demo: the main job on recorded attacks, with nothing to install. An embedded Kafka-protocol broker, the
// real service in enforce mode, a simulated agent a host; then the story of what happened, read back from the record.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "actions/endpoint/wire.h"
#include "apps/firebreak-agent/agent.h"
#include "apps/firebreak/inputs.h"
#include "apps/firebreak/load_config.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/service.h"
#include "apps/firebreak/service_files.h"
#include "apps/firebreak/signals.h"
#include "apps/firebreak/terminal.h"
#include "apps/firebreak/version.h"
#include "connectors/kafka/embedded_broker.h"
#include "connectors/kafka/produce.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/text.h"
#include "engine/event/json_tree.h"
#include "engine/net/tls_files.h"
#include "engine/record/queries.h"

namespace fb::cli {
namespace {

namespace fs = std::filesystem;
constexpr int kPartitions = 2;
constexpr int kPatienceMs = 30'000;
constexpr int64_t kMostRows = 100'000;
constexpr const char* kTopic = "security-events";

struct Host {
  std::string agent_id;
  std::string host_id;
  std::string name;
};

struct Scene {
  std::vector<std::string> files;
  std::vector<std::string> events;
  std::map<std::string, Host> hosts;  // by agent.id
};

// The text at a dotted path of nested objects.
std::string text_at(const JsonNode& node, std::string_view first, std::string_view second) {
  for (const auto& [key, value] : node.members) {
    if (key != first || value.kind != JsonNode::Kind::object) continue;
    for (const auto& [inner, leaf] : value.members) {
      if (inner == second && leaf.kind == JsonNode::Kind::string) return leaf.text;
    }
  }
  return {};
}

// A folder given on the command line, else beside the sources, else where the package put it.
std::string find_folder(const std::string& given, const char* name) {
  std::error_code error;
  if (!given.empty()) return given;
  for (const std::string& base : {std::string(kSourceDir), std::string("/usr/share/firebreak"), std::string(".")}) {
    if (fs::is_directory(base + "/" + name, error)) return base + "/" + name;
  }
  return std::string("./") + name;
}

Result<Scene> read_scene(const std::string& folder) {
  Scene scene;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string path = entry.path().string();
    if (path.ends_with(".ndjson") || path.ends_with(".ndjson.gz")) scene.files.push_back(path);
  }
  if (error) return fail(ErrorCode::not_found, "there is no folder of samples " + folder + " (--samples DIR)");
  if (scene.files.empty()) return fail(ErrorCode::not_found, "there are no .ndjson files in " + folder);
  std::sort(scene.files.begin(), scene.files.end());
  FB_TRY(const NextLine next, open_events(scene.files));
  for (;;) {
    std::string_view line;
    FB_TRY(const bool more, next(&line));
    if (!more) break;
    scene.events.emplace_back(line);
    const auto tree = parse_json_tree(line);
    if (!tree) continue;
    Host host{text_at(*tree, "agent", "id"), text_at(*tree, "host", "id"), text_at(*tree, "host", "name")};
    if (!host.agent_id.empty()) scene.hosts.try_emplace(host.agent_id, host);
  }
  return scene;
}

// A folder for the run's data, gone with it.
class Workplace {
 public:
  Workplace() {
    std::string path = (fs::temp_directory_path() / "firebreak-demo-XXXXXX").string();
    if (mkdtemp(path.data()) != nullptr) path_ = path;
  }
  ~Workplace() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Result<Config> demo_config(const std::string& data_dir, const std::string& bootstrap, const std::string& rules) {
  const std::string text =
      "data_dir: " + data_dir + "\nkafka:\n  properties:\n    bootstrap.servers: '" + bootstrap + "'\n  topics: [" +
      kTopic + "]\nrules: ['" + rules +
      "']\nresponse:\n  mode: enforce\nhttp:\n  listen: 127.0.0.1:0\nagents:\n  listen: 127.0.0.1:0\n"
      "  heartbeat: 1s\n  offline_after: 5s\nlog:\n  level: error\n";
  Config::Loaded loaded = Config::parse(text, "demo");
  if (!loaded.ok()) return fail(ErrorCode::internal, loaded.problems[0].message);
  return std::move(loaded.config);
}

// Simulated endpoints, one a host of the samples, in threads of this process.
class Fleet {
 public:
  Status enroll(Service& service, const ServiceFiles& files, const Scene& scene, const std::string& folder) {
    FB_TRY(const std::string fingerprint, net::certificate_fingerprint(files.ca_certificate));
    for (const auto& [agent_id, host] : scene.hosts) {
      const std::string token = endpoint::make_token(fingerprint);
      FB_TRY_VOID(service.store().add_token(endpoint::token_hash(token), system_clock().wall_ms() + 60'000));
      agent::AgentOptions options;
      options.server = "https://127.0.0.1:" + std::to_string(service.agents_port());
      options.ca_file = files.ca_certificate;
      options.agent_id = agent_id;
      options.state_dir = folder + "/" + std::to_string(threads_.size());
      options.token_file = options.state_dir + "/token";
      options.backend = "simulated";
      options.host = {host.host_id, host.name, "windows", {}};
      options.wait_s = 20;
      std::error_code error;
      fs::create_directories(options.state_dir, error);
      std::ofstream(options.token_file) << token << '\n';
      chmod(options.token_file.c_str(), 0600);
      threads_.emplace_back([options](std::stop_token stop) { (void)agent::run_agent(options, stop); });
    }
    const int64_t until = system_clock().mono_ms() + kPatienceMs;
    while (system_clock().mono_ms() < until) {
      FB_TRY(const auto endpoints, service.store().endpoints());
      const auto online = std::count_if(endpoints.begin(), endpoints.end(),
                                        [](const Endpoint& e) { return e.status == AgentStatus::online; });
      if (static_cast<size_t>(online) == scene.hosts.size()) return {};
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return fail(ErrorCode::timeout, "the simulated agents did not enrol in time");
  }
  void stop() {
    for (std::jthread& t : threads_) t.request_stop();
    threads_.clear();
  }

 private:
  std::vector<std::jthread> threads_;
};

Status produce_scene(const std::string& bootstrap, const Scene& scene) {
  std::vector<ProduceRecord> records;
  for (const std::string& event : scene.events) {
    ProduceRecord record;
    const auto tree = parse_json_tree(event);
    if (tree) record.key = text_at(*tree, "agent", "id");
    record.value = event;
    records.push_back(std::move(record));
  }
  return produce(bootstrap, kTopic, records);
}

// Until every event is in the record and no action is on its way.
Status wait_until_done(Service& service, record::Reader& reader, size_t events) {
  const int64_t until = system_clock().mono_ms() + kPatienceMs;
  while (system_clock().mono_ms() < until) {
    FB_TRY(const record::RecordCounts counts, reader.counts());
    if (service.events() >= events && counts.open_actions == 0) return {};
    if (service.fatal_exit() != 0) return fail(ErrorCode::internal, "the service ended early");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return fail(ErrorCode::timeout, "not every event was handled within 30 s");
}

std::string host_name(const Scene& scene, const std::string& agent_id) {
  const auto it = scene.hosts.find(agent_id);
  return printable(it == scene.hosts.end() || it->second.name.empty() ? agent_id : it->second.name);
}

// What happened, in under 25 lines with the ones before it.
Status tell_story(const Scene& scene, record::Reader& reader, const std::string& db) {
  record::AlertFilter all_alerts;
  all_alerts.newest_first = false;
  all_alerts.limit = kMostRows;
  FB_TRY(const auto alerts, reader.alerts(all_alerts));
  std::map<std::string, std::pair<std::string, size_t>> rules;  // name -> severity, count
  for (const record::AlertRow& a : alerts) {
    auto& [severity, count] = rules[a.rule_name];
    severity = a.severity;
    ++count;
  }
  std::vector<std::pair<std::string, std::pair<std::string, size_t>>> by_severity(rules.begin(), rules.end());
  const auto rank = [](const std::string& s) { return s == "critical" ? 0 : s == "high" ? 1 : s == "medium" ? 2 : 3; };
  std::stable_sort(by_severity.begin(), by_severity.end(),
                   [&](const auto& a, const auto& b) { return rank(a.second.first) < rank(b.second.first); });
  std::printf("\n%s alerts of %zu rules:\n", grouped(alerts.size()).c_str(), rules.size());
  constexpr size_t kMostRules = 6;
  for (size_t i = 0; i < std::min(by_severity.size(), kMostRules); ++i) {
    const auto& [name, what] = by_severity[i];
    const std::string padded = what.first + std::string(what.first.size() < 8 ? 8 - what.first.size() : 0, ' ');
    std::printf("  %s  %s%s\n", paint(paint_of(what.first), padded).c_str(), printable(name).c_str(),
                what.second > 1 ? ("  (" + std::to_string(what.second) + ")").c_str() : "");
  }
  if (by_severity.size() > kMostRules) std::printf("  ... and %zu more\n", by_severity.size() - kMostRules);

  record::ActionFilter all_actions;
  all_actions.newest_first = false;
  all_actions.limit = kMostRows;
  FB_TRY(const auto actions, reader.actions(all_actions));
  std::printf("\nThe guard's verdicts and what became of them:\n");
  for (const record::ActionRow& a : actions) {
    const int64_t took = a.finished_at_ms - a.created_at_ms;
    std::string line = "  " + a.command + " " + host_name(scene, a.endpoint_id) + ": " + a.verdict;
    if (!a.guard.empty()) line += " (" + a.guard + ")";
    line += ", " + a.status;
    if (a.status == "verified") line += ": read back " + std::to_string(took) + " ms after the record had it";
    std::printf("%s\n", paint(paint_of(a.status), line).c_str());
    std::printf("    because of %zu alert%s; comment: %s\n", a.alert_ids.size(), a.alert_ids.size() == 1 ? "" : "s",
                shortened(printable(a.comment), 70).c_str());
  }
  FB_TRY(const auto verdict, record::verify_audit(db));
  FB_TRY(const auto counts, reader.counts());
  std::printf("\nThe record: %s alerts, %s actions, %s dead letters; audit chain of %s rows %s\n",
              grouped(static_cast<uint64_t>(counts.alerts)).c_str(),
              grouped(static_cast<uint64_t>(counts.actions)).c_str(),
              grouped(static_cast<uint64_t>(counts.dead_letters)).c_str(),
              grouped(static_cast<uint64_t>(verdict.rows)).c_str(), verdict.ok ? "holds" : "IS BROKEN");
  if (!verdict.ok) return fail(ErrorCode::corrupt, verdict.why);
  const bool isolated_some = std::any_of(actions.begin(), actions.end(), [](const record::ActionRow& a) {
    return a.command == "isolate" && a.status == "verified";
  });
  if (!isolated_some) return fail(ErrorCode::internal, "no host was isolated; the demo did not show its main job");
  return {};
}

Status play(const DemoOptions& options, const Signals& signals) {
  const int64_t started = system_clock().mono_ms();
  const auto step = [started](const std::string& what) {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%5.1f s", static_cast<double>(system_clock().mono_ms() - started) / 1000);
    std::printf("%s  %s\n", paint(Paint::dim, seconds).c_str(), what.c_str());
    std::fflush(stdout);
  };
  std::printf("Firebreak %s: recorded attacks through broker, rules, guard, agents and record\n", kVersion);
  FB_TRY(const Scene scene, read_scene(find_folder(options.samples, "samples")));
  const Workplace work;
  if (work.path().empty()) return fail(ErrorCode::io, "can't make a folder for the demo's data");
  const std::string data_dir = work.path() + "/data";

  FB_TRY(const auto broker, EmbeddedBroker::start());
  FB_TRY_VOID(broker->create_topic(kTopic, kPartitions));
  step("a Kafka-protocol broker listens on " + broker->bootstrap());
  FB_TRY_VOID(set_up_data_dir(data_dir, {}));
  FB_TRY(Config config, demo_config(data_dir, broker->bootstrap(), find_folder(options.rules, "rules")));
  ServiceStart start;
  start.config = std::move(config);
  start.embedded_broker = true;
  FB_TRY(const auto service, Service::start(std::move(start)));
  step("the service runs in mode enforce with " + std::to_string(service->rules()->rules().size()) + " rules");
  const ServiceFiles files(data_dir);
  Fleet fleet;
  FB_TRY_VOID(fleet.enroll(*service, files, scene, work.path() + "/agents"));
  step(std::to_string(scene.hosts.size()) +
       " agents are enrolled and online (isolation is simulated: no network is touched)");
  FB_TRY_VOID(produce_scene(broker->bootstrap(), scene));
  step(grouped(scene.events.size()) + " recorded events of " + std::to_string(scene.files.size()) +
       " attacks are in topic " + kTopic + "; the consumer joins its group (about 3 s)");
  FB_TRY(const auto reader, record::Reader::open(files.database));
  FB_TRY_VOID(wait_until_done(*service, *reader, scene.events.size()));
  step("every event is evaluated, every action is over");
  FB_TRY_VOID(tell_story(scene, *reader, files.database));
  if (options.keep) {
    std::printf(
        "\nIt goes on until Ctrl-C. Try:\n  firebreak endpoints --socket %s\n  firebreak release HOST --comment why "
        "--socket %s\n"
        "  curl http://127.0.0.1:%u/metrics\n",
        files.socket.c_str(), files.socket.c_str(), static_cast<unsigned>(service->http_port()));
    std::fflush(stdout);
    while (signals.wait(200) == 0 && service->fatal_exit() == 0) {
    }
  }
  fleet.stop();
  service->stop();
  return {};
}

}  // namespace

int run_demo(const DemoOptions& options) {
  const Signals signals;
  set_log_level(LogLevel::error);
  const Status played = play(options, signals);
  if (!played) return complain(played.error(), kCantRun);
  return kDone;
}

}  // namespace fb::cli
