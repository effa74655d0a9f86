#include "engine/net/tls_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "engine/base/clock.h"
#include "tests/unit/net/net_support.h"

namespace fb::net {
namespace {

using test::TemporaryFolder;

TEST(TlsFiles, MakesAChainWithTheNamesAskedFor) {
  const TemporaryFolder dir;
  ASSERT_TRUE(create_ca(dir / "ca.pem", dir / "ca.key", "Firebreak test CA"));
  const auto made = create_server_certificate(dir / "ca.pem", dir / "ca.key", dir / "server.pem", dir / "server.key",
                                              {"fire.example", "127.0.0.1", "::1"}, 90);
  ASSERT_TRUE(made) << made.error().describe();
  const auto facts = certificate_facts(dir / "server.pem");
  ASSERT_TRUE(facts) << facts.error().describe();
  EXPECT_EQ(facts->names, (std::vector<std::string>{"fire.example", "127.0.0.1", "::1"}));
  const int64_t days = (facts->not_after_ms - system_clock().wall_ms()) / 86'400'000;
  EXPECT_GE(days, 89);
  EXPECT_LE(days, 90);
  EXPECT_NE(*certificate_fingerprint(dir / "server.pem"), *certificate_fingerprint(dir / "ca.pem"));
  EXPECT_EQ(certificate_fingerprint(dir / "ca.pem")->size(), 64u);
}

TEST(TlsFiles, AreForTheOwnerOnly) {
  const TemporaryFolder dir;
  ASSERT_TRUE(create_ca(dir / "ca.pem", dir / "ca.key", "CA"));
  ASSERT_TRUE(create_server_certificate(dir / "ca.pem", dir / "ca.key", dir / "s.pem", dir / "s.key", {"localhost"}));
  for (const char* name : {"ca.pem", "ca.key", "s.pem", "s.key"}) {
    struct stat facts {};
    ASSERT_EQ(::stat((dir / name).c_str(), &facts), 0) << name;
    EXPECT_EQ(facts.st_mode & 0777, 0600u) << name;
  }
}

TEST(TlsFiles, NeverReplaceACertificateAuthority) {
  const TemporaryFolder dir;
  ASSERT_TRUE(create_ca(dir / "ca.pem", dir / "ca.key", "CA"));
  const std::string before = *certificate_fingerprint(dir / "ca.pem");
  const auto again = create_ca(dir / "ca.pem", dir / "other.key", "CA");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::already_exists);
  EXPECT_EQ(*certificate_fingerprint(dir / "ca.pem"), before);
  EXPECT_NE(::access((dir / "other.key").c_str(), F_OK), 0);
}

TEST(TlsFiles, RefuseAForeignKeyAndANameThatIsNone) {
  const TemporaryFolder dir;
  ASSERT_TRUE(create_ca(dir / "a.pem", dir / "a.key", "A"));
  ASSERT_TRUE(create_ca(dir / "b.pem", dir / "b.key", "B"));
  const auto foreign = create_server_certificate(dir / "a.pem", dir / "b.key", dir / "s.pem", dir / "s.key", {"x"});
  ASSERT_FALSE(foreign);
  EXPECT_NE(foreign.error().describe().find("b.key"), std::string::npos);
  for (const char* bad : {"", "a,DNS:evil", "a:b", "a b"}) {
    EXPECT_FALSE(create_server_certificate(dir / "a.pem", dir / "a.key", dir / "s.pem", dir / "s.key", {bad})) << bad;
  }
  EXPECT_FALSE(create_server_certificate(dir / "a.pem", dir / "a.key", dir / "s.pem", dir / "s.key", {}));
}

TEST(TlsFiles, ARequestKeepsItsKeyAndTheCaChoosesTheName) {
  const TemporaryFolder dir;
  ASSERT_TRUE(create_ca(dir / "ca.pem", dir / "ca.key", "CA"));
  const auto first = make_certificate_request(dir / "agent.key");
  const auto again = make_certificate_request(dir / "agent.key");
  const auto other = make_certificate_request(dir / "other.key");
  ASSERT_TRUE(first && again && other);
  EXPECT_EQ(*request_key_id(*first), *request_key_id(*again)) << "one key, one name for it";
  EXPECT_NE(*request_key_id(*first), *request_key_id(*other));
  struct stat facts {};
  ASSERT_EQ(::stat((dir / "agent.key").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  const int64_t end = system_clock().wall_ms() + 30ll * 86'400'000;
  const auto made =
      sign_client_certificate(dir / "ca.pem", dir / "ca.key", *first, "agent 1, of many: " + std::string(90, 'x'), end);
  ASSERT_TRUE(made) << made.error().describe();
  ASSERT_TRUE(write_private_file(dir / "agent.pem", made->pem));
  EXPECT_EQ(*certificate_fingerprint(dir / "agent.pem"), made->sha256);
  EXPECT_EQ(certificate_facts(dir / "agent.pem")->not_after_ms / 1000, end / 1000);
}

TEST(TlsFiles, OnlyWhoHasTheKeyGetsACertificate) {
  const TemporaryFolder dir;
  ASSERT_TRUE(create_ca(dir / "ca.pem", dir / "ca.key", "CA"));
  const auto good = make_certificate_request(dir / "agent.key");
  ASSERT_TRUE(good);
  std::string bent = *good;
  const size_t at = bent.size() - 60;  // within the signature
  bent[at] = bent[at] == 'A' ? 'B' : 'A';
  const int64_t end = system_clock().wall_ms() + 86'400'000;
  for (const std::string& bad : {std::string(), std::string("hello"), bent}) {
    EXPECT_FALSE(request_key_id(bad));
    const auto made = sign_client_certificate(dir / "ca.pem", dir / "ca.key", bad, "a1", end);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_FALSE(sign_client_certificate(dir / "ca.pem", dir / "ca.key", *good, "", end));
}

TEST(TlsFiles, NameTheFileThatIsMissingOrBroken) {
  const TemporaryFolder dir;
  const auto missing = certificate_fingerprint(dir / "none.pem");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().describe().find("none.pem"), std::string::npos);
  std::ofstream(dir / "text.pem") << "hello\n";
  EXPECT_FALSE(certificate_fingerprint(dir / "text.pem"));
  EXPECT_FALSE(create_ca(dir / "no/such/ca.pem", dir / "no/such/ca.key", "CA"));
}

}  // namespace
}  // namespace fb::net
