#include "apps/firebreak/isolation_policy.h"

#include <gtest/gtest.h>

namespace fb::cli {
namespace {

Config::Loaded config(const std::string& isolation) {
  Config::Loaded loaded = Config::parse(
      "data_dir: d\nkafka: {properties: {a: b}, topics: [t]}\nrules: [r]\nresponse:\n  mode: enforce\n" + isolation,
      "f");
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.problems[0].message);
  return loaded;
}

TEST(IsolationPolicy, IsWhatTheConfigSays) {
  const auto loaded = config(
      "  isolation:\n    exceptions: [192.0.2.1, '2001:db8::/48']\n    services: ['kafka.example:9092']\n"
      "    dns: [192.0.2.53]\n    dhcp: false\n    on_lockout: rollback\n    message: Call 1234\n");
  EXPECT_TRUE(isolation_problems(loaded).empty());
  const endpoint::CutPolicy p = isolation_policy(loaded.config);
  EXPECT_EQ(p.exceptions, (std::vector<std::string>{"192.0.2.1", "2001:db8::/48"}));
  EXPECT_EQ(p.services, std::vector<std::string>{"kafka.example:9092"});
  EXPECT_EQ(p.dns, std::vector<std::string>{"192.0.2.53"});
  EXPECT_FALSE(p.dhcp);
  EXPECT_TRUE(p.rollback);
  EXPECT_EQ(p.message, "Call 1234");
  EXPECT_EQ(isolation_policy(config("").config), endpoint::CutPolicy{}) << "nothing but the control plane and DHCP";
}

TEST(IsolationPolicy, EachProblemNamesItsLine) {
  const struct {
    const char* isolation;
    uint32_t line;
  } cases[] = {
      {"  isolation:\n    exceptions: [192.0.2.1,\n      10.0.0.0/7]\n", 8},
      {"  isolation:\n    exceptions: ['2000::/8']\n", 7},
      {"  isolation:\n    exceptions: [name.example]\n", 7},
      {"  isolation:\n    exceptions: [10.0.0.0/8, 20.0.0.0/8, 30.0.0.0/8]\n", 7},  // each may pass, not all together
      {"  isolation:\n    services: [kafka.example]\n", 7},
      {"  isolation:\n    services: ['a:0']\n", 7},
      {"  isolation:\n    dns: [192.0.2.0/24]\n", 7},
      {"  isolation:\n    dns: [name.example]\n", 7},
  };
  for (const auto& c : cases) {
    const auto problems = isolation_problems(config(c.isolation));
    ASSERT_EQ(problems.size(), 1u) << c.isolation;
    EXPECT_EQ(problems[0].line, c.line) << c.isolation << problems[0].message;
    EXPECT_EQ(problems[0].file, "f");
  }
  const auto shouting = config("  isolation:\n    message: \"a\\eb\"\n");
  EXPECT_EQ(isolation_problems(shouting).size(), 1u) << "no control characters on other people's terminals";
}

}  // namespace
}  // namespace fb::cli
