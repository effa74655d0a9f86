// The response stages over the record on disk, for tests that look at whole decisions: a store in a folder that goes
// away, the real guard in it, a dispatcher over agents without a network.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/base/log.h"
#include "engine/record/queries.h"
#include "engine/record/store.h"
#include "engine/respond/dispatch.h"
#include "engine/respond/guard.h"
#include "tests/support/enrol.h"
#include "tests/support/fake_agent.h"
#include "tests/unit/respond/fixtures.h"

namespace fb::test {

class StoreBench {
 public:
  explicit StoreBench(GuardSettings with = enforcing()) : settings(std::move(with)) {
    set_log_level(LogLevel::error);
    // In memory where there is room: no fsync of these tests proves anything.
    std::error_code none;
    const bool roomy = std::filesystem::space("/dev/shm", none).available > (256u << 20) && !none;
    std::string name = (roomy ? "/dev/shm" : std::filesystem::temp_directory_path().string()) + "/fb-bench-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = name;
    open();
  }
  ~StoreBench() {
    core.reset();
    store.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
    set_log_level(LogLevel::info);
  }
  StoreBench(const StoreBench&) = delete;
  StoreBench& operator=(const StoreBench&) = delete;

  static GuardSettings enforcing() {
    GuardSettings s;
    s.mode = Mode::enforce;
    return s;
  }

  // Anew over the same file, with the settings as they are now.
  void open() {
    core.reset();
    store.reset();
    guard = std::make_unique<ActionGuard>(settings, kill_switch);
    StoreOptions options;
    options.data_dir = directory_;
    options.clock = &clock;
    options.judge = guard.get();
    options.ballast_bytes = 0;
    options.check = false;
    options.lease_ms = settings.default_lease_ms;
    options.approval_expiry_ms = settings.approval_expiry_ms;
    options.intent_expiry_ms = settings.intent_expiry_ms;
    options.protected_hosts = {"dc"};
    Result<std::unique_ptr<Store>> opened = Store::open(options);
    if (!opened) throw std::runtime_error(opened.error().describe());
    store = std::move(*opened);
    DispatchSettings dispatch;
    dispatch.connector_per_minute = settings.connector_per_minute;
    EXPECT_TRUE(kill_switch.refresh(*store));
    core = std::make_unique<DispatchCore>(*store, plugin, kill_switch, clock, metrics, dispatch,
                                          "boot-" + std::to_string(++boots_));
  }

  void enroll(const std::string& id, const std::vector<std::string>& tags = {}) {
    EndpointReport r;
    r.endpoint_id = id;
    r.host_id = "host-of-" + id;
    r.hostname = id;
    r.os = "linux";
    r.observed = Isolation::released;
    r.at_ms = clock.wall_ms();
    const Status done = enrol(*store, r, "credential of " + id);
    ASSERT_TRUE(done) << done.error().describe();
    for (const std::string& tag : tags) ASSERT_TRUE(store->change_tag(id, tag, true, "user:jo", ""));
    agents.emplace(id, FakeAgent(id));
  }

  Alert alert(const RuleMetaPtr& rule, const std::string& host) {
    Alert a = make_alert(rule, host, next_++, clock.wall_ms());
    a.doc = "{}";
    a.source = "{}";
    return a;
  }
  // One batch with these alerts, planned and judged. The ids of the planned actions.
  std::vector<std::string> keep(const std::vector<Alert>& alerts, bool act = true) {
    BatchOutcome batch;
    batch.alerts = alerts;
    batch.act = act;
    for (const Alert& a : alerts) plan(a, store->directory(), batch.planned);
    batch.advances.push_back({"cluster", "events", 0, 0, kept_to_, next_});
    const Result<KeptBatch> kept = store->keep(batch);
    EXPECT_TRUE(kept) << (kept ? "" : kept.error().describe());
    if (!kept) return {};
    kept_to_ = next_;
    last = *kept;
    std::vector<std::string> ids;
    for (const PlannedAction& p : batch.planned) ids.push_back(p.action_id);
    return ids;
  }
  std::string keep(const RuleMetaPtr& rule, const std::string& host) { return keep({alert(rule, host)}).at(0); }

  // "verdict/guard", as the guard's row says.
  std::string said(const std::string& action_id) {
    return ask("SELECT verdict || '/' || guard FROM verdicts WHERE action_id = '" + action_id + "'");
  }
  // "state/guard", as the action's row says now.
  std::string state(const std::string& action_id) {
    return ask("SELECT state || '/' || guard FROM actions WHERE action_id = '" + action_id + "'");
  }
  int64_t number(const std::string& sql) { return std::stoll(ask(sql)); }
  std::string ask(const std::string& sql) {
    sqlite3* db = nullptr;
    sqlite3_stmt* statement = nullptr;
    std::string answer = "(none)";
    if (sqlite3_open_v2(store->db_path().c_str(), &db, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK) {
      if (sqlite3_step(statement) == SQLITE_ROW) {
        const auto* bytes = sqlite3_column_text(statement, 0);
        answer = bytes == nullptr ? "" : reinterpret_cast<const char*>(bytes);
      }
    } else {
      ADD_FAILURE() << sqlite3_errmsg(db) << ": " << sql;
    }
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return answer;
  }

  ActionStore::Submitted ask_for(Verb verb, const std::string& endpoint, const std::string& who = "user:jo",
                                 bool override_protected = false) {
    ActionRequest r;
    r.verb = verb;
    r.endpoint_ids = {endpoint};
    r.requested_by = who;
    r.comment = "test";
    r.override_protected = override_protected;
    const auto submitted = store->submit(r);
    EXPECT_TRUE(submitted) << (submitted ? "" : submitted.error().describe());
    return submitted ? submitted->at(0) : ActionStore::Submitted{};
  }

  // Steps and lets the agents answer until nothing moves.
  void run() {
    for (int round = 0; round < 8; ++round) {
      std::vector<Report> reports;
      for (const Command& c : plugin.sent) {
        commands.push_back(c);
        reports.push_back(agents.at(c.endpoint_id).obey(c, clock.wall_ms()));
      }
      plugin.sent.clear();
      if (round == 0) {
        for (const auto& [id, agent] : agents) reports.push_back(agent.heartbeat());
      }
      const Status s = core->step(std::move(reports));
      ASSERT_TRUE(s) << s.error().describe();
      if (round > 0 && plugin.sent.empty()) return;
    }
  }

  GuardSettings settings;
  FakeClock clock;
  KillSwitch kill_switch;
  std::unique_ptr<ActionGuard> guard;
  std::unique_ptr<Store> store;
  FakePlugin plugin;
  Metrics metrics;
  std::unique_ptr<DispatchCore> core;
  std::map<std::string, FakeAgent> agents;
  std::vector<Command> commands;  // everything that reached an agent
  KeptBatch last;

 private:
  std::string directory_;
  int64_t next_ = 0;
  int64_t kept_to_ = 0;
  int boots_ = 0;
};

inline RuleMetaPtr changed(const RuleMetaPtr& rule, const std::function<void(RuleMeta&)>& change) {
  auto copy = std::make_shared<RuleMeta>(*rule);
  change(*copy);
  return copy;
}

}  // namespace fb::test
