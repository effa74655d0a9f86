#include "apps/enforcer/nftables/ruleset.h"

#include <linux/netfilter.h>

#include <algorithm>

namespace fb::agent {
namespace {

using endpoint::Prefix;

constexpr uint32_t kEgressHook = 1;

// Neighbour discovery is bounded in size and number: it must work, and it must not carry much of anything else.
constexpr const char* kNdBounds = "ip6 hoplimit 255 ip6 length <= 64 limit rate 200/second burst 400 packets accept";
constexpr const char* kMldBounds = "ip6 hoplimit 1 limit rate 50/second burst 100 packets accept";
constexpr const char* kDhcpBounds = "limit rate 10/second burst 20 packets accept";
constexpr const char* kPathMtuBounds = "limit rate 20/second burst 40 packets accept";

std::string key_of(const Prefix& p) {
  return {p.bytes.begin(), p.bytes.begin() + (p.v6 ? 16 : 4)};
}

KeyRange range_of(const Prefix& p) {
  KeyRange range{key_of(p), key_of(p)};
  for (size_t i = p.length; i < range.high.size() * 8; ++i) {
    range.high[i / 8] = static_cast<char>(range.high[i / 8] | (0x80 >> (i % 8)));
  }
  return range;
}

// The kernel pads each part of a key to four bytes.
std::string port_key(uint16_t port) {
  return {static_cast<char>(port >> 8), static_cast<char>(port & 0xff), 0, 0};
}

void add(SetContent& set, const std::string& key) {
  set.keys.push_back({key, key});
}

void add_prefixes(SetContent& v4, SetContent& v6, const std::vector<Prefix>& prefixes) {
  for (const Prefix& p : endpoint::merge(prefixes)) (p.v6 ? v6 : v4).keys.push_back(range_of(p));
  v4.keys = joined(std::move(v4.keys));
  v6.keys = joined(std::move(v6.keys));
}

// Types of ICMPv6, rising. In named sets: those that nft makes for a list in a rule get another name each time.
enum Icmp6 : uint8_t {
  kMldReport = 131,
  kMldDone = 132,
  kRouterSolicit = 133,
  kRouterAdvert = 134,
  kNeighbourSolicit = 135,
  kNeighbourAdvert = 136,
  kMld2Report = 143,
};

void add_types(SetContent& set, std::initializer_list<Icmp6> types) {
  for (const Icmp6 type : types) add(set, std::string(1, static_cast<char>(type)));
}

Prefix numeric(std::string_view text) {
  return endpoint::parse_prefix(text).value_or(Prefix{});
}

// What is allowed to leave by address alone; the same for the IP stack and for raw frames.
std::vector<std::string> outward4() {
  return {"ip daddr . tcp dport @svc4 accept", "ip daddr @exc4 accept", "ip daddr @dns4 udp dport 53 accept",
          "ip daddr @dns4 tcp dport 53 accept",
          // To the broadcast address and to the server of the lease, both in the set: a renewal goes straight to it.
          std::string("ip daddr @dhcp4 udp sport 68 udp dport 67 ") + kDhcpBounds};
}

std::vector<std::string> outward6() {
  return {"ip6 daddr . tcp dport @svc6 accept",
          "ip6 daddr @exc6 accept",
          "ip6 daddr @dns6 udp dport 53 accept",
          "ip6 daddr @dns6 tcp dport 53 accept",
          std::string("icmpv6 type @nd_out ") + kNdBounds,
          std::string("icmpv6 type @mld_out ip6 daddr ff02::/16 ") + kMldBounds,
          std::string("ip6 saddr fe80::/10 ip6 daddr ff02::1:2 udp sport . udp dport @dhcp6 ") + kDhcpBounds};
}

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Chain output_chain() {
  return {
      "output", "output",
      std::vector<std::string>{"oif \"lo\" accept"} + outward4() + outward6() +
          // A local program learns at once that its connection is gone, or that nobody will answer its question.
          // What tells it goes to the sender's own address, so it stays on this host; sent for a false address it
          // would have to pass this chain.
          std::vector<std::string>{"meta l4proto tcp counter name out_reset reject with tcp reset",
                                   "meta l4proto udp counter name out_refused reject with icmpx type admin-prohibited",
                                   "counter name out_drop"}};
}

// The mirror of what may leave, so that answers come in. A bare SYN is refused where only outward connections are
// open: the host at the other end can't open one to this host.
Chain input_chain() {
  const std::string answer = " tcp flags & (syn|ack) != syn accept";
  return {"input",
          "input",
          {"iif \"lo\" accept", "ip saddr . tcp sport @svc4" + answer, "ip6 saddr . tcp sport @svc6" + answer,
           "ip saddr @exc4 accept", "ip6 saddr @exc6 accept", "ip saddr @dns4 udp sport 53 accept",
           "ip saddr @dns4 tcp sport 53" + answer, "ip6 saddr @dns6 udp sport 53 accept",
           "ip6 saddr @dns6 tcp sport 53" + answer,
           std::string("icmpv6 type @nd_in ip6 hoplimit 255 ") + "limit rate 200/second burst 400 packets accept",
           std::string("icmpv6 type mld-listener-query ip6 saddr fe80::/10 ") + kMldBounds,
           // Without them a route with a smaller packet size would stall the control connection.
           std::string("icmp type destination-unreachable icmp code frag-needed ") + kPathMtuBounds,
           std::string("icmpv6 type packet-too-big ") + kPathMtuBounds,
           std::string("ip saddr @dhcp4 udp sport 67 udp dport 68 ") + kDhcpBounds,
           std::string("ip daddr @dhcp4 udp sport 67 udp dport 68 ") + kDhcpBounds,
           std::string("ip6 saddr fe80::/10 udp sport . udp dport @dhcp6 ") + kDhcpBounds, "counter name in_drop"}};
}

// The sender of a raw frame chooses what the kernel believes it to be (meta protocol) and what stands in the frame, so
// both must agree before an address is looked at. Else an IPv6 frame that is declared as IPv4 could be read as going to
// an allowed address.
Chain egress_ethernet_chain() {
  return {"egress",
          "egress",
          {"meta protocol arp @ll,96,16 0x0806 limit rate 200/second burst 400 packets accept",
           // 01:80:c2:00:00:0x goes no further than the next switch: LACP, spanning tree, LLDP. Without it a bond would
           // lose its links. 0x888e keeps the host logged in at the switch (802.1X).
           "@ll,0,48 & 0xfffffffffff0 == 0x0180c2000000 limit rate 20/second burst 40 packets accept",
           "@ll,96,16 0x888e limit rate 20/second burst 40 packets accept",
           "meta protocol ip @ll,96,16 0x0800 jump outward4", "meta protocol ip6 @ll,96,16 0x86dd jump outward6",
           // A VLAN's frame shows its tag here although the header after it is in its usual place. In a frame that
           // somebody wrote with the tag in it, the supposed IP header begins with the tag: a length (or flow label)
           // that is the inner protocol's number gives it away.
           "meta protocol ip @ll,96,16 0x8100 @ll,128,16 0x0800 ip version 4 ip length != 2048 jump outward4",
           "meta protocol ip6 @ll,96,16 0x8100 @ll,128,16 0x86dd ip6 version 6 @nh,16,16 != 0x86dd jump outward6",
           "counter name egress_drop"}};
}

Chain egress_bare_chain() {
  return {"egress",
          "egress",
          {"meta protocol ip ip version 4 jump outward4", "meta protocol ip6 ip6 version 6 jump outward6",
           "counter name egress_drop"}};
}

}  // namespace

std::string egress_table(int ifindex) {
  return std::string(kEgressPrefix) + std::to_string(ifindex);
}

std::vector<SetContent> set_contents(const Cut& cut, const std::vector<Prefix>& dhcp_servers) {
  std::vector<SetContent> sets = {
      {.name = "exc4", .type = "ipv4_addr", .interval = true, .key_size = 4, .keys = {}},
      {.name = "exc6", .type = "ipv6_addr", .interval = true, .key_size = 16, .keys = {}},
      {.name = "dns4", .type = "ipv4_addr", .interval = true, .key_size = 4, .keys = {}},
      {.name = "dns6", .type = "ipv6_addr", .interval = true, .key_size = 16, .keys = {}},
      {.name = "svc4", .type = "ipv4_addr . inet_service", .key_size = 8, .keys = {}},
      {.name = "svc6", .type = "ipv6_addr . inet_service", .key_size = 20, .keys = {}},
      {.name = "dhcp4", .type = "ipv4_addr", .key_size = 4, .keys = {}},
      {.name = "dhcp6", .type = "inet_service . inet_service", .key_size = 8, .keys = {}},
      {.name = "nd_out", .type = "icmpv6_type", .key_size = 1, .keys = {}},
      {.name = "nd_in", .type = "icmpv6_type", .key_size = 1, .keys = {}},
      {.name = "mld_out", .type = "icmpv6_type", .key_size = 1, .keys = {}},
  };
  add_prefixes(sets[0], sets[1], cut.exceptions);
  add_prefixes(sets[2], sets[3], cut.dns);
  add_types(sets[8], {kRouterSolicit, kNeighbourSolicit, kNeighbourAdvert});
  add_types(sets[9], {kRouterAdvert, kNeighbourSolicit, kNeighbourAdvert});
  add_types(sets[10], {kMldReport, kMldDone, kMld2Report});

  std::vector<OpenService> services = cut.services;
  std::sort(services.begin(), services.end());
  services.erase(std::unique(services.begin(), services.end()), services.end());
  for (const OpenService& s : services) {
    add(sets[s.address.v6 ? 5 : 4], key_of(s.address) + port_key(s.port));
  }
  if (cut.dhcp) {
    std::vector<Prefix> servers = dhcp_servers;
    servers.push_back(numeric("255.255.255.255"));
    std::sort(servers.begin(), servers.end());
    servers.erase(std::unique(servers.begin(), servers.end()), servers.end());
    for (const Prefix& p : servers) {
      if (!p.v6) sets[6].keys.push_back(range_of(p));
    }
    add(sets[7], port_key(546) + port_key(547));
    add(sets[7], port_key(547) + port_key(546));
  }
  return sets;
}

std::vector<Chain> chains_of(TableKind kind) {
  if (kind == TableKind::inet) {
    return {input_chain(), output_chain(), {"forward", "forward", {"counter name fwd_drop"}}};
  }
  return {{"outward4", "", outward4()},
          {"outward6", "", outward6()},
          kind == TableKind::egress_ethernet ? egress_ethernet_chain() : egress_bare_chain()};
}

std::vector<std::string> counters_of(TableKind kind) {
  if (kind == TableKind::inet) return {"in_drop", "out_drop", "out_reset", "out_refused", "fwd_drop"};
  return {"egress_drop"};
}

ChainHook hook_of(const Chain& chain, const std::string& device) {
  if (chain.hook.empty()) return {};
  ChainHook hook{.type = "filter", .number = 0, .priority = kPriority, .policy = NF_DROP, .devices = {}};
  if (chain.hook == "input") hook.number = NF_INET_LOCAL_IN;
  if (chain.hook == "output") hook.number = NF_INET_LOCAL_OUT;
  if (chain.hook == "forward") hook.number = NF_INET_FORWARD;
  if (chain.hook == "egress") {
    hook.number = kEgressHook;
    hook.devices = {device};
  }
  return hook;
}

std::string learning_text(const std::string& table, TableKind kind) {
  std::string text = "add table " + table + "\n";
  for (const auto& counter : counters_of(kind)) text += "add counter " + table + " " + counter + "\n";
  for (const SetContent& set : set_contents(Cut{}, {})) {
    text += "add set " + table + " " + set.name + " { type " + set.type + ";" +
            (set.interval ? " flags interval;" : "") + " }\n";
  }
  const auto chains = chains_of(kind);
  for (const Chain& chain : chains) text += "add chain " + table + " " + chain.name + "\n";
  for (const Chain& chain : chains) {
    for (const auto& rule : chain.rules) text += "add rule " + table + " " + chain.name + " " + rule + "\n";
  }
  return text;
}

}  // namespace fb::agent
