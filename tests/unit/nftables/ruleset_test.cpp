#include "apps/enforcer/nftables/ruleset.h"

#include <gtest/gtest.h>
#include <linux/netfilter.h>

#include <algorithm>
#include <bitset>
#include <random>

namespace fb::agent {
namespace {

using namespace std::string_literals;
using endpoint::parse_prefix;

std::vector<endpoint::Prefix> prefixes(std::initializer_list<const char*> texts) {
  std::vector<endpoint::Prefix> result;
  for (const char* text : texts) result.push_back(parse_prefix(text).value());
  return result;
}

const SetContent& set_named(const std::vector<SetContent>& sets, const std::string& name) {
  const auto at = std::find_if(sets.begin(), sets.end(), [&](const SetContent& s) { return s.name == name; });
  if (at == sets.end()) throw std::runtime_error("no set " + name);
  return *at;
}

TEST(SetContents, ExceptionsAreMergedAndKeptApartByFamily) {
  Cut cut;
  cut.exceptions = prefixes({"10.0.0.1", "10.0.0.0", "192.0.2.0/24", "2001:db8::/126"});
  const auto sets = set_contents(cut, {});
  EXPECT_EQ(set_named(sets, "exc6").keys.size(), 1u);
  const std::vector<KeyRange> keys = {{"\x0a\0\0\0"s, "\x0a\0\0\1"s}, {"\xc0\0\2\0"s, "\xc0\0\2\xff"s}};
  EXPECT_EQ(set_named(sets, "exc4").keys, keys);
  EXPECT_EQ(set_named(sets, "exc6").keys.at(0).high.back(), '\3');
}

TEST(SetContents, ServicesCarryTheirPort) {
  Cut cut;
  const auto address = parse_prefix("192.0.2.7").value();
  cut.services = {{address, 9092}, {address, 443}, {address, 9092}, {parse_prefix("2001:db8::1").value(), 8443}};
  const auto sets = set_contents(cut, {});
  EXPECT_EQ(set_named(sets, "svc4").keys.size(), 2u);
  EXPECT_EQ(set_named(sets, "svc6").keys.at(0).low.substr(16), "\x20\xfb\0\0"s);
  EXPECT_EQ(set_named(sets, "svc4").keys.at(0).low, "\xc0\0\2\7\x01\xbb\0\0"s);
  EXPECT_TRUE(std::is_sorted(set_named(sets, "svc4").keys.begin(), set_named(sets, "svc4").keys.end()));
}

TEST(SetContents, DhcpOnlyWhenAskedFor) {
  Cut cut;
  cut.dhcp = false;
  const auto server = parse_prefix("192.0.2.1").value();
  auto sets = set_contents(cut, {server});
  EXPECT_TRUE(set_named(sets, "dhcp4").keys.empty());
  EXPECT_TRUE(set_named(sets, "dhcp6").keys.empty());
  cut.dhcp = true;
  sets = set_contents(cut, {server, server});
  const std::vector<KeyRange> servers = {{"\xc0\0\2\1"s, "\xc0\0\2\1"s}, {"\xff\xff\xff\xff", "\xff\xff\xff\xff"}};
  EXPECT_EQ(set_named(sets, "dhcp4").keys, servers);
  const std::string there = "\2\x22\0\0\2\x23\0\0"s;
  const std::string back = "\2\x23\0\0\2\x22\0\0"s;
  const std::vector<KeyRange> ports = {{there, there}, {back, back}};
  EXPECT_EQ(set_named(sets, "dhcp6").keys, ports);
}

TEST(SetContents, NothingIsOpenByDefault) {
  Cut cut;
  cut.dhcp = false;
  for (const SetContent& set : set_contents(cut, {})) {
    const bool types = set.type == "icmpv6_type";
    EXPECT_EQ(set.keys.empty(), !types) << set.name;
  }
}

TEST(Rules, EveryHookDropsAndEndsWithACounter) {
  for (const auto kind : {TableKind::inet, TableKind::egress_ethernet, TableKind::egress_bare}) {
    size_t hooks = 0;
    for (const Chain& chain : chains_of(kind)) {
      if (chain.hook.empty()) continue;
      ++hooks;
      const ChainHook hook = hook_of(chain, "eth0");
      EXPECT_EQ(hook.type, "filter");
      EXPECT_EQ(hook.priority, -300) << chain.name;
      EXPECT_EQ(hook.policy, static_cast<uint32_t>(NF_DROP)) << chain.name;
      EXPECT_EQ(hook.devices.empty(), kind == TableKind::inet) << chain.name;
      ASSERT_TRUE(chain.rules.back().starts_with("counter name "));
      const auto counters = counters_of(kind);
      EXPECT_NE(std::find(counters.begin(), counters.end(), chain.rules.back().substr(13)), counters.end());
    }
    EXPECT_EQ(hooks, kind == TableKind::inet ? 3u : 1u);
  }
}

// What connection tracking knows must not open anything, and what is accepted names an address, or is bounded.
TEST(Rules, AreStatelessAndAcceptNothingUnbounded) {
  for (const auto kind : {TableKind::inet, TableKind::egress_ethernet, TableKind::egress_bare}) {
    for (const Chain& chain : chains_of(kind)) {
      for (const auto& rule : chain.rules) {
        EXPECT_EQ((" " + rule).find(" ct "), std::string::npos) << rule;
        EXPECT_EQ(rule.find('{'), std::string::npos) << "an unnamed set has another name each time: " << rule;
        if (!rule.ends_with(" accept")) continue;
        const bool bounded = rule.find("limit rate") != std::string::npos || rule.find('@') != std::string::npos ||
                             rule.find("\"lo\"") != std::string::npos;
        EXPECT_TRUE(bounded) << rule;
      }
    }
  }
}

TEST(Rules, TheTextThatIsLearnedFromSeesNoPacket) {
  const std::string table = "netdev probe";
  for (const auto kind : {TableKind::inet, TableKind::egress_ethernet, TableKind::egress_bare}) {
    const std::string text = learning_text(table, kind);
    size_t lines = 0;
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1, ++lines) {
      EXPECT_NE(text.substr(at, text.find('\n', at) - at).find(" " + table), std::string::npos);
    }
    EXPECT_GT(lines, 30u);
    EXPECT_EQ(text.find("hook"), std::string::npos);
    EXPECT_EQ(text.find("add element"), std::string::npos);
  }
  EXPECT_EQ(egress_table(17), "netdev firebreak_iso_17");
}

// A local program is refused; what a raw socket sends just goes nowhere, and nothing is answered to the network.
TEST(Rules, OnlyLocalProgramsAreTold) {
  for (const auto kind : {TableKind::inet, TableKind::egress_ethernet, TableKind::egress_bare}) {
    for (const Chain& chain : chains_of(kind)) {
      const auto told = std::count_if(chain.rules.begin(), chain.rules.end(),
                                      [](const std::string& rule) { return rule.find("reject") != std::string::npos; });
      EXPECT_EQ(told, chain.name == "output" ? 2 : 0) << chain.name;
    }
  }
}

TEST(Joined, SameKeysGiveTheSameRanges) {
  std::mt19937 engine(7);
  const auto random = [&](unsigned below) { return static_cast<unsigned>(engine()) % below; };
  const auto key = [](unsigned value) { return std::string{static_cast<char>(value >> 8), static_cast<char>(value)}; };
  for (int round = 0; round < 300; ++round) {
    std::vector<KeyRange> ranges;
    std::bitset<1025> map;  // one more than there are keys, so that the last range ends
    for (unsigned i = random(40); i > 0; --i) {
      const unsigned low = random(1024);
      const unsigned high = std::min(1023u, low + random(60));
      ranges.push_back({key(low + 0xfc00), key(high + 0xfc00)});  // up to the very last key
      for (unsigned k = low; k <= high; ++k) map.set(k);
    }
    std::vector<KeyRange> expected;
    for (unsigned k = 0; k < 1024; ++k) {
      if (!map.test(k)) continue;
      if (k == 0 || !map.test(k - 1)) expected.push_back({key(k + 0xfc00), ""});
      expected.back().high = key(k + 0xfc00);
    }
    ASSERT_EQ(joined(ranges), expected) << round;
  }
}

}  // namespace
}  // namespace fb::agent
