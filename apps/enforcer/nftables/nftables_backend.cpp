#include "apps/enforcer/nftables/nftables_backend.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "apps/enforcer/nftables/batch.h"
#include "apps/enforcer/nftables/dhcp_leases.h"
#include "apps/enforcer/nftables/kept_reference.h"
#include "apps/enforcer/nftables/kernel_state.h"
#include "apps/enforcer/nftables/monitor.h"
#include "apps/enforcer/nftables/nftables_options.h"
#include "apps/enforcer/nftables/plan.h"
#include "apps/enforcer/nftables/xdp_sockets.h"
#include "engine/base/log.h"

namespace fb::agent {
namespace {

constexpr int kAttempts = 4;           // links come and go, and others change rules, while this works
constexpr int kLastResortAttempt = 2;  // from then on a table that resists mending is made anew
constexpr const char* kNotCovered = "raw sockets not covered: ";

// For learning the rules' form when it is needed at once: a release may have to wait for this. As long a pause follows
// when it fails: learning changes rules itself, and whoever watches them asks for the isolation again at once.
constexpr std::chrono::milliseconds kLearnNow{3'000};

// Many links' tables in one transaction when they are small: each has to wait for the whole system once.
constexpr size_t kElementsTogether = 50'000;

class NftablesBackend final : public IsolationBackend {
 public:
  explicit NftablesBackend(NftablesOptions options) : options_(std::move(options)) {}

  // The kept form of the rules, else it is learned.
  Status get_reference(std::chrono::milliseconds at_most) {
    if (reference_) return {};
    const std::string& path = options_.reference_file;
    if (!path.empty()) {
      auto kept = read_kept_reference(path);
      if (kept) {
        take(std::move(*kept));
        return {};
      }
      if (kept.error().code != ErrorCode::not_found) {
        log(LogLevel::warn, "kept_rules_not_used", kept.error().describe());
      }
    }
    auto learned = learn_reference(at_most);
    if (!learned) return tl::unexpected<Error>(learned.error());
    if (!path.empty() && learned->egress) {
      if (const Status written = keep_reference(path, *learned); !written) {
        log(LogLevel::warn, "rules_not_kept", written.error().describe());
      }
    }
    take(std::move(*learned));
    return {};
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
    FB_TRY_VOID(need_reference());
    Error trouble{ErrorCode::unavailable, Retry::yes, "the rules could not be made", ""};
    bool inet_is_right = false;
    bool written_blind = false;
    for (int attempt = 0; attempt <= kAttempts; ++attempt) {
      FB_TRY(const auto links, links_now());
      const auto wanted = wanted_tables(links.links, reference_->egress);
      const Aim aim{wanted, links, *sets_, *reference_, attempt >= kLastResortAttempt};
      const auto read = read_back();
      if (!read) {
        // Who keeps the rules from being read must not keep the host from being cut off.
        if (!written_blind && attempt < kAttempts) {
          written_blind = carry_out(plan_blind(aim), attempt == 0, trouble);
        }
        if (written_blind) trouble = read.error();
        inet_is_right = false;
        continue;
      }
      const KernelState& state = **read;
      const auto inet = state.find(kInetTable);
      inet_is_right = inet != state.end() &&
                      rules_difference(inet->second, wanted.at(kInetTable), *reference_).empty() &&
                      set_differences(inet->second, *sets_).empty();
      // What was sent as a difference and refused is sent whole.
      Work work = plan(state, view_.exact() && attempt == 0, aim);
      if (work.empty()) {
        isolated_links_ = links.links;
        return {};
      }
      if (attempt < kAttempts) carry_out(std::move(work), attempt == 0, trouble);
    }
    // A link that can't be covered does not make the host less cut off; observe tells of it.
    if (inet_is_right) return {};
    return tl::unexpected<Error>(trouble);
  }

  Status release() override {
    sets_.reset();
    Status status;
    bool blind = false;
    for (int attempt = 0; attempt <= kAttempts; ++attempt) {
      FB_TRY(Netlink netlink, Netlink::open(NETLINK_NETFILTER));
      const auto read = read_table_names(netlink);
      std::vector<std::string> tables = read ? read->names : std::vector<std::string>{};
      blind = !read || !read->whole;
      if (blind) {
        // Every table that there may be.
        tables.push_back(kInetTable);
        const auto links = list_links();
        for (const Link& link : links.value_or(LinkList{}).links) tables.push_back(egress_table(link.index));
      }
      const Transaction transaction = removal(tables);
      if (transaction.empty()) return {};
      status = commit(transaction);
    }
    // The kernel took them all away; that could only not be read back.
    if (status && blind) return {};
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
  Status need_reference() {
    if (reference_) return {};
    const auto limit = std::min(options_.learn_for, kLearnNow);
    if (!not_learned_ || std::chrono::steady_clock::now() - not_learned_at_ >= limit) {
      const Status known = get_reference(limit);
      if (known) return {};
      not_learned_ = known.error();
      not_learned_->message = "the rules' form is not known: " + not_learned_->message;
      not_learned_at_ = std::chrono::steady_clock::now();
    }
    return tl::unexpected<Error>(*not_learned_);
  }

  void take(Reference reference) {
    if (!options_.use_egress) {
      reference.egress = false;
      reference.egress_reason = "switched off";
    }
    reference_ = std::move(reference);
  }

  Result<const KernelState*> read_back() {
    if (!options_.read_back) return fail(ErrorCode::timeout, "the rules are not read", "", Retry::yes);
    return view_.read();
  }

  // Links take their chains with them, which the kernel does not count as a change of rules.
  Result<LinkList> links_now() {
    FB_TRY(auto links, list_links());
    if (look_again_.exchange(false) || links.links != links_) view_.forget();
    links_ = links.links;
    return links;
  }

  // `together` when all goes well; table by table when something failed, so that one link that just vanished doesn't
  // hold up the others. False when something failed.
  static bool carry_out(Work work, bool together, Error& trouble) {
    bool good = true;
    const auto run = [&](const Transaction& transaction) {
      const auto status = commit(transaction);
      good = good && status;
      if (!status) trouble = status.error();
    };
    const auto run_all = [&](std::vector<Transaction>& transactions) {
      Transaction next;
      for (Transaction& transaction : transactions) {
        next.append(std::move(transaction));
        if (together && next.elements() < kElementsTogether) continue;
        run(next);
        next = {};
      }
      run(next);
    };
    run(work.sets);
    run(work.inet_chains);
    run_all(work.egress_sets);
    run_all(work.egress_chains);
    run(work.stale);
    return good;
  }

  void judge(const LinkList& list, const KernelState& state, Observation& seen) const {
    if (!reference_) {
      seen.intact = false;
      seen.problems.emplace_back("the isolation can't be judged: the rules' form could not be learned yet");
      return;
    }
    const std::vector<Link>& links = list.links;
    const auto wanted = wanted_tables(links, reference_->egress);
    if (!reference_->egress) seen.problems.push_back(kNotCovered + reference_->egress_reason);
    // A process that has just started does not know what was applied; then the tables must at least agree.
    const auto inet = state.find(kInetTable);
    std::vector<SetContent> expected = sets_.value_or(set_contents(Cut{}, {}));
    if (!sets_ && inet != state.end()) {
      for (SetContent& set : expected) {
        const auto at = inet->second.sets.find(set.name);
        if (at != inet->second.sets.end()) set.keys = at->second;
      }
    }
    // Tables of links that are not what they were when it was isolated: their difference is nobody's doing.
    std::set<std::string> of_changed_links;
    std::vector<Link> changed;
    std::set_symmetric_difference(links.begin(), links.end(), isolated_links_.begin(), isolated_links_.end(),
                                  std::back_inserter(changed));
    for (const Link& link : changed) of_changed_links.insert(egress_table(link.index));
    bool only_links = true;
    const auto differs = [&](const std::string& table) {
      seen.intact = false;
      only_links = only_links && of_changed_links.contains(table);
    };
    for (const auto& [table, want] : wanted) {
      const auto at = state.find(table);
      const bool right = at != state.end() && rules_difference(at->second, want, *reference_).empty() &&
                         set_differences(at->second, expected).empty();
      if (right) continue;
      differs(table);
      if (want.kind != TableKind::inet) seen.problems.push_back(kNotCovered + want.device);
    }
    for (const auto& [table, unused] : state) {
      if (is_stale(table, wanted, list)) differs(table);
    }
    seen.links_changed = !seen.intact && only_links && list.whole && sets_.has_value();
  }

  const NftablesOptions options_;
  std::optional<Reference> reference_;           // none until it could be learned; a release needs none
  std::optional<std::vector<SetContent>> sets_;  // of the last isolate; none after release
  std::optional<Error> not_learned_;             // why the last isolate could not learn it, and when
  std::chrono::steady_clock::time_point not_learned_at_;
  bool kernel_tells_xdp_ = true;
  KernelView view_;
  std::vector<Link> links_;           // when view_ was read
  std::vector<Link> isolated_links_;  // covered by the last isolate
  std::atomic<bool> look_again_ = false;
  std::unique_ptr<ChangeMonitor> monitor_;  // last: its thread uses look_again_
};

}  // namespace

Result<std::unique_ptr<IsolationBackend>> make_nftables_backend_with(const NftablesOptions& options) {
  // Does this kernel have nftables, and has this process the right?
  Transaction transaction;
  transaction.add_table(kInetTable);
  FB_TRY_VOID(check(transaction));
  auto backend = std::make_unique<NftablesBackend>(options);
  // An isolation that stands must be released at any time, so the backend is there in any case.
  if (const Status known = backend->get_reference(options.learn_for); !known) {
    log(LogLevel::error, "rules_not_learned", known.error().describe() + "; tried again when an isolation needs it");
  }
  return backend;
}

Result<std::unique_ptr<IsolationBackend>> make_nftables_backend(const std::string& folder) {
  NftablesOptions options;
  options.reference_file = folder + "/rules";
  return make_nftables_backend_with(options);
}

}  // namespace fb::agent
