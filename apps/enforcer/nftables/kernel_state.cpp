#include "apps/enforcer/nftables/kernel_state.h"

#include <algorithm>
#include <iterator>

#include "engine/base/digest.h"

namespace fb::agent {
namespace {

constexpr int kReadAttempts = 3;  // somebody may change the tables while they are read

std::vector<SetToRead> sets_to_read() {
  std::vector<SetToRead> sets;
  for (const SetContent& set : set_contents(Cut{}, {})) sets.push_back({set.name, set.key_size, set.interval});
  return sets;
}

Result<KernelState> read_all(Netlink& netlink) {
  FB_TRY(const auto tables, read_table_names(netlink));
  const auto sets = sets_to_read();
  KernelState state;
  FB_TRY(const auto ours, our_tables(tables));
  for (const std::string& table : ours) {
    FB_TRY(state[table], read_table(netlink, table, sets));
  }
  return state;
}

}  // namespace

bool is_our_table(const std::string& table) {
  return table == kInetTable || table.starts_with(kEgressPrefix);
}

Result<std::vector<std::string>> our_tables(const TableNames& names) {
  std::vector<std::string> ours;
  std::copy_if(names.names.begin(), names.names.end(), std::back_inserter(ours), is_our_table);
  if (ours.empty() && !names.whole) {
    return fail(ErrorCode::timeout, "the rules change all the time, their tables could not be listed", "", Retry::yes);
  }
  return ours;
}

Result<const KernelState*> KernelView::read() {
  Error trouble{ErrorCode::timeout, Retry::yes, "the rules change all the time", ""};
  bool read_once = false;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    // A fresh socket: what is left of a dump that was broken off must not be taken for the next answer.
    FB_TRY(Netlink netlink, Netlink::open(NETLINK_NETFILTER));
    FB_TRY(const uint32_t before, read_generation(netlink));
    if (known_ && before == generation_) {
      for (auto& [table, state] : state_) {
        FB_TRY(state.counters, read_counters(netlink, table));
      }
      return &state_;
    }
    known_ = false;
    auto state = read_all(netlink);
    FB_TRY(const uint32_t after, read_generation(netlink));
    if (!state) {
      trouble = state.error();
      continue;
    }
    state_ = std::move(*state);
    read_once = true;
    generation_ = after;
    known_ = before == after;
    if (known_) return &state_;
  }
  // Somebody changes rules without pause. What was read of our tables is better than nothing; it is not kept.
  if (read_once) return &state_;
  return tl::unexpected<Error>(trouble);
}

std::map<std::string, WantedTable> wanted_tables(const std::vector<Link>& links, bool egress) {
  std::map<std::string, WantedTable> wanted;
  wanted[kInetTable] = {TableKind::inet, ""};
  if (!egress) return wanted;
  for (const Link& link : links) {
    wanted[egress_table(link.index)] = {link.ethernet ? TableKind::egress_ethernet : TableKind::egress_bare, link.name};
  }
  return wanted;
}

bool is_stale(const std::string& table, const std::map<std::string, WantedTable>& wanted, const LinkList& links) {
  if (wanted.contains(table) || !links.whole) return false;
  return std::none_of(links.links.begin(), links.links.end(),
                      [&](const Link& link) { return egress_table(link.index) == table; });
}

std::string rules_difference(const TableState& actual, const WantedTable& wanted, const Reference& reference) {
  const TableState& expected = reference.tables.at(wanted.kind);
  // Every flag matters: a table that sleeps has no hooks.
  if (actual.flags != 0) return "the table has flags";
  if (!actual.strange.empty()) return "object " + actual.strange[0].name + " was added";
  for (const Chain& chain : chains_of(wanted.kind)) {
    const auto at = actual.chains.find(chain.name);
    if (at == actual.chains.end()) return "chain " + chain.name + " is missing";
    if (at->second.rules != expected.chains.at(chain.name).rules) return "the rules of " + chain.name + " were changed";
    if (at->second.hook != hook_of(chain, wanted.device)) return "the hook of " + chain.name + " was changed";
  }
  if (actual.chains.size() != expected.chains.size()) return "a chain was added";
  if (actual.set_sorts != expected.set_sorts) return "sets were added or changed";
  const bool same_counters =
      std::equal(actual.counters.begin(), actual.counters.end(), expected.counters.begin(), expected.counters.end(),
                 [](const auto& a, const auto& b) { return a.first == b.first; });
  return same_counters ? "" : "counters were added or deleted";
}

std::vector<const SetContent*> set_differences(const TableState& actual, const std::vector<SetContent>& sets) {
  std::vector<const SetContent*> different;
  for (const SetContent& set : sets) {
    const auto at = actual.sets.find(set.name);
    if (at == actual.sets.end() || at->second != set.keys) different.push_back(&set);
  }
  return different;
}

bool cuts_off(const KernelState& state) {
  const auto inet = state.find(kInetTable);
  if (inet == state.end() || inet->second.flags != 0) return false;
  const auto chains = chains_of(TableKind::inet);
  return std::all_of(chains.begin(), chains.end(), [&](const Chain& chain) {
    const auto at = inet->second.chains.find(chain.name);
    return at != inet->second.chains.end() && at->second.hook == hook_of(chain, "");
  });
}

int64_t counted_packets(const KernelState& state) {
  int64_t sum = 0;
  for (const auto& [table, read] : state) {
    for (const auto& [name, packets] : read.counters) sum += packets;
  }
  return sum;
}

std::string digest_of(const KernelState& state) {
  std::string text;
  // Each part with its length before it: no two states give the same text.
  const auto put = [&](const std::string& part) { text += std::to_string(part.size()) + ":" + part; };
  const auto count = [&](size_t parts) { put(std::to_string(parts)); };
  for (const auto& [table, read] : state) {
    put(table);
    put(std::to_string(read.flags));
    count(read.chains.size());
    for (const auto& [name, chain] : read.chains) {
      put(name);
      put(chain.hook.type + " " + std::to_string(chain.hook.number) + " " + std::to_string(chain.hook.priority) + " " +
          std::to_string(chain.hook.policy));
      count(chain.hook.devices.size());
      for (const auto& device : chain.hook.devices) put(device);
      count(chain.rules.size());
      for (const auto& rule : chain.rules) put(rule);
    }
    count(read.set_sorts.size());
    for (const auto& [name, sort] : read.set_sorts) {
      put(name);
      put(sort);
      const auto keys = read.sets.find(name);
      count(keys == read.sets.end() ? 0 : keys->second.size());
      if (keys == read.sets.end()) continue;
      for (const KeyRange& range : keys->second) put(range.low + range.high);
    }
    count(read.strange.size());
    for (const OtherObject& object : read.strange) {
      put((object.flowtable ? "flowtable" : std::to_string(object.type)) + " " + object.name);
    }
  }
  return hex(sha256(text));
}

}  // namespace fb::agent
