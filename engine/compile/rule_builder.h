// One rule of a file, as a tree -> LoadedRule. All problems of a rule are gathered, not just the first. Pure,
// thread-safe.
#pragma once

#include "engine/compile/exceptions.h"
#include "engine/compile/file_node.h"
#include "engine/compile/rules.h"
#include "engine/compile/source_text.h"

namespace fb::compile {

struct BuildContext {
  const RuleLimits& limits;
  const ExceptionLists& exceptions;
  bool lists_elsewhere = false;
  bool any_names = false;
};

LoadedRule build_rule(const SourceText& source, const FileNode& rule, const BuildContext& context);

// A Sigma rule: named, and refused as not built yet.
LoadedRule refuse_sigma_rule(const SourceText& source, const FileNode& rule);
bool looks_like_sigma(const FileNode& object);

}  // namespace fb::compile
