#include "engine/ir/oracle.h"

#include <algorithm>
#include <optional>

#include "engine/base/text.h"
#include "engine/ir/typed.h"
#include "engine/ir/value_set.h"

namespace fb::ir {

namespace {

struct Leaf {
  std::string path;
  const JsonNode* value = nullptr;
};

// What a query is judged against: the whole event, or one nested object whose keys continue `path`.
struct Scene {
  const JsonNode* object = nullptr;
  std::string path;
  bool named = false;  // false for the whole event, which has no path
  std::vector<Leaf> leaves;
};

std::string join(const std::string& path, bool named, const std::string& key) {
  return named ? path + "." + key : key;
}

bool lies_below(std::string_view path, std::string_view ancestor) {
  return path.size() > ancestor.size() && path.substr(0, ancestor.size()) == ancestor && path[ancestor.size()] == '.';
}

// A path and its other names by the renamings.
std::vector<std::string> names_of(const std::string& path, const OracleContext& context) {
  std::vector<std::string> names{path};
  for (const auto& [from, to] : context.renames) {
    if (path == from || lies_below(path, from)) names.push_back(to + path.substr(from.size()));
  }
  return names;
}

// Every spelling of a path comes to the same text here; null is no value.
void gather_leaves(const JsonNode& node, const std::string& path, bool named, const OracleContext& context,
                   std::vector<Leaf>& out) {
  switch (node.kind) {
    case JsonNode::Kind::null:
      return;
    case JsonNode::Kind::array:
      for (const JsonNode& item : node.items) gather_leaves(item, path, named, context, out);
      return;
    case JsonNode::Kind::object:
      for (const auto& [key, value] : node.members) gather_leaves(value, join(path, named, key), true, context, out);
      return;
    default:
      for (std::string& name : names_of(path, context)) out.push_back({std::move(name), &node});
  }
}

Scene scene_of(const JsonNode& object, const std::string& path, bool named, const OracleContext& context) {
  Scene scene{&object, path, named, {}};
  gather_leaves(object, path, named, context, scene.leaves);
  return scene;
}

// The objects at `wanted` below `node`.
void gather_objects(const JsonNode& node, const std::string& path, bool named, const std::string& wanted,
                    const OracleContext& context, std::vector<const JsonNode*>& out) {
  if (node.kind == JsonNode::Kind::array) {
    for (const JsonNode& item : node.items) gather_objects(item, path, named, wanted, context, out);
    return;
  }
  if (node.kind != JsonNode::Kind::object) return;
  if (named) {
    const auto names = names_of(path, context);
    if (std::find(names.begin(), names.end(), wanted) != names.end()) out.push_back(&node);
  }
  for (const auto& [key, value] : node.members) {
    gather_objects(value, join(path, named, key), true, wanted, context, out);
  }
}

std::vector<Scene> nested_scenes(const Scene& scene, const std::string& wanted, const OracleContext& context) {
  std::vector<const JsonNode*> objects;
  for (const auto& [key, value] : scene.object->members) {
    gather_objects(value, join(scene.path, scene.named, key), true, wanted, context, objects);
  }
  std::vector<Scene> scenes;
  for (const JsonNode* object : objects) scenes.push_back(scene_of(*object, wanted, true, context));
  return scenes;
}

// Comparisons, one for each type.

// `order` is value against literal: negative, zero, positive.
bool order_holds(Op op, int order) {
  switch (op) {
    case Op::equal:
    case Op::phrase:
      return order == 0;
    case Op::less:
      return order < 0;
    case Op::less_equal:
      return order <= 0;
    case Op::greater:
      return order > 0;
    case Op::greater_equal:
      return order >= 0;
    case Op::exists:
    case Op::glob:
    case Op::one_of:
      break;
  }
  return false;
}

// A value's text, as keyword fields and analysed texts see it.
std::string text_of(const JsonNode& value) {
  if (value.kind == JsonNode::Kind::boolean) return value.truth ? "true" : "false";
  return value.text;
}

bool keyword_holds(const Test& test, const std::string& text) {
  if (test.op == Op::glob) return glob_match(test.glob, text);
  return order_holds(test.op, text.compare(test.literal));
}

bool caseless_holds(Test test, const std::string& text) {
  std::string folded;
  fold_case(text, folded);
  std::string literal;
  fold_case(test.literal, literal);
  test.literal = std::move(literal);
  test.glob = fold_glob(test.glob);
  return keyword_holds(test, folded);
}

bool has_word(const std::vector<std::string>& have, const std::string& word) {
  return std::find(have.begin(), have.end(), word) != have.end();
}

bool text_holds(const Test& test, const std::string& text) {
  const std::vector<std::string> have = words(text);
  switch (test.op) {
    case Op::exists:
      return true;
    case Op::equal: {
      const auto wanted = words(test.literal);
      return std::any_of(wanted.begin(), wanted.end(), [&](const std::string& w) { return has_word(have, w); });
    }
    case Op::phrase: {
      const auto wanted = words(test.literal);
      if (wanted.empty()) return false;
      return std::search(have.begin(), have.end(), wanted.begin(), wanted.end()) != have.end();
    }
    case Op::glob:
      for (const TextClause& clause : text_clauses(test.glob)) {
        for (const std::string& word : have) {
          if (clause.glob.empty() ? has_word(clause.words, word) : glob_match(clause.glob, word)) return true;
        }
      }
      return false;
    default: {
      // A bound is compared with single words.
      std::string bound;
      fold_case(test.literal, bound);
      return std::any_of(have.begin(), have.end(),
                         [&](const std::string& word) { return order_holds(test.op, word.compare(bound)); });
    }
  }
}

bool number_holds(const Test& test, const JsonNode& value) {
  const auto literal = parse_number_text(test.literal);
  if (!literal) return false;
  if (value.kind == JsonNode::Kind::number) return order_holds(test.op, compare(value.number, *literal));
  if (value.kind != JsonNode::Kind::string) return false;
  const auto number = parse_number_text(value.text);
  return number && order_holds(test.op, compare(*number, *literal));
}

std::optional<bool> truth_of(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

bool boolean_holds(const Test& test, const JsonNode& value) {
  if (value.kind == JsonNode::Kind::number) return false;
  const auto have = truth_of(text_of(value));
  const auto literal = truth_of(test.literal);
  if (!have || !literal) return false;
  return order_holds(test.op, static_cast<int>(*have) - static_cast<int>(*literal));
}

bool address_holds(const Test& test, const JsonNode& value) {
  if (value.kind != JsonNode::Kind::string) return false;
  const auto address = parse_address(value.text);
  if (!address) return false;
  if (test.op == Op::equal || test.op == Op::phrase) {
    const auto range = parse_address_range(test.literal);
    return range && range->contains(*address);
  }
  const auto bound = parse_address(test.literal);
  if (!bound) return false;
  return order_holds(test.op, *address < *bound ? -1 : *bound < *address ? 1 : 0);
}

bool date_holds(const Test& test, const JsonNode& value, const OracleContext& context) {
  if (value.kind == JsonNode::Kind::boolean) return false;
  const auto time = parse_date_value(value.text);
  const auto literal = parse_date_literal(test.literal);
  if (!time || !literal) return false;
  const DateLiteral::Bounds bounds = literal->resolve(context.now_ms);
  switch (test.op) {
    case Op::equal:
    case Op::phrase:
      return bounds.first_ms <= *time && *time <= bounds.last_ms;
    case Op::less:
      return *time < bounds.first_ms;
    case Op::less_equal:
      return *time <= bounds.last_ms;
    case Op::greater:
      return *time > bounds.last_ms;
    case Op::greater_equal:
      return *time >= bounds.first_ms;
    case Op::exists:
    case Op::glob:
    case Op::one_of:
      break;
  }
  return false;
}

bool value_holds(const Test& test, FieldType type, const JsonNode& value, const OracleContext& context);

// One after the other: what it means to be one of them.
bool one_of_holds(const Test& test, FieldType type, const JsonNode& value, const OracleContext& context) {
  if (test.values->addresses) {
    if (value.kind != JsonNode::Kind::string || !holds_addresses(type)) return false;
    const auto address = parse_address(value.text);
    const auto& ranges = test.values->ranges;
    return address && std::any_of(ranges.begin(), ranges.end(),
                                  [&](const AddressRange& range) { return range.contains(*address); });
  }
  Test one{test.field, Op::phrase, {}, {}};
  const auto& texts = test.values->texts;
  return std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
    one.literal = text;
    return value_holds(one, type, value, context);
  });
}

bool value_holds(const Test& test, FieldType type, const JsonNode& value, const OracleContext& context) {
  if (test.op == Op::exists) return true;
  if (test.op == Op::one_of) return one_of_holds(test, type, value, context);
  switch (type) {
    case FieldType::dynamic:
      if (value.kind == JsonNode::Kind::number) return number_holds(test, value);
      if (value.kind == JsonNode::Kind::boolean) return boolean_holds(test, value);
      return keyword_holds(test, value.text);
    case FieldType::keyword:
      return keyword_holds(test, text_of(value));
    case FieldType::text:
      return text_holds(test, text_of(value));
    case FieldType::integer:
    case FieldType::real:
      return number_holds(test, value);
    case FieldType::boolean:
      return boolean_holds(test, value);
    case FieldType::ip:
      return address_holds(test, value);
    case FieldType::date:
      return date_holds(test, value, context);
    case FieldType::object:
      return false;
  }
  return false;
}

// Which leaves a test sees and as what.
struct Seen {
  const Leaf* leaf = nullptr;
  FieldType type = FieldType::dynamic;
  View view = View::plain;
};

std::vector<Seen> seen_by(const Test& test, const Scene& scene) {
  std::vector<Seen> seen;
  if (test.field.scope != FieldRef::Scope::named) {
    const bool all = test.field.scope == FieldRef::Scope::any;
    for (const Leaf& leaf : scene.leaves) {
      if (!all && !glob_match(test.field.glob, leaf.path)) continue;
      seen.push_back({&leaf, field_type(leaf.path), View::plain});
      // A query without a field searches the analysed sub-field as well.
      if (all && has_text_multi_field(leaf.path)) seen.push_back({&leaf, FieldType::text, View::text});
    }
    return seen;
  }

  const std::string& name = test.field.name;
  bool present = false;
  for (const Leaf& leaf : scene.leaves) {
    const bool here = leaf.path == name;
    const bool below = lies_below(leaf.path, name);
    present = present || here || below;
    if (here || (below && test.op == Op::exists)) seen.push_back({&leaf, field_type(name), View::plain});
  }
  if (present) return seen;

  const PathView path = split_view(name);
  if (path.view == View::plain) return seen;
  for (const Leaf& leaf : scene.leaves) {
    if (leaf.path == path.base) seen.push_back({&leaf, viewed_type(path.view, field_type(path.base)), path.view});
  }
  return seen;
}

bool caseless_view_holds(const Test& test, const JsonNode& value, const OracleContext& context) {
  if (test.op != Op::one_of) return caseless_holds(test, text_of(value));
  if (test.values->addresses) return one_of_holds(test, FieldType::keyword, value, context);
  const auto& texts = test.values->texts;
  return std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
    return caseless_holds({test.field, Op::phrase, text, {}}, text_of(value));
  });
}

bool test_holds(const Test& test, const Scene& scene, const OracleContext& context) {
  const auto seen = seen_by(test, scene);
  return std::any_of(seen.begin(), seen.end(), [&](const Seen& one) {
    if (one.view == View::caseless && test.op != Op::exists) {
      return caseless_view_holds(test, *one.leaf->value, context);
    }
    return value_holds(test, one.type, *one.leaf->value, context);
  });
}

bool node_holds(const Node& node, const Scene& scene, const OracleContext& context) {
  const auto holds = [&](const Node& child) { return node_holds(child, scene, context); };
  switch (node.kind) {
    case Node::Kind::always:
      return true;
    case Node::Kind::never:
      return false;
    case Node::Kind::all_of:
      return std::all_of(node.children.begin(), node.children.end(), holds);
    case Node::Kind::any_of:
      return std::any_of(node.children.begin(), node.children.end(), holds);
    case Node::Kind::negate:
      return !holds(node.children.front());
    case Node::Kind::nested: {
      const auto scenes = nested_scenes(scene, node.path, context);
      return std::any_of(scenes.begin(), scenes.end(),
                         [&](const Scene& inner) { return node_holds(node.children.front(), inner, context); });
    }
    case Node::Kind::test:
      return test_holds(node.test, scene, context);
  }
  return false;
}

// Explaining.

constexpr size_t kShownValues = 5;
constexpr size_t kShownBytes = 80;

std::string shown_value(const JsonNode& value) {
  std::string text = text_of(value);
  if (text.size() > kShownBytes) {
    size_t cut = kShownBytes;
    while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
    text = text.substr(0, cut) + "...";
  }
  text = printable(text);
  return value.kind == JsonNode::Kind::string ? '"' + text + '"' : text;
}

std::string shown_values(const Test& test, const std::vector<Scene>& scenes) {
  std::vector<std::string> shown;
  size_t more = 0;
  const bool with_path = test.field.scope != FieldRef::Scope::named || test.op == Op::exists;
  for (const Scene& scene : scenes) {
    const Leaf* before = nullptr;
    for (const Seen& one : seen_by(test, scene)) {
      if (one.leaf == before) continue;
      before = one.leaf;
      if (shown.size() == kShownValues) {
        ++more;
        continue;
      }
      const std::string value = shown_value(*one.leaf->value);
      shown.push_back(with_path ? printable(one.leaf->path) + " = " + value : value);
    }
  }
  if (shown.empty()) return "absent";
  std::string out;
  for (const std::string& one : shown) out += (out.empty() ? "" : ", ") + one;
  if (more > 0) out += ", and " + std::to_string(more) + " more";
  return out;
}

void explain_node(const Node& node, const std::vector<Scene>& scenes, const OracleContext& context,
                  std::vector<Explanation>& out) {
  if (node.kind == Node::Kind::test) {
    const bool held = std::any_of(scenes.begin(), scenes.end(),
                                  [&](const Scene& scene) { return test_holds(node.test, scene, context); });
    out.push_back({node.span, print(node), held, shown_values(node.test, scenes)});
    return;
  }
  if (node.kind == Node::Kind::nested) {
    std::vector<Scene> inner;
    for (const Scene& scene : scenes) {
      for (Scene& found : nested_scenes(scene, node.path, context)) inner.push_back(std::move(found));
    }
    explain_node(node.children.front(), inner, context, out);
    return;
  }
  for (const Node& child : node.children) explain_node(child, scenes, context, out);
}

}  // namespace

bool matches(const Node& query, const JsonNode& event, const OracleContext& context) {
  return node_holds(query, scene_of(event, "", false, context), context);
}

std::vector<Explanation> explain(const Node& query, const JsonNode& event, const OracleContext& context) {
  std::vector<Explanation> out;
  explain_node(query, {scene_of(event, "", false, context)}, context, out);
  return out;
}

}  // namespace fb::ir
