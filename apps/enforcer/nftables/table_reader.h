// Firebreak's tables as the kernel holds them, read by netlink. Rules are kept as the kernel's own expressions, byte by
// byte: nothing that does the same under another spelling is lost, and other tables are not read, however large they
// are. libnftables would fetch all of them. A few system calls for each table and set. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "apps/enforcer/nftables/netlink.h"
#include "apps/enforcer/nftables/set_reader.h"

namespace fb::agent {

struct ChainHook {
  std::string type;  // "filter"; "" = a chain without a hook
  uint32_t number = 0;
  int32_t priority = 0;
  uint32_t policy = 0;
  std::vector<std::string> devices;

  bool operator==(const ChainHook&) const = default;
};

struct ChainState {
  ChainHook hook;
  std::vector<std::string> rules;  // expressions, as bytes

  bool operator==(const ChainState&) const = default;
};

// What else a table can hold: quotas, limits, flowtables ...
struct OtherObject {
  std::string name;
  uint32_t type = 0;  // NFT_OBJECT_*
  bool flowtable = false;
};

struct TableState {
  uint32_t flags = 0;
  std::map<std::string, ChainState> chains;
  std::map<std::string, std::string> set_sorts;       // flags, key and data of every set and map, as bytes
  std::map<std::string, std::string> set_attributes;  // what it takes to make the same set, as netlink bytes
  std::map<std::string, std::vector<KeyRange>> sets;  // the elements of those that were asked for
  std::map<std::string, int64_t> counters;            // packets
  std::vector<OtherObject> strange;
};
using KernelState = std::map<std::string, TableState>;  // by "inet firebreak_iso"

struct SetToRead {
  std::string name;
  size_t key_size = 0;
  bool interval = false;
};

// "inet firebreak_iso": NFPROTO_INET and "firebreak_iso".
int family_of(const std::string& table);
std::string name_of(const std::string& table);

// While others change rules a reading can be interrupted. It is made again a few times; then what was read counts,
// which may lack something. That the rules' generation changed meanwhile tells.

struct TableNames {
  std::vector<std::string> names;  // "inet firebreak_iso"
  bool whole = true;               // false: interrupted each time; these are all names that were seen
};
Result<TableNames> read_table_names(Netlink& netlink);

// not_found when there is no such table.
Result<TableState> read_table(Netlink& netlink, const std::string& table, const std::vector<SetToRead>& sets);

// The counters alone, which change without a new generation.
Result<std::map<std::string, int64_t>> read_counters(Netlink& netlink, const std::string& table);

// Rises with every change of any table.
Result<uint32_t> read_generation(Netlink& netlink);

}  // namespace fb::agent
