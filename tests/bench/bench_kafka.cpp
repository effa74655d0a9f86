// What Firebreak adds to reading a topic: consume + parse + match + record, as a ratio over consume alone, on the same
// topic in the same run. First the answer: the alerts in the record must be those that a scan of the same lines finds.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "bench_support.h"
#include "connectors/kafka/kafka_source.h"
#include "connectors/kafka/produce.h"
#include "engine/base/log.h"
#include "engine/model/ids.h"
#include "engine/pipeline/pipeline.h"
#include "engine/pipeline/replay.h"
#include "engine/record/queries.h"
#include "engine/record/store.h"
#include "engine/respond/guard.h"

namespace fb::bench {
namespace {

using std::chrono::steady_clock;

constexpr int64_t kPatienceMs = 120'000;  // one reading of the topic
constexpr size_t kProduceAtOnce = 2'000;
constexpr size_t kSourcesChecked = 500;  // alerts whose event bytes are compared

constexpr const char* kUsage =
    "bench_kafka: consume + parse + match + record from a broker, as a ratio over consume alone\n"
    "\n"
    "  FB_KAFKA=host:port bench_kafka [options]   with an Apache Kafka (scripts/kafka up prints its address)\n"
    "  bench_kafka [options]                      with the embedded broker: it keeps 5 MiB a partition, so a small "
    "load\n"
    "\n"
    "  --quick         one round, fewer events: about 20 s\n"
    "  --events PATH   NDJSON or .gz, file or folder, repeated under fresh ids; may be given again; default: samples\n"
    "  --rules PATH    rules beside the shipped ones, those that can't be read left out; may be given again\n"
    "  --count N       events a load (200000; --quick 40000; the embedded broker takes what it can keep)\n"
    "  --rounds N      readings of each kind (5; --quick 1)\n"
    "  --partitions N  of the topic (4; with the embedded broker 16)\n"
    "\n"
    "Run it from the project's folder, or with FB_SOURCE_DIR set. Exit 1: an answer was wrong.\n";

struct Options {
  std::vector<std::string> events;
  std::vector<std::string> rules;
  size_t count = 0;
  size_t rounds = 0;
  size_t partitions = 0;
  bool quick = false;
};

Options read_options(int argc, char** argv) {
  Options out;
  Words words(argc, argv, kUsage);
  for (std::string word; words.next(word);) {
    if (word == "--quick") {
      out.quick = true;
    } else if (word == "--events") {
      out.events.push_back(words.value());
    } else if (word == "--rules") {
      out.rules.push_back(words.value());
    } else if (word == "--count") {
      out.count = words.number(1'000, 10'000'000);
    } else if (word == "--rounds") {
      out.rounds = words.number(1, 100);
    } else if (word == "--partitions") {
      out.partitions = words.number(1, 200);
    } else {
      words.refuse("unknown option " + word);
    }
  }
  if (out.count == 0) out.count = out.quick ? 40'000 : 200'000;
  if (out.rounds == 0) out.rounds = out.quick ? 1 : 5;
  if (out.partitions == 0) out.partitions = has_real_kafka() ? 4 : 16;
  if (out.events.empty()) out.events.push_back(source_dir() + "/samples");
  out.rules.insert(out.rules.begin(), source_dir() + "/rules");
  return out;
}

// rule, partition, offset
using Answer = std::set<std::tuple<std::string, int64_t, int64_t>>;

// The events of one topic, in order; made anew each time they are asked for. Event i is at offset i / partitions of
// partition i % partitions.
struct Load {
  std::string name;
  std::string topic;
  std::vector<const Recorded*> common;  // turn by turn
  std::vector<const Recorded*> rare;    // one of these at every `rare_every`th place
  size_t rare_every = 0;
  size_t count = 0;
  size_t partitions = 1;
  uint64_t bytes = 0;
  uint64_t refused = 0;
  Answer alerts;

  void event(size_t i, std::string& out) const {
    if (rare_every > 0 && i % rare_every == rare_every - 1) {
      const size_t n = i / rare_every;
      rare[n % rare.size()]->write(static_cast<uint32_t>(n / rare.size()), out);
    } else {
      common[i % common.size()]->write(static_cast<uint32_t>(i / common.size()), out);
    }
  }
  size_t count_of(size_t partition) const { return count / partitions + (partition < count % partitions ? 1 : 0); }
};

// The lines of a load for scan().
NextLine lines_of(const Load& load) {
  return [&load, i = size_t{0}, buffer = std::string()](std::string_view* line) mutable -> Result<bool> {
    if (i >= load.count) return false;
    load.event(i++, buffer);
    const size_t size = buffer.size();
    buffer.append(Decoder::kPadding, '\0');
    *line = std::string_view(buffer).substr(0, size);
    return true;
  };
}

Status find_answer(Load& load, const RuleSetPtr& rules) {
  ScanSinks sinks;
  sinks.hit = [&](const ScanHit& hit) {
    const auto i = static_cast<size_t>(hit.event_index);
    for (const RuleIx rule : hit.rules) {
      load.alerts.emplace(rules->rule(rule).meta->rule_id, static_cast<int64_t>(i % load.partitions),
                          static_cast<int64_t>(i / load.partitions));
    }
  };
  FB_TRY(const ScanStats stats, scan(rules, lines_of(load), {}, false, sinks));
  load.bytes = stats.bytes - stats.events;  // without line ends
  load.refused = stats.refused;
  return {};
}

// As recorded (attacks: many events alert), and as on a working day: one event in a thousand alerts.
Result<std::vector<Load>> make_loads(const std::vector<Recorded>& recorded, const RuleSetPtr& rules,
                                     const Options& options) {
  std::vector<bool> alerts(recorded.size(), false);
  ScanSinks sinks;
  sinks.hit = [&](const ScanHit& hit) { alerts[static_cast<size_t>(hit.event_index)] = true; };
  Load plain;
  plain.count = recorded.size();
  for (const Recorded& event : recorded) plain.common.push_back(&event);
  FB_TRY_VOID(scan(rules, lines_of(plain), {}, false, sinks));

  Load day;
  day.name = "1 event in 1,000 alerts";
  day.rare_every = 1'000;
  for (size_t i = 0; i < recorded.size(); ++i) (alerts[i] ? day.rare : day.common).push_back(&recorded[i]);
  plain.name = "as recorded (attacks)";
  std::vector<Load> loads;
  if (!day.rare.empty() && !day.common.empty()) loads.push_back(std::move(day));
  loads.push_back(std::move(plain));

  const std::string run = new_uuid().substr(0, 8);
  for (Load& load : loads) {
    load.topic = "firebreak-bench-" + run + "-" + std::to_string(&load - loads.data());
    load.partitions = options.partitions;
    load.count = options.count;
    if (!has_real_kafka()) {
      // The fullest partition decides what the broker can keep.
      std::vector<size_t> filled(load.partitions, 0);
      std::string event;
      for (size_t i = 0; i < load.count; ++i) {
        load.event(i, event);
        size_t& bytes = filled[i % load.partitions];
        bytes += event.size() + 64;
        if (bytes > kEmbeddedPartitionBytes) load.count = i;
      }
    }
    FB_TRY_VOID(find_answer(load, rules));
  }
  return loads;
}

Status produce_load(const Load& load, const std::string& bootstrap) {
  FB_TRY(Producer producer, Producer::open({{"bootstrap.servers", bootstrap}, {"enable.idempotence", "true"}}));
  std::vector<ProduceRecord> records;
  for (size_t i = 0; i < load.count; ++i) {
    ProduceRecord record;
    record.partition = static_cast<int32_t>(i % load.partitions);
    load.event(i, record.value.emplace());
    records.push_back(std::move(record));
    if (records.size() < kProduceAtOnce && i + 1 < load.count) continue;
    FB_TRY_VOID(producer.send(load.topic, records));
    records.clear();
  }
  return {};
}

// Wall time, and CPU time of this process (the client's threads too), since `start`.
struct Cost {
  double wall_us = 0;
  double cpu_us = 0;
};

class Meter {
 public:
  void start() {
    if (running_) return;
    running_ = true;
    wall_ = steady_clock::now();
    cpu_us_ = cpu_us();
  }
  Cost cost() const {
    if (!running_) return {};
    return {std::chrono::duration<double, std::micro>(steady_clock::now() - wall_).count(), cpu_us() - cpu_us_};
  }

 private:
  static double cpu_us() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto us = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
    };
    return us(used.ru_utime) + us(used.ru_stime);
  }
  bool running_ = false;
  steady_clock::time_point wall_;
  double cpu_us_ = 0;
};

// A source that starts a meter when its first batch is there, before anybody looks at it: joining the group is not
// counted.
class MeteredSource final : public Source {
 public:
  MeteredSource(Source& inner, Meter& meter) : inner_(inner), meter_(meter) {}
  Result<Progress> poll(RawBatch& batch, const BatchLimits& limits, int idle_wait_ms) override {
    Result<Progress> progress = inner_.poll(batch, limits, idle_wait_ms);
    if (!batch.records.empty()) meter_.start();
    return progress;
  }
  void kept(const std::vector<OffsetAdvance>& advances) override { inner_.kept(advances); }
  Health health() const override { return inner_.health(); }
  void close() override { inner_.close(); }

 private:
  Source& inner_;
  Meter& meter_;
};

Result<std::unique_ptr<KafkaSource>> open_source(const Load& load, const Broker& broker, StoredOffset stored) {
  KafkaSourceConfig config;
  config.properties = {{"bootstrap.servers", broker.bootstrap()}};
  config.topics = {load.topic};
  config.group = "firebreak-bench-" + new_uuid();
  config.embedded = broker.embedded();
  KafkaSourceHooks hooks;
  hooks.stored = std::move(stored);
  return KafkaSource::open(std::move(config), std::move(hooks), system_clock());
}

Error too_late(const Load& load, uint64_t seen) {
  return {ErrorCode::timeout, Retry::no,
          "only " + std::to_string(seen) + " of " + std::to_string(load.count) + " records came within " +
              std::to_string(kPatienceMs / 1000) + " s",
          load.topic};
}

Result<Cost> consume_alone(const Load& load, const Broker& broker) {
  FB_TRY(const auto source, open_source(load, broker, [](const std::string&, const std::string&, int32_t, int32_t) {
           return Result<std::optional<int64_t>>(std::nullopt);
         }));
  Meter meter;
  RawBatch batch;
  const BatchLimits limits;
  uint64_t seen = 0;
  uint64_t bytes = 0;
  const int64_t until = system_clock().mono_ms() + kPatienceMs;
  while (seen < load.count) {
    FB_TRY_VOID(source->poll(batch, limits, 100));
    if (!batch.records.empty()) meter.start();
    seen += batch.records.size();
    bytes += batch.bytes();
    if (seen < load.count && system_clock().mono_ms() > until) return tl::unexpected<Error>(too_late(load, seen));
  }
  const Cost cost = meter.cost();
  if (seen != load.count || bytes != load.bytes) {
    return fail(ErrorCode::internal,
                "consume alone saw " + std::to_string(seen) + " records of " + std::to_string(bytes) + " bytes, not " +
                    std::to_string(load.count) + " of " + std::to_string(load.bytes),
                load.topic);
  }
  source->close();
  return cost;
}

// The alerts, the dead letters and the offsets in the record against what the scan found.
Status check_record(const Load& load, const std::string& db, bool compare_bytes) {
  FB_TRY(const auto reader, record::Reader::open(db));
  Answer found;
  record::AlertFilter filter;
  filter.newest_first = false;
  filter.limit = 5'000;
  size_t compared = 0;
  std::string event;
  for (;;) {
    FB_TRY(const std::vector<record::AlertRow> rows, reader->alerts(filter));
    if (rows.empty()) break;
    filter.after_seq = rows.back().seq;
    for (const record::AlertRow& row : rows) {
      if (!found.emplace(row.rule_id, row.partition, row.offset).second) {
        return fail(ErrorCode::internal, "the record has an alert twice: " + row.alert_id, load.topic);
      }
      if (!compare_bytes || compared >= kSourcesChecked) continue;
      ++compared;
      FB_TRY(const std::optional<std::string> source, reader->alert_source(row.alert_id));
      load.event(static_cast<size_t>(row.offset) * load.partitions + static_cast<size_t>(row.partition), event);
      if (source != event)
        return fail(ErrorCode::internal, "alert " + row.alert_id + " holds another event", load.topic);
    }
  }
  if (found != load.alerts) {
    size_t missing = 0;
    for (const auto& alert : load.alerts) missing += found.contains(alert) ? 0 : 1;
    return fail(ErrorCode::internal,
                "the record has " + std::to_string(found.size()) + " alerts, the scan found " +
                    std::to_string(load.alerts.size()) + "; " + std::to_string(missing) + " are missing",
                load.topic);
  }
  FB_TRY(const record::RecordCounts counts, reader->counts());
  if (static_cast<uint64_t>(counts.dead_letters) != load.refused) {
    return fail(ErrorCode::internal,
                "the record has " + std::to_string(counts.dead_letters) + " dead letters, the scan " +
                    std::to_string(load.refused),
                load.topic);
  }
  FB_TRY(const std::vector<record::StoredOffsetRow> offsets, reader->offsets());
  std::map<int64_t, int64_t> next;
  for (const record::StoredOffsetRow& row : offsets) next[row.partition] = row.next_offset;
  for (size_t p = 0; p < load.partitions; ++p) {
    if (next[static_cast<int64_t>(p)] != static_cast<int64_t>(load.count_of(p))) {
      return fail(ErrorCode::internal, "the record's offset of partition " + std::to_string(p) + " is not its end",
                  load.topic);
    }
  }
  return {};
}

Result<Cost> whole_pipeline(const Load& load, const Broker& broker, const RuleBook& rules, bool compare_bytes) {
  const TempFolder folder("firebreak-bench");
  if (folder.path().empty()) return fail(ErrorCode::io, "can't make a folder for the record");
  GuardSettings settings;
  settings.mode = Mode::enforce;
  KillSwitch kill_switch;
  ActionGuard guard(settings, kill_switch);
  StoreOptions options;
  options.data_dir = folder.path();
  options.judge = &guard;
  options.outbox = false;
  Cost cost;
  std::string db;
  {
    FB_TRY(const auto store, Store::open(options));
    FB_TRY_VOID(kill_switch.refresh(*store));
    db = store->db_path();
    FB_TRY(const auto kafka,
           open_source(load, broker,
                       [&](const std::string& cluster, const std::string& topic, int32_t epoch, int32_t partition) {
                         return store->next_offset(cluster, topic, epoch, partition);
                       }));
    Meter meter;
    MeteredSource source(*kafka, meter);
    Metrics metrics;
    Pipeline pipeline(PipelineParts{source, rules, store->directory(), *store, system_clock(), metrics, [] {}}, {});
    const int64_t until = system_clock().mono_ms() + kPatienceMs;
    const auto in_time = [until] { return system_clock().mono_ms() < until; };
    uint64_t seen = 0;
    while (seen < load.count) {
      FB_TRY(const TurnStats turn, pipeline.turn(in_time));
      seen += turn.records;
      if (seen < load.count && !in_time()) return tl::unexpected<Error>(too_late(load, seen));
    }
    cost = meter.cost();
    kafka->close();
  }
  FB_TRY_VOID(check_record(load, db, compare_bytes));
  return cost;
}

struct Rounds {
  std::vector<double> wall;
  std::vector<double> cpu;
  void add(const Cost& cost, size_t events) {
    wall.push_back(cost.wall_us / static_cast<double>(events));
    cpu.push_back(cost.cpu_us / static_cast<double>(events));
  }
};

Status measure(const Load& load, const Broker& broker, const RuleBook& rules, size_t rounds) {
  const double events = static_cast<double>(load.count);
  std::printf("\n%s: %zu events, %.0f bytes each, %zu partitions; %zu alerts (1 in %.0f events), %llu refused\n",
              load.name.c_str(), load.count, static_cast<double>(load.bytes) / events, load.partitions,
              load.alerts.size(), load.alerts.empty() ? 0.0 : events / static_cast<double>(load.alerts.size()),
              static_cast<unsigned long long>(load.refused));
  std::fflush(stdout);
  Rounds alone;
  Rounds whole;
  std::vector<double> wall_ratio;
  std::vector<double> cpu_ratio;
  MachineLoad machine;
  for (size_t round = 0; round < rounds; ++round) {
    FB_TRY(const Cost a, consume_alone(load, broker));
    FB_TRY(const Cost w, whole_pipeline(load, broker, rules, round == 0));
    alone.add(a, load.count);
    whole.add(w, load.count);
    wall_ratio.push_back(w.wall_us / a.wall_us);
    cpu_ratio.push_back(w.cpu_us / a.cpu_us);
  }
  std::printf("  the answer is right in all %zu rounds: the record's alerts, dead letters and offsets are the scan's\n",
              rounds);
  std::printf("  %-34s %14s %14s %14s\n", "", "us/event wall", "us/event CPU", "events/s wall");
  const auto row = [](const char* name, const Rounds& r) {
    const double wall = quantile(r.wall, 0.5);
    std::printf("  %-34s %14.2f %14.2f %14.0f\n", name, wall, quantile(r.cpu, 0.5), 1e6 / wall);
  };
  row("consume alone", alone);
  row("consume + parse + match + record", whole);
  std::printf("  %-34s %8.2f (%.2f to %.2f) wall, %.2f (%.2f to %.2f) CPU\n", "ratio, median of the rounds",
              quantile(wall_ratio, 0.5), quantile(wall_ratio, 0), quantile(wall_ratio, 1), quantile(cpu_ratio, 0.5),
              quantile(cpu_ratio, 0), quantile(cpu_ratio, 1));
  std::printf("  machine meanwhile: %s\n", machine.describe().c_str());
  std::fflush(stdout);
  return {};
}

Status run(const Options& options) {
  RuleBookOptions book;
  book.paths = options.rules;
  book.allow_broken = options.rules.size() > 1;  // a foreign collection may hold languages that are not read here
  RuleBook rules(book);
  const ReloadReport loaded = rules.reload();
  if (!loaded.swapped) return fail(ErrorCode::invalid_argument, loaded.problem);
  FB_TRY(const auto recorded, read_recorded(options.events, 200'000));
  FB_TRY(const auto loads, make_loads(recorded, rules.current(), options));
  std::vector<Topic> topics;
  for (const Load& load : loads) topics.push_back({load.topic, static_cast<int>(load.partitions)});
  FB_TRY(const auto broker, Broker::start(topics));
  std::printf("broker: %s\n", broker->describe().c_str());
  std::printf(
      "rules: %zu; %zu recorded events; %zu round%s; the CPU time is this process's, the broker's is not in it\n",
      rules.current()->rules().size(), recorded.size(), options.rounds, options.rounds == 1 ? "" : "s");
  for (const Load& load : loads) FB_TRY_VOID(produce_load(load, broker->bootstrap()));
  for (const Load& load : loads) FB_TRY_VOID(measure(load, *broker, rules, options.rounds));
  return {};
}

}  // namespace
}  // namespace fb::bench

int main(int argc, char** argv) {
  const fb::bench::Options options = fb::bench::read_options(argc, argv);
  fb::set_log_level(fb::LogLevel::error);
  const fb::Status done = fb::bench::run(options);
  if (done) return 0;
  std::fprintf(stderr, "bench_kafka: %s\n", done.error().describe().c_str());
  return 1;
}
