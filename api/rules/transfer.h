// Rules as NDJSON: export and import. The bodies are Kibana's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/rules/desk.h"

namespace fb::api {

// The rules, one a line, and (unless `without_details`) the line that counts them; `missing` were asked for in vain.
std::string export_rules(const std::vector<RuleViewPtr>& rules, const std::vector<std::string>& missing,
                         bool without_details);

// Every line of the file for itself; the answer's body.
std::string import_rules(RuleDesk& desk, std::string_view ndjson, bool overwrite, const std::string& who);

}  // namespace fb::api
