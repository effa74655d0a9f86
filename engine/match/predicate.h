// A predicate: some tests over one field, joined by "or", with one truth value an event. Rules share predicates, so
// that each is judged at most once an event. Also the lowering of a rule's tree to a form over predicates.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/event/event.h"
#include "engine/ir/ir.h"
#include "engine/ir/typed.h"
#include "engine/match/judge.h"

namespace fb::match {

inline constexpr size_t kFieldTypes = 9;

struct Predicate {
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  ir::FieldRef::Scope scope = ir::FieldRef::Scope::named;
  bool exists = false;  // asks for presence; else `judge*` say what of a value

  // named
  FieldIx field{};
  FieldIx base{};  // of a multi-field view
  ir::View view = ir::View::plain;
  uint32_t judge = kNone;       // for values at `field`
  uint32_t view_judge = kNone;  // for values at `base` when `field` is absent

  // pattern and any: one judge a type, since each leaf counts by its own
  GlobMatcher path;
  std::array<uint32_t, kFieldTypes> judges{};

  uint32_t cost = 0;
};

// A rule's condition over predicates. Constants are folded away unless they are all there is.
struct Form {
  enum class Kind : uint8_t { always, never, all_of, any_of, negate, nested, predicate };
  Kind kind = Kind::always;
  uint32_t id = 0;  // predicate, or nested: index into FieldTable::nested_paths()
  std::vector<Form> children;
  uint32_t cost = 0;
};

// Every distinct predicate of a rule set and the judges they use.
class PredicateTable {
 public:
  // `fields` collects what the events must carry.
  explicit PredicateTable(FieldTable& fields) : fields_(fields) {}

  Form lower(const ir::Node& node);

  // Some predicate looks at every leaf of an event.
  bool wants_leaves() const { return wants_leaves_; }

  const std::vector<Predicate>& predicates() const { return predicates_; }
  const std::vector<Judge>& judges() const { return judges_; }
  std::vector<Predicate> take_predicates() { return std::move(predicates_); }
  std::vector<Judge> take_judges() { return std::move(judges_); }

 private:
  Form lower_any_of(const ir::Node& node);
  Form lower_all_of(const ir::Node& node);
  Form intern(std::vector<const ir::Test*> tests);
  Predicate make(const std::vector<const ir::Test*>& tests);
  uint32_t make_judge(const std::vector<const ir::Test*>& tests, FieldType type, bool fold);

  FieldTable& fields_;
  std::vector<Predicate> predicates_;
  std::vector<Judge> judges_;
  std::map<std::string, uint32_t> known_;
  std::map<std::string, uint32_t> set_judges_;  // of shared sets: by what they hold and how values are read
  bool wants_leaves_ = false;
};

// What a predicate is judged with.
struct Judging {
  const std::vector<Judge>* judges = nullptr;
  int64_t now_ms = 0;
  JudgeScratch* scratch = nullptr;
};

// Straight from the event's values; no memory of earlier answers. A predicate that looks at leaves (of_leaves) takes
// the event as a decoder of all leaves gives it.
inline bool of_leaves(const Predicate& predicate) {
  return predicate.scope != ir::FieldRef::Scope::named;
}
bool holds(const Predicate& predicate, const Event& event, const Judging& judging);

}  // namespace fb::match
