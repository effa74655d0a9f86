#include "api/exceptions/transfer.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "api/api.h"
#include "api/exceptions/isolation_item.h"
#include "api/exceptions/objects.h"
#include "api/router.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;
using By = ExceptionStore::By;
using ListKey = std::pair<bool, std::string>;  // namespace and list_id

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool is_expired(const ExceptionRow& row, int64_t now_ms) {
  return row.expires_at_ms != 0 && row.expires_at_ms <= now_ms;
}

// One import: its lines are sorted out, then the lists are made, then the items.
class Import {
 public:
  Import(const Call& call, const ImportOptions& options)
      : call_(call), store_(call.parts.store.exceptions()), options_(options) {}

  Status read(std::string_view file);
  Status write();
  std::string summary() const;

 private:
  struct Item {
    ItemSent sent;
    std::string named;  // its list_id in the file
  };

  void refuse(int status, const std::string& message, const std::string& list_id, const std::string& item_id) {
    Json error{{"error", {{"status_code", status}, {"message", message}}}};
    if (!list_id.empty()) error["list_id"] = list_id;
    if (!item_id.empty()) error["item_id"] = item_id;
    errors_.push_back(std::move(error));
    (item_id.empty() ? lists_failed_ : items_failed_) = true;
  }
  void read_line(std::string_view line);
  Status write_list(ListSent list);
  Status write_items();
  Result<bool> prepare_item(Item& item, std::vector<ExceptionRow>& rows);
  Result<bool> overwrite_item(const Item& item, const ExceptionRow& row);

  const Call& call_;
  ExceptionStore store_;
  const ImportOptions options_;
  std::vector<ListSent> lists_;
  std::vector<Item> items_;
  std::map<ListKey, std::string> new_ids_;  // as_new_list: the list_id of a list in the file -> the one it got
  std::set<ListKey> skipped_;               // lists that were there already
  Json errors_ = Json::array();
  bool lists_failed_ = false;
  bool items_failed_ = false;
  int64_t lists_done_ = 0;
  int64_t items_done_ = 0;
};

void Import::read_line(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
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
    // Who wrote a comment elsewhere and when is not known here: the text counts.
    for (CommentSent& c : item->comments) c.id.clear();
    std::string named = item->list_id;
    items_.push_back({std::move(*item), std::move(named)});
    return;
  }
  auto list = read_list_body(line, BodyOf::import);
  if (!list) return refuse(400, list.error().message, text("list_id"), "");
  lists_.push_back(std::move(*list));
}

Status Import::read(std::string_view file) {
  while (!file.empty()) {
    const size_t end = std::min(file.find('\n'), file.size());
    std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (lists_.size() + items_.size() + errors_.size() >= kMaxImport + 1) {
      return fail(ErrorCode::limit, "Can't import more than " + std::to_string(kMaxImport) + " exceptions");
    }
    read_line(line);
  }
  return {};
}

Status Import::write() {
  for (ListSent& list : lists_) FB_TRY_VOID(write_list(std::move(list)));
  return write_items();
}

Status Import::write_list(ListSent list) {
  const ListKey key{list.agnostic, list.list_id};
  const int64_t now = call_.parts.clock.wall_ms();
  if (options_.as_new_list) {
    list.list_id = new_uuid();
    new_ids_[key] = list.list_id;
    ExceptionRow row = new_list(list, call_.who.person, now);
    const auto added = store_.add_list(row, call_.actor());
    if (!added) return tl::unexpected<Error>(added.error());
    ++lists_done_;
    return {};
  }
  if (const Status fine = check_list(list); !fine) {
    refuse(400, fine.error().message, list.list_id, "");
    return {};
  }
  FB_TRY(const auto known, store_.list(list.agnostic, By::human_id, list.list_id));
  if (!known) {
    const ExceptionRow row = new_list(list, call_.who.person, now);
    const auto added = store_.add_list(row, call_.actor());
    if (added) {
      ++lists_done_;
      return {};
    }
    if (added.error().code != ErrorCode::already_exists) return tl::unexpected<Error>(added.error());
  }
  if (!options_.overwrite) {
    refuse(409,
           "Found that list_id: \"" + list.list_id + "\" already exists. Import of list_id: \"" + list.list_id +
               "\" skipped.",
           list.list_id, "");
    return {};
  }
  FB_TRY(const auto there, store_.list(list.agnostic, By::human_id, list.list_id));
  if (!there) return fail(ErrorCode::conflict, "the list was deleted meanwhile", list.list_id);
  FB_TRY_VOID(store_.remove_items_of(list.agnostic, list.list_id, call_.actor()));
  const auto changed =
      store_.change_list(changed_list(*there, list, call_.who.person, now), there->seq_no, call_.actor());
  if (!changed) return tl::unexpected<Error>(changed.error());
  ++lists_done_;
  return {};
}

// True: it goes into `rows`. False: it was refused, or written over one that was there.
Result<bool> Import::prepare_item(Item& item, std::vector<ExceptionRow>& rows) {
  ItemSent& sent = item.sent;
  if (options_.as_new_list) {
    const auto renamed = new_ids_.find({sent.agnostic, item.named});
    if (renamed != new_ids_.end()) sent.list_id = renamed->second;
    sent.item_id = new_uuid();
  }
  ExceptionRow row = new_item(sent, call_.who.person, call_.parts.clock.wall_ms());
  FB_TRY(const auto list, store_.list(row.agnostic, By::human_id, row.list_id));
  if (!list) {
    refuse(409,
           "Exception list with list_id: \"" + row.list_id + "\", not found for exception list item with item_id: \"" +
               row.item_id + "\"",
           row.list_id, row.item_id);
    return false;
  }
  if (is_isolation_item(row)) {
    Status fine = drop_unknown_policies(sent, call_.parts);
    if (fine) fine = check_isolation_item(sent);
    if (fine) {
      row = new_item(sent, call_.who.person, call_.parts.clock.wall_ms());
      fine = check_address(row, call_.parts);
    }
    if (!fine) {
      refuse(400, "EndpointArtifactError: " + fine.error().message, row.list_id, row.item_id);
      return false;
    }
  }
  FB_TRY(const auto known, store_.item(row.agnostic, By::human_id, row.item_id));
  if (!known) {
    rows.push_back(std::move(row));
    return true;
  }
  if (!options_.overwrite) {
    refuse(409,
           "Found that item_id: \"" + row.item_id + "\" already exists. Import of item_id: \"" + row.item_id +
               "\" skipped.",
           row.list_id, row.item_id);
    return false;
  }
  return overwrite_item(item, *known);
}

Result<bool> Import::overwrite_item(const Item& item, const ExceptionRow& row) {
  if (row.list_id != item.sent.list_id) {
    refuse(409,
           "Error trying to update item_id: \"" + row.item_id + "\" and list_id: \"" + item.sent.list_id +
               "\". The item already exists under list_id: \"" + row.list_id + "\"",
           item.sent.list_id, row.item_id);
    return false;
  }
  ItemSent sent = item.sent;
  sent.comments.clear();  // those that are here stay
  FB_TRY(const ExceptionRow changed, changed_item(row, sent, call_.who.person, call_.parts.clock.wall_ms()));
  const auto seq_no = store_.change_item(changed, row.seq_no, call_.actor());
  if (!seq_no) {
    if (seq_no.error().code != ErrorCode::conflict) return tl::unexpected<Error>(seq_no.error());
    refuse(409, "item_id: \"" + row.item_id + "\" was changed meanwhile", row.list_id, row.item_id);
    return false;
  }
  ++items_done_;
  return false;
}

Status Import::write_items() {
  std::vector<ExceptionRow> rows;
  std::set<std::pair<bool, std::string>> in_file;
  for (Item& item : items_) {
    if (!options_.as_new_list && !in_file.insert({item.sent.agnostic, item.sent.item_id}).second) {
      refuse(400, "More than one exception list item with item_id: \"" + item.sent.item_id + "\" found in imports.",
             item.sent.list_id, item.sent.item_id);
      continue;
    }
    FB_TRY(const bool fresh, prepare_item(item, rows));
    static_cast<void>(fresh);
  }
  if (rows.empty()) return {};
  FB_TRY(const auto added, store_.add_items(rows, call_.actor()));
  for (size_t i = 0; i < rows.size(); ++i) {
    switch (added[i].what) {
      case ExceptionStore::Added::done:
        ++items_done_;
        break;
      case ExceptionStore::Added::full:
        refuse(400,
               "Failed to add exception item, exception list would exceed max size of " +
                   std::to_string(kMaxExceptionItems),
               rows[i].list_id, rows[i].item_id);
        break;
      default:
        refuse(409, "item_id: \"" + rows[i].item_id + "\" or its list was changed meanwhile", rows[i].list_id,
               rows[i].item_id);
    }
  }
  return {};
}

std::string Import::summary() const {
  return text_of(Json{{"errors", errors_},
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
  FB_TRY(const auto items, call.parts.store.exceptions().items(list.agnostic, list.list_id));
  std::string out = answer_of(list) + "\n";
  int64_t count = 0;
  for (const ExceptionRow& item : items) {
    if (!with_expired && is_expired(item, now)) continue;
    out += answer_of(item) + "\n";
    ++count;
  }
  return out +
         text_of(Json{{"exported_exception_list_count", 1},
                      {"exported_exception_list_item_count", count},
                      {"missing_exception_list_item_count", 0},
                      {"missing_exception_list_items", Json::array()},
                      {"missing_exception_lists", Json::array()},
                      {"missing_exception_lists_count", 0}}) +
         "\n";
}

Result<std::string> import_lists(const Call& call, std::string_view file, const ImportOptions& options) {
  Import import(call, options);
  FB_TRY_VOID(import.read(file));
  FB_TRY_VOID(import.write());
  return import.summary();
}

Result<ExceptionRow> duplicate_list(const Call& call, const ExceptionRow& list, bool with_expired) {
  const int64_t now = call.parts.clock.wall_ms();
  ExceptionStore store = call.parts.store.exceptions();
  FB_TRY(const auto items, store.items(list.agnostic, list.list_id, {ExceptionPage::Order::created_at, false, 0, -1}));
  Json doc = Json::parse(list.doc, nullptr, false);
  doc["list_id"] = new_uuid();
  doc["name"] = list.name + " [Duplicate]";
  FB_TRY(const ListSent sent, read_list_body(text_of(doc), BodyOf::import));
  ExceptionRow copy = new_list(sent, call.who.person, now);
  std::vector<ExceptionRow> rows;
  for (const ExceptionRow& item : items) {
    if (!with_expired && is_expired(item, now)) continue;
    Json one = Json::parse(item.doc, nullptr, false);
    one["list_id"] = copy.list_id;
    one["item_id"] = new_uuid();
    FB_TRY(ItemSent copied, read_item_body(text_of(one), BodyOf::import));
    for (CommentSent& c : copied.comments) c.id.clear();
    rows.push_back(new_item(copied, call.who.person, now));
  }
  FB_TRY(copy.seq_no, store.add_list(copy, call.actor()));
  if (!rows.empty()) {
    FB_TRY(const auto added, store.add_items(rows, call.actor()));
    static_cast<void>(added);
  }
  return copy;
}

}  // namespace fb::api
