// Whether a rule came through the API or stands in a file, and the id of one that stands in a file. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "engine/model/model.h"

namespace fb {

// RuleMeta::file of rules that came through the API; their parameters have an id.
inline constexpr const char* kRuleOfApi = "api";
inline bool is_of_api(const RuleMeta& rule) {
  return rule.file == kRuleOfApi;
}

// A UUID that follows from the rule_id: what the API shows as the rule's id and its alerts as kibana.alert.rule.uuid.
// An `id` in the file is none: a copied file has it twice.
std::string file_rule_uuid(std::string_view rule_id);

}  // namespace fb
