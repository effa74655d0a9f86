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
