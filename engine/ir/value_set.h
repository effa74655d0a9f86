// The values of one test for "one of many": made once and shared by every tree that asks for them, so that a list of
// 65,536 values costs its own memory once, whatever the number of rules. Immutable once shared.
#pragma once

#include <string>
#include <vector>

#include "engine/ir/typed.h"

namespace fb::ir {

struct ValueSet {
  std::string digest;  // equal: the same values of the same kind. What a tree prints and is hashed by
  // Either texts, each compared as a phrase's literal is, or addresses: then a value counts by the address that it
  // spells, on fields of addresses as on those of texts that are not analysed.
  bool addresses = false;
  std::vector<std::string> texts;
  std::vector<AddressRange> ranges;  // sorted; no two touch one address

  bool empty() const { return texts.empty() && ranges.empty(); }
};

// "a", "a/n" (host bits ignored) or "a-b", both of one family and not from high to low.
std::optional<AddressRange> parse_address_span(std::string_view text);
// Sorted; those that share an address become one.
std::vector<AddressRange> merged(std::vector<AddressRange> ranges);
// By halves: the ranges are merged ones.
bool in_ranges(const std::vector<AddressRange>& ranges, const Address& address);
// Whether values of a field can be addresses: of its type, or of texts compared whole.
bool holds_addresses(FieldType type);

}  // namespace fb::ir
