// Addresses that an isolated host may still talk to: prefixes, and how several become one list. Used by the service
// (what it signs) and by the host (what it lets through), so both refuse the same. Pure, thread-safe; an error names
// the entry.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::endpoint {

// An IPv4 or IPv6 network in canonical form: bits beyond the length are zero. A single address has the full length.
struct Prefix {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 uses the first four
  uint8_t length = 0;

  auto operator<=>(const Prefix&) const = default;
};

// "192.0.2.7", "192.0.2.0/24", "2001:db8::/48". Strict: no leading zeros, no zone, no host name, bits beyond the length
// are cleared. An IPv4 address mapped into IPv6 is refused.
Result<Prefix> parse_prefix(std::string_view text);
std::string to_string(const Prefix& prefix);  // without "/32" and "/128"

inline constexpr int kShortestException4 = 8;               // a shorter IPv4 prefix would undo the isolation
inline constexpr int kShortestException6 = 32;              // the same for IPv6
inline constexpr size_t kMaxExceptions = 10'000;            // entries of one endpoint, before they are merged
inline constexpr uint64_t kMaxOpenAddresses4 = 1ull << 25;  // IPv4 addresses of the union of all of them (two /8)
inline constexpr uint64_t kMaxOpenNetworks6 = 1ull << 33;   // the same for IPv6, counted in /64 (two /32)

// Parses, refuses what would undo an isolation (too short, too many, too large a union), sorts and merges: overlapping
// and adjoining prefixes become one. The result is the smallest list of prefixes with the same addresses.
Result<std::vector<Prefix>> read_exceptions(const std::vector<std::string>& entries);
std::vector<Prefix> merge(std::vector<Prefix> prefixes);

// "host:port", "192.0.2.7:9092", "[2001:db8::1]:9092": where an isolated host may still open TCP connections to.
struct Service {
  std::string host;  // a name or a numeric address
  uint16_t port = 0;

  auto operator<=>(const Service&) const = default;
};
Result<Service> parse_service(std::string_view text);
std::string to_string(const Service& service);

}  // namespace fb::endpoint
