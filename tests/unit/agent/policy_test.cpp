// Orders over the whole way, service to enforcer: policies that change, keys that rotate, epochs that were lost, local
// releases.
#include <gtest/gtest.h>

#include "apps/enforcer/enforcer.h"
#include "engine/record/sqlite.h"
#include "tests/unit/agent/gateway_support.h"

namespace fb::agent {
namespace {

using test::command;
using test::eventually;
using test::get_file;
using test::RunningAgent;
using test::Service;

endpoint::CutPolicy policy_with(const std::string& exception) {
  endpoint::CutPolicy p;
  p.exceptions = {exception};
  return p;
}

std::string digest_of(const Service& service, const std::string& id) {
  const auto db = record::Sqlite::open(service.store().db_path(), record::Sqlite::Open::read_only, 1000);
  const auto text = (*db)->text("SELECT policy_digest FROM endpoints WHERE endpoint_id = ?", id);
  return text && *text ? **text : std::string();
}

TEST(Policy, AChangeReachesAnIsolatedHostAtOnceAndOneThatWasAwayWhenItIsBack) {
  Service service;
  service.start();
  service.set_policy(policy_with("192.0.2.1"));
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(agent.polls());
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  EXPECT_EQ(service.wait_for_end("i1").kind, Report::Kind::done);
  ASSERT_TRUE(eventually([&] { return digest_of(service, "a1") == digest(policy_with("192.0.2.1")); }));
  service.set_policy(policy_with("192.0.2.2"));
  EXPECT_TRUE(eventually([&] { return digest_of(service, "a1") == digest(policy_with("192.0.2.2")); }));
  agent.stop();
  service.set_policy(policy_with("192.0.2.3"));
  agent.start();
  EXPECT_TRUE(eventually([&] { return digest_of(service, "a1") == digest(policy_with("192.0.2.3")); }, 10'000));
  ASSERT_TRUE(service.plugin->send(command("r2", Verb::release, "a1", 2)));
  EXPECT_EQ(service.wait_for_end("r2").observed, Isolation::released);
  EXPECT_TRUE(eventually([&] { return digest_of(service, "a1").empty(); }));
}

TEST(Policy, AChangeRightAfterAnIsolationDoesNotWaitForAHeartbeat) {
  Service service;
  service.start();
  service.set_policy(policy_with("192.0.2.1"));
  RunningAgent agent(service, "a1");
  agent.options.heartbeat_ms = 60'000;
  agent.start();
  ASSERT_TRUE(agent.polls());
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  EXPECT_EQ(service.wait_for_end("i1").kind, Report::Kind::done);
  service.set_policy(policy_with("192.0.2.2"));
  const std::string journal = agent.options.state_dir + "/enforcer/journal.ndjson";
  EXPECT_TRUE(eventually([&] {
    const std::string lines = get_file(journal);
    const size_t update = lines.find("update_allow_set");
    return update != std::string::npos && lines.find("\"result\":\"done\"", update) != std::string::npos;
  }));
}

TEST(Keys, ANewKeySignsWhenTheHostKnowsItAndTheOldOneCanGo) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(agent.polls());
  const auto trusted = [&] { return read_identity(agent.options.state_dir + "/enforcer")->trusted; };
  ASSERT_EQ(trusted().size(), 1u);
  const auto old = service.options.signers.front();
  const auto fresh = service.new_signer("signing-2.key");
  service.plugin->replace_signers({fresh, old});
  ASSERT_TRUE(eventually([&] { return trusted().size() == 2; })) << "by a heartbeat's answer";
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  EXPECT_EQ(service.wait_for_end("i1").kind, Report::Kind::done);
  service.plugin->replace_signers({fresh});
  ASSERT_TRUE(eventually([&] { return trusted().size() == 1; }));
  EXPECT_TRUE(trusted().contains(fresh->kid()));
  ASSERT_TRUE(service.plugin->send(command("r2", Verb::release, "a1", 2)));
  EXPECT_EQ(service.wait_for_end("r2").kind, Report::Kind::done);
}

TEST(Keys, AForeignKeyIsObeyedByNobody) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(agent.polls());
  service.plugin->replace_signers({service.new_signer("thief.key")});
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  const Report end = [&] {
    EXPECT_TRUE(eventually([&] { return service.finished("i1"); }, 20'000));
    return service.reports("i1").back();
  }();
  EXPECT_EQ(end.kind, Report::Kind::refused);
  EXPECT_NE(end.message.find("not trusted"), std::string::npos) << end.message;
  EXPECT_EQ(service.at("a1").observed, Isolation::released);
}

// The record was restored from a backup: hosts have seen higher epochs than it knows.
TEST(Epoch, ARecordThatWentBackIsRaisedAndItsOrdersCountAgain) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(agent.polls());
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  EXPECT_EQ(service.wait_for_end("i1").kind, Report::Kind::done);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(service.store().raise_epoch(0));
  service.stop();
  service.start();
  ASSERT_TRUE(eventually([&] { return service.plugin->stats().heartbeats >= 2; }));
  ASSERT_TRUE(service.plugin->send(command("i2", Verb::release, "a1", 2)));
  EXPECT_EQ(service.wait_for_end("i2").kind, Report::Kind::done) << "the epoch is high now";
  service.stop();
  {
    const auto db = record::Sqlite::open(service.store().db_path(), record::Sqlite::Open::read_write, 1000);
    ASSERT_TRUE((*db)->run("UPDATE settings SET value = '1' WHERE key = 'epoch'"));
    ASSERT_TRUE((*db)->run("UPDATE endpoints SET epoch = 0"));
  }
  service.start();
  ASSERT_TRUE(service.plugin->send(command("i3", Verb::isolate, "a1", 3)));
  const Report end = service.wait_for_end("i3");
  EXPECT_EQ(end.kind, Report::Kind::done) << end.message;
}

TEST(Epoch, AHostThatWasToldATimeAheadIsSetRightAndIsolated) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(agent.polls());
  agent.stop();
  {
    const auto backend = make_simulated_backend(agent.options.state_dir);
    EnforcerOptions options;
    options.folder = agent.options.state_dir + "/enforcer";
    const auto enforcer = Enforcer::open(options, *backend, system_clock());
    ASSERT_TRUE(enforcer) << enforcer.error().describe();
    endpoint::Envelope ahead;
    ahead.order = endpoint::Order::status;
    ahead.agent_id = "a1";
    ahead.epoch = (*enforcer)->status()->epoch;
    ahead.revision = (*enforcer)->status()->revision + 1;
    ahead.issued_at_ms = system_clock().wall_ms() + 10LL * 365 * 86'400'000;
    ahead.nonce = std::string(16, 'n');
    ASSERT_EQ((*enforcer)->carry(service.options.signers.front()->sign(ahead), {}).kind, Report::Kind::state);
  }
  agent.start();
  ASSERT_TRUE(agent.polls());
  Command isolate = command("i1", Verb::isolate, "a1", 1);
  isolate.expires_at_ms = system_clock().wall_ms() + 600'000;
  ASSERT_TRUE(service.plugin->send(isolate));
  const Report end = service.wait_for_end("i1");
  EXPECT_EQ(end.kind, Report::Kind::done) << end.message;
  EXPECT_EQ(end.observed, Isolation::isolated);
}

TEST(LocalRelease, IsToldJudgedAndAcknowledged) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(agent.polls());
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  EXPECT_EQ(service.wait_for_end("i1").kind, Report::Kind::done);
  agent.stop();
  // What the helper does with a code, on the enforcer of this agent.
  const auto backend = make_simulated_backend(agent.options.state_dir);
  {
    EnforcerOptions options;
    options.folder = agent.options.state_dir + "/enforcer";
    const auto enforcer = Enforcer::open(options, *backend, system_clock());
    ASSERT_TRUE(enforcer) << enforcer.error().describe();
    EXPECT_FALSE((*enforcer)->break_glass("WRONG"));
    const Status released =
        (*enforcer)->break_glass(endpoint::break_glass_code(service.options.break_glass_secret, "a1", 1));
    ASSERT_TRUE(released) << released.error().describe();
    EXPECT_EQ((*enforcer)->status()->local_release.how, "break_glass");
  }
  agent.start();
  EXPECT_TRUE(eventually([&] { return service.audited("released_locally", "a1") == 1; }));
  const std::string state = agent.options.state_dir + "/enforcer/state.json";
  EXPECT_TRUE(eventually([&] { return get_file(state).find("break_glass") == std::string::npos; }))
      << "acknowledged: " << get_file(state);
  EXPECT_EQ(service.audited("released_locally", "a1"), 1);
}

}  // namespace
}  // namespace fb::agent
