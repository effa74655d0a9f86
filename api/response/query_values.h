// The query of a request with every value of a repeated name, checked as Kibana's routes check it: errors carry the
// text of a 400. Plain values; one thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::api {

class QueryValues {
 public:
  // `target` as it was sent. A name that is not among `known` is an error.
  static Result<QueryValues> read(std::string_view target, std::initializer_list<std::string_view> known);

  bool has(const std::string& name) const { return values_.contains(name); }
  // The last value; "" when there is none.
  std::string text(const std::string& name) const;
  // Repeated, one value with commas between, or a JSON array; empty parts are dropped.
  std::vector<std::string> list(const std::string& name) const;
  // The same, and a value without any part is an error: asked for nothing, nobody wants everything.
  Result<std::vector<std::string>> words(const std::string& name) const;
  // The same, each one of `words`.
  Result<std::vector<std::string>> list_of(const std::string& name, const std::vector<std::string_view>& words) const;
  Result<int64_t> number(const std::string& name, int64_t otherwise, int64_t least, int64_t most) const;
  // ISO 8601, or date math relative to now_ms; the first or the last millisecond that it means.
  enum class Edge : uint8_t { first, last };
  Result<std::optional<int64_t>> date(const std::string& name, Edge edge, int64_t now_ms) const;

 private:
  std::map<std::string, std::vector<std::string>> values_;
};

}  // namespace fb::api
