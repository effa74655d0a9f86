#include "engine/match/glob_matcher.h"

#include <algorithm>
#include <cstring>

namespace fb::match {

namespace {

constexpr size_t kNowhere = std::string_view::npos;

bool continues(char c) {
  return (static_cast<uint8_t>(c) & 0xC0) == 0x80;
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

// The start of the code point after the one at `at`.
size_t step(std::string_view text, size_t at) {
  ++at;
  while (at < text.size() && continues(text[at])) ++at;
  return at;
}

// Most patterns fail at their first or last byte; that is seen without a call.
bool begins(std::string_view value, std::string_view text) {
  return value.size() >= text.size() && value.front() == text.front() &&
         std::memcmp(value.data(), text.data(), text.size()) == 0;
}
bool ends(std::string_view value, std::string_view text) {
  return value.size() >= text.size() && value.back() == text.back() &&
         std::memcmp(value.data() + value.size() - text.size(), text.data(), text.size()) == 0;
}

// The end of the segment when it stands at `at`, else kNowhere.
size_t end_at(const GlobMatcher::Segment& segment, std::string_view value, size_t at) {
  for (const auto& part : segment.parts) {
    if (part.any_one) {
      if (at >= value.size()) return kNowhere;
      at = step(value, at);
    } else {
      if (value.substr(at, part.text.size()) != part.text) return kNowhere;
      at += part.text.size();
    }
  }
  return at;
}

// The end of the leftmost place of the segment in value[from, ...).
size_t end_of_first(const GlobMatcher::Segment& segment, std::string_view value, size_t from) {
  if (segment.literal) {
    const size_t at = segment.needle.find(value, from);
    return at == kNowhere ? kNowhere : at + segment.needle.text().size();
  }
  for (size_t at = from; at <= value.size(); at = step(value, at)) {
    const size_t end = end_at(segment, value, at);
    if (end != kNowhere) return end;
    if (at == value.size()) break;
  }
  return kNowhere;
}

}  // namespace

GlobMatcher::GlobMatcher(const ir::Glob& glob) {
  Segment segment;
  const auto close = [&] {
    if (segment.parts.empty()) return;
    std::string text;
    for (const auto& part : segment.parts) {
      if (part.any_one) {
        segment.literal = false;
        ++segment.code_points;
        ++least_bytes_;
      } else {
        text += part.text;
        segment.code_points += count_code_points(part.text);
        least_bytes_ += part.text.size();
      }
    }
    if (segment.literal) segment.needle = Needle(std::move(text));
    segments_.push_back(std::move(segment));
    segment = Segment{};
  };
  for (size_t i = 0; i < glob.size(); ++i) {
    switch (glob[i].kind) {
      case ir::GlobPart::Kind::any_run:
        close();
        has_run_ = true;
        if (i == 0) open_start_ = true;
        if (i + 1 == glob.size()) open_end_ = true;
        break;
      case ir::GlobPart::Kind::any_one:
        segment.parts.push_back({true, {}});
        break;
      case ir::GlobPart::Kind::literal:
        segment.parts.push_back({false, glob[i].text});
        break;
    }
  }
  close();
}

bool GlobMatcher::matches(std::string_view value) const {
  if (value.size() < least_bytes_) return false;
  if (segments_.empty()) return has_run_ || value.empty();
  size_t first = 0;
  size_t last = segments_.size();
  size_t at = 0;
  if (!has_run_) return end_at(segments_[0], value, 0) == value.size();
  if (!open_start_) {
    if (segments_[0].literal) {
      const std::string& head = segments_[0].needle.text();
      if (!begins(value, head)) return false;
      at = head.size();
    } else {
      at = end_at(segments_[0], value, 0);
      if (at == kNowhere) return false;
    }
    ++first;
  }
  if (!open_end_ && first < last) {
    const Segment& tail = segments_[last - 1];
    size_t begin = value.size();
    if (tail.literal) {
      if (!ends(value, tail.needle.text())) return false;
      begin -= tail.needle.text().size();
    } else {
      for (size_t n = 0; n < tail.code_points; ++n) {
        if (begin == 0) return false;
        --begin;
        while (begin > 0 && continues(value[begin])) --begin;
      }
      if (end_at(tail, value, begin) != value.size()) return false;
    }
    if (begin < at) return false;
    value = value.substr(0, begin);
    --last;
  }
  for (; first < last; ++first) {
    at = end_of_first(segments_[first], value, at);
    if (at == kNowhere) return false;
  }
  return true;
}

}  // namespace fb::match
