// What a server learns of the certificates that clients show.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "engine/base/clock.h"
#include "engine/net/http.h"
#include "engine/net/tls_files.h"
#include "tests/unit/net/net_support.h"

namespace fb::net {
namespace {

using test::TemporaryFolder;

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// Answers "<sha256> <name> <expired>".
struct Rig {
  TemporaryFolder dir;
  std::unique_ptr<HttpServer> server;

  Rig() {
    EXPECT_TRUE(create_ca(dir / "ca.pem", dir / "ca.key", "CA"));
    EXPECT_TRUE(create_ca(dir / "alien.pem", dir / "alien.key", "Another CA"));
    EXPECT_TRUE(create_server_certificate(dir / "ca.pem", dir / "ca.key", dir / "s.pem", dir / "s.key", {"127.0.0.1"}));
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.certificate_file = dir / "s.pem";
    options.private_key_file = dir / "s.key";
    options.client_ca_file = dir / "ca.pem";
    auto started = start_http_server(options, [](Request r, std::shared_ptr<Responder> out) {
      Response response;
      response.body = r.client_sha256 + " " + r.client_name + (r.client_expired ? " expired" : "");
      out->answer(std::move(response));
    });
    EXPECT_TRUE(started) << started.error().describe();
    server = std::move(*started);
  }
  ClientCertificatePem certificate(const std::string& file, const std::string& ca, int64_t lives_ms) {
    const auto csr = make_certificate_request(dir / (file + ".key"));
    const auto made = sign_client_certificate(dir / (ca + ".pem"), dir / (ca + ".key"), *csr, "agent-1",
                                              system_clock().wall_ms() + lives_ms);
    EXPECT_TRUE(made) << made.error().describe();
    EXPECT_TRUE(write_private_file(dir / file, made->pem + text_of(dir / (file + ".key"))));
    return *made;
  }
  Result<ClientReply> ask(const std::string& identity) {
    ClientOptions options;
    options.ca_file = dir / "ca.pem";
    options.total_timeout_ms = 5000;
    if (!identity.empty()) options.client_certificate_file = options.client_key_file = dir / identity;
    return HttpClient(options).request("GET", "https://127.0.0.1:" + std::to_string(server->port()) + "/", {}, "");
  }
};

TEST(ClientCertificate, IsNotDemanded) {
  Rig rig;
  const auto reply = rig.ask("");
  ASSERT_TRUE(reply) << reply.error().describe();
  EXPECT_EQ(reply->body, " ");
}

TEST(ClientCertificate, TellsHashAndName) {
  Rig rig;
  const auto cert = rig.certificate("a.pem", "ca", 60'000);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(rig.ask("a.pem")->body, cert.sha256 + " agent-1");
}

TEST(ClientCertificate, OneThatIsPastItsEndIsToldAsSuch) {
  Rig rig;
  const auto cert = rig.certificate("a.pem", "ca", -60'000);
  const auto reply = rig.ask("a.pem");
  ASSERT_TRUE(reply) << reply.error().describe();
  EXPECT_EQ(reply->body, cert.sha256 + " agent-1 expired");
}

TEST(ClientCertificate, OfAnotherCaOrForAServerEndsTheHandshake) {
  Rig rig;
  rig.certificate("a.pem", "alien", 60'000);
  EXPECT_FALSE(rig.ask("a.pem"));
  rig.certificate("old.pem", "alien", -60'000);
  EXPECT_FALSE(rig.ask("old.pem")) << "its age excuses nothing else";
  ASSERT_TRUE(write_private_file(rig.dir / "b.pem", text_of(rig.dir / "s.pem") + text_of(rig.dir / "s.key")));
  EXPECT_FALSE(rig.ask("b.pem")) << "a certificate for servers is none for clients";
}

TEST(ClientCertificate, NeedsTlsAndACaThatIsThere) {
  const TemporaryFolder dir;
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.client_ca_file = dir / "none.pem";
  EXPECT_FALSE(start_http_server(options, [](Request, std::shared_ptr<Responder>) {}));
}

}  // namespace
}  // namespace fb::net
