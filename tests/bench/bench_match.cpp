// What parsing and matching cost an event, against simdjson reading all strings of the same events in the same process.
// Every row's answer is checked before it is timed. Rows run interleaved; times are the thread's own CPU time.
//
//   bench_match [--events PATH]... [--rules PATH]... [--windows] [--made N] [--runs N] [--most N] [--quick]
//
// Run it from the project's folder (or with FB_SOURCE_DIR set):
//   --events   NDJSON or .gz, files or folders; default: the project's samples, repeated
//   --rules    rules for a row of their own beside the shipped ones; files or folders, broken rules are left out
//   --windows  flat Windows event fields count as their ECS names
//   --made N   a row with N rules made from the events' own values
//   --most N   read at most N events
#include <time.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/compile/rules.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/match/matcher.h"
#include "read_all_strings.h"

namespace fb::bench {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kNowMs = 1'790'000'000'000;
constexpr size_t kLeastEvents = 20'000;  // fewer are repeated
constexpr size_t kOracleEvents = 300;

struct Options {
  std::vector<std::string> events;
  std::vector<std::string> rules;
  bool windows = false;
  size_t made = 0;
  size_t runs = 7;
  size_t most = 200'000;
};

struct Events {
  std::string bytes;  // all records, padding behind the last
  std::vector<std::pair<size_t, size_t>> places;
  std::string_view at(size_t i) const { return std::string_view(bytes).substr(places[i].first, places[i].second); }
  size_t size() const { return places.size(); }
};

[[noreturn]] void stop(const std::string& message) {
  std::fprintf(stderr, "bench_match: %s\n", message.c_str());
  std::exit(2);
}

double cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

Options parse(int argc, char** argv) {
  Options out;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto next = [&]() -> std::string { return i + 1 < argc ? argv[++i] : (stop(word + " needs a value"), ""); };
    const auto number = [&] { return static_cast<size_t>(std::strtoull(next().c_str(), nullptr, 10)); };
    if (word == "--help") {
      std::puts(
          "bench_match [--events PATH]... [--rules PATH]... [--windows] [--made N] [--runs N] [--most N] [--quick]\n"
          "Time of parse + match an event, as a ratio to simdjson reading every string of the same events.\n"
          "The answer is checked before anything is timed. --quick: 3 runs over at most 5,000 events.");
      std::exit(0);
    }
    if (word == "--quick") {
      out.runs = 3;
      out.most = 5000;
    } else if (word == "--events") {
      out.events.push_back(next());
    } else if (word == "--rules") {
      out.rules.push_back(next());
    } else if (word == "--windows") {
      out.windows = true;
    } else if (word == "--made") {
      out.made = number();
    } else if (word == "--runs") {
      out.runs = std::max<size_t>(number(), 1);
    } else if (word == "--most") {
      out.most = number();
    } else {
      stop("unknown option " + word);
    }
  }
  return out;
}

Events read_events(const std::vector<std::string>& paths, size_t most) {
  std::vector<fs::path> files;
  for (const auto& path : paths) {
    if (!fs::exists(path)) stop(path + " does not exist");
    if (!fs::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      const auto extension = entry.path().extension();
      if (extension == ".ndjson" || extension == ".gz") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> lines;
  std::vector<char> buffer(1 << 20);
  for (const auto& file : files) {
    gzFile in = gzopen(file.c_str(), "rb");  // reads plain files as they are
    if (in == nullptr) stop("cannot read " + file.string());
    std::string line;
    while (lines.size() < most && gzgets(in, buffer.data(), static_cast<int>(buffer.size())) != nullptr) {
      line += buffer.data();
      if (line.back() != '\n') continue;
      line.pop_back();
      if (!line.empty()) lines.push_back(line);
      line.clear();
    }
    gzclose(in);
  }
  if (lines.empty()) stop("no events");
  Events out;
  const size_t rounds = (kLeastEvents + lines.size() - 1) / lines.size();
  for (size_t round = 0; round < rounds; ++round) {
    for (const auto& line : lines) {
      out.places.emplace_back(out.bytes.size(), line.size());
      out.bytes += line;
      out.bytes += '\n';
    }
  }
  out.bytes.append(Decoder::kPadding + 64, '\0');
  return out;
}

// Flat names of recorded Windows events.
RuleSetOptions windows_names() {
  RuleSetOptions out;
  out.renames = {{"Image", "process.executable"},
                 {"OriginalFileName", "process.pe.original_file_name"},
                 {"CommandLine", "process.command_line"},
                 {"ProcessId", "process.pid"},
                 {"ParentImage", "process.parent.executable"},
                 {"ParentCommandLine", "process.parent.command_line"},
                 {"TargetFilename", "file.path"},
                 {"TargetObject", "registry.path"},
                 {"Details", "registry.data.strings"},
                 {"DestinationIp", "destination.ip"},
                 {"DestinationPort", "destination.port"},
                 {"SourceIp", "source.ip"},
                 {"User", "user.name"},
                 {"Hostname", "host.name"},
                 {"EventID", "event.code"},
                 {"Channel", "event.dataset"},
                 {"SourceName", "event.provider"},
                 {"Message", "message"},
                 {"ScriptBlockText", "powershell.file.script_block_text"},
                 {"ImageLoaded", "dll.path"}};
  return out;
}

std::vector<RuleInput> load(const std::vector<std::string>& paths) {
  auto loaded = load_rules(paths);
  if (!loaded) stop(loaded.error().describe());
  size_t broken = 0;
  for (const auto& rule : loaded->rules) broken += rule.ok ? 0 : 1;
  auto out = loaded->runnable();
  std::printf("%zu rules from %s%s (%zu left out)\n", out.size(), paths.front().c_str(),
              paths.size() > 1 ? ", ..." : "", broken);
  return out;
}

using Named = std::vector<std::pair<std::string, std::string>>;

// The strings of an event by their full names.
void name_strings(const JsonNode& node, const std::string& name, Named& out) {
  if (node.kind == JsonNode::Kind::string) out.emplace_back(name, node.text);
  for (const auto& item : node.items) name_strings(item, name, out);
  for (const auto& [key, value] : node.members) name_strings(value, name.empty() ? key : name + "." + key, out);
}

// Rules over what the events hold: values changed a little, so that some match and most do not.
std::vector<RuleInput> make_rules(const Events& events, size_t count) {
  std::mt19937_64 random(20261121);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  std::vector<RuleInput> out;
  for (size_t tries = 0; out.size() < count; ++tries) {
    if (tries > 100 * count) stop("the events hold too few strings to make rules of");
    const auto tree = parse_json_tree(events.at(below(events.size())));
    if (!tree) continue;
    Named all;
    name_strings(*tree, "", all);
    Named values;
    std::vector<ir::Node> tests;
    for (const auto& [name, text] : all) {
      if (text.size() >= 8 && text.size() < 400) values.emplace_back(name, text);
      for (const char* constant : {"Channel", "EventID", "event.category", "event.code"}) {
        if (name != constant) continue;
        ir::Test test;
        test.field.name = name;
        test.op = ir::Op::equal;
        test.literal = text;
        tests.push_back(ir::test(test));
      }
    }
    if (values.size() < 3) continue;
    for (size_t n = 1 + below(3); n > 0; --n) {
      const auto& [key, text] = values[below(values.size())];
      std::vector<ir::Node> options;
      for (size_t o = 1 + below(8); o > 0; --o) {
        std::string part = text.substr(below(text.size() - 6), 6 + below(12));
        if (below(50) != 0) part[part.size() / 2] = static_cast<char>('a' + below(26));
        const bool ascii = std::all_of(part.begin(), part.end(), [](char c) { return c > 31 && c < 127; });
        if (!ascii) continue;
        ir::Test test;
        test.field.name = key;
        test.op = ir::Op::glob;
        const size_t kind = below(4);
        if (kind != 0) test.glob.push_back({ir::GlobPart::Kind::any_run, {}});
        test.glob.push_back({ir::GlobPart::Kind::literal, part});
        if (kind != 1) test.glob.push_back({ir::GlobPart::Kind::any_run, {}});
        options.push_back(ir::test(test));
      }
      if (!options.empty()) tests.push_back(ir::any_of(std::move(options)));
    }
    auto meta = std::make_shared<RuleMeta>();
    meta->rule_id = "made-" + std::to_string(out.size());
    out.push_back({std::move(meta), ir::all_of(std::move(tests))});
  }
  return out;
}

// One rule set with what runs it.
struct Engine {
  Engine(std::vector<RuleInput> rules, const RuleSetOptions& options)
      : set(RuleSet::build(std::move(rules), options)), decoder(set->fields(), EventLimits{}), matcher(set, decoder) {}

  size_t run(const Events& events, bool match, bool index = true) {
    size_t out = 0;
    for (size_t i = 0; i < events.size(); ++i) {
      const Event* event = decoder.decode(events.at(i));
      if (event == nullptr) continue;
      if (!match) {
        out += event->fields().size();
        continue;
      }
      hits.clear();
      if (index) {
        matcher.match(*event, kNowMs, hits);
      } else {
        matcher.match_without_index(*event, kNowMs, hits);
      }
      out += hits.size();
    }
    return out;
  }

  // Ends the program when the three ways differ.
  void check(const Events& events) {
    const size_t fast = run(events, true);
    const size_t plain = run(events, true, false);
    if (fast != plain) stop("the index changes the answer: " + std::to_string(fast) + " and " + std::to_string(plain));
    ir::OracleContext context;
    context.now_ms = kNowMs;
    context.renames = set->options().renames;
    const size_t step = std::max<size_t>(events.size() / kOracleEvents, 1);
    for (size_t i = 0; i < events.size(); i += step) {
      const Event* event = decoder.decode(events.at(i));
      if (event == nullptr) continue;
      hits.clear();
      matcher.match(*event, kNowMs, hits);
      const auto tree = parse_json_tree(events.at(i));
      if (!tree) stop("the tree refuses what the decoder takes");
      std::vector<RuleIx> slow;
      for (uint32_t r = 0; r < set->rules().size(); ++r) {
        if (ir::matches(set->rule(RuleIx{r}).condition, *tree, context)) slow.push_back(RuleIx{r});
      }
      if (slow != hits) stop("the oracle differs on event " + std::to_string(i));
    }
  }

  RuleSetPtr set;
  Decoder decoder;
  Matcher matcher;
  std::vector<RuleIx> hits;
};

struct Row {
  std::string name;
  std::function<size_t()> run;
  size_t answer = 0;
  std::vector<double> times = {};
};

void describe(const std::string& name, const Engine& engine, double build_ns, const Events& events) {
  const auto stats = engine.set->stats();
  const auto& counters = engine.matcher.counters();
  const double count = static_cast<double>(std::max<uint64_t>(counters.events, 1));
  std::printf("%s: %u rules, %u predicates, %u always checked, %zu kB, %u fields, built in %.1f ms\n", name.c_str(),
              stats.rules, stats.predicates, stats.always_checked, stats.bytes / 1024, engine.set->fields()->size(),
              build_ns / 1e6);
  std::printf("  an event: %.2f rules looked at, %.1f values looked up, %.0f bytes\n",
              static_cast<double>(counters.rules_looked_at) / count,
              static_cast<double>(counters.values_looked_up) / count,
              static_cast<double>(events.bytes.size()) / static_cast<double>(events.size()));
}

int run(const Options& options) {
  const char* given = std::getenv("FB_SOURCE_DIR");
  const std::string source = given == nullptr ? "." : given;
  const Events events =
      read_events(options.events.empty() ? std::vector{source + "/samples"} : options.events, options.most);
  const RuleSetOptions set_options = options.windows ? windows_names() : RuleSetOptions{};

  std::vector<std::pair<std::string, std::vector<RuleInput>>> sets;
  sets.emplace_back("shipped", load({source + "/rules"}));
  if (!options.rules.empty()) sets.emplace_back("given", load(options.rules));
  if (options.made > 0) sets.emplace_back("made", make_rules(events, options.made));

  StringReader reader;
  std::vector<Row> rows;
  rows.push_back({"simdjson, all strings", [&] {
                    size_t out = 0;
                    for (size_t i = 0; i < events.size(); ++i) out += reader.read(events.at(i));
                    return out;
                  }});
  std::vector<std::unique_ptr<Engine>> engines;
  for (auto& [name, rules] : sets) {
    const double before = cpu_ns();
    engines.push_back(std::make_unique<Engine>(std::move(rules), set_options));
    const double built = cpu_ns() - before;
    Engine& engine = *engines.back();
    engine.run(events, true);
    describe(name, engine, built, events);
    engine.check(events);
    rows.push_back({"parse, " + name + " fields", [&] { return engine.run(events, false); }});
    rows.push_back({"parse + match, " + name, [&] { return engine.run(events, true); }});
  }
  for (auto& row : rows) row.answer = row.run();
  for (size_t run = 0; run < options.runs; ++run) {
    for (auto& row : rows) {
      const double before = cpu_ns();
      const size_t answer = row.run();
      row.times.push_back((cpu_ns() - before) / static_cast<double>(events.size()));
      if (answer != row.answer) stop(row.name + ": the answer changed");
    }
  }
  std::printf("\n%zu events, %zu runs\n%-34s %12s %12s %8s %12s\n", events.size(), options.runs, "", "min ns/event",
              "median", "ratio", "answer");
  for (auto& row : rows) {
    std::sort(row.times.begin(), row.times.end());
    std::printf("%-34s %12.0f %12.0f %8.2f %12zu\n", row.name.c_str(), row.times.front(),
                row.times[row.times.size() / 2], row.times.front() / rows.front().times.front(), row.answer);
  }
  return 0;
}

}  // namespace
}  // namespace fb::bench

int main(int argc, char** argv) {
  return fb::bench::run(fb::bench::parse(argc, argv));
}
