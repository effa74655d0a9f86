// A service without its engine (the gateway, a record, every report that came in), agents on threads, and commands.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "actions/endpoint/endpoint_plugin.h"
#include "actions/endpoint/wire.h"
#include "apps/firebreak-agent/agent.h"
#include "engine/base/log.h"
#include "engine/net/tls_files.h"
#include "engine/record/queries.h"
#include "engine/record/store.h"
#include "tests/unit/agent/agent_support.h"

namespace fb::agent::test {

using endpoint::EndpointOptions;
using endpoint::EndpointPlugin;

// A service without its engine: the gateway, a record on disk, and every report that came in.
class Service {
 public:
  Service() {
    set_log_level(LogLevel::error);
    EXPECT_TRUE(net::create_ca(dir / "ca.pem", dir / "ca.key", "Firebreak test CA"));
    EXPECT_TRUE(
        net::create_server_certificate(dir / "ca.pem", dir / "ca.key", dir / "s.pem", dir / "s.key", {"127.0.0.1"}));
    options.listen = "127.0.0.1:0";
    options.certificate_file = dir / "s.pem";
    options.private_key_file = dir / "s.key";
    options.ca_file = dir / "ca.pem";
    options.ca_key_file = dir / "ca.key";
    options.signers = {new_signer("signing.key")};
    options.break_glass_secret = std::string(32, 's');
    options.policy = [this](const std::string&) {
      const std::lock_guard lock(mutex_);
      return policy_;
    };
    StoreOptions record;
    record.data_dir = dir / "data";
    record.check = false;
    record.local_release_proven = [this](const std::string& id, const LocalRelease& r) {
      const std::string code = endpoint::break_glass_code(options.break_glass_secret, id, r.generation);
      return r.how == "break_glass" && r.proof == code;
    };
    auto opened = Store::open(record);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().describe());
    store_ = std::move(*opened);
    options.heartbeat_interval_ms = 200;
    options.offline_after_ms = 1000;
    options.redeliver_after_ms = 200;
    options.limits.max_connections_per_address = 1000;
    options.enroll_per_minute = 1000;
  }
  ~Service() { stop(); }

  void start() {
    auto made = endpoint::make_action_plugin_endpoint(options, store(), store(), system_clock(), [this](Report r) {
      const std::lock_guard lock(mutex_);
      reports_.push_back(std::move(r));
    });
    ASSERT_TRUE(made) << made.error().describe();
    plugin = std::move(*made);
    options.listen = "127.0.0.1:" + std::to_string(plugin->port());  // a restart gets the same port
  }
  void stop() {
    if (plugin) plugin->stop(1000);
    plugin.reset();
  }

  std::string url() const { return "https://" + options.listen; }
  std::string token() {
    const std::string t = endpoint::make_token(*net::certificate_fingerprint(dir / "ca.pem"));
    EXPECT_TRUE(store().add_token(endpoint::token_hash(t), system_clock().wall_ms() + 3'600'000));
    return t;
  }
  std::vector<Report> reports(const std::string& action_id) const {
    const std::lock_guard lock(mutex_);
    std::vector<Report> out;
    std::copy_if(reports_.begin(), reports_.end(), std::back_inserter(out),
                 [&](const Report& r) { return r.action_id == action_id; });
    return out;
  }
  bool finished(const std::string& action_id) const {
    const auto all = reports(action_id);
    return std::any_of(all.begin(), all.end(), [](const Report& r) { return r.kind != Report::Kind::accepted; });
  }
  Report wait_for_end(const std::string& action_id) const {
    EXPECT_TRUE(eventually([&] { return finished(action_id); })) << action_id;
    const auto all = reports(action_id);
    return all.empty() ? Report{} : all.back();
  }

  Store& store() const { return *store_; }
  Endpoint at(const std::string& id) const {
    const auto all = store_->endpoints();
    EXPECT_TRUE(all);
    for (const Endpoint& e : *all) {
      if (e.endpoint_id == id) return e;
    }
    return {};
  }
  // How often the audit has such a row.
  int audited(const std::string& what, const std::string& ref) const {
    const auto reader = record::Reader::open(store_->db_path());
    int count = 0;
    const auto rows = (*reader)->audit(0, 100'000);
    EXPECT_TRUE(rows);
    for (const record::AuditRow& row : *rows) count += row.what == what && row.ref == ref;
    return count;
  }
  std::shared_ptr<const endpoint::Signer> new_signer(const std::string& name) {
    EXPECT_TRUE(endpoint::Signer::create(dir / name));
    return *endpoint::Signer::load(dir / name);
  }
  void set_policy(endpoint::CutPolicy policy) {
    {
      const std::lock_guard lock(mutex_);
      policy_ = endpoint::in_force(std::move(policy));
    }
    if (plugin) plugin->policy_changed();
  }

  TemporaryFolder dir;
  EndpointOptions options;
  std::unique_ptr<EndpointPlugin> plugin;

 private:
  mutable std::mutex mutex_;
  std::vector<Report> reports_;
  endpoint::PolicyPtr policy_ = endpoint::in_force({});
  std::unique_ptr<Store> store_;
};

// One agent on a thread of its own.
class RunningAgent {
 public:
  RunningAgent(Service& service, const std::string& name, BackendFactory backend = {}) {
    options.server = service.url();
    options.state_dir = service.dir / ("agent-" + name);
    options.token_file = service.dir / ("token-" + name);
    options.backend = "simulated";
    options.agent_id = name;
    options.host = {"host-of-" + name, name + ".example", "linux", {"192.0.2.1"}};
    options.wait_s = 20;
    options.backoff_min_ms = 20;
    options.backoff_max_ms = 200;
    options.make_backend = std::move(backend);
    put_file(options.token_file, service.token() + "\n");
    service_ = &service;
  }
  ~RunningAgent() { stop(); }
  void start() {
    thread_ = std::jthread([this](const std::stop_token& stop) { result = run_agent(options, stop); });
  }
  void stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }
  std::string journal() const { return options.state_dir + "/enforcer/journal.ndjson"; }

  bool polls() const {
    return eventually([&] { return service_->plugin->stats().open_polls == 1; });
  }

  AgentOptions options;
  Status result;

 private:
  Service* service_;
  std::jthread thread_;
};

inline Command command(const std::string& id, Verb verb, const std::string& endpoint, int64_t generation) {
  Command c;
  c.action_id = id;
  c.verb = verb;
  c.endpoint_id = endpoint;
  c.generation = generation;
  c.expires_at_ms = system_clock().wall_ms() + 60'000;
  return c;
}

}  // namespace fb::agent::test
