// The stream: what happens arrives in order with rising numbers, a client goes on where it was, and one that takes
// nothing holds up nobody.
#include <chrono>
#include <thread>

#include "api/response/event_hub.h"
#include "tests/unit/api_actions/api_fixture.h"

namespace fb::test {
namespace {

class FakeClient : public net::Responder {
 public:
  void answer(net::Response) override {}
  bool gone() const override { return gone_.load(); }
  void start(net::Response head) override {
    const std::lock_guard lock(mutex_);
    type_ = head.content_type;
  }
  void send(std::string piece) override {
    const std::lock_guard lock(mutex_);
    text_ += piece;
    if (stuck_) backlog_ += piece.size();
  }
  void finish() override { ended_.store(true); }
  size_t backlog() const override {
    const std::lock_guard lock(mutex_);
    return backlog_;
  }

  void leave() { gone_.store(true); }
  void get_stuck() { stuck_ = true; }
  bool ended() const { return ended_.load(); }
  std::string type() const {
    const std::lock_guard lock(mutex_);
    return type_;
  }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  // "id kind" of every event so far.
  std::vector<std::pair<int64_t, std::string>> events() const {
    std::vector<std::pair<int64_t, std::string>> list;
    const std::string all = text();
    for (size_t at = all.find("id: "); at != std::string::npos; at = all.find("\nid: ", at)) {
      if (all[at] == '\n') ++at;
      const int64_t id = std::stoll(all.substr(at + 4));
      const size_t line = all.find('\n', at) + 1;
      if (all.compare(line, 7, "event: ") == 0)
        list.emplace_back(id, all.substr(line + 7, all.find('\n', line) - line - 7));
    }
    return list;
  }

 private:
  mutable std::mutex mutex_;
  std::string type_;
  std::string text_;
  size_t backlog_ = 0;
  std::atomic<bool> gone_{false};
  std::atomic<bool> ended_{false};
  std::atomic<bool> stuck_{false};
};

// Says when it is given something.
class TellingClient final : public FakeClient {
 public:
  explicit TellingClient(std::function<void()> told) : told_(std::move(told)) {}
  void send(std::string piece) override {
    FakeClient::send(std::move(piece));
    told_();
  }

 private:
  const std::function<void()> told_;
};

template <class Condition>
bool soon(Condition condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

class StreamApi : public ApiTest {
 protected:
  std::shared_ptr<FakeClient> follow(const std::string& query = "",
                                     const std::map<std::string, std::string>& headers = {}) {
    const Answer answer = call("GET", "/api/stream" + query, nullptr, headers);
    EXPECT_TRUE(answer.raw.stream) << answer.raw.body;
    auto client = std::make_shared<FakeClient>();
    if (answer.raw.stream) answer.raw.stream(client);
    return client;
  }
  // The hub reads the store: it goes first.
  void TearDown() override { routes_ = api::Router(); }
};

TEST_F(StreamApi, AlertsActionsAndEndpointsArriveInOrder) {
  enroll("a");
  const auto client = follow();
  EXPECT_EQ(client->type(), "text/event-stream");
  keep(batch(rule("r1"), "a", 0));
  const std::string action = ask("SELECT action_id FROM actions");
  isolate_fully(action);
  ASSERT_TRUE(soon([&] { return client->text().find("released -> isolated") != std::string::npos; })) << client->text();
  const auto events = client->events();
  ASSERT_GE(events.size(), 4u);
  for (size_t i = 1; i < events.size(); ++i) EXPECT_EQ(events[i].first, events[i - 1].first + 1);
  EXPECT_EQ(events[0].second, "alert");
  EXPECT_EQ(events[1].second, "action");
  EXPECT_EQ(events.back().second, "endpoint");
  const std::string text = client->text();
  EXPECT_NE(text.find("\"rule_id\":\"r1\""), std::string::npos);
  EXPECT_NE(text.find("\"what\":\"verified\""), std::string::npos);
  EXPECT_EQ(text.find("\"what\":\"enrolled\""), std::string::npos);  // of before
}

TEST_F(StreamApi, AClientGoesOnWhereItWas) {
  const auto all = follow("?events=alert&after=0");
  for (int i = 0; i < 300; ++i) keep(batch(rule("r1"), "b" + std::to_string(i), i));
  ASSERT_TRUE(soon([&] { return all->events().size() == 300; })) << all->events().size();
  const auto events = all->events();
  const auto rest = follow("?events=alert", {{"last-event-id", std::to_string(events[149].first)}});
  ASSERT_TRUE(soon([&] { return rest->events().size() == 150; })) << rest->events().size();
  EXPECT_EQ(rest->events(), std::vector(events.begin() + 150, events.end()));
  // From another record: nothing of it is known here, so only what is new.
  const auto foreign = follow("", {{"last-event-id", "99999999"}});
  EXPECT_NE(foreign->text().find("id: " + std::to_string(store_->stream_head().value_or(-1)) + "\n"),
            std::string::npos);
  EXPECT_EQ(call("GET", "/api/stream", nullptr, {{"last-event-id", "x"}}).status, 400);
  EXPECT_EQ(call("GET", "/api/stream?events=rumours").status, 400);
}

TEST_F(StreamApi, ARequestThatJoinsAnotherActionIsTold) {
  enroll("a");
  const Json first = post("/api/endpoint/action/isolate", {{"endpoint_ids", {"a"}}}).body["data"];
  isolate_fully(action_of(first));
  const auto client = follow("?events=action");
  const Json second =
      post("/api/endpoint/action/isolate", {{"endpoint_ids", {"a"}}, {"comment", "again"}}).body["data"];
  ASSERT_TRUE(soon([&] { return !client->events().empty(); }));
  const std::string text = client->text();
  EXPECT_EQ(client->events().size(), 1u) << text;
  EXPECT_NE(text.find("\"what\":\"joined\""), std::string::npos) << text;
  EXPECT_NE(text.find("\"request_id\":" + second["id"].dump()), std::string::npos) << text;
  EXPECT_NE(text.find("\"action_id\":\"" + action_of(first) + "\""), std::string::npos) << text;
  EXPECT_NE(text.find("\"status\":\"verified\""), std::string::npos) << text;
}

TEST_F(StreamApi, OnlyWhatIsAskedForArrives) {
  enroll("a");
  const auto client = follow("?events=alert&after=0");
  keep(batch(rule("r1"), "a", 0));
  ASSERT_TRUE(soon([&] { return !client->events().empty(); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  ASSERT_EQ(client->events().size(), 1u);
  EXPECT_EQ(client->events()[0].second, "alert");
}

TEST_F(StreamApi, AClientThatTakesNothingHoldsUpNobodyAndIsGivenNoMore) {
  api::HubLimits limits;
  limits.poll_ms = 5;
  limits.max_backlog_bytes = 4096;
  api::EventHub hub(*store_, {limits.max_clients, limits.max_backlog_bytes, limits.poll_ms, 15'000, 60'000});
  const auto stuck = std::make_shared<FakeClient>();
  stuck->get_stuck();
  const auto quick = std::make_shared<FakeClient>();
  hub.add(stuck, 0, {"alert"});
  hub.add(quick, 0, {"alert"});
  for (int i = 0; i < 200; ++i) keep(batch(rule("r1"), "b", i));
  ASSERT_TRUE(soon([&] { return quick->events().size() == 200; })) << quick->events().size();
  EXPECT_LT(stuck->text().size(), 3 * limits.max_backlog_bytes);
  EXPECT_LT(stuck->events().size(), 100u);
}

// Many that come back at once after a long time, each at its own place, while one follows what happens now.
TEST_F(StreamApi, ThoseThatCatchUpDoNotHoldUpTheOneThatIsLive) {
  constexpr int kOld = 1000;
  constexpr int kFar = 8;
  BatchOutcome old;
  for (int i = 0; i < kOld; ++i) old.alerts.push_back(alert(rule("r1"), "b" + std::to_string(i), i));
  old.advances.push_back(advance(0, kOld));
  old.rule_set_hash = "rules-1";
  ASSERT_EQ(keep(old).new_alerts, static_cast<uint32_t>(kOld));

  // All on the hub's thread.
  std::vector<std::shared_ptr<TellingClient>> far;
  bool happened = false;
  std::atomic<int> behind{-1};  // how many were not there yet when the live one was told
  const auto happens = [&] {
    if (std::exchange(happened, true)) return;
    BatchOutcome one = batch(rule("r1"), "new", kOld);
    one.planned.clear();
    keep(one);
  };
  const auto live = std::make_shared<TellingClient>([&] {
    int count = 0;
    for (const auto& client : far) count += client->events().size() < static_cast<size_t>(kOld) - 10 ? 1 : 0;
    behind = count;
  });
  for (int i = 0; i < kFar; ++i) far.push_back(std::make_shared<TellingClient>(happens));
  api::EventHub hub(*store_, {kFar + 1, 1u << 20, 5, 60'000, 60'000});
  hub.add(live, store_->stream_head().value(), {"alert"});
  for (int i = 0; i < kFar; ++i) hub.add(far[static_cast<size_t>(i)], i, {"alert"});
  ASSERT_TRUE(soon([&] { return behind >= 0; }));
  EXPECT_EQ(behind, kFar);
  const std::string last = "id: " + std::to_string(store_->stream_head().value()) + "\nevent";
  ASSERT_TRUE(soon([&] {
    return std::all_of(far.begin(), far.end(),
                       [&](const auto& client) { return client->text().rfind(last) != std::string::npos; });
  }));
  for (int i = 0; i < kFar; ++i) {
    const auto events = far[static_cast<size_t>(i)]->events();
    EXPECT_EQ(events.size(), static_cast<size_t>(kOld + 1 - i)) << "each once";
    for (size_t n = 1; n < events.size(); ++n) ASSERT_EQ(events[n].first, events[n - 1].first + 1);
  }
  EXPECT_EQ(live->events().size(), 1u);
}

TEST_F(StreamApi, OtherKindsAreReadForTheirNumbersOnly) {
  enroll("a");
  keep(batch(rule("r1"), "a", 0));
  const auto all = store_->stream_events(0, 100).value();
  const auto alerts = store_->stream_events(0, 100, {"alert"}).value();
  ASSERT_EQ(alerts.size(), all.size());
  size_t with_data = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(alerts[i].seq, all[i].seq);
    EXPECT_FALSE(all[i].data.empty());
    EXPECT_EQ(alerts[i].data, all[i].kind == "alert" ? all[i].data : "");
    with_data += alerts[i].data.empty() ? 0 : 1;
  }
  EXPECT_EQ(with_data, 1u);
  EXPECT_GT(all.size(), 1u);
}

TEST_F(StreamApi, HeartbeatsTheEndAndThePlacesAreKept) {
  enroll("a");
  api::EventHub hub(*store_, {2, 65536, 5, 50, 400});
  const auto one = std::make_shared<FakeClient>();
  const auto two = std::make_shared<FakeClient>();
  EXPECT_TRUE(hub.has_room());
  hub.add(one, 1'000'000, {"alert"});
  hub.add(two, 0, {"alert"});
  EXPECT_FALSE(hub.has_room());
  EXPECT_TRUE(soon([&] { return one->text().find(": heartbeat\n\n") != std::string::npos; }));
  two->leave();
  EXPECT_TRUE(soon([&] { return hub.has_room(); }));
  EXPECT_FALSE(two->ended());
  EXPECT_TRUE(soon([&] { return one->ended(); }));  // after its longest time
}

}  // namespace
}  // namespace fb::test
