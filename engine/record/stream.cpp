// Reading the sequence that clients follow; triggers of the schema write it.
#include "engine/record/stream.h"

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/record/impl.h"
#include "engine/record/rows.h"

namespace fb {

using record::Rows;
using record::Sqlite;

namespace {

constexpr size_t kBytesAtOnce = 1u << 20;  // a list of large documents ends early

Result<std::string> alert_line(Sqlite& db, int64_t seq) {
  FB_TRY(Rows rows, db.query(FB_ALERT_ROWS "WHERE a.seq = ?", seq));
  FB_TRY(const bool any, rows.next());
  return any ? record::json_line(record::alert_row(rows)) : std::string();
}

Result<std::string> action_line(Sqlite& db, const std::string& id) {
  FB_TRY(Rows rows, db.query(FB_ACTION_ROWS " WHERE a.action_id = ?", id));
  FB_TRY(const bool any, rows.next());
  return any ? record::json_line(record::action_row(rows)) : std::string();
}

Result<std::string> endpoint_line(Sqlite& db, const std::string& id) {
  FB_TRY(Rows rows, db.query(FB_ENDPOINT_ROWS "WHERE e.endpoint_id = ?", id));
  FB_TRY(const bool any, rows.next());
  return any ? record::json_line(record::endpoint_row(rows)) : std::string();
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
  return line + ",\"event\":" + dumped(event) + "}";
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
