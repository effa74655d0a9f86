// How loaded rules and their problems are shown, for every command that loads rules.
#pragma once

#include "engine/compile/rules.h"

namespace fb::cli {

// Every error and warning as a compiler-style picture on standard error.
void print_problems(const LoadedRules& loaded);

}  // namespace fb::cli
