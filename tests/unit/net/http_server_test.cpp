#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <mutex>
#include <random>
#include <thread>

#include "engine/net/http.h"
#include "tests/unit/net/net_support.h"

namespace fb::net {
namespace {

using test::eventually;
using test::now_ms;
using test::RawClient;
using test::TemporaryFolder;

std::unique_ptr<HttpServer> serve(Handler handler, ServerLimits limits = {}, int threads = 1) {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.limits = limits;
  options.threads = threads;
  auto server = start_http_server(options, std::move(handler));
  EXPECT_TRUE(server) << server.error().describe();
  return server ? std::move(*server) : nullptr;
}

// Says what it understood, one thing a line.
void echo(Request r, const std::shared_ptr<Responder>& responder) {
  Response out;
  out.content_type = "text/plain";
  out.body = r.method + "\n" + r.path + "\n" + r.peer + "\n" + (r.tls ? "tls" : "plain") + "\n";
  for (const auto& [k, v] : r.query) out.body += "?" + k + "=" + v + "\n";
  for (const auto& [k, v] : r.headers) {
    if (k.starts_with("x-")) out.body += k + "=" + v + "\n";
  }
  out.body += std::to_string(r.body.size());
  responder->answer(std::move(out));
}

std::string ask(HttpServer& server, std::string_view request) {
  RawClient client(server.port());
  EXPECT_TRUE(client.send(request));
  return client.read_all();
}

int status_of(std::string_view reply) {
  if (!reply.starts_with("HTTP/1.1 ") || reply.size() < 12) return 0;
  return std::atoi(std::string(reply.substr(9, 3)).c_str());
}

TEST(HttpServer, GivesTheHandlerTheWholeRequest) {
  const auto server = serve(echo);
  const std::string reply = ask(*server,
                                "POST /a%2Fb?q=1+2 HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one: 2\r\nContent-Length: 3\r\n"
                                "Connection: close\r\n\r\nabc");
  EXPECT_EQ(status_of(reply), 200);
  EXPECT_NE(reply.find("\r\n\r\nPOST\n/a/b\n127.0.0.1\nplain\n?q=1 2\nx-one=1, 2\n3"), std::string::npos) << reply;
  EXPECT_NE(reply.find("Content-Type: text/plain\r\n"), std::string::npos);
  EXPECT_NE(reply.find("Connection: close\r\n"), std::string::npos);
}

TEST(HttpServer, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  const auto server = serve(echo);
  RawClient client(server->port());
  client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
  client.send("GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const std::string all = client.read_all();
  const size_t one = all.find("GET\n/1"), two = all.find("GET\n/2"), three = all.find("GET\n/3");
  EXPECT_LT(one, two);
  EXPECT_LT(two, three);
  EXPECT_NE(three, std::string::npos);
  EXPECT_EQ(server->stats().accepted, 1u);
}

TEST(HttpServer, ReadsAChunkedBodyThatComesInPieces) {
  const auto server = serve(echo);
  RawClient client(server->port());
  for (const char* piece : {"POST / HTTP/1.1\r\nHo", "st: h\r\nTransfer-Encoding: chu", "nked\r\nConnection: close\r\n",
                            "\r\n5\r", "\nhel", "lo\r\n6;ext=1\r\n world\r\n0\r\n", "\r\n"}) {
    client.send(piece);
    usleep(3000);
  }
  const std::string reply = client.read_all();
  EXPECT_EQ(status_of(reply), 200) << reply;
  EXPECT_TRUE(reply.ends_with("\n11")) << reply;
}

TEST(HttpServer, AnswersHeadWithoutABodyAnd204WithoutALength) {
  const auto server = serve([](Request r, const std::shared_ptr<Responder>& out) {
    Response a;
    a.status = r.path == "/none" ? 204 : 200;
    a.body = "hello";
    out->answer(std::move(a));
  });
  const std::string head = ask(*server, "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_NE(head.find("Content-Length: 5\r\n"), std::string::npos);
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
  const std::string none = ask(*server, "GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_of(none), 204);
  EXPECT_EQ(none.find("Content-Length"), std::string::npos);
  EXPECT_EQ(none.find("hello"), std::string::npos);
}

TEST(HttpServer, ContinuesAClientThatAsksFirst) {
  const auto server = serve(echo);
  RawClient client(server->port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("1234");
  EXPECT_TRUE(client.read_all().ends_with("\n4"));
}

TEST(HttpServer, RefusesHostileHeads) {
  ServerLimits limits;
  limits.max_header_bytes = 2000;
  limits.max_headers = 20;
  limits.max_body_bytes = 100;
  std::atomic<int> handled{0};
  const auto server = serve(
      [&](Request r, const std::shared_ptr<Responder>& out) {
        ++handled;
        echo(std::move(r), out);
      },
      limits);
  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 20; ++i) many += "a" + std::to_string(i) + ": b\r\n";
  const std::string huge_chunk_line = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;" +
                                      std::string(100'000, 'x') + "\r\nhello\r\n0\r\n\r\n";
  const struct {
    std::string request;
    int status;
  } cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(101, 'x') +
           "\r\n0\r\n\r\n",
       413},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400},
      {huge_chunk_line, 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", 501},
      {"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: h\n\nxxxx\r\n\r\n", 505},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"GET /\r\nHost: h\r\n\r\n", 400},
      {"GET /% HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET relative HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nA\x01: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nA: b\x01\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\nContent-Length: 1\r\n\r\nx", 417},
      {many + "\r\n", 431},
      {"GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(2000, 'x') + "\r\n\r\n", 431},
      {"GET /" + std::string(5000, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", 431},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
  };
  for (const auto& c : cases) {
    const std::string reply = ask(*server, c.request);
    EXPECT_EQ(status_of(reply), c.status) << c.request.substr(0, 120) << "\n-> " << reply;
    EXPECT_EQ(reply.find("}HTTP/"), std::string::npos) << "two answers: " << c.request.substr(0, 120);
  }
  EXPECT_EQ(handled.load(), 0);
  EXPECT_EQ(server->stats().bad_requests, std::size(cases));
}

// Whatever bytes come, in whatever pieces: every connection ends, and the server serves on.
TEST(HttpServer, SurvivesMutatedRequests) {
  ServerLimits limits;
  limits.max_header_bytes = 1000;
  limits.max_body_bytes = 200;
  limits.header_deadline_ms = 2000;
  limits.body_deadline_ms = 2000;
  const auto server = serve(echo, limits);
  const std::string seeds[] = {
      "GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n",
      "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
      "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nT: "
      "v\r\n\r\n",
      "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
  };
  std::mt19937 random(20261121);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  for (int round = 0; round < 600; ++round) {
    std::string bytes = seeds[below(std::size(seeds))];
    for (size_t changes = below(4); changes > 0; --changes) {
      const size_t at = below(bytes.size());
      switch (below(4)) {
        case 0:
          bytes[at] = static_cast<char>(below(256));
          break;
        case 1:
          bytes.erase(at, 1 + below(8));
          break;
        case 2:
          bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(40)));
          break;
        default:
          bytes.insert(at, 1 + below(1500), static_cast<char>(below(256)));
      }
      if (bytes.empty()) bytes = "x";
    }
    RawClient client(server->port());
    const size_t cut = below(bytes.size() + 1);
    client.send(bytes.substr(0, cut));
    if (below(4) == 0) usleep(200);
    client.send(bytes.substr(cut));
    ::shutdown(client.fd(), SHUT_WR);
    const int64_t start = now_ms();
    client.read_all();
    ASSERT_LT(now_ms() - start, 8000) << "round " << round;
  }
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
  EXPECT_EQ(status_of(ask(*server, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")), 200);
}

TEST(HttpServer, ClosesASlowHeaderAtTheDeadlineHoweverItDribbles) {
  ServerLimits limits;
  limits.header_deadline_ms = 300;
  const auto server = serve(echo, limits);
  RawClient client(server->port());
  const int64_t start = now_ms();
  client.send("GET / HTTP/1.1\r\n");
  bool open = true;
  while (open && now_ms() - start < 5000) {
    open = client.send("a");
    if (open) open = !client.closed_within(40);
  }
  EXPECT_FALSE(open);
  EXPECT_GE(now_ms() - start, 290);
  EXPECT_LT(now_ms() - start, 2000);
  EXPECT_EQ(server->stats().timed_out, 1u);
}

TEST(HttpServer, ClosesASlowBodyAtTheDeadlineHoweverItDribbles) {
  ServerLimits limits;
  limits.body_deadline_ms = 300;
  const auto server = serve(echo, limits);
  RawClient client(server->port());
  const int64_t start = now_ms();
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
  bool open = true;
  while (open && now_ms() - start < 5000) {
    open = client.send("a");
    if (open) open = !client.closed_within(40);
  }
  EXPECT_FALSE(open);
  EXPECT_GE(now_ms() - start, 290);
  EXPECT_LT(now_ms() - start, 2000);
}

TEST(HttpServer, ClosesAnIdleConnection) {
  ServerLimits limits;
  limits.idle_deadline_ms = 200;
  const auto server = serve(echo, limits);
  RawClient fresh(server->port());
  EXPECT_TRUE(fresh.closed_within(2000));
  RawClient used(server->port());
  used.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  used.read_until("\n0");
  EXPECT_TRUE(used.closed_within(2000));
  EXPECT_EQ(server->stats().timed_out, 0u);
}

TEST(HttpServer, ClosesAClientThatDoesNotRead) {
  ServerLimits limits;
  limits.write_deadline_ms = 300;
  const auto server = serve(
      [](const Request&, const std::shared_ptr<Responder>& out) {
        Response big;
        big.body.assign(64u << 20, 'x');
        out->answer(std::move(big));
      },
      limits);
  RawClient client(server->port());
  client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return server->stats().timed_out == 1 && server->stats().connections == 0; }));
}

TEST(HttpServer, TakesNoMoreConnectionsThanAllowed) {
  ServerLimits limits;
  limits.max_connections_per_address = 3;
  const auto per_address = serve(echo, limits);
  {
    RawClient a(per_address->port()), b(per_address->port()), c(per_address->port());
    ASSERT_TRUE(eventually([&] { return per_address->stats().connections == 3; }));
    RawClient d(per_address->port());
    EXPECT_TRUE(d.closed_within(2000));
    EXPECT_EQ(per_address->stats().refused, 1u);
    a.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(status_of(a.read_all()), 200);
  }
  ASSERT_TRUE(eventually([&] { return per_address->stats().connections == 0; }));
  EXPECT_EQ(status_of(ask(*per_address, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")), 200);

  limits = {};
  limits.max_connections = 2;
  const auto total = serve(echo, limits);
  RawClient a(total->port()), b(total->port());
  ASSERT_TRUE(eventually([&] { return total->stats().connections == 2; }));
  RawClient c(total->port());
  EXPECT_TRUE(c.closed_within(2000));
}

TEST(HttpServer, TakesNoMoreOfAllBodiesTogetherThanAllowed) {
  for (const bool of_address : {true, false}) {
    ServerLimits limits;
    limits.max_body_bytes = 1u << 20;
    (of_address ? limits.max_bodies_per_address_bytes : limits.max_all_bodies_bytes) = 4u << 20;
    std::mutex mutex;
    std::vector<std::pair<Request, std::shared_ptr<Responder>>> held;
    std::atomic<bool> holds{true};
    std::atomic<size_t> holding{0};
    const auto server = serve(
        [&](Request r, const std::shared_ptr<Responder>& out) {
          if (!holds || r.body.empty()) return echo(std::move(r), out);
          const std::lock_guard lock(mutex);
          held.emplace_back(std::move(r), out);
          holding = held.size();
        },
        limits);
    const std::string body(1'000'000, 'x');
    const std::string post =
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n" + body;
    std::vector<std::unique_ptr<RawClient>> waiting;
    for (int i = 0; i < 4; ++i) {
      waiting.push_back(std::make_unique<RawClient>(server->port()));
      ASSERT_TRUE(waiting.back()->send(post));
    }
    ASSERT_TRUE(eventually([&] { return holding == 4; }));
    EXPECT_EQ(status_of(ask(*server, post)), 503);
    EXPECT_EQ(status_of(ask(*server, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")), 200) << "no body";
    holds = false;
    for (auto& [request, responder] : held) echo(std::move(request), responder);
    held.clear();
    for (const auto& client : waiting) EXPECT_EQ(status_of(client->read_all()), 200);
    // Clients that leave in the middle keep nothing.
    for (int i = 0; i < 8; ++i) {
      RawClient leaving(server->port());
      (void)leaving.send(post.substr(0, post.size() - 1));
    }
    EXPECT_TRUE(eventually([&] {
      const ServerStats stats = server->stats();
      return stats.accepted == 4 + 2 + 8 && stats.connections == 0;
    }));
    for (int i = 0; i < 8; ++i) EXPECT_EQ(status_of(ask(*server, post)), 200) << "all was given back";
  }
}

TEST(HttpServer, AnswersLaterFromAnotherThread) {
  std::mutex mutex;
  std::vector<std::shared_ptr<Responder>> waiting;
  const auto server = serve([&](const Request&, std::shared_ptr<Responder> out) {
    const std::lock_guard lock(mutex);
    waiting.push_back(std::move(out));
  });
  RawClient client(server->port());
  client.send("GET /poll HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return waiting.size() == 1;
  }));
  EXPECT_FALSE(waiting[0]->gone());
  std::thread other([&] {
    Response r;
    r.body = "late";
    waiting[0]->answer(std::move(r));
    waiting[0]->answer(Response{});  // a second answer changes nothing
  });
  other.join();
  EXPECT_TRUE(client.read_all().ends_with("\r\n\r\nlate"));
}

TEST(HttpServer, TellsALongPollThatItsClientLeft) {
  std::mutex mutex;
  std::shared_ptr<Responder> waiting;
  const auto server = serve([&](const Request&, std::shared_ptr<Responder> out) {
    const std::lock_guard lock(mutex);
    waiting = std::move(out);
  });
  {
    RawClient client(server->port());
    client.send("GET /poll HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex);
      return waiting != nullptr;
    }));
    EXPECT_FALSE(waiting->gone());
  }
  EXPECT_TRUE(eventually([&] { return waiting->gone(); }));
  waiting->answer(Response{});  // nobody is there; that is fine
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
}

TEST(HttpServer, KeepsWhatTheClientSendsWhileItWaits) {
  std::mutex mutex;
  std::vector<std::shared_ptr<Responder>> waiting;
  const auto server = serve([&](Request r, std::shared_ptr<Responder> out) {
    if (r.path == "/poll") {
      const std::lock_guard lock(mutex);
      waiting.push_back(std::move(out));
    } else {
      echo(std::move(r), out);
    }
  });
  RawClient client(server->port());
  client.send("GET /poll HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return waiting.size() == 1;
  }));
  client.send("GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  usleep(20'000);
  Response late;
  late.body = "late";
  waiting[0]->answer(std::move(late));
  const std::string all = client.read_all();
  EXPECT_LT(all.find("late"), all.find("GET\n/next")) << all;
  EXPECT_NE(all.find("GET\n/next"), std::string::npos);
}

TEST(HttpServer, ADroppedOrThrowingRequestIsAnswered500) {
  const auto server = serve([](const Request& r, const std::shared_ptr<Responder>&) {
    if (r.path == "/throw") throw std::runtime_error("no");
  });
  EXPECT_EQ(status_of(ask(*server, "GET /drop HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")), 500);
  EXPECT_EQ(status_of(ask(*server, "GET /throw HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")), 500);
}

TEST(HttpServer, AHeaderOfAnAnswerCannotStartAnother) {
  const auto server = serve([](const Request&, const std::shared_ptr<Responder>& out) {
    Response r;
    r.headers["X-A"] = "1\r\nX-Evil: 2";
    out->answer(std::move(r));
  });
  const std::string reply = ask(*server, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(reply.find("\r\nX-Evil"), std::string::npos);
  EXPECT_NE(reply.find("X-A: 1X-Evil: 2\r\n"), std::string::npos);
}

TEST(HttpServer, DrainsRunningRequestsAndThenStops) {
  std::mutex mutex;
  std::shared_ptr<Responder> waiting;
  auto server = serve([&](const Request&, std::shared_ptr<Responder> out) {
    const std::lock_guard lock(mutex);
    waiting = std::move(out);
  });
  RawClient idle(server->port());
  RawClient busy(server->port());
  busy.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return waiting != nullptr && server->stats().connections == 2;
  }));
  std::thread stopper([&] { server->stop(5000); });
  EXPECT_TRUE(idle.closed_within(2000));
  Response r;
  r.body = "done";
  waiting->answer(std::move(r));
  const std::string reply = busy.read_all();
  EXPECT_TRUE(reply.ends_with("done"));
  EXPECT_NE(reply.find("Connection: close"), std::string::npos);
  stopper.join();
  EXPECT_FALSE(RawClient(server->port()).connected());
  server->stop(0);  // idempotent
}

TEST(HttpServer, StopsEvenWhenNobodyAnswers) {
  std::mutex mutex;
  std::shared_ptr<Responder> waiting;
  auto server = serve([&](const Request&, std::shared_ptr<Responder> out) {
    const std::lock_guard lock(mutex);
    waiting = std::move(out);
  });
  RawClient client(server->port());
  client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return waiting != nullptr;
  }));
  const int64_t start = now_ms();
  server->stop(100);
  EXPECT_LT(now_ms() - start, 2000);
  EXPECT_TRUE(waiting->gone());
  server.reset();
  waiting->answer(Response{});  // after the server's end
  waiting.reset();
}

TEST(HttpServer, RunsTasksAfterADelayAndDropsThemAtStop) {
  auto server = serve(echo);
  std::atomic<int> ran{0};
  const int64_t start = now_ms();
  std::atomic<int64_t> took{0};
  server->after(50, [&] {
    took = now_ms() - start;
    ++ran;
  });
  server->after(60'000, [&] { ran += 100; });
  EXPECT_TRUE(eventually([&] { return ran.load() == 1; }));
  EXPECT_GE(took.load(), 49);
  server->stop(0);
  EXPECT_EQ(ran.load(), 1);
}

TEST(HttpServer, SurvivesRunningOutOfDescriptorsWithoutSpinning) {
  const auto server = serve(echo);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int probe = ::dup(0);
  ::close(probe);
  RawClient* client = nullptr;
  {
    auto made = std::make_unique<RawClient>(server->port());  // takes the lowest free number
    rlimit low = before;
    low.rlim_cur = static_cast<rlim_t>(made->fd()) + 1;
    // The connection above may be accepted already, so the next one is made under the limit's last free number.
    ASSERT_TRUE(eventually([&] { return server->stats().connections == 1; }));
    RawClient second(server->port());
    ASSERT_TRUE(eventually([&] { return server->stats().connections == 2; }));
    const int third = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    low.rlim_cur = static_cast<rlim_t>(third) + 1;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(server->port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(third, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    EXPECT_TRUE(eventually([&] { return server->stats().accept_errors >= 2; }));
    const uint64_t errors = server->stats().accept_errors;
    usleep(300'000);
    EXPECT_LE(server->stats().accept_errors - errors, 8u);  // one every 50 ms
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_TRUE(eventually([&] { return server->stats().connections == 3; }));
    ::close(third);
    client = made.get();
    client->send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(status_of(client->read_all()), 200);
  }
}

TEST(HttpServer, ServesTwoHundredConnectionsAtOnce) {
  std::mutex mutex;
  std::vector<std::shared_ptr<Responder>> waiting;
  const auto server = serve(
      [&](const Request&, std::shared_ptr<Responder> out) {
        const std::lock_guard lock(mutex);
        waiting.push_back(std::move(out));
      },
      {}, 2);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<RawClient>(server->port()));
    ASSERT_TRUE(clients.back()->send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  }
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return waiting.size() == 200;
  }));
  EXPECT_EQ(server->stats().connections, 200u);
  for (auto& w : waiting) {
    Response r;
    r.body = "ok";
    w->answer(std::move(r));
  }
  for (auto& c : clients) EXPECT_TRUE(c->read_all().ends_with("\r\n\r\nok"));
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
}

TEST(HttpServer, AUnixSocketIsForItsOwnerOnlyAndReplacesADeadOne) {
  const TemporaryFolder dir;
  ServerOptions options;
  options.unix_socket = dir / "s.sock";
  {
    // A process that died leaves its socket behind.
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    options.unix_socket.copy(at.sun_path, sizeof at.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    ::close(fd);
  }
  auto server = start_http_server(options, echo);
  ASSERT_TRUE(server) << server.error().describe();
  struct stat facts {};
  ASSERT_EQ(::stat(options.unix_socket.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  const auto second = start_http_server(options, echo);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  ClientOptions client_options;
  client_options.unix_socket = options.unix_socket;
  HttpClient client(client_options);
  const auto reply = client.request("GET", "http://localhost/x", {}, "");
  ASSERT_TRUE(reply) << reply.error().describe();
  EXPECT_NE(reply->body.find("unix\n"), std::string::npos);
  (*server)->stop(0);
  EXPECT_NE(::access(options.unix_socket.c_str(), F_OK), 0);
}

TEST(HttpServer, SaysWhyItCannotStart) {
  const auto fails = [](ServerOptions options) {
    const auto server = start_http_server(options, echo);
    EXPECT_FALSE(server);
    return server ? "" : server.error().describe();
  };
  ServerOptions none;
  EXPECT_NE(fails(none), "");
  ServerOptions name;
  name.listen = "example.org:80";
  EXPECT_NE(fails(name).find("example.org"), std::string::npos);
  ServerOptions half;
  half.listen = "127.0.0.1:0";
  half.certificate_file = "x.pem";
  EXPECT_NE(fails(half).find("private_key_file"), std::string::npos);
  const auto first = serve(echo);
  ServerOptions taken;
  taken.listen = "127.0.0.1:" + std::to_string(first->port());
  EXPECT_NE(fails(taken).find("cannot listen on 127.0.0.1"), std::string::npos);
}

}  // namespace
}  // namespace fb::net
