#include "connectors/kafka/alert_publisher.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
// After rdkafka.h, as it demands.
#include <librdkafka/rdkafka_mock.h>

#include <map>
#include <mutex>
#include <set>

#include "tests/unit/kafka/harness.h"

namespace fb {
namespace {

using test::now_ms;

// An outbox as the record has it: rows leave it only when they are reported.
class Outbox {
 public:
  AlertPublisherHooks hooks() {
    AlertPublisherHooks h;
    h.take = [this](int64_t after, size_t max) -> Result<std::vector<OutboxRow>> {
      const std::lock_guard lock(mutex);
      if (takes_to_fail > 0) {
        --takes_to_fail;
        return fail(ErrorCode::busy, "locked", "record", Retry::yes);
      }
      std::vector<OutboxRow> out;
      for (auto it = rows.upper_bound(after); it != rows.end() && out.size() < max; ++it) out.push_back(it->second);
      largest_take = std::max(largest_take, out.size());
      return out;
    };
    h.delivered = [this](const std::vector<int64_t>& seqs) -> Status {
      const std::lock_guard lock(mutex);
      if (reports_to_fail > 0) {
        --reports_to_fail;
        return fail(ErrorCode::busy, "locked", "record", Retry::yes);
      }
      for (const int64_t seq : seqs) {
        EXPECT_EQ(rows.erase(seq), 1u) << "row " << seq << " was reported twice or never existed";
      }
      return {};
    };
    h.refused = [this](int64_t seq, const std::string&) {
      const std::lock_guard lock(mutex);
      refused.insert(seq);
    };
    return h;
  }
  void add(int64_t first, int64_t last, size_t pad = 0) {
    const std::lock_guard lock(mutex);
    for (int64_t i = first; i < last; ++i) {
      rows[i] = {i, "endpoint-" + std::to_string(i % 3),
                 "{\"alert\":" + std::to_string(i) + "}" + std::string(pad, ' ')};
    }
  }
  size_t size() {
    const std::lock_guard lock(mutex);
    return rows.size();
  }
  bool empties(int64_t timeout_ms = 20'000) {
    const int64_t end = now_ms() + timeout_ms;
    while (size() > 0 && now_ms() < end) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return size() == 0;
  }

  std::mutex mutex;
  std::map<int64_t, OutboxRow> rows;
  std::set<int64_t> refused;
  int takes_to_fail = 0;
  int reports_to_fail = 0;
  size_t largest_take = 0;
};

class AlertPublisherTest : public test::OnMock {
 protected:
  void SetUp() override {
    OnMock::SetUp();
    ASSERT_TRUE(broker->create_topic("alerts", 3));
  }
  AlertPublisherConfig alerts() const {
    AlertPublisherConfig c;
    c.properties = {{"bootstrap.servers", broker->bootstrap()},
                    {"reconnect.backoff.ms", "20"},
                    {"reconnect.backoff.max.ms", "200"}};
    c.topic = "alerts";
    c.poll_outbox_ms = 100;
    c.retry_wait_ms = 100;
    return c;
  }
  // What stands in the topic, by partition.
  std::map<int32_t, std::vector<std::string>> published(size_t at_least) {
    KafkaSourceConfig c = config();
    c.topics = {"alerts"};
    test::Offsets none;
    test::Reader reader(c, none);
    EXPECT_TRUE(reader.until_seen(at_least));
    reader.run_for(200);
    std::map<int32_t, std::vector<std::string>> out;
    for (const test::Seen& s : reader.seen) out[s.partition].push_back(s.value);
    return out;
  }
};

TEST_F(AlertPublisherTest, PublishesTheOutboxInOrderPerEndpointAndEmptiesIt) {
  Outbox outbox;
  outbox.add(1, 301);
  AlertPublisherConfig c = alerts();
  c.max_in_flight = 20;
  auto publisher = AlertPublisher::start(c, outbox.hooks());
  ASSERT_TRUE(publisher) << publisher.error().describe();
  EXPECT_TRUE(outbox.empties());
  outbox.add(301, 311);
  (*publisher)->wake();
  EXPECT_TRUE(outbox.empties(2000));
  (*publisher)->stop();
  EXPECT_EQ((*publisher)->delivered(), 310u);
  EXPECT_LE(outbox.largest_take, 20u);
  size_t count = 0;
  std::map<int64_t, int32_t> partition_of;  // one endpoint, one partition
  for (const auto& [partition, values] : published(310)) {
    count += values.size();
    std::map<int64_t, int64_t> last;
    for (const std::string& value : values) {
      const int64_t n = std::stoll(value.substr(9));
      EXPECT_GT(n, last[n % 3]) << "out of order";
      last[n % 3] = n;
      EXPECT_EQ(partition_of.try_emplace(n % 3, partition).first->second, partition);
    }
  }
  EXPECT_EQ(count, 310u);
}

TEST_F(AlertPublisherTest, RowsStayWhileKafkaIsAwayAndGoWhenItIsBack) {
  rd_kafka_mock_broker_set_down(broker->cluster(), -1);
  Outbox outbox;
  outbox.add(1, 51);
  AlertPublisherConfig c = alerts();
  c.delivery_timeout_ms = 1000;
  auto publisher = AlertPublisher::start(c, outbox.hooks());
  ASSERT_TRUE(publisher);
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  EXPECT_EQ(outbox.size(), 50u);
  EXPECT_FALSE((*publisher)->health().connected);
  EXPECT_FALSE((*publisher)->health().detail.empty());
  rd_kafka_mock_broker_set_up(broker->cluster(), -1);
  EXPECT_TRUE(outbox.empties());
  const int64_t end = now_ms() + 5000;
  while (!(*publisher)->health().connected && now_ms() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE((*publisher)->health().connected) << (*publisher)->health().detail;
  (*publisher)->stop();
}

TEST_F(AlertPublisherTest, StopsInTimeWhileKafkaIsAwayAndKeepsTheRows) {
  rd_kafka_mock_broker_set_down(broker->cluster(), -1);
  Outbox outbox;
  outbox.add(1, 1001);
  auto publisher = AlertPublisher::start(alerts(), outbox.hooks());
  ASSERT_TRUE(publisher);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const int64_t begin = now_ms();
  (*publisher)->stop();
  EXPECT_LT(now_ms() - begin, 6000);
  EXPECT_EQ(outbox.size(), 1000u);
  EXPECT_LE(outbox.largest_take, 500u);
}

TEST_F(AlertPublisherTest, BrokerErrorsAndABusyRecordLoseNothing) {
  const std::vector<rd_kafka_resp_err_t> errors(10, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
  rd_kafka_mock_push_request_errors_array(broker->cluster(), 0, errors.size(), errors.data());
  Outbox outbox;
  outbox.add(1, 101);
  outbox.takes_to_fail = 2;
  outbox.reports_to_fail = 2;
  auto publisher = AlertPublisher::start(alerts(), outbox.hooks());
  ASSERT_TRUE(publisher);
  EXPECT_TRUE(outbox.empties());
  (*publisher)->stop();
  std::set<std::string> distinct;
  for (const auto& [partition, values] : published(100)) distinct.insert(values.begin(), values.end());
  EXPECT_EQ(distinct.size(), 100u);
}

TEST_F(AlertPublisherTest, ARowThatIsTooLargeIsToldAndPassedOver) {
  Outbox outbox;
  outbox.add(1, 3);
  outbox.add(3, 4, 50'000);
  outbox.add(4, 6);
  AlertPublisherConfig c = alerts();
  c.properties["message.max.bytes"] = "20000";
  auto publisher = AlertPublisher::start(c, outbox.hooks());
  ASSERT_TRUE(publisher);
  EXPECT_TRUE(outbox.empties());
  (*publisher)->stop();
  EXPECT_EQ(outbox.refused, (std::set<int64_t>{3}));
}

TEST_F(AlertPublisherTest, RefusesToGiveUpItsGuarantees) {
  Outbox outbox;
  AlertPublisherConfig c = alerts();
  c.properties["enable.idempotence"] = "false";
  const auto refused = AlertPublisher::start(c, outbox.hooks());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().describe().find("enable.idempotence"), std::string::npos);
  c = alerts();
  c.topic = "";
  EXPECT_FALSE(AlertPublisher::start(c, outbox.hooks()));
}

}  // namespace
}  // namespace fb
