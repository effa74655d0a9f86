#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>

#include "engine/net/http.h"
#include "engine/net/tls_files.h"
#include "tests/unit/net/net_support.h"

namespace fb::net {
namespace {

using test::eventually;
using test::now_ms;
using test::TemporaryFolder;

void echo(Request r, const std::shared_ptr<Responder>& out) {
  Response a;
  a.headers["X-Tls"] = r.tls ? "yes" : "no";
  if (r.path == "/redirect") {
    a.status = 302;
    a.headers["Location"] = "/elsewhere";
  }
  a.body = r.method + " " + r.path + " " + r.body;
  if (r.path == "/large") a.body.assign(100'000, 'x');
  if (r.path == "/never") {
    static_cast<void>(out);
    std::thread([out] {
      for (int i = 0; i < 1000 && !out->gone(); ++i) usleep(10'000);
      out->answer(Response{});
    }).detach();
    return;
  }
  out->answer(std::move(a));
}

struct Tls {
  TemporaryFolder dir;
  std::unique_ptr<HttpServer> server;
  std::string url;

  explicit Tls(const std::vector<std::string>& names = {"127.0.0.1", "localhost"}) {
    EXPECT_TRUE(create_ca(dir / "ca.pem", dir / "ca.key", "Test CA"));
    EXPECT_TRUE(create_server_certificate(dir / "ca.pem", dir / "ca.key", dir / "s.pem", dir / "s.key", names));
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.certificate_file = dir / "s.pem";
    options.private_key_file = dir / "s.key";
    auto started = start_http_server(options, echo);
    EXPECT_TRUE(started) << started.error().describe();
    server = std::move(*started);
    url = "https://127.0.0.1:" + std::to_string(server->port());
  }
};

TEST(HttpClient, SpeaksTlsWithTheGivenCaAndKeepsItsConnection) {
  const Tls tls;
  ClientOptions options;
  options.ca_file = tls.dir / "ca.pem";
  HttpClient client(options);
  for (int i = 0; i < 3; ++i) {
    const auto reply = client.request("POST", tls.url + "/a?b=c", {{"X-A", "1"}}, "body");
    ASSERT_TRUE(reply) << reply.error().describe();
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(reply->body, "POST /a body");
    EXPECT_EQ(reply->headers.at("x-tls"), "yes");
  }
  EXPECT_EQ(tls.server->stats().accepted, 1u);
}

TEST(HttpClient, RefusesACertificateOfAnotherCaOrForAnotherName) {
  const Tls tls;
  const TemporaryFolder other;
  ASSERT_TRUE(create_ca(other / "ca.pem", other / "ca.key", "Other CA"));
  ClientOptions options;
  options.ca_file = other / "ca.pem";
  const auto foreign = HttpClient(options).request("GET", tls.url, {}, "");
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, ErrorCode::refused);
  EXPECT_EQ(foreign.error().retry, Retry::no);

  const Tls misnamed({"fire.example"});
  options.ca_file = misnamed.dir / "ca.pem";
  const auto name = HttpClient(options).request("GET", misnamed.url, {}, "");
  ASSERT_FALSE(name);
  EXPECT_EQ(name.error().code, ErrorCode::refused);
  const auto system_roots = HttpClient(ClientOptions{}).request("GET", tls.url, {}, "");
  EXPECT_FALSE(system_roots);
}

// The server's certificate as it was, signed by the same CA, but past its end.
void let_expire(const Tls& tls) {
  const auto open = [](const std::string& file, const char* mode) {
    return std::unique_ptr<FILE, int (*)(FILE*)>(std::fopen(file.c_str(), mode), &std::fclose);
  };
  const std::unique_ptr<X509, void (*)(X509*)> certificate(
      PEM_read_X509(open(tls.dir / "s.pem", "r").get(), nullptr, nullptr, nullptr), &X509_free);
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      PEM_read_PrivateKey(open(tls.dir / "ca.key", "r").get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  ASSERT_TRUE(certificate && key);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -7200);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), -3600);
  ASSERT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  ASSERT_EQ(PEM_write_X509(open(tls.dir / "s.pem", "w").get(), certificate.get()), 1);
}

TEST(HttpClient, RefusesACertificateThatIsPastItsEnd) {
  Tls tls;
  let_expire(tls);
  tls.server.reset();
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.certificate_file = tls.dir / "s.pem";
  options.private_key_file = tls.dir / "s.key";
  auto server = start_http_server(options, echo);
  ASSERT_TRUE(server) << server.error().describe();
  ClientOptions client;
  client.ca_file = tls.dir / "ca.pem";
  const auto reply =
      HttpClient(client).request("GET", "https://127.0.0.1:" + std::to_string((*server)->port()), {}, "");
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::refused) << reply.error().describe();
}

// Accepts one connection; with `reset` it reads a little and resets it, else it says nothing until the end.
class IllServer {
 public:
  explicit IllServer(bool reset) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 4), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
    if (!reset) return;
    thread_ = std::thread([this] {
      const int connection = ::accept(listener_, nullptr, nullptr);
      char some[16];
      if (::recv(connection, some, sizeof(some), 0) < 0) ADD_FAILURE() << "nothing came";
      const linger at_once{1, 0};
      ::setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
      ::close(connection);
    });
  }
  ~IllServer() {
    if (thread_.joinable()) thread_.join();
    ::close(listener_);
  }
  std::string url;

 private:
  int listener_;
  std::thread thread_;
};

// Who tells a problem once compares its text: libcurl's has the milliseconds that it took.
TEST(HttpClient, TheSameProblemReadsTheSameEachTime) {
  ClientOptions options;
  options.total_timeout_ms = 100;
  const auto problem = [&](const std::string& url) {
    const auto reply = HttpClient(options).request("GET", url, {}, "");
    EXPECT_FALSE(reply);
    return reply ? std::string() : reply.error().message;
  };
  std::string url;
  {
    const IllServer silent(false);
    url = silent.url;
    const std::string timeout = problem(url);
    EXPECT_NE(timeout.find("timed out"), std::string::npos) << timeout;
    EXPECT_EQ(timeout.find("milliseconds"), std::string::npos) << timeout;
  }
  const std::string away = problem(url);
  EXPECT_NE(away.find("Failed to connect to 127.0.0.1 port"), std::string::npos) << away;
  EXPECT_EQ(away.find(" ms"), std::string::npos) << away;
}

TEST(HttpClient, TellsASilentServerAResetAndANameThatIsNoneApart) {
  ClientOptions options;
  options.total_timeout_ms = 500;
  {
    const IllServer silent(false);
    const int64_t start = now_ms();
    const auto reply = HttpClient(options).request("POST", silent.url, {}, "x");
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::timeout);
    EXPECT_LT(now_ms() - start, 3000);
  }
  options.total_timeout_ms = 5000;
  {
    const IllServer resets(true);
    const auto reply = HttpClient(options).request("POST", resets.url, {}, "x");
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::unavailable) << reply.error().describe();
    EXPECT_EQ(reply.error().retry, Retry::yes);
  }
  const auto nowhere = HttpClient(options).request("GET", "http://nowhere.invalid/", {}, "");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().retry, Retry::yes) << nowhere.error().describe();
  EXPECT_NE(nowhere.error().code, ErrorCode::refused);
}

TEST(HttpClient, PinsTheFingerprintOfTheCaOrOfTheCertificate) {
  const Tls tls;
  for (const char* file : {"ca.pem", "s.pem"}) {
    ClientOptions options;
    options.pinned_fingerprint = *certificate_fingerprint(tls.dir / file);
    const auto reply = HttpClient(options).request("GET", tls.url, {}, "");
    EXPECT_TRUE(reply) << file << ": " << reply.error().describe();
  }
  ClientOptions wrong;
  wrong.pinned_fingerprint = std::string(64, 'a');
  const auto refused = HttpClient(wrong).request("GET", tls.url, {}, "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::refused);

  const Tls misnamed({"fire.example"});  // a pinned CA does not excuse a wrong name
  ClientOptions pinned;
  pinned.pinned_fingerprint = *certificate_fingerprint(misnamed.dir / "ca.pem");
  EXPECT_FALSE(HttpClient(pinned).request("GET", misnamed.url, {}, ""));
}

TEST(HttpClient, APinIsNoProofForAChainThatTheCaDidNotSign) {
  // The server shows a stranger's certificate followed by the right CA's.
  const Tls real;
  const TemporaryFolder evil;
  ASSERT_TRUE(create_ca(evil / "ca.pem", evil / "ca.key", "Test CA"));
  ASSERT_TRUE(
      create_server_certificate(evil / "ca.pem", evil / "ca.key", evil / "s.pem", evil / "s.key", {"127.0.0.1"}));
  std::string leaf, ca;
  {
    const auto slurp = [](const std::string& file) {
      std::string text;
      FILE* f = std::fopen(file.c_str(), "r");
      char buffer[4096];
      for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, f)) > 0;) text.append(buffer, n);
      std::fclose(f);
      return text;
    };
    leaf = slurp(evil / "s.pem");
    leaf.resize(leaf.find("-----END CERTIFICATE-----") + 26);
    ca = slurp(real.dir / "ca.pem");
    FILE* f = std::fopen((evil / "mixed.pem").c_str(), "w");
    std::fputs((leaf + ca).c_str(), f);
    std::fclose(f);
  }
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.certificate_file = evil / "mixed.pem";
  options.private_key_file = evil / "s.key";
  const auto server = start_http_server(options, echo);
  ASSERT_TRUE(server) << server.error().describe();
  ClientOptions pinned;
  pinned.pinned_fingerprint = *certificate_fingerprint(real.dir / "ca.pem");
  const auto reply =
      HttpClient(pinned).request("GET", "https://127.0.0.1:" + std::to_string((*server)->port()), {}, "");
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::refused);
}

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}
void keep(const std::string& file, const std::string& text) {
  std::ofstream(file) << text;
}

TEST(HttpClient, ReachesAServerWhoseNameIsGoneWhereItWasLast) {
  const std::string name = "service.firebreak.invalid";
  const Tls tls({name, "localhost"});
  const std::string port = std::to_string(tls.server->port());
  ClientOptions options;
  options.ca_file = tls.dir / "ca.pem";
  options.address_file = tls.dir / "server_address";
  const auto get = [&](const std::string& host) {
    return HttpClient(options).request("GET", "https://" + host + ":" + port + "/a", {}, "");
  };
  EXPECT_FALSE(get(name)) << "nothing is known yet";
  ASSERT_TRUE(get("localhost"));
  EXPECT_EQ(text_of(options.address_file), "localhost:" + port + ":127.0.0.1:" + port + "\n");
  EXPECT_FALSE(get(name)) << "that is another host's address";
  keep(options.address_file, name + ":" + port + ":127.0.0.1:" + port + "\n");
  const auto reply = get(name);
  ASSERT_TRUE(reply) << reply.error().describe();
  EXPECT_EQ(reply->status, 200);

  // The address proves nothing: the certificate must still be for the name.
  const Tls other({"other.firebreak.invalid"});
  const std::string there = std::to_string(other.server->port());
  options.ca_file = other.dir / "ca.pem";
  keep(options.address_file, name + ":" + there + ":127.0.0.1:" + there + "\n");
  EXPECT_FALSE(HttpClient(options).request("GET", "https://" + name + ":" + there + "/a", {}, ""));
}

TEST(HttpClient, AsksForTheNameAgainWhenTheOldAddressDoesNotAnswer) {
  const std::string name = "service.firebreak.invalid";
  auto tls = std::make_unique<Tls>(std::vector<std::string>{name});
  const std::string port = std::to_string(tls->server->port());
  ClientOptions options;
  options.ca_file = tls->dir / "ca.pem";
  options.address_file = tls->dir / "server_address";
  const std::string url = "https://" + name + ":" + port + "/a";
  std::ofstream(options.address_file) << name << ":" << port << ":127.0.0.1:" << port << "\n";
  HttpClient client(options);
  ASSERT_TRUE(client.request("GET", url, {}, ""));
  tls->server->stop(0);
  EXPECT_FALSE(client.request("GET", url, {}, "")) << "nobody is there";
  const auto reply = client.request("GET", url, {}, "");
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::unavailable);
}

TEST(HttpClient, FollowsNoRedirect) {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  const auto server = start_http_server(options, echo);
  ASSERT_TRUE(server);
  const auto reply = HttpClient(ClientOptions{})
                         .request("GET", "http://127.0.0.1:" + std::to_string((*server)->port()) + "/redirect", {}, "");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 302);
  EXPECT_EQ(reply->headers.at("location"), "/elsewhere");
}

TEST(HttpClient, CapsTheReplyEndsInTimeAndReportsWhoIsNotThere) {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  auto server = start_http_server(options, echo);
  ASSERT_TRUE(server);
  const std::string url = "http://127.0.0.1:" + std::to_string((*server)->port());
  ClientOptions small;
  small.max_reply_bytes = 50'000;
  small.total_timeout_ms = 300;
  HttpClient client(small);
  const auto large = client.request("GET", url + "/large", {}, "");
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::limit);
  const int64_t start = now_ms();
  const auto slow = client.request("GET", url + "/never", {}, "");
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().code, ErrorCode::timeout);
  EXPECT_LT(now_ms() - start, 2000);
  EXPECT_TRUE(client.request("GET", url + "/fine", {}, ""));
  (*server)->stop(0);
  const auto gone = client.request("GET", url + "/fine", {}, "");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::unavailable);
  EXPECT_EQ(gone.error().retry, Retry::yes);
  EXPECT_EQ(client.request("GET", "ftp://127.0.0.1/", {}, "").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(client.request("GET", url, {{"A", "b\r\nC: d"}}, "").error().code, ErrorCode::invalid_argument);
}

TEST(HttpClient, IsCancelledFromAnotherThread) {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  auto server = start_http_server(options, echo);
  ASSERT_TRUE(server);
  HttpClient client(ClientOptions{});
  std::thread other([&] {
    usleep(100'000);
    client.cancel();
  });
  const int64_t start = now_ms();
  const auto reply = client.request("GET", "http://127.0.0.1:" + std::to_string((*server)->port()) + "/never", {}, "");
  other.join();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::unavailable);
  EXPECT_LT(now_ms() - start, 2000);
  EXPECT_FALSE(client.request("GET", "http://127.0.0.1:1/", {}, ""));
}

TEST(HttpClient, IsNotKilledByAServerThatWentAway) {
  auto tls = std::make_unique<Tls>();
  ClientOptions options;
  options.ca_file = tls->dir / "ca.pem";
  HttpClient client(options);
  ASSERT_TRUE(client.request("GET", tls->url, {}, ""));
  tls->server->stop(0);
  // SIGPIPE would end this program.
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(client.request("POST", tls->url, {}, std::string(1u << 20, 'x')));
}

}  // namespace
}  // namespace fb::net
