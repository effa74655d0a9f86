#include "api/exceptions/values_find.h"

#include <algorithm>
#include <array>

#include "api/exceptions/values.h"
#include "api/router.h"
#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/lang/kuery/kuery.h"

namespace fb::api {
namespace {

constexpr std::array kListFields = {
    std::string_view(""),           std::string_view("@timestamp"),  std::string_view("created_at"),
    std::string_view("created_by"), std::string_view("description"), std::string_view("id"),
    std::string_view("name"),       std::string_view("type"),        std::string_view("updated_at"),
    std::string_view("updated_by"), std::string_view("version"),
};
constexpr std::array kValueFields = {
    std::string_view(""),           std::string_view("@timestamp"), std::string_view("created_at"),
    std::string_view("created_by"), std::string_view("id"),         std::string_view("list_id"),
    std::string_view("type"),       std::string_view("updated_at"), std::string_view("updated_by"),
    std::string_view("value"),
};

std::string padded(int64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(digits.size() < 20 ? 20 - digits.size() : 0, '0') + digits;
}

std::string key_of(const ValueListRow& row, const std::string& field) {
  if (field == "created_at") return padded(row.created_at_ms);
  if (field == "updated_at" || field == "@timestamp") return padded(row.updated_at_ms);
  if (field == "version") return padded(row.version);
  if (field == "created_by") return row.created_by;
  if (field == "updated_by") return row.updated_by;
  if (field == "description") return row.description;
  if (field == "type") return row.type;
  return field == "id" ? row.id : row.name;
}

std::string key_of(const ValueRow& row, const std::string& field) {
  if (field == "created_at") return padded(row.created_at_ms);
  if (field == "updated_at" || field == "@timestamp") return padded(row.updated_at_ms);
  if (field == "created_by") return row.created_by;
  if (field == "updated_by") return row.updated_by;
  if (field == "id") return row.id;
  return field == "list_id" || field == "type" ? row.list_id : row.value;  // the same for all
}

Result<ir::Node> parsed(const std::string& kql) {
  if (kql.find_first_not_of(" \t\r\n") == std::string::npos) return ir::always();
  auto query = lang::parse_kuery(kql);
  if (!query) return fail(ErrorCode::invalid_argument, "KQLSyntaxError: " + query.error().message + ": Bad Request");
  return std::move(*query);
}

std::string answer(const std::string& data, const FindPage& page, int64_t last, int64_t total) {
  return R"({"cursor":")" + base64("[" + std::to_string(last) + "]") + R"(","data":[)" + data + R"(],"page":)" +
         std::to_string(page.page) + R"(,"per_page":)" + std::to_string(page.per_page) + R"(,"total":)" +
         std::to_string(total) + "}";
}

// `text` makes a row's document; `searched` what the filter looks at.
template <class Row, class Text, class Searched>
Result<std::string> found(std::vector<Row> rows, const std::string& kql, const FindPage& page, int64_t now_ms,
                          const Text& text, const Searched& searched) {
  FB_TRY(const ir::Node query, parsed(kql));
  if (query.kind != ir::Node::Kind::always) {
    std::erase_if(rows, [&](const Row& row) { return !ir::matches(query, searched(row), {now_ms, {}}); });
  }
  if (!page.sort_field.empty()) {
    std::vector<std::pair<std::string, size_t>> order;
    order.reserve(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) order.emplace_back(key_of(rows[i], page.sort_field), i);
    std::stable_sort(order.begin(), order.end(), [&page](const auto& a, const auto& b) {
      return page.descending ? a.first > b.first : a.first < b.first;
    });
    std::vector<Row> sorted;
    sorted.reserve(rows.size());
    for (const auto& [key, at] : order) sorted.push_back(std::move(rows[at]));
    rows = std::move(sorted);
  }
  const auto total = static_cast<int64_t>(rows.size());
  const int64_t first = std::min((std::max<int64_t>(page.page, 1) - 1) * page.per_page, total);
  const int64_t last = std::min(first + page.per_page, total);
  std::string data;
  for (int64_t i = first; i < last; ++i) data += (i == first ? "" : ",") + text(rows[static_cast<size_t>(i)]);
  return answer(data, page, last, total);
}

}  // namespace

Result<FindPage> read_values_page(const Call& call) {
  FB_TRY(FindPage page, read_page(call, 0));
  if (call.query("sort_field").empty()) page.sort_field.clear();
  return page;
}

Result<std::string> find_value_lists(std::vector<ValueListRow> rows, const std::string& kql, const FindPage& page,
                                     int64_t now_ms) {
  FB_TRY_VOID(check_page(page, kListFields));
  const auto text = [](const ValueListRow& row) { return answer_of(row); };
  const auto searched = [](const ValueListRow& row) { return parse_json_tree(answer_of(row)).value_or(JsonNode()); };
  return found(std::move(rows), kql, page, now_ms, text, searched);
}

Status check_values_page(const FindPage& page) {
  return check_page(page, kValueFields);
}

bool is_plain(const std::string& kql, const FindPage& page) {
  return page.sort_field.empty() && kql.find_first_not_of(" \t\r\n") == std::string::npos;
}

std::string page_of_values(const std::vector<ValueRow>& rows, const std::string& type, const FindPage& page,
                           int64_t total) {
  std::string data;
  for (const ValueRow& row : rows) data += (data.empty() ? "" : ",") + answer_of(row, type);
  const int64_t first = (std::max<int64_t>(page.page, 1) - 1) * page.per_page;
  return answer(data, page, std::min(first + static_cast<int64_t>(rows.size()), total), total);
}

Result<std::string> find_values(std::vector<ValueRow> rows, const std::string& type, const std::string& kql,
                                const FindPage& page, int64_t now_ms) {
  FindPage by = page;
  if (by.sort_field == type) by.sort_field = "value";
  FB_TRY_VOID(check_page(by, kValueFields));
  const auto text = [&type](const ValueRow& row) { return answer_of(row, type); };
  const auto searched = [&type](const ValueRow& row) {
    JsonNode node;
    node.kind = JsonNode::Kind::object;
    const auto add = [&node](const std::string& key, const std::string& value) {
      JsonNode member;
      member.kind = JsonNode::Kind::string;
      member.text = value;
      node.members.emplace_back(key, std::move(member));
    };
    add(type, row.value);
    add("value", row.value);
    add("id", row.id);
    add("list_id", row.list_id);
    add("type", type);
    add("created_at", iso8601(row.created_at_ms));
    add("created_by", row.created_by);
    add("updated_at", iso8601(row.updated_at_ms));
    add("updated_by", row.updated_by);
    if (!row.meta.empty()) node.members.emplace_back("meta", parse_json_tree(row.meta).value_or(JsonNode()));
    return node;
  };
  return found(std::move(rows), kql, by, now_ms, text, searched);
}

}  // namespace fb::api
