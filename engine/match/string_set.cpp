#include "engine/match/string_set.h"

#include <algorithm>

namespace fb::match {

void StringSet::add(std::string text) {
  strings_.push_back(std::move(text));
}

void StringSet::freeze() {
  constexpr size_t kShort = 4;
  std::sort(strings_.begin(), strings_.end());
  strings_.erase(std::unique(strings_.begin(), strings_.end()), strings_.end());
  strings_.shrink_to_fit();
  slots_.clear();
  if (strings_.size() <= kShort) return;
  size_t size = 16;
  while (size < strings_.size() * 2) size *= 2;
  slots_.resize(size);
  for (size_t i = 0; i < strings_.size(); ++i) {
    size_t at = hash_bytes(strings_[i], 0) & (size - 1);
    while (slots_[at] != 0) at = (at + 1) & (size - 1);
    slots_[at] = static_cast<uint32_t>(i + 1);
  }
}

}  // namespace fb::match
