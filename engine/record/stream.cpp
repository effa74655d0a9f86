// Reading the sequence that clients follow; triggers of the schema write it.
#include "engine/record/stream.h"

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/record/impl.h"
#include "engine/record/queries.h"

namespace fb {

using record::Rows;
using record::Sqlite;

namespace {

constexpr size_t kBytesAtOnce = 1u << 20;  // a list of large documents ends early

std::optional<std::string> text_or_null(const Rows& rows, int column) {
  return rows.is_null(column) ? std::nullopt : std::optional<std::string>(rows.string(column));
}

Result<std::string> alert_line(Sqlite& db, int64_t seq) {
  FB_TRY(Rows rows, db.query("SELECT v.alert_id, v.rule_id, v.rule_name, v.severity, v.risk_score, v.endpoint_id, "
                             "v.timestamp, v.topic, v.partition, v.\"offset\", v.doc FROM alerts a JOIN v_alerts v "
                             "USING(alert_id) WHERE a.seq = ?",
                             seq));
  FB_TRY(const bool any, rows.next());
  if (!any) return std::string();
  record::AlertRow r;
  r.alert_id = rows.string(0);
  r.rule_id = rows.string(1);
  r.rule_name = rows.string(2);
  r.severity = rows.string(3);
  r.risk_score = rows.integer(4);
  r.endpoint_id = rows.string(5);
  r.timestamp = text_or_null(rows, 6);
  r.topic = rows.string(7);
  r.partition = rows.integer(8);
  r.offset = rows.integer(9);
  r.doc = rows.string(10);
  return record::json_line(r);
}

Result<std::string> action_line(Sqlite& db, const std::string& id) {
  FB_TRY(Rows rows, db.query("SELECT action_id, request_id, alert_id, rule_id, command, endpoint_id, comment, status, "
                             "verdict, guard, requested_by, created_at, dispatched_at, finished_at FROM v_actions "
                             "WHERE action_id = ?",
                             id));
  FB_TRY(const bool any, rows.next());
  if (!any) return std::string();
  record::ActionRow r;
  r.action_id = rows.string(0);
  r.request_id = rows.string(1);
  r.alert_id = text_or_null(rows, 2);
  r.rule_id = text_or_null(rows, 3);
  r.command = rows.string(4);
  r.endpoint_id = rows.string(5);
  r.comment = rows.string(6);
  r.status = rows.string(7);
  r.verdict = rows.string(8);
  r.guard = rows.string(9);
  r.requested_by = rows.string(10);
  r.created_at = rows.string(11);
  r.dispatched_at = text_or_null(rows, 12);
  r.finished_at = text_or_null(rows, 13);
  return record::json_line(r);
}

Result<std::string> endpoint_line(Sqlite& db, const std::string& id) {
  FB_TRY(Rows rows, db.query("SELECT endpoint_id, host_id, hostname, os, agent_status, desired, observed, generation, "
                             "lease_until, last_seen FROM v_endpoints WHERE endpoint_id = ?",
                             id));
  FB_TRY(const bool any, rows.next());
  if (!any) return std::string();
  record::EndpointRow r;
  r.endpoint_id = rows.string(0);
  r.host_id = rows.string(1);
  r.hostname = rows.string(2);
  r.os = rows.string(3);
  r.agent_status = rows.string(4);
  r.desired = rows.string(5);
  r.observed = rows.string(6);
  r.generation = rows.integer(7);
  r.lease_until = text_or_null(rows, 8);
  r.last_seen = text_or_null(rows, 9);
  return record::json_line(r);
}

// The row as it is now, with the audit's row that tells what happened to it.
Result<std::string> happened(Sqlite& db, const std::string& kind, int64_t audit_seq) {
  nlohmann::ordered_json event;
  std::string ref;
  {
    FB_TRY(Rows row, db.query("SELECT at, actor, what, ref, detail FROM audit WHERE seq = ?", audit_seq));
    FB_TRY(const bool any, row.next());
    if (!any) return std::string();
    event = {{"what", row.string(2)},
             {"at", iso8601(row.integer(0))},
             {"actor", row.string(1)},
             {"detail", row.string(4)},
             {"audit_seq", audit_seq}};
    ref = row.string(3);
    // So that who made the request finds it, though the row is of the action that it joined.
    if (row.text(2) == "joined") event["request_id"] = row.string(4);
  }
  FB_TRY(std::string line, kind == "action" ? action_line(db, ref) : endpoint_line(db, ref));
  if (line.empty()) return line;
  line.pop_back();
  return line + ",\"event\":" + event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "}";
}

}  // namespace

Result<int64_t> Store::stream_head() {
  return impl_->readers->with<int64_t>([](Sqlite& db) -> Result<int64_t> {
    FB_TRY(const auto head, db.integer("SELECT max(seq) FROM stream"));
    return head.value_or(0);
  });
}

Result<std::vector<StreamEvent>> Store::stream_events(int64_t after, int64_t limit,
                                                      const std::set<std::string>& kinds) {
  using List = std::vector<StreamEvent>;
  return impl_->readers->with<List>([&](Sqlite& db) -> Result<List> {
    List list;
    std::vector<int64_t> refs;
    {
      FB_TRY(Rows rows, db.query("SELECT seq, kind, ref FROM stream WHERE seq > ? ORDER BY seq LIMIT ?", after, limit));
      for (;;) {
        FB_TRY(const bool more, rows.next());
        if (!more) break;
        list.push_back({rows.integer(0), rows.string(1), ""});
        refs.push_back(rows.integer(2));
      }
    }
    size_t bytes = 0;
    for (size_t i = 0; i < list.size(); ++i) {
      if (bytes > kBytesAtOnce) {
        list.resize(i);
        break;
      }
      StreamEvent& e = list[i];
      if (!kinds.empty() && !kinds.contains(e.kind)) continue;
      if (e.kind == "alert") {
        FB_TRY(e.data, alert_line(db, refs[i]));
      } else {
        FB_TRY(e.data, happened(db, e.kind, refs[i]));
      }
      bytes += e.data.size();
    }
    return list;
  });
}

}  // namespace fb
