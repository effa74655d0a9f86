// Helpers of the event tests: records with readable padding, and the wanted values computed the slow way from a tree.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/event/decoder.h"
#include "engine/event/json_tree.h"

namespace fb::test {

// A record followed by bytes that would change its meaning if they were read as part of it.
class Record {
 public:
  explicit Record(std::string_view json) : size_(json.size()), bytes_(json) { bytes_.append(Decoder::kPadding, '}'); }
  std::string_view view() const { return std::string_view(bytes_).substr(0, size_); }

 private:
  size_t size_;
  std::string bytes_;
};

// A leaf of the tree: its path, its text as Value::text has it, and its kind.
struct TreeLeaf {
  std::string path;
  std::string text;
  Value::Kind kind;
  bool operator==(const TreeLeaf&) const = default;
};

inline void collect(const JsonNode& node, const std::string& path, bool named, std::vector<TreeLeaf>& leaves,
                    std::vector<std::string>& objects) {
  using Kind = JsonNode::Kind;
  switch (node.kind) {
    case Kind::null:
      return;
    case Kind::boolean:
      leaves.push_back({path, node.truth ? "true" : "false", Value::Kind::boolean});
      return;
    case Kind::number:
      leaves.push_back({path, node.text, Value::Kind::number});
      return;
    case Kind::string:
      leaves.push_back({path, node.text, Value::Kind::string});
      return;
    case Kind::array:
      for (const JsonNode& item : node.items) collect(item, path, named, leaves, objects);
      return;
    case Kind::object:
      if (named) objects.push_back(path);
      for (const auto& [key, value] : node.members) {
        collect(value, named ? path + "." + key : key, true, leaves, objects);
      }
      return;
  }
}

// Everything in a tree, in the order of the text.
struct Flat {
  std::vector<TreeLeaf> leaves;
  std::vector<std::string> objects;  // one entry for each object other than the event itself
  explicit Flat(const JsonNode& root) { collect(root, "", false, leaves, objects); }

  std::vector<TreeLeaf> at(std::string_view path) const {
    std::vector<TreeLeaf> found;
    for (const TreeLeaf& leaf : leaves) {
      if (leaf.path == path) found.push_back(leaf);
    }
    return found;
  }
  bool below(std::string_view path) const {
    const std::string prefix = std::string(path) + ".";
    for (const TreeLeaf& leaf : leaves) {
      if (leaf.path.starts_with(prefix)) return true;
    }
    return false;
  }
  size_t objects_at(std::string_view path) const {
    size_t count = 0;
    for (const std::string& object : objects) count += object == path;
    return count;
  }
};

// The values of a field in an event, in order.
inline std::vector<TreeLeaf> values(const Event& event, const FieldTable& table, FieldIx f) {
  std::vector<TreeLeaf> found;
  const FieldValues* field = event.find(f);
  if (field == nullptr) return found;
  for (uint32_t at = field->first; at != Value::kEnd; at = event.value(at).next) {
    found.push_back({table.name(f), std::string(event.value(at).text), event.value(at).kind});
  }
  return found;
}

inline std::vector<std::string> texts(const Event& event, FieldIx f) {
  std::vector<std::string> found;
  const FieldValues* field = event.find(f);
  if (field == nullptr) return found;
  for (uint32_t at = field->first; at != Value::kEnd; at = event.value(at).next) {
    found.emplace_back(event.value(at).text);
  }
  return found;
}

// Empty when the decoder and the tree say the same of every wanted field, nested path and leaf; else the difference.
inline std::string difference(const Event& event, const FieldTable& table, const JsonNode& root) {
  const Flat flat(root);
  size_t present = 0;
  for (uint32_t i = 0; i < table.size(); ++i) {
    const FieldIx f{i};
    const std::string& name = table.name(f);
    const FieldValues* field = event.find(f);
    if (values(event, table, f) != flat.at(name)) return "values of " + name;
    if ((field != nullptr && field->below) != flat.below(name)) return "below " + name;
    if (field == nullptr) continue;
    ++present;
    if (field->count != flat.at(name).size()) return "count of " + name;
  }
  if (present != event.fields().size()) return "number of present fields";
  for (uint32_t i = 0; i < table.nested_paths().size(); ++i) {
    size_t count = 0;
    for (const NestedObject& object : event.nested()) {
      if (object.path != i) continue;
      ++count;
      if (!object.json.starts_with('{') || !object.json.ends_with('}')) return "bytes of a nested object";
    }
    if (count != flat.objects_at(table.nested_paths()[i])) return "objects at " + table.nested_paths()[i];
  }
  if (table.all_leaves()) {
    if (event.leaves().size() != flat.leaves.size()) return "number of leaves";
    for (size_t i = 0; i < flat.leaves.size(); ++i) {
      const Value& value = event.value(event.leaves()[i].value);
      const TreeLeaf leaf{std::string(event.leaves()[i].path), std::string(value.text), value.kind};
      if (!(leaf == flat.leaves[i])) return "leaf " + flat.leaves[i].path;
    }
  }
  return {};
}

}  // namespace fb::test
