// What the exception routes share: who is meant by a request, errors in the shape of Kibana's handlers.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/api.h"
#include "api/exceptions/find.h"
#include "api/router.h"
#include "engine/net/uri.h"
#include "engine/record/exceptions.h"

namespace fb::api {

// An Error of the layers below in the shape of these routes.
inline net::Response siem_failed(const Error& error) {
  const bool busy = error.retry == Retry::yes;
  switch (error.code) {
    case ErrorCode::invalid_argument:
      return siem_problem(400, error.message);
    case ErrorCode::not_found:
      return siem_problem(404, error.message);
    case ErrorCode::conflict:
    case ErrorCode::already_exists:
      return siem_problem(409, error.message);
    case ErrorCode::refused:
      return siem_problem(403, error.message);
    default:
      return siem_problem(busy ? 503 : 500, error.describe());
  }
}

// A body or a query that is not what its schema says. `limit` = no JSON at all.
inline net::Response schema_problem(const Error& error, const char* where) {
  if (error.code == ErrorCode::limit) return problem(400, error.message);
  return problem(400, std::string("[request ") + where + "]: " + error.message);
}

// The object that a query or a body names.
struct Named {
  bool agnostic = false;
  std::string id;
  std::string human_id;  // list_id or item_id

  bool is_empty() const { return id.empty() && human_id.empty(); }
  ExceptionStore::By by() const { return id.empty() ? ExceptionStore::By::human_id : ExceptionStore::By::id; }
  const std::string& key() const { return id.empty() ? human_id : id; }
};

inline Result<bool> wrong_namespace(const std::string& word) {
  return fail(ErrorCode::invalid_argument,
              "namespace_type: Invalid enum value. Expected 'agnostic' | 'single', received '" + word + "'");
}
inline Result<bool> read_namespace(const std::string& word) {
  if (word.empty() || word == "single") return false;
  if (word == "agnostic") return true;
  return wrong_namespace(word);
}

// A parameter that is a list: one value with commas between, or repeated (also as name[]), when a comma is part of a
// value. Generated clients repeat, people write commas.
inline std::vector<std::string> listed_in_query(const Call& call, const std::string& name, std::string otherwise = {}) {
  std::vector<std::string> sent;
  const std::string& target = call.request.target;
  const size_t mark = target.find('?');
  std::string_view rest = mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    const auto key = net::percent_decode(pair.substr(0, equals), true);
    auto value = net::percent_decode(pair.substr(equals + 1), true);
    if (key && value && (*key == name || *key == name + "[]")) sent.push_back(std::move(*value));
  }
  if (sent.empty()) return split_commas(call.query(name, std::move(otherwise)));
  return sent.size() == 1 ? split_commas(sent.front()) : sent;
}

inline Result<Named> named_in_query(const Call& call, const char* human) {
  Named named;
  FB_TRY(named.agnostic, read_namespace(call.query("namespace_type")));
  named.id = call.query("id");
  named.human_id = call.query(human);
  return named;
}

inline Error missing_list(const Named& named) {
  const std::string what = named.id.empty() ? "list_id" : "id";
  return {ErrorCode::not_found, Retry::no, "exception list " + what + ": \"" + named.key() + "\" does not exist", ""};
}
inline Error missing_item(const Named& named) {
  const std::string what = named.id.empty() ? "item_id" : "id";
  return {ErrorCode::not_found, Retry::no, "exception list item " + what + ": \"" + named.key() + "\" does not exist",
          ""};
}
// A list that an item, a search or a copy needs; always told as an id.
inline Error missing_container(const std::string& list_id) {
  return {ErrorCode::not_found, Retry::no, "exception list id: \"" + list_id + "\" does not exist", ""};
}

inline Result<ExceptionRow> find_list(const Call& call, const Named& named) {
  FB_TRY(std::optional<ExceptionRow> row, call.parts.store.exceptions().list(named.agnostic, named.by(), named.key()));
  if (!row) return tl::unexpected<Error>(missing_list(named));
  return std::move(*row);
}
inline Result<ExceptionRow> find_item(const Call& call, const Named& named) {
  FB_TRY(std::optional<ExceptionRow> row, call.parts.store.exceptions().item(named.agnostic, named.by(), named.key()));
  if (!row) return tl::unexpected<Error>(missing_item(named));
  return std::move(*row);
}

inline Error version_conflict(const ExceptionRow& row, int64_t wanted) {
  return {ErrorCode::conflict, Retry::no,
          "[" + row.id + "]: version conflict, required seqNo [" + std::to_string(wanted) +
              "], primary term [1]. current document has seqNo [" + std::to_string(row.seq_no) +
              "] and primary term [1]",
          ""};
}

inline constexpr int kMostTries = 20;  // of a change without _version: the last writer wins

}  // namespace fb::api
