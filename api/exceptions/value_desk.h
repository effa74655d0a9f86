// What the routes of value lists share: finding what a request names, changes against a version, and the way of a
// change into the rules. Thread-safe.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "api/exceptions/requests.h"
#include "api/exceptions/rule_item.h"
#include "api/exceptions/values.h"
#include "engine/compile/value_lists.h"
#include "engine/record/value_lists.h"

namespace fb::api {

inline ValueListStore values_in(const Call& call) {
  return ValueListStore(call.parts.store.exceptions());
}

inline Error no_value_list(const std::string& id) {
  return {ErrorCode::not_found, Retry::no, "list id: \"" + id + "\" does not exist", ""};
}

// The store's errors of a value list that is full, told as a wrong request.
inline net::Response values_failed(const Error& error) {
  if (error.code == ErrorCode::limit) return siem_problem(400, error.message);
  return siem_failed(error);
}

// A list that exceptions name already must be of a type that they can look events up in.
inline Status check_named_type(const Call& call, const std::string& id, const std::string& type) {
  if (compile::exceptions_can_use(type)) return {};
  FB_TRY(const auto used, values_in(call).references(id));
  if (used.empty()) return {};
  return fail(ErrorCode::invalid_argument, "list id: \"" + id + "\" is named by the exception item \"" +
                                               used.front().item_id +
                                               "\", and exceptions can't look events up in a list of the type " + type);
}

// The rules run with the list as it is now, when any exception names it.
inline Status tell_users(const Call& call, const std::string& list_id) {
  const auto used = values_in(call).references(list_id);
  if (used && used->empty()) return {};
  return used ? tell_rules(call.parts, *used) : tell_rules(call.parts);
}

// Changes a row until nobody was faster, or against the version that was sent. `read`: the row as it is, an error when
// it is gone; `apply`: what becomes of it; `write`: store.change_*.
template <class Row>
Result<Row> change_row(const std::optional<std::string>& token, const std::function<Result<Row>()>& read,
                       const std::function<Row(Row)>& apply,
                       const std::function<Result<int64_t>(const Row&, int64_t)>& write) {
  std::optional<int64_t> wanted;
  if (token) {
    FB_TRY(wanted, read_version_token(*token));
  }
  for (int tries = 1;; ++tries) {
    FB_TRY(const Row row, read());
    if (wanted && *wanted != row.seq_no) {
      return fail(ErrorCode::conflict, "[" + row.id + "]: version conflict, required seqNo [" +
                                           std::to_string(*wanted) +
                                           "], primary term [1]. current document has seqNo [" +
                                           std::to_string(row.seq_no) + "] and primary term [1]");
    }
    Row changed = apply(row);
    const auto seq_no = write(changed, row.seq_no);
    if (seq_no) {
      changed.seq_no = *seq_no;
      return changed;
    }
    const ErrorCode code = seq_no.error().code;
    const bool again = (code == ErrorCode::conflict || code == ErrorCode::not_found) && tries < kMostTries;
    if (!again) return tl::unexpected<Error>(seq_no.error());
  }
}

}  // namespace fb::api
