// From the values of an event to the rules worth looking at. One hash lookup finds all rules that wait for a value as a
// whole; heads and tails are hashed by their first or last bytes; parts of values are found in one pass over the value
// (part_finder.h). Built once, immutable, shared by threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/event/event.h"
#include "engine/match/guard.h"
#include "engine/match/hash.h"
#include "engine/match/judge.h"
#include "engine/match/part_finder.h"

namespace fb::match {

// The rules to look at for one event, each once. Owned by a matcher.
class Candidates {
 public:
  void resize(size_t rules) {
    stamps_.assign(rules, 0);
    list_.reserve(rules);
    epoch_ = 0;
  }
  void begin() {
    list_.clear();
    if (++epoch_ == 0) {
      std::fill(stamps_.begin(), stamps_.end(), 0);
      epoch_ = 1;
    }
  }
  void add(uint32_t rule) {
    if (stamps_[rule] == epoch_) return;
    stamps_[rule] = epoch_;
    list_.push_back(rule);
  }
  std::vector<uint32_t>& list() { return list_; }

 private:
  std::vector<uint32_t> stamps_;
  std::vector<uint32_t> list_;
  uint32_t epoch_ = 0;
};

class Index {
 public:
  void build(const std::vector<std::optional<GuardSet>>& guards, const FieldTable& fields);

  // Adds every rule that may match to `out`; `looked_up` counts the values seen.
  void collect(const Event& event, JudgeScratch& scratch, Candidates& out, uint64_t& looked_up) const;

  size_t always_count() const { return always_.size(); }
  size_t bytes() const;

 private:
  struct Range {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  // Rules that wait for one literal. Heads and tails are compared before their rules are touched.
  struct Entry {
    uint32_t literal = 0;  // offset in literals_
    uint32_t length = 0;
    uint32_t probe_at = 0;  // four bytes of the literal far from its key, compared first
    uint32_t probe = 0;
    Range rules;  // in rules_
  };
  struct Slot {
    uint64_t key = 0;
    Range entries;  // in entries_; empty = free
  };
  // The parts that rules wait for in one field; a payload is an index into `rules`.
  struct Parts {
    PartFinder finder;
    std::vector<Range> rules;
  };
  // What is looked for in a value's text, once as it is and once lower-cased.
  struct TextLooks {
    uint64_t exact_lengths = 0;  // bit min(length, 63)
    uint8_t prefix_keys = 0;     // bit k-1: some head is keyed by k bytes
    uint8_t suffix_keys = 0;
    uint32_t parts = 0;  // 1 + index into parts_, 0 = none
    uint64_t seed = 0;
    bool any() const { return (exact_lengths | prefix_keys | suffix_keys | parts) != 0; }
  };
  struct Field {
    bool used = false;
    bool numbers = false;
    bool numbers_in_text = false;  // strings count as the numbers they spell
    bool addresses = false;
    bool words = false;
    bool any_look = false;  // some value must be looked at
    TextLooks plain;
    TextLooks fold;
    Range present;  // in rules_
  };

  void touch(Range rules, Candidates& out) const {
    for (uint32_t i = rules.begin; i < rules.end; ++i) out.add(rules_[i]);
  }
  std::string_view literal(const Entry& entry) const {
    return std::string_view(literals_).substr(entry.literal, entry.length);
  }
  // Does the literal stand at `at`? So many bytes must be there.
  bool stands_at(const Entry& entry, const char* at) const {
    if (entry.length >= 4 && load4(at + entry.probe_at) != entry.probe) return false;
    return std::memcmp(at, literals_.data() + entry.literal, entry.length) == 0;
  }
  const Slot* find(uint64_t key) const;
  void look(const Field& field, uint32_t f, const Value& value, JudgeScratch& scratch, Candidates& out) const;
  void look_text(const TextLooks& looks, std::string_view text, Candidates& out) const;
  Range add_rules(const std::vector<uint32_t>& rules);
  Entry add_entry(const Atom& atom, const std::vector<uint32_t>& rules);

  std::vector<Field> fields_;
  std::vector<Range> nested_;
  std::vector<uint32_t> always_;
  std::vector<uint32_t> rules_;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;
  std::vector<Parts> parts_;
  std::string literals_;
};

}  // namespace fb::match
