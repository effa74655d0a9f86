// The rules of an isolation as nft text, and the keys that their sets hold. The rules never change: what stays open is
// told by the sets alone, so an update touches nothing else. Pure.
//
// Two kinds of table:
//   inet firebreak_iso               input, output, forward; what goes through the IP stack
//   netdev firebreak_iso_<ifindex>   egress of one link; catches what raw packet sockets send
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apps/enforcer/backend.h"
#include "apps/enforcer/nftables/set_reader.h"

namespace fb::agent {

inline constexpr int kPriority = -300;  // before connection tracking (-200) and other firewalls (0)
inline constexpr const char* kInetTable = "inet firebreak_iso";
inline constexpr std::string_view kEgressPrefix = "netdev firebreak_iso_";
std::string egress_table(int ifindex);

struct SetContent {
  std::string name;
  std::string type;  // as nft spells it
  bool interval = false;
  size_t key_size = 0;         // bytes of a key in the kernel
  std::vector<KeyRange> keys;  // joined or sorted, as read_set gives them
  std::string elements;        // the same for nft; "" = none
};
// All sets, the same for every table. Exceptions and name servers need not be merged.
std::vector<SetContent> set_contents(const Cut& cut, const std::vector<endpoint::Prefix>& dhcp_servers);

struct Chain {
  std::string name;
  std::string hook;  // "output"; "" for one that others jump to
  std::vector<std::string> rules;
};
enum class TableKind { inet, egress_ethernet, egress_bare };  // bare: a link without Ethernet headers

// In the order in which they can be made: a chain that is jumped to comes first.
std::vector<Chain> chains_of(TableKind kind);
std::vector<std::string> counters_of(TableKind kind);

// "type filter hook output priority -300; policy drop;". device: of an egress chain.
std::string hook_line(const Chain& chain, std::string_view device);

// Texts of nft commands; one text is one transaction, and several may be put together.
std::string make_sets(const std::string& table, TableKind kind, const std::vector<SetContent>& sets);
std::string make_chains(const std::string& table, TableKind kind, std::string_view device);
// The same chains without hooks: they see no packet. What the kernel holds of them is what it must hold of the others.
std::string make_unhooked_chains(const std::string& table, TableKind kind);
std::string update_set(const std::string& table, const SetContent& set);
// For a table of which nothing is known: whatever is there, afterwards sets and rules are as wanted (but for sets of
// another sort and chains on another hook, which make it fail). Two transactions.
std::string force_sets(const std::string& table, TableKind kind, const std::vector<SetContent>& sets);
std::string force_chains(const std::string& table, TableKind kind, std::string_view device);
std::string fill_chains(const std::string& table, TableKind kind);  // of chains that are there and empty

}  // namespace fb::agent
