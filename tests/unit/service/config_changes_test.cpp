#include "apps/firebreak/config_changes.h"

#include <gtest/gtest.h>

namespace fb::cli {
namespace {

Config config(const std::string& mode, const std::string& more = "") {
  Config::Loaded loaded = Config::parse(
      "data_dir: d\nkafka: {properties: {a: b}, topics: [t]}\nrules: [r]\nresponse:\n  mode: " + mode + "\n" + more,
      "f");
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.problems[0].message);
  return loaded.config;
}

std::vector<std::string> told(const std::vector<ConfigChange>& changes) {
  std::vector<std::string> out;
  for (const ConfigChange& c : changes) out.push_back(c.key + (c.takes_effect ? " now" : " restart"));
  return out;
}

using Texts = std::vector<std::string>;

TEST(ConfigChanges, NothingIsToldOfAFileThatSaysTheSame) {
  EXPECT_TRUE(config_changes(config("enforce"), config("enforce"), config("enforce")).empty());
}

TEST(ConfigChanges, AModeNeedsARestartForAsLongAsItDiffersFromWhatRuns) {
  const Config started = config("dry_run");
  const Config fresh = config("enforce");
  EXPECT_EQ(told(config_changes(started, started, fresh)), Texts{"response.mode restart"});
  EXPECT_EQ(told(config_changes(started, fresh, fresh)), Texts{"response.mode restart"}) << "read a second time";
  EXPECT_TRUE(config_changes(started, fresh, started).empty()) << "taken back";
}

TEST(ConfigChanges, WhatIsolatedHostsMayTalkToTakesEffectAndIsToldOnce) {
  const Config started = config("enforce");
  const Config fresh = config(
      "enforce", "  isolation: {exceptions: [192.0.2.1], dhcp: false}\n  lease: 2h\nhttp: {listen: '127.0.0.1:1'}\n");
  EXPECT_EQ(told(config_changes(started, started, fresh)),
            (Texts{"response.lease restart", "http.listen restart", "response.isolation.exceptions now",
                   "response.isolation.dhcp now"}));
  EXPECT_EQ(told(config_changes(started, fresh, fresh)), (Texts{"response.lease restart", "http.listen restart"}));
  EXPECT_EQ(told(config_changes(started, fresh, started)),
            (Texts{"response.isolation.exceptions now", "response.isolation.dhcp now"}))
      << "taken back";
}

}  // namespace
}  // namespace fb::cli
