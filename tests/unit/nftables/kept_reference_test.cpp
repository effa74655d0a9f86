#include "apps/enforcer/nftables/kept_reference.h"

#include <gtest/gtest.h>

namespace fb::agent {
namespace {

TableState table_of(TableKind kind) {
  TableState table;
  for (const Chain& chain : chains_of(kind)) {
    table.chains[chain.name].rules = chain.rules;
    table.chains[chain.name].rules[0] += std::string("\0\n1:", 4);  // bytes of every sort
  }
  for (const SetContent& set : set_contents(Cut{}, {})) {
    table.set_sorts[set.name] = set.type;
    table.set_attributes[set.name] = set.name + set.type;
  }
  for (const auto& counter : counters_of(kind)) table.counters[counter] = 0;
  return table;
}

Reference learned() {
  Reference reference;
  reference.egress = true;
  for (const TableKind kind : {TableKind::inet, TableKind::egress_ethernet, TableKind::egress_bare}) {
    reference.tables[kind] = table_of(kind);
  }
  return reference;
}

TEST(KeptReference, ComesBackAsItWas) {
  const auto back = decode_reference(encode_reference(learned(), "kernel 1"), "kernel 1");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_TRUE(back->egress);
  ASSERT_EQ(back->tables.size(), 3u);
  for (const auto& [kind, table] : learned().tables) {
    const TableState& read = back->tables.at(kind);
    EXPECT_EQ(read.chains, table.chains);
    EXPECT_EQ(read.set_sorts, table.set_sorts);
    EXPECT_EQ(read.set_attributes, table.set_attributes);
    EXPECT_EQ(read.counters, table.counters);
  }
}

TEST(KeptReference, HoldsForItsKeyOnlyAndUnchanged) {
  const std::string text = encode_reference(learned(), "kernel 1");
  EXPECT_FALSE(decode_reference(text, "kernel 2"));
  EXPECT_FALSE(decode_reference(text.substr(0, text.size() - 1), "kernel 1"));
  EXPECT_FALSE(decode_reference(text + "x", "kernel 1"));
  EXPECT_FALSE(decode_reference("", "kernel 1"));
  for (size_t at = 0; at < text.size(); at += 97) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(decode_reference(changed, "kernel 1")) << at;
  }
}

TEST(KeptReference, OneThatLacksSomethingIsNotTaken) {
  Reference reference = learned();
  reference.tables[TableKind::inet].chains["output"].rules.pop_back();
  EXPECT_FALSE(decode_reference(encode_reference(reference, "k"), "k"));
  reference = learned();
  reference.tables[TableKind::egress_bare].set_attributes["exc4"].clear();
  EXPECT_FALSE(decode_reference(encode_reference(reference, "k"), "k"));
  reference = learned();
  reference.egress = false;
  EXPECT_FALSE(keep_reference(::testing::TempDir() + "kept_rules", reference));
}

TEST(Incomplete, SeesWhatAReadingMissed) {
  const TableState right = table_of(TableKind::inet);
  EXPECT_EQ(incomplete(right, TableKind::inet), "");
  const auto missed = [&](auto change) {
    TableState table = right;
    change(table);
    return incomplete(table, TableKind::inet);
  };
  EXPECT_EQ(missed([](TableState& t) { t.chains.erase("forward"); }), "chain forward");
  EXPECT_EQ(missed([](TableState& t) { t.chains["input"].rules.pop_back(); }), "chain input");
  EXPECT_EQ(missed([](TableState& t) { t.set_sorts.erase("dns4"); }), "set dns4");
  EXPECT_EQ(missed([](TableState& t) { t.set_attributes.erase("dns4"); }), "set dns4");
  EXPECT_EQ(missed([](TableState& t) { t.counters.erase("in_drop"); }), "counter in_drop");
}

}  // namespace
}  // namespace fb::agent
