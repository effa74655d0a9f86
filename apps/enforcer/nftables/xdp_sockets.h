// AF_XDP sockets hand frames to the driver past every hook of nftables. They can't be stopped from here, only told of.
#pragma once

namespace fb::agent {

// Those of this network namespace; -1 when the kernel does not tell (its socket diagnosis for them is not built in or
// the rights are missing). One dump, well under a millisecond.
int count_xdp_sockets();

}  // namespace fb::agent
