// Rules that came through the API: the ones that stand now, and every version that ever stood, with author and time. A
// rule is a JSON text here; what it means is the API's business. Thread-safe; writes are durable when they return.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace fb {

class Store;

struct StoredRule {
  std::string id;  // UUID
  std::string rule_id;
  int64_t number = 0;  // of its newest version
  std::string doc;     // JSON
};

struct RuleVersion {
  std::string id;
  std::string rule_id;
  int64_t number = 0;  // 1, 2, ... for each id
  int64_t at_ms = 0;
  std::string author;
  std::string what;  // created, updated, enabled, disabled, imported, restored, edited, deleted
  std::string doc;   // as it stood after that; a deleted rule as it stood before
};

// One change of one rule.
struct RuleWrite {
  std::string id;
  std::string rule_id;
  std::string what;  // "deleted" takes the rule away
  std::string doc;
};

class ApiRules {
 public:
  explicit ApiRules(Store& store) : store_(store) {}

  Result<std::vector<StoredRule>> all();  // by id
  // All of them or none. already_exists: another rule has this rule_id. not_found: a rule to be deleted is not there.
  Status write(const std::vector<RuleWrite>& changes, const std::string& who);
  // Oldest first; of a rule that was deleted too. The id is the UUID, or the rule_id of its latest bearer.
  Result<std::vector<RuleVersion>> versions(const std::string& id);

 private:
  Store& store_;
};

}  // namespace fb
