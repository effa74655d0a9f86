// An answer that goes on: pieces arrive as they are sent, its end and the client's leaving are noticed, and a client
// that takes nothing is dropped with bounded memory.
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "engine/net/http.h"
#include "tests/unit/net/net_support.h"

namespace fb::net::test {
namespace {

// A server whose only answer is a stream; the test holds its responder.
class StreamTest : public ::testing::Test {
 protected:
  void start(ServerLimits limits = {}) {
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.limits = limits;
    auto started = start_http_server(options, [this](Request, std::shared_ptr<Responder> responder) {
      Response r;
      r.stream = [this](std::shared_ptr<Responder> open) {
        Response head;
        head.content_type = "text/event-stream";
        open->start(std::move(head));
        const std::lock_guard lock(mutex_);
        open_ = std::move(open);
      };
      responder->answer(std::move(r));
    });
    ASSERT_TRUE(started) << started.error().describe();
    server_ = std::move(*started);
  }
  std::shared_ptr<Responder> opened() {
    std::shared_ptr<Responder> found;
    eventually([&] {
      const std::lock_guard lock(mutex_);
      found = open_;
      return found != nullptr;
    });
    return found;
  }
  void TearDown() override {
    {
      const std::lock_guard lock(mutex_);
      open_.reset();
    }
    server_.reset();
  }

  std::mutex mutex_;
  std::shared_ptr<Responder> open_;
  std::unique_ptr<HttpServer> server_;
};

constexpr const char* kAsk = "GET /s HTTP/1.1\r\nHost: x\r\n\r\n";

TEST_F(StreamTest, PiecesArriveAsTheyAreSent) {
  start();
  RawClient client(server_->port());
  ASSERT_TRUE(client.send(kAsk));
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n")) << head;
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos) << head;
  EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"), std::string::npos) << head;
  EXPECT_EQ(head.find("Content-Length"), std::string::npos) << head;
  const auto open = opened();
  ASSERT_NE(open, nullptr);
  open->send("one");
  EXPECT_EQ(client.read_until("one\r\n"), "3\r\none\r\n");
  open->send("a piece of 22 bytes...");
  EXPECT_EQ(client.read_until("...\r\n"), "16\r\na piece of 22 bytes...\r\n");
  EXPECT_TRUE(eventually([&] { return open->backlog() == 0; }));
  open->send("last");
  open->finish();
  EXPECT_EQ(client.read_all(), "4\r\nlast\r\n0\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return open->gone(); }));
  open->send("too late");
  EXPECT_EQ(open->backlog(), 0u);
}

TEST_F(StreamTest, AnOldClientGetsThePiecesAlone) {
  start();
  RawClient client(server_->port());
  ASSERT_TRUE(client.send("GET /s HTTP/1.0\r\n\r\n"));
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_EQ(head.find("chunked"), std::string::npos) << head;
  opened()->send("plain");
  opened()->finish();
  EXPECT_EQ(client.read_all(), "plain");
}

TEST_F(StreamTest, AClientThatLeavesIsNoticed) {
  start();
  RawClient client(server_->port());
  ASSERT_TRUE(client.send(kAsk));
  client.read_until("\r\n\r\n");
  const auto open = opened();
  EXPECT_FALSE(open->gone());
  client.close();
  EXPECT_TRUE(eventually([&] { return open->gone(); }));
  EXPECT_TRUE(eventually([&] { return server_->stats().connections == 0; }));
}

TEST_F(StreamTest, AClientThatTakesNothingIsDroppedAtTheBound) {
  ServerLimits limits;
  limits.max_stream_backlog_bytes = 256u << 10;
  start(limits);
  RawClient client(server_->port());
  ASSERT_TRUE(client.send(kAsk));
  const auto open = opened();
  size_t most = 0;
  // Far more than the kernel buffers for a connection.
  for (int i = 0; i < 4000 && !open->gone(); ++i) {
    open->send(std::string(16u << 10, 'x'));
    most = std::max(most, open->backlog());
    if (i % 16 == 15) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(eventually([&] { return open->gone(); }));
  EXPECT_LT(most, 4u << 20);
  EXPECT_EQ(server_->stats().timed_out, 1u);
}

TEST_F(StreamTest, AClientThatTakesNothingIsDroppedInTime) {
  ServerLimits limits;
  limits.write_deadline_ms = 200;
  limits.max_stream_backlog_bytes = 64u << 20;
  start(limits);
  RawClient client(server_->port());
  ASSERT_TRUE(client.send(kAsk));
  const auto open = opened();
  open->send(std::string(32u << 20, 'x'));
  EXPECT_TRUE(eventually([&] { return open->gone(); }, 3000));
}

TEST_F(StreamTest, DroppingTheResponderEndsTheStream) {
  start();
  RawClient client(server_->port());
  ASSERT_TRUE(client.send(kAsk));
  client.read_until("\r\n\r\n");
  ASSERT_NE(opened(), nullptr);
  {
    const std::lock_guard lock(mutex_);
    open_.reset();
  }
  EXPECT_EQ(client.read_all(), "0\r\n\r\n");
}

TEST_F(StreamTest, StoppingEndsStreamsWithoutWaitingForThem) {
  start();
  RawClient client(server_->port());
  ASSERT_TRUE(client.send(kAsk));
  client.read_until("\r\n\r\n");
  ASSERT_NE(opened(), nullptr);
  const int64_t began = now_ms();
  server_->stop(10'000);
  EXPECT_LT(now_ms() - began, 3000);
  EXPECT_EQ(client.read_all(), "0\r\n\r\n");
}

}  // namespace
}  // namespace fb::net::test
