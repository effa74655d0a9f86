// firebreak replay: what these rules would have alerted on, and which hosts would have been isolated. Never acts.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "apps/firebreak/inputs.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/rule_report.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/compile/rules.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

// The endpoints of `--endpoints FILE`; without it every target with an id is known.
class FileDirectory final : public EndpointDirectory {
 public:
  static Result<std::unique_ptr<FileDirectory>> read(const std::string& path) {
    FB_TRY(std::string content, read_text(path, "endpoints file"));
    std::istringstream in(std::move(content));
    auto directory = std::make_unique<FileDirectory>();
    std::string line;
    for (size_t number = 1; std::getline(in, line); ++number) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      const auto json = parse_json(line);
      if (!json.is_object() || !json.contains("endpoint_id") || !json["endpoint_id"].is_string()) {
        return fail(ErrorCode::invalid_argument, "an endpoint line is an object with \"endpoint_id\"",
                    path + ":" + std::to_string(number));
      }
      const std::string id = json["endpoint_id"];
      Endpoint endpoint;
      endpoint.endpoint_id = id;
      const auto is_protected = json.find("protected");
      endpoint.is_protected = is_protected != json.end() && is_protected->is_boolean() && is_protected->get<bool>();
      directory->endpoints_.push_back(std::move(endpoint));
      directory->by_agent_[id] = id;
      if (json.contains("host_id") && json["host_id"].is_string()) {
        auto [slot, fresh] = directory->by_host_.try_emplace(json["host_id"].get<std::string>(), id);
        if (!fresh) slot->second.clear();  // two agents claim one host: neither is meant for certain
      }
    }
    return directory;
  }

  Resolved resolve(const Target& t) const override {
    if (t.ambiguous) return {"", "ambiguous: the event spells an identity field in two ways"};
    const auto agent = by_agent_.find(t.agent_id);
    const auto host = by_host_.find(t.host_id);
    const bool has_agent = agent != by_agent_.end();
    const bool has_host = host != by_host_.end();
    if (has_host && host->second.empty()) return {"", "ambiguous: several endpoints have this host.id"};
    if (has_agent && has_host && agent->second != host->second) {
      return {"", "ambiguous: agent.id and host.id name different endpoints"};
    }
    if (has_agent) return {agent->second, ""};
    if (has_host) return {host->second, ""};
    return {"", "unknown: no endpoint has this agent.id or host.id"};
  }
  const std::vector<Endpoint>& endpoints() const { return endpoints_; }

 private:
  std::map<std::string, std::string> by_agent_;
  std::map<std::string, std::string> by_host_;
  std::vector<Endpoint> endpoints_;
};

struct Totals {
  uint64_t alerts = 0;
  std::map<std::string, uint64_t> by_rule;
  std::map<std::string, std::string> isolated;  // endpoint -> rule name
  std::map<std::string, uint64_t> held_back;    // verdict (guard) -> count
};

void print_json(const Alert& alert, const std::vector<ReplayAction>& actions) {
  Json line{{"rule_id", alert.rule->rule_id},   {"rule_name", alert.rule->name},
            {"event_index", alert.event_index}, {"event_indices", Json::array({alert.event_index})},
            {"alert_id", alert.alert_id},       {"timestamp", iso8601(alert.event_time_ms)}};
  Json list = Json::array();
  for (const ReplayAction& a : actions) {
    list.push_back(Json{{"command", to_string(a.verb)},
                        {"endpoint", a.endpoint},
                        {"comment", a.comment},
                        {"verdict", to_string(a.verdict)},
                        {"guard", to_string(a.guard)}});
  }
  line["actions"] = std::move(list);
  std::printf("%s\n", dumped(line).c_str());
}

void print_text(const Alert& alert, const std::vector<ReplayAction>& actions) {
  std::printf("%s  %s  %s  %s  event %lld\n", iso8601(alert.event_time_ms).c_str(),
              paint(paint_of(to_string(alert.rule->severity)), to_string(alert.rule->severity)).c_str(),
              paint(Paint::bold, printable(alert.rule->name)).c_str(),
              printable(alert.target.host_name.empty() ? alert.target.agent_id : alert.target.host_name).c_str(),
              static_cast<long long>(alert.event_index));
  for (const ReplayAction& a : actions) {
    std::string line = std::string("  would ") + std::string(to_string(a.verb)) + " " + printable(a.endpoint);
    if (a.verdict != Verdict::would_act) {
      line += ", but: " + std::string(to_string(a.verdict));
      if (a.guard != Guard::none) line += " (" + std::string(to_string(a.guard)) + ")";
      if (!a.detail.empty()) line += ": " + printable(a.detail);
    }
    std::printf("%s\n", paint(a.verdict == Verdict::would_act ? Paint::red : Paint::dim, line).c_str());
  }
}

void print_summary(const Totals& totals, const ScanStats& stats, size_t rules) {
  std::printf("\n%s events, %zu rules, %s alerts in %.2f s (%s events/s)\n", grouped(stats.events).c_str(), rules,
              grouped(totals.alerts).c_str(), stats.seconds,
              grouped(static_cast<uint64_t>(stats.seconds > 0 ? static_cast<double>(stats.events) / stats.seconds : 0))
                  .c_str());
  for (const auto& [endpoint, rule] : totals.isolated) {
    std::printf("  would isolate %s: %s\n", printable(endpoint).c_str(), printable(rule).c_str());
  }
  for (const auto& [why, count] : totals.held_back) {
    std::printf("  held back: %s x %s\n", why.c_str(), grouped(count).c_str());
  }
}

Status write_stats(const std::string& path, const ScanStats& stats, size_t rules, uint64_t alerts, double load_seconds,
                   int threads) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double rate = stats.seconds > 0 ? static_cast<double>(stats.events) / stats.seconds : 0;
  const Json json{{"events", stats.events},
                  {"bytes", stats.bytes},
                  {"rules", rules},
                  {"alerts", alerts},
                  {"seconds", stats.seconds},
                  {"load_seconds", load_seconds},
                  {"events_per_second", rate},
                  {"threads", threads},
                  {"max_rss_bytes", static_cast<int64_t>(usage.ru_maxrss) * 1024}};
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << json.dump() << '\n';
  out.flush();
  if (!out) return fail(ErrorCode::io, "can't write the statistics", path);
  return {};
}

}  // namespace

int run_replay(const ReplayOptions& options) {
  end_with_the_pipe();
  const int64_t load_started = system_clock().mono_ms();
  if (const Status there = must_exist(options.exceptions); !there) return complain(there.error(), kCantRun);
  LoadOptions load;
  load.exception_files = options.exceptions;
  auto loaded = load_rules(options.rules, load);
  if (!loaded) return complain(loaded.error(), kCantRun);
  print_problems(*loaded);
  if (!loaded->ok() && !options.allow_broken) {
    return complain("the rule set has broken rules; nothing was run (--allow-broken leaves them out)", kCantRun);
  }
  auto renames = read_fields(options.fields);
  if (!renames) return complain(renames.error(), kCantRun);
  const RuleSetPtr rules = RuleSet::build(loaded->runnable(), {std::move(*renames)});
  const double load_seconds = static_cast<double>(system_clock().mono_ms() - load_started) / 1000;

  std::unique_ptr<FileDirectory> listed;
  if (!options.endpoints_file.empty()) {
    auto read = FileDirectory::read(options.endpoints_file);
    if (!read) return complain(read.error(), kCantRun);
    listed = std::move(*read);
  }
  const auto judge =
      listed ? std::make_unique<ReplayJudge>(*listed, listed->endpoints()) : std::make_unique<ReplayJudge>();

  auto next = open_events(options.events);
  if (!next) return complain(next.error(), kCantRun);
  const bool text = options.format == Format::text;
  Totals totals;
  RefusedLines refused;
  ProgressLine progress;
  ScanSinks sinks;
  sinks.hit = [&](const ScanHit& hit) {
    std::vector<const Alert*> in_rule_order;
    for (const Alert& alert : *hit.alerts) in_rule_order.push_back(&alert);
    std::sort(in_rule_order.begin(), in_rule_order.end(),
              [](const Alert* a, const Alert* b) { return a->rule->rule_id < b->rule->rule_id; });
    for (const Alert* alert : in_rule_order) {
      const std::vector<ReplayAction> actions = judge->judge(*alert);
      ++totals.alerts;
      for (const ReplayAction& a : actions) {
        if (a.verdict == Verdict::would_act) {
          totals.isolated.try_emplace(a.endpoint, alert->rule->name);
        } else {
          std::string why(to_string(a.verdict));
          if (a.guard != Guard::none) why += " (" + std::string(to_string(a.guard)) + ")";
          ++totals.held_back[why];
        }
      }
      if (text) {
        progress.clear();
        print_text(*alert, actions);
      } else {
        print_json(*alert, actions);
      }
    }
  };
  sinks.refused = [&](int64_t event_index, const Refusal& refusal) {
    progress.clear();
    refused.note(event_index, refusal);
  };
  sinks.progress = [&](uint64_t e, uint64_t b) { progress.show(e, b); };
  ScanOptions scan_options;
  scan_options.threads = options.threads;
  scan_options.no_index = options.no_index;
  const auto stats = scan(rules, *next, scan_options, true, sinks);
  progress.clear();
  refused.finish();
  if (!stats) return complain(stats.error(), stats.error().code == ErrorCode::corrupt ? kFound : kCantRun);
  if (text) print_summary(totals, *stats, rules->rules().size());
  const int code = after_output(kDone);
  if (!options.stats_file.empty()) {
    const Status written =
        write_stats(options.stats_file, *stats, rules->rules().size(), totals.alerts, load_seconds, options.threads);
    if (!written) return complain(written.error(), kCantRun);
  }
  return code;
}

}  // namespace fb::cli
