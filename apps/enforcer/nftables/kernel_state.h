// What the kernel holds of an isolation, what it should hold, and the way from one to the other. Reading costs a few
// milliseconds and about one more for each link. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/enforcer/nftables/links.h"
#include "apps/enforcer/nftables/listing.h"
#include "apps/enforcer/nftables/netlink.h"
#include "apps/enforcer/nftables/nft_session.h"
#include "apps/enforcer/nftables/ruleset.h"

namespace fb::agent {

struct TableState {
  Listing listing;
  std::map<std::string, std::vector<KeyRange>> sets;  // only those that have the name of one of ours
};
using KernelState = std::map<std::string, TableState>;  // by "inet firebreak_iso"

// Only Firebreak's tables are read, however large others are.
Result<KernelState> read_kernel_state(NftSession& session);

// How nft spells the rules on this machine: made without hooks in a table of another name, listed, and deleted again.
// Also shows what this kernel can do.
struct Spelling {
  std::map<TableKind, Listing> tables;  // those of links only when they could be made
  bool egress = false;                  // links can be covered
  std::string egress_reason;            // why not
};
Result<Spelling> learn_spelling(NftSession& session);

struct WantedTable {
  TableKind kind = TableKind::inet;
  std::string device;
};
std::map<std::string, WantedTable> wanted_tables(const std::vector<Link>& links, bool egress);

// "" when rules, hooks and sorts of sets are as wanted; else what differs, for a person.
std::string rules_difference(const Listing& actual, const WantedTable& wanted, const Spelling& spelling);
// Those whose elements differ.
std::vector<const SetContent*> set_differences(const TableState& actual, const std::vector<SetContent>& sets);

// One transaction that makes the rules of a changed table right again. What is in the sets is kept where the sets
// still are what they should be, so that allowed traffic is not interrupted.
std::string mend_table(const std::string& table, const TableState& actual, const WantedTable& wanted,
                       const Spelling& spelling, const std::vector<SetContent>& sets);

// All three chains of the inet table are there, on their hooks, and drop.
bool cuts_off(const KernelState& state);

}  // namespace fb::agent
