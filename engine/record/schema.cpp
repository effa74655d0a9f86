#include "engine/record/schema.h"

#include <array>

#include "engine/base/failpoint.h"

namespace fb::record {
namespace {

// Times are Unix milliseconds, 0 where there is none; the views tell them as text. Words are those of model/names.h.
constexpr const char* kVersion1 = R"sql(
CREATE TABLE meta(
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each partition is handled: everything below next_offset is in this record.
CREATE TABLE offsets(
  cluster TEXT NOT NULL,
  topic TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  rule_set_hash TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY(cluster, topic, epoch, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE alerts(
  seq INTEGER PRIMARY KEY,
  alert_id TEXT NOT NULL UNIQUE,
  rule_id TEXT NOT NULL,
  rule_name TEXT NOT NULL,
  rule_hash TEXT NOT NULL,
  rule_set_hash TEXT NOT NULL,
  severity TEXT NOT NULL,
  risk_score INTEGER NOT NULL,
  cluster TEXT NOT NULL,
  topic TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  event_time INTEGER NOT NULL,
  read_time INTEGER NOT NULL,
  broker_time INTEGER NOT NULL,
  kept_at INTEGER NOT NULL,
  agent_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  host_name TEXT NOT NULL,
  ambiguous INTEGER NOT NULL,
  endpoint_id TEXT NOT NULL,
  group_key TEXT NOT NULL,
  doc TEXT NOT NULL,
  source BLOB NOT NULL
) STRICT;
CREATE INDEX alerts_by_rule ON alerts(rule_id, seq);
CREATE INDEX alerts_by_endpoint ON alerts(endpoint_id, seq);

CREATE TABLE endpoints(
  endpoint_id TEXT PRIMARY KEY,
  host_id TEXT NOT NULL,
  hostname TEXT NOT NULL,
  os TEXT NOT NULL,
  ips TEXT NOT NULL,
  tags TEXT NOT NULL DEFAULT '[]',
  agent_version TEXT NOT NULL,
  agent_status TEXT NOT NULL,
  status_detail TEXT NOT NULL DEFAULT '',
  simulated INTEGER NOT NULL,
  desired TEXT NOT NULL DEFAULT 'released',
  observed TEXT NOT NULL DEFAULT 'unknown',
  observed_generation INTEGER NOT NULL DEFAULT 0,
  drifted INTEGER NOT NULL DEFAULT 0,
  generation INTEGER NOT NULL DEFAULT 0,
  ordered_generation INTEGER NOT NULL DEFAULT 0,
  standing_isolate TEXT NOT NULL DEFAULT '',
  standing_rule TEXT NOT NULL DEFAULT '',
  isolated_at INTEGER NOT NULL DEFAULT 0,
  lease_until INTEGER NOT NULL DEFAULT 0,
  released_at INTEGER NOT NULL DEFAULT 0,
  released_rule TEXT NOT NULL DEFAULT '',
  enrolled_at INTEGER NOT NULL,
  last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX endpoints_by_host ON endpoints(host_id) WHERE host_id <> '';
CREATE INDEX endpoints_standing ON endpoints(standing_rule) WHERE standing_isolate <> '';

-- Only hashes: a stolen copy of the record lets nobody in.
CREATE TABLE credentials(
  sha256 TEXT PRIMARY KEY,
  endpoint_id TEXT NOT NULL REFERENCES endpoints(endpoint_id),
  created_at INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_by_endpoint ON credentials(endpoint_id);
CREATE TABLE tokens(
  sha256 TEXT PRIMARY KEY,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What people asked for; one request may be about many endpoints.
CREATE TABLE requests(
  request_id TEXT PRIMARY KEY,
  idempotency_key TEXT UNIQUE,
  body_hash TEXT NOT NULL,
  verb TEXT NOT NULL,
  comment TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE actions(
  seq INTEGER PRIMARY KEY,
  action_id TEXT NOT NULL UNIQUE,
  request_id TEXT NOT NULL,
  alert_id TEXT NOT NULL,
  rule_id TEXT NOT NULL,
  rule_hash TEXT NOT NULL,
  verb TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  host_name TEXT NOT NULL,
  ambiguous INTEGER NOT NULL,
  comment TEXT NOT NULL,
  cause TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  manual INTEGER NOT NULL,
  override_protected INTEGER NOT NULL,
  ceiling TEXT NOT NULL,
  event_age_base INTEGER NOT NULL,
  lease_ms INTEGER NOT NULL,
  state TEXT NOT NULL,
  verdict TEXT NOT NULL,
  guard TEXT NOT NULL,
  detail TEXT NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  intent_at INTEGER NOT NULL DEFAULT 0,
  expires_at INTEGER NOT NULL DEFAULT 0,
  next_try INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  boot_id TEXT NOT NULL DEFAULT '',
  dispatched_at INTEGER NOT NULL DEFAULT 0,
  finished_at INTEGER NOT NULL DEFAULT 0,
  decided_by TEXT NOT NULL DEFAULT '',
  decided_at INTEGER NOT NULL DEFAULT 0,
  decision_comment TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX actions_open ON actions(endpoint_id, verb)
  WHERE state IN ('requested', 'awaiting_approval', 'queued', 'dispatched', 'unknown', 'accepted');
CREATE INDEX actions_by_request ON actions(request_id);
CREATE INDEX actions_by_endpoint ON actions(endpoint_id, seq);
CREATE INDEX actions_auto_intents ON actions(intent_at) WHERE manual = 0 AND intent_at > 0;

-- What the guard said of every planned action, joined ones too.
CREATE TABLE verdicts(
  action_id TEXT PRIMARY KEY,
  alert_id TEXT NOT NULL,
  request_id TEXT NOT NULL,
  rule_id TEXT NOT NULL,
  verb TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  verdict TEXT NOT NULL,
  guard TEXT NOT NULL,
  detail TEXT NOT NULL,
  joined_action TEXT NOT NULL,
  judged_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX verdicts_by_alert ON verdicts(alert_id) WHERE alert_id <> '';
CREATE INDEX verdicts_by_request ON verdicts(request_id);

-- Which alerts stand behind an action: its first one and every one that joined it.
CREATE TABLE action_alerts(
  action_id TEXT NOT NULL REFERENCES actions(action_id),
  alert_id TEXT NOT NULL,
  PRIMARY KEY(action_id, alert_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX action_alerts_by_alert ON action_alerts(alert_id);

CREATE TABLE dead_letters(
  seq INTEGER PRIMARY KEY,
  cluster TEXT NOT NULL,
  topic TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  raw BLOB NOT NULL,
  at INTEGER NOT NULL,
  UNIQUE(cluster, topic, epoch, partition, "offset")
) STRICT;

-- Alerts not yet published to the alerts topic; a row goes when the broker has it.
CREATE TABLE outbox(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  alert_id TEXT NOT NULL REFERENCES alerts(alert_id),
  key TEXT NOT NULL
) STRICT;

CREATE TABLE trips(
  seq INTEGER PRIMARY KEY,
  scope TEXT NOT NULL,
  rule_id TEXT NOT NULL,
  why TEXT NOT NULL,
  tripped_at INTEGER NOT NULL,
  reset_at INTEGER NOT NULL DEFAULT 0,
  reset_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX trips_standing ON trips(scope, rule_id) WHERE reset_at = 0;

CREATE TABLE settings(
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  set_by TEXT NOT NULL,
  why TEXT NOT NULL,
  set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Append-only; each row's hash covers the row and the hash before it.
CREATE TABLE audit(
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  what TEXT NOT NULL,
  ref TEXT NOT NULL,
  detail TEXT NOT NULL,
  prev TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

-- For people: columns that stay, times as text.
CREATE VIEW v_alerts(alert_id, rule_id, rule_name, severity, risk_score, endpoint_id, timestamp, topic, partition,
                     "offset", doc) AS
SELECT alert_id, rule_id, rule_name, severity, risk_score, endpoint_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', iif(event_time <> 0, event_time, read_time) / 1000.0, 'unixepoch'),
       topic, partition, "offset", doc
FROM alerts;

CREATE VIEW v_actions(action_id, request_id, alert_id, rule_id, command, endpoint_id, comment, status, verdict, guard,
                      requested_by, created_at, dispatched_at, finished_at) AS
SELECT action_id, request_id, nullif(alert_id, ''), nullif(rule_id, ''), verb,
       CASE WHEN endpoint_id <> '' THEN endpoint_id
            WHEN ambiguous THEN ''
            WHEN agent_id <> '' THEN agent_id
            ELSE host_id END,
       comment, state, verdict, guard, requested_by,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch'),
       iif(dispatched_at = 0, NULL, strftime('%Y-%m-%dT%H:%M:%fZ', dispatched_at / 1000.0, 'unixepoch')),
       iif(finished_at = 0, NULL, strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1000.0, 'unixepoch'))
FROM actions;

CREATE VIEW v_endpoints(endpoint_id, host_id, hostname, os, agent_status, desired, observed, generation, lease_until,
                        last_seen) AS
SELECT endpoint_id, host_id, hostname, os, agent_status, desired, observed, generation,
       iif(lease_until = 0, NULL, strftime('%Y-%m-%dT%H:%M:%fZ', lease_until / 1000.0, 'unixepoch')),
       iif(last_seen = 0, NULL, strftime('%Y-%m-%dT%H:%M:%fZ', last_seen / 1000.0, 'unixepoch'))
FROM endpoints;
)sql";

// What an agent with a real backend tells, and what the guards that came later need to know.
constexpr const char* kVersion2 = R"sql(
ALTER TABLE endpoints ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN rule_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE endpoints ADD COLUMN policy_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE endpoints ADD COLUMN drops INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN drift_events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN problems TEXT NOT NULL DEFAULT '[]';
ALTER TABLE endpoints ADD COLUMN local_generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN local_sequence INTEGER NOT NULL DEFAULT 0;

-- A credential is the SHA-256 of an agent's certificate.
ALTER TABLE credentials ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;

-- A second enrolment for a host that is known waits here for a person; the first stays valid.
CREATE TABLE pending_enrollments(
  agent_id TEXT PRIMARY KEY,
  host_id TEXT NOT NULL,
  hostname TEXT NOT NULL,
  os TEXT NOT NULL,
  ips TEXT NOT NULL,
  agent_version TEXT NOT NULL,
  known_endpoint TEXT NOT NULL,
  request_sha256 TEXT NOT NULL,
  requested_at INTEGER NOT NULL,
  decided_by TEXT NOT NULL DEFAULT '',
  decided_at INTEGER NOT NULL DEFAULT 0,
  approved INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- When each text of a rule first ran here: probation counts from it.
CREATE TABLE rule_versions(
  rule_id TEXT NOT NULL,
  rule_hash TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  PRIMARY KEY(rule_id, rule_hash)
) STRICT, WITHOUT ROWID;

-- When each rule last alerted on each endpoint: how many rules agree about it.
CREATE TABLE endpoint_rules(
  endpoint_id TEXT NOT NULL,
  rule_id TEXT NOT NULL,
  last_alert INTEGER NOT NULL,
  PRIMARY KEY(endpoint_id, rule_id)
) STRICT, WITHOUT ROWID;

-- A tag that protects goes only when a second person asks for the same.
CREATE TABLE untag_requests(
  endpoint_id TEXT NOT NULL,
  tag TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  why TEXT NOT NULL,
  requested_at INTEGER NOT NULL,
  PRIMARY KEY(endpoint_id, tag)
) STRICT, WITHOUT ROWID;

-- Times in which isolations by rules wait for a person, or are left out, on some endpoints.
CREATE TABLE maintenance(
  id TEXT PRIMARY KEY,
  scope TEXT NOT NULL,
  starts_at INTEGER NOT NULL,
  ends_at INTEGER NOT NULL,
  effect TEXT NOT NULL,
  include_critical INTEGER NOT NULL,
  set_by TEXT NOT NULL,
  why TEXT NOT NULL,
  set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far a reader of the audit (a notification sink) has come.
CREATE TABLE cursors(
  name TEXT PRIMARY KEY,
  seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
)sql";

// Two machines with one identity, and actions that do not come to their end.
constexpr const char* kVersion3 = R"sql(
ALTER TABLE endpoints ADD COLUMN duplicate_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE actions ADD COLUMN stuck_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX credentials_valid ON credentials(endpoint_id) WHERE revoked_at = 0;
)sql";

// What the API manages. Each part of it has its own heading.
constexpr const char* kVersion4 = R"sql(
-- People, their keys and sessions. Of secrets only hashes.
CREATE TABLE users(
  name TEXT PRIMARY KEY COLLATE NOCASE,
  roles TEXT NOT NULL,
  disabled INTEGER NOT NULL DEFAULT 0,
  password_hash TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE api_keys(
  id TEXT PRIMARY KEY,
  prefix TEXT NOT NULL,
  secret_sha256 TEXT NOT NULL,
  person TEXT NOT NULL REFERENCES users(name),
  name TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  expires_at INTEGER NOT NULL DEFAULT 0,
  revoked_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_person ON api_keys(person);
CREATE TABLE sessions(
  token_sha256 TEXT PRIMARY KEY,
  person TEXT NOT NULL REFERENCES users(name),
  created_at INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_person ON sessions(person);

-- Exception lists and items. `address`, `os_types` and `policies` are what an item opens to isolated hosts; '' = nothing.
CREATE TABLE exception_lists(
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  namespace TEXT NOT NULL,
  list_id TEXT NOT NULL,
  seq_no INTEGER NOT NULL,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  doc TEXT NOT NULL,
  UNIQUE(namespace, list_id)
) STRICT;
CREATE TABLE exception_items(
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  namespace TEXT NOT NULL,
  list_id TEXT NOT NULL,
  item_id TEXT NOT NULL,
  seq_no INTEGER NOT NULL,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  address TEXT NOT NULL,
  os_types TEXT NOT NULL,
  policies TEXT NOT NULL,
  doc TEXT NOT NULL,
  UNIQUE(namespace, item_id)
) STRICT;
CREATE INDEX exception_items_by_list ON exception_items(namespace, list_id, created_at);
CREATE INDEX exception_items_open ON exception_items(seq) WHERE address <> '';

-- Endpoint policies. `settings` holds only what the policy sets; an endpoint without a row has the default one.
CREATE TABLE policies(
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL COLLATE NOCASE UNIQUE,
  description TEXT NOT NULL,
  settings TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO policies VALUES('default', 'Default', 'What the config says.', '{}', 1, 0, 'service', 0, 'service');
CREATE TABLE endpoint_policies(
  endpoint_id TEXT PRIMARY KEY REFERENCES endpoints(endpoint_id),
  policy_id TEXT NOT NULL REFERENCES policies(id),
  assigned_at INTEGER NOT NULL,
  assigned_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX endpoint_policies_by_policy ON endpoint_policies(policy_id);

-- What a request for a response action said besides: cases, endpoint ids that were not known.
ALTER TABLE requests ADD COLUMN case_ids TEXT NOT NULL DEFAULT '[]';
ALTER TABLE requests ADD COLUMN alert_ids TEXT NOT NULL DEFAULT '[]';
CREATE INDEX requests_by_time ON requests(created_at);

-- One sequence over what clients follow: alerts, and the audit's rows about actions and endpoints.
CREATE TABLE stream(
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  ref INTEGER NOT NULL
) STRICT;
CREATE TRIGGER stream_of_alerts AFTER INSERT ON alerts
BEGIN INSERT INTO stream(kind, ref) VALUES('alert', new.seq); END;
CREATE TRIGGER stream_of_actions AFTER INSERT ON audit
WHEN EXISTS(SELECT 1 FROM actions WHERE action_id = new.ref)
BEGIN INSERT INTO stream(kind, ref) VALUES('action', new.seq); END;
CREATE TRIGGER stream_of_endpoints AFTER INSERT ON audit
WHEN EXISTS(SELECT 1 FROM endpoints WHERE endpoint_id = new.ref)
BEGIN INSERT INTO stream(kind, ref) VALUES('endpoint', new.seq); END;

-- Rules that came through the API, and their versions.
CREATE TABLE api_rules(
  id TEXT PRIMARY KEY,
  rule_id TEXT NOT NULL UNIQUE,
  number INTEGER NOT NULL,
  doc TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE api_rule_versions(
  id TEXT NOT NULL,
  number INTEGER NOT NULL,
  rule_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  author TEXT NOT NULL,
  what TEXT NOT NULL,
  doc TEXT NOT NULL,
  PRIMARY KEY(id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_rule_versions_by_rule ON api_rule_versions(rule_id);

-- What people noted about alerts. An alert without a row is as its document says.
CREATE TABLE alert_workflow(
  alert_id TEXT PRIMARY KEY REFERENCES alerts(alert_id),
  status TEXT NOT NULL,
  tags TEXT NOT NULL,
  assignees TEXT NOT NULL,
  reason TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_notes(
  id TEXT PRIMARY KEY,
  alert_id TEXT NOT NULL REFERENCES alerts(alert_id),
  note TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_notes_by_alert ON alert_notes(alert_id);
CREATE INDEX alerts_by_read_time ON alerts(read_time);

-- Lists of values that exceptions of rules name.
CREATE TABLE value_lists(
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  meta TEXT NOT NULL,
  serializer TEXT NOT NULL,
  deserializer TEXT NOT NULL,
  tie_breaker TEXT NOT NULL,
  version INTEGER NOT NULL,
  seq_no INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT NOT NULL
) STRICT;
CREATE TABLE value_list_items(
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  list_id TEXT NOT NULL,
  value TEXT NOT NULL,
  meta TEXT NOT NULL,
  tie_breaker TEXT NOT NULL,
  seq_no INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT NOT NULL
) STRICT;
CREATE INDEX value_list_items_by_value ON value_list_items(list_id, value);
)sql";

// Lists that are asked for page by page, newest first: without these each page would read all there is.
constexpr const char* kIndices = R"sql(
CREATE INDEX IF NOT EXISTS endpoints_by_enrolment ON endpoints(enrolled_at);
CREATE INDEX IF NOT EXISTS endpoints_by_name ON endpoints(lower(hostname));
CREATE INDEX IF NOT EXISTS actions_by_rules ON actions(created_at) WHERE manual = 0;
CREATE INDEX IF NOT EXISTS verdicts_joined ON verdicts(joined_action) WHERE joined_action <> '' AND rule_id = '';
)sql";

constexpr std::array<const char*, 4> kSteps{kVersion1, kVersion2, kVersion3, kVersion4};
static_assert(kSteps.size() == static_cast<size_t>(kSchemaVersion));

Result<int64_t> pragma(Sqlite& db, const char* sql) {
  FB_TRY(const std::optional<int64_t> value, db.integer(sql));
  return value.value_or(0);
}

Result<int64_t> known_version(Sqlite& db) {
  FB_TRY(const int64_t version, pragma(db, "PRAGMA user_version"));
  FB_TRY(const int64_t application, pragma(db, "PRAGMA application_id"));
  FB_TRY(const int64_t tables, pragma(db, "SELECT count(*) FROM sqlite_master"));
  if (application != kApplicationId && (application != 0 || version != 0 || tables != 0)) {
    return fail(ErrorCode::corrupt, "this database is not a Firebreak record (application id " +
                                        std::to_string(application) + "); it was left alone");
  }
  if (version > kSchemaVersion) {
    return fail(ErrorCode::unsupported,
                "the record was written by a newer Firebreak (schema " + std::to_string(version) + ", this one knows " +
                    std::to_string(kSchemaVersion) +
                    "); install that version again, or restore a backup from before the upgrade. Nothing was changed");
  }
  return version;
}

Status apply_steps(Sqlite& db, int64_t from) {
  for (int64_t v = from; v < kSchemaVersion; ++v) {
    FB_TRY_VOID(db.script(kSteps[static_cast<size_t>(v)]));
    FB_TRY_VOID(failpoint("record.migrate"));
  }
  FB_TRY_VOID(db.script("PRAGMA application_id=" + std::to_string(kApplicationId) +
                        "; PRAGMA user_version=" + std::to_string(kSchemaVersion) + ";"));
  return db.run("INSERT INTO meta(key, value) VALUES('schema', ?1) ON CONFLICT DO UPDATE SET value = ?1",
                std::to_string(kSchemaVersion));
}

}  // namespace

std::span<const char* const> schema_steps() {
  return kSteps;
}

Status migrate(Sqlite& db) {
  FB_TRY(int64_t version, known_version(db));
  if (version == kSchemaVersion) return {};
  FB_TRY_VOID(db.script("BEGIN IMMEDIATE"));
  Status done = apply_steps(db, version);
  if (done) done = db.script("COMMIT");
  if (!done && db.in_transaction()) (void)db.script("ROLLBACK");
  return done;
}

Status make_indices(Sqlite& db) {
  return db.script(kIndices);
}

Status check_schema(Sqlite& db) {
  FB_TRY(const int64_t version, known_version(db));
  if (version != kSchemaVersion) {
    return fail(ErrorCode::unsupported, "the record has schema " + std::to_string(version) +
                                            "; start the service once, so that it is brought up to " +
                                            std::to_string(kSchemaVersion));
  }
  return {};
}

}  // namespace fb::record
