// What people set that restrains the rules: times of maintenance, and tags that protect. Since when each text of a rule
// is known, too.
#include "engine/base/clock.h"
#include "engine/base/text.h"
#include "engine/model/ids.h"
#include "engine/record/impl.h"

#include <algorithm>

namespace fb {

using record::Rows;
using record::Sqlite;
using record::Txn;
using record::Writer;

namespace {

constexpr int64_t kLongestWindowMs = 24 * 3'600'000ll;
constexpr size_t kMaxScopeBytes = 1024;
constexpr size_t kMaxTagBytes = 128;
constexpr size_t kMaxTags = 64;

Status check_window(const MaintenanceWindow& w, int64_t now_ms) {
  const bool is_host = w.scope.starts_with("host:") && w.scope.size() > 5;
  const bool is_tag = w.scope.starts_with("tag:") && w.scope.size() > 4;
  if ((!is_host && !is_tag) || w.scope.size() > kMaxScopeBytes || !is_utf8(w.scope)) {
    return fail(ErrorCode::invalid_argument, "a window is about a host or a tag");
  }
  if (w.ends_at_ms <= w.starts_at_ms) return fail(ErrorCode::invalid_argument, "the window ends before it begins");
  if (w.ends_at_ms - w.starts_at_ms > kLongestWindowMs) {
    return fail(ErrorCode::invalid_argument, "a window lasts at most 24 hours");
  }
  if (w.ends_at_ms <= now_ms) return fail(ErrorCode::invalid_argument, "the window is over already");
  if (w.set_by.empty()) return fail(ErrorCode::invalid_argument, "a window names who set it");
  return {};
}

Status check_tag(const std::string& tag) {
  const bool plain = std::all_of(tag.begin(), tag.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == ':';
  });
  if (tag.empty() || tag.size() > kMaxTagBytes || !plain) {
    return fail(ErrorCode::invalid_argument,
                "a tag is 1 to 128 letters, digits, '-', '_', '.' or ':', not '" + printable(tag.substr(0, 200)) + "'");
  }
  return {};
}

}  // namespace

Result<std::string> Store::add_maintenance(const MaintenanceWindow& window) {
  std::string id;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY_VOID(check_window(window, txn.now_ms));
    id = "m-" + new_uuid().substr(0, 8);
    FB_TRY_VOID(
        txn.db.run("INSERT INTO maintenance(id, scope, starts_at, ends_at, effect, include_critical, set_by, why, "
                   "set_at) VALUES(?,?,?,?,?,?,?,?,?)",
                   id, window.scope, window.starts_at_ms, window.ends_at_ms, window.suppress ? "suppress" : "approve",
                   window.include_critical, window.set_by, to_utf8(window.why), txn.now_ms));
    txn.commit_now = true;  // what is judged next obeys it
    return txn.audit(window.set_by, "maintenance_added", id,
                     window.scope + " from " + iso8601(window.starts_at_ms) + " to " + iso8601(window.ends_at_ms) +
                         (window.suppress ? ", suppress" : "") +
                         (window.include_critical ? ", critical rules too" : "") + ": " + to_utf8(window.why));
  }));
  return id;
}

Result<bool> Store::remove_maintenance(const std::string& id, const std::string& who, const std::string& why) {
  bool removed = false;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t gone, txn.db.change("DELETE FROM maintenance WHERE id = ?", id));
    removed = gone > 0;
    if (!removed) return {};
    return txn.audit(who, "maintenance_removed", id, to_utf8(why));
  }));
  return removed;
}

Result<std::vector<MaintenanceWindow>> Store::maintenance() {
  return impl_->readers->with<std::vector<MaintenanceWindow>>([](Sqlite& db) -> Result<std::vector<MaintenanceWindow>> {
    std::vector<MaintenanceWindow> list;
    FB_TRY(Rows rows, db.query("SELECT id, scope, starts_at, ends_at, effect, include_critical, set_by, why FROM "
                               "maintenance ORDER BY starts_at, id"));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      list.push_back({rows.string(0), rows.string(1), rows.integer(2), rows.integer(3), rows.text(4) == "suppress",
                      rows.integer(5) != 0, rows.string(6), rows.string(7)});
    }
  });
}

Result<Store::TagChange> Store::change_tag(const std::string& endpoint_id, const std::string& tag, bool add,
                                           const std::string& who, const std::string& why) {
  FB_TRY_VOID(check_tag(tag));
  if (who.empty()) return fail(ErrorCode::invalid_argument, "a change of tags names who made it");
  const auto& protecting = impl_->options.protected_tags;
  const bool protects = std::find(protecting.begin(), protecting.end(), tag) != protecting.end();
  if (!add && protects && why.empty()) return fail(ErrorCode::invalid_argument, "say why in a comment");
  TagChange change = TagChange::none;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    change = TagChange::none;
    FB_TRY(const auto stored, txn.db.text("SELECT tags FROM endpoints WHERE endpoint_id = ?", endpoint_id));
    if (!stored) return fail(ErrorCode::not_found, "no endpoint has this id", endpoint_id);
    std::vector<std::string> tags = record::string_list(*stored);
    const auto at = std::find(tags.begin(), tags.end(), tag);
    const auto forget_request = [&]() {
      return txn.db.change("DELETE FROM untag_requests WHERE endpoint_id = ? AND tag = ?", endpoint_id, tag);
    };
    if (add) {
      // Whoever adds a tag that is to go says that it stays.
      FB_TRY(const int64_t dropped, forget_request());
      if (dropped > 0) FB_TRY_VOID(txn.audit(who, "untag_refused", endpoint_id, tag + ": " + to_utf8(why)));
      if (at != tags.end()) return {};
      if (tags.size() >= kMaxTags) return fail(ErrorCode::limit, "an endpoint has at most 64 tags", endpoint_id);
      tags.push_back(tag);
    } else {
      if (at == tags.end()) return {};
      if (protects) {
        FB_TRY(Rows row, txn.db.query("SELECT requested_by, requested_at FROM untag_requests WHERE endpoint_id = ? AND "
                                      "tag = ?",
                                      endpoint_id, tag));
        FB_TRY(const bool asked, row.next());
        const bool valid = asked && txn.now_ms - row.integer(1) < impl_->options.approval_expiry_ms;
        if (!valid || record::person(row.text(0)) == record::person(who)) {
          change = TagChange::waits;
          if (valid) return {};
          FB_TRY_VOID(
              txn.db.run("INSERT INTO untag_requests(endpoint_id, tag, requested_by, why, requested_at) "
                         "VALUES(?1,?2,?3,?4,?5) ON CONFLICT DO UPDATE SET requested_by = ?3, why = ?4, "
                         "requested_at = ?5",
                         endpoint_id, tag, who, to_utf8(why), txn.now_ms));
          return txn.audit(who, "untag_requested", endpoint_id, tag + ": " + to_utf8(why));
        }
        FB_TRY(const int64_t dropped, forget_request());
        static_cast<void>(dropped);
      }
      tags.erase(at);
    }
    change = TagChange::done;
    FB_TRY_VOID(
        txn.db.run("UPDATE endpoints SET tags = ? WHERE endpoint_id = ?", record::string_list_json(tags), endpoint_id));
    txn.commit_now = true;  // what is judged next sees it
    return txn.audit(who, add ? "tag_added" : "tag_removed", endpoint_id,
                     tag + (why.empty() ? "" : ": " + to_utf8(why)));
  }));
  return change;
}

Status Store::note_rules(const std::vector<RuleMetaPtr>& rules) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    for (const RuleMetaPtr& rule : rules) {
      FB_TRY_VOID(
          txn.db.run("INSERT INTO rule_versions(rule_id, rule_hash, first_seen) VALUES(?,?,?) ON CONFLICT DO "
                     "NOTHING",
                     rule->rule_id, rule->hash, txn.now_ms));
    }
    return {};
  });
}

}  // namespace fb
