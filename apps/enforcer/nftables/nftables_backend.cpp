#include "apps/enforcer/nftables/nftables_backend.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>

#include "apps/enforcer/nftables/dhcp_leases.h"
#include "apps/enforcer/nftables/kernel_state.h"
#include "apps/enforcer/nftables/monitor.h"
#include "apps/enforcer/nftables/nftables_options.h"
#include "apps/enforcer/nftables/xdp_sockets.h"

namespace fb::agent {
namespace {

constexpr int kAttempts = 4;           // links come and go, and others change rules, while this works
constexpr int kLastResortAttempt = 2;  // from then on a table that resists mending is made anew
constexpr const char* kNotCovered = "raw sockets not covered: ";

struct Work {
  std::string sets;                                            // of the inet table, and updates of all others
  std::string inet_chains;                                     // of a table whose sets are new
  std::string egress_sets;                                     // of links' tables that are new
  std::vector<std::pair<std::string, std::string>> per_table;  // table, its chains or what mends it
  std::string stale;                                           // tables of links that are gone
  bool empty() const {
    return sets.empty() && inet_chains.empty() && egress_sets.empty() && per_table.empty() && stale.empty();
  }
};

Work plan(const KernelState& state, const std::map<std::string, WantedTable>& wanted, const Reference& reference,
          const std::vector<SetContent>& sets, bool last_resort) {
  Work work;
  for (const auto& [table, want] : wanted) {
    const auto at = state.find(table);
    if (at == state.end()) {
      const bool inet = want.kind == TableKind::inet;
      (inet ? work.sets : work.egress_sets) += make_sets(table, want.kind, sets);
      std::string chains = make_chains(table, want.kind, want.device);
      if (inet) {
        work.inet_chains = std::move(chains);
      } else {
        work.per_table.emplace_back(table, std::move(chains));
      }
    } else if (rules_difference(at->second, want, reference).empty()) {
      for (const SetContent* set : set_differences(at->second, sets)) work.sets += update_set(table, *set);
    } else if (last_resort) {
      // Whoever changed it found a way that can't be undone piece by piece. In one transaction: there is no moment
      // without rules, though a packet in flight may be dropped.
      work.per_table.emplace_back(table, "delete table " + table + "\n" + make_sets(table, want.kind, sets) +
                                             make_chains(table, want.kind, want.device));
    } else {
      work.per_table.emplace_back(table, mend_table(table, at->second, want, reference, sets));
    }
  }
  for (const auto& [table, unused] : state) {
    if (!wanted.contains(table)) work.stale += "delete table " + table + "\n";
  }
  return work;
}

// When the tables can't be read: everything, without looking.
Work plan_blind(const std::map<std::string, WantedTable>& wanted, const std::vector<SetContent>& sets) {
  Work work;
  for (const auto& [table, want] : wanted) {
    const bool inet = want.kind == TableKind::inet;
    (inet ? work.sets : work.egress_sets) += force_sets(table, want.kind, sets);
    std::string chains = force_chains(table, want.kind, want.device);
    if (inet) {
      work.inet_chains = std::move(chains);
    } else {
      work.per_table.emplace_back(table, std::move(chains));
    }
  }
  return work;
}

class NftablesBackend final : public IsolationBackend {
 public:
  NftablesBackend(NftablesOptions options, Reference reference)
      : options_(std::move(options)), reference_(std::move(reference)) {
    if (!options_.use_egress) {
      reference_.egress = false;
      reference_.egress_reason = "switched off";
    }
  }

  std::string_view name() const override { return "nftables"; }
  bool simulated() const override { return false; }

  Status isolate(const Cut& cut) override {
    for (const OpenService& s : cut.services) {
      if (s.address.length != (s.address.v6 ? 128 : 32) || s.port == 0) {
        return fail(ErrorCode::invalid_argument, "a service needs one address and a port: " + to_string(s.address));
      }
    }
    // Kept before it is done: when it fails half-way, observe says that it is not as it should be.
    sets_ = set_contents(cut, cut.dhcp ? dhcp_servers(options_.lease_root) : std::vector<endpoint::Prefix>{});
    FB_TRY(NftSession session, NftSession::open());
    Error trouble{ErrorCode::unavailable, Retry::yes, "the rules could not be made", ""};
    bool inet_is_right = false;
    for (int attempt = 0; attempt <= kAttempts; ++attempt) {
      FB_TRY(const auto links, links_now());
      const auto wanted = wanted_tables(links, reference_.egress);
      const auto read = read_back();
      if (!read) {
        // Who changes rules without pause must not keep the host from being cut off.
        trouble = read.error();
        inet_is_right = false;
        if (attempt < kAttempts) carry_out(session, plan_blind(wanted, *sets_), attempt == 0, trouble);
        continue;
      }
      const KernelState& state = **read;
      const auto inet = state.find(kInetTable);
      inet_is_right = inet != state.end() &&
                      rules_difference(inet->second, wanted.at(kInetTable), reference_).empty() &&
                      set_differences(inet->second, *sets_).empty();
      const Work work = plan(state, wanted, reference_, *sets_, attempt >= kLastResortAttempt);
      if (work.empty()) return {};
      if (attempt < kAttempts) carry_out(session, work, attempt == 0, trouble);
    }
    // A link that can't be covered does not make the host less cut off; observe tells of it.
    if (inet_is_right) return {};
    return tl::unexpected<Error>(trouble);
  }

  Status release() override {
    sets_.reset();
    FB_TRY(NftSession session, NftSession::open());
    Status status;
    for (int attempt = 0; attempt <= kAttempts; ++attempt) {
      FB_TRY(Netlink netlink, Netlink::open(NETLINK_NETFILTER));
      FB_TRY(const auto tables, read_table_names(netlink));
      std::string text;
      for (const std::string& table : tables) {
        if (is_our_table(table)) text += "delete table " + table + "\n";
      }
      if (text.empty()) return {};
      status = session.run(text);
    }
    if (status) return fail(ErrorCode::unavailable, "somebody makes the isolation's tables again", "", Retry::yes);
    return status;
  }

  Result<Observation> observe() override {
    FB_TRY(const auto links, links_now());
    FB_TRY(const KernelState* read, read_back());
    const KernelState& state = *read;
    Observation seen;
    if (state.empty()) {
      seen.state = Isolation::released;
      seen.intact = !sets_.has_value();
      return seen;
    }
    seen.state = cuts_off(state) ? Isolation::isolated : Isolation::unknown;
    seen.rule_digest = digest_of(state);
    seen.drops = counted_packets(state);
    judge(links, state, seen);
    if (kernel_tells_xdp_) {
      const int sockets = count_xdp_sockets();
      // Asked once more, a kernel without it would look for the module every time.
      kernel_tells_xdp_ = sockets >= 0;
      if (sockets > 0) {
        seen.problems.push_back(kNotCovered + std::to_string(sockets) + " AF_XDP sockets pass the rules by");
      }
    }
    return seen;
  }

  Status watch(std::function<void()> on_change) override {
    monitor_.reset();
    FB_TRY(monitor_, ChangeMonitor::start([this, call = std::move(on_change)] {
             look_again_ = true;
             call();
           }));
    return {};
  }

 private:
  Result<const KernelState*> read_back() {
    if (!options_.read_back) return fail(ErrorCode::timeout, "the rules are not read", "", Retry::yes);
    return view_.read();
  }

  // Links take their chains with them, which the kernel does not count as a change of rules.
  Result<std::vector<Link>> links_now() {
    FB_TRY(auto links, list_links());
    if (look_again_.exchange(false) || links != links_) view_.forget();
    links_ = links;
    return links;
  }

  // Sets before the chains that use them, and the host as a whole before its links: thousands of exceptions take their
  // time, once for each link. Together when all goes well; table by table when something failed, so that
  // one link that just vanished doesn't hold up the others.
  static void carry_out(NftSession& session, const Work& work, bool together, Error& trouble) {
    const auto run = [&](const std::string& text) {
      if (text.empty()) return;
      if (const auto status = session.run(text); !status) trouble = status.error();
    };
    run(work.sets);
    run(work.inet_chains);
    run(work.egress_sets);
    std::string egress;
    for (const auto& [table, text] : work.per_table) {
      if (together && table != kInetTable) {
        egress += text;
      } else {
        run(text);
      }
    }
    run(egress);
    run(work.stale);
  }

  void judge(const std::vector<Link>& links, const KernelState& state, Observation& seen) const {
    const auto wanted = wanted_tables(links, reference_.egress);
    if (!reference_.egress) seen.problems.push_back(kNotCovered + reference_.egress_reason);
    for (const Link& link : links) {
      if (reference_.egress && !can_be_written(link)) {
        seen.problems.push_back(std::string(kNotCovered) + "link " + std::to_string(link.index) +
                                " has a name that rules can't hold");
      }
    }
    // A process that has just started does not know what was applied; then the tables must at least agree.
    const auto inet = state.find(kInetTable);
    std::vector<SetContent> expected = sets_.value_or(set_contents(Cut{}, {}));
    if (!sets_ && inet != state.end()) {
      for (SetContent& set : expected) {
        const auto at = inet->second.sets.find(set.name);
        if (at != inet->second.sets.end()) set.keys = at->second;
      }
    }
    for (const auto& [table, want] : wanted) {
      const auto at = state.find(table);
      const bool right = at != state.end() && rules_difference(at->second, want, reference_).empty() &&
                         set_differences(at->second, expected).empty();
      if (right) continue;
      seen.intact = false;
      if (want.kind != TableKind::inet) seen.problems.push_back(kNotCovered + want.device);
    }
    for (const auto& [table, unused] : state) seen.intact = seen.intact && wanted.contains(table);
  }

  const NftablesOptions options_;
  Reference reference_;
  std::optional<std::vector<SetContent>> sets_;  // of the last isolate; none after release
  bool kernel_tells_xdp_ = true;
  KernelView view_;
  std::vector<Link> links_;  // when view_ was read
  std::atomic<bool> look_again_ = false;
  std::unique_ptr<ChangeMonitor> monitor_;  // last: its thread uses look_again_
};

}  // namespace

Result<std::unique_ptr<IsolationBackend>> make_nftables_backend_with(const NftablesOptions& options) {
  FB_TRY(NftSession session, NftSession::open());
  FB_TRY(Reference reference, learn_reference(session));
  return std::make_unique<NftablesBackend>(options, std::move(reference));
}

Result<std::unique_ptr<IsolationBackend>> make_nftables_backend() {
  return make_nftables_backend_with({});
}

}  // namespace fb::agent
