// The network links of this namespace, as the kernel lists them: what raw packet sockets could send on. One dump, well
// under a millisecond for a hundred links.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.h"

namespace fb::agent {

struct Link {
  int index = 0;
  std::string name;
  bool ethernet = false;  // its frames carry an Ethernet header; a tunnel's start with the IP header

  auto operator<=>(const Link&) const = default;
};

// All but loopback, by index; links that are down are listed too, they may come up.
Result<std::vector<Link>> list_links();

}  // namespace fb::agent
