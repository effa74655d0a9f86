// From what the kernel holds to what it should hold: the transactions and their order. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/enforcer/nftables/kernel_state.h"
#include "apps/enforcer/nftables/reference.h"
#include "apps/enforcer/nftables/transaction.h"

namespace fb::agent {

// A table with its sets, and its chains; the table and chains of these names are not there.
Transaction make_sets(const std::string& table, TableKind kind, const std::vector<SetContent>& sets,
                      const Reference& reference);
Transaction make_chains(const std::string& table, TableKind kind, const std::string& device,
                        const Reference& reference);

// For a table of which nothing is known: whatever is there, afterwards sets and rules are as wanted (but for sets of
// another sort and chains on another hook, which make it fail). Two transactions.
Transaction force_sets(const std::string& table, TableKind kind, const std::vector<SetContent>& sets,
                       const Reference& reference);
Transaction force_chains(const std::string& table, TableKind kind, const std::string& device,
                         const Reference& reference);

// known: what the set holds for certain. Then only the difference is sent; else it is emptied and filled at once.
Transaction update_set(const std::string& table, const SetContent& set, const std::vector<KeyRange>* known);

// Makes the rules of a changed table right again. Sets that still are what they should be are kept, so that allowed
// traffic is not interrupted.
Transaction mend_table(const std::string& table, const TableState& actual, const WantedTable& wanted,
                       const Reference& reference, const std::vector<SetContent>& sets);

struct Aim {
  const std::map<std::string, WantedTable>& tables;
  const LinkList& links;
  const std::vector<SetContent>& sets;
  const Reference& reference;
  bool last_resort = false;  // what resists mending is made anew
};

// In the order in which they are to be carried out: sets before the chains that use them, and the host as a whole
// before its links, since thousands of exceptions take their time, once for each link.
struct Work {
  Transaction sets;                        // of the inet table, and updates of all others
  Transaction inet_chains;                 // of a table whose sets are new, or what mends the table
  std::vector<Transaction> egress_sets;    // of links' tables that are new, one for each
  std::vector<Transaction> egress_chains;  // their chains, and what mends a link's table
  Transaction stale;                       // tables of links that are gone
  bool empty() const;
};

// exact: `state` was read while nobody changed rules.
Work plan(const KernelState& state, bool exact, const Aim& aim);
// When the tables can't be read: everything, without looking.
Work plan_blind(const Aim& aim);
// Everything of ours goes: tables that were seen, and those that there may be.
Transaction removal(const std::vector<std::string>& tables);

}  // namespace fb::agent
