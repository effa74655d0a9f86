// The values of value lists: one, many at once, all as a text. Kibana's paths, texts and shapes.
#include <algorithm>

#include "api/exceptions/objects.h"
#include "api/exceptions/value_desk.h"
#include "api/exceptions/values_find.h"
#include "api/multipart.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

std::string answers_of(const std::vector<ValueRow>& rows, const std::string& type) {
  std::string body = "[";
  for (const ValueRow& row : rows) body += (body.size() == 1 ? "" : ",") + answer_of(row, type);
  return body + "]";
}

net::Response create(const Call& call) {
  const auto sent = read_value_body(call.request.body, ValueBody::create);
  if (!sent) return schema_problem(sent.error(), "body");
  ValueListStore store = values_in(call);
  const auto list = store.list(sent->list_id);
  if (!list) return siem_failed(list.error());
  if (!*list) return siem_failed(no_value_list(sent->list_id));
  if (const Status fine = check_value((*list)->type, *sent->value); !fine) return siem_failed(fine.error());
  ValueRow row;
  row.id = sent->id.empty() ? new_uuid() : sent->id;
  row.list_id = sent->list_id;
  row.value = *sent->value;
  row.meta = sent->meta.value_or("");
  row.tie_breaker = new_uuid();
  row.created_at_ms = row.updated_at_ms = call.parts.clock.wall_ms();
  row.created_by = row.updated_by = call.who.person;
  const auto seq_no = store.add_item(row, call.actor());
  if (!seq_no) {
    const Error& e = seq_no.error();
    if (e.code == ErrorCode::not_found) return siem_failed(no_value_list(row.list_id));
    if (e.code == ErrorCode::already_exists)
      return siem_problem(409, "list item id: \"" + row.id + "\" already exists");
    return values_failed(e);
  }
  row.seq_no = *seq_no;
  if (const Status told = tell_users(call, row.list_id); !told) return siem_failed(told.error());
  return json(200, answer_of(row, (*list)->type));
}

// Every value's list is there; one that goes at this very moment leaves no type to tell.
std::string type_of(const Call& call, const std::string& list_id) {
  const auto list = values_in(call).list(list_id);
  return list && *list ? (*list)->type : "keyword";
}

net::Response read(const Call& call) {
  ValueListStore store = values_in(call);
  if (const std::string id = call.query("id"); !id.empty()) {
    const auto row = store.item(id);
    if (!row) return siem_failed(row.error());
    if (!*row) return siem_problem(404, "list item id: \"" + id + "\" does not exist");
    return json(200, answer_of(**row, type_of(call, (*row)->list_id)));
  }
  const std::string list_id = call.query("list_id");
  const std::string value = call.query("value");
  if (list_id.empty() || value.empty()) {
    return siem_problem(400, "Either \"list_id\" or \"id\" needs to be defined in the request");
  }
  const auto list = store.list(list_id);
  if (!list) return siem_failed(list.error());
  if (!*list) return siem_failed(no_value_list(list_id));
  const auto rows = store.items_of_value(list_id, value);
  if (!rows) return siem_failed(rows.error());
  if (rows->empty()) return siem_problem(404, "list_id: \"" + list_id + "\" item of " + value + " does not exist");
  return json(200, answers_of(*rows, (*list)->type));
}

net::Response change(const Call& call, ValueBody use) {
  const auto sent = read_value_body(call.request.body, use);
  if (!sent) return schema_problem(sent.error(), "body");
  ValueListStore store = values_in(call);
  const auto missing = [&] { return fail(ErrorCode::not_found, "list item id: \"" + sent->id + "\" not found"); };
  const auto now = store.item(sent->id);
  if (!now) return siem_failed(now.error());
  if (!*now) return siem_failed(missing().value());
  const std::string type = type_of(call, (*now)->list_id);
  if (sent->value) {
    if (const Status fine = check_value(type, *sent->value); !fine) return siem_failed(fine.error());
  }
  const auto changed = change_row<ValueRow>(
      sent->version_token,
      [&]() -> Result<ValueRow> {
        FB_TRY(auto row, store.item(sent->id));
        if (!row) return missing();
        return std::move(*row);
      },
      [&](ValueRow row) {
        if (sent->value) row.value = *sent->value;
        if (sent->meta || use == ValueBody::replace) row.meta = sent->meta.value_or("");
        row.updated_at_ms = call.parts.clock.wall_ms();
        row.updated_by = call.who.person;
        return row;
      },
      [&](const ValueRow& row, int64_t expected) { return store.change_item(row, expected, call.actor()); });
  if (!changed) return siem_failed(changed.error());
  if (const Status told = tell_users(call, changed->list_id); !told) return siem_failed(told.error());
  return json(200, answer_of(*changed, type));
}

net::Response replace(const Call& call) {
  return change(call, ValueBody::replace);
}
net::Response patch(const Call& call) {
  return change(call, ValueBody::patch);
}

net::Response remove(const Call& call) {
  ValueListStore store = values_in(call);
  if (const std::string id = call.query("id"); !id.empty()) {
    const auto row = store.item(id);
    if (!row) return siem_failed(row.error());
    const auto gone = *row ? store.remove_items({**row}, call.actor()) : Result<int64_t>(0);
    if (!gone) return siem_failed(gone.error());
    if (*gone == 0) return siem_problem(404, "list item with id: \"" + id + "\" not found");
    if (const Status told = tell_users(call, (*row)->list_id); !told) return siem_failed(told.error());
    return json(200, answer_of(**row, type_of(call, (*row)->list_id)));
  }
  const std::string list_id = call.query("list_id");
  const std::string value = call.query("value");
  if (list_id.empty() || value.empty()) {
    return siem_problem(400, "Either \"list_id\" or \"id\" needs to be defined in the request");
  }
  const auto list = store.list(list_id);
  if (!list) return siem_failed(list.error());
  if (!*list) return siem_problem(404, "list_id: \"" + list_id + "\" does not exist");
  const auto rows = store.items_of_value(list_id, value);
  if (!rows) return siem_failed(rows.error());
  if (rows->empty()) return siem_problem(404, "list_id: \"" + list_id + "\" with " + value + " was not found");
  const auto gone = store.remove_items(*rows, call.actor());
  if (!gone) return siem_failed(gone.error());
  if (const Status told = tell_users(call, list_id); !told) return siem_failed(told.error());
  return json(200, answers_of(*rows, (*list)->type));
}

net::Response find(const Call& call) {
  const auto page = read_values_page(call);
  if (!page) return schema_problem(page.error(), "query");
  const std::string list_id = call.query("list_id");
  if (list_id.empty()) return problem(400, "[request query]: list_id: Required");
  ValueListStore store = values_in(call);
  const auto list = store.list(list_id);
  if (!list) return siem_failed(list.error());
  if (!*list) return siem_failed(no_value_list(list_id));
  const std::string kql = call.query("filter");
  if (is_plain(kql, *page)) {
    if (const Status fine = check_values_page(*page); !fine) return siem_failed(fine.error());
    const auto total = store.count_items(list_id);
    if (!total) return siem_failed(total.error());
    const auto some = store.items(list_id, (page->page - 1) * page->per_page, page->per_page);
    if (!some) return siem_failed(some.error());
    return json(200, page_of_values(*some, (*list)->type, *page, *total));
  }
  auto rows = store.items(list_id);
  if (!rows) return siem_failed(rows.error());
  const auto body = find_values(std::move(*rows), (*list)->type, kql, *page, call.parts.clock.wall_ms());
  return body ? json(200, *body) : siem_failed(body.error());
}

// What stands between the quotes of a header: nothing that ends them.
std::string header_text(const std::string& text) {
  std::string out;
  for (const char c : text) out += c >= 0x20 && c < 0x7F && c != '"' && c != '\\' ? c : '_';
  return out;
}

net::Response export_values(const Call& call) {
  const std::string list_id = call.query("list_id");
  if (list_id.empty()) return problem(400, "[request query]: list_id: Required");
  ValueListStore store = values_in(call);
  const auto list = store.list(list_id);
  if (!list) return siem_failed(list.error());
  if (!*list) return siem_problem(400, "list_id: " + list_id + " does not exist");
  const auto rows = store.items(list_id);
  if (!rows) return siem_failed(rows.error());
  net::Response response;
  response.content_type = "application/ndjson";  // as Kibana calls it, though the lines are no JSON
  response.headers["Content-Disposition"] = "attachment; filename=\"" + header_text((*list)->name) + "\"";
  for (const ValueRow& row : *rows) response.body += row.value + "\n";
  return response;
}

bool has_ending(const std::string& name) {
  std::string end = name.substr(name.size() - std::min<size_t>(name.size(), 4));
  std::transform(end.begin(), end.end(), end.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return end == ".txt" || end == ".csv";
}

net::Response import_values(const Call& call) {
  const auto file = uploaded_file(call.request);
  if (!file) return siem_failed(file.error());
  if (file->file_name.empty()) return siem_problem(400, "To import a list item, the file name must be specified");
  if (!has_ending(file->file_name)) {
    return siem_problem(415, "Unsupported media type. File must be one of the following types: [.csv, .txt]");
  }
  ValueListStore store = values_in(call);
  const auto open = store.is_open();
  if (!open) return siem_failed(open.error());
  if (!*open) {
    return siem_problem(400,
                        "To import a list item, the data steam must exist first. Data stream \".lists-default\" does "
                        "not exist");
  }
  const std::string list_id = call.query("list_id");
  const std::string type = call.query("type");
  if (list_id.empty() && type.empty()) {
    return siem_problem(400, "Either type or list_id need to be defined in the query");
  }
  if (list_id.empty() && !is_value_type(type)) {
    return problem(400, "[request query]: type: Invalid enum value, received '" + type + "'");
  }
  // Without a list, the file's name is that of one.
  ValueListRow row;
  row.id = list_id.empty() ? file->file_name : list_id;
  const auto known = store.list(row.id);
  if (!known) return siem_failed(known.error());
  if (!*known && !list_id.empty()) return siem_problem(409, "list id: \"" + list_id + "\" does not exist");
  const int64_t now = call.parts.clock.wall_ms();
  if (*known) {
    row = **known;
  } else {
    row.type = type;
    row.name = file->file_name;
    row.description = "File uploaded from file system of " + file->file_name;
    row.tie_breaker = new_uuid();
    row.created_at_ms = now;
    row.created_by = call.who.person;
    row.updated_by = call.who.person;
    row.updated_at_ms = now;
    if (const Status fine = check_named_type(call, row.id, row.type); !fine) return siem_failed(fine.error());
  }
  const auto values = read_values(file->content, row.type);
  if (!values) return values_failed(values.error());
  ValueListRow by = row;  // who adds the values, and when
  by.updated_at_ms = now;
  by.updated_by = call.who.person;
  const auto added = store.import(by, list_id.empty(), *values, call.actor());
  if (!added) {
    if (added.error().code == ErrorCode::not_found) {
      return siem_problem(409, "list id: \"" + list_id + "\" does not exist");
    }
    return values_failed(added.error());
  }
  if (const Status told = tell_users(call, row.id); !told) return siem_failed(told.error());
  const auto made = store.list(row.id);
  if (!made) return siem_failed(made.error());
  return json(200, answer_of(*made ? **made : row));
}

}  // namespace

void add_value_list_items_routes(Router& router) {
  router.add("POST", "/api/lists/items", Privilege::exceptions_write, create).changes_rules();
  router.add("GET", "/api/lists/items", Privilege::exceptions_read, read);
  router.add("PUT", "/api/lists/items", Privilege::exceptions_write, replace).changes_rules();
  router.add("PATCH", "/api/lists/items", Privilege::exceptions_write, patch).changes_rules();
  router.add("DELETE", "/api/lists/items", Privilege::exceptions_delete, remove).changes_rules();
  router.add("GET", "/api/lists/items/_find", Privilege::exceptions_read, find).slow();
  router.add("POST", "/api/lists/items/_export", Privilege::exceptions_read, export_values).only_reads().slow();
  router.add("POST", "/api/lists/items/_import", Privilege::exceptions_write, import_values).takes_import().slow();
}

}  // namespace fb::api
