#include "apps/enforcer/nftables/monitor.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string_view>
#include <thread>

#include "apps/enforcer/nftables/attributes.h"
#include "apps/enforcer/nftables/netlink.h"

namespace fb::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kGather = 5ms;        // a change comes as many notifications
constexpr auto kAfterFault = 200ms;  // a socket that only gives errors must not spin
constexpr std::string_view kOurTables = "firebreak_iso";

// The first attribute of every nftables message is the name of the table it is about.
constexpr uint16_t kTableAttribute = 1;
static_assert(NFTA_TABLE_NAME == kTableAttribute && NFTA_CHAIN_TABLE == kTableAttribute &&
              NFTA_RULE_TABLE == kTableAttribute && NFTA_SET_TABLE == kTableAttribute &&
              NFTA_SET_ELEM_LIST_TABLE == kTableAttribute && NFTA_OBJ_TABLE == kTableAttribute);

bool is_about_us(const nlmsghdr& message) {
  const int type = message.nlmsg_type & 0xff;
  if ((message.nlmsg_type >> 8) != NFNL_SUBSYS_NFTABLES || type == NFT_MSG_NEWGEN) return false;
  bool ours = false;
  each_attribute_of(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) != kTableAttribute) return;
    ours = std::string_view(mnl_attr_get_str(&attribute)).starts_with(kOurTables);
  });
  return ours;
}

bool is_about_links(const nlmsghdr& message) {
  return message.nlmsg_type == RTM_NEWLINK || message.nlmsg_type == RTM_DELLINK || message.nlmsg_type == RTM_NEWADDR ||
         message.nlmsg_type == RTM_DELADDR;
}

class KernelMonitor final : public ChangeMonitor {
 public:
  KernelMonitor(Netlink rules, Netlink links, int stop, std::function<void()> on_change)
      : rules_(std::move(rules)), links_(std::move(links)), stop_(stop), on_change_(std::move(on_change)) {
    thread_ = std::thread([this] { run(); });
  }
  ~KernelMonitor() override {
    const uint64_t one = 1;
    // Nothing but a full counter can fail here, and one write never fills it.
    if (write(stop_, &one, sizeof one) == sizeof one && thread_.joinable()) thread_.join();
    close(stop_);
  }

 private:
  void run() {
    while (true) {
      std::array<pollfd, 3> fds = {pollfd{stop_, POLLIN, 0}, pollfd{rules_.descriptor(), POLLIN, 0},
                                   pollfd{links_.descriptor(), POLLIN, 0}};
      if (poll(fds.data(), fds.size(), -1) < 0) continue;
      if ((fds[0].revents & POLLIN) != 0) return;
      bool changed = false;
      const bool healthy = drain(rules_, is_about_us, changed) && drain(links_, is_about_links, changed);
      if (!healthy && stopped_within(kAfterFault)) return;
      if (!changed && healthy) continue;
      if (stopped_within(kGather)) return;
      bool more = false;  // what came meanwhile is told by the same call
      drain(rules_, is_about_us, more);
      drain(links_, is_about_links, more);
      on_change_();
    }
  }

  // False when the socket failed.
  static bool drain(Netlink& netlink, bool (*concerns_us)(const nlmsghdr&), bool& changed) {
    while (true) {
      bool lost = false;
      const auto got = netlink.read([&](const nlmsghdr& message) { changed = changed || concerns_us(message); }, lost);
      changed = changed || lost;
      if (!got) return false;
      if (!*got) return true;
    }
  }

  bool stopped_within(std::chrono::milliseconds time) const {
    pollfd fd{stop_, POLLIN, 0};
    return poll(&fd, 1, static_cast<int>(time.count())) > 0;
  }

  Netlink rules_;
  Netlink links_;
  const int stop_;
  const std::function<void()> on_change_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<ChangeMonitor>> ChangeMonitor::start(std::function<void()> on_change) {
  FB_TRY(Netlink rules, Netlink::open(NETLINK_NETFILTER));
  FB_TRY(Netlink links, Netlink::open(NETLINK_ROUTE));
  FB_TRY_VOID(rules.join(std::array<int, 1>{NFNLGRP_NFTABLES}));
  FB_TRY_VOID(links.join(std::array<int, 3>{RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}));
  const int stop = eventfd(0, EFD_CLOEXEC);
  if (stop < 0) return fail(ErrorCode::unavailable, "no event descriptor for watching the rules");
  return std::make_unique<KernelMonitor>(std::move(rules), std::move(links), stop, std::move(on_change));
}

}  // namespace fb::agent
