#include "apps/enforcer/nftables/table_reader.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <array>
#include <functional>

#include "apps/enforcer/nftables/attributes.h"

namespace fb::agent {
namespace {

std::string family_name(int family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_NETDEV:
      return "netdev";
    default:
      return "other";
  }
}

uint32_t number(const nlattr& attribute) {
  return ntohl(mnl_attr_get_u32(&attribute));
}

std::string bytes(const nlattr& attribute) {
  return {static_cast<const char*>(mnl_attr_get_payload(&attribute)), mnl_attr_get_payload_len(&attribute)};
}

std::string text(const nlattr& attribute) {
  return bytes(attribute).c_str();
}

void append_attribute(const nlattr& attribute, std::string& to) {
  to.append(reinterpret_cast<const char*>(&attribute), attribute.nla_len);
  to.resize((to.size() + 3) & ~size_t{3}, '\0');
}

// Every message about something in a table has the table's name as its first attribute. The kernel passes over other
// tables where it can; where it can't (chains) they are passed over here.
constexpr uint16_t kTable = 1;

using OnAttribute = std::function<void(const nlattr&)>;

Status each_of(Netlink& netlink, int type, const std::string& table, const std::function<void()>& begin,
               const std::function<OnAttribute()>& next, const std::function<void()>& done) {
  const int family = family_of(table);
  const std::string name = name_of(table);
  alignas(nlmsghdr) std::array<char, 1024> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | type);
  auto* head = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
  head->nfgen_family = static_cast<uint8_t>(family);
  head->version = NFNETLINK_V0;
  mnl_attr_put_strz(request, kTable, name.c_str());
  const auto on_message = [&](const nlmsghdr& message) {
    const auto* from = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(&message));
    if (from->nfgen_family != family) return;
    bool ours = false;
    each_attribute_of(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
      ours = ours || (mnl_attr_get_type(&attribute) == kTable && text(attribute) == name);
    });
    if (!ours) return;
    each_attribute_of(message, sizeof(nfgenmsg), next());
    done();
  };
  return read_whole([&] {
           begin();
           return netlink.dump(*request, on_message);
         })
      .map([](Dump) {});
}

void read_hook(const nlattr& nest, ChainHook& hook) {
  each_nested(nest, [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case NFTA_HOOK_HOOKNUM:
        hook.number = number(attribute);
        break;
      case NFTA_HOOK_PRIORITY:
        hook.priority = static_cast<int32_t>(number(attribute));
        break;
      case NFTA_HOOK_DEV:
        hook.devices.push_back(text(attribute));
        break;
      case NFTA_HOOK_DEVS:
        each_nested(attribute, [&](const nlattr& device) {
          // Newer kernels know patterns of names under another type: those are nothing that we made.
          const bool plain = mnl_attr_get_type(&device) == NFTA_DEVICE_NAME;
          hook.devices.push_back(text(device) + (plain ? "" : "*"));
        });
        break;
      default:
        break;
    }
  });
  // A single device is told twice.
  std::sort(hook.devices.begin(), hook.devices.end());
  hook.devices.erase(std::unique(hook.devices.begin(), hook.devices.end()), hook.devices.end());
}

Status read_chains(Netlink& netlink, const std::string& table, TableState& state) {
  std::string name;
  ChainHook hook;
  return each_of(
      netlink, NFT_MSG_GETCHAIN, table, [&] { state.chains.clear(); },
      [&]() -> OnAttribute {
        hook = {};
        return [&](const nlattr& attribute) {
          const auto type = mnl_attr_get_type(&attribute);
          if (type == NFTA_CHAIN_NAME) name = text(attribute);
          if (type == NFTA_CHAIN_HOOK) read_hook(attribute, hook);
          if (type == NFTA_CHAIN_POLICY) hook.policy = number(attribute);
          if (type == NFTA_CHAIN_TYPE) hook.type = text(attribute);
        };
      },
      [&] { state.chains[name].hook = hook; });
}

Status read_rules(Netlink& netlink, const std::string& table, TableState& state) {
  std::string chain;
  std::string expressions;
  return each_of(
      netlink, NFT_MSG_GETRULE, table,
      [&] {
        for (auto& [name, read] : state.chains) read.rules.clear();
      },
      [&]() -> OnAttribute {
        expressions.clear();
        return [&](const nlattr& attribute) {
          const auto type = mnl_attr_get_type(&attribute);
          if (type == NFTA_RULE_CHAIN) chain = text(attribute);
          if (type == NFTA_RULE_EXPRESSIONS) expressions = bytes(attribute);
        };
      },
      [&] { state.chains[chain].rules.push_back(expressions); });
}

Status read_set_sorts(Netlink& netlink, const std::string& table, TableState& state) {
  std::string name;
  std::string sort;
  std::string attributes;
  return each_of(
      netlink, NFT_MSG_GETSET, table,
      [&] {
        state.set_sorts.clear();
        state.set_attributes.clear();
      },
      [&]() -> OnAttribute {
        // A set without flags is told without the attribute.
        sort.assign(sizeof(uint32_t), '\0');
        attributes.clear();
        return [&](const nlattr& attribute) {
          const auto type = mnl_attr_get_type(&attribute);
          if (type == NFTA_SET_NAME) name = text(attribute);
          if (type == NFTA_SET_FLAGS) sort.replace(0, sizeof(uint32_t), bytes(attribute));
          const bool tells_sort = type == NFTA_SET_KEY_TYPE || type == NFTA_SET_KEY_LEN || type == NFTA_SET_DATA_TYPE ||
                                  type == NFTA_SET_DATA_LEN || type == NFTA_SET_TIMEOUT || type == NFTA_SET_OBJ_TYPE;
          if (tells_sort) sort += std::to_string(type) + ":" + bytes(attribute);
          // nft keeps there how keys are to be shown.
          const bool makes_it = tells_sort || type == NFTA_SET_FLAGS || type == NFTA_SET_USERDATA ||
                                type == NFTA_SET_DESC || type == NFTA_SET_POLICY;
          if (makes_it && mnl_attr_get_payload_len(&attribute) > 0) append_attribute(attribute, attributes);
        };
      },
      [&] {
        state.set_sorts[name] = sort;
        state.set_attributes[name] = attributes;
      });
}

Status read_objects(Netlink& netlink, const std::string& table, TableState& state) {
  std::string name;
  uint32_t kind = 0;
  int64_t packets = 0;
  FB_TRY_VOID(each_of(
      netlink, NFT_MSG_GETOBJ, table,
      [&] {
        state.counters.clear();
        state.strange.clear();
      },
      [&]() -> OnAttribute {
        packets = 0;
        return [&](const nlattr& attribute) {
          const auto type = mnl_attr_get_type(&attribute);
          if (type == NFTA_OBJ_NAME) name = text(attribute);
          if (type == NFTA_OBJ_TYPE) kind = number(attribute);
          if (type != NFTA_OBJ_DATA) return;
          each_nested(attribute, [&](const nlattr& data) {
            if (mnl_attr_get_type(&data) != NFTA_COUNTER_PACKETS || mnl_attr_get_payload_len(&data) != 8) return;
            packets = static_cast<int64_t>(be64toh(mnl_attr_get_u64(&data)));
          });
        };
      },
      [&] {
        if (kind == NFT_OBJECT_COUNTER) {
          state.counters[name] = packets;
        } else {
          state.strange.push_back({.name = name, .type = kind});
        }
      }));
  const auto is_flowtable = [](const OtherObject& object) { return object.flowtable; };
  return each_of(
      netlink, NFT_MSG_GETFLOWTABLE, table, [&] { std::erase_if(state.strange, is_flowtable); },
      [&]() -> OnAttribute {
        return [&](const nlattr& attribute) {
          if (mnl_attr_get_type(&attribute) == NFTA_FLOWTABLE_NAME) name = text(attribute);
        };
      },
      [&] { state.strange.push_back({.name = name, .flowtable = true}); });
}

struct Tables {
  std::map<std::string, uint32_t> flags;  // by name
  Dump dump = Dump::whole;
};

Result<Tables> read_tables(Netlink& netlink) {
  alignas(nlmsghdr) std::array<char, 128> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE;
  auto* head = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
  head->nfgen_family = NFPROTO_UNSPEC;
  head->version = NFNETLINK_V0;
  Tables tables;
  const auto on_message = [&](const nlmsghdr& message) {
    std::string name = family_name(static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(&message))->nfgen_family) + " ";
    uint32_t flags = 0;
    each_attribute_of(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == NFTA_TABLE_NAME) name += text(attribute);
      if (mnl_attr_get_type(&attribute) == NFTA_TABLE_FLAGS) flags = number(attribute);
    });
    tables.flags[name] = flags;
  };
  // What an interrupted reading showed is kept for the next one.
  FB_TRY(tables.dump, read_whole([&] { return netlink.dump(*request, on_message); }));
  return tables;
}

}  // namespace

int family_of(const std::string& table) {
  if (table.starts_with("inet ")) return NFPROTO_INET;
  return table.starts_with("netdev ") ? NFPROTO_NETDEV : NFPROTO_UNSPEC;
}

std::string name_of(const std::string& table) {
  return table.substr(table.find(' ') + 1);
}

Result<TableNames> read_table_names(Netlink& netlink) {
  FB_TRY(const Tables tables, read_tables(netlink));
  TableNames result;
  for (const auto& [name, flags] : tables.flags) result.names.push_back(name);
  result.whole = tables.dump == Dump::whole;
  return result;
}

Result<TableState> read_table(Netlink& netlink, const std::string& table, const std::vector<SetToRead>& sets) {
  FB_TRY(const Tables tables, read_tables(netlink));
  const auto at = tables.flags.find(table);
  if (at == tables.flags.end()) return fail(ErrorCode::not_found, "no table " + table);
  TableState state;
  state.flags = at->second;
  FB_TRY_VOID(read_chains(netlink, table, state));
  FB_TRY_VOID(read_rules(netlink, table, state));
  FB_TRY_VOID(read_set_sorts(netlink, table, state));
  FB_TRY_VOID(read_objects(netlink, table, state));
  for (const SetToRead& set : sets) {
    const auto sort = state.set_sorts.find(set.name);
    if (sort == state.set_sorts.end()) continue;
    FB_TRY(state.sets[set.name],
           read_set(netlink, family_of(table), name_of(table), set.name, set.key_size, set.interval));
  }
  return state;
}

Result<std::map<std::string, int64_t>> read_counters(Netlink& netlink, const std::string& table) {
  TableState state;
  FB_TRY_VOID(read_objects(netlink, table, state));
  return std::move(state.counters);
}

Result<uint32_t> read_generation(Netlink& netlink) {
  alignas(nlmsghdr) std::array<char, 128> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN;
  auto* head = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
  head->version = NFNETLINK_V0;
  uint32_t generation = 0;
  FB_TRY_VOID(netlink.ask(*request, [&](const nlmsghdr& message) {
    each_attribute_of(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == NFTA_GEN_ID) generation = number(attribute);
    });
  }));
  return generation;
}

}  // namespace fb::agent
