// Events -> hits, the hot path. Finds for each value of a present field the predicates it makes true (one hash lookup
// for all exact values, one automaton pass for all patterns), looks only at rules whose rarest needed predicate came
// true, and runs their programs over shared predicate results. Allocates nothing once warm, throws nothing, logs
// nothing. One matcher (and one decoder) a thread; the rule set is shared.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/event/decoder.h"
#include "engine/match/rule_set.h"

namespace fb {

class Matcher {
 public:
  // The decoder is asked for nested objects; it must be built on the rule set's fields() and outlive the matcher.
  Matcher(RuleSetPtr rules, Decoder& decoder);
  ~Matcher();
  Matcher(Matcher&&) noexcept;
  Matcher& operator=(Matcher&&) noexcept;

  // Appends to `hits` the rules that match, ascending, each once. `now_ms` is what `now` in date math means.
  void match(const Event& event, int64_t now_ms, std::vector<RuleIx>& hits);

  // The same answer without the index: every rule's program, on every event. For proof and for --no-index.
  void match_without_index(const Event& event, int64_t now_ms, std::vector<RuleIx>& hits);

  struct Counters {
    uint64_t events = 0;
    uint64_t rules_looked_at = 0;  // programs run
    uint64_t values_looked_up = 0;
  };
  const Counters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb
