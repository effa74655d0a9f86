// The slow, obvious interpreter of a query over an event's tree: the referee that every faster path is checked against,
// what `--no-index` runs, and what explains a match. Recursion is bounded by the query's depth limit. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/event/json_tree.h"
#include "engine/ir/ir.h"

namespace fb::ir {

struct OracleContext {
  int64_t now_ms = 0;  // what `now` in date math means
  // Renamings of `--fields FILE`: `first` in an event is another spelling of `second`.
  std::vector<std::pair<std::string, std::string>> renames;
};

bool matches(const Node& query, const JsonNode& event, const OracleContext& context);

// One line a test of the query: what it asked, what the event has, whether it held.
struct Explanation {
  Span span;
  std::string test;  // as print() gives it
  bool held = false;
  std::string values;  // the values it saw, printable, shortened
};
std::vector<Explanation> explain(const Node& query, const JsonNode& event, const OracleContext& context);

}  // namespace fb::ir
