#include "api/exceptions/find.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "api/exceptions/objects.h"
#include "api/router.h"
#include "engine/base/json.h"

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
  return part.dump(-1, ' ', false, Json::error_handler_t::replace);
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

void sort_rows(std::vector<ExceptionRow>& rows, const FindPage& page) {
  std::vector<std::pair<std::string, size_t>> order;
  const bool by_time = page.sort_field == "created_at" || page.sort_field == "updated_at";
  order.reserve(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) order.emplace_back(by_time ? std::string() : sort_key(rows[i], page), i);
  const auto time = [&](size_t i) {
    return page.sort_field == "updated_at" ? rows[i].updated_at_ms : rows[i].created_at_ms;
  };
  std::stable_sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    if (by_time) {
      return page.descending ? time(a.second) > time(b.second) : time(a.second) < time(b.second);
    }
    if (a.first.empty() != b.first.empty()) return b.first.empty();  // those without come last
    return page.descending ? a.first > b.first : a.first < b.first;
  });
  std::vector<ExceptionRow> sorted;
  sorted.reserve(rows.size());
  for (const auto& [key, at] : order) sorted.push_back(std::move(rows[at]));
  rows = std::move(sorted);
}

int64_t first_of(const FindPage& page) {
  return (std::max<int64_t>(page.page, 1) - 1) * std::min<int64_t>(page.per_page, kMostPages);
}

FoundRows cut(std::vector<ExceptionRow> rows, const FindPage& page) {
  FoundRows found;
  found.total = static_cast<int64_t>(rows.size());
  sort_rows(rows, page);
  const int64_t first = std::min(first_of(page), found.total);
  const int64_t last = std::min(first + page.per_page, found.total);
  for (int64_t i = first; i < last; ++i) found.rows.push_back(std::move(rows[static_cast<size_t>(i)]));
  return found;
}

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

Result<FoundRows> find_items(ExceptionStore store, const std::vector<SearchedList>& lists, const FindPage& page) {
  FB_TRY_VOID(check_page(page, kSortFields));
  const auto order = stored_order(page.sort_field);
  if (lists.size() == 1 && lists[0].filter.is_empty() && page.search.empty() && order) {
    FoundRows found;
    FB_TRY(found.total, store.count_items(lists[0].agnostic, lists[0].list_id));
    FB_TRY(found.rows,
           store.items(lists[0].agnostic, lists[0].list_id, {*order, page.descending, first_of(page), page.per_page}));
    return found;
  }
  std::vector<ExceptionRow> all;
  for (const SearchedList& list : lists) {
    FB_TRY(std::vector<ExceptionRow> rows, store.items(list.agnostic, list.list_id));
    for (ExceptionRow& row : rows) {
      if (list.filter.matches(row) && has_word(row, page.search)) all.push_back(std::move(row));
    }
  }
  return cut(std::move(all), page);
}

Result<FoundRows> find_lists(ExceptionStore store, SearchedTypes types, const ExceptionFilter& filter,
                             const FindPage& page) {
  FB_TRY_VOID(check_page(page, kSortFields));
  std::vector<ExceptionRow> all;
  for (const bool agnostic : {true, false}) {
    if (!(agnostic ? types.agnostic : types.single)) continue;
    FB_TRY(std::vector<ExceptionRow> rows, store.lists(agnostic));
    for (ExceptionRow& row : rows) {
      if (filter.matches(row)) all.push_back(std::move(row));
    }
  }
  return cut(std::move(all), page);
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
