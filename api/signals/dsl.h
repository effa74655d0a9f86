// A subset of Elasticsearch's query DSL -> ir: bool, term, terms, range, match, match_phrase, exists, ids, match_all,
// constant_score,
// wildcard, prefix, query_string. What is not in it is refused with its place. Pure, thread-safe.
#pragma once

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

// `query` is JSON; "" finds everything. The error is one line that begins with the place ("query.bool.filter[0]: ...").
tl::expected<AlertQuery, std::string> read_alert_query(std::string_view query, int64_t now_ms);

// The same for a KQL over the alert's fields.
tl::expected<AlertQuery, std::string> read_alert_kuery(std::string_view kuery);

}  // namespace fb::api
