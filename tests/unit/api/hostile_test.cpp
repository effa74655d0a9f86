// Hostile requests over real connections to the whole API: each is answered 4xx or cut off within its time and memory,
// and a good request beside it is answered within a second. What is about HTTP alone stands in tests/unit/net.
#include "tests/unit/api/hostile_support.h"

namespace fb::api::test {
namespace {

TEST_F(Hostile, CredentialsOfEveryWrongKind) {
  const std::string get = "GET /api/firebreak/users";
  EXPECT_EQ(send(head(get) + "\r\n"), 401);
  EXPECT_EQ(send(head(get, authorized() + authorized()) + "\r\n"), 400) << "two headers";
  EXPECT_EQ(send(head(get, "Authorization: ApiKey " + std::string(1 << 20, 'A') + "\r\n") + "\r\n"), 431);
  EXPECT_EQ(send(head(get, "Authorization: ApiKey " + std::string(8000, 'A') + "\r\n") + "\r\n"), 401);
  EXPECT_EQ(send(head(get, "X-Forwarded-For: 127.0.0.1\r\nREMOTE_ADDR: unix\r\nX-Real-IP: unix\r\n") + "\r\n"), 401);
  EXPECT_EQ(
      send("GET /api/firebreak/users HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n" + authorized() + "\r\n"),
      421);
  EXPECT_EQ(send("GET http://evil.example/api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), 421)
      << "the target names the host, too";
  EXPECT_EQ(send("GET http://localhost/api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), 200);
  expect_serving("after wrong credentials");
}

TEST_F(Hostile, PathsAndIds) {
  for (const std::string id :
       {"'%20OR%201=1", "..", "%2e%2e%2f", "9223372036854775808", "%E2%98%83", "%00", "%", "%zz", "a%2Fb", "%ff"}) {
    const int got = send(head("GET /api/firebreak/actions/" + id, authorized()) + "\r\n");
    EXPECT_GE(got, 400) << id;
    EXPECT_LT(got, 500) << id;
  }
  EXPECT_EQ(send(head("GET /" + std::string(64 << 10, 'a'), authorized()) + "\r\n"), 431);
  for (const std::string limit : {"-1", "1000000000000", "x", "1e9", "9223372036854775808", "%00"}) {
    EXPECT_EQ(send(head("GET /api/firebreak/alerts?limit=" + limit, authorized()) + "\r\n"), 400) << limit;
    EXPECT_EQ(send(head("GET /api/firebreak/audit?after=" + limit, authorized()) + "\r\n"),
              limit[0] == '1' && limit[1] == '0' ? 200 : 400)
        << limit;
  }
  expect_serving("after strange paths");
}

TEST_F(Hostile, BodiesThatAreNoneOrTooMuch) {
  const auto post = [&](const std::string& body, const std::string& more = "") {
    return send(head("POST /api/firebreak/kill_switch",
                     authorized() + more + "Content-Length: " + std::to_string(body.size()) + "\r\n") +
                "\r\n" + body);
  };
  EXPECT_EQ(post(""), 400);
  EXPECT_EQ(post("not json"), 400);
  EXPECT_EQ(post(std::string("\x1f\x8b\x08\x00\x00", 5), "Content-Encoding: gzip\r\n"), 415);
  EXPECT_EQ(post(std::string(kBodyBytes + 1, ' ')), 413);
  EXPECT_EQ(post("[" + std::string(kBodyBytes - 2, '[')), 400) << "depth";
  EXPECT_EQ(post(R"({"on": "yes", "comment": 5})"), 400);
  EXPECT_EQ(post(R"({"on": true, "comment": 5})"), 400);
  EXPECT_EQ(post(R"({"on": true, "on": false})"), 400) << "a key twice";
  EXPECT_EQ(post(R"({"on": true, "more": [{"a": 1, "b": {"c": 1, "\u0063": 2}}]})"), 400) << "in another spelling";
  EXPECT_FALSE(store_->kill_switch().value()) << "a comment that is none changes nothing";
  const std::string chunk = "ffff\r\n" + std::string(0xffff, 'x') + "\r\n";
  EXPECT_EQ(send(head("POST /api/firebreak/kill_switch", authorized() + "Transfer-Encoding: chunked\r\n") + "\r\n" +
                 chunk + chunk),
            413);
  expect_serving("after strange bodies");
}

TEST_F(Hostile, OnlyImportsWithCredentialsMayBeLarge) {
  const auto limit = body_limits(kBodyBytes, kImportBytes);
  net::Request plain = request("POST", "/api/firebreak/kill_switch");
  EXPECT_EQ(limit(with(plain, "authorization", key_)), kBodyBytes);
  for (const Router::Listed& route : all_routes().list()) {
    if (!all_routes().find(route.method, route.pattern).takes_import) continue;
    const net::Request import = request(route.method, route.pattern);
    EXPECT_EQ(limit(import), kBodyBytes) << route.pattern << " without credentials";
    EXPECT_EQ(limit(with(import, "authorization", key_)), kImportBytes) << route.pattern;
  }
}

TEST_F(Hostile, ManyIdleAndSlowConnectionsLeaveTheOthersAlone) {
  const int64_t before = resident_kib();
  std::vector<std::unique_ptr<net::test::RawClient>> idle;
  for (int i = 0; i < 400; ++i) idle.push_back(std::make_unique<net::test::RawClient>(server_->port()));
  std::vector<std::unique_ptr<net::test::RawClient>> slow;
  for (int i = 0; i < 50; ++i) {
    slow.push_back(std::make_unique<net::test::RawClient>(server_->port()));
    ASSERT_TRUE(slow.back()->send(
        i % 2 == 0 ? "GET / HT"
                   : head("POST /api/firebreak/kill_switch", authorized() + "Content-Length: 60000\r\n") + "\r\n{"));
  }
  expect_serving("beside idle and slow ones");
  EXPECT_LT(resident_kib() - before, kMemoryFactor * (64 << 10)) << "KiB for 450 connections";
  for (auto& client : slow) EXPECT_TRUE(client->closed_within(3000));
  EXPECT_GE(server_->stats().timed_out, 50u);
}

TEST_F(Hostile, PasswordsDoNotHoldUpOthers) {
  std::vector<std::unique_ptr<net::test::RawClient>> guessing;
  for (int i = 0; i < 100; ++i) {
    guessing.push_back(std::make_unique<net::test::RawClient>(server_->port()));
    ASSERT_TRUE(guessing.back()->send(
        head("GET /api/firebreak/users", "Authorization: " + basic("ada", "guess " + std::to_string(i)) + "\r\n") +
        "\r\n"));
  }
  expect_serving("beside a hundred guesses");
  for (auto& client : guessing) {
    const std::string answer = client->read_all();
    const std::string status = answer.substr(9, 3);
    EXPECT_TRUE(status == "401" || status == "429" || status == "503") << answer.substr(0, 80);
  }
}

}  // namespace
}  // namespace fb::api::test
