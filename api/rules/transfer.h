// Rules as NDJSON: export and import. The bodies are Kibana's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/router.h"
#include "api/rules/desk.h"

namespace fb::api {

// The rules, one a line, then the exception lists that they name with their items, and (unless `without_details`) the
// line that counts them; `missing` were asked for in vain.
Result<std::string> export_rules(const Call& call, const std::vector<RuleViewPtr>& rules,
                                 const std::vector<std::string>& missing, bool without_details);

struct RuleImport {
  bool overwrite = false;
  bool overwrite_exceptions = false;
};

// Every line of the file for itself, exceptions first; the answer's body. Connectors are not taken and named as such.
Result<std::string> import_rules(const Call& call, RuleDesk& desk, std::string_view ndjson, const RuleImport& options);

}  // namespace fb::api
