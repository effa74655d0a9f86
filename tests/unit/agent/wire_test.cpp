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
  const auto enroll = read_enroll_request(write_enroll_request({"tok", agent()}));
  ASSERT_TRUE(enroll) << enroll.error().describe();
  EXPECT_EQ(enroll->token, "tok");
  EXPECT_EQ(enroll->agent.endpoint_id, "agent-1");
  EXPECT_EQ(enroll->agent.ips.size(), 2u);
  EXPECT_EQ(enroll->agent.hostname, agent().hostname);

  const auto reply = read_enroll_reply(write_enroll_reply({"agent-1", "secret", "PEM\n", 5000}));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->ca_certificate, "PEM\n");
  EXPECT_EQ(reply->heartbeat_interval_ms, 5000);

  Command c;
  c.action_id = "act";
  c.verb = Verb::release;
  c.endpoint_id = "agent-1";
  c.generation = 9;
  c.comment = "line\nbreak \"quoted\"";
  c.lease_ms = 3;
  c.expires_at_ms = 1'800'000'000'000;
  const auto command = read_command(write_command(c));
  ASSERT_TRUE(command) << command.error().describe();
  EXPECT_EQ(command->verb, Verb::release);
  EXPECT_EQ(command->comment, c.comment);
  EXPECT_EQ(command->generation, 9);
  EXPECT_EQ(command->expires_at_ms, c.expires_at_ms);

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
  const auto heartbeat = read_heartbeat(write_heartbeat(agent()));
  ASSERT_TRUE(heartbeat);
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
    EXPECT_FALSE(read_command(bad)) << bad;
    EXPECT_FALSE(read_enroll_request(bad)) << bad;
  }
  EXPECT_FALSE(read_command(std::string(60'000, '[')));
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
