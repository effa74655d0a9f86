// Three answers to one question: the oracle, the matcher with its index and the matcher without it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ir/ir.h"
#include "engine/match/matcher.h"

namespace fb::test {

inline constexpr int64_t kNowMs = 1'704'112'496'789;  // 2024-01-01T12:34:56.789Z

// A rule set of bare conditions, ids "0", "1", ...
RuleSetPtr rule_set_of(std::vector<ir::Node> conditions, const RuleSetOptions& options = {});

// A decoder and a matcher over one rule set.
class Engines {
 public:
  explicit Engines(RuleSetPtr rules);
  ~Engines();

  // "" when the three agree on every rule, or a line that names the first rule they differ on. Both sides refusing the
  // event is agreement.
  std::string difference(const std::string& event);

  std::vector<uint32_t> match(const std::string& event);  // with the index; the event must be accepted
  std::vector<uint32_t> match_without_index(const std::string& event);
  const Matcher::Counters& counters() const { return matcher_->counters(); }
  size_t hits() const { return hits_; }  // over all calls of difference()
  size_t refused() const { return refused_; }

 private:
  const Event* decode(const std::string& event);

  RuleSetPtr rules_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<Matcher> matcher_;
  std::string buffer_;
  size_t hits_ = 0;
  size_t refused_ = 0;
};

}  // namespace fb::test
