// Value lists: whether there can be any, one of them, all of them, who may what. Kibana's paths, texts and shapes.
#include <algorithm>
#include <map>
#include <set>

#include "api/exceptions/objects.h"
#include "api/exceptions/value_desk.h"
#include "api/exceptions/values_find.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kLists = ".lists-default";  // what Kibana calls the places where it keeps them
constexpr const char* kItems = ".items-default";

net::Response read_index(const Call& call) {
  const auto open = values_in(call).is_open();
  if (!open) return siem_failed(open.error());
  if (*open) return json(200, R"({"list_index":true,"list_item_index":true})");
  return siem_problem(404, std::string("data stream ") + kLists + " and data stream " + kItems + " does not exist");
}

net::Response make_index(const Call& call) {
  if (const Status made = values_in(call).open(call.actor()); !made) return siem_failed(made.error());
  return json(200, R"({"acknowledged":true})");
}

net::Response remove_index(const Call& call) {
  const auto dropped = values_in(call).drop_all(call.actor());
  if (!dropped) return siem_failed(dropped.error());
  if (!*dropped) {
    return siem_problem(404,
                        std::string("index and data stream: \"") + kLists + "\" and \"" + kItems + "\" does not exist");
  }
  if (const Status told = tell_rules(call.parts); !told) return siem_failed(told.error());
  return json(200, R"({"acknowledged":true})");
}

net::Response create(const Call& call) {
  const auto sent = read_value_list_body(call.request.body, ValueBody::create);
  if (!sent) return schema_problem(sent.error(), "body");
  ValueListStore store = values_in(call);
  const auto open = store.is_open();
  if (!open) return siem_failed(open.error());
  if (!*open) {
    return siem_problem(400, std::string("To create a list, the data stream must exist first. Data stream \"") +
                                 kLists + "\" does not exist");
  }
  ValueListRow row;
  row.id = sent->id.empty() ? new_uuid() : sent->id;
  row.type = sent->type;
  row.name = *sent->name;
  row.description = *sent->description;
  row.meta = sent->meta.value_or("");
  row.serializer = sent->serializer;
  row.deserializer = sent->deserializer;
  row.tie_breaker = new_uuid();
  row.version = sent->version.value_or(1);
  row.created_at_ms = row.updated_at_ms = call.parts.clock.wall_ms();
  row.created_by = row.updated_by = call.who.person;
  if (const Status fine = check_named_type(call, row.id, row.type); !fine) return siem_failed(fine.error());
  const auto seq_no = store.add_list(row, call.actor());
  if (!seq_no) {
    if (seq_no.error().code != ErrorCode::already_exists) return siem_failed(seq_no.error());
    return siem_problem(409, "list id: \"" + row.id + "\" already exists");
  }
  row.seq_no = *seq_no;
  // Exceptions may have named it before.
  if (const Status told = tell_users(call, row.id); !told) return siem_failed(told.error());
  return json(200, answer_of(row));
}

net::Response read(const Call& call) {
  const std::string id = call.query("id");
  if (id.empty()) return problem(400, "[request query]: id: Required");
  const auto row = values_in(call).list(id);
  if (!row) return siem_failed(row.error());
  return *row ? json(200, answer_of(**row)) : siem_failed(no_value_list(id));
}

net::Response change(const Call& call, ValueBody use) {
  const auto sent = read_value_list_body(call.request.body, use);
  if (!sent) return schema_problem(sent.error(), "body");
  ValueListStore store = values_in(call);
  const auto changed = change_row<ValueListRow>(
      sent->version_token,
      [&]() -> Result<ValueListRow> {
        FB_TRY(auto row, store.list(sent->id));
        if (!row) return fail(ErrorCode::not_found, "list id: \"" + sent->id + "\" not found");
        return std::move(*row);
      },
      [&](ValueListRow row) {
        if (sent->name) row.name = *sent->name;
        if (sent->description) row.description = *sent->description;
        if (sent->meta || use == ValueBody::replace) row.meta = sent->meta.value_or("");
        row.version = sent->version.value_or(std::min(row.version, kMaxListVersion - 1) + 1);
        row.updated_at_ms = call.parts.clock.wall_ms();
        row.updated_by = call.who.person;
        return row;
      },
      [&](const ValueListRow& row, int64_t expected) { return store.change_list(row, expected, call.actor()); });
  return changed ? json(200, answer_of(*changed)) : siem_failed(changed.error());
}

net::Response replace(const Call& call) {
  return change(call, ValueBody::replace);
}
net::Response patch(const Call& call) {
  return change(call, ValueBody::patch);
}

// The exceptions that name the list, with their lists.
net::Response referenced(const Call& call, const std::string& id, const std::vector<ExceptionRow>& items) {
  Json references = Json::array();
  for (const ExceptionRow& item : items) {
    Json one{{"exception_item", parse_ordered_json(answer_of(item))}};
    const auto list = call.parts.store.exceptions().list(item.agnostic, ExceptionStore::By::human_id, item.list_id);
    if (list && *list) one["exception_list"] = parse_ordered_json(answer_of(**list));
    references.push_back(std::move(one));
  }
  const Json body{{"message",
                   {{"error",
                     {{"message", "Value list '" + id + "' is referenced in existing exception list(s)"},
                      {"references", std::move(references)},
                      {"value_list_id", id}}}}},
                  {"status_code", 409}};
  return json(409, dumped(body));
}

// Takes the exceptions that name the list away, all of them or none: without the entry that names it an exception would
// hold for more events than anybody said. What it removed.
Result<std::vector<ExceptionRow>> remove_references(const Call& call, const std::string& list_id) {
  for (int tries = 1;; ++tries) {
    FB_TRY(std::vector<ExceptionRow> items, values_in(call).references(list_id));
    if (items.empty()) return items;
    std::vector<ExceptionStore::Change> changes;
    for (const ExceptionRow& item : items) {
      changes.push_back({ExceptionStore::Change::What::remove_item, item, item.seq_no, false});
    }
    const auto done = call.parts.store.exceptions().apply(changes, call.actor());
    if (done) return items;
    if (done.error().code != ErrorCode::conflict || tries >= kMostTries) return tl::unexpected<Error>(done.error());
  }
}

net::Response remove_list(const Call& call, const ValueListRow& row) {
  const auto removed = values_in(call).remove_list(row.id, call.actor());
  if (!removed) return siem_failed(removed.error());
  if (!*removed) return siem_problem(404, "list id: \"" + row.id + "\" was not found");
  return json(200, answer_of(row));
}

net::Response remove(const Call& call) {
  const std::string id = call.query("id");
  if (id.empty()) return problem(400, "[request query]: id: Required");
  for (const char* flag : {"deleteReferences", "ignoreReferences"}) {
    const std::string text = call.query(flag, "false");
    if (text == "true" || text == "false") continue;
    return problem(400, std::string("[request query]: ") + flag +
                            ": Invalid enum value. Expected 'true' | 'false', received '" + text + "'");
  }
  ValueListStore store = values_in(call);
  const auto row = store.list(id);
  if (!row) return siem_failed(row.error());
  if (!*row) return siem_problem(404, "list id: \"" + id + "\" was not found");
  const auto items = store.references(id);
  if (!items) return siem_failed(items.error());
  std::vector<ExceptionRow> gone;  // exceptions that named it
  if (call.query("ignoreReferences") != "true" && !items->empty()) {
    if (call.query("deleteReferences") != "true") return referenced(call, id, *items);
    auto removed = remove_references(call, id);
    if (!removed) return siem_failed(removed.error());
    gone = std::move(*removed);
  }
  net::Response answer = remove_list(call, **row);
  // The exceptions are gone even when the list could not be removed after them.
  Status told = gone.empty() ? Status{} : tell_rules(call.parts, gone);
  // Those that name it still, and what somebody added meanwhile, with which the rules have read the values.
  if (const Status others = tell_users(call, id); told) told = others;
  if (!told && answer.status == 200) return siem_failed(told.error());
  return answer;
}

net::Response find(const Call& call) {
  const auto page = read_values_page(call);
  if (!page) return schema_problem(page.error(), "query");
  auto rows = values_in(call).lists();
  if (!rows) return siem_failed(rows.error());
  const auto body = find_value_lists(std::move(*rows), call.query("filter"), *page, call.parts.clock.wall_ms());
  return body ? json(200, *body) : siem_failed(body.error());
}

net::Response privileges(const Call& call) {
  const bool reads = call.who.may(Privilege::exceptions_read);
  const bool writes = call.who.may(Privilege::exceptions_write);
  const bool deletes = call.who.may(Privilege::exceptions_delete);
  const auto of = [&](const char* place) {
    const Json index{
        {"all", writes && deletes}, {"create", writes}, {"create_doc", writes},         {"delete", deletes},
        {"index", writes},          {"read", reads},    {"view_index_metadata", reads}, {"write", writes}};
    return Json{{"username", call.who.person},
                {"has_all_requested", writes && deletes},
                {"cluster", Json::object()},
                {"index", {{place, index}}},
                {"application", Json::object()}};
  };
  return json(200, dumped(Json{{"listItems", of(kItems)}, {"lists", of(kLists)}, {"is_authenticated", true}}));
}

}  // namespace

void add_value_lists_routes(Router& router) {
  router.add("GET", "/api/lists/index", Privilege::exceptions_read, read_index);
  router.add("POST", "/api/lists/index", Privilege::exceptions_write, make_index);
  router.add("DELETE", "/api/lists/index", Privilege::exceptions_delete, remove_index).changes_rules();
  router.add("GET", "/api/lists/privileges", Privilege::exceptions_read, privileges);
  router.add("POST", "/api/lists", Privilege::exceptions_write, create).changes_rules();
  router.add("GET", "/api/lists", Privilege::exceptions_read, read);
  router.add("PUT", "/api/lists", Privilege::exceptions_write, replace);
  router.add("PATCH", "/api/lists", Privilege::exceptions_write, patch);
  router.add("DELETE", "/api/lists", Privilege::exceptions_delete, remove).changes_rules();
  router.add("GET", "/api/lists/_find", Privilege::exceptions_read, find);
}

}  // namespace fb::api
