#include "apps/enforcer/nftables/kernel_state.h"

#include <linux/netfilter.h>
#include <unistd.h>

#include <algorithm>

namespace fb::agent {
namespace {

constexpr int kReadAttempts = 5;  // somebody may change the tables while they are read

bool is_chain(const std::string& key) {
  return key.starts_with("chain ");
}
bool is_counter(const std::string& key) {
  return key.starts_with("counter ");
}

bool is_ours(const std::string& table) {
  return table == kInetTable || table.starts_with(kEgressPrefix);
}

Result<KernelState> try_to_read(NftSession& session, Netlink& netlink) {
  FB_TRY(const std::string tables, session.list("list tables"));
  const auto kinds = set_contents(Cut{}, {});
  KernelState state;
  for (const std::string& table : parse_tables(tables)) {
    if (!is_ours(table)) continue;
    FB_TRY(const std::string text, session.list("list table " + table));
    auto listings = parse_listing(text);
    TableState& read = state[table];
    read.listing = std::move(listings[table]);
    const size_t space = table.find(' ');
    const int family = table == kInetTable ? NFPROTO_INET : NFPROTO_NETDEV;
    for (const SetContent& set : kinds) {
      const auto at = read.listing.blocks.find("set " + set.name);
      if (at == read.listing.blocks.end()) continue;
      FB_TRY(read.sets[set.name],
             read_set(netlink, family, table.substr(space + 1), set.name, set.key_size, set.interval));
    }
  }
  return state;
}

std::string without_quotes(std::string text) {
  std::erase(text, '"');
  return text;
}

bool hook_fits(const Chain& chain, const std::string& device, const std::string& actual) {
  return without_quotes(chain.hook.empty() ? "" : hook_line(chain, device)) == without_quotes(actual);
}

// A comment on the table does nothing; every flag matters (a dormant table has no hooks).
bool head_matters(const std::string& line) {
  return !line.starts_with("comment ");
}

std::string delete_block(const std::string& table, const std::string& key) {
  const size_t space = key.rfind(' ');
  return "delete " + key.substr(0, space) + " " + table + " " + key.substr(space + 1) + "\n";
}

const Listing& spelled(const Spelling& spelling, TableKind kind) {
  return spelling.tables.at(kind);
}

bool same_set(const Listing& actual, const Listing& expected, const std::string& key) {
  const auto a = actual.blocks.find(key);
  const auto b = expected.blocks.find(key);
  return a != actual.blocks.end() && b != expected.blocks.end() && a->second.lines == b->second.lines;
}

}  // namespace

Result<KernelState> read_kernel_state(NftSession& session) {
  FB_TRY(Netlink netlink, Netlink::open(NETLINK_NETFILTER));
  auto state = try_to_read(session, netlink);
  for (int attempt = 1; attempt < kReadAttempts && !state; ++attempt) {
    // A fresh socket: what is left of a dump that was broken off must not be taken for the next answer.
    FB_TRY(netlink, Netlink::open(NETLINK_NETFILTER));
    state = try_to_read(session, netlink);
  }
  return state;
}

Result<Spelling> learn_spelling(NftSession& session) {
  Spelling spelling;
  const auto sets = set_contents(Cut{}, {});
  const std::string own = "_probe_" + std::to_string(getpid());
  const std::pair<TableKind, std::string> kinds[] = {{TableKind::inet, "inet firebreak" + own},
                                                     {TableKind::egress_ethernet, "netdev firebreak" + own},
                                                     {TableKind::egress_bare, "netdev firebreak" + own + "_bare"}};
  for (const auto& [kind, table] : kinds) {
    // Nothing to delete is the rule; the pair of commands makes the deletion safe in both cases.
    const std::string remove = "add table " + table + "\ndelete table " + table + "\n";
    const auto made = session.run(remove + make_sets(table, kind, sets) + make_unhooked_chains(table, kind));
    if (!made && kind == TableKind::inet) return tl::unexpected<Error>(made.error());
    if (!made) {
      spelling.egress_reason = made.error().message;
      return spelling;
    }
    auto text = session.list("list table " + table);
    FB_TRY_VOID(session.run(remove));
    if (!text) return tl::unexpected<Error>(text.error());
    auto listings = parse_listing(*text);
    spelling.tables[kind] = std::move(listings[table]);
    for (const Chain& chain : chains_of(kind)) {
      const auto& lines = spelling.tables[kind].blocks["chain " + chain.name].lines;
      if (lines.size() != chain.rules.size()) {
        return fail(ErrorCode::unavailable, "nft lists " + std::to_string(lines.size()) + " rules of chain " +
                                                chain.name + " instead of " + std::to_string(chain.rules.size()));
      }
    }
  }
  // The hooks, judged by the kernel and not made.
  const std::string& inet = kinds[0].second;
  FB_TRY_VOID(session.check(make_sets(inet, TableKind::inet, sets) + make_chains(inet, TableKind::inet, "")));
  const auto egress =
      session.check("add table netdev firebreak" + own + "\nadd chain netdev firebreak" + own +
                    " egress { type filter hook egress device \"lo\" priority -300; policy accept; }\n");
  spelling.egress = egress.has_value();
  if (!egress) spelling.egress_reason = egress.error().message;
  return spelling;
}

std::map<std::string, WantedTable> wanted_tables(const std::vector<Link>& links, bool egress) {
  std::map<std::string, WantedTable> wanted;
  wanted[kInetTable] = {TableKind::inet, ""};
  if (!egress) return wanted;
  for (const Link& link : links) {
    if (!can_be_written(link)) continue;
    wanted[egress_table(link.index)] = {link.ethernet ? TableKind::egress_ethernet : TableKind::egress_bare, link.name};
  }
  return wanted;
}

std::string rules_difference(const Listing& actual, const WantedTable& wanted, const Spelling& spelling) {
  const Listing& expected = spelled(spelling, wanted.kind);
  for (const auto& line : actual.head) {
    if (head_matters(line)) return "the table says '" + line + "'";
  }
  for (const auto& [key, block] : expected.blocks) {
    const auto at = actual.blocks.find(key);
    if (at == actual.blocks.end()) return key + " is missing";
    if (!is_counter(key) && at->second.lines != block.lines) return key + " was changed";
  }
  for (const auto& [key, block] : actual.blocks) {
    if (!expected.blocks.contains(key)) return key + " was added";
  }
  for (const Chain& chain : chains_of(wanted.kind)) {
    const auto& hook = actual.blocks.at("chain " + chain.name).hook;
    if (!hook_fits(chain, wanted.device, hook)) return "chain " + chain.name + " has the hook '" + hook + "'";
  }
  return "";
}

std::vector<const SetContent*> set_differences(const TableState& actual, const std::vector<SetContent>& sets) {
  std::vector<const SetContent*> different;
  for (const SetContent& set : sets) {
    const auto at = actual.sets.find(set.name);
    if (at == actual.sets.end() || at->second != set.keys) different.push_back(&set);
  }
  return different;
}

std::string mend_table(const std::string& table, const TableState& actual, const WantedTable& wanted,
                       const Spelling& spelling, const std::vector<SetContent>& sets) {
  const Listing& expected = spelled(spelling, wanted.kind);
  const auto chains = chains_of(wanted.kind);
  const auto& blocks = actual.listing.blocks;
  std::string text = "add table " + table + "\n";  // without flags: wakes a dormant one
  for (const auto& [key, block] : blocks) {
    if (is_chain(key)) text += "flush chain " + table + " " + key.substr(6) + "\n";
  }
  // Chains first: maps may name them, but no rule uses a map any more; what rules used goes after the chains.
  for (const auto& [key, block] : blocks) {
    if (!is_chain(key)) continue;
    const auto chain =
        std::find_if(chains.begin(), chains.end(), [&, &k = key](const Chain& c) { return "chain " + c.name == k; });
    if (chain == chains.end() || !hook_fits(*chain, wanted.device, block.hook)) text += delete_block(table, key);
  }
  for (const auto& [key, block] : blocks) {
    const bool keep =
        is_chain(key) || (is_counter(key) && expected.blocks.contains(key)) || same_set(actual.listing, expected, key);
    if (!keep) text += delete_block(table, key);
  }
  std::vector<SetContent> missing;
  for (const SetContent& set : sets) {
    if (!same_set(actual.listing, expected, "set " + set.name)) {
      missing.push_back(set);
    } else if (const auto at = actual.sets.find(set.name); at == actual.sets.end() || at->second != set.keys) {
      text += update_set(table, set);
    }
  }
  return text + make_sets(table, wanted.kind, missing) + make_chains(table, wanted.kind, wanted.device);
}

bool cuts_off(const KernelState& state) {
  const auto inet = state.find(kInetTable);
  if (inet == state.end()) return false;
  const Listing& listing = inet->second.listing;
  if (std::any_of(listing.head.begin(), listing.head.end(), head_matters)) return false;
  for (const Chain& chain : chains_of(TableKind::inet)) {
    const auto at = listing.blocks.find("chain " + chain.name);
    if (at == listing.blocks.end() || !hook_fits(chain, "", at->second.hook)) return false;
  }
  return true;
}

}  // namespace fb::agent
