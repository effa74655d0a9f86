#include "apps/firebreak/service_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/unit/agent/agent_support.h"

namespace fb::cli {
namespace {

using agent::test::TemporaryFolder;

TEST(ServiceFiles, SecretsAreMadeOnceForTheOwnerOnly) {
  const TemporaryFolder dir;
  ASSERT_TRUE(set_up_data_dir(dir / "data", {}));
  const ServiceFiles files(dir / "data");
  const auto signers = load_signers(files);
  const auto secret = load_break_glass_secret(files);
  ASSERT_TRUE(signers && secret);
  EXPECT_EQ(signers->size(), 1u);
  EXPECT_EQ(secret->size(), 32u);
  for (const std::string& file : {dir / "data/signing.key", files.break_glass_secret}) {
    struct stat facts {};
    ASSERT_EQ(::stat(file.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600u) << file;
  }
  ASSERT_TRUE(make_missing_secrets(files));
  EXPECT_EQ(*load_break_glass_secret(files), *secret);
  EXPECT_EQ(load_signers(files)->front()->kid(), signers->front()->kid());
  // A data directory of before there were any.
  std::filesystem::remove(dir / "data/signing.key");
  std::filesystem::remove(files.break_glass_secret);
  EXPECT_FALSE(load_signers(files));
  EXPECT_FALSE(load_break_glass_secret(files));
  ASSERT_TRUE(make_missing_secrets(files));
  EXPECT_TRUE(load_signers(files) && load_break_glass_secret(files));
}

TEST(ServiceFiles, TheNewestKeySigns) {
  const TemporaryFolder dir;
  ASSERT_TRUE(set_up_data_dir(dir / "data", {}));
  const ServiceFiles files(dir / "data");
  const std::string first = load_signers(files)->front()->kid();
  ASSERT_TRUE(add_signing_key(files, 999));
  ASSERT_TRUE(add_signing_key(files, 1000));  // by number, not by letters
  const auto signers = load_signers(files);
  ASSERT_TRUE(signers);
  ASSERT_EQ(signers->size(), 3u);
  EXPECT_EQ(signers->back()->kid(), first);
  EXPECT_EQ(signers->front()->kid(), (*endpoint::Signer::load(dir / "data/signing-1000.key"))->kid());
}

TEST(ServiceFiles, NoMoreKeysThanAHostTrusts) {
  const TemporaryFolder dir;
  ASSERT_TRUE(set_up_data_dir(dir / "data", {}));
  const ServiceFiles files(dir / "data");
  for (size_t i = 1; i < endpoint::kMaxSigningKeys; ++i) ASSERT_TRUE(add_signing_key(files, static_cast<int64_t>(i)));
  const Status one_more = add_signing_key(files, 1000);
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code, ErrorCode::conflict);
  EXPECT_EQ(load_signers(files)->size(), endpoint::kMaxSigningKeys);
  ASSERT_TRUE(endpoint::Signer::create(dir / "data/signing-1000.key"));
  EXPECT_FALSE(load_signers(files)) << "put there by hand";
}

}  // namespace
}  // namespace fb::cli
