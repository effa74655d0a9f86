#include "engine/record/exceptions.h"

#include <map>
#include <utility>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/record/exception_audit.h"
#include "engine/record/exception_policies.h"
#include "engine/record/impl.h"

namespace fb {

using record::Rows;
using record::Sqlite;
using record::Txn;
using record::Writer;

namespace {

constexpr const char* kAgnostic = "agnostic";
constexpr const char* kSingle = "single";

const char* namespace_of(bool agnostic) {
  return agnostic ? kAgnostic : kSingle;
}

#define FB_LIST \
  "SELECT id, namespace, list_id, '', seq_no, name, created_at, updated_at, 0, '', '', '', doc FROM exception_lists "
#define FB_ITEM                                                                                                   \
  "SELECT id, namespace, list_id, item_id, seq_no, name, created_at, updated_at, expires_at, address, os_types, " \
  "policies, doc FROM exception_items "

ExceptionRow read_row(const Rows& row) {
  ExceptionRow r;
  r.id = row.string(0);
  r.agnostic = row.text(1) == kAgnostic;
  r.list_id = row.string(2);
  r.item_id = row.string(3);
  r.seq_no = row.integer(4);
  r.name = row.string(5);
  r.created_at_ms = row.integer(6);
  r.updated_at_ms = row.integer(7);
  r.expires_at_ms = row.integer(8);
  if (!row.text(9).empty()) {
    r.opens = OpenAddress{r.id, row.string(9), record::string_list(row.text(10)), record::string_list(row.text(11)),
                          r.expires_at_ms};
  }
  r.doc = row.string(12);
  return r;
}

Result<std::optional<ExceptionRow>> first_row(Result<Rows> rows) {
  if (!rows) return tl::unexpected<Error>(std::move(rows).error());
  FB_TRY(const bool any, rows->next());
  if (!any) return std::optional<ExceptionRow>();
  return std::optional<ExceptionRow>(read_row(*rows));
}

Result<std::vector<ExceptionRow>> all_rows(Result<Rows> rows, int64_t max_bytes = -1) {
  if (!rows) return tl::unexpected<Error>(std::move(rows).error());
  std::vector<ExceptionRow> list;
  int64_t bytes = 0;
  for (;;) {
    FB_TRY(const bool more, rows->next());
    if (!more) return list;
    list.push_back(read_row(*rows));
    bytes += static_cast<int64_t>(list.back().doc.size());
    if (max_bytes >= 0 && bytes > max_bytes) {
      return fail(ErrorCode::limit, "the exceptions are larger than " + std::to_string(max_bytes) + " bytes together");
    }
  }
}

Status see_rows(Result<Rows> rows, const ExceptionStore::See& see) {
  if (!rows) return tl::unexpected<Error>(std::move(rows).error());
  for (;;) {
    FB_TRY(const bool more, rows->next());
    if (!more) return {};
    see(read_row(*rows));
  }
}

// Rises for good: a number that was given once is never given to another state, of this object or of any other.
Result<int64_t> next_seq_no(Txn& txn) {
  FB_TRY_VOID(
      txn.db.run("INSERT INTO meta(key, value) VALUES('exceptions_seq_no', '1') ON CONFLICT DO UPDATE SET value = "
                 "CAST(CAST(value AS INTEGER) + 1 AS TEXT)"));
  FB_TRY(const auto seq_no, txn.db.integer("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'exceptions_seq_no'"));
  return seq_no.value_or(1);
}

Status audit_row(Txn& txn, const std::string& who, const char* what, const ExceptionRow& row) {
  return txn.audit(who, what, row.item_id.empty() ? row.list_id : row.item_id, record::audit_text(row));
}

// Isolated hosts are told as soon as it is durable.
void tell_changed(Txn& txn, const Store::Impl& impl) {
  txn.commit_now = true;
  if (impl.options.open_addresses_changed) txn.after_commit.push_back(impl.options.open_addresses_changed);
}

std::string os_of(const ExceptionRow& row) {
  return row.opens ? record::string_list_json(row.opens->os_types) : "[]";
}
std::string policies_of(const ExceptionRow& row) {
  return row.opens ? record::string_list_json(row.opens->policies) : "[]";
}
std::string address_of(const ExceptionRow& row) {
  return row.opens ? row.opens->address : "";
}

Status check_row(const ExceptionRow& row, const std::string& who) {
  if (who.empty()) return fail(ErrorCode::invalid_argument, "a change of exceptions names who made it");
  if (row.id.empty() || row.list_id.empty()) return fail(ErrorCode::invalid_argument, "an exception without an id");
  return {};
}

Status check_item(const ExceptionRow& row, const std::string& who) {
  FB_TRY_VOID(check_row(row, who));
  if (row.item_id.empty()) return fail(ErrorCode::invalid_argument, "an exception item without an item_id");
  return {};
}

// Within one transaction.
struct Tally {
  std::map<std::pair<bool, std::string>, int64_t> items;  // of a list, counted once
  bool opens = false;                                     // what isolated hosts are told is another thing now
};

Result<int64_t> add_list_row(Txn& txn, const ExceptionRow& row, const std::string& who) {
  FB_TRY(const auto known, txn.db.integer("SELECT 1 FROM exception_lists WHERE namespace = ? AND list_id = ?",
                                          namespace_of(row.agnostic), row.list_id));
  if (known) return fail(ErrorCode::already_exists, "a list has this list_id", row.list_id);
  FB_TRY(const int64_t seq_no, next_seq_no(txn));
  FB_TRY_VOID(
      txn.db.run("INSERT INTO exception_lists(id, namespace, list_id, seq_no, name, created_at, updated_at, doc) "
                 "VALUES(?,?,?,?,?,?,?,?)",
                 row.id, namespace_of(row.agnostic), row.list_id, seq_no, row.name, row.created_at_ms,
                 row.updated_at_ms, row.doc));
  FB_TRY_VOID(audit_row(txn, who, "exception_list_added", row));
  return seq_no;
}

Result<int64_t> change_list_row(Txn& txn, const ExceptionRow& row, int64_t expected, const std::string& who) {
  FB_TRY(const auto now, txn.db.integer("SELECT seq_no FROM exception_lists WHERE id = ?", row.id));
  if (!now) return fail(ErrorCode::not_found, "the list is gone", row.id);
  if (*now != expected) return fail(ErrorCode::conflict, std::to_string(*now), row.id);
  FB_TRY(const int64_t seq_no, next_seq_no(txn));
  FB_TRY_VOID(txn.db.run("UPDATE exception_lists SET seq_no = ?2, name = ?3, updated_at = ?4, doc = ?5 WHERE id = ?1",
                         row.id, seq_no, row.name, row.updated_at_ms, row.doc));
  FB_TRY_VOID(audit_row(txn, who, "exception_list_changed", row));
  return seq_no;
}

// Takes all items of a list away; tells which they were, "" = it had none.
Result<std::string> remove_items(Txn& txn, const ExceptionRow& list) {
  record::RemovedItems removed;
  {
    FB_TRY(Rows rows,
           txn.db.query("SELECT item_id, address, name FROM exception_items WHERE namespace = ? AND "
                        "list_id = ? ORDER BY address = '', seq LIMIT ?",
                        namespace_of(list.agnostic), list.list_id, static_cast<int64_t>(record::RemovedItems::kNamed)));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) break;
      removed.add(rows.string(0), rows.string(1), rows.string(2));
    }
  }
  FB_TRY(const int64_t count, txn.db.change("DELETE FROM exception_items WHERE namespace = ? AND list_id = ?",
                                            namespace_of(list.agnostic), list.list_id));
  return count == 0 ? std::string() : removed.text(count);
}

Status empty_list(Txn& txn, const ExceptionRow& list, const std::string& who, Tally& tally) {
  FB_TRY(const std::string removed, remove_items(txn, list));
  tally.items[{list.agnostic, list.list_id}] = 0;
  if (removed.empty()) return {};
  tally.opens = true;
  return txn.audit(who, "exceptions_removed", list.list_id, removed);
}

Result<ExceptionStore::AddedItem> add_item_row(Txn& txn, const ExceptionRow& row, const std::string& who,
                                               Tally& tally) {
  using Added = ExceptionStore::Added;
  const char* space = namespace_of(row.agnostic);
  FB_TRY(const auto list,
         txn.db.integer("SELECT 1 FROM exception_lists WHERE namespace = ? AND list_id = ?", space, row.list_id));
  if (!list) return ExceptionStore::AddedItem{Added::no_list, 0};
  FB_TRY(const auto known,
         txn.db.integer("SELECT 1 FROM exception_items WHERE namespace = ? AND item_id = ?", space, row.item_id));
  if (known) return ExceptionStore::AddedItem{Added::exists, 0};
  const auto [count, fresh] = tally.items.try_emplace({row.agnostic, row.list_id}, 0);
  if (fresh) {
    FB_TRY(const auto there, txn.db.integer("SELECT count(*) FROM exception_items WHERE namespace = ? AND list_id = ?",
                                            space, row.list_id));
    count->second = there.value_or(0);
  }
  if (count->second >= kMaxExceptionItems) return ExceptionStore::AddedItem{Added::full, 0};
  FB_TRY(const int64_t seq_no, next_seq_no(txn));
  FB_TRY_VOID(
      txn.db.run("INSERT INTO exception_items(id, namespace, list_id, item_id, seq_no, name, created_at, "
                 "updated_at, expires_at, address, os_types, policies, doc) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
                 row.id, space, row.list_id, row.item_id, seq_no, row.name, row.created_at_ms, row.updated_at_ms,
                 row.expires_at_ms, address_of(row), os_of(row), policies_of(row), row.doc));
  FB_TRY_VOID(audit_row(txn, who, "exception_added", row));
  ++count->second;
  tally.opens = tally.opens || row.opens;
  return ExceptionStore::AddedItem{Added::done, seq_no};
}

Result<int64_t> change_item_row(Txn& txn, const ExceptionRow& row, int64_t expected, const std::string& who,
                                Tally& tally) {
  FB_TRY(const auto now, txn.db.integer("SELECT seq_no FROM exception_items WHERE id = ?", row.id));
  if (!now) return fail(ErrorCode::not_found, "the item is gone", row.id);
  if (*now != expected) return fail(ErrorCode::conflict, std::to_string(*now), row.id);
  FB_TRY(const auto taken,
         txn.db.integer("SELECT 1 FROM exception_items WHERE namespace = ? AND item_id = ? AND id <> ?",
                        namespace_of(row.agnostic), row.item_id, row.id));
  if (taken) return fail(ErrorCode::already_exists, "another item has this item_id", row.item_id);
  FB_TRY(const auto opened, txn.db.text("SELECT address FROM exception_items WHERE id = ?", row.id));
  FB_TRY(const int64_t seq_no, next_seq_no(txn));
  FB_TRY_VOID(
      txn.db.run("UPDATE exception_items SET item_id = ?2, seq_no = ?3, name = ?4, updated_at = ?5, expires_at = ?6, "
                 "address = ?7, os_types = ?8, policies = ?9, doc = ?10 WHERE id = ?1",
                 row.id, row.item_id, seq_no, row.name, row.updated_at_ms, row.expires_at_ms, address_of(row),
                 os_of(row), policies_of(row), row.doc));
  tally.opens = tally.opens || row.opens || !opened.value_or("").empty();
  FB_TRY_VOID(audit_row(txn, who, "exception_changed", row));
  return seq_no;
}

Status remove_item_row(Txn& txn, const ExceptionRow& row, int64_t expected, const std::string& who, Tally& tally) {
  FB_TRY(const auto now, txn.db.integer("SELECT seq_no FROM exception_items WHERE id = ?", row.id));
  if (!now || *now != expected) return fail(ErrorCode::conflict, "the item is another or gone", row.id);
  FB_TRY_VOID(txn.db.run("DELETE FROM exception_items WHERE id = ?", row.id));
  if (const auto count = tally.items.find({row.agnostic, row.list_id}); count != tally.items.end()) --count->second;
  tally.opens = tally.opens || row.opens;
  return audit_row(txn, who, "exception_removed", row);
}

// Whatever a change ran into that was otherwise when it was thought out.
template <class T>
Result<T> or_conflict(Result<T> done) {
  if (done) return done;
  const ErrorCode code = done.error().code;
  if (code != ErrorCode::not_found && code != ErrorCode::already_exists) return done;
  return fail(ErrorCode::conflict, done.error().message, done.error().context);
}

}  // namespace

ExceptionStore Store::exceptions() {
  return ExceptionStore(*impl_);
}

Status record::forget_policy(Txn& txn, const Store::Impl& impl, const std::string& policy_id, const std::string& who) {
  FB_TRY(std::vector<ExceptionRow> naming,
         all_rows(txn.db.query(
             FB_ITEM "WHERE address <> '' AND EXISTS(SELECT 1 FROM json_each(policies) WHERE value = ?) ORDER BY seq",
             policy_id)));
  if (naming.empty()) return {};
  Tally tally;
  for (ExceptionRow& row : naming) {
    std::erase(row.opens->policies, policy_id);
    auto doc = parse_ordered_json(row.doc);
    if (!doc.is_object() || !doc["tags"].is_array())
      return fail(ErrorCode::corrupt, "an exception without tags", row.id);
    auto tags = nlohmann::ordered_json::array();
    for (const auto& tag : doc["tags"]) {
      if (tag != "policy:" + policy_id) tags.push_back(tag);
    }
    doc["tags"] = std::move(tags);
    doc["updated_at"] = iso8601(txn.now_ms);
    doc["updated_by"] = who.starts_with("user:") ? who.substr(5) : who;
    row.updated_at_ms = txn.now_ms;
    row.doc = dumped(doc);
    FB_TRY_VOID(change_item_row(txn, row, row.seq_no, who, tally));
  }
  tell_changed(txn, impl);
  return {};
}

Result<std::optional<ExceptionRow>> ExceptionStore::list(bool agnostic, By by, const std::string& key) {
  using Row = std::optional<ExceptionRow>;
  return impl_.readers->with<Row>([&](Sqlite& db) -> Result<Row> {
    if (by == By::id) {
      return first_row(db.query(FB_LIST "WHERE id = ? AND namespace = ?", key, namespace_of(agnostic)));
    }
    return first_row(db.query(FB_LIST "WHERE list_id = ? AND namespace = ?", key, namespace_of(agnostic)));
  });
}

Result<std::optional<ExceptionRow>> ExceptionStore::item(bool agnostic, By by, const std::string& key) {
  using Row = std::optional<ExceptionRow>;
  return impl_.readers->with<Row>([&](Sqlite& db) -> Result<Row> {
    if (by == By::id) {
      return first_row(db.query(FB_ITEM "WHERE id = ? AND namespace = ?", key, namespace_of(agnostic)));
    }
    return first_row(db.query(FB_ITEM "WHERE item_id = ? AND namespace = ?", key, namespace_of(agnostic)));
  });
}

Result<std::vector<ExceptionRow>> ExceptionStore::lists(bool agnostic) {
  using List = std::vector<ExceptionRow>;
  return impl_.readers->with<List>([&](Sqlite& db) -> Result<List> {
    return all_rows(db.query(FB_LIST "WHERE namespace = ? ORDER BY created_at DESC, seq DESC", namespace_of(agnostic)));
  });
}

Result<std::vector<ExceptionRow>> ExceptionStore::items(bool agnostic, const std::string& list_id,
                                                        const ExceptionPage& page) {
  // First which rows, then the rows: sorting does not carry their documents along.
#define FB_PAGE(by, way)                                                                                           \
  FB_ITEM "WHERE seq IN (SELECT seq FROM exception_items WHERE namespace = ? AND list_id = ? ORDER BY " by " " way \
          ", seq " way " LIMIT ? OFFSET ?) ORDER BY " by " " way ", seq " way
  static constexpr const char* kPages[4][2] = {
      {FB_PAGE("created_at", "ASC"), FB_PAGE("created_at", "DESC")},
      {FB_PAGE("updated_at", "ASC"), FB_PAGE("updated_at", "DESC")},
      {FB_PAGE("name", "ASC"), FB_PAGE("name", "DESC")},
      {FB_PAGE("item_id", "ASC"), FB_PAGE("item_id", "DESC")},
  };
#undef FB_PAGE
  using List = std::vector<ExceptionRow>;
  return impl_.readers->with<List>([&](Sqlite& db) -> Result<List> {
    return all_rows(db.query(kPages[static_cast<size_t>(page.order)][page.descending ? 1 : 0], namespace_of(agnostic),
                             list_id, page.limit, page.skip),
                    page.max_bytes);
  });
}

Status ExceptionStore::each_list(bool agnostic, const See& see) {
  FB_TRY_VOID(impl_.readers->with<bool>([&](Sqlite& db) -> Result<bool> {
    FB_TRY_VOID(see_rows(
        db.query(FB_LIST "WHERE namespace = ? ORDER BY created_at DESC, seq DESC", namespace_of(agnostic)), see));
    return true;
  }));
  return {};
}

Status ExceptionStore::each_item(bool agnostic, const std::string& list_id, const See& see) {
  // In the order of an index: the documents are read one by one and not carried through a sort.
  FB_TRY_VOID(impl_.readers->with<bool>([&](Sqlite& db) -> Result<bool> {
    FB_TRY_VOID(see_rows(db.query(FB_ITEM "WHERE namespace = ? AND list_id = ? ORDER BY created_at DESC, seq DESC",
                                  namespace_of(agnostic), list_id),
                         see));
    return true;
  }));
  return {};
}

Result<int64_t> ExceptionStore::count_items(bool agnostic, const std::string& list_id) {
  return impl_.readers->with<int64_t>([&](Sqlite& db) -> Result<int64_t> {
    FB_TRY(const auto count, db.integer("SELECT count(*) FROM exception_items WHERE namespace = ? AND list_id = ?",
                                        namespace_of(agnostic), list_id));
    return count.value_or(0);
  });
}

Result<int64_t> ExceptionStore::add_list(const ExceptionRow& row, const std::string& who) {
  FB_TRY_VOID(check_row(row, who));
  int64_t seq_no = 0;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(seq_no, add_list_row(txn, row, who));
    return {};
  }));
  return seq_no;
}

Result<std::vector<ExceptionStore::AddedItem>> ExceptionStore::add_items(const std::vector<ExceptionRow>& rows,
                                                                         const std::string& who) {
  for (const ExceptionRow& row : rows) FB_TRY_VOID(check_item(row, who));
  std::vector<AddedItem> added;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    added.assign(rows.size(), {});
    Tally tally;
    for (size_t i = 0; i < rows.size(); ++i) {
      FB_TRY(added[i], add_item_row(txn, rows[i], who, tally));
    }
    if (tally.opens) tell_changed(txn, impl_);
    return {};
  }));
  return added;
}

Result<int64_t> ExceptionStore::change_list(const ExceptionRow& row, int64_t expected, const std::string& who) {
  FB_TRY_VOID(check_row(row, who));
  int64_t seq_no = 0;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(seq_no, change_list_row(txn, row, expected, who));
    return {};
  }));
  return seq_no;
}

Result<int64_t> ExceptionStore::change_item(const ExceptionRow& row, int64_t expected, const std::string& who) {
  FB_TRY_VOID(check_item(row, who));
  int64_t seq_no = 0;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    Tally tally;
    FB_TRY(seq_no, change_item_row(txn, row, expected, who, tally));
    if (tally.opens) tell_changed(txn, impl_);
    return {};
  }));
  return seq_no;
}

Result<std::vector<ExceptionStore::AddedItem>> ExceptionStore::apply(const std::vector<Change>& changes,
                                                                     const std::string& who) {
  using What = Change::What;
  for (const Change& c : changes) {
    const bool is_item = c.what == What::add_item || c.what == What::change_item;
    FB_TRY_VOID(is_item ? check_item(c.row, who) : check_row(c.row, who));
  }
  std::vector<AddedItem> added;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    added.assign(changes.size(), {});
    Tally tally;
    for (size_t i = 0; i < changes.size(); ++i) {
      const Change& c = changes[i];
      switch (c.what) {
        case What::add_list: {
          FB_TRY(added[i].seq_no, or_conflict(add_list_row(txn, c.row, who)));
          break;
        }
        case What::change_list: {
          FB_TRY(added[i].seq_no, or_conflict(change_list_row(txn, c.row, c.expected, who)));
          if (c.emptied) FB_TRY_VOID(empty_list(txn, c.row, who, tally));
          break;
        }
        case What::remove_item: {
          FB_TRY_VOID(remove_item_row(txn, c.row, c.expected, who, tally));
          break;
        }
        case What::change_item: {
          FB_TRY(added[i].seq_no, or_conflict(change_item_row(txn, c.row, c.expected, who, tally)));
          break;
        }
        case What::add_item: {
          FB_TRY(added[i], add_item_row(txn, c.row, who, tally));
          if (added[i].what == Added::no_list || added[i].what == Added::exists) {
            return fail(ErrorCode::conflict, "the record has changed meanwhile", c.row.item_id);
          }
          if (added[i].what == Added::full && c.must_fit) {
            return fail(ErrorCode::limit, "Failed to add exception item, exception list would exceed max size of " +
                                              std::to_string(kMaxExceptionItems));
          }
          break;
        }
      }
    }
    if (tally.opens) tell_changed(txn, impl_);
    return {};
  }));
  return added;
}

Result<bool> ExceptionStore::remove_list(const ExceptionRow& row, const std::string& who) {
  FB_TRY_VOID(check_row(row, who));
  bool removed = false;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t gone, txn.db.change("DELETE FROM exception_lists WHERE id = ?", row.id));
    removed = gone > 0;
    if (!removed) return {};
    FB_TRY(const std::string items, remove_items(txn, row));
    if (!items.empty()) tell_changed(txn, impl_);
    return txn.audit(who, "exception_list_removed", row.list_id, items.empty() ? "no items with it" : items);
  }));
  return removed;
}

Result<bool> ExceptionStore::remove_item(const ExceptionRow& row, const std::string& who) {
  FB_TRY_VOID(check_row(row, who));
  bool removed = false;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t gone, txn.db.change("DELETE FROM exception_items WHERE id = ?", row.id));
    removed = gone > 0;
    if (!removed) return {};
    if (row.opens) tell_changed(txn, impl_);
    return audit_row(txn, who, "exception_removed", row);
  }));
  return removed;
}

Result<std::vector<OpenAddress>> ExceptionStore::open_addresses() {
  using List = std::vector<OpenAddress>;
  return impl_.readers->with<List>([](Sqlite& db) -> Result<List> {
    List list;
    FB_TRY(Rows rows, db.query("SELECT id, address, os_types, policies, expires_at FROM exception_items WHERE address "
                               "<> '' ORDER BY seq"));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      list.push_back({rows.string(0), rows.string(1), record::string_list(rows.text(2)),
                      record::string_list(rows.text(3)), rows.integer(4)});
    }
  });
}

Result<std::vector<PolicyTarget>> ExceptionStore::policy_targets() {
  using List = std::vector<PolicyTarget>;
  return impl_.readers->with<List>([](Sqlite& db) -> Result<List> {
    List list;
    FB_TRY(Rows rows, db.query("SELECT e.endpoint_id, e.hostname, e.os, coalesce(x.policy_id, 'default'), e.observed, "
                               "e.agent_status, e.policy_digest FROM endpoints e LEFT JOIN endpoint_policies x "
                               "USING(endpoint_id) ORDER BY e.hostname, e.endpoint_id"));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      list.push_back({rows.string(0), rows.string(1), rows.string(2), rows.string(3), rows.string(4), rows.string(5),
                      rows.string(6)});
    }
  });
}

}  // namespace fb
