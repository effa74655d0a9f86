// Exception lists and items as the record keeps them: the document that the API answers with, beside it what the record
// itself looks by, and of an item that opens an address to isolated hosts what those hosts are told. What a document
// may say is checked before it comes here. Thread-safe; every change is one durable transaction with its audit rows.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/record/store.h"

namespace fb {

inline constexpr int64_t kMaxExceptionItems = 10'000;  // of one list

// What an item asks isolated hosts to leave open.
struct OpenAddress {
  std::string id;                     // of the item
  std::string address;                // IPv4 or IPv6, single or prefix, as it was sent
  std::vector<std::string> os_types;  // linux, macos, windows
  std::vector<std::string> policies;  // ids of endpoint policies, or "all" alone; none: for nobody
  int64_t expires_at_ms = 0;          // 0 = never
};

struct ExceptionRow {
  std::string id;
  bool agnostic = false;  // the namespace: agnostic or single
  std::string list_id;
  std::string item_id;  // "" = this is a list
  int64_t seq_no = 0;   // given by the store, another one with every write, never used twice
  std::string name;
  int64_t created_at_ms = 0;
  int64_t updated_at_ms = 0;
  int64_t expires_at_ms = 0;         // 0 = never
  std::optional<OpenAddress> opens;  // an item of the host isolation exceptions
  std::string doc;                   // one JSON object
};

// What an endpoint runs on and which policy it has, and what it said last.
struct PolicyTarget {
  std::string endpoint_id;
  std::string hostname;
  std::string os;
  std::string policy_id;
  std::string observed;
  std::string agent_status;
  std::string policy_digest;
};

// A piece of a list's items.
struct ExceptionPage {
  enum class Order : uint8_t { created_at, updated_at, name, item_id };
  Order order = Order::created_at;
  bool descending = true;
  int64_t skip = 0;
  int64_t limit = -1;      // -1 = all
  int64_t max_bytes = -1;  // of their documents; -1 = any
};

class ExceptionStore {
 public:
  explicit ExceptionStore(Store::Impl& impl) : impl_(impl) {}

  enum class By : uint8_t { id, human_id };  // human_id: the list_id of a list, the item_id of an item
  Result<std::optional<ExceptionRow>> list(bool agnostic, By by, const std::string& key);
  Result<std::optional<ExceptionRow>> item(bool agnostic, By by, const std::string& key);

  Result<std::vector<ExceptionRow>> lists(bool agnostic);
  // limit: the documents are larger than page.max_bytes.
  Result<std::vector<ExceptionRow>> items(bool agnostic, const std::string& list_id, const ExceptionPage& page = {});
  Result<int64_t> count_items(bool agnostic, const std::string& list_id);
  // One after the other, newest first: only one is in memory at a time. `see` asks the store nothing.
  using See = std::function<void(const ExceptionRow&)>;
  Status each_list(bool agnostic, const See& see);
  Status each_item(bool agnostic, const std::string& list_id, const See& see);

  // already_exists: this namespace has a list of that list_id. Gives the row's seq_no.
  Result<int64_t> add_list(const ExceptionRow& row, const std::string& who);
  enum class Added : uint8_t { done, no_list, exists, full };
  struct AddedItem {
    Added what = Added::done;
    int64_t seq_no = 0;
  };
  // Each for itself, in one transaction; the same places.
  Result<std::vector<AddedItem>> add_items(const std::vector<ExceptionRow>& rows, const std::string& who);
  // `expected`: the seq_no that the row must have. not_found, conflict; already_exists when a new human id is taken.
  Result<int64_t> change_list(const ExceptionRow& row, int64_t expected, const std::string& who);
  Result<int64_t> change_item(const ExceptionRow& row, int64_t expected, const std::string& who);
  // False: it is gone already. A list takes its items along.
  Result<bool> remove_list(const ExceptionRow& row, const std::string& who);
  Result<bool> remove_item(const ExceptionRow& row, const std::string& who);

  // One of several changes that are made as one.
  struct Change {
    enum class What : uint8_t { add_list, change_list, add_item, change_item, remove_item };
    What what = What::add_item;
    ExceptionRow row;
    int64_t expected = 0;   // change_*, remove_*: the seq_no that the row must have
    bool emptied = false;   // change_list: its items go first
    bool must_fit = false;  // add_item: a list that is full fails the whole of it (limit)
  };
  // All of it in one transaction, in this order. Of items that are added each comes back as done or full, in the places
  // of `changes`. conflict: the record is no longer what the changes were made for; then nothing was written.
  Result<std::vector<AddedItem>> apply(const std::vector<Change>& changes, const std::string& who);

  Result<std::vector<OpenAddress>> open_addresses();   // oldest first, expired ones too
  Result<std::vector<PolicyTarget>> policy_targets();  // every endpoint

 private:
  friend class ValueListStore;  // value_lists.h
  Store::Impl& impl_;
};

}  // namespace fb
