// The whole API behind a real server with small limits, and sockets that misbehave.
#pragma once

#include <chrono>
#include <fstream>

#include "tests/unit/api/api_support.h"
#include "tests/unit/net/net_support.h"

namespace fb::api::test {

inline constexpr size_t kBodyBytes = 64u << 10;
// A sanitizer keeps what was freed for a while.
#ifdef __SANITIZE_ADDRESS__
inline constexpr int64_t kMemoryFactor = 10;
#else
inline constexpr int64_t kMemoryFactor = 1;
#endif
inline constexpr size_t kImportBytes = 256u << 10;

inline int64_t resident_kib() {
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
  int send(const std::string& bytes) { return status_of(answer_to(bytes)); }
  std::string answer_to(const std::string& bytes) {
    net::test::RawClient client(server_->port());
    (void)client.send(bytes);
    return client.read_all();
  }
  static int status_of(const std::string& answer) {
    return answer.starts_with("HTTP/1.1 ") && answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
  }
  std::string post_text(const std::string& target, const std::string& body, const std::string& more = "") {
    return head("POST " + target, authorized() + "Content-Type: application/json\r\n" + more +
                                      "Content-Length: " + std::to_string(body.size()) + "\r\n") +
           "\r\n" + body;
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

}  // namespace fb::api::test
