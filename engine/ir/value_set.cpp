#include "engine/ir/value_set.h"

#include <algorithm>

namespace fb::ir {
namespace {

// Of what parse_address makes: IPv4 stands in ::ffff:0:0/96.
bool is_v4(const Address& a) {
  return std::all_of(a.begin(), a.begin() + 10, [](uint8_t byte) { return byte == 0; }) && a[10] == 0xFF &&
         a[11] == 0xFF;
}

}  // namespace

std::optional<AddressRange> parse_address_span(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return parse_address_range(text);
  const auto low = parse_address(text.substr(0, dash));
  const auto high = parse_address(text.substr(dash + 1));
  if (!low || !high || *high < *low || is_v4(*low) != is_v4(*high)) return std::nullopt;
  return AddressRange{*low, *high};
}

std::vector<AddressRange> merged(std::vector<AddressRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const AddressRange& a, const AddressRange& b) { return a.low < b.low; });
  size_t kept = 0;
  for (const AddressRange& range : ranges) {
    if (kept > 0 && range.low <= ranges[kept - 1].high) {
      ranges[kept - 1].high = std::max(ranges[kept - 1].high, range.high);
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
  ranges.shrink_to_fit();
  return ranges;
}

bool in_ranges(const std::vector<AddressRange>& ranges, const Address& address) {
  const auto above = std::upper_bound(ranges.begin(), ranges.end(), address,
                                      [](const Address& a, const AddressRange& range) { return a < range.low; });
  return above != ranges.begin() && address <= std::prev(above)->high;
}

bool holds_addresses(FieldType type) {
  return type == FieldType::ip || type == FieldType::keyword || type == FieldType::dynamic;
}

}  // namespace fb::ir
