// The path of a batch: what reaches the record, what happens when the record refuses, what is told to the source.
#include "engine/pipeline/pipeline.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>

#include "engine/model/ids.h"
#include "engine/pipeline/replay.h"
#include "tests/support/fake_clock.h"

namespace fb {
namespace {

namespace fs = std::filesystem;

const std::string kRule =
    "rule_id: r1\nname: R\ndescription: d\ntype: query\nseverity: high\nrisk_score: 50\nquery: 'event.code: 1'\n"
    "response_actions:\n  - action_type_id: .endpoint\n    params: {command: isolate, comment: c}\n";

class RuleFolder {
 public:
  RuleFolder() {
    std::string path = (fs::temp_directory_path() / "fb-pipeline-XXXXXX").string();
    path_ = mkdtemp(path.data());
    write("r1.yml", kRule);
  }
  ~RuleFolder() { fs::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path_ + "/" + name) << text; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class ScriptedSource final : public Source {
 public:
  std::deque<std::vector<std::string>> batches;
  std::vector<OffsetAdvance> told;
  std::string topic = "t";
  std::function<void()> waiting;  // what happens elsewhere meanwhile
  int64_t broker_time_ms = 4'000;

  Result<Progress> poll(RawBatch& batch, const BatchLimits&, int) override {
    if (waiting) waiting();
    if (batches.empty()) return Progress::ended;
    batch.read_time_ms = 5'000;
    batch.streams.push_back({"c", topic, 0, 3, next_, next_ + static_cast<int64_t>(batches.front().size()), 0, 0});
    for (const std::string& bytes : batches.front()) batch.add(bytes, 0, next_++, broker_time_ms, false);
    batches.pop_front();
    return Progress::records;
  }
  void kept(const std::vector<OffsetAdvance>& advances) override {
    told.insert(told.end(), advances.begin(), advances.end());
  }
  Health health() const override { return {true, ""}; }
  void close() override {}

 private:
  int64_t next_ = 10;
};

class ScriptedRecord final : public Record {
 public:
  std::vector<BatchOutcome> kept_batches;
  std::deque<Error> refusals;
  uint32_t intents = 0;
  std::vector<std::string> tried;  // alert ids of every try

  Result<KeptBatch> keep(const BatchOutcome& outcome) override {
    std::string ids;
    for (const Alert& a : outcome.alerts) ids += a.alert_id + " ";
    tried.push_back(ids);
    if (!refusals.empty()) {
      Error e = refusals.front();
      refusals.pop_front();
      return tl::unexpected<Error>(std::move(e));
    }
    kept_batches.push_back(outcome);
    return KeptBatch{static_cast<uint32_t>(outcome.alerts.size()), 0, intents};
  }
  Result<std::optional<int64_t>> next_offset(const std::string&, const std::string&, int32_t, int32_t) override {
    return std::optional<int64_t>();
  }
};

struct Rig {
  RuleFolder folder;
  RuleBook book{RuleBookOptions{{folder.path()}, {}, {}, false, false, {}}};
  ScriptedSource source;
  ScriptedRecord record;
  OpenDirectory directory;
  test::FakeClock clock;
  Metrics metrics;
  int wakes = 0;
  std::unique_ptr<Pipeline> pipeline;

  Rig() {
    EXPECT_TRUE(book.reload().swapped);
    PipelineOptions options;
    options.retry_wait_ms = 1;
    pipeline = std::make_unique<Pipeline>(
        PipelineParts{source, book, directory, record, clock, metrics, [this] { ++wakes; }}, options);
  }
  Result<TurnStats> turn() {
    return pipeline->turn([] { return true; });
  }
};

const std::string kHit = R"({"event":{"code":1},"agent":{"id":"a1"}})";

TEST(Pipeline, KeepsAlertsPlansAndOffsetsAndThenTellsTheSource) {
  Rig rig;
  rig.record.intents = 1;
  rig.source.batches = {{R"({"x":1})", kHit, "not json"}};
  const auto stats = rig.turn();
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->records, 3u);
  ASSERT_EQ(rig.record.kept_batches.size(), 1u);
  const BatchOutcome& kept = rig.record.kept_batches[0];
  ASSERT_EQ(kept.alerts.size(), 1u);
  EXPECT_EQ(kept.alerts[0].alert_id, alert_id("r1", "[]", {"c", "t", 0, 3, 11}));
  EXPECT_EQ(kept.alerts[0].source, kHit);
  ASSERT_EQ(kept.planned.size(), 1u);
  EXPECT_EQ(kept.planned[0].endpoint_id, "a1");
  ASSERT_EQ(kept.dead_letters.size(), 1u);
  EXPECT_EQ(kept.dead_letters[0].reason, "not-json");
  EXPECT_EQ(kept.dead_letters[0].position.offset, 12);
  ASSERT_EQ(kept.advances.size(), 1u);
  EXPECT_EQ(kept.advances[0].from, 10);
  EXPECT_EQ(kept.advances[0].next, 13);
  ASSERT_EQ(rig.source.told.size(), 1u);
  EXPECT_EQ(rig.wakes, 1);
}

// A topic that belongs to one host; the record of one enrolled fleet beside it.
struct TwoHosts final : EndpointDirectory {
  Resolved resolve(const Target& t) const override {
    if (t.identity_mismatch) return {"", "identity_mismatch: told before"};
    const std::string by_agent = t.agent_id == "a1" || t.agent_id == "a2" ? t.agent_id : "";
    const std::string by_host = t.host_id == "h1" ? "a1" : t.host_id == "h2" ? "a2" : "";
    if (!by_agent.empty() && !by_host.empty() && by_agent != by_host) return {"", "identity_mismatch: two hosts"};
    const std::string& found = by_agent.empty() ? by_host : by_agent;
    return found.empty() ? Resolved{"", "unknown"} : Resolved{found, ""};
  }
};

TEST(Pipeline, OnABoundTopicOnlyItsOwnHostIsATarget) {
  const struct {
    const char* topic;
    const char* ids;  // as the event has them
    const char* target;
  } cases[] = {
      {"events.host-h1", R"("host":{"id":"h1"})", "a1"},
      {"events.host-h1", R"("host":{"id":"h1"},"agent":{"id":"a1"})", "a1"},
      {"events.host-h1", R"("host":{"id":"h2"})", ""},                      // another's name
      {"events.host-h1", R"("agent":{"id":"a1"})", ""},                     // the proven id is not said
      {"events.host-h1", R"("host":{"id":"h1"},"agent":{"id":"a2"})", ""},  // the ids are of two hosts
      {"events.host-h9", R"("host":{"id":"h1"})", ""},
      {"events.host-", R"("host":{"id":"h1"})", "a1"},  // no host in the name: not bound
      {"other", R"("host":{"id":"h1"})", "a1"},
      {"other", R"("host":{"id":"h1"},"agent":{"id":"a2"})", ""},
  };
  for (const auto& c : cases) {
    RuleFolder folder;
    RuleBook book{RuleBookOptions{{folder.path()}, {}, {}, false, false, {}}};
    ASSERT_TRUE(book.reload().swapped);
    ScriptedSource source;
    source.topic = c.topic;
    source.batches = {{std::string(R"({"event":{"code":1},)") + c.ids + "}"}};
    ScriptedRecord record;
    TwoHosts directory;
    test::FakeClock clock;
    Metrics metrics;
    PipelineOptions options;
    const auto bound = IdentityBindings::parse({{"events.host-{host.id}", "topic"}});
    ASSERT_TRUE(bound);
    options.identity_bound = *bound;
    Pipeline pipeline(PipelineParts{source, book, directory, record, clock, metrics, [] {}}, options);
    ASSERT_TRUE(pipeline.turn([] { return true; }));
    ASSERT_EQ(record.kept_batches.size(), 1u);
    const BatchOutcome& kept = record.kept_batches[0];
    ASSERT_EQ(kept.planned.size(), 1u) << c.topic << c.ids;  // the alert is there all the same
    const PlannedAction& action = kept.planned[0];
    EXPECT_EQ(action.endpoint_id, c.target) << c.topic << " " << c.ids;
    const bool marked =
        kept.alerts[0].doc.find(R"("kibana.alert.workflow_tags":["identity_mismatch"])") != std::string::npos;
    EXPECT_EQ(marked, action.endpoint_id.empty()) << kept.alerts[0].doc;
    EXPECT_EQ(action.target_note.starts_with("identity_mismatch"), action.endpoint_id.empty()) << action.target_note;
  }
}

TEST(IdentityBindings, RefusesWhatProvesNothing) {
  EXPECT_TRUE(IdentityBindings::parse({}));
  for (const auto& [pattern, proof] : std::map<std::string, std::string>{{"events", "topic"},
                                                                         {"{host.id}", "topic"},
                                                                         {"a-{host.name}", "topic"},
                                                                         {"a-{host.id}-{agent.id}", "topic"},
                                                                         {"b-{host.id}", "header:x-host"}}) {
    EXPECT_FALSE(IdentityBindings::parse({{pattern, proof}})) << pattern;
  }
  const auto bound = IdentityBindings::parse({{"x.{agent.id}.log", "topic"}});
  ASSERT_TRUE(bound);
  EXPECT_EQ(bound->owner_of("x.a-7.log")->agent_id, "a-7");
  EXPECT_FALSE(bound->owner_of("x..log"));
  EXPECT_FALSE(bound->owner_of("x.log"));
}

TEST(OwnDoing, IsToldByOurOwnWordsAndNotByAName) {
  for (const char* own :
       {R"({"event":{"module":"firebreak"}})", R"({"event.dataset":"firebreak.agent"})",
        R"({"event":{"dataset":["x","firebreak"]}})", R"({"process":{"executable":"/usr/bin/firebreak-agent"}})",
        R"({"process.executable":"\/usr\/bin\/firebreak-agent-helper"})"}) {
    EXPECT_TRUE(own_doing(own).certain) << own;
  }
  for (const char* other :
       {R"({"process":{"executable":"/tmp/firebreak-agent"}})", R"({"process":{"name":"firebreak-agent"}})",
        R"({"message":"firebreak.action_id"})", R"({"event":{"dataset":"firebreakish"}})",
        R"({"firebreak":{"action_id":null}})", R"({"a":1})", R"({"firebreak":{"rule":"x"}})", "firebreak is no JSON"}) {
    EXPECT_FALSE(own_doing(other).certain) << other;
    EXPECT_TRUE(own_doing(other).action_ids.empty()) << other;
  }
}

TEST(OwnDoing, AnActionIdIsOnlyAClaim) {
  const auto ids = [](const std::string& event) { return own_doing(event).action_ids; };
  using List = std::vector<std::string>;
  EXPECT_EQ(ids(R"({"firebreak":{"action_id":"1"}})"), List{"1"});
  EXPECT_EQ(ids(R"({"firebreak.action_id":["1","2"]})"), (List{"1", "2"}));
  EXPECT_FALSE(own_doing(R"({"firebreak":{"action_id":"1"}})").certain);
  EXPECT_EQ(ids(R"({"firebreak":{"action_id":")" + std::string(5000, 'a') + R"("}})"), List{}) << "no id is so long";
  std::string many = R"({"firebreak.action_id":["0")";
  for (int i = 1; i < 100; ++i) many += ",\"" + std::to_string(i) + "\"";
  EXPECT_EQ(ids(many + "]}").size(), 8u) << "each is looked up";
}

TEST(Pipeline, AnEventOfOurOwnDoingIsMarkedWhereTheRuleResponds) {
  Rig rig;
  rig.source.batches = {{R"({"event":{"code":1,"module":"firebreak"},"agent":{"id":"a1"}})",
                         R"({"event":{"code":1},"agent":{"id":"a1"},"firebreak":{"action_id":"x"}})", kHit}};
  ASSERT_TRUE(rig.turn());
  const BatchOutcome& kept = rig.record.kept_batches.at(0);
  ASSERT_EQ(kept.planned.size(), 3u);
  EXPECT_TRUE(kept.planned[0].self_caused);
  EXPECT_FALSE(kept.planned[1].self_caused);
  EXPECT_EQ(kept.planned[1].told_actions, std::vector<std::string>{"x"});
  EXPECT_FALSE(kept.planned[2].self_caused);
  EXPECT_TRUE(kept.planned[2].told_actions.empty());
}

// The broker got the event at 2026-01-01T00:00:00Z; what the event says of its own time is believed within five
// minutes.
TEST(Pipeline, AnEventsOwnTimeIsHeldNearTheBrokers) {
  constexpr int64_t kBroker = 1'767'225'600'000;
  constexpr int64_t kFive = 5 * 60'000;
  struct Case {
    const char* timestamp;
    int64_t at_ms;
    bool skew;
    const char* original;
  };
  for (const Case& c : std::vector<Case>{
           {R"("2025-12-31T23:58:00Z")", kBroker - 120'000, false, "2025-12-31T23:58:00.000Z"},
           {R"("2026-01-01T00:05:00Z")", kBroker + kFive, false, "2026-01-01T00:05:00.000Z"},
           {R"("2026-01-01T00:05:00.001Z")", kBroker + kFive, true, "2026-01-01T00:05:00.001Z"},
           {R"("1970-01-01T00:00:00Z")", kBroker - kFive, true, "1970-01-01T00:00:00.000Z"},
           {R"("2099-01-01T00:00:00Z")", kBroker + kFive, true, "2099-01-01T00:00:00.000Z"},
           {"-1000", kBroker - kFive, true, "1969-12-31T23:59:59.000Z"},
           {"1767225600000", kBroker, false, "2026-01-01T00:00:00.000Z"},
           {"1767225600000000000", kBroker + kFive, true, "2026-01-01T00:05:00.000Z"},  // nanoseconds: no date of ours
           {R"("yesterday")", kBroker, true, "2026-01-01T00:00:00.000Z"},
       }) {
    Rig rig;
    rig.source.broker_time_ms = kBroker;
    rig.source.batches = {
        {R"({"event":{"code":1},"agent":{"id":"a1"},"@timestamp":)" + std::string(c.timestamp) + "}"}};
    ASSERT_TRUE(rig.turn());
    ASSERT_EQ(rig.record.kept_batches.at(0).alerts.size(), 1u) << c.timestamp;
    const Alert& alert = rig.record.kept_batches[0].alerts[0];
    EXPECT_EQ(alert.event_time_ms, c.at_ms) << c.timestamp;
    EXPECT_EQ(alert.clock_skew, c.skew) << c.timestamp;
    EXPECT_NE(alert.doc.find(R"("kibana.alert.original_time":")" + std::string(c.original)), std::string::npos)
        << c.timestamp << "\n"
        << alert.doc;
    EXPECT_EQ(alert.doc.find(R"("firebreak.clock_skew":true)") != std::string::npos, c.skew) << c.timestamp;
    EXPECT_EQ(alert.doc.find(R"("kibana.alert.workflow_tags":["clock_skew"])") != std::string::npos, c.skew);
    EXPECT_NE(
        rig.metrics.expose().find(c.skew ? "\nfirebreak_clock_skews_total 1\n" : "\nfirebreak_clock_skews_total 0\n"),
        std::string::npos)
        << c.timestamp;
  }
}

// A rule that looks back from now can't be opened or closed by what the event says of its time.
TEST(Pipeline, AWindowOfARuleGoesByTheTimeThatIsBelieved) {
  Rig rig;
  rig.folder.write("r1.yml", std::string(kRule).replace(kRule.find("'event.code: 1'"), 15,
                                                        "'event.code: 1 and event.ingested >= \"now-15m\"'"));
  ASSERT_TRUE(rig.book.reload().swapped);
  rig.source.broker_time_ms = 1'767'225'600'000;
  const auto event = [](const std::string& timestamp) {
    return R"({"event":{"code":1,"ingested":"2025-12-31T23:59:00Z"},"agent":{"id":"a1"},"@timestamp":")" + timestamp +
           "\"}";
  };
  rig.source.batches = {{event("2025-12-31T23:59:00Z"), event("2099-01-01T00:00:00Z")}};
  ASSERT_TRUE(rig.turn());
  EXPECT_EQ(rig.record.kept_batches.at(0).alerts.size(), 2u) << "a time far ahead would have closed the window";
}

TEST(Pipeline, ARefusalThatMayPassIsWaitedOutWithTheSameResults) {
  Rig rig;
  rig.record.refusals = {Error{ErrorCode::no_space, Retry::yes, "full", ""},
                         Error{ErrorCode::busy, Retry::yes, "locked", ""}};
  rig.source.batches = {{kHit}};
  ASSERT_TRUE(rig.turn());
  ASSERT_EQ(rig.record.tried.size(), 3u);
  EXPECT_EQ(rig.record.tried[0], rig.record.tried[2]);
  EXPECT_EQ(rig.source.told.size(), 1u);
  EXPECT_FALSE(rig.pipeline->storage_stalled());
}

TEST(Pipeline, WhatTheRecordNeverKeptIsNeverToldToTheSource) {
  Rig rig;
  rig.record.refusals = {Error{ErrorCode::io, Retry::no, "disk", ""}};
  rig.source.batches = {{kHit}};
  EXPECT_FALSE(rig.turn());
  EXPECT_TRUE(rig.source.told.empty());
  EXPECT_EQ(rig.wakes, 0);
}

TEST(Pipeline, AReloadTakesEffectBetweenBatchesAndABrokenOneDoesNot) {
  Rig rig;
  rig.source.batches = {{kHit}, {kHit}, {kHit}};
  ASSERT_TRUE(rig.turn());
  std::string second = kRule;
  second.replace(second.find("r1"), 2, "r2");
  rig.folder.write("r2.yml", second);
  EXPECT_TRUE(rig.book.reload().swapped);
  ASSERT_TRUE(rig.turn());
  rig.folder.write("r3.yml", "rule_id: r3\n");
  const ReloadReport report = rig.book.reload();
  EXPECT_FALSE(report.swapped);
  EXPECT_NE(report.problem.find("r3.yml"), std::string::npos) << report.problem;
  ASSERT_TRUE(rig.turn());
  EXPECT_EQ(rig.record.kept_batches[0].alerts.size(), 1u);
  EXPECT_EQ(rig.record.kept_batches[1].alerts.size(), 2u);
  EXPECT_EQ(rig.record.kept_batches[2].alerts.size(), 2u);
  EXPECT_EQ(rig.record.kept_batches[2].rule_set_hash, rig.book.current()->hash());
}

TEST(Pipeline, ARuleThatIsTakenWhileATurnWaitsJudgesWhatComesThen) {
  Rig rig;
  rig.source.batches = {{kHit}};
  rig.source.waiting = [&] {
    std::string second = kRule;
    second.replace(second.find("r1"), 2, "r2");
    rig.folder.write("r2.yml", second);
    ASSERT_TRUE(rig.book.reload().swapped);
  };
  ASSERT_TRUE(rig.turn());
  ASSERT_EQ(rig.record.kept_batches.size(), 1u);
  EXPECT_EQ(rig.record.kept_batches[0].alerts.size(), 2u);
  EXPECT_EQ(rig.record.kept_batches[0].rule_set_hash, rig.book.current()->hash());
}

TEST(RuleBook, AnEmptySetIsRefused) {
  Rig rig;
  fs::remove(rig.folder.path() + "/r1.yml");
  EXPECT_FALSE(rig.book.reload().swapped);
  EXPECT_EQ(rig.book.current()->rules().size(), 1u);
}

TEST(Scan, ThreadsAndTheSlowPathGiveTheSameAnswerInOrder) {
  Rig rig;
  std::vector<std::string> lines;
  for (int i = 0; i < 5000; ++i) {
    lines.push_back(i % 7 == 0 ? kHit : i % 11 == 0 ? "broken" : R"({"event":{"code":2}})");
    lines.back().append(64, ' ');  // the padding that the decoder may read
  }
  const auto run = [&](int threads, bool no_index) {
    size_t at = 0;
    std::vector<int64_t> seen;
    ScanOptions options;
    options.threads = threads;
    options.no_index = no_index;
    ScanSinks sinks;
    sinks.hit = [&](const ScanHit& hit) { seen.push_back(hit.event_index); };
    sinks.refused = [&](int64_t index, const Refusal&) { seen.push_back(-index); };
    const NextLine next = [&](std::string_view* line) -> Result<bool> {
      if (at == lines.size()) return false;
      const std::string& text = lines[at++];
      *line = std::string_view(text).substr(0, text.size() - 64);
      return true;
    };
    const auto stats = scan(rig.book.current(), next, options, true, sinks);
    EXPECT_TRUE(stats);
    EXPECT_EQ(stats->events, lines.size());
    return seen;
  };
  const auto answer = run(1, false);
  EXPECT_GT(answer.size(), 1000u);
  EXPECT_EQ(run(1, true), answer);
  EXPECT_EQ(run(3, false), answer);
  EXPECT_EQ(run(2, true), answer);
}

}  // namespace
}  // namespace fb
