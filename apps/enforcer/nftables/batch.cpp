#include "apps/enforcer/nftables/batch.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "apps/enforcer/nftables/netlink.h"

namespace fb::agent {
namespace {

using Kind = Command::Kind;

// Room below the 64 KiB of an attribute for the one element more that a range may need.
constexpr size_t kElementBytes = 60'000;

// Of an element's user data: the interval has no end because it reaches the last key. nft sets and shows it.
constexpr uint8_t kUserDataFlags = 1;
constexpr uint32_t kUserDataOpen = 1;

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void message(int type, int flags, int family, uint16_t resource, uint32_t sequence) {
    start_ = out_.size();
    const nlmsghdr header{.nlmsg_len = 0,
                          .nlmsg_type = static_cast<uint16_t>(type),
                          .nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags),
                          .nlmsg_seq = sequence,
                          .nlmsg_pid = 0};
    raw(&header, sizeof header);
    const nfgenmsg about{.nfgen_family = static_cast<uint8_t>(family), .version = NFNETLINK_V0, .res_id = resource};
    raw(&about, sizeof about);
  }
  void end_message() {
    const auto length = static_cast<uint32_t>(out_.size() - start_);
    std::memcpy(out_.data() + start_ + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
  }
  // Asked of the last message alone: when the kernel says yes to it, it says yes to all.
  void ask_for_answer() {
    nlmsghdr header;
    std::memcpy(&header, out_.data() + start_, sizeof header);
    header.nlmsg_flags |= NLM_F_ACK;
    std::memcpy(out_.data() + start_, &header, sizeof header);
  }

  void put(int type, std::string_view value) {
    attribute(type, value.size());
    raw(value.data(), value.size());
  }
  void put_name(int type, const std::string& value) { put(type, std::string_view(value.c_str(), value.size() + 1)); }
  void put_number(int type, uint32_t value) {
    const uint32_t network = htonl(value);
    put(type, {reinterpret_cast<const char*>(&network), sizeof network});
  }
  size_t open(int type) {
    attribute(type | NLA_F_NESTED, 0);
    return out_.size() - sizeof(nlattr);
  }
  void close(size_t nest) {
    const auto length = static_cast<uint16_t>(out_.size() - nest);
    std::memcpy(out_.data() + nest + offsetof(nlattr, nla_len), &length, sizeof length);
  }
  void ready_made(const std::string& attributes) { raw(attributes.data(), attributes.size()); }
  size_t size() const { return out_.size(); }

 private:
  void attribute(int type, size_t length) {
    const nlattr head{.nla_len = static_cast<uint16_t>(sizeof(nlattr) + length),
                      .nla_type = static_cast<uint16_t>(type)};
    raw(&head, sizeof head);
  }
  void raw(const void* data, size_t length) {
    out_.append(static_cast<const char*>(data), length);
    out_.resize((out_.size() + 3) & ~size_t{3}, '\0');
  }

  std::string& out_;
  size_t start_ = 0;
};

class Encoder {
 public:
  explicit Encoder(Batch& batch) : batch_(batch), out_(batch.bytes) {}

  void bound(int type) {
    out_.message(type, 0, AF_UNSPEC, htons(NFNL_SUBSYS_NFTABLES), 0);
    out_.end_message();
  }
  void ask_for_answer() { out_.ask_for_answer(); }

  void put(const Command& command, size_t place) {
    place_ = place;
    switch (command.kind) {
      case Kind::add_table:
        begin(command, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFTA_TABLE_NAME);
        out_.put_number(NFTA_TABLE_FLAGS, 0);
        break;
      case Kind::ensure_table:
        begin(command, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFTA_TABLE_NAME);
        break;
      case Kind::delete_table:
        begin(command, NFT_MSG_DELTABLE, 0, NFTA_TABLE_NAME);
        break;
      case Kind::add_counter:
        begin(command, NFT_MSG_NEWOBJ, NLM_F_CREATE, NFTA_OBJ_TABLE, NFTA_OBJ_NAME);
        out_.put_number(NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
        out_.close(out_.open(NFTA_OBJ_DATA));
        break;
      case Kind::delete_object:
        begin(command, NFT_MSG_DELOBJ, 0, NFTA_OBJ_TABLE, NFTA_OBJ_NAME);
        out_.put_number(NFTA_OBJ_TYPE, command.object_type);
        break;
      case Kind::delete_flowtable:
        begin(command, NFT_MSG_DELFLOWTABLE, 0, NFTA_FLOWTABLE_TABLE, NFTA_FLOWTABLE_NAME);
        break;
      case Kind::add_set:
        begin(command, NFT_MSG_NEWSET, NLM_F_CREATE, NFTA_SET_TABLE, NFTA_SET_NAME);
        out_.put_number(NFTA_SET_ID, ++set_id_);
        out_.ready_made(command.bytes);
        break;
      case Kind::delete_set:
        begin(command, NFT_MSG_DELSET, 0, NFTA_SET_TABLE, NFTA_SET_NAME);
        break;
      case Kind::flush_set:
        begin(command, NFT_MSG_DELSETELEM, 0, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET);
        break;
      case Kind::add_elements:
        return elements(command, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
      case Kind::delete_elements:
        return elements(command, NFT_MSG_DELSETELEM, 0);
      case Kind::add_chain:
        begin(command, NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME);
        if (!command.hook.type.empty()) hook(command.hook);
        break;
      case Kind::flush_chain:
        begin(command, NFT_MSG_DELRULE, 0, NFTA_RULE_TABLE, NFTA_RULE_CHAIN);
        break;
      case Kind::delete_chain:
        begin(command, NFT_MSG_DELCHAIN, 0, NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME);
        break;
      case Kind::add_rule:
        begin(command, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, NFTA_RULE_TABLE, NFTA_RULE_CHAIN);
        out_.put(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, command.bytes);
        break;
    }
    out_.end_message();
  }

 private:
  void begin(const Command& command, int type, int flags, int table_attribute, int name_attribute = 0) {
    batch_.command_of.push_back(place_);
    out_.message((NFNL_SUBSYS_NFTABLES << 8) | type, flags, family_of(command.table), 0,
                 static_cast<uint32_t>(batch_.command_of.size()));
    out_.put_name(table_attribute, name_of(command.table));
    if (name_attribute != 0) out_.put_name(name_attribute, command.name);
  }

  void hook(const ChainHook& hook) {
    const size_t nest = out_.open(NFTA_CHAIN_HOOK);
    out_.put_number(NFTA_HOOK_HOOKNUM, hook.number);
    out_.put_number(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(hook.priority));
    for (const std::string& device : hook.devices) out_.put_name(NFTA_HOOK_DEV, device);
    out_.close(nest);
    out_.put_number(NFTA_CHAIN_POLICY, hook.policy);
    out_.put_name(NFTA_CHAIN_TYPE, hook.type);
  }

  void element(const std::string& key, uint32_t flags, bool open_interval = false) {
    const size_t nest = out_.open(NFTA_LIST_ELEM);
    if (flags != 0) out_.put_number(NFTA_SET_ELEM_FLAGS, flags);
    const size_t data = out_.open(NFTA_SET_ELEM_KEY);
    out_.put(NFTA_DATA_VALUE, key);
    out_.close(data);
    if (open_interval) {
      std::string user_data = {static_cast<char>(kUserDataFlags), sizeof kUserDataOpen};
      user_data.append(reinterpret_cast<const char*>(&kUserDataOpen), sizeof kUserDataOpen);
      out_.put(NFTA_SET_ELEM_USERDATA, user_data);
    }
    out_.close(nest);
  }

  void range(const KeyRange& keys, bool interval) {
    if (!interval) return element(keys.low, 0);
    std::string after = keys.high;
    const bool ends = to_next_key(after);
    element(keys.low, 0, !ends);
    if (ends) element(after, NFT_SET_ELEM_INTERVAL_END);
  }

  void elements(const Command& command, int type, int flags) {
    bool first = true;
    for (size_t at = 0; at < command.keys.size(); first = false) {
      begin(command, type, flags, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET);
      const size_t list = out_.open(NFTA_SET_ELEM_LIST_ELEMENTS);
      // nft puts an end before the first interval of an empty set: what lies below is in no interval.
      const std::string zero(command.keys[at].low.size(), '\0');
      if (first && command.interval && command.to_empty && command.keys[at].low != zero) {
        element(zero, NFT_SET_ELEM_INTERVAL_END);
      }
      while (at < command.keys.size() && out_.size() - list < kElementBytes) {
        range(command.keys[at++], command.interval);
      }
      out_.close(list);
      out_.end_message();
    }
  }

  Batch& batch_;
  Writer out_;
  size_t place_ = 0;
  uint32_t set_id_ = 0;
};

ErrorCode code_of(int error) {
  switch (error) {
    case ENOENT:
      return ErrorCode::not_found;
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EINVAL:
      return ErrorCode::unsupported;
    default:
      return ErrorCode::unavailable;
  }
}

Status carry_out(const Transaction& transaction, BatchEnd end) {
  if (transaction.empty()) return {};
  const Batch batch = encode(transaction, end);
  FB_TRY(Netlink netlink, Netlink::open(NETLINK_NETFILTER));
  FB_TRY(const BatchAnswer answer, netlink.send_batch(batch.bytes, static_cast<uint32_t>(batch.command_of.size())));
  if (answer.error == 0 && answer.acknowledged) return {};
  if (answer.error == 0) return fail(ErrorCode::unavailable, "the kernel gave no answer to a change of rules");
  const bool known = answer.sequence > 0 && answer.sequence <= batch.command_of.size();
  const auto& commands = transaction.commands();
  const std::string what =
      known ? describe(commands[batch.command_of[answer.sequence - 1]]) : "change of " + commands.front().table;
  return fail(code_of(answer.error), what + ": " + std::strerror(answer.error));
}

}  // namespace

Batch encode(const Transaction& transaction, BatchEnd end) {
  Batch batch;
  batch.bytes.reserve(64 * transaction.elements() + 256 * transaction.commands().size());
  Encoder encoder(batch);
  encoder.bound(NFNL_MSG_BATCH_BEGIN);
  for (size_t i = 0; i < transaction.commands().size(); ++i) encoder.put(transaction.commands()[i], i);
  encoder.ask_for_answer();
  // Without the end the kernel takes everything back.
  if (end == BatchEnd::commit) encoder.bound(NFNL_MSG_BATCH_END);
  return batch;
}

Status commit(const Transaction& transaction) {
  return carry_out(transaction, BatchEnd::commit);
}

Status check(const Transaction& transaction) {
  return carry_out(transaction, BatchEnd::forget);
}

}  // namespace fb::agent
