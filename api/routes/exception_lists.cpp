// Exception lists: create, read, change, delete, find, copy, count, export, import. Kibana's paths, texts and shapes.
#include "api/exceptions/find.h"
#include "api/exceptions/objects.h"
#include "api/exceptions/requests.h"
#include "api/exceptions/rule_item.h"
#include "api/exceptions/transfer.h"
#include "api/multipart.h"
#include "engine/base/json.h"

namespace fb::api {
namespace {

using By = ExceptionStore::By;

net::Response create(const Call& call) {
  const auto sent = read_list_body(call.request.body, BodyOf::create);
  if (!sent) return schema_problem(sent.error(), "body");
  if (const Status fine = check_list(*sent); !fine) return siem_failed(fine.error());
  ExceptionRow row = new_list(*sent, call.who.person, call.parts.clock.wall_ms());
  const auto seq_no = call.parts.store.exceptions().add_list(row, call.actor());
  if (!seq_no) {
    if (seq_no.error().code != ErrorCode::already_exists) return siem_failed(seq_no.error());
    return siem_problem(409, "exception list id: \"" + row.list_id + "\" already exists");
  }
  row.seq_no = *seq_no;
  (void)tell_rules(call.parts, {&row, 1});  // an empty list excepts nothing: rules can't be behind with it
  return json(200, answer_of(row));
}

net::Response read(const Call& call) {
  const auto named = named_in_query(call, "list_id");
  if (!named) return schema_problem(named.error(), "query");
  if (named->is_empty()) return siem_problem(400, "id or list_id required");
  const auto row = find_list(call, *named);
  return row ? json(200, answer_of(*row)) : siem_failed(row.error());
}

Result<ExceptionRow> change_once(const Call& call, const ListSent& sent, std::optional<int64_t> wanted) {
  const Named named{sent.agnostic, sent.id, sent.list_id};
  FB_TRY(const ExceptionRow row, find_list(call, named));
  ListSent whole = sent;
  whole.list_id = row.list_id;
  FB_TRY_VOID(check_list(whole));
  if (wanted && *wanted != row.seq_no) return tl::unexpected<Error>(version_conflict(row, *wanted));
  ExceptionRow changed = changed_list(row, sent, call.who.person, call.parts.clock.wall_ms());
  const auto seq_no = call.parts.store.exceptions().change_list(changed, row.seq_no, call.actor());
  if (!seq_no) {
    Error e = seq_no.error();
    if (e.code == ErrorCode::not_found) e = missing_list(named);
    if (e.code == ErrorCode::conflict) e = version_conflict(row, row.seq_no);
    return tl::unexpected<Error>(std::move(e));
  }
  changed.seq_no = *seq_no;
  return changed;
}

net::Response update(const Call& call) {
  const auto sent = read_list_body(call.request.body, BodyOf::update);
  if (!sent) return schema_problem(sent.error(), "body");
  if (sent->id.empty() && sent->list_id.empty()) return siem_problem(404, "either id or list_id need to be defined");
  std::optional<int64_t> wanted;
  if (sent->version_token) {
    const auto seq_no = read_version_token(*sent->version_token);
    if (!seq_no) return siem_failed(seq_no.error());
    wanted = *seq_no;
  }
  for (int tries = 1;; ++tries) {
    const auto changed = change_once(call, *sent, wanted);
    if (changed) return json(200, answer_of(*changed));
    if (changed.error().code != ErrorCode::conflict || wanted || tries >= kMostTries) {
      return siem_failed(changed.error());
    }
  }
}

net::Response remove(const Call& call) {
  const auto named = named_in_query(call, "list_id");
  if (!named) return schema_problem(named.error(), "query");
  if (named->is_empty()) return siem_problem(400, "Either \"list_id\" or \"id\" needs to be defined in the request");
  const auto row = find_list(call, *named);
  if (!row) return siem_failed(row.error());
  const auto removed = call.parts.store.exceptions().remove_list(*row, call.actor());
  if (!removed) return siem_failed(removed.error());
  if (!*removed) return siem_failed(missing_list(*named));
  if (const Status told = tell_rules(call.parts, {&*row, 1}); !told) return siem_failed(told.error());
  return json(200, answer_of(*row));
}

net::Response find(const Call& call) {
  const auto page = read_page(call, 1);
  if (!page) return schema_problem(page.error(), "query");
  SearchedTypes types;
  for (const std::string& word : listed_in_query(call, "namespace_type", "single")) {
    const auto one = read_namespace(word);
    if (!one) return schema_problem(one.error(), "query");
    (*one ? types.agnostic : types.single) = true;
  }
  const auto filter = ExceptionFilter::parse(call.query("filter"), types, call.parts.clock.wall_ms());
  if (!filter) return siem_failed(filter.error());
  const auto found = find_lists(call.parts.store.exceptions(), types, *filter, *page);
  return found ? json(200, answer_of(*found, *page)) : siem_failed(found.error());
}

// "true" or "false"; the error is a line for "[request query]: ".
Result<bool> read_flag(const Call& call, const char* name, bool otherwise) {
  const std::string text = call.query(name);
  if (text.empty()) return otherwise;
  if (text != "true" && text != "false") {
    return fail(ErrorCode::invalid_argument,
                std::string(name) + ": Invalid enum value. Expected 'true' | 'false', received '" + text + "'");
  }
  return text == "true";
}

// A member of the query that must be there.
Status need(const Call& call, const char* name) {
  if (!call.query(name).empty()) return {};
  return fail(ErrorCode::invalid_argument, std::string(name) + ": Required");
}

net::Response duplicate(const Call& call) {
  for (const char* name : {"list_id", "namespace_type"}) {
    if (const Status there = need(call, name); !there) return schema_problem(there.error(), "query");
  }
  const auto named = named_in_query(call, "list_id");
  if (!named) return schema_problem(named.error(), "query");
  const auto with_expired = read_flag(call, "include_expired_exceptions", true);
  if (!with_expired) return schema_problem(with_expired.error(), "query");
  const auto row = call.parts.store.exceptions().list(named->agnostic, By::human_id, named->human_id);
  if (!row) return siem_failed(row.error());
  if (!*row) return siem_failed(missing_container(named->human_id));
  const auto copy = duplicate_list(call, **row, *with_expired);
  if (!copy && copy.error().code == ErrorCode::limit) return siem_problem(400, copy.error().message);
  return copy ? json(200, answer_of(*copy)) : siem_failed(copy.error());
}

net::Response summary(const Call& call) {
  const auto named = named_in_query(call, "list_id");
  if (!named) return schema_problem(named.error(), "query");
  if (named->is_empty()) return siem_problem(400, "id or list_id required");
  const auto list = find_list(call, *named);
  if (!list) return siem_failed(list.error());
  const SearchedTypes types{named->agnostic, !named->agnostic};
  const auto filter = ExceptionFilter::parse(call.query("filter"), types, call.parts.clock.wall_ms());
  if (!filter) return siem_failed(filter.error());
  int64_t total = 0;
  std::map<std::string, int64_t> of;
  const Status seen =
      call.parts.store.exceptions().each_item(list->agnostic, list->list_id, [&](const ExceptionRow& item) {
        if (!filter->matches(item)) return;
        ++total;
        const auto doc = parse_ordered_json(item.doc);
        for (const char* os : {"windows", "linux", "macos"}) {
          const auto& all = doc["os_types"];
          if (std::find(all.begin(), all.end(), os) != all.end()) ++of[os];
        }
      });
  if (!seen) return siem_failed(seen.error());
  const nlohmann::ordered_json counts{
      {"windows", of["windows"]}, {"linux", of["linux"]}, {"macos", of["macos"]}, {"total", total}};
  return json(200, counts.dump());
}

// What stands between the quotes of a header: nothing that ends them.
std::string header_text(const std::string& text) {
  std::string out;
  for (const char c : text) out += c >= 0x20 && c < 0x7F && c != '"' && c != '\\' ? c : '_';
  return out;
}

net::Response export_one(const Call& call) {
  for (const char* name : {"id", "list_id", "namespace_type"}) {
    if (const Status there = need(call, name); !there) return schema_problem(there.error(), "query");
  }
  const auto named = named_in_query(call, "list_id");
  if (!named) return schema_problem(named.error(), "query");
  const auto with_expired = read_flag(call, "include_expired_exceptions", true);
  if (!with_expired) return schema_problem(with_expired.error(), "query");
  const auto list = call.parts.store.exceptions().list(named->agnostic, By::id, named->id);
  if (!list) return siem_failed(list.error());
  if (!*list) {
    return siem_problem(400,
                        "exception list with list_id: " + named->human_id + " or id: " + named->id + " does not exist");
  }
  auto text = export_list(call, **list, *with_expired);
  if (!text && text.error().code == ErrorCode::limit) return siem_problem(400, text.error().message);
  if (!text) return siem_failed(text.error());
  net::Response response;
  response.content_type = "application/ndjson";
  response.headers["Content-Disposition"] = "attachment; filename=\"" + header_text((*list)->list_id) + "\"";
  response.body = std::move(*text);
  return response;
}

net::Response import(const Call& call) {
  ImportOptions options;
  const auto overwrite = read_flag(call, "overwrite", false);
  const auto overwrite_items = read_flag(call, "overwrite_exceptions", false);
  const auto overwrite_connectors = read_flag(call, "overwrite_action_connectors", false);
  const auto as_new = read_flag(call, "as_new_list", false);
  for (const auto* flag : {&overwrite, &overwrite_items, &overwrite_connectors, &as_new}) {
    if (!*flag) return schema_problem(flag->error(), "query");
  }
  options.overwrite = *overwrite;
  options.overwrite_items = *overwrite_items;
  options.as_new_list = *as_new;
  const auto file = uploaded_ndjson(call.request);
  if (!file) return siem_failed(file.error());
  const auto imported = import_lists(call, *file, options);
  if (!imported && imported.error().code == ErrorCode::limit) return siem_problem(400, imported.error().message);
  if (!imported) return siem_failed(imported.error());
  return imported->in_force ? json(200, imported->summary) : siem_failed(imported->in_force.error());
}

}  // namespace

void add_exception_lists_routes(Router& router) {
  router.add("POST", "/api/exception_lists", Privilege::exceptions_write, create).changes_rules();
  router.add("GET", "/api/exception_lists", Privilege::exceptions_read, read);
  router.add("PUT", "/api/exception_lists", Privilege::exceptions_write, update);
  router.add("DELETE", "/api/exception_lists", Privilege::exceptions_delete, remove).changes_rules();
  router.add("GET", "/api/exception_lists/_find", Privilege::exceptions_read, find);
  router.add("GET", "/api/exception_lists/summary", Privilege::exceptions_read, summary);
  router.add("POST", "/api/exception_lists/_duplicate", Privilege::exceptions_write, duplicate).slow();
  router.add("POST", "/api/exception_lists/_export", Privilege::exceptions_read, export_one).only_reads();
  router.add("POST", "/api/exception_lists/_import", Privilege::exceptions_write, import).takes_import().slow();
}

}  // namespace fb::api
