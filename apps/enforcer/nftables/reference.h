// The rules as this kernel holds them, learned once at the start: nft turns their texts into the kernel's expressions.
// From then on everything is written in the kernel's own form, without nft.
#pragma once

#include <map>
#include <string>

#include "apps/enforcer/nftables/ruleset.h"
#include "apps/enforcer/nftables/table_reader.h"

namespace fb::agent {

struct Reference {
  std::map<TableKind, TableState> tables;  // those of links only when they could be made
  bool egress = false;                     // links can be covered
  std::string egress_reason;               // why not
};

// Makes tables of another name without hooks, reads them, and deletes them again. Also shows what this kernel can do.
// Takes some ten milliseconds, ten seconds at most for each of three tables when others change rules all the time
// (then: timeout, may be tried again).
Result<Reference> learn_reference();

}  // namespace fb::agent
