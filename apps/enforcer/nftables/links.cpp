#include "apps/enforcer/nftables/links.h"

#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <array>
#include <map>

#include "apps/enforcer/nftables/attributes.h"

namespace fb::agent {

Result<LinkList> unite_links(const std::function<Result<Dump>(const TellLink&)>& once) {
  std::map<int, Link> seen;    // in any attempt
  std::map<int, Link> latest;  // in the last one
  FB_TRY(const Dump dump, read_whole([&] {
           latest.clear();
           return once([&](Link link) {
             seen[link.index] = link;
             latest[link.index] = std::move(link);
           });
         }));
  LinkList list{.links = {}, .whole = dump == Dump::whole};
  // A whole list is the truth; else a link that one attempt missed must not look as if it were gone.
  for (auto& [index, link] : list.whole ? latest : seen) list.links.push_back(std::move(link));
  return list;
}

Result<LinkList> list_links() {
  FB_TRY(Netlink netlink, Netlink::open(NETLINK_ROUTE));
  alignas(nlmsghdr) std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETLINK;
  auto* ask = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  ask->ifi_family = AF_UNSPEC;
  // Statistics and virtual functions are not asked for: they make up most of the answer.
  mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  const auto read_link = [](const nlmsghdr& message, const TellLink& tell) {
    if (message.nlmsg_type != RTM_NEWLINK) return;
    const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
    if (info->ifi_type == ARPHRD_LOOPBACK) return;
    Link link{.index = info->ifi_index, .name = {}, .ethernet = info->ifi_type == ARPHRD_ETHER};
    each_attribute_of(message, sizeof(ifinfomsg), [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == IFLA_IFNAME) link.name = mnl_attr_get_str(&attribute);
    });
    tell(std::move(link));
  };
  return unite_links([&](const TellLink& tell) {
    return netlink.dump(*request, [&](const nlmsghdr& message) { read_link(message, tell); });
  });
}

}  // namespace fb::agent
