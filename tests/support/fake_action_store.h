// The record's action side in memory, for tests of whatever writes or reads actions: one table of endpoints, one of
// actions, the ledger over both, and a judge in front. It refuses an illegal move with an error, so a test can't pass
// over one. It stands for what is on disk: a test "crashes" the service by making everything else anew over the same
// store. Thread-safe (one lock).
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/clock.h"
#include "engine/model/action_life.h"
#include "engine/model/ids.h"
#include "engine/ports/action_store.h"
#include "engine/ports/record.h"

namespace fb::test {

struct FakeAction {
  PlannedAction planned;
  Judgement judgement;
  OpenAction row;
  std::vector<ActionState> history;  // every state it was in, the first included
  std::vector<std::string> details;
  int64_t intent_at_ms = 0;  // 0: never let through
  bool manual = false;
};

class FakeActionStore final : public ActionStore, public Ledger {
 public:
  static constexpr int64_t kExpiryMs = 14LL * 24 * 3600 * 1000;

  // No judge: everything with an endpoint passes.
  explicit FakeActionStore(const Clock& clock, Judge* judge = nullptr) : clock_(clock), judge_(judge) {}

  // --- the test's own doors ---
  void add_endpoint(Endpoint e) {
    const std::lock_guard lock(mutex_);
    endpoints_[e.endpoint_id] = std::move(e);
  }
  void add_endpoint(const std::string& id, AgentStatus status = AgentStatus::online, bool is_protected = false) {
    Endpoint e;
    e.endpoint_id = id;
    e.host_id = "host-of-" + id;
    e.hostname = id + ".example";
    e.status = status;
    e.is_protected = is_protected;
    e.observed = Isolation::released;
    add_endpoint(std::move(e));
  }
  void change_endpoint(const std::string& id, const std::function<void(Endpoint&)>& change) {
    const std::lock_guard lock(mutex_);
    change(endpoints_.at(id));
  }
  Endpoint at(const std::string& id) {
    const std::lock_guard lock(mutex_);
    return endpoints_.at(id);
  }
  FakeAction action(const std::string& id) {
    const std::lock_guard lock(mutex_);
    return actions_.at(id);
  }
  std::vector<FakeAction> all_actions() {
    const std::lock_guard lock(mutex_);
    std::vector<FakeAction> all;
    for (const std::string& id : order_) all.push_back(actions_.at(id));
    return all;
  }
  void change_action(const std::string& id, const std::function<void(FakeAction&)>& change) {
    const std::lock_guard lock(mutex_);
    change(actions_.at(id));
  }
  // A store that tells which generations it ordered itself (Endpoint::ordered_generation), or one that does not.
  void tell_orders(bool tells) {
    const std::lock_guard lock(mutex_);
    tells_orders_ = tells;
    for (auto& [id, e] : endpoints_) e.ordered_generation = tells ? 0 : -1;
  }
  // What Record::keep does with one planned action; a known id changes nothing.
  Result<Judgement> keep(const PlannedAction& p) {
    const std::lock_guard lock(mutex_);
    return keep_locked(p);
  }
  // The next `count` writes fail.
  void fail_writes(int count, Error error) {
    const std::lock_guard lock(mutex_);
    failures_left_ = count;
    failure_ = std::move(error);
  }
  // The record keeps an alert before it has its actions judged.
  void note_alert(const std::string& endpoint_id, const std::string& rule_id) {
    const std::lock_guard lock(mutex_);
    alerted_[endpoint_id][rule_id] = clock_.wall_ms();
  }
  void set_maintenance(const std::string& endpoint_id, std::vector<Maintenance> windows) {
    const std::lock_guard lock(mutex_);
    maintenance_[endpoint_id] = std::move(windows);
  }
  std::set<std::string> tripped_rules() {
    const std::lock_guard lock(mutex_);
    return tripped_rules_;
  }
  void reset_trips() {
    const std::lock_guard lock(mutex_);
    tripped_rules_.clear();
    fleet_tripped_ = false;
  }
  size_t rows() {
    const std::lock_guard lock(mutex_);
    return order_.size();
  }
  int illegal_moves() {
    const std::lock_guard lock(mutex_);
    return illegal_moves_;
  }
  int writes() {
    const std::lock_guard lock(mutex_);
    return writes_;
  }

  // --- ActionStore ---
  Result<std::vector<OpenAction>> open_actions() override {
    const std::lock_guard lock(mutex_);
    std::vector<OpenAction> open;
    for (const std::string& id : order_) {
      const FakeAction& a = actions_.at(id);
      if (is_open(a.row.state) && a.row.state != ActionState::awaiting_approval) open.push_back(a.row);
    }
    return open;
  }

  Result<bool> move(const ActionMove& m) override {
    const std::lock_guard lock(mutex_);
    FB_TRY_VOID(may_write());
    const auto it = actions_.find(m.action_id);
    if (it == actions_.end()) return fail(ErrorCode::not_found, "no action " + m.action_id);
    FakeAction& a = it->second;
    if (std::find(m.from.begin(), m.from.end(), a.row.state) == m.from.end()) return false;
    if (!is_legal_move(a.row.state, m.to)) {
      ++illegal_moves_;
      return fail(ErrorCode::internal,
                  "illegal move from " + std::string(to_string(a.row.state)) + " to " + std::string(to_string(m.to)));
    }
    set_state(a, m.to, m.detail);
    a.row.next_try_ms = m.next_try_ms;
    if (m.count_attempt) ++a.row.attempts;
    if (m.to == ActionState::dispatched && a.row.first_sent_at_ms == 0) a.row.first_sent_at_ms = clock_.wall_ms();
    if (!m.boot_id.empty()) a.row.boot_id = m.boot_id;
    Endpoint& e = endpoints_[a.row.endpoint_id];
    if (m.observed) e.observed = *m.observed;
    // An isolation that came to nothing leaves nothing to wish for.
    const bool void_now = m.to == ActionState::expired || m.to == ActionState::blocked || m.to == ActionState::failed;
    if (void_now && a.row.verb == Verb::isolate && a.row.generation == e.generation) e.desired = Isolation::released;
    return true;
  }

  Result<std::vector<Submitted>> submit(const ActionRequest& request) override {
    const std::lock_guard lock(mutex_);
    FB_TRY_VOID(may_write());
    std::vector<Submitted> out;
    const std::string request_id = new_uuid();
    for (const std::string& endpoint_id : request.endpoint_ids) {
      PlannedAction p;
      p.verb = request.verb;
      p.endpoint_id = endpoints_.contains(endpoint_id) ? endpoint_id : "";
      p.comment = request.comment;
      p.cause = request.idempotency_key.empty() ? request_id : request.idempotency_key;
      p.action_id = fb::action_id(p.verb, p.endpoint_id, p.cause);
      p.request_id = request_id;
      p.requested_by = request.requested_by;
      p.manual = true;
      p.override_protected = request.override_protected;
      p.lease_ms = request.lease_ms;
      FB_TRY(const Judgement j, keep_locked(p));
      const ActionState state =
          actions_.contains(p.action_id) ? actions_.at(p.action_id).row.state : ActionState::blocked;
      out.push_back({p.action_id, request_id, endpoint_id, state, std::string(to_string(j.guard)), j.detail});
    }
    return out;
  }

  Result<ActionState> decide(const std::string& id, bool approve, const std::string& who,
                             const std::string& comment) override {
    const std::lock_guard lock(mutex_);
    FB_TRY_VOID(may_write());
    const auto it = actions_.find(id);
    if (it == actions_.end()) return fail(ErrorCode::not_found, "no action " + id);
    FakeAction& a = it->second;
    if (a.row.state != ActionState::awaiting_approval) return fail(ErrorCode::conflict, "not waiting");
    if (!approve) {
      set_state(a, ActionState::denied, who + ": " + comment);
      return a.row.state;
    }
    PlannedAction again = a.planned;
    again.approved = true;
    FB_TRY(const Judgement j, ask(again));
    if (j.verdict == Verdict::would_act) {
      set_state(a, ActionState::requested, who + ": " + comment);
      intend(a);
    } else {
      set_state(a, j.verdict == Verdict::joined ? ActionState::superseded : ActionState::blocked, j.detail);
    }
    return a.row.state;
  }

  Status mark_stuck(const std::string& action_id, const std::string& why) override {
    const std::lock_guard lock(mutex_);
    FB_TRY_VOID(may_write());
    FakeAction& a = actions_.at(action_id);
    if (a.row.stuck_at_ms == 0) a.details.push_back("stuck: " + why);
    a.row.stuck_at_ms = clock_.wall_ms();
    return {};
  }
  Status add_token(const std::string& token_sha256, int64_t expires_at_ms) override {
    const std::lock_guard lock(mutex_);
    FB_TRY_VOID(may_write());
    tokens_[token_sha256] = expires_at_ms;
    return {};
  }
  Status seen(const EndpointReport& report) override {
    const std::lock_guard lock(mutex_);
    FB_TRY_VOID(may_write());
    const auto it = endpoints_.find(report.endpoint_id);
    if (it == endpoints_.end()) return fail(ErrorCode::not_found, "no endpoint " + report.endpoint_id);
    describe(it->second, report);
    it->second.generation = std::max(it->second.generation, report.generation);
    take_local_release(it->second, report.local_release);
    return {};
  }
  Status set_status(const std::string& endpoint_id, AgentStatus status, const std::string&) override {
    const std::lock_guard lock(mutex_);
    FB_TRY_VOID(may_write());
    const auto it = endpoints_.find(endpoint_id);
    if (it == endpoints_.end()) return fail(ErrorCode::not_found, "no endpoint " + endpoint_id);
    it->second.status = status;
    return {};
  }
  Result<std::vector<Endpoint>> endpoints() override {
    const std::lock_guard lock(mutex_);
    std::vector<Endpoint> all;
    for (const auto& [id, e] : endpoints_) all.push_back(e);
    return all;
  }

  Result<bool> is_protected(const std::string& endpoint_id) override {
    const std::lock_guard lock(mutex_);
    const auto it = endpoints_.find(endpoint_id);
    if (it == endpoints_.end()) return fail(ErrorCode::not_found, "no endpoint " + endpoint_id);
    return it->second.is_protected;
  }

  Result<bool> kill_switch() override {
    const std::lock_guard lock(mutex_);
    if (kill_switch_unreadable_) return fail(ErrorCode::busy, "the switch can't be read");
    return kill_switch_;
  }
  Status set_kill_switch(bool on, const std::string&, const std::string&) override {
    const std::lock_guard lock(mutex_);
    FB_TRY_VOID(may_write());
    kill_switch_ = on;
    return {};
  }
  void make_kill_switch_unreadable(bool unreadable) {
    const std::lock_guard lock(mutex_);
    kill_switch_unreadable_ = unreadable;
  }

  // --- Ledger: only from within a judgement, under the lock ---
  Result<EndpointFacts> endpoint(const std::string& endpoint_id) override {
    EndpointFacts f;
    const auto it = endpoints_.find(endpoint_id);
    if (it == endpoints_.end()) return f;
    const Endpoint& e = it->second;
    f.known = true;
    f.is_protected = e.is_protected;
    f.is_duplicate = e.is_duplicate;
    f.status = e.status;
    f.desired = e.desired;
    f.observed = e.observed;
    f.generation = e.generation;
    f.standing_isolate = e.desired == Isolation::isolated ? standing_[endpoint_id].action : "";
    f.standing_until_ms = e.desired == Isolation::isolated ? e.lease_until_ms : 0;
    f.released_at_ms = standing_[endpoint_id].released_at_ms;
    f.released_rule = standing_[endpoint_id].released_rule;
    for (const std::string& id : order_) {
      const FakeAction& a = actions_.at(id);
      if (a.row.endpoint_id != endpoint_id || a.row.verb != Verb::isolate || !is_open(a.row.state)) continue;
      const bool waits = a.row.state == ActionState::awaiting_approval;
      if (!f.open_isolate.empty() && (waits || !f.open_isolate_awaits_approval)) continue;
      f.open_isolate = id;
      f.open_isolate_awaits_approval = waits;
      f.open_lease_ms = a.row.lease_ms;
    }
    return f;
  }
  Result<int64_t> enrolled() override { return static_cast<int64_t>(endpoints_.size()); }
  Result<int64_t> rule_intents_since(const std::string& rule_id, int64_t since_ms) override {
    return intents([&](const FakeAction& a) { return a.row.rule_id == rule_id && a.intent_at_ms >= since_ms; });
  }
  Result<int64_t> auto_intents_since(int64_t since_ms) override {
    return intents([&](const FakeAction& a) { return a.intent_at_ms >= since_ms; });
  }
  Result<int64_t> standing_auto_isolations() override {
    int64_t count = 0;
    for (const auto& [id, e] : endpoints_) {
      if (e.desired == Isolation::isolated && !standing_[id].rule.empty()) ++count;
    }
    return count;
  }
  Result<bool> rule_tripped(const std::string& rule_id) override { return tripped_rules_.contains(rule_id); }
  Result<bool> fleet_tripped() override { return fleet_tripped_; }
  Status trip_rule(const std::string& rule_id, const std::string&) override {
    tripped_rules_.insert(rule_id);
    return {};
  }
  Status trip_fleet(const std::string&) override {
    fleet_tripped_ = true;
    return {};
  }
  Result<std::vector<Group>> groups_of(const std::string& endpoint_id) override {
    std::vector<Group> groups;
    const auto of = endpoints_.find(endpoint_id);
    if (of == endpoints_.end()) return groups;
    for (const std::string& tag : of->second.tags) {
      if (!tag.starts_with("group:") && !tag.starts_with("site:")) continue;
      Group g{tag};
      for (const auto& [id, e] : endpoints_) {
        if (std::find(e.tags.begin(), e.tags.end(), tag) == e.tags.end()) continue;
        ++g.members;
        if (id == endpoint_id || e.desired != Isolation::isolated) continue;
        ++g.isolated;
        if (!standing_[id].rule.empty()) ++g.isolated_auto;
      }
      groups.push_back(std::move(g));
    }
    return groups;
  }
  Result<int64_t> rule_first_seen(const std::string& rule_id, const std::string& rule_hash) override {
    return rule_seen_.try_emplace({rule_id, rule_hash}, clock_.wall_ms()).first->second;
  }
  Result<int64_t> rules_alerting_since(const std::string& endpoint_id, int64_t since_ms) override {
    const auto& rules = alerted_[endpoint_id];
    return std::count_if(rules.begin(), rules.end(), [since_ms](const auto& r) { return r.second >= since_ms; });
  }
  Result<bool> issued(const std::string& action_id, const std::string& endpoint_id, int64_t) override {
    const auto it = actions_.find(action_id);
    return it != actions_.end() && it->second.row.endpoint_id == endpoint_id && it->second.row.first_sent_at_ms > 0;
  }
  Result<std::vector<Maintenance>> maintenance_of(const std::string& endpoint_id, int64_t) override {
    const auto it = maintenance_.find(endpoint_id);
    return it == maintenance_.end() ? std::vector<Maintenance>{} : it->second;
  }

 private:
  struct Standing {
    std::string action;
    std::string rule;
    int64_t released_at_ms = 0;
    std::string released_rule;
  };

  Status may_write() {
    ++writes_;
    if (failures_left_ == 0) return {};
    --failures_left_;
    return tl::unexpected<Error>(failure_);
  }

  static void describe(Endpoint& e, const EndpointReport& r) {
    e.host_id = r.host_id;
    e.hostname = r.hostname;
    e.os = r.os;
    e.ips = r.ips;
    e.agent_version = r.agent_version;
    e.simulated = r.simulated;
    e.observed = r.observed;
    e.last_seen_ms = r.at_ms;
  }

  // Every one counts as proven. An isolation that was ordered since stands.
  void take_local_release(Endpoint& e, const LocalRelease& local) {
    if (local.sequence == 0) return;
    auto& known = local_releases_[e.endpoint_id];
    if (std::pair{local.generation, local.sequence} <= known) return;
    known = {local.generation, local.sequence};
    int64_t ordered = 0;
    for (const auto& [id, a] : actions_) {
      if (a.row.endpoint_id == e.endpoint_id) ordered = std::max(ordered, a.row.generation);
    }
    if (e.desired != Isolation::isolated || ordered > local.generation) return;
    e.desired = Isolation::released;
    e.lease_until_ms = 0;
    Standing& s = standing_[e.endpoint_id];
    s.released_at_ms = clock_.wall_ms();
    s.released_rule = s.rule;
    for (auto& [id, a] : actions_) {
      const bool open = a.row.endpoint_id == e.endpoint_id && a.row.verb == Verb::isolate && a.row.generation > 0 &&
                        a.row.generation <= local.generation && is_open(a.row.state);
      if (open && is_legal_move(a.row.state, ActionState::superseded)) {
        set_state(a, ActionState::superseded, "the host let itself back in");
      }
    }
  }

  static void set_state(FakeAction& a, ActionState to, const std::string& detail) {
    a.row.state = to;
    a.history.push_back(to);
    a.details.push_back(detail);
  }

  template <class Wanted>
  int64_t intents(const Wanted& counts) const {
    std::set<std::string> endpoints;
    for (const auto& [id, a] : actions_) {
      if (!a.manual && a.row.verb == Verb::isolate && a.intent_at_ms > 0 && counts(a))
        endpoints.insert(a.row.endpoint_id);
    }
    return static_cast<int64_t>(endpoints.size());
  }

  Result<Judgement> ask(const PlannedAction& p) {
    if (judge_ != nullptr) return judge_->judge(p, *this, clock_.wall_ms());
    if (p.endpoint_id.empty()) return Judgement{Verdict::blocked, Guard::unknown_target, "unknown", ""};
    return Judgement{Verdict::would_act, Guard::none, "", ""};
  }

  void intend(FakeAction& a) {
    a.intent_at_ms = clock_.wall_ms();
    Endpoint& e = endpoints_.at(a.row.endpoint_id);
    Standing& s = standing_[a.row.endpoint_id];
    a.row.generation = ++e.generation;
    if (tells_orders_) e.ordered_generation = e.generation;
    if (a.row.verb == Verb::isolate) {
      e.desired = Isolation::isolated;
      e.lease_until_ms = a.row.lease_ms > 0 ? clock_.wall_ms() + a.row.lease_ms : 0;
      s.action = a.row.action_id;
      s.rule = a.row.rule_id;
    } else {
      if (e.desired == Isolation::isolated) {
        s.released_at_ms = clock_.wall_ms();
        s.released_rule = s.rule;
      }
      e.desired = Isolation::released;
      e.lease_until_ms = 0;
    }
  }

  Result<Judgement> keep_locked(const PlannedAction& p) {
    if (const auto known = actions_.find(p.action_id); known != actions_.end()) return known->second.judgement;
    FB_TRY(const Judgement j, ask(p));
    if (j.verdict == Verdict::joined) return j;
    FakeAction a;
    a.planned = p;
    a.judgement = j;
    a.manual = p.manual;
    a.row.action_id = p.action_id;
    a.row.verb = p.verb;
    a.row.endpoint_id = p.endpoint_id;
    a.row.comment = p.comment;
    a.row.rule_id = p.rule ? p.rule->rule_id : "";
    a.row.lease_ms = p.lease_ms.value_or(0);
    a.row.created_at_ms = clock_.wall_ms();
    a.row.expires_at_ms = clock_.wall_ms() + kExpiryMs;
    a.row.override_protected = p.override_protected;
    a.row.event_base_ms = p.event_age_base_ms;
    ActionState state = ActionState::requested;
    if (j.verdict == Verdict::dry_run) state = ActionState::dry_run;
    if (j.verdict == Verdict::awaiting_approval) state = ActionState::awaiting_approval;
    if (j.verdict == Verdict::blocked) state = ActionState::blocked;
    set_state(a, state, j.detail);
    if (state == ActionState::requested) intend(a);
    order_.push_back(p.action_id);
    actions_.emplace(p.action_id, std::move(a));
    return j;
  }

  const Clock& clock_;
  Judge* const judge_;
  std::mutex mutex_;
  std::map<std::string, Endpoint> endpoints_;
  std::map<std::string, FakeAction> actions_;
  std::vector<std::string> order_;
  std::map<std::string, Standing> standing_;
  std::map<std::string, int64_t> tokens_;
  std::map<std::string, std::pair<int64_t, int64_t>> local_releases_;
  std::set<std::string> tripped_rules_;
  std::map<std::pair<std::string, std::string>, int64_t> rule_seen_;
  std::map<std::string, std::map<std::string, int64_t>> alerted_;  // endpoint -> rule -> last
  std::map<std::string, std::vector<Maintenance>> maintenance_;
  bool fleet_tripped_ = false;
  bool kill_switch_ = false;
  bool kill_switch_unreadable_ = false;
  int failures_left_ = 0;
  Error failure_;
  bool tells_orders_ = false;
  int illegal_moves_ = 0;
  int writes_ = 0;
};

}  // namespace fb::test
