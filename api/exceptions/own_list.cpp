#include "api/exceptions/own_list.h"

#include <optional>

#include "api/api.h"
#include "api/exceptions/objects.h"
#include "api/exceptions/rule_item.h"
#include "api/exceptions/transfer.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using By = ExceptionStore::By;
using Change = ExceptionStore::Change;
using Json = nlohmann::ordered_json;
using Items = std::vector<ExceptionRow>;

constexpr int kMostTries = 8;  // each lost to somebody whose change was made

Json lists_of(const RuleView& rule) {
  const Json doc = parse_ordered_json(rule.doc);
  return doc.is_object() ? doc.value("exceptions_list", Json::array()) : Json::array();
}

// What the rule's document says; it may call a list its own that others share.
bool is_own(const Json& list) {
  return list.is_object() && list.value("type", "") == "rule_default" &&
         list.value("namespace_type", "single") == "single";
}

// What is kept of a list that the document calls the rule's own; none: it was never made, or was deleted.
Result<std::optional<ExceptionRow>> recorded(Store& store, const Json& list) {
  return store.exceptions().list(false, By::human_id, list.value("list_id", ""));
}

std::string type_of(const ExceptionRow& list) {
  const Json doc = parse_ordered_json(list.doc);
  return doc.is_object() ? doc.value("type", "") : "";
}

bool is_kept_as_own(const ExceptionRow& list) {
  return type_of(list) == "rule_default";
}

// The list of the record that is the rule's own; none when there is none.
Result<std::optional<ExceptionRow>> standing_list(Store& store, const RuleView& rule) {
  for (const Json& list : lists_of(rule)) {
    if (!is_own(list)) continue;
    FB_TRY(auto row, recorded(store, list));
    if (row && is_kept_as_own(*row)) return row;
  }
  return std::optional<ExceptionRow>();
}

Status check(const Call& call, Items& items, const std::string& list_id) {
  for (ExceptionRow& row : items) {
    row.list_id = list_id;
    Json doc = parse_ordered_json(row.doc);
    doc["list_id"] = list_id;
    row.doc = dumped(doc);
    FB_TRY_VOID(check_rule_item(row, call.parts, ListIs::about_to_be_named));
  }
  return {};
}

// All of it in one transaction. A conflict that is an item's own says so; another may be gone at the next try.
Status keep(const Call& call, std::vector<Change> changes, Items& items) {
  for (const ExceptionRow& row : items) {
    Change add;
    add.row = row;
    add.must_fit = true;
    changes.push_back(std::move(add));
  }
  ExceptionStore store = call.parts.store.exceptions();
  const auto added = store.apply(changes, call.actor());
  if (added) {
    const size_t before = changes.size() - items.size();
    for (size_t i = 0; i < items.size(); ++i) items[i].seq_no = (*added)[before + i].seq_no;
    return {};
  }
  if (added.error().code != ErrorCode::conflict) return tl::unexpected<Error>(added.error());
  for (size_t i = 0; i < items.size(); ++i) {
    FB_TRY(const auto known, store.item(false, By::human_id, items[i].item_id));
    bool taken = known.has_value();
    for (size_t other = 0; other < i; ++other) taken = taken || items[other].item_id == items[i].item_id;
    if (taken) {
      return fail(ErrorCode::already_exists, "exception list item id: \"" + items[i].item_id + "\" already exists");
    }
  }
  return tl::unexpected<Error>(added.error());
}

Error error_of(const RuleRefusal& refusal) {
  std::string all;
  for (const std::string& m : refusal.messages) all += (all.empty() ? "" : "; ") + m;
  const ErrorCode code = refusal.status == 409   ? ErrorCode::conflict
                         : refusal.status == 404 ? ErrorCode::not_found
                         : refusal.status == 503 ? ErrorCode::busy
                         : refusal.status < 500  ? ErrorCode::invalid_argument
                                                 : ErrorCode::internal;
  return {code, refusal.status == 503 ? Retry::yes : Retry::no, std::move(all), ""};
}

// The rule names the list, unless it got one of its own meanwhile (conflict).
Status name_list(const Call& call, const RuleViewPtr& rule, const ExceptionRow& list) {
  const auto derive = [&](const RuleView& standing) -> RuleResult<std::string> {
    const auto other = standing_list(call.parts.store, standing);
    if (!other) return tl::unexpected(refuse(503, other.error().describe()));
    if (*other) return tl::unexpected(refuse(409, "the rule got another list of its own meanwhile"));
    Json doc = parse_ordered_json(standing.doc);
    Json lists = Json::array();
    for (Json& l : doc["exceptions_list"]) {
      if (is_own(l)) {
        const auto row = recorded(call.parts.store, l);
        if (!row) return tl::unexpected(refuse(503, row.error().describe()));
        if (!*row) continue;         // its own is gone from the record
        l["type"] = type_of(**row);  // others may share that one: it stays, as what it is
      }
      lists.push_back(std::move(l));
    }
    lists.push_back(
        Json{{"id", list.id}, {"list_id", list.list_id}, {"type", "rule_default"}, {"namespace_type", "single"}});
    doc["exceptions_list"] = std::move(lists);
    return dumped(doc);
  };
  const auto named =
      call.parts.rules->apply({{rule, "excepted", "", "", derive}}, RuleAuthor::trusted(call.actor())).front();
  if (!named) return tl::unexpected<Error>(error_of(named.error()));
  return {};
}

Status add_to_new(const Call& call, const RuleViewPtr& rule, AddedToOwn& to, const std::string& list_id) {
  const bool named_by_file = rule->from_file && names_as_own(*rule, list_id);
  if (rule->from_file && !named_by_file) {
    return fail(ErrorCode::invalid_argument, "rule_id: \"" + rule->rule_id +
                                                 "\" stands in a rule file and names no exception list of its own: "
                                                 "name one of type rule_default there");
  }
  ListSent sent;
  sent.list_id = list_id;
  sent.name = "Exceptions for rule - " + rule->name;
  sent.description = "Exception list containing exceptions for rule with id: " + rule->id;
  sent.type = "rule_default";
  Change made;
  made.what = Change::What::add_list;
  made.row = new_list(sent, call.who.person, call.parts.clock.wall_ms());
  FB_TRY_VOID(keep(call, {made}, to.items));
  if (named_by_file) {
    to.in_force = tell_rules(call.parts, {to.items.data(), 1});
    return {};
  }
  // The rule names the list once its items are there: it never runs with half of them.
  const Status named = name_list(call, rule, made.row);
  if (named) return {};
  if (const RuleViewPtr now = call.parts.rules->by_id(rule->id); now && names_as_own(*now, list_id)) {
    to.in_force = named;  // the rule was kept with it
    return {};
  }
  FB_TRY_VOID(call.parts.store.exceptions().remove_list(made.row, call.actor()));  // nothing of it stays
  return named;
}

Status add_once(const Call& call, const std::string& rule_id, AddedToOwn& to, const std::string& suggested) {
  const RuleViewPtr rule = call.parts.rules->by_id(rule_id);
  if (!rule) return fail(ErrorCode::not_found, "id: \"" + rule_id + "\" not found");
  FB_TRY(const OwnList own, own_list_of(call.parts.store, *rule, suggested));
  FB_TRY_VOID(check(call, to.items, own.list_id));
  if (!own.is_there) return add_to_new(call, rule, to, own.list_id);
  FB_TRY_VOID(keep(call, {}, to.items));
  to.in_force = tell_rules(call.parts, {to.items.data(), 1});
  return {};
}

}  // namespace

bool names_as_own(const RuleView& rule, const std::string& list_id) {
  for (const Json& list : lists_of(rule)) {
    if (is_own(list) && list.value("list_id", "") == list_id) return true;
  }
  return false;
}

Result<OwnList> own_list_of(Store& store, const RuleView& rule, const std::string& suggested) {
  FB_TRY(const auto standing, standing_list(store, rule));
  if (standing) return OwnList{standing->list_id, true};
  if (rule.from_file) {  // what the file says is all that it ever names
    for (const Json& list : lists_of(rule)) {
      if (!is_own(list)) continue;
      FB_TRY(const auto shared, recorded(store, list));
      if (!shared) return OwnList{list.value("list_id", ""), false};
    }
  }
  if (suggested.empty()) return OwnList{new_uuid(), false};
  // A list that somebody else made under this name may be shared, and a name that the rule has still may be read as
  // the list that is gone.
  FB_TRY(const auto taken, store.exceptions().list(false, By::human_id, suggested));
  bool named = false;
  for (const Json& list : lists_of(rule)) named = named || list.value("list_id", "") == suggested;
  return OwnList{taken || named ? new_uuid() : suggested, false};
}

Result<AddedToOwn> add_to_own_list(const Call& call, const RuleViewPtr& rule, Items items,
                                   const std::string& suggested) {
  AddedToOwn to{std::move(items), {}};
  for (int tries = 1;; ++tries) {
    const Status added = add_once(call, rule->id, to, suggested);
    if (added) return to;
    if (added.error().code != ErrorCode::conflict || tries >= kMostTries) {
      return tl::unexpected<Error>(added.error());
    }
  }
}

Result<std::string> with_own_lists_copied(const Call& call, std::string_view doc, bool with_expired, Items& made) {
  Json rule = parse_ordered_json(doc);
  Json lists = Json::array();
  for (Json& list : rule["exceptions_list"]) {
    if (is_own(list)) {
      FB_TRY(const auto row, recorded(call.parts.store, list));
      if (!row) continue;
      if (is_kept_as_own(*row)) {
        FB_TRY(ExceptionRow copy, duplicate_list(call, *row, with_expired));
        list["id"] = copy.id;
        list["list_id"] = copy.list_id;
        made.push_back(std::move(copy));
      } else {
        list["type"] = type_of(*row);  // the new rule shares it, as others do
      }
    }
    lists.push_back(std::move(list));
  }
  rule["exceptions_list"] = std::move(lists);
  return dumped(rule);
}

}  // namespace fb::api
