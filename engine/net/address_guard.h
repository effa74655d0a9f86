// Where the service may connect when a URL of the configuration says so (webhooks): against requests that are bent to
// machines nobody meant. A name is resolved once, every address it has is judged, and the caller connects to exactly
// these addresses (ClientOptions::connect_to); a later answer of the name server changes nothing. Pure but for the
// name server; resolving blocks the calling thread for as long as the system's resolver does (seconds).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::net {

struct AddressRules {
  std::vector<std::string> allow_hosts;    // "hooks.example.com", ".example.com" (every name below); empty = every host
  std::vector<std::string> allow_private;  // addresses and prefixes ("10.1.2.0/24") that are let through all the same
  bool allow_http = false;                 // else https only
};

// Names what is wrong with a list itself; call it once at start.
Status check_address_rules(const AddressRules& rules);

// Numeric addresses of a name.
using Resolve = std::function<Result<std::vector<std::string>>(const std::string& host)>;
Resolve system_resolve();

struct GuardedUrl {
  std::string url;         // as given
  std::string host;        // lower case, without brackets
  uint16_t port = 0;       //
  std::string connect_to;  // for ClientOptions; "" when the host is an address itself
};
// refused: a scheme, a host or an address that is not allowed, a form that readers of URLs disagree on. unavailable:
// the name has no address now. No error repeats more of the URL than its host: the rest may be a secret.
Result<GuardedUrl> guard_url(std::string_view url, const AddressRules& rules, const Resolve& resolve);

// True for an address of the public internet: not loopback, private, link-local (cloud metadata too), shared, unique
// local, multicast, reserved, for documentation, nor an IPv4 address in IPv6 clothes. False for what is no address.
bool is_public_address(std::string_view address);

}  // namespace fb::net
