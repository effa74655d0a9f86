#include "apps/firebreak/config_changes.h"

namespace fb::cli {
namespace {

// What Service::reload_policy() takes over.
constexpr std::string_view kTakenOver = "response.isolation.";

}  // namespace

std::vector<ConfigChange> config_changes(const Config& started, const Config& last, const Config& fresh) {
  std::vector<ConfigChange> changes;
  for (std::string& key : started.differing_keys(fresh)) {
    if (!key.starts_with(kTakenOver)) changes.push_back({std::move(key), false});
  }
  for (std::string& key : last.differing_keys(fresh)) {
    if (key.starts_with(kTakenOver)) changes.push_back({std::move(key), true});
  }
  return changes;
}

}  // namespace fb::cli
