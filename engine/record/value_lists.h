// Value lists: named lists of values (addresses, names) that the exceptions of rules look events up in. What a value
// may be is checked before it comes here. Thread-safe; every change is one durable transaction with its audit row.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/record/exceptions.h"

namespace fb {

inline constexpr int64_t kMaxValues = 65'536;  // of one list; all of them go into the rules that use it

struct ValueListRow {
  std::string id;
  std::string type;  // keyword, ip, ip_range...
  std::string name;
  std::string description;
  std::string meta;          // a JSON object; "" = none
  std::string serializer;    // "" = none
  std::string deserializer;  // "" = none
  std::string tie_breaker;
  int64_t version = 1;  // the client's own count
  int64_t seq_no = 0;   // given by the store, another one with every write
  int64_t created_at_ms = 0;
  std::string created_by;
  int64_t updated_at_ms = 0;
  std::string updated_by;
};

struct ValueRow {
  std::string id;
  std::string list_id;
  std::string value;
  std::string meta;  // a JSON object; "" = none
  std::string tie_breaker;
  int64_t seq_no = 0;
  int64_t created_at_ms = 0;
  std::string created_by;
  int64_t updated_at_ms = 0;
  std::string updated_by;
};

class ValueListStore {
 public:
  explicit ValueListStore(const ExceptionStore& beside) : impl_(beside.impl_) {}

  // Whether lists can be made at all: so from the first start on, until somebody drops everything.
  Result<bool> is_open();
  Status open(const std::string& who);
  // Every list with its values; then no list can be made until open(). False: it was so already.
  Result<bool> drop_all(const std::string& who);

  Result<std::optional<ValueListRow>> list(const std::string& id);
  Result<std::vector<ValueListRow>> lists();  // oldest first
  // already_exists. Gives the row's seq_no.
  Result<int64_t> add_list(const ValueListRow& row, const std::string& who);
  // `expected`: the seq_no that the row must have. not_found, conflict.
  Result<int64_t> change_list(const ValueListRow& row, int64_t expected, const std::string& who);
  // With its values. False: it is gone already.
  Result<bool> remove_list(const std::string& id, const std::string& who);

  Result<std::optional<ValueRow>> item(const std::string& id);
  // Oldest first; a limit of -1: all.
  Result<std::vector<ValueRow>> items(const std::string& list_id, int64_t skip = 0, int64_t limit = -1);
  Result<int64_t> count_items(const std::string& list_id);
  Result<std::vector<ValueRow>> items_of_value(const std::string& list_id, const std::string& value);
  Result<std::vector<std::string>> values(const std::string& list_id);  // in order, each once
  // Rises with every change of any list or value: an equal number, the same values as before.
  Result<int64_t> last_change();
  // not_found: no such list; already_exists: the id is taken; limit: the list is full.
  Result<int64_t> add_item(const ValueRow& row, const std::string& who);
  Result<int64_t> change_item(const ValueRow& row, int64_t expected, const std::string& who);
  Result<int64_t> remove_items(const std::vector<ValueRow>& rows, const std::string& who);  // how many were there
  // Values that the list does not have yet; how many. `make`: the list is made first when it is not there. limit: it
  // would be too many, and nothing was written.
  Result<int64_t> import(const ValueListRow& list, bool make, const std::vector<std::string>& values,
                         const std::string& who);

  // The exception items with an entry that names the list; oldest first.
  Result<std::vector<ExceptionRow>> references(const std::string& list_id);

 private:
  Store::Impl& impl_;
};

}  // namespace fb
