#include "engine/match/predicate.h"

#include <algorithm>

namespace fb::match {

namespace {

using Scope = ir::FieldRef::Scope;

constexpr uint32_t kNestedCost = 2000;
constexpr uint32_t kLeavesCost = 3000;

// Texts that are equal for equal tests only.
void append(std::string& out, std::string_view text) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
}
void append(std::string& out, const ir::Glob& glob) {
  for (const auto& part : glob) {
    out += static_cast<char>('0' + static_cast<int>(part.kind));
    append(out, part.text);
  }
}
std::string key_of(const ir::FieldRef& field) {
  std::string out(1, static_cast<char>('0' + static_cast<int>(field.scope)));
  append(out, field.name);
  append(out, field.glob);
  return out;
}
std::string key_of(const ir::Test& test) {
  std::string out(1, static_cast<char>('0' + static_cast<int>(test.op)));
  append(out, test.literal);
  append(out, test.glob);
  if (test.op == ir::Op::one_of) append(out, test.values->digest);
  return out;
}

Form constant(bool truth) {
  Form out;
  out.kind = truth ? Form::Kind::always : Form::Kind::never;
  return out;
}

void flatten(const ir::Node& node, ir::Node::Kind kind, std::vector<const ir::Node*>& out) {
  for (const auto& child : node.children) {
    if (child.kind == kind) {
      flatten(child, kind, out);
    } else {
      out.push_back(&child);
    }
  }
}

void order_by_cost(Form& form) {
  std::stable_sort(form.children.begin(), form.children.end(),
                   [](const Form& a, const Form& b) { return a.cost < b.cost; });
  form.cost = 0;
  for (const auto& child : form.children) form.cost += child.cost;
}

bool any_value_holds(const Judge& judge, const Event& event, const FieldValues& values, const Judging& judging) {
  for (uint32_t at = values.first; at != Value::kEnd;) {
    const Value& value = event.value(at);
    if (judge.holds(value, judging.now_ms, *judging.scratch)) return true;
    at = value.next;
  }
  return false;
}

bool leaf_holds(const Predicate& predicate, const Leaf& leaf, const Event& event, const Judging& judging) {
  const Value& value = event.value(leaf.value);
  const auto judge = [&](FieldType type) {
    const uint32_t at = predicate.judges[static_cast<size_t>(type)];
    return at != Predicate::kNone && (*judging.judges)[at].holds(value, judging.now_ms, *judging.scratch);
  };
  if (judge(field_type(leaf.path))) return true;
  return predicate.scope == Scope::any && has_text_multi_field(leaf.path) && judge(FieldType::text);
}

}  // namespace

bool holds(const Predicate& predicate, const Event& event, const Judging& judging) {
  if (predicate.scope == Scope::named) {
    if (const FieldValues* values = event.find(predicate.field)) {
      if (predicate.exists) return true;
      return predicate.judge != Predicate::kNone &&
             any_value_holds((*judging.judges)[predicate.judge], event, *values, judging);
    }
    if (predicate.view == ir::View::plain) return false;
    const FieldValues* values = event.find(predicate.base);
    if (values == nullptr || values->count == 0) return false;
    if (predicate.exists) return true;
    return predicate.view_judge != Predicate::kNone &&
           any_value_holds((*judging.judges)[predicate.view_judge], event, *values, judging);
  }
  for (const Leaf& leaf : event.leaves()) {
    if (predicate.scope == Scope::pattern && !predicate.path.matches(leaf.path)) continue;
    if (predicate.exists || leaf_holds(predicate, leaf, event, judging)) return true;
  }
  return false;
}

Form PredicateTable::lower(const ir::Node& node) {
  switch (node.kind) {
    case ir::Node::Kind::always:
      return constant(true);
    case ir::Node::Kind::never:
      return constant(false);
    case ir::Node::Kind::test:
      return intern({&node.test});
    case ir::Node::Kind::all_of:
      return lower_all_of(node);
    case ir::Node::Kind::any_of:
      return lower_any_of(node);
    case ir::Node::Kind::negate: {
      Form child = lower(node.children.front());
      if (child.kind == Form::Kind::always) return constant(false);
      if (child.kind == Form::Kind::never) return constant(true);
      if (child.kind == Form::Kind::negate) return std::move(child.children.front());
      Form out;
      out.kind = Form::Kind::negate;
      out.cost = child.cost;
      out.children.push_back(std::move(child));
      return out;
    }
    case ir::Node::Kind::nested: {
      Form child = lower(node.children.front());
      if (child.kind == Form::Kind::never) return child;
      fields_.want_nested(node.path);
      const auto& paths = fields_.nested_paths();
      Form out;
      out.kind = Form::Kind::nested;
      out.id = static_cast<uint32_t>(std::find(paths.begin(), paths.end(), node.path) - paths.begin());
      out.cost = kNestedCost + child.cost;
      out.children.push_back(std::move(child));
      return out;
    }
  }
  return constant(false);
}

Form PredicateTable::lower_all_of(const ir::Node& node) {
  std::vector<const ir::Node*> parts;
  flatten(node, ir::Node::Kind::all_of, parts);
  Form out;
  out.kind = Form::Kind::all_of;
  for (const ir::Node* part : parts) {
    Form child = lower(*part);
    if (child.kind == Form::Kind::never) return child;
    if (child.kind == Form::Kind::always) continue;
    out.children.push_back(std::move(child));
  }
  if (out.children.empty()) return constant(true);
  if (out.children.size() == 1) {
    Form only = std::move(out.children.front());
    return only;
  }
  order_by_cost(out);
  return out;
}

Form PredicateTable::lower_any_of(const ir::Node& node) {
  std::vector<const ir::Node*> parts;
  flatten(node, ir::Node::Kind::any_of, parts);
  Form out;
  out.kind = Form::Kind::any_of;
  // Tests over one field become one predicate: many equal values are one lookup by hash or by halves (judge.h); only
  // bounds, dates relative to now and patterns are still tried one by one. A shared set stays a predicate of its own,
  // so that all rules that name it have the same one.
  std::map<std::string, std::vector<const ir::Test*>> by_field;
  for (const ir::Node* part : parts) {
    if (part->kind == ir::Node::Kind::test && part->test.op != ir::Op::exists && part->test.op != ir::Op::one_of) {
      by_field[key_of(part->test.field)].push_back(&part->test);
      continue;
    }
    Form child = lower(*part);
    if (child.kind == Form::Kind::always) return child;
    if (child.kind == Form::Kind::never) continue;
    out.children.push_back(std::move(child));
  }
  for (auto& [field, tests] : by_field) {
    Form child = intern(std::move(tests));
    if (child.kind == Form::Kind::never) continue;
    out.children.push_back(std::move(child));
  }
  if (out.children.empty()) return constant(false);
  if (out.children.size() == 1) {
    Form only = std::move(out.children.front());
    return only;
  }
  order_by_cost(out);
  return out;
}

Form PredicateTable::intern(std::vector<const ir::Test*> tests) {
  std::vector<std::string> keys;
  for (const ir::Test* test : tests) keys.push_back(key_of(*test));
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  std::string key = key_of(tests.front()->field);
  for (const auto& k : keys) append(key, k);

  auto [at, fresh] = known_.try_emplace(std::move(key), static_cast<uint32_t>(predicates_.size()));
  if (fresh) {
    Predicate made = make(tests);
    const bool never =
        !made.exists && made.judge == Predicate::kNone && made.view_judge == Predicate::kNone &&
        std::all_of(made.judges.begin(), made.judges.end(), [](uint32_t judge) { return judge == Predicate::kNone; });
    if (never) {
      at->second = Predicate::kNone;
    } else {
      predicates_.push_back(std::move(made));
    }
  }
  if (at->second == Predicate::kNone) return constant(false);
  Form out;
  out.kind = Form::Kind::predicate;
  out.id = at->second;
  out.cost = predicates_[out.id].cost;
  return out;
}

Predicate PredicateTable::make(const std::vector<const ir::Test*>& tests) {
  const ir::FieldRef& field = tests.front()->field;
  Predicate out;
  out.scope = field.scope;
  out.exists = tests.front()->op == ir::Op::exists;
  out.judges.fill(Predicate::kNone);
  out.cost = 2;
  if (field.scope == Scope::named) {
    out.field = fields_.add(field.name);
    const ir::PathView view = ir::split_view(field.name);
    out.view = view.view;
    if (view.view != ir::View::plain) out.base = fields_.add(view.base);
    if (out.exists) return out;
    out.judge = make_judge(tests, field_type(field.name), false);
    if (view.view != ir::View::plain) {
      const FieldType type = ir::viewed_type(view.view, field_type(view.base));
      out.view_judge = make_judge(tests, type, view.view == ir::View::caseless);
    }
    for (const uint32_t judge : {out.judge, out.view_judge}) {
      if (judge != Predicate::kNone) out.cost = std::max(out.cost, judges_[judge].cost());
    }
    return out;
  }
  wants_leaves_ = true;
  if (field.scope == Scope::pattern) out.path = GlobMatcher(field.glob);
  out.cost = kLeavesCost;
  if (out.exists) return out;
  for (size_t type = 0; type < kFieldTypes; ++type) {
    out.judges[type] = make_judge(tests, static_cast<FieldType>(type), false);
  }
  return out;
}

uint32_t PredicateTable::make_judge(const std::vector<const ir::Test*>& tests, FieldType type, bool fold) {
  uint32_t* known = nullptr;
  if (tests.size() == 1 && tests.front()->op == ir::Op::one_of) {
    const std::string key = std::to_string(static_cast<int>(type)) + (fold ? "f" : " ") + tests.front()->values->digest;
    const auto [at, fresh] = set_judges_.try_emplace(key, Predicate::kNone);
    if (!fresh) return at->second;
    known = &at->second;
  }
  Judge judge(type, fold);
  for (const ir::Test* test : tests) judge.add(*test);
  judge.freeze();
  if (judge.never()) return Predicate::kNone;
  judges_.push_back(std::move(judge));
  const auto made = static_cast<uint32_t>(judges_.size() - 1);
  if (known != nullptr) *known = made;
  return made;
}

}  // namespace fb::match
