#include "actions/endpoint/wire.h"

#include <gtest/gtest.h>

#include "engine/base/digest.h"

namespace fb::endpoint {
namespace {

EndpointReport agent() {
  EndpointReport a;
  a.endpoint_id = "agent-1";
  a.host_id = "host-1";
  a.hostname = "d\xC3\xA9sk";
  a.os = "linux";
  a.ips = {"10.0.0.1", "fe80::1"};
  a.agent_version = "0.1.0";
  a.simulated = true;
  a.observed = Isolation::isolated;
  a.generation = 7;
  return a;
}

TEST(Wire, EverythingReadsBackAsItWasWritten) {
  const auto enroll = read_enroll_request(write_enroll_request({"tok", "CSR\n", agent()}));
  ASSERT_TRUE(enroll) << enroll.error().describe();
  EXPECT_EQ(enroll->token, "tok");
  EXPECT_EQ(enroll->csr, "CSR\n");
  EXPECT_EQ(enroll->agent.endpoint_id, "agent-1");
  EXPECT_EQ(enroll->agent.ips.size(), 2u);
  EXPECT_EQ(enroll->agent.hostname, agent().hostname);

  PublicKey key{};
  key[0] = 200;
  const auto reply = read_enroll_reply(write_enroll_reply({"agent-1", "CERT\n", "PEM\n", {{key_id(key), key}}, 5000}));
  ASSERT_TRUE(reply) << reply.error().describe();
  EXPECT_EQ(reply->certificate, "CERT\n");
  EXPECT_EQ(reply->ca_certificate, "PEM\n");
  EXPECT_EQ(reply->signing_keys, (KeySet{{key_id(key), key}}));
  EXPECT_EQ(reply->heartbeat_interval_ms, 5000);
  EXPECT_FALSE(read_enroll_reply(write_enroll_reply({"agent-1", "C", "P", {{"another name", key}}, 5000})));
  EXPECT_FALSE(read_enroll_reply(write_enroll_reply({"agent-1", "C", "P", {}, 5000}))) << "nobody to obey";

  const auto order = read_order(write_order({"fbe1.x", "act", 9}));
  ASSERT_TRUE(order);
  EXPECT_EQ(order->envelope, "fbe1.x");
  EXPECT_EQ(order->action_id, "act");
  EXPECT_EQ(order->generation, 9);
  const auto answer = read_heartbeat_reply(write_heartbeat_reply({700, "fbe1.y", true}));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->heartbeat_interval_ms, 700);
  EXPECT_EQ(answer->envelope, "fbe1.y");
  EXPECT_TRUE(answer->renew);
  EXPECT_EQ(*read_one("csr", write_one("csr", "a\nb")), "a\nb");

  for (const auto kind : {Report::Kind::accepted, Report::Kind::done, Report::Kind::failed, Report::Kind::refused}) {
    Report r;
    r.kind = kind;
    r.action_id = "act";
    r.observed = Isolation::released;
    r.generation = 4;
    r.message = "why";
    const auto report = read_report(write_report(r));
    ASSERT_TRUE(report);
    EXPECT_EQ(report->kind, kind);
    EXPECT_EQ(report->observed, Isolation::released);
    EXPECT_EQ(report->message, "why");
  }
  // The service's own refusal is nothing that an agent can say.
  const auto forged = read_report(
      R"({"kind":"refused","action_id":"act","observed":"unknown","generation":1,"withheld":"protected_endpoint",)"
      R"("attempt":1,"message":"protected since it was sent"})");
  ASSERT_TRUE(forged);
  EXPECT_EQ(forged->withheld, Guard::none);
  EXPECT_EQ(forged->attempt, 0);
  EndpointReport full = agent();
  full.epoch = 3;
  full.revision = 41;
  full.rule_digest = "aa";
  full.policy_digest = "bb";
  full.drops = 17;
  full.drift_events = 2;
  full.lease_left_ms = 60'000;
  full.problems = {"raw sockets not covered"};
  full.instance = "0123abcd";
  full.clock_ms = 1'767'225'600'000;
  full.local_release = {7, 2, "break_glass", "ABCDE-FGHJK", 1'800'000'000'000};
  const auto heartbeat = read_heartbeat(write_heartbeat(full));
  ASSERT_TRUE(heartbeat) << heartbeat.error().describe();
  EXPECT_EQ(heartbeat->epoch, 3);
  EXPECT_EQ(heartbeat->revision, 41);
  EXPECT_EQ(heartbeat->rule_digest, "aa");
  EXPECT_EQ(heartbeat->policy_digest, "bb");
  EXPECT_EQ(heartbeat->drops, 17);
  EXPECT_EQ(heartbeat->drift_events, 2);
  EXPECT_EQ(heartbeat->lease_left_ms, 60'000);
  EXPECT_EQ(heartbeat->problems, full.problems);
  EXPECT_EQ(heartbeat->instance, full.instance);
  EXPECT_EQ(heartbeat->clock_ms, full.clock_ms);
  EXPECT_EQ(heartbeat->local_release.generation, 7);
  EXPECT_EQ(heartbeat->local_release.sequence, 2);
  EXPECT_EQ(heartbeat->local_release.how, "break_glass");
  EXPECT_EQ(heartbeat->local_release.proof, "ABCDE-FGHJK");
  EXPECT_EQ(heartbeat->local_release.at_ms, full.local_release.at_ms);
  EXPECT_TRUE(heartbeat->simulated);
  EXPECT_EQ(heartbeat->generation, 7);
}

TEST(Wire, ABrokenBodyIsRefusedByTheNameOfItsKey) {
  const std::string good = write_heartbeat(agent());
  ASSERT_TRUE(read_heartbeat(good));
  const struct {
    const char* from;
    const char* to;
    const char* key;
  } cases[] = {
      {"\"host-1\"", "7", "host_id"},
      {"\"host-1\"", "\"a b\"", "host_id"},
      {"\"linux\"", "\"\"", "os"},
      {"true", "\"yes\"", "simulated"},
      {"\"isolated\"", "\"cut\"", "observed"},
      {"\"isolated\"", "\"ISOLATED\"", "observed"},
      {":7", ":-7", "generation"},
      {":7", ":7.5", "generation"},
      {":7", ":99999999999999999999", "generation"},
      {"\"10.0.0.1\"", "\"10.0.0.1; rm\"", "ips"},
      {"\"10.0.0.1\"", "{}", "ips"},
      {"\"hostname\":", "\"hostnam\":", "hostname"},
  };
  for (const auto& c : cases) {
    std::string bad = good;
    const size_t at = bad.find(c.from);
    ASSERT_NE(at, std::string::npos) << c.from;
    bad.replace(at, std::string(c.from).size(), c.to);
    const auto read = read_heartbeat(bad);
    ASSERT_FALSE(read) << bad;
    EXPECT_NE(read.error().message.find(std::string("'") + c.key + "'"), std::string::npos) << read.error().message;
  }
  for (const char* bad : {"", "[]", "null", "{", "\"x\"", "{}", "{\"kind\":\"state\"}", "{\"kind\":\"DONE\"}"}) {
    EXPECT_FALSE(read_report(bad)) << bad;
    EXPECT_FALSE(read_order(bad)) << bad;
    EXPECT_FALSE(read_heartbeat_reply(bad)) << bad;
    EXPECT_FALSE(read_enroll_request(bad)) << bad;
  }
  EXPECT_FALSE(read_order(std::string(60'000, '[')));
}

TEST(Wire, ATokenCarriesTheFingerprintAndIsDifferentEachTime) {
  const std::string fingerprint = hex(sha256("ca"));
  const std::string token = make_token(fingerprint);
  EXPECT_EQ(token_fingerprint(token), fingerprint);
  EXPECT_NE(make_token(fingerprint), token);
  EXPECT_EQ(token_hash(token).size(), 64u);
  for (const char* none : {"", "plain", "fbt1.", "fbt1.abc.def"}) EXPECT_EQ(token_fingerprint(none), "");
}

}  // namespace
}  // namespace fb::endpoint
