// The network links of this namespace, as the kernel lists them: what raw packet sockets could send on. One dump, well
// under a millisecond for a hundred links.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/enforcer/nftables/netlink.h"
#include "engine/base/result.h"

namespace fb::agent {

struct Link {
  int index = 0;
  std::string name;
  bool ethernet = false;  // its frames carry an Ethernet header; a tunnel's start with the IP header

  auto operator<=>(const Link&) const = default;
};

struct LinkList {
  std::vector<Link> links;  // by index
  bool whole = true;        // false: interrupted each time; these are all links that were seen, some may be missing
};

// All but loopback; links that are down are listed too, they may come up.
Result<LinkList> list_links();

// The same from any dump; `once` tells the links that it saw.
using TellLink = std::function<void(Link)>;
Result<LinkList> unite_links(const std::function<Result<Dump>(const TellLink&)>& once);

}  // namespace fb::agent
