// What a rule set holds inside; the matcher's view of it. Immutable once built.
#pragma once

#include <string>
#include <vector>

#include "engine/match/index.h"
#include "engine/match/predicate.h"
#include "engine/match/program.h"
#include "engine/match/rule_set.h"

namespace fb {

struct RuleSet::Impl {
  std::vector<RuleInput> rules;
  RuleSetOptions options;
  std::shared_ptr<const FieldTable> fields;
  std::shared_ptr<const FieldTable> leaf_fields;  // all leaves and nothing else; null when no rule looks at them
  std::string hash;
  std::vector<match::Predicate> predicates;
  std::vector<match::Judge> judges;
  match::Code code;
  std::vector<uint32_t> entries;  // by rule: where its program begins
  match::Index index;
};

}  // namespace fb
