#include "engine/match/guard.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "engine/match/hash.h"
#include "engine/match/part_finder.h"

namespace fb::match {

namespace {

using Kind = Atom::Kind;

constexpr double kProgramCost = 25;  // nanoseconds to begin a program; half of its tests are run, as a guess
constexpr double kMostProgramCost = 500;
constexpr double kScanCost = 60;    // nanoseconds to look through a value for parts
constexpr double kWordsCost = 400;  // nanoseconds to cut a text into words

// Atoms that are found by going through the bytes of a value; worth it only when enough rules profit.
bool is_scan(const Atom& atom) {
  return atom.kind == Kind::part || atom.kind == Kind::word || atom.fold;
}
uint64_t scan_key(const Atom& atom) {
  return (uint64_t{atom.field} << 2) | (atom.kind == Kind::word ? 2u : atom.fold ? 1u : 0u);
}

uint64_t hash_atom(const Atom& atom) {
  const uint64_t seed = (uint64_t{atom.field} << 8) | (static_cast<uint64_t>(atom.kind) << 1) | (atom.fold ? 1 : 0);
  return hash_bytes(atom.bytes, seed * 0x9E3779B97F4A7C15ULL);
}

// Fields with few values, each of which many events have.
double commonness(std::string_view field) {
  struct Row {
    std::string_view field;
    double share;
  };
  static constexpr Row kRows[] = {
      {"event.category", 0.3},   {"event.type", 0.3},       {"event.kind", 0.6},          {"event.outcome", 0.5},
      {"event.module", 0.3},     {"event.dataset", 0.2},    {"data_stream.dataset", 0.2}, {"data_stream.type", 0.6},
      {"event.provider", 0.15},  {"event.action", 0.05},    {"event.code", 0.05},         {"host.os.type", 0.5},
      {"host.os.family", 0.5},   {"host.os.platform", 0.5}, {"agent.type", 0.5},          {"network.transport", 0.3},
      {"network.protocol", 0.2}, {"winlog.channel", 0.3},   {"user.domain", 0.2},         {"service.name", 0.1},
      {"Channel", 0.3},          {"EventID", 0.05},         {"Provider_Name", 0.15},
  };
  for (const auto& row : kRows) {
    if (row.field == field) return row.share;
  }
  return 0;
}

double by_length(size_t length, double shortest, double middle, double longest) {
  return length <= 3 ? shortest : length <= 6 ? middle : longest;
}

// The rough share of events that touch the atom, from its looks alone.
double base_share(const Atom& atom, const FieldTable& fields) {
  if (atom.kind == Kind::nested) return 0.2;
  const FieldIx field{atom.field};
  const double common = commonness(fields.name(field));
  switch (atom.kind) {
    case Kind::present:
      return std::max(common, 0.3);
    case Kind::exact:
      if (common > 0) return common;
      return fields.type(field) == FieldType::boolean ? 0.4 : by_length(atom.bytes.size(), 0.02, 0.01, 0.002);
    case Kind::number:
      return common > 0 ? common : 0.02;
    case Kind::address:
      return 0.002;
    case Kind::word:
      return by_length(atom.bytes.size(), 0.3, 0.05, 0.01);
    case Kind::prefix:
      return atom.bytes.size() <= 12 ? by_length(atom.bytes.size(), 0.3, 0.1, 0.06) : 0.01;
    case Kind::suffix:
      return by_length(atom.bytes.size(), 0.3, 0.05, 0.002);
    case Kind::part:
      return atom.bytes.size() < 6 ? 0.02 : atom.bytes.size() < 9 ? 0.004 : 0.001;
    case Kind::nested:
      break;
  }
  return 1;
}

// Every atom of a pattern: its head, its tail and its parts, each of which must be in a value that fits.
std::vector<Atom> atoms_of(const GlobMatcher& glob, bool fold, uint32_t field) {
  std::vector<Atom> out;
  const auto& segments = glob.segments();
  for (size_t i = 0; i < segments.size(); ++i) {
    const bool head = i == 0 && !glob.open_start();
    const bool tail = i + 1 == segments.size() && !glob.open_end();
    for (size_t p = 0; p < segments[i].parts.size(); ++p) {
      const auto& part = segments[i].parts[p];
      if (part.any_one) continue;
      const bool first = head && p == 0;
      const bool last = tail && p + 1 == segments[i].parts.size();
      if (first || last) {
        out.push_back({first && last ? Kind::exact : first ? Kind::prefix : Kind::suffix, fold, field, part.text});
      } else if (part.text.size() >= PartFinder::kLeastLength) {
        out.push_back({Kind::part, fold, field, part.text});
      }
    }
  }
  return out;
}

class Chooser {
 public:
  Chooser(const PredicateTable& predicates, const FieldTable& fields) : predicates_(predicates), fields_(fields) {}

  // How many rules could use the atom: a literal that many rules ask for is one that many events have.
  void count(const std::vector<Form>& forms) {
    rules_ = static_cast<double>(forms.size());
    for (const auto& form : forms) {
      seen_.clear();
      count(form);
    }
  }

  struct Choice {
    GuardSet atoms;
    double share = 0;
  };
  // `scans`: which fields may be scanned (by scan_key); null = any.
  std::optional<Choice> choose(const Form& form, bool negated, const std::unordered_set<uint64_t>* scans);

 private:
  void count(const Form& form);
  void count(const Judge& judge, uint32_t field);
  double share(const Atom& atom) const;
  std::optional<Choice> of_predicate(const Predicate& predicate, const std::unordered_set<uint64_t>* scans);
  bool add_judge(const Judge& judge, FieldIx field, const std::unordered_set<uint64_t>* scans, GuardSet& out) const;
  bool add_rarest(std::vector<Atom> atoms, const std::unordered_set<uint64_t>* scans, GuardSet& out) const;

  const PredicateTable& predicates_;
  const FieldTable& fields_;
  std::unordered_map<uint64_t, uint32_t> counts_;
  std::unordered_set<uint64_t> seen_;  // by the rule that is being counted
  double rules_ = 1;
};

void Chooser::count(const Form& form) {
  if (form.kind == Form::Kind::predicate) {
    const Predicate& predicate = predicates_.predicates()[form.id];
    for (const auto& [judge, field] :
         {std::pair{predicate.judge, predicate.field}, std::pair{predicate.view_judge, predicate.base}}) {
      if (predicate.scope == ir::FieldRef::Scope::named && judge != Predicate::kNone) {
        count(predicates_.judges()[judge], index(field));
      }
    }
  }
  for (const auto& child : form.children) count(child);
}

// Every atom that may be chosen, also those of which one would do.
void Chooser::count(const Judge& judge, uint32_t field) {
  if (judge.of_set()) return;  // none of its atoms is ever chosen
  const auto add = [&](const Atom& atom) {
    const uint64_t hash = hash_atom(atom);
    if (seen_.insert(hash).second) ++counts_[hash];
  };
  for (const auto& text : judge.exact().strings()) add({Kind::exact, judge.fold(), field, text});
  for (const auto& glob : judge.globs()) {
    for (const auto& atom : atoms_of(glob, judge.fold(), field)) add(atom);
  }
  for (const auto& number : judge.numbers()) add({Kind::number, false, field, number_key(number)});
  for (const auto& word : judge.words().strings()) add({Kind::word, false, field, word});
  for (const auto& phrase : judge.phrases()) {
    for (const auto& word : phrase) add({Kind::word, false, field, word});
  }
}

double Chooser::share(const Atom& atom) const {
  const auto at = counts_.find(hash_atom(atom));
  const double uses = at == counts_.end() ? 1 : at->second;
  return base_share(atom, fields_) + 0.5 * (uses - 1) / rules_;
}

// The rarest of several atoms any of which would do; nothing when none may be used.
bool Chooser::add_rarest(std::vector<Atom> atoms, const std::unordered_set<uint64_t>* scans, GuardSet& out) const {
  Atom* best = nullptr;
  double best_share = 2;
  for (Atom& atom : atoms) {
    if (scans != nullptr && is_scan(atom) && !scans->contains(scan_key(atom))) continue;
    const double s = share(atom);
    if (s < best_share) {
      best_share = s;
      best = &atom;
    }
  }
  if (best == nullptr) return false;
  out.push_back(std::move(*best));
  return true;
}

// What touches any test of the judge. False when only the field's presence tells.
bool Chooser::add_judge(const Judge& judge, FieldIx field, const std::unordered_set<uint64_t>* scans,
                        GuardSet& out) const {
  if (judge.has_unindexed()) return false;
  const uint32_t f = index(field);
  for (const auto& text : judge.exact().strings()) {
    if (!add_rarest({{Kind::exact, judge.fold(), f, text}}, scans, out)) return false;
  }
  for (const auto& glob : judge.globs()) {
    if (!add_rarest(atoms_of(glob, judge.fold(), f), scans, out)) return false;
  }
  for (const auto& number : judge.numbers()) out.push_back({Kind::number, false, f, number_key(number)});
  for (const auto& range : judge.addresses()) {
    if (range.low != range.high) return false;
    out.push_back(
        {Kind::address, false, f, std::string(reinterpret_cast<const char*>(range.low.data()), range.low.size())});
  }
  if (judge.on_true()) out.push_back({Kind::exact, false, f, "true"});
  if (judge.on_false()) out.push_back({Kind::exact, false, f, "false"});
  for (const auto& word : judge.words().strings()) {
    if (!add_rarest({{Kind::word, false, f, word}}, scans, out)) return false;
  }
  for (const auto& phrase : judge.phrases()) {
    std::vector<Atom> words;
    for (const auto& word : phrase) words.push_back({Kind::word, false, f, word});
    if (!add_rarest(std::move(words), scans, out)) return false;
  }
  return true;
}

std::optional<Chooser::Choice> Chooser::of_predicate(const Predicate& predicate,
                                                     const std::unordered_set<uint64_t>* scans) {
  if (predicate.scope != ir::FieldRef::Scope::named) return std::nullopt;
  Choice out;
  const auto add = [&](uint32_t judge, FieldIx field) {
    if (!predicate.exists && judge == Predicate::kNone) return;
    GuardSet atoms;
    if (predicate.exists || !add_judge(predicates_.judges()[judge], field, scans, atoms)) {
      atoms.clear();
      atoms.push_back({Kind::present, false, index(field), {}});
    }
    for (auto& atom : atoms) out.atoms.push_back(std::move(atom));
  };
  add(predicate.judge, predicate.field);
  if (predicate.view != ir::View::plain) add(predicate.view_judge, predicate.base);
  return out;
}

std::optional<Chooser::Choice> Chooser::choose(const Form& form, bool negated,
                                               const std::unordered_set<uint64_t>* scans) {
  const auto cheapest = [&]() -> std::optional<Choice> {
    std::optional<Choice> best;
    for (const auto& child : form.children) {
      auto choice = choose(child, negated, scans);
      if (choice && (!best || choice->share < best->share)) best = std::move(choice);
    }
    return best;
  };
  const auto together = [&]() -> std::optional<Choice> {
    Choice all;
    for (const auto& child : form.children) {
      auto choice = choose(child, negated, scans);
      if (!choice) return std::nullopt;
      all.share += choice->share;
      for (auto& atom : choice->atoms) all.atoms.push_back(std::move(atom));
    }
    return all;
  };
  switch (form.kind) {
    case Form::Kind::always:
      if (negated) return Choice{};
      return std::nullopt;
    case Form::Kind::never:
      if (!negated) return Choice{};
      return std::nullopt;
    case Form::Kind::negate:
      return choose(form.children.front(), !negated, scans);
    case Form::Kind::all_of:
      return negated ? together() : cheapest();
    case Form::Kind::any_of:
      return negated ? cheapest() : together();
    case Form::Kind::nested: {
      if (negated) return std::nullopt;
      Choice out;
      out.atoms.push_back({Kind::nested, false, form.id, {}});
      out.share = base_share(out.atoms.front(), fields_);
      return out;
    }
    case Form::Kind::predicate: {
      if (negated) return std::nullopt;
      auto out = of_predicate(predicates_.predicates()[form.id], scans);
      if (!out) return std::nullopt;
      for (const auto& atom : out->atoms) out->share += share(atom);
      return out;
    }
  }
  return std::nullopt;
}

}  // namespace

void number_key(const Number& number, char (&key)[9]) {
  constexpr double kTwo63 = 9223372036854775808.0;
  Number n = number;
  if (n.kind == Number::Kind::real && n.d == std::trunc(n.d)) {
    if (n.d >= -kTwo63 && n.d < kTwo63) {
      n = Number::of(static_cast<int64_t>(n.d));
    } else if (n.d >= kTwo63 && n.d < 2 * kTwo63) {
      n = Number::of_unsigned(static_cast<uint64_t>(n.d));
    }
  }
  key[0] = static_cast<char>(n.kind);
  const uint64_t bits = n.kind == Number::Kind::real             ? std::bit_cast<uint64_t>(n.d)
                        : n.kind == Number::Kind::signed_integer ? static_cast<uint64_t>(n.i)
                                                                 : n.u;
  std::memcpy(key + 1, &bits, sizeof bits);
}

std::string number_key(const Number& number) {
  char key[9];
  number_key(number, key);
  return std::string(key, sizeof key);
}

std::vector<std::optional<GuardSet>> choose_guards(const std::vector<Form>& forms, const PredicateTable& predicates,
                                                   const FieldTable& fields) {
  Chooser chooser(predicates, fields);
  chooser.count(forms);

  // First without going through values; then with, for the rules that gain, if together they gain more than it costs.
  const std::unordered_set<uint64_t> no_scans;
  std::vector<std::optional<Chooser::Choice>> plain;
  std::vector<std::optional<Chooser::Choice>> best;
  std::unordered_map<uint64_t, double> gains;
  for (const auto& form : forms) {
    plain.push_back(chooser.choose(form, false, &no_scans));
    best.push_back(chooser.choose(form, false, nullptr));
    if (!best.back()) continue;
    const double before = plain.back() ? plain.back()->share : 1;
    double gain = (before - best.back()->share) * std::min(kProgramCost + form.cost / 2.0, kMostProgramCost);
    std::unordered_set<uint64_t> scanned;
    for (const auto& atom : best.back()->atoms) {
      if (is_scan(atom)) scanned.insert(scan_key(atom));
    }
    if (!scanned.empty()) gain /= static_cast<double>(scanned.size());
    for (const uint64_t key : scanned) gains[key] += gain;
  }
  std::unordered_set<uint64_t> scans;
  for (const auto& [key, gain] : gains) {
    const bool words = (key & 2) != 0;
    if (gain > (words ? kWordsCost : kScanCost) * 0.3) scans.insert(key);
  }

  std::vector<std::optional<GuardSet>> out;
  for (size_t i = 0; i < forms.size(); ++i) {
    auto choice = scans.empty() ? std::move(plain[i]) : chooser.choose(forms[i], false, &scans);
    if (!choice) {
      out.emplace_back();
      continue;
    }
    GuardSet atoms = std::move(choice->atoms);
    GuardSet distinct;
    std::unordered_set<uint64_t> seen;
    for (auto& atom : atoms) {
      if (seen.insert(hash_atom(atom)).second || std::find(distinct.begin(), distinct.end(), atom) == distinct.end()) {
        distinct.push_back(std::move(atom));
      }
    }
    out.emplace_back(std::move(distinct));
  }
  return out;
}

}  // namespace fb::match
