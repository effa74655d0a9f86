// The yardstick: simdjson reading every string of a record, nothing else.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace fb::bench {

class StringReader {
 public:
  StringReader();
  ~StringReader();

  // The bytes of all string values, unescaped; 64 bytes past `json` must be readable. 0 for malformed records.
  size_t read(std::string_view json);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb::bench
