#include "api/exceptions/rule_item.h"

#include <algorithm>

#include "api/api.h"
#include "api/exceptions/objects.h"
#include "api/rules/desk.h"
#include "engine/base/json.h"
#include "engine/record/value_lists.h"

namespace fb::api {
namespace {

// The value lists that the item's entries name; those that are not there are null. `known` are those read before.
Result<ValueLists> value_lists_of(const ExceptionRow& row, Store& store, ValueLists& known) {
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
    if (const auto it = known.find(id); it != known.end()) {
      named.insert(*it);
      continue;
    }
    FB_TRY(const auto found, values.list(id));
    std::shared_ptr<ValueList> read;
    if (found) {
      read = std::make_shared<ValueList>();
      read->type = found->type;
      FB_TRY(read->values, values.values(id));
    }
    known[id] = read;
    named[id] = std::move(read);
  }
  return named;
}

}  // namespace

Status check_rule_item(const ExceptionRow& row, const Parts& parts) {
  if (parts.rules == nullptr) return {};
  ValueLists known;
  FB_TRY(ValueLists values, value_lists_of(row, parts.store, known));
  // Nobody adds an exception that counts for nothing.
  std::erase_if(values, [](const auto& list) { return list.second == nullptr; });
  const std::string problem =
      parts.rules->problem_of({row.agnostic, row.list_id, false}, {row.item_id, row.doc, std::move(values)});
  if (problem.empty()) return {};
  return fail(ErrorCode::invalid_argument, problem);
}

void tell_rules(const Parts& parts) {
  if (parts.rules != nullptr) parts.rules->lists_changed();
}

ListReader record_lists(Store& store) {
  return [&store](const ListReference& list) -> Result<ListContent> {
    ListContent content;
    ExceptionStore exceptions = store.exceptions();
    FB_TRY(const auto row, exceptions.list(list.agnostic, ExceptionStore::By::human_id, list.list_id));
    if (!row) return content;
    content.known = true;
    // What isolated hosts may talk to says nothing of events.
    if (list.agnostic && list.list_id == kIsolationList) return content;
    FB_TRY(const auto items,
           exceptions.items(list.agnostic, list.list_id, {ExceptionPage::Order::created_at, false, 0, -1}));
    ValueLists known;
    for (const ExceptionRow& item : items) {
      FB_TRY(ValueLists values, value_lists_of(item, store, known));
      content.items.push_back({item.item_id, item.doc, std::move(values)});
    }
    return content;
  };
}

}  // namespace fb::api
