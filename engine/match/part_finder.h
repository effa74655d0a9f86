// Finds which of many literals occur in a text, in one pass: each literal is known by its rarest window of four bytes;
// a bit filter over the windows passes nearly every place of a text by (one load and one bit test a byte), and only
// where it does not are literals compared. Frozen, it is immutable; finding allocates nothing.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "engine/match/hash.h"

namespace fb::match {

class PartFinder {
 public:
  static constexpr size_t kLeastLength = 4;  // of a literal

  void add(std::string literal, uint32_t payload);  // before freeze()
  void freeze();

  bool empty() const { return entries_.empty(); }
  size_t bytes() const;  // of memory

  // Calls take(payload) for every place of every literal in the text; ends early, with true, when that says true.
  template <class Take>
  bool find(std::string_view text, Take&& take) const {
    if (text.size() < kLeastLength || slots_.empty()) return false;
    const char* const begin = text.data();
    const char* const last = begin + text.size() - kLeastLength;
    const uint64_t* const filter = filter_.data();
    const uint32_t shift = filter_shift_;
    for (const char* p = begin; p <= last; ++p) {
      const uint32_t window = load4(p);
      const uint32_t hash = spread(window);
      const uint32_t bit = hash >> shift;
      if ((filter[bit / 64] >> (bit % 64) & 1) == 0) continue;
      const size_t mask = slots_.size() - 1;
      for (size_t at = hash >> slot_shift_; slots_[at].end != 0; at = (at + 1) & mask) {
        if (slots_[at].window != window) continue;
        for (uint32_t e = slots_[at].begin; e < slots_[at].end; ++e) {
          if (stands(entries_[e], text, static_cast<size_t>(p - begin)) && take(entries_[e].payload)) return true;
        }
        break;
      }
    }
    return false;
  }

 private:
  struct Entry {
    uint32_t literal = 0;  // offset in literals_
    uint32_t length = 0;
    uint32_t window = 0;    // where in the literal its window lies
    uint32_t probe_at = 0;  // four bytes far from the window, compared first
    uint32_t probe = 0;
    uint32_t payload = 0;
  };
  struct Slot {
    uint32_t window = 0;
    uint32_t begin = 0;  // in entries_
    uint32_t end = 0;    // 0: free
  };

  static uint32_t spread(uint32_t window) { return window * 0x9E3779B1u; }
  // The entry's window is at `at` of the text: is the whole literal there?
  bool stands(const Entry& entry, std::string_view text, size_t at) const {
    if (at < entry.window || text.size() - (at - entry.window) < entry.length) return false;
    const char* const from = text.data() + (at - entry.window);
    return load4(from + entry.probe_at) == entry.probe &&
           std::memcmp(from, literals_.data() + entry.literal, entry.length) == 0;
  }

  std::vector<std::pair<std::string, uint32_t>> added_;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;
  std::vector<uint64_t> filter_;
  uint32_t filter_shift_ = 0;
  uint32_t slot_shift_ = 0;
  std::string literals_;
};

}  // namespace fb::match
