// Remembers the keys of a stream, where each leads, and which key came after which two: events repeat their keys in
// much the same order, so the next key is usually known before it is hashed, and comparing it costs a few words. Holds
// at most kMost keys and starts over when they are used up, so that invented keys cost time but no memory. Private to
// this component; one a thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "engine/event/field_paths.h"

namespace fb {

class KeyMemory {
 public:
  static constexpr size_t kText = 40;
  struct Key {
    FieldPaths::Place from = kNowhere;
    FieldPaths::Place to = 0;
    uint32_t hash = 0;
    uint32_t length = 0;
    uint64_t last_mask = 0;          // of the last word of text
    std::array<char, kText> text{};  // the key and its closing quote

    // Do the bytes behind an opening quote spell this key? They must be readable for the length of `text`.
    bool matches(const char* bytes) const {
      const size_t last = length & ~size_t{7};
      for (size_t i = 0; i < last; i += 8) {
        if (load_word(text.data() + i) != load_word(bytes + i)) return false;
      }
      return ((load_word(text.data() + last) ^ load_word(bytes + last)) & last_mask) == 0;
    }
  };

  KeyMemory() : keys_(1), slots_(kSlots), guesses_(kGuesses) { keys_.reserve(kMost); }

  void begin_event() { at_ = before_ = 0; }

  // The key expected now; it may be one that matches nothing.
  const Key& expected() const { return keys_[guesses_[guess()]]; }
  // It was that one.
  void confirm() { step(guesses_[guess()]); }

  // It was another one: where does it lead? Null when it is not known. 8 bytes past the key must be readable.
  const Key* find(FieldPaths::Place from, std::string_view key) {
    if (key.size() >= kText) return nullptr;
    const auto h = static_cast<uint32_t>(FieldPaths::hash(from, key.data(), key.size()));
    for (size_t slot = h % kSlots; slots_[slot] != 0; slot = (slot + 1) % kSlots) {
      const Key& known = keys_[slots_[slot]];
      if (known.hash != h || known.from != from || known.length != key.size()) continue;
      if (!FieldPaths::same(known.text.data(), key.data(), key.size())) continue;
      follow(slots_[slot]);
      return &known;
    }
    return nullptr;
  }

  // A key that find() does not know, without escapes.
  void learn(FieldPaths::Place from, std::string_view key, FieldPaths::Place to) {
    if (key.size() >= kText) return;
    if (keys_.size() == kMost) {
      keys_.resize(1);
      std::fill(slots_.begin(), slots_.end(), uint16_t{0});
      std::fill(guesses_.begin(), guesses_.end(), uint16_t{0});
      begin_event();
    }
    Key fresh;
    fresh.from = from;
    fresh.to = to;
    fresh.hash = static_cast<uint32_t>(FieldPaths::hash(from, key.data(), key.size()));
    fresh.length = static_cast<uint32_t>(key.size());
    if (!key.empty()) std::memcpy(fresh.text.data(), key.data(), key.size());
    fresh.text[key.size()] = '"';
    fresh.last_mask = ~uint64_t{0} >> (56 - 8 * (key.size() % 8));
    size_t slot = fresh.hash % kSlots;
    while (slots_[slot] != 0) slot = (slot + 1) % kSlots;
    slots_[slot] = static_cast<uint16_t>(keys_.size());
    keys_.push_back(fresh);
    follow(slots_[slot]);
  }

 private:
  static constexpr FieldPaths::Place kNowhere = 0xFFFFFFFF;
  static constexpr size_t kMost = 1024;
  static constexpr size_t kSlots = 4096;
  static constexpr size_t kGuesses = 8192;

  size_t guess() const { return (at_ * 37 + before_) % kGuesses; }
  void follow(uint16_t key) {
    guesses_[guess()] = key;
    step(key);
  }
  void step(uint16_t key) {
    before_ = at_;
    at_ = key;
  }

  std::vector<Key> keys_;          // 0 stands before the first key and matches nothing
  std::vector<uint16_t> slots_;    // by hash; 0 is free
  std::vector<uint16_t> guesses_;  // by the last two keys
  uint32_t at_ = 0;
  uint32_t before_ = 0;
};

}  // namespace fb
