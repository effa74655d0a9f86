#include "actions/endpoint/allow_set.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace fb::endpoint {
namespace {

constexpr size_t kMaxAddressText = 45;  // the longest spelling of an IPv6 address
constexpr size_t kMaxNameText = 253;    // of a host name (RFC 1035)
constexpr size_t kMaxLabelText = 63;

// Digits only, no sign, no leading zero: one number has one spelling.
std::optional<unsigned> read_number(std::string_view text, unsigned max) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

// inet_pton knows neither names nor zones, and glibc's refuses leading zeros in IPv4.
bool read_address(std::string_view text, Prefix& prefix) {
  if (text.empty() || text.size() > kMaxAddressText || text.find('\0') != std::string_view::npos) return false;
  prefix.v6 = text.find(':') != std::string_view::npos;
  prefix.length = prefix.v6 ? 128 : 32;
  return inet_pton(prefix.v6 ? AF_INET6 : AF_INET, std::string(text).c_str(), prefix.bytes.data()) == 1;
}

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped(const Prefix& p) {
  return p.v6 && std::equal(kMapped.begin(), kMapped.end(), p.bytes.begin());
}

bool bit(const Prefix& p, int index) {
  return ((p.bytes[static_cast<size_t>(index / 8)] >> (7 - index % 8)) & 1) != 0;
}

void clear_bits_from(Prefix& p, int index) {
  for (int i = index; i < (p.v6 ? 128 : 32); ++i) {
    uint8_t& byte = p.bytes[static_cast<size_t>(i / 8)];
    byte = static_cast<uint8_t>(byte & ~(0x80 >> (i % 8)));
  }
}

// The network of the given length that `p` lies in.
Prefix parent(Prefix p, int length) {
  p.length = static_cast<uint8_t>(length);
  clear_bits_from(p, length);
  return p;
}

bool contains(const Prefix& outer, const Prefix& inner) {
  return outer.v6 == inner.v6 && outer.length <= inner.length && parent(inner, outer.length) == outer;
}

// The two halves of one network, lower half first.
bool are_halves(const Prefix& low, const Prefix& high) {
  if (low.v6 != high.v6 || low.length != high.length || low.length == 0) return false;
  return !bit(low, low.length - 1) && bit(high, high.length - 1) &&
         parent(low, low.length - 1) == parent(high, high.length - 1);
}

tl::unexpected<Error> bad(std::string_view text, const char* why) {
  // An entry may be anything that somebody sent: what is quoted of it is cut.
  return fail(ErrorCode::invalid_argument, "'" + std::string(text.substr(0, 80)) + "' " + why);
}

bool is_host_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameText) return false;
  while (true) {
    const size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (label.empty() || label.size() > kMaxLabelText || label.front() == '-' || label.back() == '-') return false;
    for (const char c : label) {
      const bool ok =
          (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      if (!ok) return false;
    }
    if (dot == std::string_view::npos) break;
    name.remove_prefix(dot + 1);
  }
  // A last part that starts with a digit ("10.1", "0x7f.1") would be read as a number by some resolvers.
  return name.front() < '0' || name.front() > '9';
}

}  // namespace

Result<Prefix> parse_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  Prefix prefix;
  if (!read_address(text.substr(0, slash), prefix)) return bad(text, "is no IPv4 or IPv6 address or prefix");
  if (is_mapped(prefix)) return bad(text, "is an IPv4 address mapped into IPv6: write it as IPv4");
  if (slash != std::string_view::npos) {
    const auto length = read_number(text.substr(slash + 1), prefix.length);
    if (!length) return bad(text, prefix.v6 ? "needs a length of 0 to 128" : "needs a length of 0 to 32");
    prefix = parent(prefix, static_cast<int>(*length));
  }
  return prefix;
}

std::string to_string(const Prefix& prefix) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(prefix.v6 ? AF_INET6 : AF_INET, prefix.bytes.data(), text.data(), text.size());
  std::string result = text.data();
  if (prefix.length != (prefix.v6 ? 128 : 32)) result += "/" + std::to_string(prefix.length);
  return result;
}

// Sorted, a network comes right before what lies in it, and the lower half right before the upper one; so looking at
// the end of the result is enough.
std::vector<Prefix> merge(std::vector<Prefix> prefixes) {
  std::sort(prefixes.begin(), prefixes.end());
  std::vector<Prefix> merged;
  for (const Prefix& p : prefixes) {
    if (!merged.empty() && contains(merged.back(), p)) continue;
    merged.push_back(p);
    while (merged.size() > 1 && are_halves(merged[merged.size() - 2], merged.back())) {
      merged.pop_back();
      merged.back() = parent(merged.back(), merged.back().length - 1);
    }
  }
  return merged;
}

Result<std::vector<Prefix>> read_exceptions(const std::vector<std::string>& entries) {
  if (entries.size() > kMaxExceptions) {
    return fail(ErrorCode::limit, std::to_string(entries.size()) + " exceptions are more than the " +
                                      std::to_string(kMaxExceptions) + " of one endpoint");
  }
  std::vector<Prefix> prefixes;
  prefixes.reserve(entries.size());
  for (const std::string& entry : entries) {
    FB_TRY(const Prefix prefix, parse_prefix(entry));
    if (!prefix.v6 && prefix.length < kShortestException4) {
      return bad(entry, "would undo the isolation: an IPv4 prefix must be /8 or longer");
    }
    if (prefix.v6 && prefix.length < kShortestException6) {
      return bad(entry, "would undo the isolation: an IPv6 prefix must be /32 or longer");
    }
    Prefix mapped{.v6 = true, .bytes = {}, .length = 96};
    std::copy(kMapped.begin(), kMapped.end(), mapped.bytes.begin());
    if (contains(prefix, mapped)) return bad(entry, "holds the IPv4 addresses mapped into IPv6");
    prefixes.push_back(prefix);
  }
  std::vector<Prefix> merged = merge(std::move(prefixes));
  uint64_t open4 = 0;
  uint64_t open6 = 0;  // at most 10,000 times 2^32, so it can't overflow
  for (const Prefix& p : merged) {
    if (p.v6) {
      open6 += p.length >= 64 ? 1 : 1ull << (64 - p.length);
    } else {
      open4 += 1ull << (32 - p.length);
    }
  }
  if (open4 > kMaxOpenAddresses4) {
    return fail(ErrorCode::limit, "the exceptions hold " + std::to_string(open4) +
                                      " IPv4 addresses together, more than " + std::to_string(kMaxOpenAddresses4));
  }
  if (open6 > kMaxOpenNetworks6) {
    return fail(ErrorCode::limit, "the exceptions hold " + std::to_string(open6) + " IPv6 networks of /64 together, " +
                                      "more than " + std::to_string(kMaxOpenNetworks6));
  }
  return merged;
}

Result<Service> parse_service(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad(text, "needs a port: host:port");
  const auto port = read_number(text.substr(colon + 1), 65535);
  if (!port || *port == 0) return bad(text, "needs a port of 1 to 65535");
  std::string_view host = text.substr(0, colon);
  Service service;
  service.port = static_cast<uint16_t>(*port);
  Prefix address;
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']' || !read_address(host.substr(1, host.size() - 2), address) || !address.v6) {
      return bad(text, "has no IPv6 address between its brackets");
    }
    if (is_mapped(address)) return bad(text, "is an IPv4 address mapped into IPv6: write it as IPv4");
    service.host = to_string(address);
    return service;
  }
  if (host.find(':') != std::string_view::npos) return bad(text, "needs brackets around its IPv6 address");
  if (!read_address(host, address) && !is_host_name(host)) return bad(text, "has no host name or address");
  service.host = host;
  return service;
}

std::string to_string(const Service& service) {
  const bool v6 = service.host.find(':') != std::string::npos;
  return (v6 ? "[" + service.host + "]" : service.host) + ":" + std::to_string(service.port);
}

}  // namespace fb::endpoint
