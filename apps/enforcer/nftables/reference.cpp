#include "apps/enforcer/nftables/reference.h"

#include <unistd.h>

#include <algorithm>

#include "apps/enforcer/nftables/batch.h"
#include "apps/enforcer/nftables/plan.h"
#include "apps/enforcer/nftables/run_nft.h"

namespace fb::agent {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kAttempts = 4;

// Of a name that nobody else has.
std::string own_table(TableKind kind) {
  return (kind == TableKind::inet ? "inet firebreak_probe_" : "netdev firebreak_probe_") + std::to_string(getpid());
}

Status remove(const std::string& table) {
  Transaction transaction;
  transaction.remove_table(table);
  return commit(transaction);
}

Result<TableState> learn_once(const std::string& table, TableKind kind, std::chrono::milliseconds at_most) {
  FB_TRY(Netlink netlink, Netlink::open(NETLINK_NETFILTER));
  // One that a process left behind which was killed here and had the same number.
  FB_TRY_VOID(remove(table));
  const Status made = run_nft(learning_text(table, kind), at_most);
  auto state = made ? read_table(netlink, table, {}) : tl::unexpected<Error>(made.error());
  const Status removed = remove(table);
  if (!state) return state;
  FB_TRY_VOID(removed);
  const std::string amiss = incomplete(*state, kind);
  if (amiss.empty()) return state;
  return fail(ErrorCode::unavailable, "the kernel does not hold the rules as given: " + amiss, "", Retry::yes);
}

// Others may clear all rules, or change them, between any two steps.
Result<TableState> learn(TableKind kind, Clock::time_point end) {
  Result<TableState> state = fail(ErrorCode::timeout, "no time was left to learn the rules' form", "", Retry::yes);
  for (int attempt = 0; attempt < kAttempts && Clock::now() < end; ++attempt) {
    state = learn_once(own_table(kind), kind, std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()));
    if (state) break;
  }
  return state;
}

// The bare hook, with nothing else that the kernel could refuse. Loopback is always there.
Status judge_egress_hook() {
  const std::string table = own_table(TableKind::egress_ethernet);
  Transaction transaction;
  transaction.add_table(table);
  transaction.add_chain(table, "egress", hook_of({.name = "egress", .hook = "egress", .rules = {}}, "lo"));
  return check(transaction);
}

}  // namespace

std::string incomplete(const TableState& table, TableKind kind) {
  const auto chains = chains_of(kind);
  for (const Chain& chain : chains) {
    const auto at = table.chains.find(chain.name);
    if (at == table.chains.end() || at->second.rules.size() != chain.rules.size()) return "chain " + chain.name;
  }
  if (table.chains.size() != chains.size()) return "a chain too many";
  const auto sets = set_contents(Cut{}, {});
  for (const SetContent& set : sets) {
    const auto at = table.set_attributes.find(set.name);
    if (!table.set_sorts.contains(set.name) || at == table.set_attributes.end() || at->second.empty()) {
      return "set " + set.name;
    }
  }
  if (table.set_sorts.size() != sets.size()) return "a set too many";
  const auto counters = counters_of(kind);
  for (const auto& counter : counters) {
    if (!table.counters.contains(counter)) return "counter " + counter;
  }
  return table.counters.size() == counters.size() && table.strange.empty() ? "" : "an object too many";
}

Status judge_reference(const Reference& reference) {
  const auto sets = set_contents(Cut{}, {});
  for (const auto& [kind, unused] : reference.tables) {
    const std::string table = own_table(kind);
    Transaction whole = make_sets(table, kind, sets, reference);
    whole.append(make_chains(table, kind, kind == TableKind::inet ? "" : "lo", reference));
    FB_TRY_VOID(check(whole));
  }
  return {};
}

Result<Reference> learn_reference(std::chrono::milliseconds at_most) {
  const auto end = Clock::now() + at_most;
  Reference reference;
  FB_TRY(reference.tables[TableKind::inet], learn(TableKind::inet, end));
  const Status hook = judge_egress_hook();
  reference.egress = hook.has_value();
  if (!hook) {
    const bool refused = hook.error().code == ErrorCode::unsupported || hook.error().code == ErrorCode::not_found;
    if (!refused) return tl::unexpected<Error>(hook.error());
    reference.egress_reason = hook.error().message;
  } else {
    FB_TRY(reference.tables[TableKind::egress_ethernet], learn(TableKind::egress_ethernet, end));
    FB_TRY(reference.tables[TableKind::egress_bare], learn(TableKind::egress_bare, end));
  }
  FB_TRY_VOID(judge_reference(reference));
  return reference;
}

}  // namespace fb::agent
