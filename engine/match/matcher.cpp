#include "engine/match/matcher.h"

#include <algorithm>
#include <optional>

#include "engine/match/rule_set_impl.h"

namespace fb {

namespace {

using match::Step;

}  // namespace

struct Matcher::Impl {
  Impl(RuleSetPtr set, Decoder& its_decoder) : rules(std::move(set)), own(rules->impl()), decoder(&its_decoder) {
    answers.assign(own.predicates.size(), 0);
    candidates.resize(own.rules.size());
    if (own.leaf_fields) leaf_decoder.emplace(own.leaf_fields, its_decoder.limits());
  }

  // A new event: forget every answer.
  void begin(int64_t now_ms) {
    judging = {&own.judges, now_ms, &scratch};
    if (++epoch == kLastEpoch) {
      std::fill(answers.begin(), answers.end(), 0);
      epoch = 1;
    }
    leaves = nullptr;
    ++counters.events;
  }

  // Where a program runs: the event itself, or one of its nested objects.
  struct Scene {
    const Event* event = nullptr;
    uint32_t depth = 0;  // 0: the event
    uint32_t path = 0;   // of the nested object
  };

  // Few events are ever asked for all their leaves, and naming every leaf doubles the cost of decoding; so it is done
  // only then, by a decoder of its own.
  const Event* with_leaves(const Scene& scene) {
    if (scene.depth > 0) return leaf_decoder->decode_nested({scene.path, scene.event->json()}, scene.depth - 1);
    if (leaves == nullptr) leaves = leaf_decoder->decode(scene.event->json());
    return leaves;
  }

  bool judge(uint32_t predicate, const Scene& scene) {
    const match::Predicate& asked = own.predicates[predicate];
    if (!match::of_leaves(asked)) return match::holds(asked, *scene.event, judging);
    const Event* all = with_leaves(scene);
    return all != nullptr && match::holds(asked, *all, judging);
  }

  // Answers are remembered for the event, not for its nested objects.
  bool ask(uint32_t predicate, const Scene& scene) {
    if (scene.depth > 0) return judge(predicate, scene);
    uint32_t& answer = answers[predicate];
    if (answer >> 1 != epoch) answer = (epoch << 1) | (judge(predicate, scene) ? 1 : 0);
    return (answer & 1) != 0;
  }

  bool run(uint32_t at, const Scene& scene) {
    while (at < Step::kReject) {
      const Step& step = own.code.steps[at];
      const bool truth = (step.what & Step::kNested) != 0
                             ? run_nested(own.code.nested[step.what & ~Step::kNested], scene)
                             : ask(step.what, scene);
      at = truth ? step.on_true : step.on_false;
    }
    return at == Step::kAccept;
  }

  bool run_nested(const match::NestedBlock& block, const Scene& scene) {
    for (const NestedObject& object : scene.event->nested()) {
      if (object.path != block.path) continue;
      const Event* inner = decoder->decode_nested(object, scene.depth);
      if (inner != nullptr && run(block.entry, {inner, scene.depth + 1, block.path})) return true;
    }
    return false;
  }

  RuleSetPtr rules;
  const RuleSet::Impl& own;
  Decoder* decoder;
  std::optional<Decoder> leaf_decoder;
  const Event* leaves = nullptr;  // this event with all its leaves, once asked for
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
    if (m.run(m.own.entries[rule], {&event})) hits.push_back(RuleIx{rule});
  }
  m.counters.rules_looked_at += m.candidates.list().size();
  std::sort(hits.begin() + static_cast<ptrdiff_t>(before), hits.end());
}

void Matcher::match_without_index(const Event& event, int64_t now_ms, std::vector<RuleIx>& hits) {
  Impl& m = *impl_;
  m.begin(now_ms);
  for (uint32_t rule = 0; rule < m.own.entries.size(); ++rule) {
    if (m.run(m.own.entries[rule], {&event})) hits.push_back(RuleIx{rule});
  }
  m.counters.rules_looked_at += m.own.entries.size();
}

const Matcher::Counters& Matcher::counters() const {
  return impl_->counters;
}

}  // namespace fb
