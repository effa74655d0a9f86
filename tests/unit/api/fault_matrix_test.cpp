// The fault matrix of HTTP, H1 to H15, over real connections to the whole API. Each fault ends in a 4xx (or the server
// cuts the connection) within its time, takes no more than its memory, and leaves a good request beside it under a
// second. Many connections at once stand in connections_test.cpp, what is about HTTP alone in tests/unit/net too.
#include <thread>

#include "engine/net/tls_files.h"
#include "tests/unit/api/hostile_support.h"

namespace fb::api::test {
namespace {

constexpr int64_t kMostKib = kMemoryFactor * (64 << 10);  // that a fault may cost

class FaultMatrix : public Hostile {
 protected:
  void SetUp() override {
    judge_.answer = [](const PlannedAction& action, Ledger&, int64_t) -> Result<Judgement> {
      if (action.approved) return fb::test::ScriptedJudge::passes();
      return fb::test::ScriptedJudge::says(Verdict::awaiting_approval, Guard::approval, "a person must agree");
    };
    Hostile::SetUp();
    began_kib_ = resident_kib();
  }
  void expect_bounded(const char* what) {
    EXPECT_LT(resident_kib() - began_kib_, kMostKib) << "KiB: " << what;
    expect_serving(what);
  }
  void expect_4xx(const std::string& bytes, const std::string& what) {
    const int status = send(bytes);
    EXPECT_TRUE(status >= 400 && status < 500) << what << " -> " << status;
  }
  // Cut off without an answer is right as well where the rest of the request never comes.
  void expect_refused(const std::string& bytes, const std::string& what) {
    const int64_t began = net::test::now_ms();
    const int status = send(bytes);
    EXPECT_TRUE(status == 0 || (status >= 400 && status < 500)) << what << " -> " << status;
    EXPECT_LT(net::test::now_ms() - began, 5000) << what;
  }
  // Closed within its deadline (one second) and some patience.
  void expect_cut_in_time(const std::vector<std::unique_ptr<net::test::RawClient>>& clients, const char* what) {
    const int64_t began = net::test::now_ms();
    for (const auto& client : clients) {
      const int64_t left = 5000 - (net::test::now_ms() - began);
      EXPECT_TRUE(client->closed_within(static_cast<int>(std::max<int64_t>(left, 1)))) << what;
    }
  }
  int64_t began_kib_ = 0;
};

TEST_F(FaultMatrix, H1SlowHeaders) {
  std::vector<std::unique_ptr<net::test::RawClient>> slow;
  for (int i = 0; i < 50; ++i) {
    slow.push_back(std::make_unique<net::test::RawClient>(server_->port()));
    ASSERT_TRUE(slow.back()->send("GET /api/status HTTP/1.1\r\nHo"));
  }
  expect_serving("beside slow headers");
  // One byte now and then does not move the deadline.
  for (int i = 0; i < 8; ++i) {
    for (auto& client : slow) (void)client->send("s");
    usleep(100'000);
  }
  expect_cut_in_time(slow, "a header that dribbles");
  expect_bounded("after slow headers");
}

TEST_F(FaultMatrix, H2SlowBodies) {
  std::vector<std::unique_ptr<net::test::RawClient>> slow;
  for (int i = 0; i < 50; ++i) {
    slow.push_back(std::make_unique<net::test::RawClient>(server_->port()));
    ASSERT_TRUE(slow.back()->send(head("POST /api/firebreak/kill_switch", authorized() + "Content-Length: 60000\r\n") +
                                  "\r\n{"));
  }
  expect_serving("beside slow bodies");
  for (int i = 0; i < 8; ++i) {
    for (auto& client : slow) (void)client->send(" ");
    usleep(100'000);
  }
  expect_cut_in_time(slow, "a body that dribbles");
  expect_bounded("after slow bodies");
  EXPECT_EQ(audited("kill_switch_on"), 0);
}

TEST_F(FaultMatrix, H3SlowReadOfLargeAnswers) {
  std::vector<std::unique_ptr<net::test::RawClient>> lazy;
  std::string many;  // some 80 MB of answers for each
  for (int i = 0; i < 1000; ++i) many += "GET /api/firebreak/openapi.yaml HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (int i = 0; i < 20; ++i) {
    lazy.push_back(std::make_unique<net::test::RawClient>(server_->port()));
    const int small = 4096;
    setsockopt(lazy.back()->fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ASSERT_TRUE(lazy.back()->send(many));
  }
  expect_bounded("beside clients that do not read");
  EXPECT_TRUE(net::test::eventually([&] { return server_->stats().timed_out >= 20; }, 8000))
      << server_->stats().timed_out << " of 20 were cut";
  expect_bounded("after clients that do not read");
}

TEST_F(FaultMatrix, H5EndlessHeaderLine) {
  net::test::RawClient client(server_->port());
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: "));
  const std::string piece(64 << 10, 'a');
  size_t sent = 0;
  while (sent < (100u << 20) && client.send(piece)) sent += piece.size();
  EXPECT_LT(sent, 100u << 20) << "all of it was taken";
  expect_bounded("after an endless header");
  EXPECT_EQ(send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: " + std::string(20'000, 'a') + "\r\n\r\n"), 431);
}

TEST_F(FaultMatrix, H6AHundredThousandHeaders) {
  std::string request = "GET /api/status HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 100'000; ++i) request += "a" + std::to_string(i) + ": b\r\n";
  EXPECT_EQ(send(request + "\r\n"), 431);
  std::string few = "GET /api/status HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 101; ++i) few += "a" + std::to_string(i) + ": b\r\n";
  EXPECT_EQ(send(few + "\r\n"), 431) << "more than 100";
  expect_bounded("after many headers");
}

TEST_F(FaultMatrix, H7Chunks) {
  const std::string start =
      head("POST /api/firebreak/kill_switch", authorized() + "Transfer-Encoding: chunked\r\n") + "\r\n";
  for (const std::string& chunks :
       {std::string("zz\r\n"), std::string("-1\r\n"), std::string("ffffffffffffffff\r\nx"),
        std::string("5\r\nhelloX\r\n"), "5;" + std::string(100'000, 'e') + "\r\nhello\r\n0\r\n\r\n",
        std::string("0x5\r\nhello\r\n0\r\n\r\n")}) {
    expect_refused(start + chunks, "chunk " + chunks.substr(0, 20));
  }
  // Without an end: cut off once the body is too large.
  net::test::RawClient client(server_->port());
  ASSERT_TRUE(client.send(start));
  const std::string chunk = "1000\r\n" + std::string(0x1000, ' ') + "\r\n";
  size_t sent = 0;
  while (sent < (100u << 20) && client.send(chunk)) sent += chunk.size();
  EXPECT_LT(sent, 100u << 20);
  // A flood of extensions and of empty lines between chunks of one byte.
  std::string extensions = start;
  for (int i = 0; i < 10'000; ++i) extensions += "1;a=b;c=d\r\n \r\n";
  expect_4xx(extensions + "0\r\n\r\n", "extensions");
  expect_bounded("after strange chunks");
}

TEST_F(FaultMatrix, H8Lengths) {
  const std::string line =
      "POST /api/firebreak/kill_switch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + authorized();
  for (const std::string& lengths :
       {std::string("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        std::string("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
        std::string("Content-Length: 3\r\nContent-Length: 3\r\n"),
        std::string("Content-Length: 3\r\nTransfer-Encoding:\r\n chunked\r\n"),
        std::string("Content-Length: 3\r\nContent-Length: 4\r\n"), std::string("Content-Length: -3\r\n"),
        std::string("Content-Length: 3,3\r\n"), std::string("Content-Length: 0x3\r\n"),
        std::string("Content-Length: 99999999999999999999\r\n"),
        std::string("Content-Length: 18446744073709551615\r\n"), std::string("Content-Length: 1000000000000\r\n")}) {
    const std::string answer =
        answer_to(line + lengths + "\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const int status = status_of(answer);
    EXPECT_TRUE(status == 400 || status == 413) << lengths << answer.substr(0, 100);
    EXPECT_EQ(answer.find("HTTP/1.1", 9), std::string::npos) << "a second request came through: " << lengths;
  }
  expect_bounded("after strange lengths");
}

TEST_F(FaultMatrix, H9Targets) {
  EXPECT_EQ(send(head("GET /" + std::string(64 << 10, 'a'), authorized()) + "\r\n"), 431);
  for (const std::string target :
       {"/%00", "/api/%00", "/%", "/%2", "/%zz", "/api/firebreak/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd",
        "/api/firebreak/..%2fusers", "//evil.example/api", "/api//nothing", "/s/default/s/default/api/status",
        "/s/%64efault/x", "*", "/\\..\\x", "/api/firebreak/users%20"}) {
    expect_4xx(head("GET " + target, authorized()) + "\r\n", "target " + target);
  }
  // No way around what guards a path: the same path spelt otherwise asks for the same credentials.
  for (const std::string same : {"/api/firebreak/%75sers", "//api//firebreak//users", "/api/firebreak/users/",
                                 "/s/default/api/firebreak/users", "http://localhost/api/firebreak/users"}) {
    EXPECT_EQ(send(head("GET " + same) + "\r\n"), 401) << same;
  }
  expect_bounded("after strange targets");
}

TEST_F(FaultMatrix, H10OtherProtocols) {
  expect_4xx(head("BREW /api/status", authorized()) + "\r\n", "an unknown method");
  EXPECT_EQ(send(head("TRACE /api/status", authorized()) + "\r\n"), 404);
  for (const std::string& bytes :
       {std::string("GET /\r\n\r\n"), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15), std::string("SSH-2.0-x\r\n\r\n"),
        std::string(3000, '\0') + "\r\n\r\n", std::string("\r\n\r\n\r\n\r\nx\r\n\r\n")}) {
    const std::string answer = answer_to(bytes);
    const int status = status_of(answer);
    EXPECT_TRUE(answer.empty() || (status >= 400 && status < 600)) << answer.substr(0, 100);
  }
  // And plain HTTP to a port that speaks TLS.
  const std::string dir = dir_.path();
  ASSERT_TRUE(net::create_ca(dir + "/ca.pem", dir + "/ca.key", "test"));
  ASSERT_TRUE(
      net::create_server_certificate(dir + "/ca.pem", dir + "/ca.key", dir + "/s.pem", dir + "/s.key", {"localhost"}));
  net::ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.certificate_file = dir + "/s.pem";
  options.private_key_file = dir + "/s.key";
  options.limits.header_deadline_ms = 1000;
  const auto tls = net::start_http_server(options, handler_);
  ASSERT_TRUE(tls) << tls.error().describe();
  for (const std::string& bytes :
       {head("GET /healthz") + "\r\n", std::string("\x16\x03\x01"), std::string(3000, '\xff')}) {
    net::test::RawClient client((*tls)->port());
    ASSERT_TRUE(client.send(bytes));
    EXPECT_TRUE(client.closed_within(5000)) << "plain bytes to a TLS port";
  }
  net::ClientOptions trusting;
  trusting.ca_file = dir + "/ca.pem";
  net::HttpClient good(trusting);
  const auto served = good.request("GET", "https://localhost:" + std::to_string((*tls)->port()) + "/healthz", {}, "");
  ASSERT_TRUE(served) << served.error().describe();
  EXPECT_EQ(served->status, 200);
  expect_bounded("after other protocols");
}

TEST_F(FaultMatrix, H11Bodies) {
  const std::string target = "/api/firebreak/kill_switch";
  const std::vector<std::string> bodies = {
      "",
      "[",
      "nul",
      "{\"on\":",
      "5",
      "\"text\"",
      std::string(60'000, '['),
      "{\"on\":" + std::string(30'000, '[') + std::string(30'000, ']') + "}",
      std::string(10'000, ' ') + "{",
      "{\"on\": true, \"comment\": \"\xff\xfe\"}",
      "{\"on\": 1e999, \"comment\": \"x\"}",
      "{\"on\": \"yes\", \"comment\": 5}",
      std::string("\x1f\x8b\x08\0\0\0\0\0", 8),
      std::string("\0\0\0", 3),
      "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
  };
  for (const std::string& body : bodies) {
    for (const char* more : {"", "Content-Encoding: gzip\r\n"}) {
      expect_4xx(post_text(target, body, more), "body " + body.substr(0, 30));
    }
  }
  expect_4xx(post_text(target, std::string(kBodyBytes + 1, ' ')), "too large");
  // Two values of one key: who looked at the request before us may have seen the other one.
  const std::string twice = answer_to(post_text(target, R"({"on": true, "on": false, "comment": "x"})"));
  EXPECT_EQ(status_of(twice), 400);
  EXPECT_NE(twice.find("the key \\\"on\\\" twice"), std::string::npos) << twice;
  EXPECT_FALSE(store_->kill_switch().value());
  // The same depth on every route that takes a body: no crash, no 5xx.
  for (const Router::Listed& route : all_routes().list()) {
    if (route.method == "GET" || !route.privilege) continue;
    std::string path;
    for (size_t at = 0; at < route.pattern.size(); ++at) {
      if (route.pattern[at] != '{') {
        path += route.pattern[at];
      } else {
        path += "x";
        at = route.pattern.find('}', at);
      }
    }
    for (const std::string& body :
         {std::string(50'000, '['), "{\"a\":" + std::string(20'000, '[') + std::string(20'000, ']') + "}",
          // Behind the mark that JSON readers skip.
          "\xEF\xBB\xBF{\"meta\":" + std::string(30'000, '[') + std::string(30'000, ']') + "}"}) {
      const int status =
          send(head(route.method + " " + path, authorized() + "Content-Type: application/json\r\nContent-Length: " +
                                                   std::to_string(body.size()) + "\r\n") +
               "\r\n" + body);
      EXPECT_TRUE((status >= 200 && status < 500) || status == 503) << route.method << " " << path << " -> " << status;
    }
  }
  expect_bounded("after strange bodies");
}

TEST_F(FaultMatrix, H12RangesHeadOptionsPipelines) {
  const std::string whole = answer_to(head("GET /api/firebreak/openapi.yaml") + "\r\n");
  for (const char* range : {"bytes=0-0", "bytes=0-,0-,0-,0-,0-,0-", "bytes=-1", "bytes=9999999999-", "lines=1"}) {
    const std::string answer =
        answer_to(head("GET /api/firebreak/openapi.yaml", std::string("Range: ") + range + "\r\n") + "\r\n");
    EXPECT_EQ(status_of(answer), 200) << range;
    EXPECT_EQ(answer.size(), whole.size()) << range;
  }
  const std::string only_head = answer_to(head("HEAD /healthz") + "\r\n");
  EXPECT_EQ(status_of(only_head), 200);
  EXPECT_TRUE(only_head.ends_with("\r\n\r\n")) << "HEAD has no body";
  EXPECT_EQ(send(head("OPTIONS /api/firebreak/users", authorized()) + "\r\n"), 404);
  expect_4xx(head("OPTIONS *", authorized()) + "\r\n", "OPTIONS *");

  std::string pipelined;
  for (int i = 0; i < 999; ++i) pipelined += "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const int64_t began = net::test::now_ms();
  const std::string answers = answer_to(pipelined + head("GET /healthz") + "\r\n");
  EXPECT_LT(net::test::now_ms() - began, 5000);
  size_t count = 0;
  for (size_t at = answers.find("HTTP/1.1 200"); at != std::string::npos; at = answers.find("HTTP/1.1 200", at + 1))
    ++count;
  EXPECT_EQ(count, 1000u);
  expect_bounded("after pipelines");
}

TEST_F(FaultMatrix, H13Credentials) {
  const std::string get = "GET /api/firebreak/users";
  EXPECT_EQ(send(head(get) + "\r\n"), 401);
  EXPECT_EQ(send(head(get, authorized() + authorized()) + "\r\n"), 400);
  EXPECT_EQ(send(head(get, "Authorization: ApiKey " + std::string(1 << 20, 'A') + "\r\n") + "\r\n"), 431);
  EXPECT_EQ(send(head(get, "X-Forwarded-For: unix\r\nREMOTE_ADDR: unix\r\nX-Real-IP: unix\r\nForwarded: for=unix\r\n") +
                 "\r\n"),
            401);
  std::string id;
  const std::string other = add_key("ada", {}, 0, &id);
  const auto as_other = [&] { return send(head(get, "Authorization: " + other + "\r\n") + "\r\n"); };
  EXPECT_EQ(as_other(), 200);
  ASSERT_TRUE(store_->revoke_key(id, "user:test", "lost").value());
  EXPECT_EQ(as_other(), 401) << "revoked";
  add_user("bob", {Role::admin});
  const std::string bobs = add_key("bob");
  const auto as_bob = [&] { return send(head(get, "Authorization: " + bobs + "\r\n") + "\r\n"); };
  EXPECT_EQ(as_bob(), 200);
  ASSERT_TRUE(store_->set_roles("bob", {Role::viewer}, "user:ada", "moved"));
  EXPECT_EQ(as_bob(), 403) << "another role";
  expect_bounded("after wrong credentials");
}

TEST_F(FaultMatrix, H14Parameters) {
  for (const std::string id :
       {"'%20OR%201=1--", "%22;DROP%20TABLE%20users", "..", "%2e%2e%2f%2e%2e", "9223372036854775808", "-1", "%E2%98%83",
        "%F0%9F%92%A3", "%ff%fe", "%C0%AE", "a%2Fb", "%0d%0aX-Evil:%20yes", "{id}", "*", "%25s%25n"}) {
    for (const std::string route :
         {"/api/firebreak/actions/", "/api/endpoint/action/", "/api/endpoint/metadata/", "/api/firebreak/policies/"}) {
      const std::string answer = answer_to(head("GET " + route + id, authorized()) + "\r\n");
      EXPECT_TRUE(status_of(answer) >= 400 && status_of(answer) < 500) << route << id << "\n" << answer;
      EXPECT_EQ(answer.find("\r\nX-Evil"), std::string::npos) << "a header was injected";
    }
  }
  for (const std::string number : {"-1", "1e9", "99999999999999999999", "0x10", "%00", "1%201", "%D9%A1"}) {
    for (const std::string route :
         {"/api/firebreak/alerts?limit=", "/api/firebreak/alerts?skip=", "/api/firebreak/audit?after=",
          "/api/firebreak/audit?limit=", "/api/exception_lists/_find?page=", "/api/exception_lists/_find?per_page=",
          "/api/endpoint/action?pageSize=", "/api/stream?after="}) {
      expect_4xx(head("GET " + route + number, authorized()) + "\r\n", route + number);
    }
  }
  EXPECT_EQ(count("SELECT count(*) FROM users"), 1) << "no text became SQL";
  expect_bounded("after strange parameters");
}

TEST_F(FaultMatrix, H15OriginsHostsReplaysAndRaces) {
  enroll("agent-1");
  const std::string isolate = R"({"command": "isolate", "host": "agent-1", "comment": "incident 42"})";
  const auto act = [&](const std::string& body, const std::string& more) {
    return answer_to(post_text("/api/firebreak/actions", body, more));
  };
  EXPECT_EQ(status_of(act(isolate, "Origin: https://evil.example\r\n")), 403);
  EXPECT_EQ(status_of(act(isolate, "Origin: null\r\n")), 403);
  EXPECT_EQ(status_of(act(isolate, "Sec-Fetch-Site: cross-site\r\n")), 403);
  EXPECT_EQ(
      send("GET /api/firebreak/users HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n" + authorized() + "\r\n"),
      421);
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 0);

  const std::string first = act(isolate, "Idempotency-Key: k-1\r\n");
  ASSERT_EQ(status_of(first), 200) << first;
  const std::string again = act(isolate, "Idempotency-Key: k-1\r\n");
  EXPECT_EQ(status_of(again), 200) << again;
  const auto body_of = [](const std::string& answer) {
    return Json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
  };
  EXPECT_EQ(body_of(first)["action_id"], body_of(again)["action_id"]);
  const std::string other = act(R"({"command": "release", "host": "agent-1"})", "Idempotency-Key: k-1\r\n");
  EXPECT_EQ(status_of(other), 409) << other;
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 1);

  // A hundred people press the button at once: one of them approves.
  add_user("eve", {Role::approver});
  const std::string approver = add_key("eve");
  const std::string id = body_of(first)["action_id"];
  ASSERT_EQ(body_of(first)["status"], "awaiting_approval");
  const std::string approve = "{\"comment\":\"yes\"}";
  std::vector<std::unique_ptr<net::test::RawClient>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<net::test::RawClient>(server_->port()));
    ASSERT_TRUE(clients.back()->send(
        head("POST /api/firebreak/actions/" + id + "/approve",
             "Authorization: " + approver + "\r\nContent-Length: " + std::to_string(approve.size()) + "\r\n") +
        "\r\n" + approve));
  }
  int approved = 0;
  for (auto& client : clients) approved += status_of(client->read_all()) == 200;
  EXPECT_GE(approved, 1);
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 1);
  EXPECT_EQ(audited("approved"), 1) << "one effect";
  EXPECT_EQ(ask("SELECT status FROM v_actions"), "requested");
  expect_bounded("after a race");
}

}  // namespace
}  // namespace fb::api::test
