// `_find` over value lists and over the values of one: which, in which order, which page. Pure, thread-safe.
#pragma once

#include <string>
#include <vector>

#include "api/exceptions/find.h"
#include "engine/base/result.h"
#include "engine/record/value_lists.h"

namespace fb::api {

// The page of a search as clients ask for it. invalid_argument: the text after "[request query]: ".
Result<FindPage> read_values_page(const Call& call);

// The answer: {"cursor":"...","data":[...],"page":1,"per_page":20,"total":n}. `kql` is over the members of the objects;
// values go by the name of their list's type, too (ip: "192.0.2.1"). invalid_argument: the text of the answer.
Result<std::string> find_value_lists(std::vector<ValueListRow> rows, const std::string& kql, const FindPage& page,
                                     int64_t now_ms);
// The page lies within what may be asked for. invalid_argument.
Status check_values_page(const FindPage& page);
// Whether the search asks for values as they stand, so that the record can give the page alone.
bool is_plain(const std::string& kql, const FindPage& page);
Result<std::string> find_values(std::vector<ValueRow> rows, const std::string& type, const std::string& kql,
                                const FindPage& page, int64_t now_ms);
// The rows are those of the page.
std::string page_of_values(const std::vector<ValueRow>& rows, const std::string& type, const FindPage& page,
                           int64_t total);

}  // namespace fb::api
