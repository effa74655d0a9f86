// A service that signs, a backend that counts, and a host on a fake clock: shared by the enforcer's tests.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actions/endpoint/envelope.h"
#include "apps/enforcer/enforcer.h"
#include "engine/base/digest.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/agent/agent_support.h"

namespace fb::agent::test {

using endpoint::Envelope;
using endpoint::Order;

inline constexpr const char* kAgent = "agent-1";
inline constexpr const char* kSecret = "the service's break-glass secret";

// Signs with rising revisions.
class Service {
 public:
  explicit Service(const TemporaryFolder& dir, const std::string& name = "key") {
    const std::string file = dir / name;
    EXPECT_TRUE(endpoint::Signer::create(file));
    auto loaded = endpoint::Signer::load(file);
    EXPECT_TRUE(loaded);
    signer_ = *loaded;
  }
  endpoint::KeySet keys() const { return {{signer_->kid(), signer_->public_key()}}; }

  Envelope order(Order order, const std::string& action_id, int64_t generation) {
    Envelope e;
    e.order = order;
    e.agent_id = kAgent;
    e.action_id = action_id;
    e.generation = generation;
    e.epoch = epoch;
    e.revision = ++revision;
    e.issued_at_ms = now_ms;
    e.nonce = "0123456789abcdef";
    if (order == Order::isolate)
      e.break_glass_sha256 = endpoint::break_glass_hash(code(generation), kAgent, generation);
    return e;
  }
  Envelope isolate(const std::string& id, int64_t generation) { return order(Order::isolate, id, generation); }
  Envelope release(const std::string& id, int64_t generation) { return order(Order::release, id, generation); }
  std::string sign(const Envelope& e) const { return signer_->sign(e); }
  static std::string code(int64_t generation) { return endpoint::break_glass_code(kSecret, kAgent, generation); }

  int64_t epoch = 1;
  int64_t revision = 0;
  int64_t now_ms = 1'700'000'000'000;

 private:
  std::shared_ptr<const endpoint::Signer> signer_;
};

// Stands for the kernel: lives on when the enforcer is opened anew.
class FakeBackend final : public IsolationBackend {
 public:
  std::string_view name() const override { return "fake"; }
  bool simulated() const override { return simulates; }
  Status isolate(const Cut& cut) override {
    ++isolations;
    if (before_effect) before_effect(Isolation::isolated);
    if (broken) return fail(ErrorCode::io, "no nft here");
    if (lies) return {};
    last = cut;
    state = Isolation::isolated;
    intact = true;
    return {};
  }
  Status release() override {
    ++releases;
    if (before_effect) before_effect(Isolation::released);
    if (broken) return fail(ErrorCode::io, "no nft here");
    if (!lies) state = Isolation::released;
    return {};
  }
  Result<Observation> observe() override {
    if (blind) return fail(ErrorCode::io, "cannot look");
    Observation seen;
    seen.state = state;
    seen.intact = intact;
    seen.links_changed = !intact && links_changed;
    if (state == Isolation::isolated) seen.rule_digest = "digest";
    return seen;
  }
  Status watch(std::function<void()> on_change) override {
    changed = std::move(on_change);
    return {};
  }

  int isolations = 0, releases = 0;
  Isolation state = Isolation::released;
  Cut last;
  bool simulates = true;
  bool intact = true, broken = false, lies = false, blind = false, links_changed = false;
  std::function<void()> changed;
  std::function<void(Isolation)> before_effect;
};

struct Host {
  TemporaryFolder dir;
  fb::test::FakeClock clock;
  FakeBackend backend;
  Service service{dir};
  EnforcerOptions options;
  std::unique_ptr<Enforcer> enforcer;

  Host() {
    options.folder = dir / "f";
    options.protected_file = dir / "protected";
    options.probe = [](const std::string&) { return true; };
    options.resolve = [](const std::string& host) -> Result<std::vector<endpoint::Prefix>> {
      return fail(ErrorCode::unavailable, "no resolver in this test", host);
    };
    Identity identity;
    identity.agent_id = kAgent;
    identity.server = "https://192.0.2.10:8771";
    identity.trusted = service.keys();
    EXPECT_TRUE(keep_identity(options.folder, identity));
    restart();
  }
  void restart() {
    enforcer.reset();
    auto opened = Enforcer::open(options, backend, clock);
    ASSERT_TRUE(opened) << opened.error().describe();
    enforcer = std::move(*opened);
  }
  void reboot() {  // the kernel forgets
    enforcer.reset();
    backend.state = Isolation::released;
    restart();
  }
  Report carry(const Envelope& e) { return enforcer->carry(service.sign(e), {}); }
  Report isolate(const std::string& id, int64_t generation) { return carry(service.isolate(id, generation)); }
  Report release(const std::string& id, int64_t generation) { return carry(service.release(id, generation)); }
  EnforcementStatus status() {
    const auto s = enforcer->status();
    EXPECT_TRUE(s);
    return s.value_or(EnforcementStatus{});
  }
  bool has_problem(const std::string& part) {
    for (const std::string& problem : status().problems) {
      if (problem.find(part) != std::string::npos) return true;
    }
    return false;
  }
  void pass_ms(int64_t ms) {
    clock.advance_ms(ms);
    enforcer->tick();
  }
  std::string journal() const { return options.folder + "/journal.ndjson"; }
  size_t journal_lines(const std::string& id, const std::string& phase) const {
    size_t n = 0;
    for (const std::string& line : lines_of(journal())) {
      n += line.find("\"" + id + "\"") != std::string::npos &&
           line.find("\"phase\":\"" + phase + "\"") != std::string::npos;
    }
    return n;
  }
  size_t stored_orders() const {
    const std::filesystem::directory_iterator files(options.folder + "/orders");
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }
};

inline endpoint::Prefix prefix(const std::string& text) {
  const auto parsed = endpoint::parse_prefix(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(endpoint::Prefix{});
}

}  // namespace fb::agent::test
