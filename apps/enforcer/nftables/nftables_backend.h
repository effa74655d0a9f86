// Cuts a Linux host off with nftables: a table `inet firebreak_iso` (input, output, forward; priority -300, policy
// drop, no connection tracking) and, for every link, a table `netdev firebreak_iso_<ifindex>` with an egress chain
// against raw packet sockets. Talks to the kernel by netlink, no program is started. libnftables turns the rules' texts
// into the kernel's form, at the first start after an update of the kernel or of Firebreak; the file <folder>/rules
// keeps it (kept_reference.h). Needs CAP_NET_ADMIN in the network namespace it runs in.
//
// Writing needs no reading: who changes other rules without pause can't hold up a release, nor an isolation once the
// form is known. libnftables can be held up: when nothing is kept and it does not come through within 10 s, the backend
// is there all the same. It then releases and observes; an isolate tries 3 s more to learn and fails as timeout
// until that works.
//
// First isolation: sets first, chains second. While isolated the tables are never made anew: sets are changed in place.
// Without egress hooks (before kernel 5.16) it isolates and says so in Observation::problems.
#pragma once

#include <memory>
#include <string>

#include "apps/enforcer/backend.h"

namespace fb::agent {

// folder: open to root alone; that of the enforcer. unavailable or unsupported when the kernel or the rights lack what
// it needs; the message says what.
Result<std::unique_ptr<IsolationBackend>> make_nftables_backend(const std::string& folder);

}  // namespace fb::agent
