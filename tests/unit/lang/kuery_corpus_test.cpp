// Every KQL query of the shared rule corpus must parse.
#define TOML_HEADER_ONLY 1
#include <gtest/gtest.h>
#include <toml++/toml.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "engine/lang/kuery/kuery.h"

namespace fb {
namespace {

namespace fs = std::filesystem;

fs::path shared_folder() {
  if (const char* given = std::getenv("FB_SHARED")) return given;
  const char* root = std::getenv("FB_SOURCE_DIR");
  return fs::path(root == nullptr ? "." : root) / "../shared";
}

void expect_parses(const fs::path& file, const char* key, const std::string& query) {
  const auto parsed = lang::parse_kuery(query);
  EXPECT_TRUE(parsed.has_value()) << file << " " << key << ": "
                                  << (parsed ? ""
                                             : parsed.error().message + " at " + std::to_string(parsed.error().begin));
}

TEST(KueryCorpus, EveryKueryRuleParses) {
  const fs::path folder = shared_folder() / "corpus/elastic";
  ASSERT_TRUE(fs::exists(folder)) << folder;
  size_t rules = 0;
  size_t threat_queries = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".toml") continue;
    const toml::table document = toml::parse_file(entry.path().string());
    const auto rule = document["rule"];
    if (rule["language"].value_or<std::string>("") == "kuery") {
      if (const auto query = rule["query"].value<std::string>()) {
        ++rules;
        expect_parses(entry.path(), "query", *query);
      }
    }
    if (rule["threat_language"].value_or<std::string>(rule["language"].value_or<std::string>("")) == "kuery") {
      if (const auto query = rule["threat_query"].value<std::string>()) {
        ++threat_queries;
        expect_parses(entry.path(), "threat_query", *query);
      }
    }
  }
  EXPECT_GE(rules, 380u);
  EXPECT_GE(threat_queries, 1u);
  RecordProperty("rules", static_cast<int>(rules));
  RecordProperty("threat_queries", static_cast<int>(threat_queries));
}

}  // namespace
}  // namespace fb
