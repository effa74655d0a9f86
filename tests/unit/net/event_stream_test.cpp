// Server-sent events on the client's side: however the bytes are cut, the same events come out.
#include "engine/net/event_stream.h"

#include <gtest/gtest.h>

#include <mutex>

#include "tests/unit/net/net_support.h"

namespace fb::net::test {
namespace {

using Events = std::vector<std::string>;  // "id|name|data"

std::string shown(const ServerEvent& e) {
  return e.id + "|" + e.name + "|" + e.data;
}

Events parsed(std::string_view text, size_t piece_bytes) {
  EventParser parser;
  Events events;
  for (size_t at = 0; at < text.size(); at += piece_bytes) {
    EXPECT_TRUE(parser.feed(text.substr(at, piece_bytes), [&](const ServerEvent& e) {
      events.push_back(shown(e));
      return true;
    }));
  }
  return events;
}

TEST(EventParser, PiecesOfAnySizeGiveTheSameEvents) {
  const std::string text =
      "retry: 2000\nid: 7\n: following\n\nid: 8\nevent: alert\ndata: {\"a\":1}\n\nid: 9\r\nevent: action\r\ndata:x\r\n"
      "data: y\r\n\r\ndata\n\nid: 10\n: heartbeat\n\nevent: endpoint\rdata: z\r\r";
  const Events expected{"8|alert|{\"a\":1}", "9|action|x\ny", "9|message|", "10|endpoint|z"};
  for (size_t n = 1; n <= text.size(); ++n) EXPECT_EQ(parsed(text, n), expected) << n << " bytes at once";
}

TEST(EventParser, AnEventThatIsNotOverIsNotTold) {
  EXPECT_EQ(parsed("id: 1\nevent: alert\ndata: {}\n", 64), Events{});
}

TEST(EventParser, TheIdOfAHeartbeatAndTheRetryAreKept) {
  EventParser parser;
  const auto nobody = [](const ServerEvent&) { return true; };
  EXPECT_TRUE(parser.feed("retry: 2000\nid: 42\n: heartbeat\n\nretry: soon\n\n", nobody));
  EXPECT_EQ(parser.last_id(), "42");
  EXPECT_EQ(parser.retry_ms(), 2000);
}

// Else who goes on after that id never gets the event.
TEST(EventParser, TheIdOfAnEventThatWasCutOffIsNotKept) {
  const std::string text = "id: 7\ndata: a\n\nid: 8\nevent: alert\ndata: b\n\n";
  const std::string whole = "id: 7\ndata: a\n\n";
  for (size_t n = whole.size(); n < text.size(); ++n) {
    EventParser parser;
    EXPECT_TRUE(parser.feed(text.substr(0, n), [](const ServerEvent&) { return true; }));
    EXPECT_EQ(parser.last_id(), "7") << text.substr(0, n);
    EXPECT_TRUE(parser.feed(text.substr(n), [](const ServerEvent&) { return true; }));
    EXPECT_EQ(parser.last_id(), "8");
  }
}

TEST(EventParser, StopsWhenTheReaderHasEnough) {
  EventParser parser;
  int seen = 0;
  EXPECT_FALSE(parser.feed("data: 1\n\ndata: 2\n\ndata: 3\n\n", [&](const ServerEvent&) { return ++seen < 2; }));
  EXPECT_EQ(seen, 2);
}

TEST(EventParser, AnEndlessEventIsRefused) {
  EventParser parser(1000);
  const auto nobody = [](const ServerEvent&) { return true; };
  bool goes_on = true;
  for (int i = 0; i < 100 && goes_on; ++i) goes_on = parser.feed("data: 0123456789012345678\n", nobody);
  EXPECT_FALSE(goes_on);
  EXPECT_TRUE(parser.too_large());
}

class FollowTest : public ::testing::Test {
 protected:
  void start(int status, std::string body) {
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    auto started = start_http_server(options, [=, this](Request request, std::shared_ptr<Responder> responder) {
      {
        const std::lock_guard lock(mutex_);
        asked_ = request.headers["last-event-id"];
      }
      Response r;
      if (status != 200) {
        r.status = status;
        r.body = body;
        return responder->answer(std::move(r));
      }
      r.stream = [body](const std::shared_ptr<Responder>& open) {
        Response head;
        head.content_type = "text/event-stream";
        open->start(std::move(head));
        open->send(body);
        open->finish();
      };
      responder->answer(std::move(r));
    });
    ASSERT_TRUE(started) << started.error().describe();
    server_ = std::move(*started);
    request_.url = "http://127.0.0.1:" + std::to_string(server_->port()) + "/s";
  }
  void TearDown() override { server_.reset(); }

  std::string asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

  std::mutex mutex_;
  std::string asked_;
  std::unique_ptr<HttpServer> server_;
  StreamRequest request_;
};

TEST_F(FollowTest, GivesWhatComesAndTellsTheEnd) {
  start(200, "data: 1\n\ndata: 2\n\n");
  request_.headers["Last-Event-ID"] = "17";
  std::string got, problem;
  const auto ended = follow(
      {}, request_,
      [&](std::string_view piece) {
        got += piece;
        return true;
      },
      &problem);
  ASSERT_TRUE(ended) << ended.error().describe();
  EXPECT_EQ(*ended, 200);
  EXPECT_EQ(got, "data: 1\n\ndata: 2\n\n");
  EXPECT_EQ(asked(), "17");
}

TEST_F(FollowTest, ARefusalIsNoStream) {
  start(401, "who are you");
  std::string problem;
  const auto ended = follow(
      {}, request_, [](std::string_view) { return true; }, &problem);
  ASSERT_TRUE(ended) << ended.error().describe();
  EXPECT_EQ(*ended, 401);
  EXPECT_EQ(problem, "who are you");
}

TEST_F(FollowTest, NothingMoreIsReadOnceAPieceIsNotTaken) {
  start(200, "data: 1\n\n");
  std::string problem;
  const auto ended = follow(
      {}, request_, [](std::string_view) { return false; }, &problem);
  ASSERT_TRUE(ended) << ended.error().describe();
  EXPECT_EQ(*ended, 0);
}

TEST_F(FollowTest, AServerThatIsGoneIsAnErrorThatMayPass) {
  start(200, "");
  server_.reset();
  std::string problem;
  const auto ended = follow(
      {}, request_, [](std::string_view) { return true; }, &problem);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().retry, Retry::yes);
}

}  // namespace
}  // namespace fb::net::test
