// The rules as this kernel holds them, learned once: nft turns their texts into the kernel's expressions. From then on
// everything is written in the kernel's own form, without nft. kept_reference.h keeps it for the next start.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "apps/enforcer/nftables/ruleset.h"
#include "apps/enforcer/nftables/table_reader.h"

namespace fb::agent {

struct Reference {
  std::map<TableKind, TableState> tables;  // those of links only with `egress`
  bool egress = false;                     // links can be covered
  std::string egress_reason;               // why not: what the kernel said to the hook
};

// Makes tables of another name without hooks, reads them, and deletes them again. What goes wrong is tried again, but
// for at_most in all; some ten milliseconds when all goes well. `egress` is false only when the kernel itself refuses
// the hook; all else that goes wrong is an error: timeout when others change rules all the time.
Result<Reference> learn_reference(std::chrono::milliseconds at_most);

// Would the kernel take tables made from it, hooks included? Nothing is made.
Status judge_reference(const Reference& reference);

// "" when it has every rule, set and counter of its kind and no more; else what is amiss. A reading beside others'
// changes may lack something.
std::string incomplete(const TableState& table, TableKind kind);

}  // namespace fb::agent
