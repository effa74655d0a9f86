#include "api/rules/isolating.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "engine/base/json.h"

namespace fb::api {
namespace {

using Json = nlohmann::json;

constexpr auto kOnlySaid = std::to_array<std::string_view>({"actions",
                                                            "alias_purpose",
                                                            "alias_target_id",
                                                            "author",
                                                            "concurrent_searches",
                                                            "created_at",
                                                            "created_by",
                                                            "description",
                                                            "enabled",
                                                            "false_positives",
                                                            "id",
                                                            "immutable",
                                                            "investigation_fields",
                                                            "items_per_search",
                                                            "license",
                                                            "meta",
                                                            "name",
                                                            "namespace",
                                                            "note",
                                                            "outcome",
                                                            "output_index",
                                                            "references",
                                                            "related_integrations",
                                                            "required_fields",
                                                            "revision",
                                                            "risk_score",
                                                            "risk_score_mapping",
                                                            "rule_name_override",
                                                            "rule_source",
                                                            "setup",
                                                            "tags",
                                                            "tests",
                                                            "threat",
                                                            "throttle",
                                                            "timeline_id",
                                                            "timeline_title",
                                                            "updated_at",
                                                            "updated_by",
                                                            "version"});

bool isolates(const Json& rule) {
  const auto actions = rule.find("response_actions");
  if (actions == rule.end() || !actions->is_array()) return false;
  return std::any_of(actions->begin(), actions->end(), [](const Json& action) {
    if (!action.is_object() || action.value("action_type_id", Json()) != ".endpoint") return false;
    const Json params = action.value("params", Json());
    return params.is_object() && params.value("command", Json()) == "isolate";
  });
}

}  // namespace

bool isolates_anew(std::string_view before, std::string_view after) {
  const Json fresh = parse_json(after);
  if (!fresh.is_object() || !isolates(fresh)) return false;
  const Json old = before.empty() ? Json() : parse_json(before);
  if (!old.is_object() || !isolates(old)) return true;
  if (fresh.value("enabled", Json()) == true && old.value("enabled", Json()) != true) return true;
  std::set<std::string> keys;
  for (const Json* rule : {&old, &fresh}) {
    for (const auto& [key, value] : rule->items()) keys.insert(key);
  }
  return std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
    if (std::find(kOnlySaid.begin(), kOnlySaid.end(), key) != kOnlySaid.end()) return false;
    return old.value(key, Json()) != fresh.value(key, Json());
  });
}

}  // namespace fb::api
