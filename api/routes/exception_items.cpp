// Exception items: create, read, change, delete, find. Kibana's paths, texts and shapes.
#include <algorithm>

#include "api/exceptions/find.h"
#include "api/exceptions/isolation_item.h"
#include "api/exceptions/items.h"
#include "api/exceptions/objects.h"
#include "api/exceptions/requests.h"
#include "api/exceptions/rule_item.h"

namespace fb::api {
namespace {

using By = ExceptionStore::By;

// Of a host isolation exception: what it says, the policies it names, and that hosts can take the address.
Status check_isolation(const ItemSent& sent, const ExceptionRow& row, const Parts& parts) {
  const auto told = [](const Error& e) {
    const bool ours = e.code != ErrorCode::invalid_argument;
    return tl::unexpected<Error>(ours ? e : Error{e.code, e.retry, "EndpointArtifactError: " + e.message, ""});
  };
  ItemSent whole = sent;
  whole.agnostic = row.agnostic;
  if (const Status s = check_isolation_item(whole); !s) return told(s.error());
  if (!row.opens) return fail(ErrorCode::internal, "an item that opens nothing", row.id);
  if (const Status s = check_addresses({*row.opens}, false, parts).front(); !s) return told(s.error());
  if (const Status s = check_policy_tags(whole, parts); !s) return told(s.error());
  return {};
}

net::Response full() {
  return siem_problem(400, "Failed to add exception item, exception list would exceed max size of " +
                               std::to_string(kMaxExceptionItems));
}

}  // namespace

net::Response create_exception_item(const Call& call) {
  const auto sent = read_item_body(call.request.body, BodyOf::create);
  if (!sent) return schema_problem(sent.error(), "body");
  ExceptionStore store = call.parts.store.exceptions();
  const auto list = store.list(sent->agnostic, By::human_id, sent->list_id);
  if (!list) return siem_failed(list.error());
  if (!*list) return siem_failed(missing_container(sent->list_id));
  const std::string exists = "exception list item id: \"" + sent->item_id + "\" already exists";
  if (!sent->item_id.empty()) {
    const auto known = store.item(sent->agnostic, By::human_id, sent->item_id);
    if (!known) return siem_failed(known.error());
    if (*known) return siem_problem(409, exists);
  }
  const auto size = store.count_items(sent->agnostic, sent->list_id);
  if (!size) return siem_failed(size.error());
  if (*size >= kMaxExceptionItems) return full();
  ExceptionRow row = new_item(*sent, call.who.person, call.parts.clock.wall_ms());
  if (is_isolation_item(row)) {
    if (const Status fine = check_isolation(*sent, row, call.parts); !fine) return siem_failed(fine.error());
  } else if (const Status fine = check_rule_item(row, call.parts); !fine) {
    return siem_failed(fine.error());
  }
  const auto added = store.add_items({row}, call.actor());
  if (!added) return siem_failed(added.error());
  switch (added->front().what) {
    case ExceptionStore::Added::no_list:
      return siem_failed(missing_container(sent->list_id));
    case ExceptionStore::Added::exists:
      return siem_problem(409, exists);
    case ExceptionStore::Added::full:
      return full();
    case ExceptionStore::Added::done:
      break;
  }
  row.seq_no = added->front().seq_no;
  if (!is_isolation_item(row)) {
    if (const Status told = tell_rules(call.parts, {&row, 1}); !told) return siem_failed(told.error());
  }
  return json(200, answer_of(row));
}

net::Response read_exception_item(const Call& call) {
  const auto named = named_in_query(call, "item_id");
  if (!named) return schema_problem(named.error(), "query");
  if (named->is_empty()) return siem_problem(400, "id or item_id required");
  const auto row = find_item(call, *named);
  return row ? json(200, answer_of(*row)) : siem_failed(row.error());
}

namespace {

// One try; `conflict` when somebody else was faster.
Result<ExceptionRow> change_once(const Call& call, const ItemSent& sent, std::optional<int64_t> wanted) {
  const Named named{sent.agnostic, sent.id, sent.item_id};
  FB_TRY(const ExceptionRow row, find_item(call, named));
  if (is_isolation_item(row) && !sent.list_id.empty() && sent.list_id != row.list_id) {
    return tl::unexpected<Error>(missing_container(sent.list_id));
  }
  FB_TRY(ExceptionRow changed, changed_item(row, sent, call.who.person, call.parts.clock.wall_ms()));
  FB_TRY_VOID(is_isolation_item(row) ? check_isolation(sent, changed, call.parts)
                                     : check_rule_item(changed, call.parts));
  if (wanted && *wanted != row.seq_no) return tl::unexpected<Error>(version_conflict(row, *wanted));
  auto seq_no = call.parts.store.exceptions().change_item(changed, row.seq_no, call.actor());
  if (!seq_no) {
    Error e = seq_no.error();
    if (e.code == ErrorCode::not_found) e = missing_item(named);
    if (e.code == ErrorCode::already_exists) {
      e.message = "exception list item id: \"" + changed.item_id + "\" already exists";
    }
    if (e.code == ErrorCode::conflict) e = version_conflict(row, row.seq_no);
    return tl::unexpected<Error>(std::move(e));
  }
  changed.seq_no = *seq_no;
  if (!is_isolation_item(row)) FB_TRY_VOID(tell_rules(call.parts, {&changed, 1}));
  return changed;
}

}  // namespace

net::Response change_exception_item(const Call& call) {
  const auto sent = read_item_body(call.request.body, BodyOf::update);
  if (!sent) return schema_problem(sent.error(), "body");
  if (sent->id.empty() && sent->item_id.empty()) return siem_problem(404, "either id or item_id need to be defined");
  std::optional<int64_t> wanted;
  if (sent->version_token) {
    const auto seq_no = read_version_token(*sent->version_token);
    if (!seq_no) return siem_failed(seq_no.error());
    wanted = *seq_no;
  }
  for (int tries = 1;; ++tries) {
    const auto changed = change_once(call, *sent, wanted);
    if (changed) return json(200, answer_of(*changed));
    const Error& e = changed.error();
    if (e.code == ErrorCode::conflict && !wanted && tries < kMostTries) continue;
    // A comment that is not there is told as what it is: a wrong body.
    const bool wrong_body = e.code == ErrorCode::not_found || e.code == ErrorCode::invalid_argument;
    if (wrong_body && e.message.starts_with("item \"comments\"")) {
      return siem_problems(400, {e.message});
    }
    return siem_failed(e);
  }
}

net::Response remove_exception_item(const Call& call) {
  const auto named = named_in_query(call, "item_id");
  if (!named) return schema_problem(named.error(), "query");
  if (named->is_empty()) return siem_problem(400, "Either \"item_id\" or \"id\" needs to be defined in the request");
  const auto row = find_item(call, *named);
  if (!row) return siem_failed(row.error());
  const auto removed = call.parts.store.exceptions().remove_item(*row, call.actor());
  if (!removed) return siem_failed(removed.error());
  if (!*removed) return siem_failed(missing_item(*named));
  if (!is_isolation_item(*row)) {
    if (const Status told = tell_rules(call.parts, {&*row, 1}); !told) return siem_failed(told.error());
  }
  return json(200, answer_of(*row));
}

namespace {

std::string counts_differ(const char* what, size_t lists, size_t others) {
  return std::string("list_id and ") + what + " need to have the same comma separated number of values. Expected " +
         "list_id length: " + std::to_string(lists) + " to equal " +
         (std::string_view(what) == "filter" ? "filter" : "namespace_type") + " length: " + std::to_string(others);
}

}  // namespace

net::Response find_exception_items(const Call& call) {
  const auto page = read_page(call, 0);
  if (!page) return schema_problem(page.error(), "query");
  const std::vector<std::string> list_ids = listed_in_query(call, "list_id");
  if (list_ids.size() == 1 && list_ids.front().empty()) return problem(400, "[request query]: list_id: Required");
  for (const std::string& id : list_ids) {
    if (id.empty()) return problem(400, "[request query]: list_id: String must contain at least 1 character(s)");
  }
  if (list_ids.size() > kMaxSearchedLists) {
    return problem(400, "[request query]: list_id: Array must contain at most " + std::to_string(kMaxSearchedLists) +
                            " element(s)");
  }
  const std::vector<std::string> namespaces = listed_in_query(call, "namespace_type", "single");
  SearchedTypes types;
  std::vector<SearchedList> lists;
  std::vector<bool> agnostic;
  for (const std::string& word : namespaces) {
    const auto one = namespaces.size() > 1 && word.empty() ? wrong_namespace(word) : read_namespace(word);
    if (!one) return schema_problem(one.error(), "query");
    agnostic.push_back(*one);
    (*one ? types.agnostic : types.single) = true;
  }
  if (list_ids.size() != namespaces.size()) {
    return siem_problem(400, counts_differ("namespace_id", list_ids.size(), namespaces.size()));
  }
  std::vector<std::string> filters;
  for (std::string& part : listed_in_query(call, "filter")) {
    if (part.find_first_not_of(" \t\r\n") != std::string::npos) filters.push_back(std::move(part));
  }
  if (!filters.empty() && filters.size() != list_ids.size()) {
    return siem_problem(400, counts_differ("filter", list_ids.size(), filters.size()));
  }
  ExceptionStore store = call.parts.store.exceptions();
  for (size_t i = 0; i < list_ids.size(); ++i) {
    auto filter = ExceptionFilter::parse(filters.empty() ? "" : filters[i], types, call.parts.clock.wall_ms());
    if (!filter) return siem_failed(filter.error());
    const auto known = std::find_if(lists.begin(), lists.end(), [&](const SearchedList& one) {
      return one.agnostic == agnostic[i] && one.list_id == list_ids[i];
    });
    if (known != lists.end()) {
      known->filters.push_back(std::move(*filter));
      continue;
    }
    const auto list = store.list(agnostic[i], By::human_id, list_ids[i]);
    if (!list) return siem_failed(list.error());
    if (*list) lists.push_back({agnostic[i], list_ids[i], {std::move(*filter)}});
  }
  if (lists.empty()) {
    std::string asked;
    for (const std::string& id : list_ids) asked += (asked.empty() ? "" : ",") + id;
    return siem_failed(missing_container(asked));
  }
  const auto found = find_items(store, lists, *page);
  return found ? json(200, answer_of(*found, *page)) : siem_failed(found.error());
}

void add_exception_items_routes(Router& router) {
  router.add("POST", "/api/exception_lists/items", Privilege::exceptions_write, create_exception_item).changes_rules();
  router.add("GET", "/api/exception_lists/items", Privilege::exceptions_read, read_exception_item);
  router.add("PUT", "/api/exception_lists/items", Privilege::exceptions_write, change_exception_item).changes_rules();
  router.add("DELETE", "/api/exception_lists/items", Privilege::exceptions_delete, remove_exception_item)
      .changes_rules();
  router.add("GET", "/api/exception_lists/items/_find", Privilege::exceptions_read, find_exception_items);
}

}  // namespace fb::api
