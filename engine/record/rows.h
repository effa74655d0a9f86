// The rows of the record as they are read in more than one place: what is selected, and how a row of that is taken. A
// statement is FB_..._ROWS and its own WHERE; the table is called a (alerts, actions) or e (endpoints) in it.
#pragma once

#include "engine/model/model.h"
#include "engine/record/queries.h"
#include "engine/record/sqlite.h"

namespace fb::record {

struct Protection;

// The columns of the views, read from their tables at once: joined with its view, a row would be looked up twice. A
// time comes as the number it is and is written here; one that has no four digits for its year as SQLite tells it.
#define FB_TIME(ms)                                             \
  "iif(" ms " BETWEEN -62167219200000 AND 253402300799999, " ms \
  ", "                                                          \
  "strftime('%Y-%m-%dT%H:%M:%fZ', " ms " / 1000.0, 'unixepoch'))"
#define FB_TIME_IF_ANY(ms) "iif(" ms " = 0, NULL, " FB_TIME(ms) ")"

#define FB_ACTIONS                                                                                                    \
  " FROM (SELECT seq, action_id, request_id, nullif(alert_id, '') AS alert_id, nullif(rule_id, '') AS rule_id, verb " \
  "AS command, CASE WHEN endpoint_id <> '' THEN endpoint_id WHEN ambiguous THEN '' WHEN agent_id <> '' THEN "         \
  "agent_id ELSE host_id END AS endpoint_id, comment, state AS status, verdict, guard, requested_by, created_at, "    \
  "dispatched_at, finished_at, detail, generation, attempts, expires_at, lease_ms, decided_by FROM actions) a"
#define FB_ACTION_ROWS \
  "SELECT a.action_id, a.request_id, a.alert_id, a.rule_id, a.command, a.endpoint_id, a.comment, a.status, "          \
  "a.verdict, a.guard, a.requested_by, " FB_TIME("a.created_at") ", " FB_TIME_IF_ANY("a.dispatched_at") ", "          \
  FB_TIME_IF_ANY("a.finished_at") ", a.seq, a.detail, a.generation, a.attempts, a.created_at, a.finished_at, "        \
  "a.expires_at, a.lease_ms, a.decided_by, (SELECT json_group_array(alert_id) FROM action_alerts l WHERE "            \
  "l.action_id = a.action_id)" FB_ACTIONS

#define FB_ALERT_ROWS                                                                                     \
  "SELECT a.alert_id, a.rule_id, a.rule_name, a.severity, a.risk_score, a.endpoint_id, a.time, a.topic, " \
  "a.partition, a.\"offset\", a.doc, a.seq FROM (SELECT *, " FB_TIME(                                     \
      "iif(event_time <> 0, event_time, read_time)") " AS time FROM alerts) a "

#define FB_ENDPOINT_ROWS                                                                       \
  "SELECT e.endpoint_id, e.host_id, e.hostname, e.os, e.agent_status, e.desired, e.observed, " \
  "e.generation, " FB_TIME_IF_ANY("e.lease_until") ", " FB_TIME_IF_ANY(                        \
      "e.last_seen") ", e.problems, e.tags FROM endpoints e "

AlertRow alert_row(const Rows& rows);
ActionRow action_row(const Rows& rows);
EndpointRow endpoint_row(const Rows& rows);

// An endpoint for the engine itself; whether it is protected is for the config to say as well.
#define FB_ENDPOINT_COLUMNS                                                                                 \
  "e.endpoint_id, e.host_id, e.hostname, e.os, e.ips, e.tags, e.agent_version, e.agent_status, e.desired, " \
  "e.observed, e.simulated, e.generation, e.ordered_generation, e.lease_until, e.last_seen, e.duplicate_since > 0 "
inline constexpr int kEndpointColumns = 16;

Endpoint endpoint(const Rows& rows, const Protection& protection);

}  // namespace fb::record
