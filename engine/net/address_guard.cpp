#include "engine/net/address_guard.h"

#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

namespace fb::net {
namespace {

// IPv4 addresses have 4 bytes, IPv6 addresses 16.
struct Address {
  std::array<uint8_t, 16> bytes{};
  size_t size = 0;
};

// Only the one canonical spelling of each address; "0177.0.0.1" and "2130706433" are none.
std::optional<Address> parse_address(std::string_view text) {
  const std::string written(text);
  Address a;
  char back[INET6_ADDRSTRLEN] = "";
  if (inet_pton(AF_INET, written.c_str(), a.bytes.data()) == 1) {
    a.size = 4;
    if (inet_ntop(AF_INET, a.bytes.data(), back, sizeof(back)) == nullptr || written != back) return std::nullopt;
    return a;
  }
  if (inet_pton(AF_INET6, written.c_str(), a.bytes.data()) != 1) return std::nullopt;
  a.size = 16;
  return a;
}

bool within(const Address& a, const Address& net, size_t bits) {
  if (a.size != net.size) return false;
  for (size_t i = 0; i < bits; ++i) {
    const auto mask = static_cast<uint8_t>(0x80u >> (i % 8));
    if ((a.bytes[i / 8] & mask) != (net.bytes[i / 8] & mask)) return false;
  }
  return true;
}

struct Prefix {
  Address net;
  size_t bits = 0;
};

std::optional<Prefix> parse_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  const auto net = parse_address(text.substr(0, slash));
  if (!net) return std::nullopt;
  Prefix p{*net, net->size * 8};
  if (slash == std::string_view::npos) return p;
  const std::string_view digits = text.substr(slash + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), p.bits);
  if (error != std::errc() || end != digits.data() + digits.size() || p.bits > net->size * 8) return std::nullopt;
  return p;
}

bool within_any(const Address& a, const auto& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view text) {
    const auto p = parse_prefix(text);
    return p && within(a, p->net, p->bits);
  });
}

bool is_public(const Address& a) {
  static constexpr std::array<std::string_view, 16> kNotPublic4 = {
      "0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",   "127.0.0.0/8",     "169.254.0.0/16", "172.16.0.0/12",
      "192.0.0.0/24",  "192.0.2.0/24",    "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
      "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",  "224.0.0.0/3"};
  if (a.size == 4) return !within_any(a, kNotPublic4);
  // Of IPv6 only what is handed out as global unicast, less what carries IPv4 addresses or is for documentation.
  static constexpr std::array<std::string_view, 1> kGlobal6 = {"2000::/3"};
  static constexpr std::array<std::string_view, 4> kNotPublic6 = {"2001::/23", "2001:db8::/32", "2002::/16",
                                                                  "3fff::/20"};
  return within_any(a, kGlobal6) && !within_any(a, kNotPublic6);
}

// "256.1", "0x7f.0.0.1", "2130706433": libraries read these as IPv4 addresses, each in its own way.
bool looks_like_number(const std::string& host) {
  const size_t dot = host.rfind('.');
  const std::string last = dot == std::string::npos ? host : host.substr(dot + 1);
  if (last.empty()) return true;
  if (std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; })) return true;
  return last.size() >= 2 && last[0] == '0' && last[1] == 'x';
}

bool host_allowed(const std::string& host, const std::vector<std::string>& allowed) {
  if (allowed.empty()) return true;
  return std::any_of(allowed.begin(), allowed.end(), [&](std::string entry) {
    std::transform(entry.begin(), entry.end(), entry.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (entry.starts_with('.')) return host.size() > entry.size() && host.ends_with(entry);
    return host == entry;
  });
}

struct Parts {
  bool is_http = false;
  std::string host;
  bool bracketed = false;
  uint16_t port = 0;
};

tl::unexpected<Error> refuse(std::string why) {
  return fail(ErrorCode::refused, std::move(why));
}

// Strict on purpose: what two readers of URLs might read in two ways is refused.
Result<Parts> take_apart(std::string_view url) {
  for (const char c : url) {
    if (c <= 0x20 || c == 0x7f || c == '\\' || c == '"' || c == '<' || c == '>') {
      return refuse("the URL holds a character that no URL has");
    }
  }
  Parts parts;
  std::string scheme(url.substr(0, std::min(url.find("://"), url.size())));
  for (char& c : scheme) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (url.find("://") == std::string_view::npos || (scheme != "https" && scheme != "http")) {
    return refuse("the URL begins with neither https:// nor http://");
  }
  parts.is_http = scheme == "http";
  std::string_view authority = url.substr(scheme.size() + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) return refuse("the URL names a user; only a host is allowed");
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return refuse("the URL's host has no closing bracket");
    parts.bracketed = true;
    parts.host = std::string(authority.substr(1, end - 1));
    port = authority.substr(end + 1);
  } else {
    const size_t colon = authority.find(':');
    parts.host = std::string(authority.substr(0, colon));
    if (colon != std::string_view::npos) port = authority.substr(colon);
  }
  if (parts.host.empty()) return refuse("the URL names no host");
  parts.port = parts.is_http ? 80 : 443;
  if (!port.empty()) {
    const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), parts.port);
    if (port[0] != ':' || error != std::errc() || end != port.data() + port.size() || parts.port == 0) {
      return refuse("the URL's port is not a number from 1 to 65535");
    }
  }
  for (char& c : parts.host) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool of_name = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    if (!of_name && !(parts.bracketed && c == ':')) return refuse("the URL's host holds a character that no host has");
  }
  // With the dot it would be another name to whoever connects than the one that was judged.
  if (parts.host.ends_with('.')) return refuse("the URL's host ends with a dot");
  return parts;
}

Result<std::vector<std::string>> resolve_by_system(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int problem = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, [](addrinfo* p) {
    if (p != nullptr) freeaddrinfo(p);
  });
  if (problem != 0) {
    return fail(ErrorCode::unavailable, "can't resolve " + host + ": " + gai_strerror(problem), "", Retry::yes);
  }
  std::vector<std::string> out;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    char text[INET6_ADDRSTRLEN] = "";
    const void* bytes = at->ai_family == AF_INET
                            ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(at->ai_addr)->sin_addr)
                            : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(at->ai_addr)->sin6_addr);
    if (inet_ntop(at->ai_family, bytes, text, sizeof(text)) != nullptr &&
        std::find(out.begin(), out.end(), text) == out.end()) {
      out.emplace_back(text);
    }
  }
  return out;
}

}  // namespace

Status check_address_rules(const AddressRules& rules) {
  for (const std::string& entry : rules.allow_private) {
    if (!parse_prefix(entry)) {
      return fail(ErrorCode::invalid_argument,
                  "'" + entry + "' is neither an address nor a prefix such as 10.1.2.0/24");
    }
  }
  return {};
}

Resolve system_resolve() {
  return resolve_by_system;
}

bool is_public_address(std::string_view address) {
  const auto a = parse_address(address);
  return a && is_public(*a);
}

Result<GuardedUrl> guard_url(std::string_view url, const AddressRules& rules, const Resolve& resolve) {
  FB_TRY(const Parts parts, take_apart(url));
  if (parts.is_http && !rules.allow_http) return refuse("the URL is not https, and plain http is not allowed");
  if (!host_allowed(parts.host, rules.allow_hosts)) return refuse(parts.host + " is not in the list of allowed hosts");
  const bool is_address = parse_address(parts.host).has_value();
  if (parts.bracketed != (is_address && parts.host.find(':') != std::string::npos) ||
      (!is_address && looks_like_number(parts.host))) {
    return refuse(parts.host + " is not an address in its plain form");
  }
  std::vector<std::string> addresses{parts.host};
  if (!is_address) {
    FB_TRY(addresses, resolve(parts.host));
  }
  GuardedUrl out{std::string(url), parts.host, parts.port, ""};
  if (addresses.empty()) return fail(ErrorCode::unavailable, parts.host + " has no address", "", Retry::yes);
  std::string list;
  for (const std::string& address : addresses) {
    const auto a = parse_address(address);
    // One forbidden address among good ones is no accident either: the name is refused as a whole.
    if (!a || (!is_public(*a) && !within_any(*a, rules.allow_private))) {
      return refuse(parts.host + (is_address ? "" : " has the address " + address + ", which") +
                    " is not a public address and not allowed");
    }
    list += (list.empty() ? "" : ",") + (a->size == 16 ? "[" + address + "]" : address);
  }
  if (!is_address) out.connect_to = parts.host + ":" + std::to_string(parts.port) + ":" + list;
  return out;
}

}  // namespace fb::net
