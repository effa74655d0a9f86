// Endpoints as they speak and are read back; local releases; the kill switch and the breakers.
#include <algorithm>

#include "engine/base/text.h"
#include "engine/model/action_life.h"
#include "engine/record/impl.h"
#include "engine/record/rows.h"

namespace fb {

using record::Rows;
using record::Sqlite;
using record::Txn;
using record::Writer;

namespace {

constexpr int64_t kHeartbeatRowMs = 60'000;           // a heartbeat that says nothing new is written this often
constexpr int64_t kMaxGeneration = int64_t{1} << 53;  // an agent that claims more is wrong; room to count on
constexpr size_t kMaxWordBytes = 1024;                // one id, name or address of an endpoint
constexpr size_t kMaxAddresses = 256;
constexpr int64_t kHealthRestMs = 600'000;     // so long the audit tells of one endpoint's health only once
constexpr int64_t kLeaseToleranceMs = 60'000;  // how much earlier than ours a host's lease may be over

// A host that got a new agent is the new one's: an endpoint without a valid certificate gives it up to one that has.
constexpr const char* kDirectory =
    "SELECT e.endpoint_id, iif(e.host_id <> '' AND "
    "NOT EXISTS(SELECT 1 FROM credentials c WHERE c.endpoint_id = e.endpoint_id AND c.revoked_at = 0) AND "
    "EXISTS(SELECT 1 FROM endpoints o JOIN credentials c ON c.endpoint_id = o.endpoint_id AND c.revoked_at = 0 "
    "WHERE o.host_id = e.host_id AND o.endpoint_id <> e.endpoint_id), '', e.host_id) FROM endpoints e";

}  // namespace

Status Store::Impl::check_report(const EndpointReport& r) {
  if (r.endpoint_id.empty()) return fail(ErrorCode::invalid_argument, "an endpoint without an id");
  if (r.generation < 0 || r.generation > kMaxGeneration) {
    return fail(ErrorCode::invalid_argument, "generation " + std::to_string(r.generation) + " can't be", r.endpoint_id);
  }
  for (const std::string* word : {&r.endpoint_id, &r.host_id, &r.hostname, &r.os, &r.agent_version}) {
    if (word->size() > kMaxWordBytes || !is_utf8(*word)) {
      return fail(ErrorCode::invalid_argument, "an endpoint's id or name is too long or not UTF-8",
                  printable(r.endpoint_id.substr(0, 64)));
    }
  }
  if (r.ips.size() > kMaxAddresses) {
    return fail(ErrorCode::limit, "an endpoint tells of at most " + std::to_string(kMaxAddresses) + " addresses",
                r.endpoint_id);
  }
  if (r.epoch < 0 || r.epoch > kMaxGeneration || r.local_release.generation > kMaxGeneration ||
      r.local_release.sequence > kMaxGeneration) {
    return fail(ErrorCode::invalid_argument, "an epoch or a local release that can't be", r.endpoint_id);
  }
  return {};
}

namespace {

// Counters that move all the time do not count: they are written once a minute.
bool says_the_same(const EndpointReport& a, const EndpointReport& b) {
  return a.host_id == b.host_id && a.hostname == b.hostname && a.os == b.os && a.ips == b.ips &&
         a.agent_version == b.agent_version && a.simulated == b.simulated && a.observed == b.observed &&
         a.generation == b.generation && a.epoch == b.epoch && a.rule_digest == b.rule_digest &&
         a.policy_digest == b.policy_digest && a.drift_events == b.drift_events && a.problems == b.problems &&
         a.local_release.generation == b.local_release.generation &&
         a.local_release.sequence == b.local_release.sequence;
}

}  // namespace

void Store::Impl::forget_seen(const std::string& endpoint_id) {
  const std::lock_guard lock(seen_mutex);
  last_seen.erase(endpoint_id);
}

Status Store::Impl::load_directory(Sqlite& db) {
  std::vector<record::LiveDirectory::Entry> entries;
  FB_TRY(Rows rows, db.query(kDirectory));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) break;
    entries.push_back({rows.string(0), rows.string(1)});
  }
  directory.replace(entries);
  return {};
}

Status Store::Impl::load_contested(Sqlite& db) {
  FB_TRY(Rows rows, db.query("SELECT endpoint_id FROM endpoints WHERE duplicate_since > 0"));
  const std::lock_guard lock(seen_mutex);
  contested.clear();
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return {};
    contested.insert(rows.string(0));
  }
}

// What was read back. Only this makes an endpoint observed isolated.
Status Store::Impl::observe(Txn& txn, const std::string& endpoint_id, Isolation observed, int64_t generation, Told told,
                            const std::string& actor) {
  Isolation desired = Isolation::unknown;
  Isolation before = Isolation::unknown;
  bool drifted = false;
  bool had_agreed = false;
  {
    FB_TRY(Rows row,
           txn.db.query("SELECT desired, observed, observed_generation, drifted, "
                        "iif(desired = 'isolated', standing_isolate <> '', observed = 'released' OR released_at > 0) "
                        "FROM endpoints WHERE endpoint_id = ?",
                        endpoint_id));
    FB_TRY(const bool any, row.next());
    if (!any) return {};
    if (told == Told::in_answer && generation < row.integer(2)) return {};
    desired = from_string<Isolation>(row.text(0)).value_or(Isolation::unknown);
    before = from_string<Isolation>(row.text(1)).value_or(Isolation::unknown);
    drifted = row.integer(3) != 0;
    had_agreed = row.integer(4) != 0;
  }
  FB_TRY(
      const auto under_way,
      txn.db.integer("SELECT 1 FROM actions WHERE endpoint_id = ? AND state IN ('requested', 'queued', 'dispatched', "
                     "'unknown', 'accepted') LIMIT 1",
                     endpoint_id));
  bool drifts = drifted;
  if (observed == desired) {
    drifts = false;
  } else if (observed != Isolation::unknown && had_agreed && !under_way) {
    drifts = true;
  }
  // Clients take what is told of a host for older than its isolation as long as it was last seen before that.
  FB_TRY_VOID(txn.db.run(
      "UPDATE endpoints SET observed = ?2, observed_generation = max(observed_generation, ?3), drifted = ?4, "
      "last_seen = max(last_seen, ?5) WHERE endpoint_id = ?1",
      endpoint_id, to_string(observed), generation, drifts, txn.now_ms));
  if (observed != before) {
    FB_TRY_VOID(txn.audit(actor, "observed", endpoint_id,
                          std::string(to_string(before)) + " -> " + std::string(to_string(observed))));
  }
  if (drifts != drifted) {
    FB_TRY_VOID(txn.audit(actor, drifts ? "drifted" : "drift_ended", endpoint_id,
                          "wanted " + std::string(to_string(desired)) + ", is " + std::string(to_string(observed))));
  }
  return {};
}

Status Store::set_tags(const std::string& endpoint_id, const std::vector<std::string>& tags, const std::string& who,
                       const std::string& why) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    const std::string list = record::string_list_json(tags);
    FB_TRY(const int64_t changed,
           txn.db.change("UPDATE endpoints SET tags = ? WHERE endpoint_id = ?", list, endpoint_id));
    if (changed == 0) return fail(ErrorCode::not_found, "no endpoint has this id", endpoint_id);
    return txn.audit(who, "tagged", endpoint_id, list + (why.empty() ? "" : ": " + to_utf8(why)));
  });
}

Status Store::seen(const EndpointReport& told) {
  FB_TRY_VOID(Impl::check_report(told));
  EndpointReport report = told;
  if (is_contested(report.endpoint_id)) report.problems.emplace_back(kDuplicateIdentity);
  const int64_t now = impl_->clock->wall_ms();
  {
    const std::lock_guard lock(impl_->seen_mutex);
    const auto last = impl_->last_seen.find(report.endpoint_id);
    if (last != impl_->last_seen.end() && says_the_same(last->second.report, report) &&
        now >= last->second.written_ms && now - last->second.written_ms < kHeartbeatRowMs) {
      return {};
    }
  }
  const std::string actor = "agent:" + report.endpoint_id;
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    std::string status;
    {
      FB_TRY(Rows row,
             txn.db.query("SELECT agent_status, host_id FROM endpoints WHERE endpoint_id = ?", report.endpoint_id));
      FB_TRY(const bool any, row.next());
      if (!any) return fail(ErrorCode::not_found, "no endpoint has this id", report.endpoint_id);
      status = row.string(0);
      // Who an endpoint is stands since its enrolment: a heartbeat can't take over another host's events.
      if (!report.host_id.empty() && !row.text(1).empty() && row.text(1) != report.host_id) {
        return fail(ErrorCode::conflict,
                    "the endpoint enrolled with host.id " + row.string(1) + ", not " + report.host_id,
                    report.endpoint_id);
      }
    }
    FB_TRY_VOID(impl_->take_local_release(txn, report));
    const std::string trouble = impl_->trouble_of(report, now);
    const std::string is_now(to_string(trouble.empty() ? AgentStatus::online : AgentStatus::unhealthy));
    FB_TRY_VOID(
        txn.db.run("UPDATE endpoints SET hostname = ?2, os = ?3, ips = ?4, agent_version = ?5, simulated = ?6, "
                   "generation = max(generation, ?7), last_seen = ?8, agent_status = ?9, status_detail = ?10, "
                   "epoch = ?11, revision = ?12, rule_digest = ?13, policy_digest = ?14, drops = ?15, "
                   "drift_events = ?16, problems = ?17 WHERE endpoint_id = ?1",
                   report.endpoint_id, report.hostname, report.os, record::string_list_json(report.ips),
                   report.agent_version, report.simulated, report.generation, txn.now_ms, is_now, trouble, report.epoch,
                   report.revision, report.rule_digest, report.policy_digest, report.drops, report.drift_events,
                   record::string_list_json(report.problems)));
    FB_TRY_VOID(impl_->tell_health(txn, report.endpoint_id, status, is_now, trouble, actor));
    FB_TRY_VOID(
        impl_->observe(txn, report.endpoint_id, report.observed, report.generation, Impl::Told::in_heartbeat, actor));
    txn.after_commit.push_back([this, report, at = txn.now_ms] {
      const std::lock_guard lock(impl_->seen_mutex);
      impl_->last_seen.insert_or_assign(report.endpoint_id, Impl::LastSeen{report, at});
    });
    return {};
  });
}

// The first change is told at once. What changes to and fro within kHealthRestMs is counted, and told in one row when
// that time is over: a host can't fill the audit by its problems.
Status Store::Impl::tell_health(Txn& txn, const std::string& endpoint_id, const std::string& before,
                                const std::string& is_now, const std::string& trouble, const std::string& actor) {
  Health health;
  {
    const std::lock_guard lock(seen_mutex);
    health = healths[endpoint_id];
  }
  // This job may be made again, or undone: what was told is remembered once it is on disk.
  const auto remember = [&] {
    txn.after_commit.push_back([this, endpoint_id, health] {
      const std::lock_guard guard(seen_mutex);
      Health& now = healths[endpoint_id];
      now.told = health.told;
      now.told_ms = health.told_ms;
      now.changes = health.changes;
    });
  };
  if (before != is_now) ++health.changes;
  // Somebody else wrote the row (offline, enrolled anew): that is the last word now.
  const bool others = !health.told.empty() && before == to_string(AgentStatus::offline);
  if (health.told.empty() || others) health.told = before;
  const int64_t rested = txn.now_ms - health.told_ms;
  const bool nothing_new = health.told == is_now && health.changes < 2;
  if (nothing_new) health.changes = 0;
  if (nothing_new || (health.told_ms > 0 && !others && rested >= 0 && rested < kHealthRestMs)) {
    remember();
    return {};
  }
  std::string detail = trouble;
  if (health.changes > 1)
    detail += (detail.empty() ? "" : "; ") + std::string("changed ") + std::to_string(health.changes) +
              " times since it was last told";
  health.told = is_now;
  health.told_ms = txn.now_ms;
  health.changes = 0;
  remember();
  return txn.audit(actor, is_now, endpoint_id, detail);
}

// Why the endpoint counts as unhealthy, "" when it does not.
std::string Store::Impl::trouble_of(const EndpointReport& report, int64_t now_ms) {
  std::string why;
  for (const std::string& problem : report.problems) why += (why.empty() ? "" : "; ") + to_utf8(problem);
  const std::lock_guard lock(seen_mutex);
  Health& health = healths[report.endpoint_id];
  // A window of fixed size: what the host mended since its begin.
  const bool fresh = health.window_began_ms == 0 || report.drift_events < health.window_began_at;
  if (fresh || now_ms - health.window_began_ms >= options.drift_window_ms) {
    health.fights = !fresh && report.drift_events - health.window_began_at >= options.unhealthy_drift_events;
    health.window_began_ms = now_ms;
    health.window_began_at = report.drift_events;
  }
  const int64_t mended = report.drift_events - health.window_began_at;
  if (health.fights || mended >= options.unhealthy_drift_events) {
    why += (why.empty() ? "" : "; ") + std::string("something on the host keeps changing its isolation rules");
  }
  if (report.observed == Isolation::isolated) health.unproven = false;
  if (health.unproven) why += (why.empty() ? "" : "; ") + std::string("it let itself back in and could not prove why");
  return why;
}

// A host that let itself back in says so until it is told that we know. Each is judged once.
Status Store::Impl::take_local_release(Txn& txn, const EndpointReport& report) {
  const LocalRelease& local = report.local_release;
  if (local.how.empty()) return {};
  const std::string& id = report.endpoint_id;
  bool isolated = false;
  bool newer_order = false;
  {
    FB_TRY(Rows row, txn.db.query("SELECT desired, local_generation, local_sequence, ordered_generation FROM endpoints "
                                  "WHERE endpoint_id = ?",
                                  id));
    FB_TRY(const bool any, row.next());
    if (!any) return {};
    const bool known =
        local.generation < row.integer(1) || (local.generation == row.integer(1) && local.sequence <= row.integer(2));
    if (known) return {};
    isolated = row.text(0) == to_string(Isolation::isolated);
    newer_order = row.integer(3) > local.generation;
  }
  FB_TRY(const auto lease_over,
         txn.db.integer("SELECT 1 FROM actions WHERE endpoint_id = ?1 AND verb = 'isolate' AND generation = ?2 AND "
                        "lease_ms > 0 AND dispatched_at > 0 AND dispatched_at + lease_ms - ?3 <= ?4 LIMIT 1",
                        id, local.generation, kLeaseToleranceMs, txn.now_ms));
  const bool proven = local.how == "lease" ? lease_over.has_value()
                                           : options.local_release_proven && options.local_release_proven(id, local);
  FB_TRY_VOID(txn.db.run("UPDATE endpoints SET local_generation = ?2, local_sequence = ?3 WHERE endpoint_id = ?1", id,
                         local.generation, local.sequence));
  const std::string told = to_utf8(local.how) + ", generation " + std::to_string(local.generation);
  const std::string actor = "agent:" + id;
  if (!proven) {
    {
      const std::lock_guard lock(seen_mutex);
      healths[id].unproven = true;
    }
    return txn.audit(actor, "local_release_unproven", id, told);
  }
  FB_TRY_VOID(txn.audit(actor, "released_locally", id, told));
  // Whatever was ordered since: the isolation that it ended stands no more, nor does its lease.
  FB_TRY_VOID(
      txn.db.run("UPDATE endpoints SET released_at = ?2, released_rule = standing_rule, standing_isolate = '', "
                 "standing_rule = '', isolated_at = 0, lease_until = 0 WHERE endpoint_id = ?1 AND standing_isolate IN "
                 "(SELECT action_id FROM actions WHERE endpoint_id = ?1 AND generation BETWEEN 1 AND ?3)",
                 id, txn.now_ms, local.generation));
  // An isolation that was ordered since is wanted; the host will get it.
  if (!isolated || newer_order) return {};
  FB_TRY_VOID(
      txn.db.run("UPDATE endpoints SET desired = 'released', released_at = ?2, lease_until = 0 WHERE endpoint_id = ?1",
                 id, txn.now_ms));
  std::vector<std::pair<std::string, ActionState>> open;
  {
    FB_TRY(Rows rows,
           txn.db.query("SELECT action_id, state FROM actions WHERE endpoint_id = ? AND verb = 'isolate' AND "
                        "generation BETWEEN 1 AND ? AND state IN ('requested', 'queued', 'dispatched', 'unknown', "
                        "'accepted')",
                        id, local.generation));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) break;
      open.emplace_back(rows.string(0), from_string<ActionState>(rows.text(1)).value_or(ActionState::unknown));
    }
  }
  for (const auto& [action, state] : open) {
    if (!is_legal_move(state, ActionState::superseded)) continue;
    FB_TRY_VOID(end_action(txn, action, ActionState::superseded, actor, "the host let itself back in: " + told));
  }
  return {};
}

Status Store::set_status(const std::string& endpoint_id, AgentStatus asked, const std::string& why) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    AgentStatus status = asked;
    FB_TRY(const auto before, txn.db.text("SELECT agent_status FROM endpoints WHERE endpoint_id = ?", endpoint_id));
    if (!before) return fail(ErrorCode::not_found, "no endpoint has this id", endpoint_id);
    if (status == AgentStatus::online && is_contested(endpoint_id)) status = AgentStatus::unhealthy;
    if (*before == to_string(status)) return {};
    FB_TRY_VOID(txn.db.run("UPDATE endpoints SET agent_status = ?, status_detail = ? WHERE endpoint_id = ?",
                           to_string(status), to_utf8(why), endpoint_id));
    txn.after_commit.push_back([this, id = endpoint_id] { impl_->forget_seen(id); });
    return txn.audit("dispatcher", to_string(status), endpoint_id, to_utf8(why));
  });
}

Result<std::vector<Endpoint>> Store::endpoints() {
  return impl_->readers->with<std::vector<Endpoint>>([this](Sqlite& db) -> Result<std::vector<Endpoint>> {
    std::vector<Endpoint> list;
    FB_TRY(Rows rows, db.query("SELECT " FB_ENDPOINT_COLUMNS "FROM endpoints e ORDER BY e.endpoint_id"));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      list.push_back(record::endpoint(rows, impl_->protection));
    }
  });
}

Result<bool> Store::is_protected(const std::string& endpoint_id) {
  return impl_->readers->with<bool>([&](Sqlite& db) -> Result<bool> {
    record::DbLedger ledger(db, impl_->protection, 0);
    FB_TRY(const Ledger::EndpointFacts facts, ledger.endpoint(endpoint_id));
    if (!facts.known) return fail(ErrorCode::not_found, "no endpoint has this id", endpoint_id);
    return facts.is_protected;
  });
}

Result<bool> Store::kill_switch() {
  return impl_->kill_switch.load();
}

Status Store::set_kill_switch(bool on, const std::string& who, const std::string& why) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY_VOID(
        txn.db.run("INSERT INTO settings(key, value, set_by, why, set_at) VALUES('kill_switch', ?1, ?2, ?3, ?4) "
                   "ON CONFLICT DO UPDATE SET value = ?1, set_by = ?2, why = ?3, set_at = ?4",
                   on ? "on" : "off", who, to_utf8(why), txn.now_ms));
    FB_TRY_VOID(txn.audit(who, on ? "kill_switch_on" : "kill_switch_off", "", to_utf8(why)));
    txn.commit_now = true;  // what is judged next sees it
    txn.after_commit.push_back([this, on] { impl_->kill_switch = on; });
    return {};
  });
}

Result<bool> Store::reset_trip(const std::string& rule_id, const std::string& who, const std::string& why) {
  bool reset = false;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t changed,
           txn.db.change("UPDATE trips SET reset_at = ?, reset_by = ? WHERE scope = iif(?3 = '', 'fleet', 'rule') AND "
                         "rule_id = ?3 AND reset_at = 0",
                         txn.now_ms, who, rule_id));
    reset = changed > 0;
    if (!reset) return {};
    return txn.audit(who, rule_id.empty() ? "fleet_reset" : "rule_reset", rule_id.empty() ? "fleet" : rule_id,
                     to_utf8(why));
  }));
  return reset;
}

Status Store::mark_published(const std::vector<int64_t>& outbox_seqs) {
  if (outbox_seqs.empty()) return {};
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    for (const int64_t seq : outbox_seqs) FB_TRY_VOID(txn.db.run("DELETE FROM outbox WHERE seq = ?", seq));
    return {};
  });
}

Status Store::note(const std::string& actor, const std::string& what, const std::string& ref,
                   const std::string& detail) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    return txn.audit(to_utf8(actor), to_utf8(what), to_utf8(ref), to_utf8(detail));
  });
}

}  // namespace fb
