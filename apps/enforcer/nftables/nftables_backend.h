// Cuts a Linux host off with nftables: a table `inet firebreak_iso` (input, output, forward; priority -300, policy
// drop, no connection tracking) and, for every link, a table `netdev firebreak_iso_<ifindex>` with an egress chain
// against raw packet sockets. Talks to the kernel by netlink, no program is started; libnftables only turns the rules'
// texts into the kernel's form, once at the start. Needs CAP_NET_ADMIN in the network namespace it runs in.
//
// Writing needs no reading: who changes other rules without pause can't hold up an isolation or a release.
//
// First isolation: sets first, chains second. While isolated the tables are never made anew: sets are changed in place.
// Without egress hooks (before kernel 5.16) it isolates and says so in Observation::problems.
#pragma once

#include <memory>
#include <string>

#include "apps/enforcer/backend.h"

namespace fb::agent {

// unavailable when the kernel or the rights lack what it needs; the message says what.
Result<std::unique_ptr<IsolationBackend>> make_nftables_backend();

}  // namespace fb::agent
