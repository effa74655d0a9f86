// The three readers of rule files: text -> FileNode trees, strictly. What a reader can't take is a diagnostic, never an
// exception. Pure, thread-safe; time and memory linear in the text, depth bounded by `max_depth`.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/compile/file_node.h"
#include "engine/compile/source_text.h"

namespace fb::compile {

struct ReadFile {
  std::vector<FileNode> values;  // YAML and TOML: at most one; JSON: every value of the file
  std::vector<Diagnostic> problems;
};

// One YAML document without anchors, aliases, tags, directives or repeated keys.
ReadFile read_yaml(const SourceText& source, uint32_t max_depth);

// JSON values one after the other (NDJSON, or one pretty-printed value). A broken line is reported and the next one
// read.
ReadFile read_json(const SourceText& source, uint32_t max_depth);

ReadFile read_toml(const SourceText& source, uint32_t max_depth);

}  // namespace fb::compile
