#include "api/exceptions/rule_item.h"

#include "api/api.h"
#include "api/exceptions/objects.h"
#include "api/rules/desk.h"

namespace fb::api {

Status check_rule_item(const ExceptionRow& row, const Parts& parts) {
  if (parts.rules == nullptr) return {};
  const std::string problem = parts.rules->problem_of({row.agnostic, row.list_id, false}, {row.item_id, row.doc});
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
    for (const ExceptionRow& item : items) content.items.push_back({item.item_id, item.doc});
    return content;
  };
}

}  // namespace fb::api
