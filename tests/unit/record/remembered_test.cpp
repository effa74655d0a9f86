// People and keys are remembered between requests; what changes them is seen by the very next one.
#include "engine/record/remembered.h"

#include <atomic>
#include <optional>
#include <thread>

#include "tests/unit/record/record_fixture.h"

namespace fb::test {
namespace {

TEST(Remembered, IsFoundUnderItsVersionAndForItsTime) {
  record::Remembered<std::string> rows;
  rows.put("a", 1, 100, "x");
  ASSERT_NE(rows.find("a", 1, 100), nullptr);
  EXPECT_EQ(*rows.find("a", 1, 100 + record::Remembered<std::string>::kKeptMs - 1), "x");
  EXPECT_EQ(rows.find("a", 1, 100 + record::Remembered<std::string>::kKeptMs), nullptr);
  EXPECT_EQ(rows.find("a", 2, 100), nullptr);
  EXPECT_EQ(rows.find("b", 1, 100), nullptr);
  rows.put("a", 2, 100, "y");
  EXPECT_EQ(*rows.find("a", 2, 100), "y");
  EXPECT_EQ(rows.find("a", 1, 100), nullptr);
}

TEST(Remembered, StaysBounded) {
  record::Remembered<int> rows;
  for (size_t i = 0; i < 3 * record::Remembered<int>::kMost; ++i) rows.put(std::to_string(i), 1, 0, 0);
  size_t found = 0;
  for (size_t i = 0; i < 3 * record::Remembered<int>::kMost; ++i) found += rows.find(std::to_string(i), 1, 0) ? 1 : 0;
  EXPECT_LE(found, record::Remembered<int>::kMost);
  EXPECT_GT(found, 0u);
}

class Identities : public RecordTest {
 protected:
  void SetUp() override {
    open();
    UserRow ada;
    ada.name = "ada";
    ada.roles = {Role::viewer};
    ASSERT_TRUE(store_->add_user(ada, "user:test"));
    UserRow root;
    root.name = "root";
    root.roles = {Role::admin};
    ASSERT_TRUE(store_->add_user(root, "user:test"));
    KeyRow key;
    key.id = "k1";
    key.secret_sha256 = std::string(64, 'a');
    key.person = "ada";
    ASSERT_TRUE(store_->add_key(key, "user:test"));
  }
  UserRow ada() { return *store_->user("ada").value(); }
};

TEST_F(Identities, AChangeIsSeenByTheNextLook) {
  EXPECT_EQ(store_->key("k1").value()->revoked_at_ms, 0);
  EXPECT_EQ(ada().roles, std::vector<Role>{Role::viewer});
  ASSERT_TRUE(store_->set_roles("ada", {Role::analyst}, "user:test", ""));
  EXPECT_EQ(ada().roles, std::vector<Role>{Role::analyst});
  ASSERT_TRUE(store_->set_disabled("ada", true, "user:test", ""));
  EXPECT_TRUE(ada().disabled);
  ASSERT_TRUE(store_->set_disabled("ada", false, "user:test", ""));
  EXPECT_FALSE(ada().disabled);
  ASSERT_TRUE(store_->set_password("ada", "a hash", "user:test"));
  EXPECT_EQ(ada().password_hash, "a hash");
  ASSERT_TRUE(store_->revoke_key("k1", "user:test", "").value());
  EXPECT_NE(store_->key("k1").value()->revoked_at_ms, 0);
}

TEST_F(Identities, ASessionThatEndedIsGoneAtOnce) {
  ASSERT_TRUE(store_->add_session("s1", {"ada", 1, 1, 1'000'000'000'000'000}));
  EXPECT_TRUE(store_->session("s1").value().has_value());
  ASSERT_TRUE(store_->touch_session("s1", 77));
  EXPECT_EQ(store_->session("s1").value()->last_seen_ms, 77);
  ASSERT_TRUE(store_->end_session("s1", "user:ada").value());
  EXPECT_FALSE(store_->session("s1").value().has_value());
  ASSERT_TRUE(store_->add_session("s2", {"ada", 1, 1, 1'000'000'000'000'000}));
  EXPECT_TRUE(store_->session("s2").value().has_value());
  ASSERT_TRUE(store_->set_password("ada", "another", "user:test"));
  EXPECT_FALSE(store_->session("s2").value().has_value());
}

TEST_F(Identities, ALoginByWhatIsNoLongerSoGetsNoSession) {
  ASSERT_TRUE(store_->set_password("ada", "old", "user:test"));
  ASSERT_TRUE(store_->set_password("ada", "new", "user:test"));
  const SessionRow session{"ada", 1, 1, 1'000'000'000'000'000};
  const Status late = store_->add_session("s1", session, "old");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::refused);
  EXPECT_FALSE(store_->session("s1").value().has_value());
  EXPECT_TRUE(store_->add_session("s2", session, "new"));
  EXPECT_TRUE(store_->add_session("s3", session)) << "by no password";
  ASSERT_TRUE(store_->set_disabled("ada", true, "user:test", ""));
  EXPECT_FALSE(store_->add_session("s4", session, "new"));
  EXPECT_FALSE(store_->add_session("s5", session));
  EXPECT_FALSE(store_->add_session("s6", {"nobody", 1, 1, 1'000'000'000'000'000}));
  EXPECT_EQ(count("SELECT count(*) FROM sessions"), 0);
}

TEST_F(Identities, AChangeOfSeveralThingsIsMadeWholeOrNotAtAll) {
  UserChange change;
  change.roles = std::vector<Role>{Role::viewer, Role::admin};
  change.disabled = true;
  EXPECT_FALSE(store_->change_user("root", change, "user:test", "")) << "the last admin";
  EXPECT_EQ(store_->user("root").value()->roles, std::vector<Role>{Role::admin}) << "nothing of it";
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'roles_changed'"), 0);
  change.roles = std::vector<Role>{Role::admin};
  change.disabled = false;
  ASSERT_TRUE(store_->change_user("ada", change, "user:test", "promoted"));
  change.roles = std::vector<Role>{};
  change.disabled = true;
  ASSERT_TRUE(store_->add_session("s1", {"root", 1, 1, 1'000'000'000'000'000}));
  ASSERT_TRUE(store_->change_user("root", change, "user:test", "left"));
  EXPECT_TRUE(store_->user("root").value()->roles.empty());
  EXPECT_TRUE(store_->user("root").value()->disabled);
  EXPECT_FALSE(store_->session("s1").value().has_value());
  EXPECT_EQ(store_->change_user("nobody", change, "user:test", "").error().code, ErrorCode::not_found);
}

TEST_F(Identities, ARefusedChangeChangesNothing) {
  EXPECT_EQ(store_->user("root").value()->roles, std::vector<Role>{Role::admin});
  EXPECT_FALSE(store_->set_roles("root", {Role::viewer}, "user:test", ""));
  EXPECT_EQ(store_->user("root").value()->roles, std::vector<Role>{Role::admin});
}

TEST_F(Identities, WhatAnotherHandWroteIsSeenWithinASecond) {
  EXPECT_EQ(store_->key("k1").value()->revoked_at_ms, 0);
  RawDb(store_->db_path()).run("UPDATE api_keys SET revoked_at = 5 WHERE id = 'k1'");
  clock_.advance_ms(record::Remembered<KeyRow>::kKeptMs);
  EXPECT_EQ(store_->key("k1").value()->revoked_at_ms, 5);
}

TEST_F(Identities, NoLookBesideAChangeKeepsTheOldRow) {
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done.load()) (void)store_->user("ada");
  });
  for (int i = 0; i < 200; ++i) {
    const bool disabled = i % 2 == 0;
    ASSERT_TRUE(store_->set_disabled("ada", disabled, "user:test", ""));
    const auto now = store_->user("ada");
    EXPECT_TRUE(now && *now && (*now)->disabled == disabled) << i;
  }
  done = true;
  reader.join();
}

}  // namespace
}  // namespace fb::test
