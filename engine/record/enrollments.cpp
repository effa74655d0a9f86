// Who may enrol, and with which certificate an endpoint is known: tokens, enrolments that wait for a person,
// certificates; the epoch of the service.
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

constexpr int64_t kAskAgainMs = 24 * 3'600'000;  // how long a key that asked to enrol gets its answer again
constexpr int64_t kMaxEpochJump = 1'000'000;     // an agent's epoch further ahead than this is no epoch of ours

}  // namespace

// The endpoint's row as its agent describes it on enrolment.
Status Store::Impl::write_enrolled(Txn& txn, const EndpointReport& agent) {
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
  FB_TRY_VOID(observe(txn, agent.endpoint_id, agent.observed, agent.generation, Told::in_heartbeat,
                      "agent:" + agent.endpoint_id));
  FB_TRY_VOID(txn.audit("agent:" + agent.endpoint_id, "enrolled", agent.endpoint_id,
                        "host " + agent.host_id + " (" + agent.hostname + "), agent " + agent.agent_version));
  reload_directory_after(txn, agent.endpoint_id);
  return {};
}

// The directory must know a change before the next batch is judged.
void Store::Impl::reload_directory_after(Txn& txn, const std::string& endpoint_id) {
  txn.commit_now = true;
  txn.after_commit.push_back([this, id = endpoint_id] {
    forget_seen(id);
    const auto loaded = readers->with<bool>([this](Sqlite& db) -> Result<bool> {
      FB_TRY_VOID(load_directory(db));
      return true;
    });
    if (!loaded)
      log(LogLevel::error, "directory_stale", "an enrolment is not seen yet", {{"error", loaded.error().describe()}});
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

Status Store::revoke_credentials(const std::string& endpoint_id, const std::string& who, const std::string& why) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t changed,
           txn.db.change("UPDATE credentials SET revoked_at = ? WHERE endpoint_id = ? AND revoked_at = 0", txn.now_ms,
                         endpoint_id));
    if (changed == 0) return fail(ErrorCode::not_found, "the endpoint has no credential that is valid", endpoint_id);
    // Its key may not come for another certificate on the strength of its old enrolment.
    FB_TRY_VOID(txn.db.run("DELETE FROM pending_enrollments WHERE agent_id = ?", endpoint_id));
    impl_->reload_directory_after(txn, endpoint_id);
    return txn.audit(who, "credential_revoked", endpoint_id, to_utf8(why));
  });
}

Result<Admission> Store::admit(const EndpointReport& agent, const std::string& key_sha256,
                               const std::string& token_sha256) {
  FB_TRY_VOID(Impl::check_report(agent));
  Admission answer = Admission::refused;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    answer = Admission::refused;
    const std::string& id = agent.endpoint_id;
    {
      FB_TRY(Rows row, txn.db.query("SELECT decided_at, approved, max(requested_at, decided_at) FROM "
                                    "pending_enrollments WHERE agent_id = ? AND request_sha256 = ?",
                                    id, key_sha256));
      FB_TRY(const bool asked, row.next());
      if (asked && row.integer(0) == 0) {
        answer = Admission::waits;
        return {};
      }
      if (asked && txn.now_ms - row.integer(2) < kAskAgainMs) {
        answer = row.integer(1) != 0 ? Admission::granted : Admission::denied;
        return {};
      }
    }
    FB_TRY(const int64_t used,
           txn.db.change("UPDATE tokens SET used_at = ?1 WHERE sha256 = ?2 AND used_at = 0 AND expires_at > ?1",
                         txn.now_ms, token_sha256));
    if (used == 0) return {};
    FB_TRY_VOID(txn.audit("record", "token_used", token_sha256.substr(0, 12), ""));
    FB_TRY(const auto known,
           txn.db.text("SELECT e.endpoint_id FROM endpoints e JOIN credentials c ON c.endpoint_id = e.endpoint_id AND "
                       "c.revoked_at = 0 WHERE e.endpoint_id = ?1 OR (e.host_id = ?2 AND ?2 <> '') "
                       "ORDER BY e.endpoint_id <> ?1 LIMIT 1",
                       id, agent.host_id));
    answer = known ? Admission::waits : Admission::granted;
    FB_TRY_VOID(txn.db.run(
        "INSERT OR REPLACE INTO pending_enrollments(agent_id, host_id, hostname, os, ips, agent_version, "
        "known_endpoint, request_sha256, requested_at, decided_by, decided_at, approved) "
        "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
        id, agent.host_id, agent.hostname, agent.os, record::string_list_json(agent.ips), agent.agent_version,
        known.value_or(""), key_sha256, txn.now_ms, known ? "" : "token", known ? int64_t{0} : txn.now_ms, !known));
    if (!known) return {};
    return txn.audit("agent:" + id, "enrollment_waits", id,
                     "host " + agent.host_id + " (" + agent.hostname + ") is known as endpoint " + *known);
  }));
  return answer;
}

Status Store::keep_agent(const EndpointReport& agent, const std::string& certificate_sha256, int64_t expires_at_ms,
                         std::vector<std::string>* replaced) {
  FB_TRY_VOID(Impl::check_report(agent));
  if (certificate_sha256.empty()) return fail(ErrorCode::invalid_argument, "an enrolment without a certificate");
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    replaced->clear();
    const std::string& id = agent.endpoint_id;
    FB_TRY(const auto granted,
           txn.db.integer("SELECT 1 FROM pending_enrollments WHERE agent_id = ? AND approved = 1", id));
    if (!granted) return fail(ErrorCode::conflict, "this enrolment is granted no longer", id);
    {
      FB_TRY(Rows rows, txn.db.query("SELECT DISTINCT e.endpoint_id FROM endpoints e JOIN credentials c ON "
                                     "c.endpoint_id = e.endpoint_id AND c.revoked_at = 0 "
                                     "WHERE e.endpoint_id = ?1 OR (e.host_id = ?2 AND ?2 <> '')",
                                     id, agent.host_id));
      for (;;) {
        FB_TRY(const bool more, rows.next());
        if (!more) break;
        replaced->push_back(rows.string(0));
      }
    }
    for (const std::string& old : *replaced) {
      FB_TRY_VOID(txn.db.run("UPDATE credentials SET revoked_at = ? WHERE endpoint_id = ? AND revoked_at = 0",
                             txn.now_ms, old));
      FB_TRY_VOID(txn.audit("record", "credential_revoked", old, "agent " + id + " enrolled in its place"));
    }
    FB_TRY_VOID(impl_->write_enrolled(txn, agent));
    FB_TRY_VOID(impl_->end_contest(txn, id));  // whoever had the identity before is out
    return impl_->add_certificate(txn, id, certificate_sha256, expires_at_ms);
  });
}

Status Store::Impl::add_certificate(Txn& txn, const std::string& endpoint_id, const std::string& sha256,
                                    int64_t expires_at_ms) {
  // Later than every other of the endpoint, even within one millisecond: what is older goes by this.
  return txn.db.run(
      "INSERT INTO credentials(sha256, endpoint_id, created_at, expires_at) SELECT ?1, ?2, "
      "max(?3, 1 + coalesce((SELECT max(created_at) FROM credentials WHERE endpoint_id = ?2), 0)), ?4",
      sha256, endpoint_id, txn.now_ms, expires_at_ms);
}

Status Store::add_certificate(const std::string& endpoint_id, const std::string& certificate_sha256,
                              int64_t expires_at_ms) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const auto valid,
           txn.db.integer("SELECT 1 FROM credentials WHERE endpoint_id = ? AND revoked_at = 0 LIMIT 1", endpoint_id));
    if (!valid) return fail(ErrorCode::refused, "the endpoint's certificate was revoked", endpoint_id);
    FB_TRY_VOID(impl_->add_certificate(txn, endpoint_id, certificate_sha256, expires_at_ms));
    return txn.audit("agent:" + endpoint_id, "certificate_renewed", endpoint_id, certificate_sha256.substr(0, 12));
  });
}

Result<std::string> Store::use_certificate(const std::string& certificate_sha256) {
  std::string endpoint;
  bool first_use = false;
  FB_TRY_VOID(impl_->readers
                  ->with<bool>([&](Sqlite& db) -> Result<bool> {
                    FB_TRY(Rows row,
                           db.query("SELECT c.endpoint_id, EXISTS(SELECT 1 FROM credentials o WHERE o.endpoint_id = "
                                    "c.endpoint_id AND o.revoked_at = 0 AND o.created_at < c.created_at) OR EXISTS("
                                    "SELECT 1 FROM pending_enrollments p WHERE p.agent_id = c.endpoint_id AND "
                                    "p.approved = 1) FROM credentials c WHERE c.sha256 = ? AND c.revoked_at = 0",
                                    certificate_sha256));
                    FB_TRY(const bool any, row.next());
                    if (!any) return false;
                    endpoint = row.string(0);
                    first_use = row.integer(1) != 0;
                    return true;
                  })
                  .map([](bool) {}));
  if (!first_use) return endpoint;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t revoked,
           txn.db.change("UPDATE credentials SET revoked_at = ?1 WHERE endpoint_id = ?2 AND revoked_at = 0 AND "
                         "created_at < (SELECT created_at FROM credentials WHERE sha256 = ?3)",
                         txn.now_ms, endpoint, certificate_sha256));
    // The answer to its enrolment has arrived: its key gets no other one.
    FB_TRY_VOID(txn.db.run("DELETE FROM pending_enrollments WHERE agent_id = ? AND approved = 1", endpoint));
    if (revoked == 0) return {};
    return txn.audit("record", "credential_revoked", endpoint, "its new certificate is in use");
  }));
  return endpoint;
}

Status Store::decide_enrollment(const std::string& agent_id, bool approve, const std::string& who,
                                const std::string& why) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t changed,
           txn.db.change("UPDATE pending_enrollments SET decided_by = ?, decided_at = ?, approved = ? "
                         "WHERE agent_id = ? AND decided_at = 0",
                         who, txn.now_ms, approve, agent_id));
    if (changed == 0) {
      FB_TRY(const auto contested,
             txn.db.integer("SELECT duplicate_since > 0 FROM endpoints WHERE endpoint_id = ?", agent_id));
      if (!approve || contested.value_or(0) == 0) {
        return fail(ErrorCode::not_found, "no enrolment of this agent waits for a decision", agent_id);
      }
      FB_TRY_VOID(impl_->end_contest(txn, agent_id));
      return txn.audit(who, "identity_approved", agent_id, to_utf8(why));
    }
    return txn.audit(who, approve ? "enrollment_approved" : "enrollment_denied", agent_id, to_utf8(why));
  });
}

// Rows and memory together: what is asked from memory must not run ahead of the disk.
Status Store::contest(const std::string& endpoint_id, const std::string& why) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const auto since,
           txn.db.integer("SELECT duplicate_since FROM endpoints WHERE endpoint_id = ?", endpoint_id));
    if (!since) return fail(ErrorCode::not_found, "no endpoint has this id", endpoint_id);
    if (*since > 0) return {};
    FB_TRY(const auto problems, txn.db.text("SELECT problems FROM endpoints WHERE endpoint_id = ?", endpoint_id));
    std::vector<std::string> list = record::string_list(problems.value_or("[]"));
    list.emplace_back(kDuplicateIdentity);
    FB_TRY_VOID(
        txn.db.run("UPDATE endpoints SET duplicate_since = ?2, agent_status = 'unhealthy', status_detail = ?3, "
                   "problems = ?4 WHERE endpoint_id = ?1",
                   endpoint_id, txn.now_ms, kDuplicateIdentity, record::string_list_json(list)));
    txn.commit_now = true;
    txn.after_commit.push_back([this, id = endpoint_id] {
      const std::lock_guard lock(impl_->seen_mutex);
      impl_->contested.insert(id);
      impl_->last_seen.erase(id);
    });
    return txn.audit("service", kDuplicateIdentity, endpoint_id, to_utf8(why));
  });
}

Status Store::Impl::end_contest(Txn& txn, const std::string& endpoint_id) {
  FB_TRY(const auto problems, txn.db.text("SELECT problems FROM endpoints WHERE endpoint_id = ?", endpoint_id));
  std::vector<std::string> list = record::string_list(problems.value_or("[]"));
  std::erase(list, kDuplicateIdentity);
  FB_TRY_VOID(txn.db.run("UPDATE endpoints SET duplicate_since = 0, problems = ?2 WHERE endpoint_id = ?1", endpoint_id,
                         record::string_list_json(list)));
  txn.commit_now = true;
  txn.after_commit.push_back([this, id = endpoint_id] {
    const std::lock_guard lock(seen_mutex);
    contested.erase(id);
    last_seen.erase(id);
  });
  return {};
}

bool Store::is_contested(const std::string& endpoint_id) const {
  const std::lock_guard lock(impl_->seen_mutex);
  return impl_->contested.contains(endpoint_id);
}

Result<std::vector<AgentRow>> Store::agents() {
  return impl_->readers->with<std::vector<AgentRow>>([](Sqlite& db) -> Result<std::vector<AgentRow>> {
    std::vector<AgentRow> list;
    FB_TRY(Rows rows,
           db.query("SELECT e.endpoint_id, e.host_id, e.hostname, e.agent_status, e.status_detail, e.agent_version, "
                    "e.observed, e.problems, e.last_seen, "
                    "(SELECT max(c.expires_at) FROM credentials c WHERE c.endpoint_id = e.endpoint_id AND "
                    "c.revoked_at = 0) FROM endpoints e "
                    "UNION ALL SELECT agent_id, host_id, hostname, iif(decided_at = 0, 'pending', 'denied'), "
                    "iif(known_endpoint = '', '', 'known as ' || known_endpoint), agent_version, 'unknown', '[]', "
                    "requested_at, 0 FROM pending_enrollments WHERE approved = 0 ORDER BY 3, 1"));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      AgentRow a;
      a.endpoint_id = rows.string(0);
      a.host_id = rows.string(1);
      a.hostname = rows.string(2);
      a.status = rows.string(3);
      a.detail = rows.string(4);
      a.version = rows.string(5);
      a.observed = rows.string(6);
      a.problems = record::string_list(rows.text(7));
      a.last_seen_ms = rows.integer(8);
      a.revoked = rows.is_null(9);
      a.certificate_until_ms = a.revoked ? 0 : rows.integer(9);
      list.push_back(std::move(a));
    }
  });
}

Result<int64_t> Store::isolation_generation(const std::string& endpoint_id) {
  FB_TRY(const auto generation,
         impl_->readers->with<std::optional<int64_t>>([&](Sqlite& db) -> Result<std::optional<int64_t>> {
           return db.integer(
               "SELECT max(a.generation) FROM actions a JOIN endpoints e USING(endpoint_id) WHERE "
               "a.endpoint_id = ? AND a.verb = 'isolate' AND a.dispatched_at > 0 AND "
               "(a.action_id = e.standing_isolate OR a.state IN ('dispatched', 'unknown', 'accepted') OR "
               "(e.observed = 'isolated' AND a.generation <= e.observed_generation))",
               endpoint_id);
         }));
  return generation.value_or(0);
}

Result<int64_t> Store::raise_epoch(int64_t above) {
  int64_t epoch = 0;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const auto text, txn.db.text("SELECT value FROM settings WHERE key = 'epoch'"));
    const int64_t stored = text ? std::strtoll(text->c_str(), nullptr, 10) : 0;
    FB_TRY(const auto reported,
           txn.db.integer("SELECT max(epoch) FROM endpoints WHERE epoch <= ?", stored + kMaxEpochJump));
    epoch = std::max({stored, above, reported.value_or(0)}) + 1;
    FB_TRY_VOID(
        txn.db.run("INSERT INTO settings(key, value, set_by, why, set_at) VALUES('epoch', ?1, 'service', '', ?2) "
                   "ON CONFLICT DO UPDATE SET value = ?1, set_at = ?2",
                   std::to_string(epoch), txn.now_ms));
    return txn.audit("service", "epoch", std::to_string(epoch), "");
  }));
  return epoch;
}

}  // namespace fb
