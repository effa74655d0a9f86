// A rule's `filters` (Kibana's filter pills, written in Elasticsearch's query DSL) -> ir. What can't be run exactly is
// an error that names the construct. Pure, thread-safe.
#pragma once

#include "engine/compile/checks.h"
#include "engine/ir/ir.h"

namespace fb::compile {

// The filters ANDed; `always` when there are none or all are switched off. After an error the node has no meaning.
ir::Node read_filters(const FileNode& filters, size_t max_pattern_bytes, Checks& checks);

}  // namespace fb::compile
