#include "engine/match/needle.h"

#include <string.h>  // memmem

#include <cstring>
#include <utility>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace fb::match {

namespace {

// How often a byte is seen in paths, command lines and scripts, roughly.
uint32_t commonness(char c) {
  static constexpr std::string_view kOften = "etaoinsrlcdmpuwgfyhb .\\/-_0123456789\"=:ESTAOINRLCDMPUW,;()kvxjqz";
  const size_t at = kOften.find(c);
  return at == std::string_view::npos ? 0 : static_cast<uint32_t>(kOften.size() - at);
}

}  // namespace

Needle::Needle(std::string text) : text_(std::move(text)) {
  const auto rarest = [this](uint32_t but) {
    uint32_t best = but == 0 && text_.size() > 1 ? 1 : 0;
    for (uint32_t i = 0; i < text_.size(); ++i) {
      if (i != but && commonness(text_[i]) < commonness(text_[best])) best = i;
    }
    return best;
  };
  first_ = rarest(0xFFFFFFFF);
  second_ = rarest(first_);
}

size_t Needle::find(std::string_view hay, size_t from) const {
  const size_t length = text_.size();
  if (length == 0) return from;
  if (hay.size() < length || hay.size() - length < from) return kNowhere;
  const char* const base = hay.data();
#if defined(__SSE2__)
  constexpr size_t kLanes = 16;
  const size_t places = hay.size() - length + 1;  // the needle may begin at [from, places)
  if (places - from >= kLanes) {
    const __m128i first = _mm_set1_epi8(text_[first_]);
    const __m128i second = _mm_set1_epi8(text_[second_]);
    for (size_t at = from; at < places;) {
      // The last block is moved back so that it ends with the last place; places seen twice do no harm.
      if (places - at < kLanes) at = places - kLanes;
      const auto* const at_first = reinterpret_cast<const __m128i*>(base + at + first_);
      const auto* const at_second = reinterpret_cast<const __m128i*>(base + at + second_);
      const __m128i same = _mm_and_si128(_mm_cmpeq_epi8(_mm_loadu_si128(at_first), first),
                                         _mm_cmpeq_epi8(_mm_loadu_si128(at_second), second));
      for (auto mask = static_cast<uint32_t>(_mm_movemask_epi8(same)); mask != 0; mask &= mask - 1) {
        const size_t place = at + static_cast<size_t>(__builtin_ctz(mask));
        if (std::memcmp(base + place, text_.data(), length) == 0) return place;
      }
      at += kLanes;
    }
    return kNowhere;
  }
#endif
  const void* const found = memmem(base + from, hay.size() - from, text_.data(), length);
  return found == nullptr ? kNowhere : static_cast<size_t>(static_cast<const char*>(found) - base);
}

}  // namespace fb::match
