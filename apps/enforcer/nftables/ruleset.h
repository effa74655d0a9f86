// The rules of an isolation as nft text, from which the kernel's form of them is learned once (reference.h), and the
// keys that their sets hold. The rules never change: what stays open is told by the sets alone, so an update touches
// nothing else. Pure.
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
#include "apps/enforcer/nftables/table_reader.h"

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

// What the kernel holds of a chain's hook. device: of an egress chain.
ChainHook hook_of(const Chain& chain, const std::string& device);

// nft commands that make a table with everything but elements and hooks: it sees no packet.
std::string learning_text(const std::string& table, TableKind kind);

}  // namespace fb::agent
