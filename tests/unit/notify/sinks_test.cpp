// Each sink against a server that plays the other side: what arrives, what is signed, what can't be smuggled in.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "actions/notify/translate.h"
#include "engine/base/digest.h"
#include "engine/base/json.h"
#include "engine/net/http.h"
#include "engine/net/tls_files.h"
#include "tests/unit/notify/fakes.h"

namespace fb::notify {
namespace {

constexpr const char* kCanary = "canary-7f3d-secret";

class Sinks : public testing::Test {
 protected:
  Sinks() {
    char name[] = "/tmp/fb-sinks-XXXXXX";
    dir = mkdtemp(name);
    context.text = [this](const std::string& key) { return text[key]; };
    context.list = [this](const std::string& key) { return list[key]; };
    context.resolve = [this](const std::string&) -> Result<std::vector<std::string>> {
      ++lookups;
      return std::vector<std::string>{"127.0.0.1"};
    };
    context.rules.allow_private = {"127.0.0.1"};
    context.clock = &clock;
    context.hostname = "fb-1";
  }
  ~Sinks() override {
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
  }
  std::string secret(const std::string& name, const std::string& content, mode_t mode = 0600) {
    const std::string path = dir + "/" + name;
    std::ofstream(path) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  std::unique_ptr<Sink> one() {
    auto made = make_subscriptions(context);
    if (!made) {
      problem = made.error().describe();
      return nullptr;
    }
    EXPECT_EQ(made->size(), 1u);
    return made->empty() ? nullptr : std::move(made->front().sink);
  }
  static Notification sample() {
    Notification n;
    n.id = "42";
    n.kind = "action_verified";
    n.level = Level::high;
    n.at = "2026-11-21T20:14:34.123Z";
    n.endpoint_id = "a1";
    n.hostname = "web-1";
    n.rule_id = "office";
    n.comment = "why";
    n.text = "web-1: isolate verified, rule office: why";
    return n;
  }

  std::string dir;
  std::string problem;
  std::atomic<int> lookups{0};
  fb::test::FakeClock clock;
  std::map<std::string, std::string> text;
  std::map<std::string, std::vector<std::string>> list;
  SinkContext context;
};

// An HTTPS server for hook.test that answers what it is told and keeps what it got.
class Receiver {
 public:
  Receiver(const std::string& dir, int status, std::map<std::string, std::string> headers = {}) {
    EXPECT_TRUE(net::create_ca(dir + "/ca.pem", dir + "/ca.key", "test"));
    EXPECT_TRUE(net::create_server_certificate(dir + "/ca.pem", dir + "/ca.key", dir + "/s.pem", dir + "/s.key",
                                               {"hook.test"}));
    net::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.certificate_file = dir + "/s.pem";
    options.private_key_file = dir + "/s.key";
    auto made = net::start_http_server(options, [this, status, headers](net::Request r, auto responder) {
      {
        const std::lock_guard lock(mutex_);
        got_.push_back(std::move(r));
      }
      net::Response answer;
      answer.status = status;
      answer.headers = headers;
      responder->answer(std::move(answer));
    });
    EXPECT_TRUE(made);
    server_ = std::move(*made);
  }
  std::string url(const std::string& path) const {
    return "https://hook.test:" + std::to_string(server_->port()) + path;
  }
  std::vector<net::Request> got() {
    const std::lock_guard lock(mutex_);
    return got_;
  }

 private:
  std::mutex mutex_;
  std::vector<net::Request> got_;
  std::unique_ptr<net::HttpServer> server_;
};

TEST_F(Sinks, a_webhook_gets_the_json_with_a_signature_over_time_and_body) {
  Receiver receiver(dir, 204);
  context.ca_file = dir + "/ca.pem";
  text["webhook.url"] = receiver.url("/hook?token=x");
  text["webhook.secret_file"] = secret("s", std::string(kCanary) + "\n");
  const auto sink = one();
  ASSERT_TRUE(sink) << problem;
  const Status sent = sink->send(sample());
  ASSERT_TRUE(sent) << sent.error().describe();
  const auto got = receiver.got();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].method, "POST");
  EXPECT_EQ(got[0].target, "/hook?token=x");
  EXPECT_EQ(got[0].headers.at("content-type"), "application/json");
  EXPECT_EQ(got[0].body, json_body(sample()));
  const std::string t = std::to_string(clock.wall_ms() / 1000);
  const std::string signed_text = t + "." + got[0].body;
  unsigned char mac[32];
  unsigned size = 0;
  HMAC(EVP_sha256(), kCanary, static_cast<int>(strlen(kCanary)),
       reinterpret_cast<const unsigned char*>(signed_text.data()), signed_text.size(), mac, &size);
  EXPECT_EQ(got[0].headers.at("x-firebreak-signature"),
            "t=" + t + ",v1=" + hex(std::string_view(reinterpret_cast<const char*>(mac), size)));
  EXPECT_EQ(lookups.load(), 1);
}

TEST_F(Sinks, no_error_holds_the_path_of_a_url_or_a_secret) {
  for (const int status : {302, 404, 500}) {
    std::filesystem::remove_all(dir);
    std::filesystem::create_directories(dir);
    // The redirect leads to the cloud's metadata; nobody goes there.
    Receiver receiver(dir, status, {{"location", "http://169.254.169.254/latest/meta-data/"}});
    context.ca_file = dir + "/ca.pem";
    text["slack.url_file"] = secret("u", receiver.url(std::string("/services/") + kCanary));
    const auto sink = one();
    ASSERT_TRUE(sink) << problem;
    const Status sent = sink->send(sample());
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().describe().find(kCanary), std::string::npos) << sent.error().describe();
    EXPECT_NE(sent.error().describe().find(std::to_string(status)), std::string::npos);
    EXPECT_EQ(sent.error().retry, status == 500 ? Retry::yes : Retry::no);
    EXPECT_EQ(receiver.got().size(), 1u);
    EXPECT_EQ(lookups.exchange(0), 1);
  }
  // Nor does it when the server's certificate is not trusted.
  std::filesystem::create_directories(dir + "/other");
  Receiver receiver(dir + "/other", 200);
  text["slack.url_file"] = secret("u", receiver.url(std::string("/services/") + kCanary));
  const auto untrusting = one();
  ASSERT_TRUE(untrusting);
  const Status refused = untrusting->send(sample());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().describe().find(kCanary), std::string::npos) << refused.error().describe();
  EXPECT_TRUE(receiver.got().empty());
}

TEST_F(Sinks, a_sink_asks_the_address_guard_each_time) {
  context.rules.allow_private.clear();
  text["webhook.url"] = "https://hook.test:1/x";
  const auto sink = one();
  ASSERT_TRUE(sink);
  for (int i = 0; i < 2; ++i) {
    const Status sent = sink->send(sample());
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::refused);
  }
  EXPECT_EQ(lookups.load(), 2);
}

TEST_F(Sinks, slack_gets_text_without_its_markup) {
  Receiver receiver(dir, 200);
  context.ca_file = dir + "/ca.pem";
  text["slack.url_file"] = secret("u", receiver.url("/s") + "\n");
  const auto sink = one();
  ASSERT_TRUE(sink) << problem;
  Notification n = sample();
  n.text = "web-1: <!channel> & <https://evil|here>";
  ASSERT_TRUE(sink->send(n));
  const auto json = nlohmann::json::parse(receiver.got().at(0).body);
  EXPECT_EQ(json["text"], "*Firebreak* (high) web-1: &lt;!channel&gt; &amp; &lt;https://evil|here&gt;");
  EXPECT_EQ(json["attachments"][0]["fields"][0]["value"], "web-1");
}

TEST_F(Sinks, a_secret_that_others_may_read_is_refused) {
  text["webhook.url"] = "https://hook.test/x";
  for (const mode_t mode : {0640, 0604, 0660, 0644}) {
    text["webhook.secret_file"] = secret("s", kCanary, mode);
    EXPECT_FALSE(one());
    EXPECT_NE(problem.find("notifications.webhook"), std::string::npos) << problem;
    EXPECT_NE(problem.find("chmod 600"), std::string::npos) << problem;
    EXPECT_EQ(problem.find(kCanary), std::string::npos);
  }
  text["webhook.secret_file"] = secret("s", kCanary, 0400);
  EXPECT_TRUE(one()) << problem;
  for (const std::string& bad : {dir, dir + "/gone", secret("empty", "\n"), secret("big", std::string(70'000, 'x'))}) {
    text["webhook.secret_file"] = bad;
    EXPECT_FALSE(one()) << bad;
  }
}

TEST_F(Sinks, wrong_settings_name_their_key) {
  text["syslog.address"] = "udp://127.0.0.1:514";
  list["syslog.events"] = {"action_verifed"};
  EXPECT_FALSE(one());
  EXPECT_EQ(problem,
            "notifications.syslog.events: there is no event 'action_verifed'; did you mean 'action_verified'?");
  list.clear();
  text["syslog.min_severity"] = "urgent";
  EXPECT_FALSE(one());
  text.clear();
  for (const char* address : {"127.0.0.1:514", "udp://", "udp://h:0x1", "tcp://h:70000", "unix:dev/log", "udp://h:"}) {
    text["syslog.address"] = address;
    EXPECT_FALSE(one()) << address;
  }
  text.clear();
  context.rules.allow_private = {"10.0.0.0/99"};
  text["webhook.url"] = "https://hook.test/";
  EXPECT_FALSE(one());
  EXPECT_NE(problem.find("notifications.allow_private"), std::string::npos) << problem;
}

// --- mail ---

int listen_on(uint16_t& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(a);
  EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof(a)), 0);
  EXPECT_EQ(listen(fd, 4), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
  port = ntohs(a.sin_port);
  return fd;
}

void limit_wait(int fd) {
  const timeval five{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &five, sizeof(five));
}

// A mail server for one connection.
class MailServer {
 public:
  explicit MailServer(std::string rcpt_answer = "250 ok") : rcpt_(std::move(rcpt_answer)) {
    fd_ = listen_on(port_);
    limit_wait(fd_);
    thread_ = std::thread([this] { serve(); });
  }
  ~MailServer() {
    if (thread_.joinable()) thread_.join();
    close(fd_);
  }
  std::string server() const { return "smtp://127.0.0.1:" + std::to_string(port_); }
  std::string wait_commands() {
    thread_.join();
    return commands_;
  }
  const std::string& data() const { return data_; }

 private:
  void serve() {
    const int c = accept(fd_, nullptr, nullptr);
    if (c < 0) return;
    limit_wait(c);
    const auto say = [c](const std::string& line) { (void)!write(c, (line + "\r\n").data(), line.size() + 2); };
    say("220 test");
    std::string buffer;
    bool in_data = false;
    char chunk[4096];
    for (ssize_t n = 0; (n = read(c, chunk, sizeof(chunk))) > 0;) {
      buffer.append(chunk, static_cast<size_t>(n));
      for (size_t end = 0; (end = buffer.find("\r\n")) != std::string::npos; buffer.erase(0, end + 2)) {
        const std::string line = buffer.substr(0, end);
        if (in_data) {
          if (line == ".") {
            in_data = false;
            say("250 taken");
          } else {
            data_ += line + "\n";
          }
          continue;
        }
        commands_ += line + "\n";
        if (line.starts_with("EHLO")) {
          say("250 test");
        } else if (line.starts_with("RCPT")) {
          say(rcpt_);
        } else if (line == "DATA") {
          in_data = true;
          say("354 go on");
        } else if (line == "QUIT") {
          say("221 bye");
        } else {
          say("250 ok");
        }
      }
    }
    close(c);
  }

  const std::string rcpt_;
  uint16_t port_ = 0;
  int fd_ = -1;
  std::string commands_;
  std::string data_;
  std::thread thread_;
};

TEST_F(Sinks, a_mail_goes_out_and_nothing_can_be_put_into_its_head) {
  MailServer server;
  text = {{"smtp.server", server.server()}, {"smtp.from", "firebreak@example.com"}, {"smtp.starttls", "never"}};
  list["smtp.to"] = {"soc@example.com", "oncall+fb@example.com"};
  const auto sink = one();
  ASSERT_TRUE(sink) << problem;
  Notification n = sample();
  n.text = "web-1\r\nBcc: evil@example.com\r\n\r\nbody \u00fcber";
  n.comment = "x\r\n.\r\nMAIL FROM:<evil@example.com>";
  n.hostname = "web\r\nX-Evil: 1";
  const Status sent = sink->send(n);
  ASSERT_TRUE(sent) << sent.error().describe();
  const std::string commands = server.wait_commands();
  EXPECT_NE(commands.find("MAIL FROM:<firebreak@example.com>"), std::string::npos) << commands;
  EXPECT_NE(commands.find("RCPT TO:<soc@example.com>"), std::string::npos);
  EXPECT_NE(commands.find("RCPT TO:<oncall+fb@example.com>"), std::string::npos);
  EXPECT_EQ(commands.find("evil"), std::string::npos) << commands;
  const std::string head = server.data().substr(0, server.data().find("\n\n"));
  EXPECT_EQ(head.find("evil"), std::string::npos) << head;
  EXPECT_EQ(head.find("Bcc"), std::string::npos) << head;
  EXPECT_NE(head.find("Date: Tue, 14 Nov 2023 22:13:20 +0000"), std::string::npos) << head;
  EXPECT_NE(head.find("Message-ID: <42."), std::string::npos) << head;
  std::string body = server.data().substr(head.size() + 2);
  body.erase(std::remove(body.begin(), body.end(), '\n'), body.end());
  const auto plain = unbase64(body);
  ASSERT_TRUE(plain);
  EXPECT_NE(plain->find("Severity: high\r\n"), std::string::npos) << *plain;
  EXPECT_NE(plain->find("Rule: office\r\n"), std::string::npos);
  EXPECT_EQ(plain->find("\r\n.\r\n"), std::string::npos);
}

TEST_F(Sinks, a_mail_server_that_refuses_or_has_no_tls_is_not_asked_again_soon) {
  {
    MailServer server("550 no such user");
    text = {{"smtp.server", server.server()}, {"smtp.from", "a@example.com"}, {"smtp.starttls", "never"}};
    list["smtp.to"] = {"b@example.com"};
    const auto sink = one();
    ASSERT_TRUE(sink) << problem;
    const Status sent = sink->send(sample());
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().retry, Retry::no) << sent.error().describe();
  }
  {
    MailServer server;  // offers no STARTTLS, which is required as shipped: the password must not go out
    text = {{"smtp.server", server.server()}, {"smtp.from", "a@example.com"}, {"smtp.user", "fb"}};
    text["smtp.password_file"] = secret("p", kCanary);
    const auto sink = one();
    ASSERT_TRUE(sink) << problem;
    const Status sent = sink->send(sample());
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().describe().find(kCanary), std::string::npos);
    EXPECT_EQ(server.wait_commands().find("AUTH"), std::string::npos);
  }
}

TEST_F(Sinks, mail_settings_that_could_smuggle_or_leak_are_refused) {
  const auto refused = [&](const std::string& from, const std::string& to, const std::string& server) {
    text = {{"smtp.server", server}, {"smtp.from", from}};
    list["smtp.to"] = {to};
    return one() == nullptr;
  };
  EXPECT_FALSE(refused("a@b.c", "d@e.f", "smtp://mail"));
  for (const char* bad : {"a@b.c\r\nBcc: x@y.z", "a b@c.d", "<a@b.c>", "a@b.c>", "a@b@c", "@b", "a@", "", "a@b.c,d@e.f",
                          "-f@x.y", "\u00e4@b.c"}) {
    EXPECT_TRUE(refused("a@b.c", bad, "smtp://mail")) << bad;
    EXPECT_TRUE(refused(bad, "a@b.c", "smtp://mail")) << bad;
  }
  for (const char* bad : {"mail", "http://mail", "smtp://u:p@mail", "smtp://mail/x", "smtp://", "smtp://a b"}) {
    EXPECT_TRUE(refused("a@b.c", "d@e.f", bad)) << bad;
  }
  text = {{"smtp.server", "smtp://mail"}, {"smtp.from", "a@b.c"}, {"smtp.user", "u"}, {"smtp.starttls", "never"}};
  text["smtp.password_file"] = secret("p", kCanary);
  EXPECT_FALSE(one());  // a password in the clear
}

// --- syslog ---

constexpr const char* kHead = "<84>1 2026-11-21T20:14:34.123Z fb-1 firebreak ";

TEST_F(Sinks, syslog_over_udp_is_one_rfc5424_message) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(a);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof(a)), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
  limit_wait(fd);
  text["syslog.address"] = "udp://127.0.0.1:" + std::to_string(ntohs(a.sin_port));
  const auto sink = one();
  ASSERT_TRUE(sink) << problem;
  Notification n = sample();
  n.rule_id = "a\"b]c\\d\ne";
  n.text = "x\n<1>forged";
  ASSERT_TRUE(sink->send(n));
  char buffer[4096];
  std::string got(buffer, static_cast<size_t>(std::max<ssize_t>(0, recv(fd, buffer, sizeof(buffer), 0))));
  EXPECT_TRUE(got.starts_with(kHead + std::to_string(getpid()) + " action_verified [firebreak@32473 id=\"42\"")) << got;
  EXPECT_NE(got.find("rule_id=\"a\\\"b\\]c\\\\d\\\\x0ae\""), std::string::npos) << got;
  EXPECT_EQ(got.find('\n'), std::string::npos) << got;
  n.text = std::string(9000, 'y');
  ASSERT_TRUE(sink->send(n));
  EXPECT_EQ(recv(fd, buffer, sizeof(buffer), 0), 2048);
  close(fd);
}

TEST_F(Sinks, syslog_over_tcp_counts_its_bytes_and_tells_when_nobody_is_there) {
  uint16_t port = 0;
  const int fd = listen_on(port);
  limit_wait(fd);
  text["syslog.address"] = "tcp://127.0.0.1:" + std::to_string(port);
  const auto sink = one();
  ASSERT_TRUE(sink) << problem;
  std::string got;
  std::thread server([&] {
    const int c = accept(fd, nullptr, nullptr);
    limit_wait(c);
    char buffer[4096];
    for (ssize_t n = 0; (n = read(c, buffer, sizeof(buffer))) > 0;) got.append(buffer, static_cast<size_t>(n));
    close(c);
  });
  const Status sent = sink->send(sample());
  server.join();
  ASSERT_TRUE(sent) << sent.error().describe();
  const size_t blank = got.find(' ');
  EXPECT_EQ(std::stoul(got.substr(0, blank)), got.size() - blank - 1);
  EXPECT_TRUE(got.substr(blank + 1).starts_with(kHead)) << got;
  EXPECT_TRUE(got.ends_with("\xEF\xBB\xBF" + sample().text)) << got;
  close(fd);
  const Status gone = sink->send(sample());
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().retry, Retry::yes);
}

TEST_F(Sinks, syslog_over_a_unix_socket) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  const std::string path = dir + "/log";
  std::copy(path.begin(), path.end(), a.sun_path);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof(a)), 0);
  limit_wait(fd);
  text["syslog.address"] = "unix://" + path;
  const auto sink = one();
  ASSERT_TRUE(sink) << problem;
  ASSERT_TRUE(sink->send(sample()));
  char buffer[4096];
  const ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
  ASSERT_GT(n, 0);
  EXPECT_TRUE(std::string(buffer, static_cast<size_t>(n)).starts_with(kHead));
  close(fd);
  unlink(path.c_str());
  EXPECT_FALSE(sink->send(sample()));
}

// A server that takes the connection and never says a word: cancel() ends the wait.
TEST_F(Sinks, a_silent_server_is_left_at_once_when_the_service_stops) {
  uint16_t port = 0;
  const int fd = listen_on(port);
  text["webhook.url"] = "https://hook.test:" + std::to_string(port) + "/";
  const auto sink = one();
  ASSERT_TRUE(sink);
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    sink->cancel();
  });
  const auto before = std::chrono::steady_clock::now();
  EXPECT_FALSE(sink->send(sample()));
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(3));
  stopper.join();
  close(fd);
}

}  // namespace
}  // namespace fb::notify
