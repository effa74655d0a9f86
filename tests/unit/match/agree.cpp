#include "agree.h"

#include <algorithm>

#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"

namespace fb::test {

RuleSetPtr rule_set_of(std::vector<ir::Node> conditions, const RuleSetOptions& options) {
  std::vector<RuleInput> rules;
  for (auto& condition : conditions) {
    auto meta = std::make_shared<RuleMeta>();
    meta->rule_id = std::to_string(rules.size());
    rules.push_back({std::move(meta), std::move(condition)});
  }
  return RuleSet::build(std::move(rules), options);
}

Engines::Engines(RuleSetPtr rules)
    : rules_(std::move(rules)),
      decoder_(std::make_unique<Decoder>(rules_->fields(), EventLimits{})),
      matcher_(std::make_unique<Matcher>(rules_, *decoder_)) {}
Engines::~Engines() = default;

const Event* Engines::decode(const std::string& event) {
  buffer_ = event;
  buffer_.append(Decoder::kPadding, '\0');
  return decoder_->decode(std::string_view(buffer_).substr(0, event.size()));
}

std::string Engines::difference(const std::string& event) {
  const Event* decoded = decode(event);
  const auto tree = parse_json_tree(event);
  if (decoded == nullptr || !tree) {
    // An identity spelt twice is the decoder's own reason; the tree keeps both.
    if (decoded == nullptr && (!tree || decoder_->refusal().reason == "identity-conflict")) {
      ++refused_;
      return {};
    }
    return decoded == nullptr ? "only the decoder refuses: " + std::string(decoder_->refusal().reason)
                              : "only the tree refuses: " + tree.error().describe();
  }
  std::vector<RuleIx> fast;
  std::vector<RuleIx> plain;
  matcher_->match(*decoded, kNowMs, fast);
  matcher_->match_without_index(*decoded, kNowMs, plain);
  ir::OracleContext context;
  context.now_ms = kNowMs;
  context.renames = rules_->options().renames;
  std::vector<RuleIx> slow;
  for (uint32_t i = 0; i < rules_->rules().size(); ++i) {
    if (ir::matches(rules_->rules()[i].condition, *tree, context)) slow.push_back(RuleIx{i});
  }
  hits_ += slow.size();
  if (fast == slow && plain == slow) return {};
  for (uint32_t i = 0; i < rules_->rules().size(); ++i) {
    const auto has = [&](const std::vector<RuleIx>& list) { return std::count(list.begin(), list.end(), RuleIx{i}); };
    if (has(fast) == has(slow) && has(plain) == has(slow)) continue;
    return "rule " + std::to_string(i) + ": oracle " + std::to_string(has(slow)) + ", index " +
           std::to_string(has(fast)) + ", without index " + std::to_string(has(plain)) +
           "\n  rule:  " + ir::print(rules_->rules()[i].condition) + "\n  event: " + event;
  }
  return "the hits are not in order";
}

namespace {

std::vector<uint32_t> numbers(const std::vector<RuleIx>& hits) {
  std::vector<uint32_t> out;
  for (const RuleIx hit : hits) out.push_back(index(hit));
  return out;
}

}  // namespace

std::vector<uint32_t> Engines::match(const std::string& event) {
  std::vector<RuleIx> hits;
  const Event* decoded = decode(event);
  if (decoded == nullptr) return {0xFFFFFFFF};
  matcher_->match(*decoded, kNowMs, hits);
  return numbers(hits);
}

std::vector<uint32_t> Engines::match_without_index(const std::string& event) {
  std::vector<RuleIx> hits;
  const Event* decoded = decode(event);
  if (decoded == nullptr) return {0xFFFFFFFF};
  matcher_->match_without_index(*decoded, kNowMs, hits);
  return numbers(hits);
}

}  // namespace fb::test
