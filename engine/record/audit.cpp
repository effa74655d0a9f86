#include "engine/record/audit.h"

#include "engine/base/digest.h"

namespace fb::record {
namespace {

const std::string& before_first() {
  static const std::string zeros(64, '0');
  return zeros;
}

std::string chain_hash(int64_t seq, int64_t at_ms, std::string_view actor, std::string_view what, std::string_view ref,
                       std::string_view detail, std::string_view prev) {
  return hex(sha256_parts({"fb-audit-1", std::to_string(seq), std::to_string(at_ms), actor, what, ref, detail, prev}));
}

std::string sealed(const AuditHead& head) {
  return std::to_string(head.seq) + ":" + head.hash;
}

}  // namespace

Result<AuditHead> audit_head(Sqlite& db) {
  FB_TRY(Rows rows, db.query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"));
  FB_TRY(const bool any, rows.next());
  if (!any) return AuditHead{0, before_first()};
  return AuditHead{rows.integer(0), rows.string(1)};
}

Status append_audit(Sqlite& db, int64_t at_ms, std::string_view actor, std::string_view what, std::string_view ref,
                    std::string_view detail) {
  FB_TRY(const AuditHead head, audit_head(db));
  const int64_t seq = head.seq + 1;
  return db.run("INSERT INTO audit(seq, at, actor, what, ref, detail, prev, hash) VALUES(?,?,?,?,?,?,?,?)", seq, at_ms,
                actor, what, ref, detail, head.hash, chain_hash(seq, at_ms, actor, what, ref, detail, head.hash));
}

Status seal_audit(Sqlite& db) {
  FB_TRY(const AuditHead head, audit_head(db));
  if (head.seq == 0) return {};
  return db.run(
      "INSERT INTO meta(key, value) VALUES('audit_head', ?1) ON CONFLICT DO UPDATE SET value = ?1 "
      "WHERE value <> ?1",
      sealed(head));
}

Result<AuditCheck> check_audit(Sqlite& db) {
  AuditCheck check;
  check.head = before_first();
  const auto broken = [&](int64_t seq, std::string why) {
    check.bad_seq = seq;
    check.why = std::move(why);
    return check;
  };
  // One statement for both, so that they are read from one snapshot.
  FB_TRY(Rows rows, db.query("SELECT seq, at, actor, what, ref, detail, prev, hash, "
                             "(SELECT value FROM meta WHERE key = 'audit_head') FROM audit ORDER BY seq"));
  std::string last_sealed;
  bool any_row = false;
  for (;;) {
    FB_TRY(const bool any, rows.next());
    if (!any) break;
    any_row = true;
    const int64_t seq = rows.integer(0);
    const int64_t expected = check.rows + 1;
    if (seq != expected) {
      return broken(expected, seq > expected ? "missing: the next row is " + std::to_string(seq)
                                             : "row " + std::to_string(seq) + " is out of order");
    }
    if (rows.text(6) != check.head) return broken(seq, "its link does not fit the row before it");
    const std::string hash =
        chain_hash(seq, rows.integer(1), rows.text(2), rows.text(3), rows.text(4), rows.text(5), rows.text(6));
    if (rows.text(7) != hash) return broken(seq, "altered: its hash does not fit what it says");
    check.rows = seq;
    check.head = hash;
    last_sealed = rows.string(8);
  }
  if (!any_row) {
    FB_TRY(const std::optional<std::string> head, db.text("SELECT value FROM meta WHERE key = 'audit_head'"));
    last_sealed = head.value_or("");
    if (last_sealed.empty()) {
      check.ok = true;  // nothing was ever written
      return check;
    }
  }
  if (last_sealed != sealed(AuditHead{check.rows, check.head})) {
    return broken(check.rows + 1, "rows are missing at the end: the chain was sealed at " +
                                      last_sealed.substr(0, last_sealed.find(':')));
  }
  check.ok = true;
  return check;
}

}  // namespace fb::record
