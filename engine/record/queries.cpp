#include "engine/record/queries.h"

#include <sys/stat.h>

#include <algorithm>

#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/base/json_text.h"
#include "engine/base/text.h"
#include "engine/record/audit.h"
#include "engine/record/ledger.h"
#include "engine/record/rows.h"
#include "engine/record/schema.h"

namespace fb::record {
namespace {

// A list as a JSON text for json_each; "" where nothing is asked for.
std::string asked(const std::vector<std::string>& list) {
  return list.empty() ? std::string() : string_list_json(list);
}

// %1 = SELECT list and %2 = tail are pasted by the compiler: statements must be literals.
#define FB_ACTION_WHERE(by_id)                                                                           \
  " WHERE " by_id                                                                                        \
  " AND (?2 = '' OR a.request_id IN (SELECT value FROM json_each(?2)) OR a.action_id IN"                 \
  " (SELECT joined_action FROM verdicts WHERE joined_action <> '' AND request_id IN (SELECT value FROM " \
  "json_each(?2))))"                                                                                     \
  " AND (?3 = '' OR a.endpoint_id IN (SELECT value FROM json_each(?3)))"                                 \
  " AND (?4 = '' OR a.command IN (SELECT value FROM json_each(?4)))"                                     \
  " AND (?5 = '' OR a.status IN (SELECT value FROM json_each(?5)))"                                      \
  " AND (?6 = '' OR a.requested_by IN (SELECT value FROM json_each(?6)))"                                \
  " AND (?7 = '' OR a.rule_id = ?7)"                                                                     \
  " AND (?8 = '' OR a.action_id IN (SELECT action_id FROM action_alerts WHERE alert_id = ?8))"           \
  " AND (?9 = 0 OR a.created_at >= ?9) AND (?10 = 0 OR a.created_at < ?10)"

// Any action, or those of some ids, which an index leads to.
#define FB_ANY_ACTION FB_ACTION_WHERE("(?1 = '')")
#define FB_ACTION_OF_ID FB_ACTION_WHERE("a.action_id IN (SELECT value FROM json_each(?1))")

#define FB_ALERT_WHERE                                                                                                 \
  "WHERE a.seq > ?1 AND (?2 = '' OR a.alert_id IN (SELECT value FROM json_each(?2))) AND (?3 = '' OR a.rule_id = ?3) " \
  "AND (?4 = '' OR a.endpoint_id = ?4) AND (?7 = 0 OR a.kept_at >= ?7) "

constexpr const char* kEndpointsAll = FB_ENDPOINT_ROWS "ORDER BY e.endpoint_id";
// By its host, an endpoint whose certificates were all revoked gives way to one of the same host that has a valid one.
constexpr const char* kEndpointsByHost = FB_ENDPOINT_ROWS
    "WHERE e.endpoint_id IN ("
    "SELECT endpoint_id FROM endpoints WHERE endpoint_id = ?1 "
    "UNION SELECT endpoint_id FROM endpoints WHERE host_id = ?1 AND host_id <> '' "
    "UNION SELECT endpoint_id FROM endpoints WHERE lower(hostname) = lower(?1) AND ?1 <> '') "
    "AND (e.endpoint_id = ?1 OR NOT ("
    "NOT EXISTS(SELECT 1 FROM credentials c WHERE c.endpoint_id = e.endpoint_id AND c.revoked_at = 0) AND "
    "EXISTS(SELECT 1 FROM endpoints o JOIN credentials c ON c.endpoint_id = o.endpoint_id AND c.revoked_at = 0 "
    "WHERE o.host_id = e.host_id AND o.host_id <> '' AND o.endpoint_id <> e.endpoint_id))) "
    "ORDER BY e.endpoint_id";

Result<std::vector<EndpointRow>> read_endpoints(Rows rows) {
  std::vector<EndpointRow> list;
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return list;
    list.push_back(endpoint_row(rows));
  }
}

}  // namespace

namespace {

void write_text(JsonText& out, std::string_view key, const std::optional<std::string>& text) {
  if (text) {
    out.text(key, *text);
  } else {
    out.null(key);
  }
}

}  // namespace

std::string json_line(const AlertRow& r) {
  std::string line;
  line.reserve(512 + r.doc.size());
  JsonText out(line);
  out.begin().text("alert_id", r.alert_id).text("rule_id", r.rule_id).text("rule_name", r.rule_name);
  out.text("severity", r.severity).number("risk_score", r.risk_score).text("endpoint_id", r.endpoint_id);
  write_text(out, "timestamp", r.timestamp);
  out.text("topic", r.topic).number("partition", r.partition).number("offset", r.offset);
  // The document goes in as it was kept: another round through a parser would change its numbers.
  const size_t doc = line.size();
  if (is_utf8(r.doc)) {
    out.json("doc", r.doc.empty() ? "null" : r.doc);
  } else {
    out.json("doc", to_utf8(r.doc));
  }
  if (line.find('\n', doc) != std::string::npos ||
      line.find('\r', doc) != std::string::npos) {  // only between tokens: a JSON string has neither
    std::replace(line.begin() + static_cast<std::ptrdiff_t>(doc), line.end(), '\n', ' ');
    std::replace(line.begin() + static_cast<std::ptrdiff_t>(doc), line.end(), '\r', ' ');
  }
  out.end();
  return line;
}

std::string json_line(const ActionRow& r) {
  std::string line;
  JsonText out(line);
  out.begin().text("action_id", r.action_id).text("request_id", r.request_id);
  write_text(out, "alert_id", r.alert_id);
  write_text(out, "rule_id", r.rule_id);
  out.text("command", r.command).text("endpoint_id", r.endpoint_id).text("comment", r.comment);
  out.text("status", r.status).text("verdict", r.verdict).text("guard", r.guard);
  out.text("requested_by", r.requested_by).text("created_at", r.created_at);
  write_text(out, "dispatched_at", r.dispatched_at);
  write_text(out, "finished_at", r.finished_at);
  out.end();
  return line;
}

std::string json_line(const EndpointRow& r) {
  std::string line;
  JsonText out(line);
  out.begin().text("endpoint_id", r.endpoint_id).text("host_id", r.host_id).text("hostname", r.hostname);
  out.text("os", r.os).text("agent_status", r.agent_status).text("desired", r.desired);
  out.text("observed", r.observed).number("generation", r.generation);
  write_text(out, "lease_until", r.lease_until);
  write_text(out, "last_seen", r.last_seen);
  out.end();
  return line;
}

std::string json_line(const DeadLetterRow& r) {
  std::string line;
  JsonText out(line);
  out.begin().text("reason", r.reason).text("topic", r.topic).number("partition", r.partition);
  out.number("offset", r.offset).text("raw_base64", r.raw_base64).text("detail", r.detail).end();
  return line;
}

std::string json_line(const AuditRow& r) {
  std::string line;
  JsonText out(line);
  out.begin().number("seq", r.seq).text("at", r.at).text("actor", r.actor).text("what", r.what);
  out.text("ref", r.ref).text("detail", r.detail).text("hash", r.hash).end();
  return line;
}

struct Reader::Impl {
  std::unique_ptr<Sqlite> db;
  int64_t limit_ms = 0;
  Sqlite& now() {
    db->limit_from_now(limit_ms);
    return *db;
  }
};

Reader::Reader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Reader::~Reader() = default;

Result<std::unique_ptr<Reader>> Reader::open(const std::string& db_path, int64_t limit_ms) {
  constexpr int kBusyMs = 5000;
  struct stat info {};
  if (::stat(db_path.c_str(), &info) != 0) return fail(ErrorCode::not_found, "there is no record", db_path);
  if (info.st_size == 0) return fail(ErrorCode::corrupt, "the record is empty (0 bytes)", db_path);
  auto impl = std::make_unique<Impl>();
  impl->limit_ms = limit_ms;
  FB_TRY(impl->db, Sqlite::open(db_path, Sqlite::Open::read_only, kBusyMs));
  Status checked = check_schema(*impl->db);
  if (!checked && checked.error().code == ErrorCode::io && ::stat((db_path + "-wal").c_str(), &info) != 0) {
    // A directory that can't be written to: nobody writes here, so the file alone is the record.
    FB_TRY(impl->db, Sqlite::open_immutable(db_path));
    checked = check_schema(*impl->db);
  }
  FB_TRY_VOID(std::move(checked));
  return std::unique_ptr<Reader>(new Reader(std::move(impl)));
}

Result<std::vector<AlertRow>> Reader::alerts(const AlertFilter& f) {
  std::vector<AlertRow> list;
  const std::string ids = asked(f.alert_ids);
  constexpr const char* kNewest = FB_ALERT_ROWS FB_ALERT_WHERE "ORDER BY a.seq DESC LIMIT ?5 OFFSET ?6";
  constexpr const char* kOldest = FB_ALERT_ROWS FB_ALERT_WHERE "ORDER BY a.seq LIMIT ?5 OFFSET ?6";
  FB_TRY(Rows rows, impl_->now().query(f.newest_first ? kNewest : kOldest, f.after_seq, ids, f.rule_id, f.endpoint_id,
                                       f.limit, f.skip, f.from_ms));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return list;
    list.push_back(alert_row(rows));
  }
}

Result<std::optional<std::string>> Reader::alert_source(const std::string& alert_id) {
  return impl_->now().text("SELECT source FROM alerts WHERE alert_id = ?", alert_id);
}

Result<std::vector<ActionRow>> Reader::actions(const ActionFilter& f) {
  std::vector<ActionRow> list;
  const char* const of_id = f.newest_first ? FB_ACTION_ROWS FB_ACTION_OF_ID " ORDER BY a.seq DESC LIMIT ?11 OFFSET ?12"
                                           : FB_ACTION_ROWS FB_ACTION_OF_ID " ORDER BY a.seq LIMIT ?11 OFFSET ?12";
  const char* const any = f.newest_first ? FB_ACTION_ROWS FB_ANY_ACTION " ORDER BY a.seq DESC LIMIT ?11 OFFSET ?12"
                                         : FB_ACTION_ROWS FB_ANY_ACTION " ORDER BY a.seq LIMIT ?11 OFFSET ?12";
  FB_TRY(Rows rows,
         impl_->now().query(f.action_ids.empty() ? any : of_id, asked(f.action_ids), asked(f.request_ids),
                            asked(f.endpoint_ids), asked(f.commands), asked(f.statuses), asked(f.requested_by),
                            f.rule_id, f.alert_id, f.from_ms, f.to_ms, f.limit, f.skip));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return list;
    list.push_back(action_row(rows));
  }
}

Result<int64_t> Reader::count_actions(const ActionFilter& f) {
  constexpr const char* kOfId = "SELECT count(*)" FB_ACTIONS FB_ACTION_OF_ID;
  constexpr const char* kAny = "SELECT count(*)" FB_ACTIONS FB_ANY_ACTION;
  FB_TRY(const auto count,
         impl_->now().integer(f.action_ids.empty() ? kAny : kOfId, asked(f.action_ids), asked(f.request_ids),
                              asked(f.endpoint_ids), asked(f.commands), asked(f.statuses), asked(f.requested_by),
                              f.rule_id, f.alert_id, f.from_ms, f.to_ms));
  return count.value_or(0);
}

Result<std::vector<EndpointRow>> Reader::endpoints() {
  FB_TRY(Rows rows, impl_->now().query(kEndpointsAll));
  return read_endpoints(std::move(rows));
}

Result<std::vector<EndpointRow>> Reader::find_endpoints(const std::string& host) {
  FB_TRY(Rows rows, impl_->now().query(kEndpointsByHost, host));
  return read_endpoints(std::move(rows));
}

Result<std::vector<DeadLetterRow>> Reader::dead_letters(int64_t limit, int64_t skip) {
  std::vector<DeadLetterRow> list;
  FB_TRY(Rows rows, impl_->now().query("SELECT reason, topic, partition, \"offset\", raw, detail FROM dead_letters "
                                       "ORDER BY seq DESC LIMIT ? OFFSET ?",
                                       limit, skip));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return list;
    list.push_back(
        {rows.string(0), rows.string(1), rows.integer(2), rows.integer(3), base64(rows.text(4)), rows.string(5)});
  }
}

Result<std::vector<OutboxRow>> Reader::outbox(int64_t limit, int64_t after_seq) {
  std::vector<OutboxRow> list;
  FB_TRY(Rows rows,
         impl_->now().query("SELECT o.seq, o.alert_id, o.key, a.doc FROM outbox o JOIN alerts a USING(alert_id) "
                            "WHERE o.seq > ? ORDER BY o.seq LIMIT ?",
                            after_seq, limit));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return list;
    list.push_back({rows.integer(0), rows.string(1), rows.string(2), rows.string(3)});
  }
}

Result<std::vector<AuditRow>> Reader::audit(int64_t after_seq, int64_t limit) {
  std::vector<AuditRow> list;
  FB_TRY(Rows rows,
         impl_->now().query("SELECT seq, at, actor, what, ref, detail, hash FROM audit WHERE seq > ? ORDER BY seq "
                            "LIMIT ?",
                            after_seq, limit));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return list;
    list.push_back({rows.integer(0), iso8601(rows.integer(1)), rows.string(2), rows.string(3), rows.string(4),
                    rows.string(5), rows.string(6)});
  }
}

Result<std::vector<StoredOffsetRow>> Reader::offsets() {
  std::vector<StoredOffsetRow> list;
  FB_TRY(Rows rows, impl_->now().query("SELECT cluster, topic, epoch, partition, next_offset FROM offsets "
                                       "ORDER BY cluster, topic, epoch, partition"));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return list;
    list.push_back({rows.string(0), rows.string(1), rows.integer(2), rows.integer(3), rows.integer(4)});
  }
}

Result<RecordCounts> Reader::counts() {
  FB_TRY(
      Rows row,
      impl_->now().query(
          "SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM actions), "
          "(SELECT count(*) FROM actions WHERE state IN ('requested', 'queued', 'dispatched', 'unknown', 'accepted')), "
          "(SELECT count(*) FROM actions WHERE state = 'awaiting_approval'), (SELECT count(*) FROM endpoints), "
          "(SELECT count(*) FROM endpoints WHERE observed = 'isolated'), "
          "(SELECT count(*) FROM endpoints WHERE drifted <> 0), (SELECT count(*) FROM dead_letters), "
          "(SELECT count(*) FROM outbox), (SELECT coalesce(max(seq), 0) FROM audit)"));
  FB_TRY(const bool any, row.next());
  RecordCounts c;
  if (!any) return c;
  int at = 0;
  for (int64_t* value : {&c.alerts, &c.actions, &c.open_actions, &c.awaiting_approval, &c.endpoints, &c.isolated,
                         &c.drifted, &c.dead_letters, &c.outbox, &c.audit_rows}) {
    *value = row.integer(at++);
  }
  return c;
}

Result<std::vector<std::string>> Reader::tripped_rules() {
  std::vector<std::string> list;
  FB_TRY(Rows rows, impl_->now().query("SELECT rule_id FROM trips WHERE reset_at = 0 ORDER BY seq"));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return list;
    list.push_back(rows.string(0));
  }
}

Result<AuditVerdict> Reader::verify_audit() {
  impl_->db->limit_from_now(0);
  FB_TRY(AuditCheck check, check_audit(*impl_->db));
  return AuditVerdict{check.ok, check.rows, std::move(check.head), check.bad_seq, std::move(check.why)};
}

Result<AuditVerdict> verify_audit(const std::string& db_path) {
  FB_TRY(std::unique_ptr<Reader> reader, Reader::open(db_path));
  return reader->verify_audit();
}

}  // namespace fb::record
