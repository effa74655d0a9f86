// Lists with their items as NDJSON, out and in, and copies of lists. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/record/exceptions.h"

namespace fb::api {

struct Call;

// The list, its items (newest first), the counts; one JSON object a line. limit: more than kMaxExceptionBytes.
Result<std::string> export_list(const Call& call, const ExceptionRow& list, bool with_expired);

struct ImportOptions {
  bool overwrite = false;        // a list that is there is replaced with all its items; an item of it too
  bool overwrite_items = false;  // a list or item that is there gets what the file says of it; none is removed
  bool as_new_list = false;      // every list and item gets a new list_id and item_id
};
// Lists and items of one import: a full list with all its items.
inline constexpr size_t kMaxImport = 10'001;

struct Imported {
  std::string summary;  // of what was taken and what was not, as JSON
  Status in_force;      // whether the rules run with what was taken (tell_rules)
};

// What is wrong with one object does not hold back the others. limit: too many objects. refused: it would remove items,
// and who imports has not exceptions_delete; then nothing was written.
Result<Imported> import_lists(const Call& call, std::string_view file, const ImportOptions& options);

// A new list with copies of the items.
Result<ExceptionRow> duplicate_list(const Call& call, const ExceptionRow& list, bool with_expired);

}  // namespace fb::api
