// The endpoint list: one list of exceptions that is the same for everybody, so that no request names it. Rules that
// name `endpoint_list` use its items. It is made with its first item. Kibana's paths, texts and shapes.
#include <algorithm>

#include "api/exceptions/items.h"
#include "api/exceptions/objects.h"
#include "api/exceptions/requests.h"
#include "api/exceptions/rule_item.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::api {
namespace {

using By = ExceptionStore::By;
using Json = nlohmann::ordered_json;

constexpr const char* kEndpointList = "endpoint_list";
constexpr const char* kName = "Endpoint Security Exception List";

// The list when it was made now; nothing when it was there. An empty list excepts nothing, so there is nothing that
// rules could be behind with.
Result<std::optional<ExceptionRow>> make_list(const Call& call) {
  ExceptionStore store = call.parts.store.exceptions();
  FB_TRY(const auto known, store.list(true, By::human_id, kEndpointList));
  if (known) return std::optional<ExceptionRow>();
  ListSent sent;
  sent.list_id = kEndpointList;
  sent.name = kName;
  sent.description = kName;
  sent.type = "endpoint";
  sent.agnostic = true;
  ExceptionRow row = new_list(sent, call.who.person, call.parts.clock.wall_ms());
  const auto seq_no = store.add_list(row, call.actor());
  if (!seq_no && seq_no.error().code == ErrorCode::already_exists) return std::optional<ExceptionRow>();
  if (!seq_no) return tl::unexpected<Error>(seq_no.error());
  row.seq_no = *seq_no;
  (void)tell_rules(call.parts, {&row, 1});
  return std::optional<ExceptionRow>(std::move(row));
}

net::Response create_list(const Call& call) {
  const auto made = make_list(call);
  if (!made) return siem_failed(made.error());
  return json(200, *made ? answer_of(**made) : "{}");
}

// The request as that of the routes of all lists.
net::Request named(const Call& call) {
  net::Request request = call.request;
  request.target.resize(std::min(request.target.find('?'), request.target.size()));  // the query below, and no other
  request.query["list_id"] = kEndpointList;
  request.query["namespace_type"] = "agnostic";
  if (!request.body.empty()) {
    Json body = parse_ordered_json(request.body);
    if (body.is_object()) {
      body["list_id"] = kEndpointList;
      body["namespace_type"] = "agnostic";
      request.body = dumped(body);
    }
  }
  return request;
}

net::Response pass(const Call& call, net::Response (*handle)(const Call&)) {
  const net::Request request = named(call);
  return handle(Call{request, call.params, call.who, call.parts, call.access, call.session_sha256});
}

// Whether what a request names is an item of another list; an item that is nowhere is not.
bool of_another_list(const Call& call, const std::string& id, const std::string& item_id) {
  const auto row =
      call.parts.store.exceptions().item(true, id.empty() ? By::human_id : By::id, id.empty() ? item_id : id);
  return row && *row && (*row)->list_id != kEndpointList;
}

net::Response create(const Call& call) {
  // A body that is no item makes no list.
  const net::Request request = named(call);
  if (const auto sent = read_item_body(request.body, BodyOf::create); !sent)
    return schema_problem(sent.error(), "body");
  if (const auto made = make_list(call); !made) return siem_failed(made.error());
  return pass(call, create_exception_item);
}

net::Response on_one(const Call& call, net::Response (*handle)(const Call&)) {
  const std::string id = call.query("id");
  const std::string item_id = call.query("item_id");
  if (of_another_list(call, id, item_id)) return siem_failed(missing_item({true, id, item_id}));
  return pass(call, handle);
}

net::Response read(const Call& call) {
  return on_one(call, read_exception_item);
}
net::Response remove(const Call& call) {
  return on_one(call, remove_exception_item);
}

net::Response update(const Call& call) {
  const net::Request request = named(call);
  const auto sent = read_item_body(request.body, BodyOf::update);
  if (!sent) return schema_problem(sent.error(), "body");
  const Named item{true, sent->id, sent->item_id};
  if (!item.is_empty()) {
    const auto row = call.parts.store.exceptions().item(true, item.by(), item.key());
    if (!row) return siem_failed(row.error());
    if (!*row || (*row)->list_id != kEndpointList) {
      return siem_problem(404, std::string("list item ") + (sent->id.empty() ? "item_id" : "id") + ": \"" + item.key() +
                                   "\" not found");
    }
  }
  return pass(call, change_exception_item);
}

// A list that nobody has made yet has no items: reading makes none.
net::Response find(const Call& call) {
  net::Response found = pass(call, find_exception_items);
  if (found.status != 404) return found;
  const auto list = call.parts.store.exceptions().list(true, By::human_id, kEndpointList);
  if (!list || *list) return found;
  const std::string page = call.query("page", "1");
  return json(200, R"({"data":[],"page":)" + (page == "0" ? "1" : page) + R"(,"per_page":)" +
                       call.query("per_page", "20") + R"(,"total":0})");
}

}  // namespace

void add_endpoint_list_routes(Router& router) {
  router.add("POST", "/api/endpoint_list", Privilege::exceptions_write, create_list).changes_rules();
  router.add("POST", "/api/endpoint_list/items", Privilege::exceptions_write, create).changes_rules();
  router.add("GET", "/api/endpoint_list/items", Privilege::exceptions_read, read);
  router.add("PUT", "/api/endpoint_list/items", Privilege::exceptions_write, update).changes_rules();
  router.add("DELETE", "/api/endpoint_list/items", Privilege::exceptions_delete, remove).changes_rules();
  router.add("GET", "/api/endpoint_list/items/_find", Privilege::exceptions_read, find);
}

}  // namespace fb::api
