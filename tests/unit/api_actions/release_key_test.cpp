// One route isolates and releases; each takes its own privilege.
#include "tests/unit/api/api_support.h"

namespace fb::api::test {
namespace {

class ActionKeys : public ApiTest {
 protected:
  void SetUp() override {
    judge_.answer = fb::test::join_open;
    ApiTest::SetUp();
    enroll("a");
    add_user("ada", {Role::responder});
  }
  int asked_for(const std::string& command, const std::string& key) {
    const std::string body = R"({"host": "a", "command": ")" + command + "\"}";
    return status(with(request("POST", "/api/firebreak/actions", body), "authorization", key));
  }
};

TEST_F(ActionKeys, AKeyThatOnlyReleasesReleasesAndNothingElse) {
  const std::string releases = add_key("ada", {Privilege::release});
  EXPECT_EQ(asked_for("isolate", releases), 403);
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 0);
  EXPECT_EQ(asked_for("release", releases), 200);
}

TEST_F(ActionKeys, AKeyThatOnlyIsolatesIsolatesAndNothingElse) {
  const std::string isolates = add_key("ada", {Privilege::isolate});
  EXPECT_EQ(asked_for("isolate", isolates), 200);
  EXPECT_EQ(asked_for("release", isolates), 403);
  EXPECT_EQ(count("SELECT count(*) FROM actions WHERE verb = 'release'"), 0);
}

TEST_F(ActionKeys, AKeyThatOnlyReadsIsKeptOut) {
  const std::string reads = add_key("ada", {Privilege::actions_read});
  EXPECT_EQ(asked_for("isolate", reads), 403);
  EXPECT_EQ(asked_for("release", reads), 403);
  EXPECT_EQ(audited("api_refused"), 2);
}

}  // namespace
}  // namespace fb::api::test
