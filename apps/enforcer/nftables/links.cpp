#include "apps/enforcer/nftables/links.h"

#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>

#include "apps/enforcer/nftables/attributes.h"
#include "apps/enforcer/nftables/netlink.h"

namespace fb::agent {

Result<std::vector<Link>> list_links() {
  FB_TRY(Netlink netlink, Netlink::open(NETLINK_ROUTE));
  alignas(nlmsghdr) std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETLINK;
  auto* ask = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  ask->ifi_family = AF_UNSPEC;
  // Statistics and virtual functions are not asked for: they make up most of the answer.
  mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::vector<Link> links;
  const auto on_message = [&](const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWLINK) return;
    const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
    if (info->ifi_type == ARPHRD_LOOPBACK) return;
    Link link{.index = info->ifi_index, .name = {}, .ethernet = info->ifi_type == ARPHRD_ETHER};
    each_attribute_of(message, sizeof(ifinfomsg), [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == IFLA_IFNAME) link.name = mnl_attr_get_str(&attribute);
    });
    links.push_back(std::move(link));
  };
  FB_TRY_VOID(read_whole([&] {
    links.clear();
    return netlink.dump(*request, on_message);
  }));
  std::sort(links.begin(), links.end());
  return links;
}

}  // namespace fb::agent
