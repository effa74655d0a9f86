// One event as the matcher sees it: the values of the fields that some rule reads, found in one pass over the JSON
// bytes. An Event is a view owned by its Decoder; it is valid until the decoder's next call. One decoder a thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/event/field_types.h"
#include "engine/event/number.h"

namespace fb {

// A dense index of a field that some rule reads; indexes arrays in the decoder and the matcher.
enum class FieldIx : uint32_t {};
constexpr uint32_t index(FieldIx f) {
  return static_cast<uint32_t>(f);
}

// The fields that a rule set reads. Built once while a rule set is compiled, then immutable and shared by threads.
class FieldTable {
 public:
  FieldTable();  // with the built-in fields below, always at these places

  static constexpr FieldIx kTimestamp{0};  // @timestamp
  static constexpr FieldIx kAgentId{1};    // agent.id
  static constexpr FieldIx kHostId{2};     // host.id
  static constexpr FieldIx kHostName{3};   // host.name

  FieldIx add(std::string_view name);  // gives the old index for a known name
  // Objects found at this path are handed out as slices (nested queries); the path need not be an added field.
  void want_nested(std::string_view path);
  // Every leaf of every event is handed out with its path (value-only queries, field wildcards).
  void want_all_leaves();
  // `from` in an event is another spelling of `to` (a `--fields FILE` renaming).
  void rename(std::string_view from, std::string_view to);

  uint32_t size() const { return static_cast<uint32_t>(names_.size()); }
  const std::string& name(FieldIx f) const { return names_[index(f)]; }
  FieldType type(FieldIx f) const { return types_[index(f)]; }
  bool all_leaves() const { return all_leaves_; }
  const std::vector<std::string>& nested_paths() const { return nested_; }
  const std::vector<std::pair<std::string, std::string>>& renames() const { return renames_; }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, uint32_t> by_name_;
  std::vector<FieldType> types_;
  std::vector<std::string> nested_;
  std::vector<std::pair<std::string, std::string>> renames_;
  bool all_leaves_ = false;
};

// One leaf value. null is no value.
struct Value {
  enum class Kind : uint8_t { string, number, boolean };
  static constexpr uint32_t kEnd = 0xFFFFFFFF;

  Kind kind = Kind::string;
  bool truth = false;     // booleans
  uint32_t next = kEnd;   // the next value of the same field in this event
  std::string_view text;  // strings unescaped; numbers exactly as written; "true" or "false"
  Number number;          // numbers
};

// The values of one wanted field in this event.
struct FieldValues {
  FieldIx field{};
  uint32_t first = Value::kEnd;  // kEnd: no leaf at this very path, only below it
  uint32_t count = 0;
  bool below = false;  // some leaf with a value lies below this path (makes `field:*` true)
};

// One object (or each element of an array of objects) at a nested path; `json` is its bytes within the event.
struct NestedObject {
  uint32_t path = 0;  // index into FieldTable::nested_paths()
  std::string_view json;
};

// A leaf with its full path; only when the table wants all leaves.
struct Leaf {
  std::string_view path;
  uint32_t value = 0;
};

class Event {
 public:
  // Present wanted fields, in order of first appearance, each once.
  std::span<const FieldValues> fields() const { return fields_; }
  // Null when the event has neither a leaf at nor below this field. O(1).
  const FieldValues* find(FieldIx f) const {
    const uint32_t at = slots_[index(f)];
    return at < fields_.size() && fields_[at].field == f ? &fields_[at] : nullptr;
  }
  const Value& value(uint32_t at) const { return values_[at]; }
  std::span<const NestedObject> nested() const { return nested_; }
  std::span<const Leaf> leaves() const { return leaves_; }
  std::string_view json() const { return json_; }                // the bytes as they came
  bool identity_conflict() const { return identity_conflict_; }  // agent.id or host.id spelt two ways with two values

 private:
  friend class Decoder;
  std::vector<FieldValues> fields_;
  std::vector<Value> values_;
  std::vector<uint32_t> slots_;  // by field; a stale entry is told by fields_[slot].field
  std::vector<NestedObject> nested_;
  std::vector<Leaf> leaves_;
  std::string_view json_;
  bool identity_conflict_ = false;
};

}  // namespace fb
