#include "engine/record/rows.h"

#include "engine/base/clock.h"
#include "engine/base/json_text.h"
#include "engine/record/ledger.h"

namespace fb::record {
namespace {

std::optional<std::string> optional_text(const Rows& rows, int column) {
  if (rows.is_null(column)) return std::nullopt;
  return rows.string(column);
}

// A column of FB_TIME.
std::optional<std::string> time_text(const Rows& rows, int column) {
  if (rows.is_integer(column)) return iso8601(rows.integer(column));
  return optional_text(rows, column);
}

}  // namespace

AlertRow alert_row(const Rows& rows) {
  AlertRow r;
  r.alert_id = rows.string(0);
  r.rule_id = rows.string(1);
  r.rule_name = rows.string(2);
  r.severity = rows.string(3);
  r.risk_score = rows.integer(4);
  r.endpoint_id = rows.string(5);
  r.timestamp = time_text(rows, 6);
  r.topic = rows.string(7);
  r.partition = rows.integer(8);
  r.offset = rows.integer(9);
  r.doc = rows.string(10);
  r.seq = rows.integer(11);
  return r;
}

ActionRow action_row(const Rows& rows) {
  ActionRow r;
  r.action_id = rows.string(0);
  r.request_id = rows.string(1);
  r.alert_id = optional_text(rows, 2);
  r.rule_id = optional_text(rows, 3);
  r.command = rows.string(4);
  r.endpoint_id = rows.string(5);
  r.comment = rows.string(6);
  r.status = rows.string(7);
  r.verdict = rows.string(8);
  r.guard = rows.string(9);
  r.requested_by = rows.string(10);
  r.created_at = time_text(rows, 11).value_or("");
  r.dispatched_at = time_text(rows, 12);
  r.finished_at = time_text(rows, 13);
  r.seq = rows.integer(14);
  r.detail = rows.string(15);
  r.generation = rows.integer(16);
  r.attempts = rows.integer(17);
  r.created_at_ms = rows.integer(18);
  r.finished_at_ms = rows.integer(19);
  r.expires_at_ms = rows.integer(20);
  r.lease_ms = rows.integer(21);
  r.decided_by = rows.string(22);
  r.alert_ids = string_list(rows.text(23));
  return r;
}

EndpointRow endpoint_row(const Rows& rows) {
  EndpointRow r;
  r.endpoint_id = rows.string(0);
  r.host_id = rows.string(1);
  r.hostname = rows.string(2);
  r.os = rows.string(3);
  r.agent_status = rows.string(4);
  r.desired = rows.string(5);
  r.observed = rows.string(6);
  r.generation = rows.integer(7);
  r.lease_until = time_text(rows, 8);
  r.last_seen = time_text(rows, 9);
  r.problems = string_list(rows.text(10));
  r.tags = string_list(rows.text(11));
  return r;
}

Endpoint endpoint(const Rows& rows, const Protection& protection) {
  Endpoint e;
  e.endpoint_id = rows.string(0);
  e.host_id = rows.string(1);
  e.hostname = rows.string(2);
  e.os = rows.string(3);
  e.ips = string_list(rows.text(4));
  e.tags = string_list(rows.text(5));
  e.agent_version = rows.string(6);
  e.status = from_string<AgentStatus>(rows.text(7)).value_or(AgentStatus::offline);
  e.desired = from_string<Isolation>(rows.text(8)).value_or(Isolation::unknown);
  e.observed = from_string<Isolation>(rows.text(9)).value_or(Isolation::unknown);
  e.simulated = rows.integer(10) != 0;
  e.generation = rows.integer(11);
  e.ordered_generation = rows.integer(12);
  e.lease_until_ms = rows.integer(13);
  e.last_seen_ms = rows.integer(14);
  e.is_duplicate = rows.integer(15) != 0;
  e.is_protected = protection.covers(e.endpoint_id, e.host_id, e.hostname, e.tags);
  return e;
}

}  // namespace fb::record
