// Backslashes of a record: one pass marks and checks them all, wanted strings are unescaped later. Private to this
// component. One map a thread; no allocation once it has grown.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace fb {

class EscapeMap {
 public:
  // Of 64 bytes, one bit a byte.
  struct Block {
    uint64_t backslash;  // '\\'
    uint64_t known;      // may follow a backslash
    uint64_t u;          // 'u'
  };

  // Ways to look at 64 bytes; one that this machine lacks is replaced by the portable one.
  enum class Kernel : uint8_t { portable, avx2, avx512 };

  EscapeMap() : EscapeMap(best_kernel()) {}
  explicit EscapeMap(Kernel kernel);
  static Kernel best_kernel();

  // Marks every backslash and checks every escape sequence, surrogate pairs included. False when one is wrong.
  // Backslashes outside strings are not told apart: the caller's walk refuses those. 64 bytes past the end must be
  // readable.
  bool scan(std::string_view json);

  // Is there a backslash in [begin, end)?
  bool any(size_t begin, size_t end) const {
    if (begin >= end) return false;
    const size_t first = begin / 64;
    const size_t last = (end - 1) / 64;
    uint64_t bits = blocks_[first].backslash >> (begin % 64);
    if (first == last) return (bits << (63 - (end - 1 - begin))) != 0;
    for (size_t i = first + 1; i < last; ++i) bits |= blocks_[i].backslash;
    return (bits | (blocks_[last].backslash << (63 - (end - 1) % 64))) != 0;
  }

 private:
  using Classify = void (*)(const char* bytes, Block* blocks, size_t count);

  Classify classify_;
  std::vector<Block> blocks_;
};

// Writes the meaning of a checked string body to `out` and gives the end of what it wrote, at most as long as the body.
// 16 bytes past either end must be readable or writable.
char* unescape(const char* begin, const char* end, char* out);

}  // namespace fb
