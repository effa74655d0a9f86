// A compiled rule set: what the matcher runs. Built whole from loaded rules, then immutable and shared; a reload builds
// another one and swaps the pointer. Cost to build: linear in the rules; to match: see matcher.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/event/event.h"
#include "engine/ir/ir.h"
#include "engine/model/model.h"

namespace fb {

enum class RuleIx : uint32_t {};
constexpr uint32_t index(RuleIx r) {
  return static_cast<uint32_t>(r);
}

// One rule ready to be compiled: its metadata and its whole condition (query and not any exception).
struct RuleInput {
  RuleMetaPtr meta;
  ir::Node condition;
};

struct RuleSetOptions {
  std::vector<std::pair<std::string, std::string>> renames;  // --fields FILE
};

class RuleSet {
 public:
  // Never fails: every ir tree can be run. Disabled rules are left out by the caller.
  static std::shared_ptr<const RuleSet> build(std::vector<RuleInput> rules, const RuleSetOptions& options = {});
  ~RuleSet();

  std::span<const RuleInput> rules() const;
  const RuleInput& rule(RuleIx r) const { return rules()[index(r)]; }
  const std::shared_ptr<const FieldTable>& fields() const;
  const RuleSetOptions& options() const;
  const std::string& hash() const;  // hex SHA-256 over the rules' hashes, order-free

  struct Stats {
    uint32_t rules = 0;
    uint32_t predicates = 0;      // distinct tests
    uint32_t always_checked = 0;  // rules that no index entry guards (see docs: pure negations, value-only queries)
    size_t bytes = 0;
  };
  Stats stats() const;

  struct Impl;  // the matcher's view
  const Impl& impl() const { return *impl_; }

 private:
  RuleSet();
  std::unique_ptr<Impl> impl_;
};
using RuleSetPtr = std::shared_ptr<const RuleSet>;

}  // namespace fb
