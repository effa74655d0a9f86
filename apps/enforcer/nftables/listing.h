// What nft lists, taken apart: enough to compare a table with the one that was wanted. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace fb::agent {

struct Block {
  std::string hook;                // of a base chain: its whole line; "" for all else
  std::vector<std::string> lines;  // rules, or what a set is; without indentation
};

struct Listing {
  std::vector<std::string> head;        // of the table itself: flags, comment
  std::map<std::string, Block> blocks;  // by "chain output", "set exc4", "counter in_drop"
};

// Keyed by "inet firebreak_iso". Lines that do not fit are kept as table lines, so that they show as a difference.
std::map<std::string, Listing> parse_listing(std::string_view text);

// The names that `list tables` gives: "inet firebreak_iso".
std::vector<std::string> parse_tables(std::string_view text);

// The packets that the table's named counters have counted.
int64_t counted_packets(const Listing& listing);

// One text for the same rules, whatever the counters say.
std::string normalised(const std::string& table, const Listing& listing);

}  // namespace fb::agent
