#include "apps/enforcer/nftables/xdp_sockets.h"

#include <libmnl/libmnl.h>
#include <linux/sock_diag.h>
#include <linux/xdp_diag.h>
#include <sys/socket.h>

#include <array>

#include "apps/enforcer/nftables/netlink.h"

namespace fb::agent {

int count_xdp_sockets() {
  auto netlink = Netlink::open(NETLINK_SOCK_DIAG);
  if (!netlink) return -1;
  alignas(nlmsghdr) std::array<char, 128> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
  auto* ask = static_cast<xdp_diag_req*>(mnl_nlmsg_put_extra_header(request, sizeof(xdp_diag_req)));
  ask->sdiag_family = AF_XDP;
  int count = 0;
  const auto told = netlink->dump(*request, [&](const nlmsghdr& message) {
    if (message.nlmsg_type == SOCK_DIAG_BY_FAMILY) ++count;
  });
  return told ? count : -1;
}

}  // namespace fb::agent
