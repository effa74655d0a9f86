// The elements of a set as the kernel holds them. libnftables would print and we would parse them again; for 10,000
// elements reading them directly is an order of magnitude cheaper.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace fb::agent {

// Keys from `low` to `high`, both included, in network order, as long as the set's key. A single key: both the same.
struct KeyRange {
  std::string low;
  std::string high;

  auto operator<=>(const KeyRange&) const = default;
};

// The key after this one; false when it was the last.
bool to_next_key(std::string& key);

// Sorts, and makes one range of those that overlap or adjoin: two lists of the same keys become the same.
std::vector<KeyRange> joined(std::vector<KeyRange> ranges);

class Netlink;

// family: NFPROTO_INET, NFPROTO_NETDEV. `interval`: the set's flag. Joined when it is an interval set, else sorted.
// An element that stands for every key gives a range over all keys. not_found: no such set.
Result<std::vector<KeyRange>> read_set(Netlink& netlink, int family, const std::string& table, const std::string& set,
                                       size_t key_size, bool interval);

}  // namespace fb::agent
