#include "apps/enforcer/nftables/batch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "apps/enforcer/nftables/attributes.h"

namespace fb::agent {
namespace {

using namespace std::string_literals;

struct Message {
  const nlmsghdr* header = nullptr;
  int type() const { return header->nlmsg_type & 0xff; }
  int family() const { return static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(header))->nfgen_family; }
  bool wants_answer() const { return (header->nlmsg_flags & NLM_F_ACK) != 0; }
  std::string payload(int type) const {
    std::string value;
    each_attribute_of(*header, sizeof(nfgenmsg), [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) != type) return;
      value.assign(static_cast<const char*>(mnl_attr_get_payload(&attribute)), mnl_attr_get_payload_len(&attribute));
    });
    return value;
  }
  // "0a000000" of a start, "0a000100)" of an end.
  std::vector<std::string> elements() const {
    std::vector<std::string> result;
    each_attribute_of(*header, sizeof(nfgenmsg), [&](const nlattr& list) {
      if (mnl_attr_get_type(&list) != NFTA_SET_ELEM_LIST_ELEMENTS) return;
      each_nested(list, [&](const nlattr& nest) { result.push_back(element(nest)); });
    });
    return result;
  }

 private:
  static std::string element(const nlattr& nest) {
    std::string key;
    bool end = false;
    each_nested(nest, [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == NFTA_SET_ELEM_FLAGS) {
        end = ntohl(mnl_attr_get_u32(&attribute)) == NFT_SET_ELEM_INTERVAL_END;
      }
      if (mnl_attr_get_type(&attribute) != NFTA_SET_ELEM_KEY) return;
      each_nested(attribute, [&](const nlattr& value) {
        const auto* bytes = static_cast<const unsigned char*>(mnl_attr_get_payload(&value));
        for (size_t i = 0; i < mnl_attr_get_payload_len(&value); ++i) {
          key += "0123456789abcdef"[bytes[i] >> 4];
          key += "0123456789abcdef"[bytes[i] & 15];
        }
      });
    });
    return key + (end ? ")" : "");
  }
};

std::vector<Message> decode(const Batch& batch) {
  std::vector<Message> messages;
  auto left = static_cast<int>(batch.bytes.size());
  for (const auto* at = reinterpret_cast<const nlmsghdr*>(batch.bytes.data()); mnl_nlmsg_ok(at, left);
       at = mnl_nlmsg_next(at, &left)) {
    messages.push_back({at});
  }
  EXPECT_EQ(left, 0) << "bytes behind the last message";
  return messages;
}

std::vector<Message> decode(Batch&&) = delete;  // the messages point into the batch

constexpr const char* kTable = "inet probe";
const KeyRange kLan{"\x0a\0\0\0"s, "\x0a\0\0\xff"s};
const KeyRange kTop{"\xf0\0\0\0"s, "\xff\xff\xff\xff"s};

TEST(Batch, BeginsAndEndsAndAsksForOneAnswer) {
  Transaction transaction;
  transaction.add_table(kTable);
  transaction.add_rule(kTable, "output", "rulebody");
  const Batch batch = encode(transaction, BatchEnd::commit);
  const auto messages = decode(batch);
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].header->nlmsg_type, NFNL_MSG_BATCH_BEGIN);
  EXPECT_EQ(messages[3].header->nlmsg_type, NFNL_MSG_BATCH_END);
  const auto* head = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(messages[0].header));
  EXPECT_EQ(ntohs(head->res_id), NFNL_SUBSYS_NFTABLES);
  EXPECT_EQ(messages[0].header->nlmsg_len, sizeof(nlmsghdr) + sizeof(nfgenmsg)) << "no generation to be checked";
  EXPECT_EQ(messages[1].type(), NFT_MSG_NEWTABLE);
  EXPECT_EQ(messages[1].family(), NFPROTO_INET);
  EXPECT_EQ(messages[1].payload(NFTA_TABLE_NAME), "probe\0"s);
  EXPECT_EQ(messages[1].payload(NFTA_TABLE_FLAGS), "\0\0\0\0"s);
  EXPECT_FALSE(messages[1].wants_answer());
  EXPECT_EQ(messages[2].payload(NFTA_RULE_EXPRESSIONS), "rulebody");
  EXPECT_TRUE(messages[2].wants_answer());
  EXPECT_EQ(messages[2].header->nlmsg_seq, 2u);
  EXPECT_EQ(batch.command_of, (std::vector<size_t>{0, 1}));
  const Batch forgotten = encode(transaction, BatchEnd::forget);
  EXPECT_EQ(decode(forgotten).size(), 3u);
}

TEST(Batch, AnIntervalIsItsFirstKeyAndTheOneAfterItsLast) {
  Transaction transaction;
  transaction.add_elements(kTable, "exc4", {kLan, kTop}, true, true);
  transaction.add_elements(kTable, "exc4", {kLan}, true, false);
  transaction.delete_elements(kTable, "exc4", {kTop}, true);
  transaction.add_elements(kTable, "dhcp4", {{kLan.low, kLan.low}}, false, true);
  const Batch batch = encode(transaction, BatchEnd::commit);
  const auto messages = decode(batch);
  ASSERT_EQ(messages.size(), 6u);
  using Keys = std::vector<std::string>;
  EXPECT_EQ(messages[1].elements(), (Keys{"00000000)", "0a000000", "0a000100)", "f0000000"}));
  EXPECT_EQ(messages[2].elements(), (Keys{"0a000000", "0a000100)"}));
  EXPECT_EQ(messages[3].type(), NFT_MSG_DELSETELEM);
  EXPECT_EQ(messages[3].elements(), Keys{"f0000000"});
  EXPECT_EQ(messages[4].elements(), Keys{"0a000000"});
}

TEST(Batch, ManyElementsAreSpreadAndNoneIsLost) {
  std::vector<KeyRange> keys;
  for (int i = 0; i < 20000; ++i) {
    const std::string key = {10, static_cast<char>(i >> 8), static_cast<char>(i & 0xff), 0};
    keys.push_back({key, key});
  }
  Transaction transaction;
  transaction.add_table(kTable);
  transaction.add_elements(kTable, "exc4", keys, true, true);
  const Batch batch = encode(transaction, BatchEnd::commit);
  std::vector<std::string> all;
  size_t messages = 0;
  for (const Message& message : decode(batch)) {
    if (message.header->nlmsg_type < NLMSG_MIN_TYPE || message.type() != NFT_MSG_NEWSETELEM) continue;
    ++messages;
    EXPECT_LT(message.payload(NFTA_SET_ELEM_LIST_ELEMENTS).size(), 65536u);
    EXPECT_EQ(batch.command_of.at(message.header->nlmsg_seq - 1), 1u);
    const auto elements = message.elements();
    all.insert(all.end(), elements.begin(), elements.end());
  }
  EXPECT_GT(messages, 10u);
  EXPECT_EQ(all.size(), 40001u);
  EXPECT_EQ(all.back(), "0a4e1f01)");
}

TEST(Batch, AChainIsHookedAndDrops) {
  Transaction transaction;
  transaction.add_chain("netdev probe", "egress",
                        {.type = "filter", .number = 1, .priority = -300, .policy = NF_DROP, .devices = {"a\"b"}});
  transaction.add_chain("netdev probe", "outward4", {});
  const Batch batch = encode(transaction, BatchEnd::commit);
  const auto messages = decode(batch);
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[1].family(), NFPROTO_NETDEV);
  EXPECT_EQ(messages[1].payload(NFTA_CHAIN_TYPE), "filter\0"s);
  EXPECT_EQ(messages[1].payload(NFTA_CHAIN_POLICY), "\0\0\0\0"s);
  EXPECT_NE(messages[1].payload(NFTA_CHAIN_HOOK).find("a\"b\0"s), std::string::npos);
  EXPECT_NE(messages[1].payload(NFTA_CHAIN_HOOK).find("\xff\xff\xfe\xd4"), std::string::npos);
  EXPECT_EQ(messages[2].payload(NFTA_CHAIN_HOOK), "");
}

TEST(Batch, CommandsSayWhatTheyAre) {
  Transaction transaction;
  transaction.remove_table(kTable);
  transaction.flush_set(kTable, "exc4");
  ASSERT_EQ(transaction.commands().size(), 3u);
  EXPECT_EQ(describe(transaction.commands()[0]), "add table inet probe");
  EXPECT_EQ(describe(transaction.commands()[2]), "flush set inet probe exc4");
  // A table that is there is left as it is before it goes: its flags are not touched.
  const Batch batch = encode(transaction, BatchEnd::commit);
  EXPECT_EQ(decode(batch)[1].payload(NFTA_TABLE_FLAGS), "");
}

}  // namespace
}  // namespace fb::agent
