#include "api/exceptions/rule_item.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "api/api.h"
#include "api/exceptions/objects.h"
#include "api/rules/desk.h"
#include "engine/base/json.h"
#include "engine/record/value_lists.h"

namespace fb::api {
namespace {

// Value lists as they were read last, so that a list of 65,536 values is read and kept once however many exception
// lists name it. Thread-safe.
class ValueMemory {
 public:
  // Null: there is no such list.
  Result<std::shared_ptr<const ValueList>> list(ValueListStore& values, const std::string& id) {
    // Asked before the values are read: what comes in between is read again the next time.
    FB_TRY(const int64_t change, values.last_change());
    const std::lock_guard lock(mutex_);
    if (change != change_) known_.clear();
    change_ = change;
    if (const auto it = known_.find(id); it != known_.end()) return it->second;
    FB_TRY(const auto found, values.list(id));
    std::shared_ptr<const ValueList> made;
    if (found) {
      FB_TRY(auto texts, values.values(id));
      made = std::make_shared<const ValueList>(compile::make_value_list(found->type, std::move(texts)));
    }
    known_[id] = made;
    return made;
  }

 private:
  std::mutex mutex_;
  int64_t change_ = -1;
  std::map<std::string, std::shared_ptr<const ValueList>> known_;
};

// The value lists that the item's entries name; those that are not there are null.
Result<ValueLists> value_lists_of(const ExceptionRow& row, Store& store, ValueMemory& memory) {
  ValueLists named;
  if (row.doc.find("\"type\":\"list\"") == std::string::npos) return named;
  const auto doc = parse_ordered_json(row.doc);
  const auto entries = doc.find("entries");
  if (entries == doc.end() || !entries->is_array()) return named;
  ValueListStore values(store.exceptions());
  for (const auto& entry : *entries) {
    if (!entry.is_object() || entry.value("type", "") != "list") continue;
    const auto list = entry.find("list");
    if (list == entry.end() || !list->is_object()) continue;
    const std::string id = list->value("id", "");
    if (named.contains(id)) continue;
    FB_TRY(named[id], memory.list(values, id));
  }
  return named;
}

}  // namespace

Status check_rule_item(const ExceptionRow& row, const Parts& parts, ListIs list) {
  if (parts.rules == nullptr) return {};
  ValueMemory memory;
  FB_TRY(ValueLists values, value_lists_of(row, parts.store, memory));
  // Nobody adds an exception that counts for nothing.
  std::erase_if(values, [](const auto& named) { return named.second == nullptr; });
  const ExceptionText item{row.item_id, row.doc, std::move(values)};
  const std::string problem = list == ListIs::about_to_be_named
                                  ? parts.rules->problem_of(item)
                                  : parts.rules->problem_of({row.agnostic, row.list_id, false}, item);
  if (problem.empty()) return {};
  return fail(ErrorCode::invalid_argument, problem);
}

Status tell_rules(const Parts& parts, std::span<const ExceptionRow> of) {
  if (parts.rules == nullptr) return {};
  const ReloadReport report = parts.rules->lists_changed();
  const auto behind = std::find_if(report.behind.begin(), report.behind.end(), [&](const ReloadReport::Behind& b) {
    return of.empty() || std::any_of(of.begin(), of.end(), [&](const ExceptionRow& row) {
             return b.list.agnostic == row.agnostic && b.list.list_id == row.list_id;
           });
  });
  if (behind == report.behind.end()) return {};
  return fail(ErrorCode::unavailable,
              "the change is kept, but the rules do not run with it yet: " + behind->problem +
                  " (it is tried again; /readyz names the problem until it is in force)",
              {}, Retry::yes);
}

ListReader record_lists(Store& store) {
  return [&store, memory = std::make_shared<ValueMemory>()](const ListReference& list) -> Result<ListContent> {
    ListContent content;
    ExceptionStore exceptions = store.exceptions();
    FB_TRY(const auto row, exceptions.list(list.agnostic, ExceptionStore::By::human_id, list.list_id));
    if (!row) return content;
    content.known = true;
    // What isolated hosts may talk to says nothing of events.
    if (list.agnostic && list.list_id == kIsolationList) return content;
    FB_TRY(const auto items,
           exceptions.items(list.agnostic, list.list_id, {ExceptionPage::Order::created_at, false, 0, -1}));
    for (const ExceptionRow& item : items) {
      FB_TRY(ValueLists values, value_lists_of(item, store, *memory));
      content.items.push_back({item.item_id, item.doc, std::move(values)});
    }
    return content;
  };
}

}  // namespace fb::api
