// The paths that a field table wants, as a tree over their dot-separated segments, and a hash from (place, key) to
// place so that one look-up follows one JSON key, dots and all. Built once for a decoder, then read only. Private to
// this component.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/event/event.h"

namespace fb {

// 64-bit hash step over 8-byte words.
inline uint64_t mix_hash(uint64_t h) {
  h *= 0x9E3779B97F4A7C15ULL;
  return h ^ (h >> 32);
}
inline uint64_t load_word(const char* p) {
  uint64_t word = 0;
  std::memcpy(&word, p, sizeof word);
  return word;
}

class FieldPaths {
 public:
  // Where the walk stands: on a node of the tree, or somewhere below the last node that it could follow.
  using Place = uint32_t;
  static constexpr Place kOff = 0x80000000U;  // bit: below the node, off the tree
  static constexpr Place kRoot = 0;

  explicit FieldPaths(const FieldTable& table);

  // One key further. 8 bytes past the key must be readable.
  Place child(Place place, std::string_view key) const {
    if ((place & kOff) != 0) return place;
    if (!nodes_[place].has_children) return place | kOff;
    const uint32_t found = look_up(place, key);
    if (found != kMissing) return found;
    if (std::memchr(key.data(), '.', key.size()) == nullptr) return place | kOff;
    return walk_segments(place, key);
  }

  // Fields whose value a leaf at this place is.
  std::span<const FieldIx> values(Place place) const {
    return (place & kOff) != 0 ? std::span<const FieldIx>{} : list(nodes_[place].values);
  }
  // Fields that a leaf at this place lies strictly below.
  std::span<const FieldIx> above(Place place) const {
    return (place & kOff) != 0 ? list(nodes_[place & ~kOff].deeper) : list(nodes_[place].above);
  }
  bool wants_leaf(Place place) const {
    if ((place & kOff) != 0) return nodes_[place & ~kOff].deeper.count != 0;
    return nodes_[place].wants_leaf;
  }
  // Nested paths (indexes into FieldTable::nested_paths()) that an object at this place belongs to.
  std::span<const uint32_t> nested(Place place) const {
    if ((place & kOff) != 0) return {};
    const List& l = nodes_[place].nested;
    return {nested_pool_.data() + l.at, l.count};
  }
  // The place of a nested path itself.
  Place nested_place(uint32_t path) const { return nested_places_[path]; }

  // Of a key at a place; 8 bytes past the key must be readable.
  static uint64_t hash(uint32_t from, const char* p, size_t n) {
    uint64_t h = mix_hash(n ^ (static_cast<uint64_t>(from) << 32) ^ 0x51ED270B35AE9D21ULL);
    for (; n > 8; n -= 8, p += 8) h = mix_hash(h ^ load_word(p));
    return n == 0 ? h : mix_hash(h ^ (load_word(p) << (64 - 8 * n)));
  }
  static bool same(const char* a, const char* b, size_t n) {
    for (; n > 8; n -= 8, a += 8, b += 8) {
      if (load_word(a) != load_word(b)) return false;
    }
    return n == 0 || ((load_word(a) ^ load_word(b)) << (64 - 8 * n)) == 0;
  }

 private:
  static constexpr uint32_t kMissing = 0xFFFFFFFF;
  struct List {
    uint32_t at = 0;
    uint32_t count = 0;
  };
  struct Node {
    List values;
    List above;
    List deeper;  // what a leaf strictly below this node lies below
    List nested;
    bool has_children = false;
    bool wants_leaf = false;
  };
  struct Entry {  // one way from a node to a node
    uint32_t from = 0;
    uint32_t to = 0;
    uint32_t text = 0;  // in text_
    uint32_t length = 0;
  };
  struct Slot {
    uint32_t tag = 0;
    uint32_t entry = kMissing;
  };
  struct Builder;

  std::span<const FieldIx> list(const List& l) const { return {pool_.data() + l.at, l.count}; }

  uint32_t look_up(uint32_t from, std::string_view key) const {
    const uint64_t h = hash(from, key.data(), key.size());
    const auto tag = static_cast<uint32_t>(h >> 32);
    for (size_t at = h & mask_;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.entry == kMissing) return kMissing;
      if (slot.tag != tag) continue;
      const Entry& entry = entries_[slot.entry];
      if (entry.from == from && entry.length == key.size() && same(text_.data() + entry.text, key.data(), key.size())) {
        return entry.to;
      }
    }
  }

  Place walk_segments(Place place, std::string_view key) const;

  std::vector<Node> nodes_;
  std::vector<FieldIx> pool_;
  std::vector<uint32_t> nested_pool_;
  std::vector<Place> nested_places_;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;
  std::string text_;
  size_t mask_ = 0;
};

}  // namespace fb
