#include "engine/record/workflow.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/model/ids.h"
#include "engine/record/impl.h"

namespace fb {

using record::Rows;
using record::Sqlite;
using record::string_list;
using record::string_list_json;
using record::Txn;
using record::Writer;

namespace {

std::string asked(const std::vector<std::string>& list) {
  return list.empty() ? std::string() : string_list_json(list);
}

// Statements are literals, one for each way in: by id, by rule, by time. The plus keeps the planner off the index on
// times where ids or rules lead to fewer rows.
#define FB_PICK_FROM " FROM alerts a LEFT JOIN alert_workflow w USING(alert_id) WHERE "
#define FB_PICK_REST                                                                  \
  " AND (?5 = '' OR coalesce(w.status, 'open') IN (SELECT value FROM json_each(?5)))" \
  " AND (?6 = '' OR a.ambiguous = 1 OR a.agent_id IN (SELECT value FROM json_each(?6)))"
#define FB_PICK_BY_ID                                                                                               \
  FB_PICK_FROM                                                                                                      \
  "a.alert_id IN (SELECT value FROM json_each(?1)) AND (?2 = '' OR a.rule_id IN (SELECT value FROM json_each(?2)))" \
  " AND +a.read_time >= ?3 AND +a.read_time <= ?4" FB_PICK_REST
#define FB_PICK_BY_RULE                                        \
  FB_PICK_FROM                                                 \
  "?1 = '' AND a.rule_id IN (SELECT value FROM json_each(?2))" \
  " AND +a.read_time >= ?3 AND +a.read_time <= ?4" FB_PICK_REST
#define FB_PICK_BY_TIME FB_PICK_FROM "?1 = '' AND ?2 = '' AND a.read_time >= ?3 AND a.read_time <= ?4" FB_PICK_REST
#define FB_PICK_COLUMNS                                                                                               \
  "SELECT a.seq, a.alert_id, a.rule_id, a.endpoint_id, a.read_time, a.doc, w.status, w.tags, w.assignees, w.reason, " \
  "w.changed_at, w.changed_by"
#define FB_PICK_NEWEST " ORDER BY a.read_time DESC, a.seq DESC LIMIT ?7 OFFSET ?8"
#define FB_PICK_OLDEST " ORDER BY a.read_time, a.seq LIMIT ?7 OFFSET ?8"

// Counting without looking at each alert: all of a time or of rules, by index alone, and apart from them those few that
// somebody has worked on. An alert without a row of its own is open.
#define FB_COUNT_NOTED                                                                                     \
  "SELECT count(*) FROM alert_workflow w CROSS JOIN alerts a USING(alert_id) WHERE a.read_time >= ?1 AND " \
  "a.read_time <= ?2 AND (?3 = '' OR a.rule_id IN (SELECT value FROM json_each(?3))) AND w.status "

constexpr const char* kCountByTime = "SELECT count(*) FROM alerts WHERE read_time >= ? AND read_time <= ?";
constexpr const char* kCountByRule = "SELECT count(*) FROM alerts WHERE rule_id IN (SELECT value FROM json_each(?))";
constexpr const char* kCountNotedIn = FB_COUNT_NOTED "IN (SELECT value FROM json_each(?4))";
constexpr const char* kCountNotedOut = FB_COUNT_NOTED "NOT IN (SELECT value FROM json_each(?4))";

bool is_any_time(const AlertPick& p) {
  return p.from_ms == std::numeric_limits<int64_t>::min() && p.to_ms == std::numeric_limits<int64_t>::max();
}

Result<int64_t> count_picked(Sqlite& db, const AlertPick& p, record::GrowingCount& all_alerts) {
  const std::string rules = asked(p.rule_ids);
  const std::string statuses = asked(p.statuses);
  const bool by_index = p.alert_ids.empty() && p.agent_ids.empty() && (rules.empty() || is_any_time(p));
  if (!by_index) {
    FB_TRY(const auto n, db.integer(!p.alert_ids.empty() ? "SELECT count(*)" FB_PICK_BY_ID
                                    : !rules.empty()     ? "SELECT count(*)" FB_PICK_BY_RULE
                                                         : "SELECT count(*)" FB_PICK_BY_TIME,
                                    asked(p.alert_ids), rules, p.from_ms, p.to_ms, statuses, asked(p.agent_ids)));
    return n.value_or(0);
  }
  const bool with_open =
      statuses.empty() || std::find(p.statuses.begin(), p.statuses.end(), "open") != p.statuses.end();
  int64_t all = 0;
  if (with_open) {
    if (rules.empty() && is_any_time(p)) {
      FB_TRY(all, all_alerts.count(db));
    } else {
      FB_TRY(const auto n,
             rules.empty() ? db.integer(kCountByTime, p.from_ms, p.to_ms) : db.integer(kCountByRule, rules));
      all = n.value_or(0);
    }
    if (statuses.empty()) return all;
  }
  FB_TRY(const auto noted, db.integer(with_open ? kCountNotedOut : kCountNotedIn, p.from_ms, p.to_ms, rules, statuses));
  return with_open ? all - noted.value_or(0) : noted.value_or(0);
}

const char* list_statement(const AlertPick& p) {
  if (!p.alert_ids.empty()) {
    return p.newest_first ? FB_PICK_COLUMNS FB_PICK_BY_ID FB_PICK_NEWEST : FB_PICK_COLUMNS FB_PICK_BY_ID FB_PICK_OLDEST;
  }
  if (!p.rule_ids.empty()) {
    return p.newest_first ? FB_PICK_COLUMNS FB_PICK_BY_RULE FB_PICK_NEWEST
                          : FB_PICK_COLUMNS FB_PICK_BY_RULE FB_PICK_OLDEST;
  }
  return p.newest_first ? FB_PICK_COLUMNS FB_PICK_BY_TIME FB_PICK_NEWEST
                        : FB_PICK_COLUMNS FB_PICK_BY_TIME FB_PICK_OLDEST;
}

constexpr size_t kMostIds = 100'000;

Status check(const std::vector<std::string>& ids, const std::string& who) {
  if (who.empty()) return fail(ErrorCode::invalid_argument, "a change of alerts names who made it");
  if (ids.size() > kMostIds) {
    return fail(ErrorCode::limit, "at most " + std::to_string(kMostIds) + " alerts are changed at once");
  }
  return {};
}

// The alert's workflow row, made from its document when there is none yet. False: there is no such alert.
Result<bool> make_row(Txn& txn, const std::string& alert_id) {
  FB_TRY_VOID(
      txn.db.run("INSERT OR IGNORE INTO alert_workflow(alert_id, status, tags, assignees, reason, changed_at, "
                 "changed_by) SELECT alert_id, 'open', iif(json_valid(doc), "
                 "coalesce(json_extract(doc, '$.\"kibana.alert.workflow_tags\"'), '[]'), '[]'), '[]', '', 0, "
                 "'' FROM alerts WHERE alert_id = ?",
                 alert_id));
  FB_TRY(const auto there, txn.db.integer("SELECT 1 FROM alert_workflow WHERE alert_id = ?", alert_id));
  return there.has_value();
}

#define FB_NOTES "SELECT id, alert_id, note, created_at, created_by, updated_at, updated_by FROM alert_notes "

Result<std::vector<AlertNote>> read_notes(Result<Rows> rows) {
  if (!rows) return tl::unexpected<Error>(std::move(rows).error());
  std::vector<AlertNote> list;
  for (;;) {
    FB_TRY(const bool more, rows->next());
    if (!more) return list;
    list.push_back({rows->string(0), rows->string(1), rows->string(2), rows->integer(3), rows->string(4),
                    rows->integer(5), rows->string(6)});
  }
}

}  // namespace

Result<int64_t> Workflow::count(const AlertPick& p) {
  return store_.impl_->readers->with<int64_t>(
      [&](Sqlite& db) -> Result<int64_t> { return count_picked(db, p, store_.impl_->alert_count); });
}

Status Workflow::each(const AlertPick& p, const std::function<bool(const AlertView&)>& take) {
  const auto done = store_.impl_->readers->with<bool>([&](Sqlite& db) -> Result<bool> {
    FB_TRY(Rows rows, db.query(list_statement(p), asked(p.alert_ids), asked(p.rule_ids), p.from_ms, p.to_ms,
                               asked(p.statuses), asked(p.agent_ids), p.limit, p.skip));
    AlertView v;  // one for all rows: a document goes where the one before it was
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return true;
      v.seq = rows.integer(0);
      v.alert_id = rows.string(1);
      v.rule_id = rows.string(2);
      v.endpoint_id = rows.string(3);
      v.read_time_ms = rows.integer(4);
      v.doc.assign(rows.text(5));
      v.noted = !rows.is_null(6);
      v.status = v.noted ? rows.string(6) : "open";
      v.tags = string_list(rows.text(7));
      v.assignees = string_list(rows.text(8));
      v.reason = rows.string(9);
      v.changed_at_ms = rows.integer(10);
      v.changed_by = rows.string(11);
      if (!take(v)) return true;
    }
  });
  if (!done) return tl::unexpected<Error>(done.error());
  return {};
}

Result<Workflow::Changed> Workflow::set_status(const std::vector<std::string>& alert_ids, const std::string& status,
                                               const std::string& reason, const std::string& who) {
  FB_TRY_VOID(check(alert_ids, who));
  if (status != "open" && status != "acknowledged" && status != "closed") {
    return fail(ErrorCode::invalid_argument, "a status is open, acknowledged or closed");
  }
  Changed changed;
  FB_TRY_VOID(store_.impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    changed = {};
    for (const std::string& id : alert_ids) {
      FB_TRY(const bool there, make_row(txn, id));
      if (!there) continue;
      ++changed.found;
      FB_TRY(const int64_t n, txn.db.change("UPDATE alert_workflow SET status = ?2, reason = ?3, changed_at = ?4, "
                                            "changed_by = ?5 WHERE alert_id = ?1 AND (status <> ?2 OR reason <> ?3)",
                                            id, status, to_utf8(reason), txn.now_ms, who));
      if (n == 0) continue;
      ++changed.updated;
      FB_TRY_VOID(txn.audit(who, "alert_status", id, status + (reason.empty() ? "" : ": " + to_utf8(reason))));
    }
    return {};
  }));
  return changed;
}

Result<Workflow::Changed> Workflow::change_tags(const std::vector<std::string>& alert_ids,
                                                const std::vector<std::string>& add,
                                                const std::vector<std::string>& remove, const std::string& who) {
  return change_list(alert_ids, true, add, remove, who);
}

Result<Workflow::Changed> Workflow::change_assignees(const std::vector<std::string>& alert_ids,
                                                     const std::vector<std::string>& add,
                                                     const std::vector<std::string>& remove, const std::string& who) {
  return change_list(alert_ids, false, add, remove, who);
}

Result<Workflow::Changed> Workflow::change_list(const std::vector<std::string>& alert_ids, bool tags,
                                                const std::vector<std::string>& add,
                                                const std::vector<std::string>& remove, const std::string& who) {
  FB_TRY_VOID(check(alert_ids, who));
  constexpr size_t kMost = 500;  // on one alert
  Changed changed;
  FB_TRY_VOID(store_.impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    changed = {};
    for (const std::string& id : alert_ids) {
      FB_TRY(const bool there, make_row(txn, id));
      if (!there) continue;
      ++changed.found;
      FB_TRY(const auto stored, txn.db.text(tags ? "SELECT tags FROM alert_workflow WHERE alert_id = ?"
                                                 : "SELECT assignees FROM alert_workflow WHERE alert_id = ?",
                                            id));
      const std::vector<std::string> before = string_list(stored.value_or("[]"));
      std::vector<std::string> after = before;
      std::erase_if(after,
                    [&](const std::string& s) { return std::find(remove.begin(), remove.end(), s) != remove.end(); });
      for (const std::string& s : add) {
        if (std::find(after.begin(), after.end(), s) == after.end()) after.push_back(s);
      }
      if (after.size() > kMost) return fail(ErrorCode::limit, "an alert has at most 500 tags and 500 assignees", id);
      if (after == before) continue;
      FB_TRY_VOID(txn.db.run(
          tags ? "UPDATE alert_workflow SET tags = ?2, changed_at = ?3, changed_by = ?4 WHERE alert_id = ?1"
               : "UPDATE alert_workflow SET assignees = ?2, changed_at = ?3, changed_by = ?4 WHERE alert_id = ?1",
          id, string_list_json(after), txn.now_ms, who));
      ++changed.updated;
      FB_TRY_VOID(txn.audit(who, tags ? "alert_tags" : "alert_assignees", id, string_list_json(after)));
    }
    return {};
  }));
  return changed;
}

Result<AlertNote> Workflow::put_note(const std::string& id, const std::string& alert_id, const std::string& text,
                                     const std::string& who) {
  FB_TRY_VOID(check({}, who));
  constexpr size_t kMaxNote = 100'000;
  if (text.size() > kMaxNote || !is_utf8(text)) {
    return fail(ErrorCode::invalid_argument, "a note is a text of at most 100000 bytes");
  }
  AlertNote note;
  FB_TRY_VOID(store_.impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    note = {id, alert_id, text, txn.now_ms, who, txn.now_ms, who};
    if (!id.empty()) {
      FB_TRY(const std::vector<AlertNote> old, read_notes(txn.db.query(FB_NOTES "WHERE id = ?", id)));
      if (old.empty()) return fail(ErrorCode::not_found, "there is no note with this id", id);
      if (old.front().created_by != who) return fail(ErrorCode::refused, "only who wrote a note changes it", id);
      note.alert_id = old.front().alert_id;
      note.created_at_ms = old.front().created_at_ms;
      FB_TRY_VOID(txn.db.run("UPDATE alert_notes SET note = ?2, updated_at = ?3, updated_by = ?4 WHERE id = ?1", id,
                             text, txn.now_ms, who));
    } else {
      FB_TRY(const auto alert, txn.db.integer("SELECT 1 FROM alerts WHERE alert_id = ?", alert_id));
      if (!alert) return fail(ErrorCode::not_found, "there is no alert with this id", alert_id);
      note.id = new_uuid();
      FB_TRY_VOID(
          txn.db.run("INSERT INTO alert_notes(id, alert_id, note, created_at, created_by, updated_at, "
                     "updated_by) VALUES(?1, ?2, ?3, ?4, ?5, ?4, ?5)",
                     note.id, alert_id, text, txn.now_ms, who));
    }
    return txn.audit(who, id.empty() ? "alert_note_added" : "alert_note_changed", note.alert_id, "note " + note.id);
  }));
  return note;
}

Result<std::vector<AlertNote>> Workflow::notes(const std::vector<std::string>& alert_ids) {
  return store_.impl_->readers->with<std::vector<AlertNote>>([&](Sqlite& db) -> Result<std::vector<AlertNote>> {
    return read_notes(db.query(FB_NOTES "WHERE ?1 = '' OR alert_id IN (SELECT value FROM json_each(?1)) "
                                        "ORDER BY created_at, id LIMIT 10000",
                               asked(alert_ids)));
  });
}

Result<int64_t> Workflow::remove_notes(const std::vector<std::string>& ids, const std::string& who, bool of_others) {
  FB_TRY_VOID(check(ids, who));
  int64_t removed = 0;
  FB_TRY_VOID(store_.impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    removed = 0;
    for (const std::string& id : ids) {
      FB_TRY(const std::vector<AlertNote> old, read_notes(txn.db.query(FB_NOTES "WHERE id = ?", id)));
      if (old.empty()) continue;
      const AlertNote& note = old.front();
      const bool own = note.created_by == who;
      if (!own && !of_others) return fail(ErrorCode::refused, "only who wrote a note, or an admin, removes it", id);
      FB_TRY_VOID(txn.db.run("DELETE FROM alert_notes WHERE id = ?", id));
      ++removed;
      FB_TRY_VOID(txn.audit(who, "alert_note_removed", note.alert_id,
                            "note " + id + (own ? std::string() : " of " + note.created_by)));
    }
    return {};
  }));
  return removed;
}

}  // namespace fb
