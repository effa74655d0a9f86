#include "engine/match/rule_set.h"

#include <algorithm>

#include "engine/base/digest.h"
#include "engine/match/rule_set_impl.h"

namespace fb {

namespace {

// The same whatever the order of the rules.
std::string hash_of(const std::vector<RuleInput>& rules) {
  std::vector<std::string> hashes;
  for (const auto& rule : rules) {
    const std::string own = rule.meta ? rule.meta->hash : std::string();
    const std::string id = rule.meta ? rule.meta->rule_id : std::string();
    hashes.push_back(hex(sha256_parts({id, own, ir::print(rule.condition)})));
  }
  std::sort(hashes.begin(), hashes.end());
  std::string all;
  for (const auto& hash : hashes) all += hash;
  return hex(sha256(all));
}

}  // namespace

RuleSet::RuleSet() : impl_(std::make_unique<Impl>()) {}
RuleSet::~RuleSet() = default;

std::shared_ptr<const RuleSet> RuleSet::build(std::vector<RuleInput> rules, const RuleSetOptions& options) {
  std::shared_ptr<RuleSet> out(new RuleSet());
  Impl& impl = *out->impl_;
  impl.hash = hash_of(rules);
  impl.rules = std::move(rules);
  impl.options = options;

  auto fields = std::make_shared<FieldTable>();
  for (const auto& [from, to] : options.renames) fields->rename(from, to);
  match::PredicateTable predicates(*fields);
  std::vector<match::Form> forms;
  forms.reserve(impl.rules.size());
  for (const auto& rule : impl.rules) {
    forms.push_back(predicates.lower(rule.condition));
    impl.entries.push_back(impl.code.add(forms.back()));
  }
  impl.index.build(match::choose_guards(forms, predicates, *fields), *fields);
  impl.predicates = predicates.take_predicates();
  impl.judges = predicates.take_judges();
  if (predicates.wants_leaves()) {
    auto leaf_fields = std::make_shared<FieldTable>();
    for (const auto& [from, to] : options.renames) leaf_fields->rename(from, to);
    for (const auto& path : fields->nested_paths()) leaf_fields->want_nested(path);
    leaf_fields->want_all_leaves();
    impl.leaf_fields = std::move(leaf_fields);
  }
  impl.fields = std::move(fields);
  return out;
}

std::span<const RuleInput> RuleSet::rules() const {
  return impl_->rules;
}
const std::shared_ptr<const FieldTable>& RuleSet::fields() const {
  return impl_->fields;
}
const RuleSetOptions& RuleSet::options() const {
  return impl_->options;
}
const std::string& RuleSet::hash() const {
  return impl_->hash;
}

RuleSet::Stats RuleSet::stats() const {
  Stats out;
  out.rules = static_cast<uint32_t>(impl_->rules.size());
  out.predicates = static_cast<uint32_t>(impl_->predicates.size());
  out.always_checked = static_cast<uint32_t>(impl_->index.always_count());
  out.bytes = impl_->index.bytes() + impl_->predicates.size() * sizeof(match::Predicate) +
              impl_->code.steps.size() * sizeof(match::Step) + impl_->entries.size() * sizeof(uint32_t);
  for (const auto& judge : impl_->judges) out.bytes += judge.bytes();
  return out;
}

}  // namespace fb
