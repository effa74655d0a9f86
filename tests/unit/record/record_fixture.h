// What the record's tests share: a data directory that goes away, a guard that says what the test tells it, builders.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/base/digest.h"
#include "engine/model/ids.h"
#include "engine/record/queries.h"
#include "engine/record/store.h"
#include "tests/support/enrol.h"
#include "tests/support/fake_clock.h"

namespace fb::test {

class TempDir {
 public:
  TempDir() {
    // In memory where there is plenty: these tests make thousands of commits, and no fsync of theirs proves anything.
    namespace fs = std::filesystem;
    std::error_code ec;
    const fs::space_info memory = fs::space("/dev/shm", ec);
    const bool roomy = !ec && memory.available > (256u << 20) && memory.available != static_cast<uintmax_t>(-1);
    std::string name = ((roomy ? fs::path("/dev/shm") : fs::temp_directory_path()) / "fb-record-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = name;
  }
  ~TempDir() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class ScriptedJudge final : public Judge {
 public:
  using Answer = std::function<Result<Judgement>(const PlannedAction&, Ledger&, int64_t)>;
  ScriptedJudge() : answer([](const PlannedAction&, Ledger&, int64_t) -> Result<Judgement> { return passes(); }) {}
  Result<Judgement> judge(const PlannedAction& action, Ledger& ledger, int64_t now_ms) override {
    ++asked;
    return answer(action, ledger, now_ms);
  }
  static Judgement passes() { return {Verdict::would_act, Guard::none, "", ""}; }
  static Judgement says(Verdict verdict, Guard guard, std::string detail, std::string joined = "") {
    return {verdict, guard, std::move(detail), std::move(joined)};
  }
  Answer answer;
  int asked = 0;  // by the writer's thread; read it when no call is under way
};

// The guard's rule for one isolation an endpoint, for tests that are about joining and counting.
inline Result<Judgement> join_open(const PlannedAction& action, Ledger& ledger, int64_t) {
  FB_TRY(const Ledger::EndpointFacts facts, ledger.endpoint(action.endpoint_id));
  if (!facts.known) return ScriptedJudge::says(Verdict::blocked, Guard::unknown_target, action.target_note);
  if (action.verb == Verb::isolate && !facts.open_isolate.empty()) {
    return ScriptedJudge::says(Verdict::joined, Guard::in_flight, "on its way", facts.open_isolate);
  }
  if (action.verb == Verb::isolate && !facts.standing_isolate.empty()) {
    return ScriptedJudge::says(Verdict::joined, Guard::in_flight, "isolated", facts.standing_isolate);
  }
  return ScriptedJudge::passes();
}

inline RuleMetaPtr rule(const std::string& id, Severity severity = Severity::high) {
  auto meta = std::make_shared<RuleMeta>();
  meta->rule_id = id;
  meta->name = "Rule " + id;
  meta->hash = "hash-" + id;
  meta->severity = severity;
  meta->risk_score = 73;
  meta->actions = {{Verb::isolate, "by rule"}};
  return meta;
}

inline Alert alert(const RuleMetaPtr& by, const std::string& agent, int64_t offset, int32_t partition = 0) {
  Alert a;
  a.rule = by;
  a.position = {"cluster", "events", 0, partition, offset};
  a.alert_id = alert_id(by->rule_id, a.group_key, a.position);
  a.event_time_ms = 1'700'000'000'123;
  a.read_time_ms = 1'700'000'000'500;
  a.target.agent_id = agent;
  a.doc = R"({"kibana.alert.rule.name":")" + by->name + R"(","agent":{"id":")" + agent + R"("}})";
  a.source = R"({"agent":{"id":")" + agent + R"("}})";
  return a;
}

inline PlannedAction isolate(const Alert& a, const std::string& endpoint) {
  PlannedAction p;
  p.verb = Verb::isolate;
  p.target = a.target;
  p.endpoint_id = endpoint;
  if (endpoint.empty()) p.target_note = "unknown";
  p.action_id = action_id(p.verb, endpoint, a.alert_id);
  p.comment = "by rule";
  p.cause = a.alert_id;
  p.alert_id = a.alert_id;
  p.rule = a.rule;
  p.request_id = p.action_id;
  p.requested_by = "rule:" + a.rule->rule_id;
  return p;
}

inline OffsetAdvance advance(int64_t from, int64_t next, int32_t partition = 0) {
  return {"cluster", "events", 0, partition, from, next};
}

inline EndpointReport agent(const std::string& id, const std::string& host = "") {
  EndpointReport r;
  r.endpoint_id = id;
  r.host_id = host.empty() ? "host-of-" + id : host;
  r.hostname = "name-of-" + id;
  r.os = "linux";
  r.ips = {"192.0.2.1"};
  r.agent_version = "1.0";
  r.observed = Isolation::released;
  return r;
}

inline ActionRequest request(Verb verb, std::vector<std::string> endpoints, const std::string& who = "user:ada") {
  ActionRequest r;
  r.verb = verb;
  r.endpoint_ids = std::move(endpoints);
  r.comment = "because";
  r.requested_by = who;
  return r;
}

// A second hand on the file, as an operator's or an intruder's sqlite3 would be.
class RawDb {
 public:
  explicit RawDb(const std::string& path) {
    if (sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE, nullptr) != SQLITE_OK) {
      throw std::runtime_error("can't open " + path);
    }
  }
  ~RawDb() { sqlite3_close(db_); }
  RawDb(const RawDb&) = delete;
  RawDb& operator=(const RawDb&) = delete;
  void run(const std::string& sql) {
    char* message = nullptr;
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
      const std::string text = message == nullptr ? "?" : message;
      sqlite3_free(message);
      throw std::runtime_error(text + ": " + sql);
    }
  }
  // The first column of the first row; "(none)" without a row.
  std::string text(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sqlite3_errmsg(db_) + (": " + sql));
    }
    std::string answer = "(none)";
    if (sqlite3_step(statement) == SQLITE_ROW) {
      const auto* bytes = sqlite3_column_text(statement, 0);
      answer = bytes == nullptr ? "NULL" : reinterpret_cast<const char*>(bytes);
    }
    sqlite3_finalize(statement);
    return answer;
  }
  int64_t number(const std::string& sql) { return std::stoll(text(sql)); }

 private:
  sqlite3* db_ = nullptr;
};

class RecordTest : public ::testing::Test {
 protected:
  StoreOptions options() {
    StoreOptions o;
    o.data_dir = dir_.path() + "/data";
    o.clock = &clock_;
    o.judge = &judge_;
    o.ballast_bytes = 64 << 10;
    return o;
  }
  void open() { open(options()); }
  void open(const StoreOptions& o) {
    auto opened = Store::open(o);
    ASSERT_TRUE(opened) << opened.error().describe();
    store_ = std::move(*opened);
  }
  void close() { store_.reset(); }
  std::string db() { return dir_.path() + "/data/firebreak.db"; }
  std::string ask(const std::string& sql) { return RawDb(db()).text(sql); }
  int64_t count(const std::string& sql) { return RawDb(db()).number(sql); }
  void enroll(const std::string& id, const std::string& host = "") {
    const Status done = enrol(*store_, agent(id, host), hex(sha256("credential of " + id)));
    ASSERT_TRUE(done) << done.error().describe();
  }
  // One alert of one rule on one endpoint, in a batch of one record.
  BatchOutcome batch(const RuleMetaPtr& by, const std::string& endpoint, int64_t offset) {
    BatchOutcome b;
    b.alerts.push_back(alert(by, endpoint, offset));
    b.planned.push_back(isolate(b.alerts.back(), store_->directory().resolve(b.alerts.back().target).endpoint_id));
    b.advances.push_back(advance(offset, offset + 1));
    b.rule_set_hash = "rules-1";
    return b;
  }
  KeptBatch keep(const BatchOutcome& b) {
    const Result<KeptBatch> kept = store_->keep(b);
    EXPECT_TRUE(kept) << kept.error().describe();
    return kept.value_or(KeptBatch{});
  }
  bool step(const std::string& id, std::vector<ActionState> from, ActionState to,
            std::optional<Isolation> observed = std::nullopt) {
    ActionMove m;
    m.action_id = id;
    m.from = std::move(from);
    m.to = to;
    m.observed = observed;
    const Result<bool> moved = store_->move(m);
    EXPECT_TRUE(moved) << moved.error().describe();
    return moved.value_or(false);
  }
  void isolate_fully(const std::string& id) {
    ASSERT_TRUE(step(id, {ActionState::requested}, ActionState::dispatched));
    ASSERT_TRUE(step(id, {ActionState::dispatched}, ActionState::accepted));
    ASSERT_TRUE(step(id, {ActionState::accepted}, ActionState::verified, Isolation::isolated));
  }
  void release_fully(const std::string& id) {
    ASSERT_TRUE(step(id, {ActionState::requested}, ActionState::dispatched));
    ASSERT_TRUE(step(id, {ActionState::dispatched}, ActionState::verified, Isolation::released));
  }

  TempDir dir_;
  FakeClock clock_;
  ScriptedJudge judge_;
  std::unique_ptr<Store> store_;
};

}  // namespace fb::test
