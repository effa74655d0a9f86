// A subset of Elasticsearch's query DSL -> ir: bool, term, terms, range, match, match_phrase, exists, ids, match_all,
// constant_score,
// wildcard, prefix, query_string. What is not in it is refused with its place. Pure, thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "engine/ir/ir.h"
#include "engine/record/workflow.h"

namespace fb::api {

struct AlertQuery {
  ir::Node condition;
  // Rows outside can't match: what the conjuncts of the query say of ids, rules, agents, times and status.
  AlertPick pick;
  bool exact = false;  // the pick says it all: the condition need not be judged
};

// What clauses that multiply (several of many, several fields) may come to, in nodes of about 256 bytes.
inline constexpr size_t kMaxMadeNodes = 131'072;

// `query` is JSON; "" finds everything. The error is one line that begins with the place ("query.bool.filter[0]: ...").
tl::expected<AlertQuery, std::string> read_alert_query(std::string_view query, int64_t now_ms);
// The same for one of several queries of a request: `room` is what they may still come to together.
tl::expected<AlertQuery, std::string> read_alert_query(std::string_view query, int64_t now_ms, size_t& room);

// The same for a KQL over the alert's fields.
tl::expected<AlertQuery, std::string> read_alert_kuery(std::string_view kuery);

}  // namespace fb::api
