#include "apps/enforcer/nftables/reference.h"

#include <unistd.h>

#include "apps/enforcer/nftables/batch.h"
#include "apps/enforcer/nftables/plan.h"
#include "apps/enforcer/nftables/run_nft.h"

namespace fb::agent {
namespace {

constexpr std::chrono::seconds kPatience{10};

Status remove(const std::string& table) {
  Transaction transaction;
  transaction.remove_table(table);
  return commit(transaction);
}

Result<TableState> learn(Netlink& netlink, const std::string& table, TableKind kind) {
  // One that a process left behind which was killed here and had the same number.
  FB_TRY_VOID(remove(table));
  const Status made = run_nft(learning_text(table, kind), kPatience);
  auto state = made ? read_table(netlink, table, {}) : tl::unexpected<Error>(made.error());
  const Status removed = remove(table);
  if (!state) return state;
  FB_TRY_VOID(removed);
  for (const Chain& chain : chains_of(kind)) {
    if (state->chains[chain.name].rules.size() == chain.rules.size()) continue;
    return fail(ErrorCode::unavailable, "the kernel does not hold the rules of chain " + chain.name + " as given", "",
                Retry::yes);
  }
  return state;
}

}  // namespace

Result<Reference> learn_reference() {
  Reference reference;
  FB_TRY(Netlink netlink, Netlink::open(NETLINK_NETFILTER));
  const std::string own = "firebreak_probe_" + std::to_string(getpid());
  FB_TRY(reference.tables[TableKind::inet], learn(netlink, "inet " + own, TableKind::inet));
  for (const TableKind kind : {TableKind::egress_ethernet, TableKind::egress_bare}) {
    auto table = learn(netlink, "netdev " + own, kind);
    if (!table && table.error().code == ErrorCode::timeout) return tl::unexpected<Error>(table.error());
    if (!table) {
      reference.egress_reason = table.error().message;
      return reference;
    }
    reference.tables[kind] = std::move(*table);
  }
  // The hooks, judged by the kernel and not made.
  const auto sets = set_contents(Cut{}, {});
  const auto judged = [&](const std::string& table, TableKind kind, const std::string& device) {
    Transaction whole = make_sets(table, kind, sets, reference);
    whole.append(make_chains(table, kind, device, reference));
    return check(whole);
  };
  FB_TRY_VOID(judged("inet " + own, TableKind::inet, ""));
  const Status egress = judged("netdev " + own, TableKind::egress_ethernet, "lo");
  reference.egress = egress.has_value();
  if (!egress) reference.egress_reason = egress.error().message;
  return reference;
}

}  // namespace fb::agent
