#include "engine/record/value_lists.h"

#include <set>
#include <string_view>
#include <utility>

#include "engine/base/text.h"
#include "engine/model/ids.h"
#include "engine/record/impl.h"

namespace fb {

using record::Rows;
using record::Sqlite;
using record::Txn;
using record::Writer;

namespace {

constexpr const char* kDropped = "value_lists_dropped";  // in `meta`

#define FB_VALUE_LIST                                                                                              \
  "SELECT id, type, name, description, meta, serializer, deserializer, tie_breaker, version, seq_no, created_at, " \
  "created_by, updated_at, updated_by FROM value_lists "
#define FB_VALUE                                                                                               \
  "SELECT id, list_id, value, meta, tie_breaker, seq_no, created_at, created_by, updated_at, updated_by FROM " \
  "value_list_items "

ValueListRow read_list(const Rows& r) {
  ValueListRow row;
  row.id = r.string(0);
  row.type = r.string(1);
  row.name = r.string(2);
  row.description = r.string(3);
  row.meta = r.string(4);
  row.serializer = r.string(5);
  row.deserializer = r.string(6);
  row.tie_breaker = r.string(7);
  row.version = r.integer(8);
  row.seq_no = r.integer(9);
  row.created_at_ms = r.integer(10);
  row.created_by = r.string(11);
  row.updated_at_ms = r.integer(12);
  row.updated_by = r.string(13);
  return row;
}

ValueRow read_value(const Rows& r) {
  ValueRow row;
  row.id = r.string(0);
  row.list_id = r.string(1);
  row.value = r.string(2);
  row.meta = r.string(3);
  row.tie_breaker = r.string(4);
  row.seq_no = r.integer(5);
  row.created_at_ms = r.integer(6);
  row.created_by = r.string(7);
  row.updated_at_ms = r.integer(8);
  row.updated_by = r.string(9);
  return row;
}

template <class Row>
Result<std::vector<Row>> all_of(Result<Rows> rows, Row (*read)(const Rows&)) {
  if (!rows) return tl::unexpected<Error>(std::move(rows).error());
  std::vector<Row> list;
  for (;;) {
    FB_TRY(const bool more, rows->next());
    if (!more) return list;
    list.push_back(read(*rows));
  }
}

template <class Row>
Result<std::optional<Row>> first_of(Result<Rows> rows, Row (*read)(const Rows&)) {
  if (!rows) return tl::unexpected<Error>(std::move(rows).error());
  FB_TRY(const bool any, rows->next());
  return any ? std::optional<Row>(read(*rows)) : std::optional<Row>();
}

std::string read_text(const Rows& r) {
  return r.string(0);
}

std::string shown(const std::string& text) {
  constexpr size_t kMost = 256;
  return text.size() <= kMost ? text : to_utf8(text.substr(0, kMost)) + "...";
}
std::string shown(const ValueRow& row) {
  return shown(row.list_id) + ": " + shown(row.value);
}

// Rises for good, so that a number stands for one state of one row. The last of `count` numbers that nobody has.
Result<int64_t> next_seq_no(Txn& txn, int64_t count = 1) {
  FB_TRY_VOID(
      txn.db.run("INSERT INTO meta(key, value) VALUES('value_lists_seq_no', CAST(?1 AS TEXT)) ON CONFLICT DO UPDATE "
                 "SET value = CAST(CAST(value AS INTEGER) + ?1 AS TEXT)",
                 count));
  FB_TRY(const auto seq_no, txn.db.integer("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'value_lists_seq_no'"));
  return seq_no.value_or(count);
}

Status note_removal(Txn& txn) {
  FB_TRY_VOID(next_seq_no(txn));
  return {};
}

Result<int64_t> insert_list(Txn& txn, const ValueListRow& row, const std::string& who) {
  FB_TRY(const auto known, txn.db.integer("SELECT 1 FROM value_lists WHERE id = ?", row.id));
  if (known) return fail(ErrorCode::already_exists, "a value list has this id", row.id);
  FB_TRY(const int64_t seq_no, next_seq_no(txn));
  FB_TRY_VOID(txn.db.run(
      "INSERT INTO value_lists(id, type, name, description, meta, serializer, deserializer, tie_breaker, version, "
      "seq_no, created_at, created_by, updated_at, updated_by) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
      row.id, row.type, row.name, row.description, row.meta, row.serializer, row.deserializer, row.tie_breaker,
      row.version, seq_no, row.created_at_ms, row.created_by, row.updated_at_ms, row.updated_by));
  FB_TRY_VOID(txn.audit(who, "value_list_added", row.id, row.type + ", " + shown(row.name)));
  return seq_no;
}

Status insert_value(Txn& txn, const ValueRow& row, int64_t seq_no) {
  return txn.db.run(
      "INSERT INTO value_list_items(id, list_id, value, meta, tie_breaker, seq_no, created_at, created_by, "
      "updated_at, updated_by) VALUES(?,?,?,?,?,?,?,?,?,?)",
      row.id, row.list_id, row.value, row.meta, row.tie_breaker, seq_no, row.created_at_ms, row.created_by,
      row.updated_at_ms, row.updated_by);
}

Result<int64_t> count_values(Txn& txn, const std::string& list_id) {
  FB_TRY(const auto count, txn.db.integer("SELECT count(*) FROM value_list_items WHERE list_id = ?", list_id));
  return count.value_or(0);
}

Error full() {
  return {ErrorCode::limit, Retry::no, "a value list holds " + std::to_string(kMaxValues) + " values at most", ""};
}

}  // namespace

Result<bool> ValueListStore::is_open() {
  return impl_.readers->with<bool>([](Sqlite& db) -> Result<bool> {
    FB_TRY(const auto dropped, db.integer("SELECT 1 FROM meta WHERE key = ?", kDropped));
    return !dropped;
  });
}

Status ValueListStore::open(const std::string& who) {
  return impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t gone, txn.db.change("DELETE FROM meta WHERE key = ?", kDropped));
    return gone == 0 ? Status() : txn.audit(who, "value_lists_opened", "value_lists", "");
  });
}

Result<bool> ValueListStore::drop_all(const std::string& who) {
  bool dropped = false;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t fresh,
           txn.db.change("INSERT INTO meta(key, value) VALUES(?, '1') ON CONFLICT DO NOTHING", kDropped));
    dropped = fresh > 0;
    if (!dropped) return {};
    FB_TRY_VOID(note_removal(txn));
    FB_TRY(const int64_t values, txn.db.change("DELETE FROM value_list_items"));
    FB_TRY(const int64_t lists, txn.db.change("DELETE FROM value_lists"));
    return txn.audit(who, "value_lists_dropped", "value_lists",
                     std::to_string(lists) + " lists, " + std::to_string(values) + " values");
  }));
  return dropped;
}

Result<std::optional<ValueListRow>> ValueListStore::list(const std::string& id) {
  return impl_.readers->with<std::optional<ValueListRow>>(
      [&](Sqlite& db) { return first_of(db.query(FB_VALUE_LIST "WHERE id = ?", id), read_list); });
}

Result<std::vector<ValueListRow>> ValueListStore::lists() {
  return impl_.readers->with<std::vector<ValueListRow>>(
      [](Sqlite& db) { return all_of(db.query(FB_VALUE_LIST "ORDER BY seq"), read_list); });
}

Result<int64_t> ValueListStore::add_list(const ValueListRow& row, const std::string& who) {
  int64_t seq_no = 0;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(seq_no, insert_list(txn, row, who));
    return {};
  }));
  return seq_no;
}

Result<int64_t> ValueListStore::change_list(const ValueListRow& row, int64_t expected, const std::string& who) {
  int64_t seq_no = 0;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const auto now, txn.db.integer("SELECT seq_no FROM value_lists WHERE id = ?", row.id));
    if (!now) return fail(ErrorCode::not_found, "the value list is gone", row.id);
    if (*now != expected) return fail(ErrorCode::conflict, std::to_string(*now), row.id);
    FB_TRY(seq_no, next_seq_no(txn));
    FB_TRY_VOID(txn.db.run(
        "UPDATE value_lists SET name = ?2, description = ?3, meta = ?4, version = ?5, seq_no = ?6, "
        "updated_at = ?7, updated_by = ?8 WHERE id = ?1",
        row.id, row.name, row.description, row.meta, row.version, seq_no, row.updated_at_ms, row.updated_by));
    return txn.audit(who, "value_list_changed", row.id, shown(row.name));
  }));
  return seq_no;
}

Result<bool> ValueListStore::remove_list(const std::string& id, const std::string& who) {
  bool removed = false;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const int64_t gone, txn.db.change("DELETE FROM value_lists WHERE id = ?", id));
    removed = gone > 0;
    if (!removed) return {};
    FB_TRY_VOID(note_removal(txn));
    FB_TRY(const int64_t values, txn.db.change("DELETE FROM value_list_items WHERE list_id = ?", id));
    return txn.audit(who, "value_list_removed", id, std::to_string(values) + " values with it");
  }));
  return removed;
}

Result<std::optional<ValueRow>> ValueListStore::item(const std::string& id) {
  return impl_.readers->with<std::optional<ValueRow>>(
      [&](Sqlite& db) { return first_of(db.query(FB_VALUE "WHERE id = ?", id), read_value); });
}

Result<std::vector<ValueRow>> ValueListStore::items(const std::string& list_id, int64_t skip, int64_t limit) {
  return impl_.readers->with<std::vector<ValueRow>>([&](Sqlite& db) {
    return all_of(db.query(FB_VALUE "WHERE list_id = ? ORDER BY seq LIMIT ? OFFSET ?", list_id, limit, skip),
                  read_value);
  });
}

Result<int64_t> ValueListStore::count_items(const std::string& list_id) {
  return impl_.readers->with<int64_t>([&](Sqlite& db) -> Result<int64_t> {
    FB_TRY(const auto count, db.integer("SELECT count(*) FROM value_list_items WHERE list_id = ?", list_id));
    return count.value_or(0);
  });
}

Result<std::vector<ValueRow>> ValueListStore::items_of_value(const std::string& list_id, const std::string& value) {
  return impl_.readers->with<std::vector<ValueRow>>([&](Sqlite& db) {
    return all_of(db.query(FB_VALUE "WHERE list_id = ? AND value = ? ORDER BY seq", list_id, value), read_value);
  });
}

Result<std::vector<std::string>> ValueListStore::values(const std::string& list_id) {
  return impl_.readers->with<std::vector<std::string>>([&](Sqlite& db) {
    return all_of(db.query("SELECT DISTINCT value FROM value_list_items WHERE list_id = ? ORDER BY value", list_id),
                  read_text);
  });
}

Result<int64_t> ValueListStore::last_change() {
  return impl_.readers->with<int64_t>([](Sqlite& db) -> Result<int64_t> {
    FB_TRY(const auto last, db.integer("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'value_lists_seq_no'"));
    return last.value_or(0);
  });
}

Result<int64_t> ValueListStore::add_item(const ValueRow& row, const std::string& who) {
  int64_t seq_no = 0;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const auto list, txn.db.integer("SELECT 1 FROM value_lists WHERE id = ?", row.list_id));
    if (!list) return fail(ErrorCode::not_found, "there is no such value list", row.list_id);
    FB_TRY(const auto known, txn.db.integer("SELECT 1 FROM value_list_items WHERE id = ?", row.id));
    if (known) return fail(ErrorCode::already_exists, "a value has this id", row.id);
    FB_TRY(const int64_t count, count_values(txn, row.list_id));
    if (count >= kMaxValues) return tl::unexpected<Error>(full());
    FB_TRY(seq_no, next_seq_no(txn));
    FB_TRY_VOID(insert_value(txn, row, seq_no));
    return txn.audit(who, "value_added", row.id, shown(row));
  }));
  return seq_no;
}

Result<int64_t> ValueListStore::change_item(const ValueRow& row, int64_t expected, const std::string& who) {
  int64_t seq_no = 0;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const auto now, txn.db.integer("SELECT seq_no FROM value_list_items WHERE id = ?", row.id));
    if (!now) return fail(ErrorCode::not_found, "the value is gone", row.id);
    if (*now != expected) return fail(ErrorCode::conflict, std::to_string(*now), row.id);
    FB_TRY(seq_no, next_seq_no(txn));
    FB_TRY_VOID(
        txn.db.run("UPDATE value_list_items SET value = ?2, meta = ?3, seq_no = ?4, updated_at = ?5, "
                   "updated_by = ?6 WHERE id = ?1",
                   row.id, row.value, row.meta, seq_no, row.updated_at_ms, row.updated_by));
    return txn.audit(who, "value_changed", row.id, shown(row));
  }));
  return seq_no;
}

Result<int64_t> ValueListStore::remove_items(const std::vector<ValueRow>& rows, const std::string& who) {
  int64_t removed = 0;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    removed = 0;
    for (const ValueRow& row : rows) {
      FB_TRY(const int64_t gone, txn.db.change("DELETE FROM value_list_items WHERE id = ?", row.id));
      if (gone > 0) FB_TRY_VOID(txn.audit(who, "value_removed", row.id, shown(row)));
      removed += gone;
    }
    return removed > 0 ? note_removal(txn) : Status();
  }));
  return removed;
}

Result<int64_t> ValueListStore::import(const ValueListRow& list, bool make, const std::vector<std::string>& values,
                                       const std::string& who) {
  // Made before the writer is held by it.
  std::vector<ValueRow> rows;
  std::set<std::string_view> once;
  for (const std::string& value : values) {
    if (!once.insert(value).second) continue;
    ValueRow row;
    row.id = new_uuid();
    row.list_id = list.id;
    row.value = value;
    row.tie_breaker = new_uuid();
    row.created_at_ms = row.updated_at_ms = list.updated_at_ms;
    row.created_by = row.updated_by = list.updated_by;
    rows.push_back(std::move(row));
  }
  int64_t added = 0;
  FB_TRY_VOID(impl_.writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    added = 0;
    FB_TRY(const auto there, txn.db.integer("SELECT 1 FROM value_lists WHERE id = ?", list.id));
    if (!there && !make) return fail(ErrorCode::not_found, "there is no such value list", list.id);
    if (!there) FB_TRY_VOID(insert_list(txn, list, who));
    FB_TRY(const auto old,
           all_of(txn.db.query("SELECT value FROM value_list_items WHERE list_id = ?", list.id), read_text));
    const std::set<std::string_view> known(old.begin(), old.end());
    auto count = static_cast<int64_t>(old.size());
    FB_TRY(const int64_t last, next_seq_no(txn, static_cast<int64_t>(rows.size())));
    int64_t seq_no = last - static_cast<int64_t>(rows.size());
    for (const ValueRow& row : rows) {
      if (known.contains(row.value)) continue;
      if (++count > kMaxValues) return tl::unexpected<Error>(full());
      FB_TRY_VOID(insert_value(txn, row, ++seq_no));
      ++added;
    }
    return txn.audit(who, "values_imported", list.id, std::to_string(added) + " values");
  }));
  return added;
}

Result<std::vector<ExceptionRow>> ValueListStore::references(const std::string& list_id) {
  // Entries stand at the top of an item only: those within nested ones name no list.
  const auto keys = impl_.readers->with<std::vector<std::string>>([&](Sqlite& db) {
    return all_of(db.query("SELECT i.namespace || ' ' || i.id FROM exception_items i WHERE instr(i.doc, "
                           "'\"type\":\"list\"') > 0 AND EXISTS(SELECT 1 FROM json_each(i.doc, '$.entries') e WHERE "
                           "json_extract(e.value, '$.type') = 'list' AND json_extract(e.value, '$.list.id') = ?) "
                           "ORDER BY i.seq",
                           list_id),
                  read_text);
  });
  if (!keys) return tl::unexpected<Error>(keys.error());
  ExceptionStore exceptions(impl_);
  std::vector<ExceptionRow> rows;
  for (const std::string& key : *keys) {
    const size_t blank = key.find(' ');
    FB_TRY(auto row,
           exceptions.item(key.substr(0, blank) == "agnostic", ExceptionStore::By::id, key.substr(blank + 1)));
    if (row) rows.push_back(std::move(*row));
  }
  return rows;
}

}  // namespace fb
