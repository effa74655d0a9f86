// What the kernel holds of an isolation, and how that differs from what it should hold. Reading costs about a
// millisecond for each table, more with thousands of exceptions. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/enforcer/nftables/links.h"
#include "apps/enforcer/nftables/reference.h"
#include "apps/enforcer/nftables/ruleset.h"
#include "apps/enforcer/nftables/table_reader.h"

namespace fb::agent {

bool is_our_table(const std::string& table);
// timeout when none of ours was seen in a list that may lack some: then nobody knows that there is none.
Result<std::vector<std::string>> our_tables(const TableNames& names);

// Only Firebreak's tables are read, however large others are. The kernel counts its changes of rules: while that count
// stands still, what was read holds, and a look costs next to nothing even with thousands of exceptions.
class KernelView {
 public:
  // Holds until the next call. While others change rules without pause it is what could be read of ours, which may lack
  // something; then exact() is false.
  Result<const KernelState*> read();
  bool exact() const { return known_; }
  // The next read starts anew: links come and go without being counted.
  void forget() { known_ = false; }

 private:
  KernelState state_;
  uint32_t generation_ = 0;
  bool known_ = false;
};

struct WantedTable {
  TableKind kind = TableKind::inet;
  std::string device;
};
std::map<std::string, WantedTable> wanted_tables(const std::vector<Link>& links, bool egress);

// Nothing wants it, and its link is surely gone. The table of a link that there is stays, wanted or not.
bool is_stale(const std::string& table, const std::map<std::string, WantedTable>& wanted, const LinkList& links);

// "" when rules, hooks and sorts of sets are as wanted; else what differs, for a person.
std::string rules_difference(const TableState& actual, const WantedTable& wanted, const Reference& reference);

// Those whose elements differ.
std::vector<const SetContent*> set_differences(const TableState& actual, const std::vector<SetContent>& sets);

// All three chains of the inet table are there, on their hooks, and drop.
bool cuts_off(const KernelState& state);

int64_t counted_packets(const KernelState& state);
// Hex SHA-256 over rules, hooks and elements; counters and handles do not matter.
std::string digest_of(const KernelState& state);

}  // namespace fb::agent
