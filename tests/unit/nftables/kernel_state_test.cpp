#include "apps/enforcer/nftables/kernel_state.h"

#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <utility>

#include "apps/enforcer/nftables/plan.h"

namespace fb::agent {
namespace {

// A kernel that holds exactly what was asked for; rules stand for themselves.
TableState table_as_made(TableKind kind, const std::string& device, const std::vector<SetContent>& sets) {
  TableState state;
  for (const Chain& chain : chains_of(kind)) {
    ChainState& made = state.chains[chain.name];
    made.rules = chain.rules;
    if (chain.hook.empty()) continue;
    made.hook = {.type = "filter", .number = 1, .priority = -300, .policy = NF_DROP, .devices = {}};
    if (chain.hook == "forward") made.hook.number = NF_INET_FORWARD;
    if (chain.hook == "output") made.hook.number = NF_INET_LOCAL_OUT;
    if (!device.empty()) made.hook.devices = {device};
  }
  for (const SetContent& set : sets) {
    state.set_sorts[set.name] = set.type;
    state.set_attributes[set.name] = set.type;
    state.sets[set.name] = set.keys;
  }
  for (const auto& counter : counters_of(kind)) state.counters[counter] = 0;
  return state;
}

class KernelStateTest : public ::testing::Test {
 protected:
  KernelStateTest() {
    Cut cut;
    cut.exceptions = {endpoint::parse_prefix("192.0.2.0/24").value()};
    sets_ = set_contents(cut, {});
    inet_ = table_as_made(TableKind::inet, "", sets_);
    link_ = table_as_made(TableKind::egress_ethernet, "eth0", sets_);
    reference_.egress = true;
    for (const auto kind : {TableKind::inet, TableKind::egress_ethernet}) {
      reference_.tables[kind] = table_as_made(kind, "", sets_);
      for (auto& [name, chain] : reference_.tables[kind].chains) chain.hook = {};
      reference_.tables[kind].sets.clear();
    }
  }
  std::string difference() const { return rules_difference(inet_, {TableKind::inet, ""}, reference_); }
  std::string link_difference(const std::string& name = "eth0") const {
    return rules_difference(link_, {TableKind::egress_ethernet, name}, reference_);
  }
  // "add set inet firebreak_iso svc4", one for each command.
  std::vector<std::string> mended() const {
    std::vector<std::string> said;
    const auto mending = mend_table(kInetTable, inet_, {TableKind::inet, ""}, reference_, sets_);
    for (const auto& command : mending.commands()) said.push_back(describe(command));
    return said;
  }
  static size_t place(const std::vector<std::string>& said, const std::string& command) {
    return static_cast<size_t>(std::find(said.begin(), said.end(), command) - said.begin());
  }
  Work planned(const KernelState& state, bool last_resort = false, bool exact = true) const {
    const auto wanted = wanted_tables(links_.links, reference_.egress);
    return plan(state, exact, {wanted, links_, sets_, reference_, last_resort});
  }

  std::vector<SetContent> sets_;
  Reference reference_;
  LinkList links_{.links = {{2, "eth0", true}}};
  TableState inet_;
  TableState link_;
};

TEST_F(KernelStateTest, WhatWasMadeIsRight) {
  EXPECT_EQ(difference(), "");
  EXPECT_EQ(link_difference(), "");
  EXPECT_TRUE(set_differences(inet_, sets_).empty());
  EXPECT_TRUE(cuts_off({{kInetTable, inet_}}));
  inet_.counters["out_drop"] = 99;
  EXPECT_EQ(difference(), "");
}

TEST_F(KernelStateTest, EveryChangeIsSeen) {
  const TableState right = inet_;
  const auto seen = [&](auto change) {
    inet_ = right;
    change(inet_);
    return !difference().empty();
  };
  EXPECT_TRUE(seen([](TableState& t) { t.flags = 1; }));
  EXPECT_TRUE(seen([](TableState& t) { t.chains.erase("forward"); }));
  EXPECT_TRUE(seen([](TableState& t) { t.chains["extra"]; }));
  EXPECT_TRUE(seen([](TableState& t) { t.chains["output"].rules.insert(t.chains["output"].rules.begin(), "accept"); }));
  EXPECT_TRUE(seen([](TableState& t) { t.chains["output"].rules.pop_back(); }));
  EXPECT_TRUE(seen([](TableState& t) { std::swap(t.chains["input"].rules[0], t.chains["input"].rules[1]); }));
  EXPECT_TRUE(seen([](TableState& t) { t.chains["input"].hook.policy = NF_ACCEPT; }));
  EXPECT_TRUE(seen([](TableState& t) { t.chains["input"].hook.priority = 0; }));
  EXPECT_TRUE(seen([](TableState& t) { t.chains["input"].hook = {}; }));
  EXPECT_TRUE(seen([](TableState& t) { t.set_sorts["exc4"] = "another"; }));
  EXPECT_TRUE(seen([](TableState& t) { t.set_sorts["more"] = "x"; }));
  EXPECT_TRUE(seen([](TableState& t) { t.counters.erase("in_drop"); }));
  EXPECT_TRUE(seen([](TableState& t) { t.strange.push_back({.name = "f", .flowtable = true}); }));
}

TEST_F(KernelStateTest, ElementsAreCompared) {
  inet_.sets["exc4"].push_back({std::string(4, '\xf0'), std::string(4, '\xf0')});
  inet_.sets.erase("dns4");
  const auto different = set_differences(inet_, sets_);
  ASSERT_EQ(different.size(), 2u);
  EXPECT_EQ(different[0]->name, "exc4");
  EXPECT_EQ(different[1]->name, "dns4");
}

TEST_F(KernelStateTest, AChainOnAnotherDeviceIsSeen) {
  EXPECT_NE(link_difference("eth1"), "");
  link_.chains["egress"].hook.devices.push_back("eth1");
  EXPECT_NE(link_difference(), "");
  link_.chains["egress"].hook.devices.clear();
  EXPECT_NE(link_difference(), "");
}

TEST_F(KernelStateTest, MendingKeepsTheTableAndSetsThatAreRight) {
  inet_.chains["output"].rules.insert(inet_.chains["output"].rules.begin(), "accept");
  const auto said = mended();
  for (const auto& command : said) {
    EXPECT_FALSE(command.starts_with("delete")) << command;
    EXPECT_EQ(command.find(" set "), std::string::npos) << command;
    EXPECT_EQ(command.find(" element "), std::string::npos) << command;
    EXPECT_FALSE(command.starts_with("add counter")) << command << " would begin at zero";
  }
  const size_t flushed = place(said, "flush chain inet firebreak_iso output");
  const size_t filled = place(said, "add rule inet firebreak_iso output");
  EXPECT_LT(flushed, filled);
  EXPECT_LT(filled, said.size());
  const auto rules = std::count(said.begin(), said.end(), "add rule inet firebreak_iso output");
  EXPECT_EQ(static_cast<size_t>(rules), reference_.tables[TableKind::inet].chains["output"].rules.size());
}

TEST_F(KernelStateTest, MendingRemovesWhatOthersAdded) {
  inet_.chains["extra"].hook = inet_.chains["output"].hook;
  inet_.chains["input"].hook.priority = 10;
  inet_.set_sorts["more"] = "x";
  inet_.set_sorts["svc4"] = "another";
  inet_.sets["exc4"].clear();
  inet_.counters["more"] = 1;
  inet_.counters.erase("in_drop");
  inet_.strange.push_back({.name = "q", .type = NFT_OBJECT_QUOTA});
  inet_.strange.push_back({.name = "f", .flowtable = true});
  const auto said = mended();
  for (const char* command : {"delete chain inet firebreak_iso extra", "delete chain inet firebreak_iso input",
                              "delete set inet firebreak_iso more", "delete set inet firebreak_iso svc4",
                              "delete object inet firebreak_iso q", "delete object inet firebreak_iso more",
                              "delete flowtable inet firebreak_iso f", "add counter inet firebreak_iso in_drop",
                              "flush set inet firebreak_iso exc4", "add element inet firebreak_iso exc4"}) {
    EXPECT_LT(place(said, command), said.size()) << command;
  }
  for (const char* command : {"delete set inet firebreak_iso exc4", "delete table inet firebreak_iso"}) {
    EXPECT_EQ(place(said, command), said.size()) << command;
  }
  // Chains are emptied before what their rules use goes, and filled after it is there again.
  EXPECT_LT(place(said, "flush chain inet firebreak_iso output"), place(said, "delete set inet firebreak_iso svc4"));
  EXPECT_LT(place(said, "delete set inet firebreak_iso svc4"), place(said, "add set inet firebreak_iso svc4"));
  EXPECT_LT(place(said, "add set inet firebreak_iso svc4"), place(said, "add rule inet firebreak_iso output"));
}

TEST_F(KernelStateTest, FromNothingSetsComeBeforeTheChainsThatUseThem) {
  const Work work = planned({});
  for (const auto& command : work.sets.commands()) EXPECT_EQ(command.table, kInetTable);
  for (const auto& command : work.inet_chains.commands()) {
    EXPECT_TRUE(command.kind == Command::Kind::add_chain || command.kind == Command::Kind::add_rule);
  }
  EXPECT_EQ(work.egress_sets.size(), 1u);
  EXPECT_EQ(work.egress_chains.size(), 1u);
  EXPECT_TRUE(work.stale.empty());
}

TEST_F(KernelStateTest, OnlyWhatDiffersIsSent) {
  EXPECT_TRUE(planned({{kInetTable, inet_}, {egress_table(2), link_}}).empty());
  const KeyRange foreign{std::string(4, '\xf0'), std::string(4, '\xf0')};
  inet_.sets["exc4"].push_back(foreign);
  const KernelState state = {{kInetTable, inet_}, {egress_table(2), link_}};
  const Work work = planned(state);
  ASSERT_EQ(work.sets.commands().size(), 1u);
  EXPECT_EQ(work.sets.commands()[0].kind, Command::Kind::delete_elements);
  EXPECT_EQ(work.sets.commands()[0].keys, std::vector<KeyRange>{foreign});
  // Without a sure reading the set is emptied and filled.
  const Work whole = planned(state, false, false);
  ASSERT_EQ(whole.sets.commands().size(), 2u);
  EXPECT_EQ(whole.sets.commands()[0].kind, Command::Kind::flush_set);
  EXPECT_EQ(whole.sets.commands()[1].keys, sets_[0].keys);
}

TEST_F(KernelStateTest, WhatResistsIsMadeAnewAndLinksThatAreGoneAreCleared) {
  inet_.chains["output"].rules.pop_back();
  const Work work = planned({{kInetTable, inet_}, {egress_table(2), link_}, {egress_table(9), link_}}, true);
  ASSERT_GT(work.inet_chains.commands().size(), 2u);
  EXPECT_EQ(describe(work.inet_chains.commands()[1]), "delete table inet firebreak_iso");
  EXPECT_EQ(work.inet_chains.commands().back().kind, Command::Kind::add_rule);
  EXPECT_EQ(describe(work.stale.commands().back()), "delete table netdev firebreak_iso_9");
}

TEST_F(KernelStateTest, TheTableOfALinkThatIsThereIsNeverCleared) {
  reference_.egress = false;  // whatever made us believe so
  const KernelState state = {{kInetTable, inet_}, {egress_table(2), link_}, {egress_table(9), link_}};
  const Work work = planned(state);
  ASSERT_EQ(work.stale.commands().size(), 2u);
  EXPECT_EQ(describe(work.stale.commands().back()), "delete table netdev firebreak_iso_9");
}

TEST_F(KernelStateTest, NothingIsClearedBySomeLinks) {
  links_.whole = false;
  EXPECT_TRUE(planned({{kInetTable, inet_}, {egress_table(2), link_}, {egress_table(9), link_}}).stale.empty());
}

TEST_F(KernelStateTest, OfSomeNamesNobodyKnowsThatNoneIsOurs) {
  const std::string link = egress_table(2);
  EXPECT_EQ(our_tables({.names = {"inet other", link, kInetTable}, .whole = true}).value(),
            (std::vector<std::string>{link, kInetTable}));
  EXPECT_TRUE(our_tables({.names = {"inet other"}, .whole = true}).value().empty());
  EXPECT_EQ(our_tables({.names = {"inet other", link}, .whole = false}).value(), std::vector<std::string>{link});
  const auto nothing = our_tables({.names = {"inet other"}, .whole = false});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::timeout);
}

TEST(Links, AttemptsThatWereInterruptedAreUnited) {
  const Link a{2, "eth0", true};
  const Link b{3, "eth1", true};
  const Link renamed{2, "lan0", true};
  std::vector<std::vector<Link>> attempts = {{a, b}, {renamed}, {}};
  size_t attempt = 0;
  const auto interrupted = unite_links([&](const TellLink& tell) -> Result<Dump> {
    for (const Link& link : attempts.at(attempt++)) tell(link);
    return Dump::interrupted;
  });
  ASSERT_TRUE(interrupted);
  EXPECT_FALSE(interrupted->whole);
  EXPECT_EQ(interrupted->links, (std::vector<Link>{renamed, b}));
}

TEST(Links, AWholeAttemptIsTheTruth) {
  bool first = true;
  const auto whole = unite_links([&](const TellLink& tell) -> Result<Dump> {
    tell({3, "eth1", true});
    if (first) tell({2, "eth0", true});
    return std::exchange(first, false) ? Dump::interrupted : Dump::whole;
  });
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->whole);
  EXPECT_EQ(whole->links, (std::vector<Link>{{3, "eth1", true}}));
}

TEST_F(KernelStateTest, OnlyOurTablesAreRemoved) {
  const auto commands = removal({"inet other", kInetTable, egress_table(2), "ip firebreak_iso"}).commands();
  ASSERT_EQ(commands.size(), 4u);
  EXPECT_EQ(describe(commands[1]), "delete table inet firebreak_iso");
  EXPECT_EQ(describe(commands[3]), "delete table netdev firebreak_iso_2");
}

TEST_F(KernelStateTest, AHostIsCutOffOnlyWithAllThreeHooks) {
  EXPECT_FALSE(cuts_off({}));
  EXPECT_FALSE(cuts_off({{egress_table(2), link_}}));
  for (const char* chain : {"input", "output", "forward"}) {
    TableState changed = inet_;
    changed.chains.erase(chain);
    EXPECT_FALSE(cuts_off({{kInetTable, changed}})) << chain;
    changed = inet_;
    changed.chains[chain].hook.policy = NF_ACCEPT;
    EXPECT_FALSE(cuts_off({{kInetTable, changed}})) << chain;
  }
  inet_.flags = 1;
  EXPECT_FALSE(cuts_off({{kInetTable, inet_}})) << "a table that sleeps";
}

TEST_F(KernelStateTest, DigestFollowsRulesAndElementsButNotCounters) {
  const std::string digest = digest_of({{kInetTable, inet_}});
  EXPECT_EQ(digest.size(), 64u);
  inet_.counters["in_drop"] = 5;
  EXPECT_EQ(digest_of({{kInetTable, inet_}}), digest);
  inet_.sets["exc4"][0].high.back() = '\x7f';
  EXPECT_NE(digest_of({{kInetTable, inet_}}), digest);
  EXPECT_EQ(counted_packets({{kInetTable, inet_}, {egress_table(3), inet_}}), 10);
}

TEST_F(KernelStateTest, OneTableForEachLink) {
  const std::vector<Link> links = {{2, "eth0", true}, {5, "tun0", false}, {6, "a\"b", true}};  // any name
  const auto wanted = wanted_tables(links, true);
  ASSERT_EQ(wanted.size(), 4u);
  EXPECT_EQ(wanted.at("netdev firebreak_iso_6").device, "a\"b");
  EXPECT_EQ(wanted.at("netdev firebreak_iso_2").device, "eth0");
  EXPECT_EQ(wanted.at("netdev firebreak_iso_5").kind, TableKind::egress_bare);
  EXPECT_EQ(wanted_tables(links, false).size(), 1u);
  EXPECT_TRUE(is_our_table("netdev firebreak_iso_5"));
  EXPECT_FALSE(is_our_table("inet firebreak_iso_5"));
  EXPECT_FALSE(is_our_table("ip firebreak_iso"));
}

}  // namespace
}  // namespace fb::agent
