// Certificates of agents over their life: renewal, an end that was missed, what an expired one may still do.
#include <gtest/gtest.h>

#include <filesystem>

#include "apps/enforcer/enforcer.h"
#include "engine/net/http.h"
#include "tests/unit/agent/gateway_support.h"

namespace fb::agent {
namespace {

using test::command;
using test::eventually;
using test::get_file;
using test::put_file;
using test::RunningAgent;
using test::Service;

std::string fingerprint_of(const RunningAgent& agent) {
  return *net::certificate_fingerprint(agent.options.state_dir + "/identity.pem");
}

TEST(Certificate, IsRenewedWhenAskedAndTheOldOneIsRevokedByTheFirstUseOfTheNew) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.start();
  ASSERT_TRUE(agent.polls());
  const std::string old = fingerprint_of(agent);
  EXPECT_EQ(*service.store().use_certificate(old), "a1");
  service.plugin->ask_renewal("a1");
  ASSERT_TRUE(eventually([&] { return fingerprint_of(agent) != old; }));
  EXPECT_TRUE(eventually([&] { return service.store().use_certificate(old)->empty(); }));
  EXPECT_EQ(*service.store().use_certificate(fingerprint_of(agent)), "a1");
  EXPECT_EQ(service.audited("certificate_renewed", "a1"), 1);
  ASSERT_TRUE(service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
  EXPECT_EQ(service.wait_for_end("i1").kind, Report::Kind::done) << "it goes on without a gap";
  EXPECT_FALSE(std::filesystem::exists(agent.options.state_dir + "/next.key"));
  const std::string identity = get_file(agent.options.state_dir + "/identity.pem");
  EXPECT_NE(identity.find("PRIVATE KEY"), std::string::npos);
  EXPECT_EQ(service.plugin->stats().auth_failures, 0u);
}

TEST(Certificate, IsRenewedByItselfAfterTwoThirdsOfItsLife) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  const std::string old = fingerprint_of(agent);
  // As if it had been given out long ago.
  std::string state = get_file(agent.options.state_dir + "/agent.json");
  const size_t at = state.find("\"renew_at_ms\": ");
  ASSERT_NE(at, std::string::npos);
  state = state.substr(0, at) + "\"renew_at_ms\": 1000\n}\n";
  put_file(agent.options.state_dir + "/agent.json", state);
  agent.start();
  EXPECT_TRUE(eventually([&] { return fingerprint_of(agent) != old; }));
  ASSERT_TRUE(eventually([&] { return service.audited("certificate_renewed", "a1") >= 1; }));
  usleep(500'000);
  EXPECT_EQ(service.audited("certificate_renewed", "a1"), 1) << "once, not with every heartbeat";
}

// This one is at its end when it is given out; to a host whose clock is wrong the ends of a life say nothing anyway.
TEST(Certificate, OnlyTheLengthOfItsLifeSaysWhenItIsRenewed) {
  Service service;
  service.options.certificate_days = 0;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  const auto facts = net::certificate_facts(agent.options.state_dir + "/identity.pem");
  ASSERT_TRUE(facts);
  const std::string state = get_file(agent.options.state_dir + "/agent.json");
  const size_t at = state.find("\"renew_at_ms\": ");
  ASSERT_NE(at, std::string::npos);
  const int64_t renew_at = std::stoll(state.substr(at + 15));
  const int64_t life = facts->not_after_ms - facts->not_before_ms;
  EXPECT_NEAR(static_cast<double>(renew_at - system_clock().wall_ms()), static_cast<double>(life) / 3 * 2, 60'000);
}

TEST(Certificate, AnExpiredOneFetchesReleasesAndRenews) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  // The same agent with a certificate whose end has passed.
  const std::string key = service.dir / "old.key";
  const auto csr = net::make_certificate_request(key);
  ASSERT_TRUE(csr);
  const int64_t past = system_clock().wall_ms() - 60'000;
  const auto expired = net::sign_client_certificate(service.dir / "ca.pem", service.dir / "ca.key", *csr, "a1", past);
  ASSERT_TRUE(expired) << expired.error().describe();
  ASSERT_TRUE(service.store().add_certificate("a1", expired->sha256, past));
  put_file(service.dir / "old.pem", expired->pem + get_file(key));
  net::ClientOptions options;
  options.ca_file = service.dir / "ca.pem";
  options.client_certificate_file = options.client_key_file = service.dir / "old.pem";
  net::HttpClient client(options);
  const auto poll = [&] { return client.request("GET", service.url() + "/v1/commands?wait=0", {}, ""); };
  ASSERT_TRUE(poll()) << poll().error().describe();
  EXPECT_EQ(poll()->status, 204);
  ASSERT_EQ(*service.plugin->send(command("i1", Verb::isolate, "a1", 1)), SendOutcome::sent);
  EXPECT_EQ(poll()->status, 204) << "no isolation for it";
  ASSERT_EQ(*service.plugin->send(command("r2", Verb::release, "a1", 2)), SendOutcome::sent);
  const auto release = poll();
  ASSERT_EQ(release->status, 200);
  EXPECT_EQ(endpoint::read_order(release->body)->action_id, "r2");
  EndpointReport beat;
  beat.host_id = agent.options.host.host_id;
  beat.hostname = "a1.example";
  beat.os = "linux";
  beat.agent_version = "1";
  const auto beaten = client.request("POST", service.url() + "/v1/heartbeat", {}, endpoint::write_heartbeat(beat));
  ASSERT_TRUE(beaten);
  const auto told = endpoint::read_heartbeat_reply(beaten->body);
  ASSERT_TRUE(told) << beaten->body;
  EXPECT_TRUE(told->renew) << "by its own clock it may not know";
  const auto next = net::make_certificate_request(service.dir / "new.key");
  const auto renewed = client.request("POST", service.url() + "/v1/renew", {}, endpoint::write_one("csr", *next));
  ASSERT_TRUE(renewed);
  EXPECT_EQ(renewed->status, 200) << renewed->body;
  EXPECT_NE(endpoint::read_one("certificate", renewed->body)->find("BEGIN CERTIFICATE"), std::string::npos);
}

TEST(Helper, EnrolmentTellsItWhomToObeyAndSaysSoWhenItMayNot) {
  Service service;
  service.start();
  RunningAgent agent(service, "a1");
  agent.options.backend = kNftables;
  agent.options.helper_socket = service.dir / "no-helper.sock";
  put_file(service.dir / "file", "in the way");
  agent.options.helper_folder = service.dir / "file/helper";
  const auto refused = enroll_agent(agent.options, {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("as root"), std::string::npos) << refused.error().message;
  const Status run = run_agent(agent.options, {});
  ASSERT_FALSE(run) << "it can't mend that by waiting";
  EXPECT_NE(run.error().message.find("as root"), std::string::npos);
  EXPECT_EQ(service.plugin->stats().enrolled, 0u) << "the token was not wasted on it";

  agent.options.helper_folder = service.dir / "helper";
  ASSERT_TRUE(enroll_agent(agent.options, {}));
  const auto identity = read_identity(agent.options.helper_folder);
  ASSERT_TRUE(identity) << identity.error().describe();
  EXPECT_EQ(identity->agent_id, "a1");
  EXPECT_EQ(identity->server, service.url());
  EXPECT_TRUE(identity->trusted.contains(service.options.signers.front()->kid()));
  agent.start();
  EXPECT_TRUE(eventually([&] { return service.at("a1").status == AgentStatus::unhealthy; }))
      << "a helper that does not answer is told, not kept silent";
  EXPECT_FALSE(service.at("a1").simulated);
}

}  // namespace
}  // namespace fb::agent
