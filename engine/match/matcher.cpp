#include "engine/match/matcher.h"

#include <algorithm>

#include "engine/match/rule_set_impl.h"

namespace fb {

namespace {

using match::Step;

}  // namespace

struct Matcher::Impl {
  Impl(RuleSetPtr set, Decoder& its_decoder) : rules(std::move(set)), own(rules->impl()), decoder(&its_decoder) {
    answers.assign(own.predicates.size(), 0);
    candidates.resize(own.rules.size());
  }

  // A new event: forget every answer.
  void begin(int64_t now_ms) {
    judging = {&own.judges, now_ms, &scratch};
    if (++epoch == kLastEpoch) {
      std::fill(answers.begin(), answers.end(), 0);
      epoch = 1;
    }
    ++counters.events;
  }

  bool ask(uint32_t predicate, const Event& event) {
    uint32_t& answer = answers[predicate];
    if (answer >> 1 != epoch) answer = (epoch << 1) | (match::holds(own.predicates[predicate], event, judging) ? 1 : 0);
    return (answer & 1) != 0;
  }

  // Runs a program. Answers are remembered for the event itself only, not for its nested objects (`depth` above 0).
  bool run(uint32_t at, const Event& event, uint32_t depth) {
    while (at < Step::kReject) {
      const Step& step = own.code.steps[at];
      bool truth = false;
      if ((step.what & Step::kNested) != 0) {
        truth = run_nested(own.code.nested[step.what & ~Step::kNested], event, depth);
      } else {
        truth = depth == 0 ? ask(step.what, event) : match::holds(own.predicates[step.what], event, judging);
      }
      at = truth ? step.on_true : step.on_false;
    }
    return at == Step::kAccept;
  }

  bool run_nested(const match::NestedBlock& block, const Event& event, uint32_t depth) {
    for (const NestedObject& object : event.nested()) {
      if (object.path != block.path) continue;
      const Event* inner = decoder->decode_nested(object, depth);
      if (inner != nullptr && run(block.entry, *inner, depth + 1)) return true;
    }
    return false;
  }

  RuleSetPtr rules;
  const RuleSet::Impl& own;
  Decoder* decoder;
  match::Judging judging;
  match::JudgeScratch scratch;
  match::Candidates candidates;
  static constexpr uint32_t kLastEpoch = 0x7FFFFFFF;
  std::vector<uint32_t> answers;  // by predicate: epoch and truth
  uint32_t epoch = 0;
  Counters counters;
};

Matcher::Matcher(RuleSetPtr rules, Decoder& decoder) : impl_(std::make_unique<Impl>(std::move(rules), decoder)) {}
Matcher::~Matcher() = default;
Matcher::Matcher(Matcher&&) noexcept = default;
Matcher& Matcher::operator=(Matcher&&) noexcept = default;

void Matcher::match(const Event& event, int64_t now_ms, std::vector<RuleIx>& hits) {
  Impl& m = *impl_;
  m.begin(now_ms);
  m.candidates.begin();
  m.own.index.collect(event, m.scratch, m.candidates, m.counters.values_looked_up);
  const size_t before = hits.size();
  for (const uint32_t rule : m.candidates.list()) {
    if (m.run(m.own.entries[rule], event, 0)) hits.push_back(RuleIx{rule});
  }
  m.counters.rules_looked_at += m.candidates.list().size();
  std::sort(hits.begin() + static_cast<ptrdiff_t>(before), hits.end());
}

void Matcher::match_without_index(const Event& event, int64_t now_ms, std::vector<RuleIx>& hits) {
  Impl& m = *impl_;
  m.begin(now_ms);
  for (uint32_t rule = 0; rule < m.own.entries.size(); ++rule) {
    if (m.run(m.own.entries[rule], event, 0)) hits.push_back(RuleIx{rule});
  }
  m.counters.rules_looked_at += m.own.entries.size();
}

const Matcher::Counters& Matcher::counters() const {
  return impl_->counters;
}

}  // namespace fb
