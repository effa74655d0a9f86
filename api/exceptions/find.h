// `_find` over lists and items: which, in which order, which page. Thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/exceptions/filter.h"
#include "engine/base/result.h"
#include "engine/record/exceptions.h"

namespace fb::api {

struct Call;

struct FindPage {
  int64_t page = 1;
  int64_t per_page = 20;
  std::string sort_field = "created_at";
  bool descending = true;
  std::string search;
  std::vector<std::string> fields;  // what of each is answered, besides what identifies it; none: all
};
// Out of the query of a request. invalid_argument: the text after "[request query]: ".
Result<FindPage> read_page(const Call& call, int64_t least_page);
// The page lies within the first 10,000 hits, as with Kibana, and is sorted by one of the fields ("" = in any order).
// invalid_argument.
Status check_page(const FindPage& page, std::span<const std::string_view> fields);

inline constexpr size_t kMaxSearchedLists = 100;                 // named by one search
inline constexpr int64_t kMaxExceptionBytes = 64 * 1024 * 1024;  // of the documents of one page or export

// One list whose items are looked at, and what of them passes: whatever one of the filters lets through.
struct SearchedList {
  bool agnostic = false;
  std::string list_id;
  std::vector<ExceptionFilter> filters;

  bool takes_all() const;
  bool takes(const ExceptionRow& row) const;
};

struct FoundRows {
  std::vector<ExceptionRow> rows;  // of the page
  int64_t total = 0;
};
// Each list once. Of what is looked at only what it is sorted by is kept, and of that only what may stand on the page,
// until the page is known. invalid_argument: the page is larger than kMaxExceptionBytes.
Result<FoundRows> find_items(ExceptionStore store, const std::vector<SearchedList>& lists, const FindPage& page);
Result<FoundRows> find_lists(ExceptionStore store, SearchedTypes types, const ExceptionFilter& filter,
                             const FindPage& page);

// {"data":[...],"page":1,"per_page":20,"total":n}
std::string answer_of(const FoundRows& found, const FindPage& page);

// "a,b" -> two. Empty parts stay.
std::vector<std::string> split_commas(const std::string& text);

}  // namespace fb::api
