// Exceptions of one rule, kept in a list that is the rule's own; and lists that several rules share.
#include "api/api.h"
#include "api/exceptions/objects.h"
#include "api/exceptions/own_list.h"
#include "api/exceptions/requests.h"
#include "api/rules/answers.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostItems = 1000;  // of one request

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
  const auto added = add_to_own_list(call, rule, std::move(*rows));
  if (!added && added.error().code == ErrorCode::limit) return siem_problem(400, added.error().message);
  if (!added) return siem_failed(added.error());
  if (!added->in_force) return siem_failed(added->in_force.error());
  std::string items;
  for (const ExceptionRow& row : added->items) items += (items.empty() ? "" : ",") + answer_of(row);
  return json(200, "[" + items + "]");
}

}  // namespace

void add_rule_exceptions_routes(Router& router) {
  router.add("POST", "/api/exceptions/shared", Privilege::exceptions_write, create_shared);
  router.add("POST", "/api/detection_engine/rules/{id}/exceptions", Privilege::exceptions_write, add_to_rule)
      .changes_rules();
}

}  // namespace fb::api
