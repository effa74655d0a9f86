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

struct TableState {
  uint32_t flags = 0;
  std::map<std::string, ChainState> chains;
  std::map<std::string, std::string> set_sorts;              // flags, key and data of every set and map, as bytes
  std::map<std::string, std::vector<KeyRange>> sets;         // the elements of those that were asked for
  std::map<std::string, int64_t> counters;                   // packets
  std::vector<std::pair<std::string, std::string>> strange;  // (nft's word, name) of all other objects
};
using KernelState = std::map<std::string, TableState>;  // by "inet firebreak_iso"

struct SetToRead {
  std::string name;
  size_t key_size = 0;
  bool interval = false;
};

// The names of all tables: "inet firebreak_iso".
Result<std::vector<std::string>> read_table_names(Netlink& netlink);

// not_found when there is no such table.
Result<TableState> read_table(Netlink& netlink, const std::string& table, const std::vector<SetToRead>& sets);

// The counters alone, which change without a new generation.
Result<std::map<std::string, int64_t>> read_counters(Netlink& netlink, const std::string& table);

// Rises with every change of any table.
Result<uint32_t> read_generation(Netlink& netlink);

}  // namespace fb::agent
