// Exceptions of one rule, kept in a list that is the rule's own; and lists that several rules share.
#include <algorithm>

#include "api/api.h"
#include "api/exceptions/objects.h"
#include "api/exceptions/requests.h"
#include "api/exceptions/rule_item.h"
#include "api/rules/answers.h"
#include "engine/base/json.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using By = ExceptionStore::By;
using Json = nlohmann::ordered_json;

constexpr size_t kMostItems = 1000;  // of one request

std::string dumped(const Json& j) {
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<ExceptionRow> add_list(const Call& call, const std::string& name, const std::string& description,
                              const char* type) {
  ListSent sent;
  sent.list_id = new_uuid();
  sent.name = name;
  sent.description = description;
  sent.type = type;
  ExceptionRow row = new_list(sent, call.who.person, call.parts.clock.wall_ms());
  FB_TRY(row.seq_no, call.parts.store.exceptions().add_list(row, call.actor()));
  return row;
}

net::Response create_shared(const Call& call) {
  const Json body = parse_ordered_json(call.request.body);
  if (!body.is_object()) return problem(400, "[request body]: Expected object");
  for (const char* key : {"name", "description"}) {
    if (!body.contains(key) || !body[key].is_string() || body[key].get_ref<const std::string&>().empty()) {
      return problem(400, std::string("[request body]: ") + key + ": Required");
    }
  }
  const auto list = add_list(call, body["name"], body["description"], "detection");
  return list ? json(200, answer_of(*list)) : siem_failed(list.error());
}

// What the rule's document says of its lists.
Json lists_of(const RuleView& rule) {
  const Json doc = parse_ordered_json(rule.doc);
  return doc.is_object() ? doc.value("exceptions_list", Json::array()) : Json::array();
}

struct OwnList {
  std::string id;
  std::string list_id;
  bool is_new = false;
};

// The rule's own list; made when there is none, or when it was deleted.
Result<OwnList> own_list(const Call& call, const RuleView& rule) {
  for (const Json& list : lists_of(rule)) {
    if (list.value("type", "") != "rule_default") continue;
    FB_TRY(const auto row, call.parts.store.exceptions().list(false, By::human_id, list.value("list_id", "")));
    if (row) return OwnList{row->id, row->list_id, false};
  }
  FB_TRY(const ExceptionRow row,
         add_list(call, "Exceptions for rule - " + rule.name,
                  "Exception list containing exceptions for rule with id: " + rule.id, "rule_default"));
  return OwnList{row.id, row.list_id, true};
}

// The items of the body as those of the list; the error is an answer.
tl::expected<std::vector<ExceptionRow>, net::Response> read_items(const Call& call, const Json& body) {
  const bool good = body.is_object() && body.contains("items") && body["items"].is_array() && !body["items"].empty() &&
                    body["items"].size() <= kMostItems;
  if (!good) return tl::unexpected(problem(400, "[request body]: items: must be a list of 1 to 1000 items"));
  std::vector<ExceptionRow> rows;
  for (Json item : body["items"]) {
    if (!item.is_object()) return tl::unexpected(problem(400, "[request body]: items: must be a list of objects"));
    item["list_id"] = "of the rule";  // whose id is known when all of them are read
    item["namespace_type"] = "single";
    const auto sent = read_item_body(dumped(item), BodyOf::create);
    if (!sent) return tl::unexpected(schema_problem(sent.error(), "body"));
    rows.push_back(new_item(*sent, call.who.person, call.parts.clock.wall_ms()));
  }
  return rows;
}

net::Response add_to_rule(const Call& call) {
  RuleDesk* desk = desk_of(call);
  if (desk == nullptr) return no_desk();
  const RuleViewPtr rule = desk->by_id(call.params.at("id"));
  if (!rule) return answer(refuse(404, "id: \"" + call.params.at("id") + "\" not found"));
  auto rows = read_items(call, parse_ordered_json(call.request.body));
  if (!rows) return rows.error();
  const auto own = own_list(call, *rule);
  if (!own) return siem_failed(own.error());
  for (ExceptionRow& row : *rows) {
    row.list_id = own->list_id;
    Json doc = parse_ordered_json(row.doc);
    doc["list_id"] = own->list_id;
    row.doc = dumped(doc);
    if (const Status fine = check_rule_item(row, call.parts); !fine) return siem_failed(fine.error());
  }
  const auto added = call.parts.store.exceptions().add_items(*rows, call.actor());
  if (!added) return siem_failed(added.error());
  std::string items;
  for (size_t i = 0; i < rows->size(); ++i) {
    if ((*added)[i].what == ExceptionStore::Added::exists) {
      return siem_problem(409, "exception list item id: \"" + (*rows)[i].item_id + "\" already exists");
    }
    if ((*added)[i].what != ExceptionStore::Added::done) {
      return siem_problem(400, "Failed to add exception item, exception list would exceed max size of " +
                                   std::to_string(kMaxExceptionItems));
    }
    (*rows)[i].seq_no = (*added)[i].seq_no;
    items += (items.empty() ? "" : ",") + answer_of((*rows)[i]);
  }
  // The rule names the list once its items are there: it never runs with half of them.
  if (own->is_new) {
    Json lists = Json::array();
    for (Json& list : lists_of(*rule)) {
      if (list.value("type", "") != "rule_default") lists.push_back(std::move(list));
    }
    lists.push_back(
        Json{{"id", own->id}, {"list_id", own->list_id}, {"type", "rule_default"}, {"namespace_type", "single"}});
    const auto patched = desk->patch(dumped(Json{{"id", rule->id}, {"exceptions_list", lists}}), call.actor());
    if (!patched) {
      // The rule can't be run with them: nothing of it stays.
      const auto row = call.parts.store.exceptions().list(false, By::id, own->id);
      if (row && *row) (void)call.parts.store.exceptions().remove_list(**row, call.actor());
      return answer(patched.error());
    }
  } else {
    tell_rules(call.parts);
  }
  return json(200, "[" + items + "]");
}

}  // namespace

void add_rule_exceptions_routes(Router& router) {
  router.add("POST", "/api/exceptions/shared", Privilege::exceptions_write, create_shared);
  router.add("POST", "/api/detection_engine/rules/{id}/exceptions", Privilege::exceptions_write, add_to_rule);
}

}  // namespace fb::api
