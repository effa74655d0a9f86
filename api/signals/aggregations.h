// The aggregations of a search: buckets and numbers over the alerts it finds, one within another. Read once a request,
// fed one document after the other, answered as Elasticsearch answers. One thread. Memory follows the buckets, which
// are bounded.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/base/result.h"

namespace fb::api {

class Aggregations {
 public:
  // invalid_argument names the place within the request.
  static Result<Aggregations> read(const nlohmann::ordered_json& aggs, int64_t now_ms);
  Aggregations(Aggregations&&) noexcept;
  Aggregations& operator=(Aggregations&&) noexcept;
  ~Aggregations();

  bool empty() const;
  // The same document as a tree and as text.
  void take(const nlohmann::ordered_json& doc, const std::string& text);
  // invalid_argument: there would be more buckets than are kept.
  Result<nlohmann::ordered_json> answer() const;

 private:
  struct Impl;
  explicit Aggregations(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb::api
