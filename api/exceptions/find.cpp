#include "api/exceptions/find.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "api/exceptions/objects.h"
#include "api/router.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMostPages = 1'000'000'000;
constexpr int64_t kWindow = 10'000;  // of hits, as Elasticsearch's own
constexpr std::array kSortFields = {
    std::string_view("created_at"),  std::string_view("created_by"), std::string_view("updated_at"),
    std::string_view("updated_by"),  std::string_view("name"),       std::string_view("description"),
    std::string_view("item_id"),     std::string_view("list_id"),    std::string_view("type"),
    std::string_view("os_types"),    std::string_view("tags"),       std::string_view("version"),
    std::string_view("expire_time"), std::string_view("immutable"),  std::string_view("tie_breaker_id"),
};

Result<int64_t> read_number(const Call& call, const char* name, int64_t otherwise, int64_t least) {
  const std::string text = call.query(name);
  if (text.empty()) return otherwise;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(ErrorCode::invalid_argument, std::string(name) + ": Expected number, received nan");
  }
  if (value < least) {
    return fail(ErrorCode::invalid_argument,
                std::string(name) + ": Number must be greater than or equal to " + std::to_string(least));
  }
  return std::min(value, kMostPages);
}

// The answer without the members that were not asked for.
std::string only(const std::string& answer, const std::vector<std::string>& fields) {
  constexpr std::array kKept = {std::string_view("_version"), std::string_view("id"), std::string_view("item_id"),
                                std::string_view("list_id"), std::string_view("namespace_type")};
  const Json whole = parse_ordered_json(answer);
  Json part = Json::object();
  for (const auto& [key, value] : whole.items()) {
    const bool wanted = std::find(fields.begin(), fields.end(), key) != fields.end();
    if (wanted || std::find(kKept.begin(), kKept.end(), key) != kKept.end()) part[key] = value;
  }
  return dumped(part);
}

// What a row is sorted by, as text; of several values the one that comes first.
std::string sort_key(const ExceptionRow& row, const FindPage& page) {
  if (page.sort_field == "name") return row.name;
  if (page.sort_field == "item_id") return row.item_id;
  const Json doc = parse_ordered_json(row.doc);
  const auto it = doc.find(page.sort_field);
  if (it == doc.end()) return {};
  if (it->is_string()) return it->get<std::string>();
  if (it->is_number()) {
    std::string digits = it->dump();
    return std::string(digits.size() < 20 ? 20 - digits.size() : 0, '0') + digits;
  }
  if (!it->is_array()) return it->dump();
  std::vector<std::string> all;
  for (const Json& one : *it) all.push_back(one.is_string() ? one.get<std::string>() : one.dump());
  if (all.empty()) return {};
  return page.descending ? *std::max_element(all.begin(), all.end()) : *std::min_element(all.begin(), all.end());
}

int64_t first_of(const FindPage& page) {
  return (std::max<int64_t>(page.page, 1) - 1) * std::min<int64_t>(page.per_page, kMostPages);
}

tl::unexpected<Error> too_large() {
  return fail(ErrorCode::invalid_argument, "the page is larger than " + std::to_string(kMaxExceptionBytes) +
                                               " bytes; ask for less of it with per_page");
}

// Which rows the page has, out of rows that pass by one at a time. Rows that are alike stay in the order they came in.
class Window {
 public:
  explicit Window(const FindPage& page)
      : page_(page),
        by_time_(page.sort_field == "created_at" || page.sort_field == "updated_at"),
        most_(static_cast<size_t>(std::min(first_of(page) + page.per_page, kWindow))) {}

  void offer(const ExceptionRow& row) {
    const int64_t number = total_++;
    if (most_ == 0) return;
    Key key{{}, 0, number, row.agnostic, row.id};
    if (by_time_) {
      key.time = page_.sort_field == "updated_at" ? row.updated_at_ms : row.created_at_ms;
    } else {
      key.text = sort_key(row, page_).substr(0, kMostKeyBytes);
    }
    keys_.push_back(std::move(key));
    if (keys_.size() < 2 * most_ + kSpare) return;
    std::nth_element(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(most_), keys_.end(),
                     [this](const Key& a, const Key& b) { return is_before(a, b); });
    keys_.resize(most_);
  }

  // `read`: the row of an id; one that is gone by now is left out.
  template <class Read>
  Result<FoundRows> rows(const Read& read) {
    std::sort(keys_.begin(), keys_.end(), [this](const Key& a, const Key& b) { return is_before(a, b); });
    FoundRows found;
    found.total = total_;
    const size_t last = std::min(keys_.size(), most_);
    int64_t bytes = 0;
    for (size_t i = static_cast<size_t>(first_of(page_)); i < last; ++i) {
      FB_TRY(std::optional<ExceptionRow> row, read(keys_[i].agnostic, keys_[i].id));
      if (!row) continue;
      bytes += static_cast<int64_t>(row->doc.size());
      if (bytes > kMaxExceptionBytes) return too_large();
      found.rows.push_back(std::move(*row));
    }
    return found;
  }

 private:
  static constexpr size_t kMostKeyBytes = 1024;
  static constexpr size_t kSpare = 64;
  struct Key {
    std::string text;
    int64_t time = 0;
    int64_t number = 0;
    bool agnostic = false;
    std::string id;
  };

  bool is_before(const Key& a, const Key& b) const {
    if (by_time_ && a.time != b.time) return page_.descending ? a.time > b.time : a.time < b.time;
    if (by_time_ || a.text == b.text) return a.number < b.number;
    if (a.text.empty() != b.text.empty()) return b.text.empty();  // those without come last
    return page_.descending ? a.text > b.text : a.text < b.text;
  }

  const FindPage& page_;
  const bool by_time_;
  const size_t most_;
  int64_t total_ = 0;
  std::vector<Key> keys_;
};

std::optional<ExceptionPage::Order> stored_order(const std::string& field) {
  using Order = ExceptionPage::Order;
  if (field == "created_at") return Order::created_at;
  if (field == "updated_at") return Order::updated_at;
  if (field == "name") return Order::name;
  if (field == "item_id") return Order::item_id;
  return std::nullopt;
}

}  // namespace

Result<FindPage> read_page(const Call& call, int64_t least_page) {
  FindPage page;
  FB_TRY(page.page, read_number(call, "page", 1, least_page));
  page.page = std::max<int64_t>(page.page, 1);
  FB_TRY(page.per_page, read_number(call, "per_page", 20, least_page));
  const std::string order = call.query("sort_order");
  if (!order.empty() && order != "asc" && order != "desc") {
    return fail(ErrorCode::invalid_argument,
                "sort_order: Invalid enum value. Expected 'desc' | 'asc', received '" + order + "'");
  }
  std::string field = call.query("sort_field");
  for (const char* prefix : {"exception-list-agnostic.", "exception-list.", "attributes."}) {
    if (field.starts_with(prefix)) field.erase(0, std::string_view(prefix).size());
  }
  if (!field.empty()) {
    page.sort_field = field;
    page.descending = false;
  }
  if (!order.empty()) page.descending = order == "desc";
  page.search = call.query("search");
  for (std::string& name : split_commas(call.query("fields"))) {
    if (!name.empty()) page.fields.push_back(std::move(name));
  }
  return page;
}

Status check_page(const FindPage& page, std::span<const std::string_view> fields) {
  if (std::find(fields.begin(), fields.end(), page.sort_field) == fields.end()) {
    return fail(ErrorCode::invalid_argument, "Unknown sort field " + page.sort_field + ": Bad Request");
  }
  const int64_t last = first_of(page) + page.per_page;
  if (last > kWindow) {
    return fail(ErrorCode::invalid_argument,
                "Result window is too large, from + size must be less than or equal to: [" + std::to_string(kWindow) +
                    "] but was [" + std::to_string(last) + "]");
  }
  return {};
}

bool SearchedList::takes_all() const {
  return filters.empty() ||
         std::any_of(filters.begin(), filters.end(), [](const ExceptionFilter& f) { return f.is_empty(); });
}

bool SearchedList::takes(const ExceptionRow& row) const {
  return takes_all() ||
         std::any_of(filters.begin(), filters.end(), [&row](const ExceptionFilter& f) { return f.matches(row); });
}

Result<FoundRows> find_items(ExceptionStore store, const std::vector<SearchedList>& lists, const FindPage& page) {
  FB_TRY_VOID(check_page(page, kSortFields));
  const auto order = stored_order(page.sort_field);
  if (lists.size() == 1 && lists[0].takes_all() && page.search.empty() && order) {
    FoundRows found;
    FB_TRY(found.total, store.count_items(lists[0].agnostic, lists[0].list_id));
    auto rows = store.items(lists[0].agnostic, lists[0].list_id,
                            {*order, page.descending, first_of(page), page.per_page, kMaxExceptionBytes});
    if (!rows && rows.error().code == ErrorCode::limit) return too_large();
    FB_TRY(found.rows, std::move(rows));
    return found;
  }
  Window window(page);
  for (const SearchedList& list : lists) {
    FB_TRY_VOID(store.each_item(list.agnostic, list.list_id, [&](const ExceptionRow& row) {
      if (list.takes(row) && has_word(row, page.search)) window.offer(row);
    }));
  }
  return window.rows(
      [&](bool agnostic, const std::string& id) { return store.item(agnostic, ExceptionStore::By::id, id); });
}

Result<FoundRows> find_lists(ExceptionStore store, SearchedTypes types, const ExceptionFilter& filter,
                             const FindPage& page) {
  FB_TRY_VOID(check_page(page, kSortFields));
  Window window(page);
  for (const bool agnostic : {true, false}) {
    if (!(agnostic ? types.agnostic : types.single)) continue;
    FB_TRY_VOID(store.each_list(agnostic, [&](const ExceptionRow& row) {
      if (filter.matches(row)) window.offer(row);
    }));
  }
  return window.rows(
      [&](bool agnostic, const std::string& id) { return store.list(agnostic, ExceptionStore::By::id, id); });
}

std::string answer_of(const FoundRows& found, const FindPage& page) {
  std::string body = "{\"data\":[";
  for (size_t i = 0; i < found.rows.size(); ++i) {
    const std::string answer = answer_of(found.rows[i]);
    body += (i == 0 ? "" : ",") + (page.fields.empty() ? answer : only(answer, page.fields));
  }
  body += "],\"page\":" + std::to_string(page.page) + ",\"per_page\":" + std::to_string(page.per_page) +
          ",\"total\":" + std::to_string(found.total) + "}";
  return body;
}

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> parts;
  size_t at = 0;
  for (;;) {
    const size_t comma = text.find(',', at);
    parts.push_back(text.substr(at, comma == std::string::npos ? comma : comma - at));
    if (comma == std::string::npos) return parts;
    at = comma + 1;
  }
}

}  // namespace fb::api
