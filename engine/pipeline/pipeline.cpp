#include "engine/pipeline/pipeline.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>

#include "engine/base/log.h"
#include "engine/pipeline/alert.h"
#include "engine/pipeline/alert_document.h"
#include "engine/respond/plan.h"

namespace fb {

struct Pipeline::Impl {
  Impl(PipelineParts p, PipelineOptions o);

  // The stages of a turn, in order. Each takes what it needs from the one before.
  void take_rules();
  void evaluate(const RawRecord& record);
  void correlate(const Event& event, const RawRecord& record);
  void prove_identity(Alert& alert);
  void plan_responses();
  Result<KeptBatch> keep(const std::function<bool()>& keep_going);
  void finish_turn(const KeptBatch& kept);

  SourcePosition position_of(const RawRecord& record) const;
  void refuse(const RawRecord& record, std::string_view reason, const std::string& detail);
  Counter& matches_of(const RuleMeta& rule);
  const std::string& members_of(const RuleMeta& rule);

  PipelineParts parts;
  PipelineOptions options;
  RuleSetPtr rules;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<Matcher> matcher;
  RawBatch raw;
  std::vector<RuleIx> hits;
  BatchOutcome outcome;
  std::atomic<bool> stalled{false};

  Counter& events_total;
  Counter& bytes_total;
  Counter& alerts_total;
  Counter& dead_letters_total;
  Counter& mismatches_total;
  Counter& skews_total;
  Histogram& turn_seconds;
  std::unordered_map<std::string, Counter*> rule_matches;
  std::unordered_map<const RuleMeta*, std::string> rule_members;  // of the rules in force
};

Pipeline::Impl::Impl(PipelineParts p, PipelineOptions o)
    : parts(std::move(p)),
      options(std::move(o)),
      events_total(parts.metrics.counter("firebreak_events_total", "Records taken from the source")),
      bytes_total(parts.metrics.counter("firebreak_event_bytes_total", "Bytes of the records taken")),
      alerts_total(parts.metrics.counter("firebreak_alerts_total", "Alerts recorded for the first time")),
      dead_letters_total(parts.metrics.counter("firebreak_dead_letters_total", "Records that could not be processed")),
      mismatches_total(parts.metrics.counter("firebreak_identity_mismatches_total",
                                             "Alerts whose event names another host than it comes from")),
      skews_total(parts.metrics.counter("firebreak_clock_skews_total",
                                        "Alerts whose event tells a time too far from the broker's")),
      turn_seconds(parts.metrics.histogram("firebreak_turn_seconds", "Time of one batch, from first record to durable",
                                           {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5})) {}

Pipeline::Pipeline(PipelineParts parts, PipelineOptions options)
    : impl_(std::make_unique<Impl>(std::move(parts), std::move(options))) {}
Pipeline::~Pipeline() = default;

bool Pipeline::storage_stalled() const {
  return impl_->stalled.load();
}

// The path of one event.
Result<TurnStats> Pipeline::turn(const std::function<bool()>& keep_going) {
  Impl& self = *impl_;
  self.raw.clear();
  FB_TRY(const Source::Progress progress,
         self.parts.source.poll(self.raw, self.options.batch, self.options.idle_wait_ms));  // 0 take bytes
  TurnStats stats;
  stats.ended = progress == Source::Progress::ended;
  if (self.raw.records.empty() && self.raw.streams.empty()) return stats;
  // 1 One rule set for the whole batch. Taken after the wait: a rule that was accepted before an event was sent judges
  // it.
  self.take_rules();

  const auto started = std::chrono::steady_clock::now();
  self.outcome = BatchOutcome{};
  self.outcome.rule_set_hash = self.rules->hash();
  for (const RawRecord& record : self.raw.records) {
    self.evaluate(record);  // 2 bytes -> event -> hits -> alerts; what can't be read becomes a dead letter
  }
  self.plan_responses();                                // 3 alerts -> planned actions
  FB_TRY(const KeptBatch kept, self.keep(keep_going));  // 4 one transaction: alerts, verdicts, intents, audit, offsets
  self.finish_turn(kept);                               // 5 act from committed rows only; tell the broker

  stats.records = static_cast<uint32_t>(self.raw.records.size());
  stats.alerts = kept.new_alerts;
  stats.intents = kept.intents;
  stats.dead_letters = static_cast<uint32_t>(self.outcome.dead_letters.size());
  self.turn_seconds.observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  return stats;
}

void Pipeline::Impl::take_rules() {
  RuleSetPtr current = parts.rules.current();
  if (current == rules) return;
  rules = std::move(current);
  rule_members.clear();
  matcher.reset();
  decoder = std::make_unique<Decoder>(rules->fields(), options.events);
  matcher = std::make_unique<Matcher>(rules, *decoder);
}

void Pipeline::Impl::evaluate(const RawRecord& record) {
  if (record.tombstone) return refuse(record, "empty", "the record has no value");
  const Event* event = decoder->decode(record.bytes);
  if (event == nullptr) {
    const Refusal& r = decoder->refusal();
    return refuse(record, r.reason, r.detail + " (offset " + std::to_string(r.offset) + ")");
  }
  hits.clear();
  matcher->match(*event, event_time_ms(*event, record.broker_time_ms, raw.read_time_ms), hits);
  if (!hits.empty()) correlate(*event, record);
}

// A query rule alerts on every event that it matches.
void Pipeline::Impl::correlate(const Event& event, const RawRecord& record) {
  EventOrigin origin;
  origin.position = position_of(record);
  origin.event_index = &record - raw.records.data();
  origin.read_time_ms = raw.read_time_ms;
  origin.broker_time_ms = record.broker_time_ms;
  origin.broker_time_is_append = record.broker_time_is_append;
  origin.lag_ms = raw.streams[record.stream].lag_ms;
  for (const RuleIx hit : hits) {
    const RuleMetaPtr& rule = rules->rule(hit).meta;
    matches_of(*rule).add_one();
    Alert alert = make_alert(rule, event, origin);
    prove_identity(alert);
    if (alert.clock_skew) skews_total.add_one();
    alert.doc = alert_document(alert, rules->hash(), members_of(*rule));
    outcome.alerts.push_back(std::move(alert));
  }
}

// An event speaks for another host than its topic's, or its ids are those of two hosts: it is told, and names no
// target.
void Pipeline::Impl::prove_identity(Alert& alert) {
  const Resolved named = parts.directory.resolve(alert.target);
  if (named.is_mismatch()) {
    alert.target.identity_mismatch = true;
  } else if (const auto owner = options.identity_bound.owner_of(alert.position.topic)) {
    const bool says_so =
        owner->agent_id.empty() ? alert.target.host_id == owner->host_id : alert.target.agent_id == owner->agent_id;
    // The id beside the proven one may be another host's.
    const bool is_owner = named.endpoint_id.empty() || named.endpoint_id == parts.directory.resolve(*owner).endpoint_id;
    alert.target.identity_mismatch = !says_so || !is_owner;
  }
  if (alert.target.identity_mismatch) mismatches_total.add_one();
}

void Pipeline::Impl::plan_responses() {
  for (const Alert& alert : outcome.alerts) plan(alert, parts.directory, outcome.planned);
}

// Kept for certain, or not at all. A passing cause (disk full, locked) is waited out with the same results: nothing is
// evaluated twice, nothing acts, and the source is simply not asked for more.
Result<KeptBatch> Pipeline::Impl::keep(const std::function<bool()>& keep_going) {
  for (const RawStream& s : raw.streams) {
    outcome.advances.push_back({s.cluster, s.topic, s.epoch, s.partition, s.from, s.next});
  }
  for (;;) {
    Result<KeptBatch> kept = parts.record.keep(outcome);
    if (kept || kept.error().retry == Retry::no) {
      stalled.store(false);
      return kept;
    }
    if (!stalled.exchange(true)) {
      log(LogLevel::error, "record_stalled", "the record refuses writes; intake waits",
          {{"cause", kept.error().describe()}});
    }
    if (!keep_going()) return kept;
    std::this_thread::sleep_for(std::chrono::milliseconds(options.retry_wait_ms));
  }
}

void Pipeline::Impl::finish_turn(const KeptBatch& kept) {
  if (kept.intents > 0 && parts.wake_dispatcher) parts.wake_dispatcher();
  parts.source.kept(outcome.advances);
  events_total.add(static_cast<double>(raw.records.size()));
  bytes_total.add(static_cast<double>(raw.bytes()));
  alerts_total.add(kept.new_alerts);
  dead_letters_total.add(static_cast<double>(outcome.dead_letters.size()));
  for (const RawStream& s : raw.streams) {
    parts.metrics
        .gauge("firebreak_consumer_lag", "Records behind the end of the partition",
               {{"topic", s.topic}, {"partition", std::to_string(s.partition)}})
        .set(static_cast<double>(s.lag));
  }
}

SourcePosition Pipeline::Impl::position_of(const RawRecord& record) const {
  const RawStream& s = raw.streams[record.stream];
  return {s.cluster, s.topic, s.epoch, s.partition, record.offset};
}

void Pipeline::Impl::refuse(const RawRecord& record, std::string_view reason, const std::string& detail) {
  DeadLetter letter;
  letter.position = position_of(record);
  letter.reason = std::string(reason);
  letter.detail = detail;
  letter.raw = std::string(record.bytes.substr(0, options.events.dead_letter_raw_bytes));
  letter.at_ms = raw.read_time_ms;
  outcome.dead_letters.push_back(std::move(letter));
}

const std::string& Pipeline::Impl::members_of(const RuleMeta& rule) {
  auto [slot, fresh] = rule_members.try_emplace(&rule);
  if (fresh) slot->second = alert_rule_members(rule);
  return slot->second;
}

Counter& Pipeline::Impl::matches_of(const RuleMeta& rule) {
  auto [slot, fresh] = rule_matches.try_emplace(rule.rule_id, nullptr);
  if (fresh) {
    slot->second = &parts.metrics.counter("firebreak_rule_matches_total", "Events that a rule matched",
                                          {{"rule_id", rule.rule_id}});
  }
  return *slot->second;
}

}  // namespace fb
