#include "engine/match/part_finder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>

namespace fb::match {

namespace {

// How common a window is in paths, command lines and names: the rarer, the fewer vain comparisons.
uint32_t commonness(std::string_view window) {
  static constexpr std::string_view kCommonTexts[] = {
      "c:\\windows\\system32\\",
      "\\program files (x86)\\",
      "\\programdata\\",
      "\\users\\",
      "\\appdata\\local\\temp\\",
      ".exe",
      ".dll",
      "microsoft",
      "powershell",
      "/usr/bin/",
      "/usr/sbin/",
      "/etc/",
      "/var/",
      "/home/",
      "https://",
      "http://",
      "www.",
      ".com",
      "software\\",
      "currentversion\\",
      "service",
      "default",
      "windows\\",
  };
  static constexpr std::string_view kByFrequency = "etaoinsrlcdmpuwgfyhbvkxjqz";
  std::array<char, PartFinder::kLeastLength> lower{};
  for (size_t i = 0; i < lower.size(); ++i) {
    const char c = window[i];
    lower[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  uint32_t score = 0;
  for (const auto text : kCommonTexts) {
    if (text.find(std::string_view(lower.data(), lower.size())) != std::string_view::npos) score += 100;
  }
  for (const char c : lower) {
    const size_t at = kByFrequency.find(c);
    if (at != std::string_view::npos) score += static_cast<uint32_t>(kByFrequency.size() - at) / 3;
    if (c == ' ' || c == '0' || c == '\\' || c == '/' || c == '.') score += 8;
  }
  return score;
}

}  // namespace

void PartFinder::add(std::string literal, uint32_t payload) {
  added_.emplace_back(std::move(literal), payload);
}

void PartFinder::freeze() {
  constexpr size_t kPlacesTried = 64;  // of a long literal
  std::map<uint32_t, uint32_t> uses;
  for (const auto& [literal, payload] : added_) {
    for (size_t i = 0; i + kLeastLength <= literal.size() && i < kPlacesTried; ++i) ++uses[load4(literal.data() + i)];
  }
  std::map<uint32_t, std::vector<Entry>> by_window;
  for (const auto& [literal, payload] : added_) {
    Entry entry;
    uint32_t best = 0xFFFFFFFF;
    for (size_t i = 0; i + kLeastLength <= literal.size() && i < kPlacesTried; ++i) {
      const uint32_t shared = std::min(uses[load4(literal.data() + i)], 50u);
      const uint32_t score = commonness(std::string_view(literal).substr(i, kLeastLength)) + shared;
      if (score < best) {
        best = score;
        entry.window = static_cast<uint32_t>(i);
      }
    }
    entry.literal = static_cast<uint32_t>(literals_.size());
    entry.length = static_cast<uint32_t>(literal.size());
    entry.payload = payload;
    entry.probe_at = entry.window >= literal.size() / 2 ? 0 : static_cast<uint32_t>(literal.size() - kLeastLength);
    entry.probe = load4(literal.data() + entry.probe_at);
    literals_ += literal;
    by_window[load4(literal.data() + entry.window)].push_back(entry);
  }

  // About one bit in 64 is set, within what the first-level cache holds; the slots are at most half full.
  const auto bits_for = [](size_t wanted, uint32_t least, uint32_t most) {
    return std::clamp(static_cast<uint32_t>(std::bit_width(wanted)), least, most);
  };
  const uint32_t filter_bits = bits_for(by_window.size() * 64, 9, 17);
  const uint32_t slot_bits = bits_for(by_window.size() * 2, 2, 24);
  filter_.assign((size_t{1} << filter_bits) / 64, 0);
  filter_shift_ = 32 - filter_bits;
  slots_.assign(by_window.empty() ? 0 : size_t{1} << slot_bits, Slot{});
  slot_shift_ = 32 - slot_bits;
  for (const auto& [window, entries] : by_window) {
    const uint32_t hash = spread(window);
    const uint32_t bit = hash >> filter_shift_;
    filter_[bit / 64] |= uint64_t{1} << (bit % 64);
    size_t at = hash >> slot_shift_;
    while (slots_[at].end != 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at].window = window;
    slots_[at].begin = static_cast<uint32_t>(entries_.size());
    entries_.insert(entries_.end(), entries.begin(), entries.end());
    slots_[at].end = static_cast<uint32_t>(entries_.size());
  }
  added_.clear();
  added_.shrink_to_fit();
}

size_t PartFinder::bytes() const {
  return filter_.size() * sizeof(uint64_t) + slots_.size() * sizeof(Slot) + entries_.size() * sizeof(Entry) +
         literals_.size();
}

}  // namespace fb::match
