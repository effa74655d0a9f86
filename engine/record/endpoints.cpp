// Endpoints as they enrol, speak and are read back; their credentials; the kill switch and the breakers.
#include <algorithm>

#include "engine/base/log.h"
#include "engine/base/text.h"
#include "engine/record/impl.h"

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

Status check_report(const EndpointReport& r) {
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
  return {};
}

bool says_the_same(const EndpointReport& a, const EndpointReport& b) {
  return a.host_id == b.host_id && a.hostname == b.hostname && a.os == b.os && a.ips == b.ips &&
         a.agent_version == b.agent_version && a.simulated == b.simulated && a.observed == b.observed &&
         a.generation == b.generation;
}

}  // namespace

void Store::Impl::forget_seen(const std::string& endpoint_id) {
  const std::lock_guard lock(seen_mutex);
  last_seen.erase(endpoint_id);
}

Status Store::Impl::load_directory(Sqlite& db) {
  std::vector<record::LiveDirectory::Entry> entries;
  FB_TRY(Rows rows, db.query("SELECT endpoint_id, host_id FROM endpoints"));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) break;
    entries.push_back({rows.string(0), rows.string(1)});
  }
  directory.replace(entries);
  return {};
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
  FB_TRY_VOID(
      txn.db.run("UPDATE endpoints SET observed = ?2, observed_generation = max(observed_generation, ?3), drifted = ?4 "
                 "WHERE endpoint_id = ?1",
                 endpoint_id, to_string(observed), generation, drifts));
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

Status Store::enroll(const EndpointReport& agent, const std::string& credential_sha256) {
  FB_TRY_VOID(check_report(agent));
  if (credential_sha256.empty()) return fail(ErrorCode::invalid_argument, "an enrolment without a credential");
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    if (!agent.host_id.empty()) {
      FB_TRY(const auto other, txn.db.text("SELECT endpoint_id FROM endpoints WHERE host_id = ? AND endpoint_id <> ?",
                                           agent.host_id, agent.endpoint_id));
      if (other) {
        return fail(ErrorCode::already_exists, "host " + agent.host_id + " is enrolled as endpoint " + *other,
                    agent.endpoint_id);
      }
    }
    FB_TRY(const auto standing,
           txn.db.text("SELECT sha256 FROM credentials WHERE endpoint_id = ? AND revoked_at = 0 LIMIT 1",
                       agent.endpoint_id));
    if (standing && *standing == credential_sha256) return {};  // the answer was lost and the agent asks again
    if (standing) {
      return fail(ErrorCode::already_exists, "endpoint " + agent.endpoint_id +
                                                 " is enrolled; its credential must be revoked before it enrols again");
    }
    FB_TRY(const auto revoked,
           txn.db.integer("SELECT 1 FROM credentials WHERE sha256 = ? AND (revoked_at > 0 OR endpoint_id <> ?)",
                          credential_sha256, agent.endpoint_id));
    if (revoked)
      return fail(ErrorCode::refused, "this credential was revoked or is another endpoint's", agent.endpoint_id);
    FB_TRY_VOID(
        txn.db.run("INSERT INTO endpoints(endpoint_id, host_id, hostname, os, ips, agent_version, agent_status, "
                   "simulated, observed, "
                   "observed_generation, generation, enrolled_at, last_seen) "
                   "VALUES(?1,?2,?3,?4,?5,?6,'online',?7,?8,?9,?9,?10,?10) "
                   "ON CONFLICT DO UPDATE SET host_id = ?2, hostname = ?3, os = ?4, ips = ?5, agent_version = ?6, "
                   "agent_status = 'online', simulated = ?7, observed_generation = max(observed_generation, ?9), "
                   "generation = max(generation, ?9), last_seen = ?10",
                   agent.endpoint_id, agent.host_id, agent.hostname, agent.os, record::string_list_json(agent.ips),
                   agent.agent_version, agent.simulated, to_string(agent.observed), agent.generation, txn.now_ms));
    FB_TRY_VOID(
        txn.db.run("INSERT INTO credentials(sha256, endpoint_id, created_at) VALUES(?,?,?) ON CONFLICT DO NOTHING",
                   credential_sha256, agent.endpoint_id, txn.now_ms));
    FB_TRY_VOID(impl_->observe(txn, agent.endpoint_id, agent.observed, agent.generation, Impl::Told::in_heartbeat,
                               "agent:" + agent.endpoint_id));
    FB_TRY_VOID(txn.audit("agent:" + agent.endpoint_id, "enrolled", agent.endpoint_id,
                          "host " + agent.host_id + " (" + agent.hostname + "), agent " + agent.agent_version));
    txn.commit_now = true;  // the directory must know it before the next batch is judged
    txn.after_commit.push_back([this, id = agent.endpoint_id] {
      impl_->forget_seen(id);
      const Status loaded = impl_->readers
                                ->with<bool>([this](Sqlite& db) -> Result<bool> {
                                  FB_TRY_VOID(impl_->load_directory(db));
                                  return true;
                                })
                                .map([](bool) {});
      if (!loaded)
        log(LogLevel::error, "directory_stale", "an enrolment is not seen yet", {{"error", loaded.error().describe()}});
    });
    return {};
  });
}

Status Store::add_token(const std::string& token_sha256, int64_t expires_at_ms) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t added,
           txn.db.change("INSERT INTO tokens(sha256, created_at, expires_at) VALUES(?,?,?) ON CONFLICT DO NOTHING",
                         token_sha256, txn.now_ms, expires_at_ms));
    if (added == 0) return fail(ErrorCode::already_exists, "this enrolment token is there already");
    return txn.audit("record", "token_added", token_sha256.substr(0, 12), "");
  });
}

Result<bool> Store::use_token(const std::string& token_sha256, int64_t now_ms) {
  bool used = false;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t changed, txn.db.change("UPDATE tokens SET used_at = ?1 WHERE sha256 = ?2 AND used_at = 0 AND "
                                                "expires_at > ?1",
                                                now_ms, token_sha256));
    used = changed == 1;
    if (!used) return {};
    return txn.audit("record", "token_used", token_sha256.substr(0, 12), "");
  }));
  return used;
}

Result<std::string> Store::endpoint_of_credential(const std::string& credential_sha256) {
  return impl_->readers->with<std::string>([&](Sqlite& db) -> Result<std::string> {
    FB_TRY(auto found,
           db.text("SELECT endpoint_id FROM credentials WHERE sha256 = ? AND revoked_at = 0", credential_sha256));
    return std::move(found).value_or("");
  });
}

Status Store::revoke_credentials(const std::string& endpoint_id, const std::string& who, const std::string& why) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t changed,
           txn.db.change("UPDATE credentials SET revoked_at = ? WHERE endpoint_id = ? AND revoked_at = 0", txn.now_ms,
                         endpoint_id));
    if (changed == 0) return fail(ErrorCode::not_found, "the endpoint has no credential that is valid", endpoint_id);
    return txn.audit(who, "credential_revoked", endpoint_id, to_utf8(why));
  });
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

Status Store::seen(const EndpointReport& report) {
  FB_TRY_VOID(check_report(report));
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
    // Reported means heard of, so it comes back online; an unhealthy one stays so until it is said to be well.
    const bool comes_back = status == to_string(AgentStatus::offline);
    FB_TRY_VOID(
        txn.db.run("UPDATE endpoints SET hostname = ?2, os = ?3, ips = ?4, agent_version = ?5, simulated = ?6, "
                   "generation = max(generation, ?7), last_seen = ?8, "
                   "agent_status = iif(?9, 'online', agent_status), status_detail = iif(?9, '', status_detail) "
                   "WHERE endpoint_id = ?1",
                   report.endpoint_id, report.hostname, report.os, record::string_list_json(report.ips),
                   report.agent_version, report.simulated, report.generation, txn.now_ms, comes_back));
    if (comes_back) FB_TRY_VOID(txn.audit(actor, "online", report.endpoint_id, ""));
    FB_TRY_VOID(
        impl_->observe(txn, report.endpoint_id, report.observed, report.generation, Impl::Told::in_heartbeat, actor));
    txn.after_commit.push_back([this, report, at = txn.now_ms] {
      const std::lock_guard lock(impl_->seen_mutex);
      impl_->last_seen.insert_or_assign(report.endpoint_id, Impl::LastSeen{report, at});
    });
    return {};
  });
}

Status Store::set_status(const std::string& endpoint_id, AgentStatus status, const std::string& why) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const auto before, txn.db.text("SELECT agent_status FROM endpoints WHERE endpoint_id = ?", endpoint_id));
    if (!before) return fail(ErrorCode::not_found, "no endpoint has this id", endpoint_id);
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
    FB_TRY(Rows rows,
           db.query("SELECT endpoint_id, host_id, hostname, os, ips, tags, agent_version, agent_status, desired, "
                    "observed, simulated, generation, ordered_generation, lease_until, last_seen FROM endpoints "
                    "ORDER BY endpoint_id"));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      Endpoint e;
      e.endpoint_id = rows.string(0);
      e.host_id = rows.string(1);
      e.hostname = rows.string(2);
      e.os = rows.string(3);
      e.ips = record::string_list(rows.text(4));
      e.tags = record::string_list(rows.text(5));
      e.agent_version = rows.string(6);
      e.status = from_string<AgentStatus>(rows.text(7)).value_or(AgentStatus::offline);
      e.desired = from_string<Isolation>(rows.text(8)).value_or(Isolation::unknown);
      e.observed = from_string<Isolation>(rows.text(9)).value_or(Isolation::unknown);
      e.simulated = rows.integer(10) != 0;
      e.generation = rows.integer(11);
      e.ordered_generation = rows.integer(12);
      e.lease_until_ms = rows.integer(13);
      e.last_seen_ms = rows.integer(14);
      e.is_protected = impl_->protection.covers(e.endpoint_id, e.host_id, e.hostname, e.tags);
      list.push_back(std::move(e));
    }
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
