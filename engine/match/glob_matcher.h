// A wildcard pattern made ready to run: literal segments between the "any run" parts. Matching is leftmost-greedy over
// the segments, so it is linear in the value for patterns without "any one"; no recursion, no allocation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/ir/ir.h"
#include "engine/match/needle.h"

namespace fb::match {

class GlobMatcher {
 public:
  // What stands between two "any run" parts: literals and "any one" parts in order.
  struct Segment {
    struct Part {
      bool any_one = false;
      std::string text;  // unless any_one
    };
    std::vector<Part> parts;
    Needle needle;           // the whole segment when it has no "any one"
    bool literal = true;     // no "any one" inside
    size_t code_points = 0;  // its length; fixed, whatever it matches
  };

  GlobMatcher() = default;
  explicit GlobMatcher(const ir::Glob& glob);

  bool matches(std::string_view value) const;

  const std::vector<Segment>& segments() const { return segments_; }
  bool open_start() const { return open_start_; }  // begins with "any run"
  bool open_end() const { return open_end_; }

 private:
  std::vector<Segment> segments_;
  bool open_start_ = false;
  bool open_end_ = false;
  bool has_run_ = false;  // without any, the one segment is the whole value
  size_t least_bytes_ = 0;
};

}  // namespace fb::match
