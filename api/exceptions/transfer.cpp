#include "api/exceptions/transfer.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/api.h"
#include "api/exceptions/isolation_item.h"
#include "api/exceptions/objects.h"
#include "api/exceptions/requests.h"
#include "api/exceptions/rule_item.h"
#include "api/router.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;
using By = ExceptionStore::By;
using ListKey = std::pair<bool, std::string>;  // namespace and list_id

bool is_expired(const ExceptionRow& row, int64_t now_ms) {
  return row.expires_at_ms != 0 && row.expires_at_ms <= now_ms;
}

// One import: its lines are sorted out, then what they ask for is thought out against the record as it is and made as
// one change. When the record moved meanwhile it is thought out anew.
class Import {
 public:
  Import(const Call& call, const ImportOptions& options)
      : call_(call), store_(call.parts.store.exceptions()), options_(options) {}

  Status read(std::string_view file);
  Status write();
  std::string summary() const;
  Status tell() const;

 private:
  using Change = ExceptionStore::Change;

  void refuse(int status, const std::string& message, const std::string& list_id, const std::string& item_id) {
    Json error{{"error", {{"status_code", status}, {"message", message}}}};
    if (!list_id.empty()) error["list_id"] = list_id;
    if (!item_id.empty()) error["item_id"] = item_id;
    errors_.push_back(std::move(error));
    (item_id.empty() ? lists_failed_ : items_failed_) = true;
  }
  void read_line(std::string_view line);
  Status plan();
  Status plan_list(ListSent list);
  struct Item {
    ItemSent sent;
    ExceptionRow row;
    Status isolation;  // of a host isolation exception: what is wrong with it
  };
  Result<std::vector<Item>> prepare_items();
  Status plan_item(Item item);
  Status plan_overwrite(const ItemSent& sent, const ExceptionRow& row);
  void count(const std::vector<ExceptionStore::AddedItem>& done);

  const Call& call_;
  ExceptionStore store_;
  const ImportOptions options_;
  std::vector<ListSent> lists_;
  std::vector<ItemSent> items_;
  std::set<ListKey> seen_lists_;
  std::set<ListKey> seen_items_;  // by item_id

  // Of one plan.
  std::vector<Change> changes_;
  std::map<ListKey, std::string> new_ids_;  // as_new_list: the list_id of a list in the file -> the one it got
  std::set<ListKey> made_;                  // lists that the plan makes
  std::set<ListKey> emptied_;               // lists whose items the plan takes away

  Json errors_ = Json::array();
  bool lists_failed_ = false;
  bool items_failed_ = false;
  int64_t lists_done_ = 0;
  int64_t items_done_ = 0;
  std::map<ListKey, ExceptionRow> changed_;  // lists that are not as they were: what tells which they are
};

void Import::read_line(std::string_view line) {
  const Json json = parse_ordered_json(line);
  if (!json.is_object()) return refuse(400, "a line is not a JSON object", "", "");
  if (json.contains("exported_exception_list_count")) return;
  const auto text = [&json](const char* key) {
    const auto it = json.find(key);
    return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  if (json.contains("entries") || json.contains("item_id")) {
    auto item = read_item_body(line, BodyOf::import);
    if (!item) {
      const std::string id = text("item_id");
      return refuse(400, item.error().message, text("list_id"), id.empty() ? "(unknown item_id)" : id);
    }
    if (!options_.as_new_list && !seen_items_.insert({item->agnostic, item->item_id}).second) {
      return refuse(400, "More than one exception list item with item_id: \"" + item->item_id + "\" found in imports.",
                    item->list_id, item->item_id);
    }
    // Who wrote a comment elsewhere and when is not known here: the text counts.
    for (CommentSent& c : item->comments) c.id.clear();
    items_.push_back(std::move(*item));
    return;
  }
  auto list = read_list_body(line, BodyOf::import);
  if (!list) return refuse(400, list.error().message, text("list_id"), "");
  if (!seen_lists_.insert({list->agnostic, list->list_id}).second) {
    return refuse(400, "More than one exception list with list_id: \"" + list->list_id + "\" found in imports.",
                  list->list_id, "");
  }
  lists_.push_back(std::move(*list));
}

Status Import::read(std::string_view file) {
  while (!file.empty()) {
    const size_t end = std::min(file.find('\n'), file.size());
    std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (lists_.size() + items_.size() + errors_.size() >= kMaxImport) {
      return fail(ErrorCode::limit, "Can't import more than " + std::to_string(kMaxImport) + " exceptions");
    }
    read_line(line);
  }
  return {};
}

Status Import::write() {
  const Json unread = errors_;
  const bool lists_unread = lists_failed_;
  const bool items_unread = items_failed_;
  for (int tries = 1;; ++tries) {
    errors_ = unread;
    lists_failed_ = lists_unread;
    items_failed_ = items_unread;
    FB_TRY_VOID(plan());
    if (changes_.empty()) return {};
    const auto done = store_.apply(changes_, call_.actor());
    if (done) {
      count(*done);
      return {};
    }
    if (done.error().code != ErrorCode::conflict || tries >= kMostTries) return tl::unexpected<Error>(done.error());
  }
}

Status Import::plan() {
  changes_.clear();
  new_ids_.clear();
  made_.clear();
  emptied_.clear();
  for (const ListSent& list : lists_) FB_TRY_VOID(plan_list(list));
  FB_TRY(std::vector<Item> items, prepare_items());
  for (Item& item : items) FB_TRY_VOID(plan_item(std::move(item)));
  return {};
}

// Host isolation exceptions are judged together: each by itself might fit where all of them do not.
Result<std::vector<Import::Item>> Import::prepare_items() {
  std::vector<Item> items;
  std::vector<OpenAddress> opens;
  std::vector<size_t> of;
  for (const ItemSent& sent : items_) {
    Item item;
    item.sent = sent;
    if (options_.as_new_list) {
      const auto renamed = new_ids_.find({sent.agnostic, sent.list_id});
      if (renamed != new_ids_.end()) item.sent.list_id = renamed->second;
      item.sent.item_id = new_uuid();
    }
    if (item.sent.agnostic && item.sent.list_id == kIsolationList) {
      FB_TRY_VOID(drop_unknown_policies(item.sent, call_.parts));
      item.isolation = check_isolation_item(item.sent);
    }
    item.row = new_item(item.sent, call_.who.person, call_.parts.clock.wall_ms());
    if (item.isolation && item.row.opens) {
      opens.push_back(*item.row.opens);
      of.push_back(items.size());
    }
    items.push_back(std::move(item));
  }
  std::vector<Status> verdicts = check_addresses(opens, emptied_.contains({true, kIsolationList}), call_.parts);
  for (size_t i = 0; i < of.size(); ++i) items[of[i]].isolation = std::move(verdicts[i]);
  return items;
}

Status Import::plan_list(ListSent list) {
  const ListKey key{list.agnostic, list.list_id};
  const int64_t now = call_.parts.clock.wall_ms();
  if (options_.as_new_list) {
    list.list_id = new_uuid();
    new_ids_[key] = list.list_id;
    made_.insert({list.agnostic, list.list_id});
    changes_.push_back({Change::What::add_list, new_list(list, call_.who.person, now), 0, false});
    return {};
  }
  if (const Status fine = check_list(list); !fine) {
    refuse(400, fine.error().message, list.list_id, "");
    return {};
  }
  FB_TRY(const auto known, store_.list(list.agnostic, By::human_id, list.list_id));
  if (!known) {
    made_.insert(key);
    changes_.push_back({Change::What::add_list, new_list(list, call_.who.person, now), 0, false});
    return {};
  }
  if (!options_.overwrite && !options_.overwrite_items) {
    refuse(409,
           "Found that list_id: \"" + list.list_id + "\" already exists. Import of list_id: \"" + list.list_id +
               "\" skipped.",
           list.list_id, "");
    return {};
  }
  bool emptied = options_.overwrite;
  if (emptied && !call_.who.may(Privilege::exceptions_delete)) {
    FB_TRY(const int64_t items, store_.count_items(list.agnostic, list.list_id));
    if (items > 0) {
      return fail(ErrorCode::refused,
                  "overwriting the list \"" + list.list_id + "\" removes its items, which needs exceptions_delete");
    }
    emptied = false;  // of whatever comes into it meanwhile
  }
  if (emptied) emptied_.insert(key);
  changes_.push_back(
      {Change::What::change_list, changed_list(*known, list, call_.who.person, now), known->seq_no, emptied});
  return {};
}

Status Import::plan_item(Item item) {
  ExceptionRow& row = item.row;
  if (!made_.contains({row.agnostic, row.list_id})) {
    FB_TRY(const auto list, store_.list(row.agnostic, By::human_id, row.list_id));
    if (!list) {
      refuse(409,
             "Exception list with list_id: \"" + row.list_id +
                 "\", not found for exception list item with item_id: \"" + row.item_id + "\"",
             row.list_id, row.item_id);
      return {};
    }
  }
  if (!item.isolation) {
    refuse(400, "EndpointArtifactError: " + item.isolation.error().message, row.list_id, row.item_id);
    return {};
  }
  if (const Status fine = check_rule_item(row, call_.parts); !fine && !is_isolation_item(row)) {
    refuse(400, fine.error().message, row.list_id, row.item_id);
    return {};
  }
  FB_TRY(const auto known, store_.item(row.agnostic, By::human_id, row.item_id));
  if (!known || emptied_.contains({known->agnostic, known->list_id})) {
    changes_.push_back({Change::What::add_item, std::move(row), 0, false});
    return {};
  }
  if (options_.overwrite || options_.overwrite_items) return plan_overwrite(item.sent, *known);
  refuse(
      409,
      "Found that item_id: \"" + row.item_id + "\" already exists. Import of item_id: \"" + row.item_id + "\" skipped.",
      row.list_id, row.item_id);
  return {};
}

Status Import::plan_overwrite(const ItemSent& sent, const ExceptionRow& row) {
  if (row.list_id != sent.list_id) {
    refuse(409,
           "Error trying to update item_id: \"" + row.item_id + "\" and list_id: \"" + sent.list_id +
               "\". The item already exists under list_id: \"" + row.list_id + "\"",
           sent.list_id, row.item_id);
    return {};
  }
  ItemSent kept = sent;
  kept.comments.clear();  // those that are here stay
  FB_TRY(ExceptionRow changed, changed_item(row, kept, call_.who.person, call_.parts.clock.wall_ms()));
  changes_.push_back({Change::What::change_item, std::move(changed), row.seq_no, false});
  return {};
}

void Import::count(const std::vector<ExceptionStore::AddedItem>& done) {
  for (size_t i = 0; i < changes_.size(); ++i) {
    const ExceptionRow& row = changes_[i].row;
    if (done[i].what == ExceptionStore::Added::full) {
      refuse(
          400,
          "Failed to add exception item, exception list would exceed max size of " + std::to_string(kMaxExceptionItems),
          row.list_id, row.item_id);
      continue;
    }
    ++(row.item_id.empty() ? lists_done_ : items_done_);
    ExceptionRow& list = changed_[{row.agnostic, row.list_id}];
    list.agnostic = row.agnostic;
    list.list_id = row.list_id;
  }
}

// Of its own lists alone: others that rules are behind with are none of its answer.
Status Import::tell() const {
  if (changed_.empty()) return {};
  std::vector<ExceptionRow> lists;
  for (const auto& [key, list] : changed_) lists.push_back(list);
  return tell_rules(call_.parts, lists);
}

std::string Import::summary() const {
  return dumped(Json{{"errors", errors_},
                     {"success", errors_.empty()},
                     {"success_count", lists_done_ + items_done_},
                     {"success_exception_lists", !lists_failed_},
                     {"success_count_exception_lists", lists_done_},
                     {"success_exception_list_items", !items_failed_},
                     {"success_count_exception_list_items", items_done_}});
}

}  // namespace

Result<std::string> export_list(const Call& call, const ExceptionRow& list, bool with_expired) {
  const int64_t now = call.parts.clock.wall_ms();
  const ExceptionPage all{ExceptionPage::Order::created_at, true, 0, -1, kMaxExceptionBytes};
  FB_TRY(const auto items, call.parts.store.exceptions().items(list.agnostic, list.list_id, all));
  std::string out = answer_of(list) + "\n";
  int64_t count = 0;
  for (const ExceptionRow& item : items) {
    if (!with_expired && is_expired(item, now)) continue;
    out += answer_of(item) + "\n";
    ++count;
  }
  return out +
         dumped(Json{{"exported_exception_list_count", 1},
                     {"exported_exception_list_item_count", count},
                     {"missing_exception_list_item_count", 0},
                     {"missing_exception_list_items", Json::array()},
                     {"missing_exception_lists", Json::array()},
                     {"missing_exception_lists_count", 0}}) +
         "\n";
}

Result<Imported> import_lists(const Call& call, std::string_view file, const ImportOptions& options) {
  Import import(call, options);
  FB_TRY_VOID(import.read(file));
  FB_TRY_VOID(import.write());
  return Imported{import.summary(), import.tell()};
}

Result<ExceptionRow> duplicate_list(const Call& call, const ExceptionRow& list, bool with_expired) {
  const int64_t now = call.parts.clock.wall_ms();
  ExceptionStore store = call.parts.store.exceptions();
  FB_TRY(const auto items, store.items(list.agnostic, list.list_id,
                                       {ExceptionPage::Order::created_at, false, 0, -1, kMaxExceptionBytes}));
  Json doc = parse_ordered_json(list.doc);
  doc["list_id"] = new_uuid();
  doc["name"] = list.name + " [Duplicate]";
  FB_TRY(const ListSent sent, read_list_body(dumped(doc), BodyOf::import));
  ExceptionRow copy = new_list(sent, call.who.person, now);
  std::vector<ExceptionRow> rows;
  for (const ExceptionRow& item : items) {
    if (!with_expired && is_expired(item, now)) continue;
    Json one = parse_ordered_json(item.doc);
    one["list_id"] = copy.list_id;
    one["item_id"] = new_uuid();
    FB_TRY(ItemSent copied, read_item_body(dumped(one), BodyOf::import));
    for (CommentSent& c : copied.comments) c.id.clear();
    rows.push_back(new_item(copied, call.who.person, now));
  }
  std::vector<ExceptionStore::Change> changes;
  changes.push_back({ExceptionStore::Change::What::add_list, copy, 0, false});
  for (ExceptionRow& row : rows) {
    changes.push_back({ExceptionStore::Change::What::add_item, std::move(row), 0, false});
  }
  FB_TRY(const auto added, store.apply(changes, call.actor()));
  copy.seq_no = added.front().seq_no;
  return copy;
}

}  // namespace fb::api
