// Hostile requests over real connections to the whole API: each is answered 4xx or cut off within its time and memory,
// and a good request beside it is answered within a second. What is about HTTP alone stands in tests/unit/net.
#include <chrono>
#include <fstream>

#include "tests/unit/api/api_support.h"
#include "tests/unit/net/net_support.h"

namespace fb::api::test {
namespace {

constexpr size_t kBodyBytes = 64u << 10;
constexpr size_t kImportBytes = 256u << 10;

int64_t resident_kib() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6));
  }
  return 0;
}

class Hostile : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    add_user("ada", {Role::admin});
    key_ = add_key("ada");
    net::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.limits.max_body_bytes = kBodyBytes;
    options.limits.header_deadline_ms = 1000;
    options.limits.body_deadline_ms = 1000;
    options.limits.write_deadline_ms = 1000;
    options.limits.max_connections = 6000;
    options.limits.max_connections_per_address = 6000;
    options.body_limit = body_limits(kBodyBytes, kImportBytes);
    options.threads = 2;
    auto server = net::start_http_server(options, handler_);
    ASSERT_TRUE(server) << server.error().describe();
    server_ = std::move(*server);
  }
  void TearDown() override {
    server_.reset();
    ApiTest::TearDown();
  }
  std::string head(const std::string& line, const std::string& more = "") {
    return line + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + more;
  }
  // The status of the answer; 0 when the server cut the connection.
  int send(const std::string& bytes) {
    net::test::RawClient client(server_->port());
    (void)client.send(bytes);
    const std::string answer = client.read_all();
    return answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
  }
  std::string authorized() const { return "Authorization: " + key_ + "\r\n"; }
  void expect_serving(const char* while_what) {
    const int64_t began = net::test::now_ms();
    EXPECT_EQ(send(head("GET /api/firebreak/users", authorized()) + "\r\n"), 200) << while_what;
    EXPECT_LT(net::test::now_ms() - began, 1000) << while_what;
  }
  std::string key_;
  std::unique_ptr<net::HttpServer> server_;
};

TEST_F(Hostile, CredentialsOfEveryWrongKind) {
  const std::string get = "GET /api/firebreak/users";
  EXPECT_EQ(send(head(get) + "\r\n"), 401);
  EXPECT_EQ(send(head(get, authorized() + authorized()) + "\r\n"), 400) << "two headers";
  EXPECT_EQ(send(head(get, "Authorization: ApiKey " + std::string(1 << 20, 'A') + "\r\n") + "\r\n"), 431);
  EXPECT_EQ(send(head(get, "Authorization: ApiKey " + std::string(8000, 'A') + "\r\n") + "\r\n"), 401);
  EXPECT_EQ(send(head(get, "X-Forwarded-For: 127.0.0.1\r\nREMOTE_ADDR: unix\r\nX-Real-IP: unix\r\n") + "\r\n"), 401);
  EXPECT_EQ(send("GET /api/firebreak/users HTTP/1.1\r\nHost: evil.example\r\n" + authorized() + "\r\n"), 421);
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
  EXPECT_EQ(post(std::string("\x1f\x8b\x08\x00\x00", 5), "Content-Encoding: gzip\r\n"), 400);
  EXPECT_EQ(post(std::string(kBodyBytes + 1, ' ')), 413);
  EXPECT_EQ(post("[" + std::string(kBodyBytes - 2, '[')), 400) << "depth";
  EXPECT_EQ(post(R"({"on": "yes", "comment": 5})"), 400);
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
  EXPECT_LT(resident_kib() - before, 64 << 10) << "KiB for 450 connections";
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
