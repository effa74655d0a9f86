// A rule's condition as flat code: each step asks one predicate and says where to go on true and on false, so "and",
// "or" and "not" are jumps and the first answer that decides ends the run. No recursion but into nested objects.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/match/predicate.h"

namespace fb::match {

struct Step {
  static constexpr uint32_t kAccept = 0xFFFFFFFF;
  static constexpr uint32_t kReject = 0xFFFFFFFE;
  static constexpr uint32_t kNested = 0x80000000;  // a flag in `what`: ask a nested block instead of a predicate

  uint32_t what = 0;  // predicate, or kNested | index into Code::nested
  uint32_t on_true = kAccept;
  uint32_t on_false = kReject;
};

// True when some object at the path satisfies the block.
struct NestedBlock {
  uint32_t path = 0;  // index into FieldTable::nested_paths()
  uint32_t entry = Step::kReject;
};

// All programs of a rule set; a program is its entry, a step or kAccept or kReject.
struct Code {
  std::vector<Step> steps;
  std::vector<NestedBlock> nested;

  uint32_t add(const Form& form);

 private:
  uint32_t add(const Form& form, uint32_t on_true, uint32_t on_false);
};

}  // namespace fb::match
