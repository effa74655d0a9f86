#include <gtest/gtest.h>

#include "connectors/kafka/client_stats.h"
#include "connectors/kafka/kafka_source.h"
#include "connectors/kafka/start_decision.h"

namespace fb {
namespace {

KafkaProperties with(const std::string& name, const std::string& value) {
  return {{"bootstrap.servers", "127.0.0.1:1"}, {name, value}};
}

TEST(KafkaProperties, PassesLibrdkafkasOwnNamesThrough) {
  EXPECT_TRUE(check_kafka_properties({{"bootstrap.servers", "a:9092,b:9092"},
                                      {"security.protocol", "sasl_ssl"},
                                      {"sasl.mechanisms", "SCRAM-SHA-512"},
                                      {"sasl.username", "firebreak"},
                                      {"sasl.password", "secret"},
                                      {"ssl.ca.location", "/etc/ssl/certs"},
                                      {"session.timeout.ms", "10000"},
                                      {"client.id", "me"}}));
}

TEST(KafkaProperties, WantsABroker) {
  const Status s = check_kafka_properties({{"client.id", "me"}});
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(s.error().describe().find("bootstrap.servers"), std::string::npos);
}

TEST(KafkaProperties, RefusesByNameWhatWouldBreakThePromises) {
  const std::vector<std::pair<std::string, std::string>> refused = {
      {"enable.auto.commit", "true"},
      {"enable.auto.commit", "1"},
      {"enable.auto.offset.store", "true"},
      {"auto.offset.reset", "latest"},
      {"auto.offset.reset", "error"},  // ours to decide, even when it agrees
      {"partition.assignment.strategy", "cooperative-sticky"},
      {"partition.assignment.strategy", "range,roundrobin"},
      {"isolation.level", "read_uncommitted"},
      {"check.crcs", "false"},
      {"group.id", "other"},
      {"enable.ssl.certificate.verification", "false"},
      {"enable.ssl.certificate.verification", "f"},
      {"ssl.endpoint.identification.algorithm", "none"},
  };
  for (const auto& [name, value] : refused) {
    const Status s = check_kafka_properties(with(name, value));
    ASSERT_FALSE(s) << name << "=" << value;
    EXPECT_EQ(s.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(s.error().describe().find(name), std::string::npos) << s.error().describe();
  }
}

TEST(KafkaProperties, AcceptsARequiredValueThatAgrees) {
  EXPECT_TRUE(check_kafka_properties(with("enable.auto.commit", "false")));
  EXPECT_TRUE(check_kafka_properties(with("enable.auto.commit", "0")));
  EXPECT_TRUE(check_kafka_properties(with("partition.assignment.strategy", "range")));
}

TEST(KafkaProperties, NamesAMisspeltPropertyAndABadValue) {
  const Status unknown = check_kafka_properties(with("bootstrap.server", "x"));
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().describe().find("bootstrap.server"), std::string::npos);
  const Status bad = check_kafka_properties(with("session.timeout.ms", "soon"));
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().describe().find("session.timeout.ms"), std::string::npos);
}

TEST(KafkaSourceOpen, RefusesAnIncompleteConfiguration) {
  KafkaSourceHooks hooks;
  hooks.stored = [](auto&&...) -> Result<std::optional<int64_t>> { return std::optional<int64_t>(); };
  KafkaSourceConfig c;
  c.properties = {{"bootstrap.servers", "127.0.0.1:1"}};
  c.group = "g";
  EXPECT_EQ(KafkaSource::open(c, hooks, system_clock()).error().context, "kafka.topics");
  c.topics = {"t"};
  c.group = "";
  EXPECT_EQ(KafkaSource::open(c, hooks, system_clock()).error().context, "kafka.group");
  c.group = "g";
  c.properties["max.poll.interval.ms"] = "1000";  // less than the session's timeout: only the whole shows it
  EXPECT_FALSE(KafkaSource::open(c, hooks, system_clock()));
}

// ---- Where a partition starts. The log holds [100, 200).

StartFacts facts(std::optional<int64_t> stored, std::optional<int64_t> committed) {
  StartFacts f;
  f.stored = stored;
  f.committed = committed;
  f.low = 100;
  f.high = 200;
  return f;
}

TEST(StartDecision, TakesTheGreaterOfRecordAndGroup) {
  EXPECT_EQ(decide_start(facts(150, 120)).start, 150);
  EXPECT_EQ(decide_start(facts(150, std::nullopt)).start, 150);
  EXPECT_EQ(decide_start(facts(std::nullopt, 120)).start, 120);
  EXPECT_EQ(decide_start(facts(120, 150)).start, 150);
  EXPECT_FALSE(decide_start(facts(150, 120)).gap);
  EXPECT_EQ(decide_start(facts(200, 200)).start, 200);  // at the end: nothing to read yet
  EXPECT_FALSE(decide_start(facts(200, 200)).gap);
}

TEST(StartDecision, TellsWhatTheRecordDoesNotHave) {
  const StartDecision d = decide_start(facts(120, 150));
  ASSERT_TRUE(d.gap);
  EXPECT_EQ(d.gap->kind, GapKind::record_behind);
  EXPECT_EQ(d.gap->first, 120);
  EXPECT_EQ(d.gap->last, 150);
  EXPECT_EQ(d.handled, 120);
  EXPECT_FALSE(d.stopped);
  StartFacts rewind = facts(120, 150);
  rewind.from_record = true;
  EXPECT_EQ(decide_start(rewind).start, 120);
  EXPECT_FALSE(decide_start(rewind).gap);
  rewind.stored.reset();  // nothing to go back to
  EXPECT_EQ(decide_start(rewind).start, 150);
}

TEST(StartDecision, PolicyHoldsOnlyForPartitionsNobodyRead) {
  StartFacts f = facts(std::nullopt, std::nullopt);
  EXPECT_EQ(decide_start(f).start, 100);
  f.start = StartPolicy::latest;
  EXPECT_EQ(decide_start(f).start, 200);
  EXPECT_TRUE(decide_start(f).fresh);
  f.topic_known = true;  // added to a topic that is being read
  EXPECT_EQ(decide_start(f).start, 100);
  EXPECT_EQ(decide_start(f).handled, 100);
  f.committed = 0;
  f.low = 0;
  EXPECT_EQ(decide_start(f).start, 0);  // zero is an offset, not "none"
}

TEST(StartDecision, ALogThatBeginsLaterIsAGap) {
  StartFacts f = facts(60, 50);
  StartDecision d = decide_start(f);
  ASSERT_TRUE(d.gap);
  EXPECT_EQ(d.gap->kind, GapKind::log_start);
  EXPECT_EQ(d.gap->first, 60);
  EXPECT_EQ(d.gap->last, 100);
  EXPECT_EQ(d.start, 100);
  EXPECT_EQ(d.handled, 60);
  EXPECT_FALSE(d.stopped);
  f.gap = GapPolicy::stop;
  EXPECT_TRUE(decide_start(f).stopped);
}

TEST(StartDecision, ALogThatEndsBeforeUsIsNeverReadOn) {
  for (const GapPolicy policy : {GapPolicy::carry_on, GapPolicy::stop}) {
    StartFacts f = facts(201, std::nullopt);
    f.gap = policy;
    const StartDecision d = decide_start(f);
    ASSERT_TRUE(d.gap);
    EXPECT_EQ(d.gap->kind, GapKind::beyond_end);
    EXPECT_TRUE(d.stopped);
    EXPECT_EQ(d.start, 201);
  }
}

// ---- The client's statistics

TEST(ClientStats, FindsBrokersThatAreUpAndTheirPartitions) {
  const kafka::ClientStats s = kafka::parse_client_stats(R"({"brokers":{
      "a:1/1":{"nodeid":1,"state":"UP","rxidle":250000},
      "b:1/2":{"nodeid":2,"state":"DOWN","rxidle":90000000},
      "GroupCoordinator":{"nodeid":-1,"state":"INIT","rxidle":-1}},
    "topics":{"t":{"partitions":{"0":{"partition":0,"leader":1},"1":{"partition":1,"leader":2},
      "-1":{"partition":-1,"leader":-1}}}}})");
  EXPECT_TRUE(s.any_broker_up);
  EXPECT_EQ(s.leader_silence_ms.size(), 1u);
  EXPECT_EQ(s.leader_silence_ms.at({"t", 0}), 250);
}

TEST(ClientStats, BadTextMeansNothingIsKnown) {
  for (const char* text :
       {"", "{", "[]", "{\"brokers\":7,\"topics\":[]}", "{\"brokers\":{\"a\":1},\"topics\":{\"t\":2}}"}) {
    const kafka::ClientStats s = kafka::parse_client_stats(text);
    EXPECT_FALSE(s.any_broker_up) << text;
    EXPECT_TRUE(s.leader_silence_ms.empty()) << text;
  }
}

}  // namespace
}  // namespace fb
