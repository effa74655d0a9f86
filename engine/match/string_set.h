// A frozen set of byte strings: a short list is compared one by one, a long one is hashed. Lookups allocate nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/match/hash.h"

namespace fb::match {

class StringSet {
 public:
  void add(std::string text);  // before freeze()
  void freeze();

  bool empty() const { return strings_.empty(); }
  const std::vector<std::string>& strings() const { return strings_; }

  bool contains(std::string_view text) const {
    if (slots_.empty()) {
      for (const auto& s : strings_) {
        if (s == text) return true;
      }
      return false;
    }
    const size_t mask = slots_.size() - 1;
    for (size_t at = hash_bytes(text, 0) & mask; slots_[at] != 0; at = (at + 1) & mask) {
      if (strings_[slots_[at] - 1] == text) return true;
    }
    return false;
  }

 private:
  std::vector<std::string> strings_;  // sorted, each once
  std::vector<uint32_t> slots_;       // 1 + index into strings_, 0 = free; empty for short lists
};

}  // namespace fb::match
