#include "engine/record/rules_store.h"

#include "engine/base/text.h"
#include "engine/record/impl.h"

namespace fb {

using record::Rows;
using record::Sqlite;
using record::Txn;
using record::Writer;

namespace {

Status write_one(Txn& txn, const RuleWrite& change, const std::string& who) {
  FB_TRY(const std::optional<int64_t> newest,
         txn.db.integer("SELECT max(number) FROM api_rule_versions WHERE id = ?", change.id));
  const int64_t number = newest.value_or(0) + 1;
  if (change.what == "deleted") {
    FB_TRY(const int64_t gone, txn.db.change("DELETE FROM api_rules WHERE id = ?", change.id));
    if (gone == 0) return fail(ErrorCode::not_found, "there is no rule with this id", change.id);
  } else {
    FB_TRY(const auto taken,
           txn.db.text("SELECT id FROM api_rules WHERE rule_id = ? AND id <> ?", change.rule_id, change.id));
    if (taken) return fail(ErrorCode::already_exists, "rule_id: \"" + change.rule_id + "\" already exists");
    FB_TRY_VOID(
        txn.db.run("INSERT INTO api_rules(id, rule_id, number, doc) VALUES(?1, ?2, ?3, ?4) "
                   "ON CONFLICT(id) DO UPDATE SET rule_id = ?2, number = ?3, doc = ?4",
                   change.id, change.rule_id, number, change.doc));
  }
  FB_TRY_VOID(txn.db.run(
      "INSERT INTO api_rule_versions(id, number, rule_id, at, author, what, doc) VALUES(?, ?, ?, ?, ?, ?, ?)",
      change.id, number, change.rule_id, txn.now_ms, who, change.what, change.doc));
  return txn.audit(who, "rule_" + change.what, change.rule_id,
                   "id " + change.id + ", version " + std::to_string(number));
}

}  // namespace

Result<std::vector<StoredRule>> ApiRules::all() {
  return store_.impl_->readers->with<std::vector<StoredRule>>([](Sqlite& db) -> Result<std::vector<StoredRule>> {
    std::vector<StoredRule> list;
    FB_TRY(Rows rows, db.query("SELECT id, rule_id, number, doc FROM api_rules ORDER BY id"));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      list.push_back({rows.string(0), rows.string(1), rows.integer(2), rows.string(3)});
    }
  });
}

Status ApiRules::write(const std::vector<RuleWrite>& changes, const std::string& who) {
  if (who.empty()) return fail(ErrorCode::invalid_argument, "a change of rules names who made it");
  for (const RuleWrite& change : changes) {
    if (change.id.empty() || change.rule_id.empty() || !is_utf8(change.doc)) {
      return fail(ErrorCode::invalid_argument, "a rule has an id, a rule_id and a text in UTF-8");
    }
  }
  return store_.impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    for (const RuleWrite& change : changes) FB_TRY_VOID(write_one(txn, change, who));
    return {};
  });
}

Result<std::vector<RuleVersion>> ApiRules::versions(const std::string& id) {
  return store_.impl_->readers->with<std::vector<RuleVersion>>([&](Sqlite& db) -> Result<std::vector<RuleVersion>> {
    std::vector<RuleVersion> list;
    FB_TRY(Rows rows,
           db.query("SELECT id, rule_id, number, at, author, what, doc FROM api_rule_versions WHERE id = "
                    "coalesce((SELECT id FROM api_rules WHERE id = ?1 OR rule_id = ?1), (SELECT id FROM "
                    "api_rule_versions WHERE id = ?1 OR rule_id = ?1 ORDER BY at DESC, number DESC LIMIT 1)) "
                    "ORDER BY number",
                    id));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      list.push_back({rows.string(0), rows.string(1), rows.integer(2), rows.integer(3), rows.string(4), rows.string(5),
                      rows.string(6)});
    }
  });
}

}  // namespace fb
