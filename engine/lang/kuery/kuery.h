// KQL ("kuery"): text -> ir. The grammar is in README.md beside this file. Pure, thread-safe; time and memory linear in
// the query, bounded by RuleLimits (bytes, depth, nodes).
#pragma once

#include <string_view>

#include "engine/base/limits.h"
#include "engine/ir/ir.h"
#include "engine/lang/query_error.h"
#include "tl/expected.hpp"

namespace fb::lang {

tl::expected<ir::Node, QueryError> parse_kuery(std::string_view query, const RuleLimits& limits = {});

}  // namespace fb::lang
