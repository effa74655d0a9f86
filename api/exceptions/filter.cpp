#include "api/exceptions/filter.h"

#include <algorithm>
#include <array>
#include <vector>

#include "engine/base/clock.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/ir/typed.h"
#include "engine/lang/kuery/kuery.h"

namespace fb::api {
namespace {

constexpr std::string_view kAgnosticType = "exception-list-agnostic";
constexpr std::string_view kSingleType = "exception-list";
constexpr std::string_view kAttributes = "attributes";

// What the saved objects are searched by; a text among them has `.text` below it.
constexpr std::array kKnown = {
    std::string_view("comments"),
    std::string_view("comments.comment"),
    std::string_view("comments.created_at"),
    std::string_view("comments.created_by"),
    std::string_view("comments.id"),
    std::string_view("comments.updated_at"),
    std::string_view("comments.updated_by"),
    std::string_view("created_at"),
    std::string_view("created_by"),
    std::string_view("description"),
    std::string_view("description.text"),
    std::string_view("entries"),
    std::string_view("entries.entries"),
    std::string_view("entries.entries.field"),
    std::string_view("entries.entries.operator"),
    std::string_view("entries.entries.type"),
    std::string_view("entries.entries.value"),
    std::string_view("entries.field"),
    std::string_view("entries.list.id"),
    std::string_view("entries.list.type"),
    std::string_view("entries.operator"),
    std::string_view("entries.type"),
    std::string_view("entries.value"),
    std::string_view("entries.value.text"),
    std::string_view("expire_time"),
    std::string_view("immutable"),
    std::string_view("item_id"),
    std::string_view("list_id"),
    std::string_view("list_type"),
    std::string_view("meta"),
    std::string_view("name"),
    std::string_view("name.text"),
    std::string_view("os_types"),
    std::string_view("tags"),
    std::string_view("tags.text"),
    std::string_view("tie_breaker_id"),
    std::string_view("type"),
    std::string_view("updated_at"),
    std::string_view("updated_by"),
    std::string_view("version"),
};
constexpr std::array kRootKnown = {std::string_view("id"), std::string_view("created_at"),
                                   std::string_view("updated_at")};

template <class Words>
bool is_one_of(std::string_view word, const Words& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

Result<void> check_key(std::string_view key, SearchedTypes types) {
  const auto wrong = [](std::string text) {
    return fail(ErrorCode::invalid_argument, std::move(text) + ": Bad Request");
  };
  const std::string quoted = "This key '" + std::string(key) + "' ";
  const size_t dot = key.find('.');
  if (dot == std::string_view::npos) {
    return wrong(quoted + "need to be wrapped by a saved object type like " +
                 std::string(types.agnostic ? kAgnosticType : kSingleType));
  }
  const std::string_view type = key.substr(0, dot);
  if (!(types.agnostic && type == kAgnosticType) && !(types.single && type == kSingleType)) {
    return wrong("This type " + std::string(type) + " is not allowed");
  }
  const std::string_view rest = key.substr(dot + 1);
  if (is_one_of(rest, kRootKnown)) return {};
  const size_t next = rest.find('.');
  if (next == std::string_view::npos || rest.substr(0, next) != kAttributes) {
    return wrong(quoted + "does NOT match the filter proposition SavedObjectType.attributes.key");
  }
  const std::string_view attribute = rest.substr(next + 1);
  if (!is_one_of(attribute, kKnown) && !attribute.starts_with("meta.")) {
    return wrong(quoted + "does NOT exist in " + std::string(type) + " saved object index patterns");
  }
  return {};
}

Result<void> check_keys(const ir::Node& node, SearchedTypes types) {
  if (node.kind == ir::Node::Kind::nested) FB_TRY_VOID(check_key(node.path, types));
  if (node.kind == ir::Node::Kind::test) {
    if (node.test.field.scope != ir::FieldRef::Scope::named) {
      return fail(ErrorCode::invalid_argument, "The key is empty and needs to be wrapped by a saved object type like " +
                                                   std::string(types.agnostic ? kAgnosticType : kSingleType) +
                                                   ": Bad Request");
    }
    FB_TRY_VOID(check_key(node.test.field.name, types));
  }
  for (const ir::Node& child : node.children) FB_TRY_VOID(check_keys(child, types));
  return {};
}

// Times are texts here, which date math is not: `now-1d` becomes the time that it stands for.
void resolve_times(ir::Node& node, int64_t now_ms) {
  for (ir::Node& child : node.children) resolve_times(child, now_ms);
  const bool compares = node.kind == ir::Node::Kind::test && node.test.op >= ir::Op::less;
  if (!compares || !node.test.literal.starts_with("now")) return;
  const std::string_view field = std::string_view(node.test.field.name).substr(node.test.field.name.rfind('.') + 1);
  if (field != "created_at" && field != "updated_at" && field != "expire_time") return;
  const auto date = ir::parse_date_literal(node.test.literal);
  if (!date) return;
  const auto bounds = date->resolve(now_ms);
  const bool upper = node.test.op == ir::Op::less_equal || node.test.op == ir::Op::greater;
  node.test.literal = iso8601(upper ? bounds.last_ms : bounds.first_ms);
}

// {"exception-list-agnostic":{"id":..,"attributes":{"list_type":"item",...}}}
std::string wrapped(const ExceptionRow& row) {
  std::string json = "{\"";
  json += row.agnostic ? kAgnosticType : kSingleType;
  json += R"(":{"id":")" + row.id + R"(","created_at":")" + iso8601(row.created_at_ms) + R"(","updated_at":")" +
          iso8601(row.updated_at_ms) + R"(","attributes":{"list_type":")" + (row.item_id.empty() ? "list" : "item") +
          "\"," + row.doc.substr(1) + "}}";
  return json;
}

bool any_text(const JsonNode& node, const std::vector<std::string>& wanted) {
  if (node.kind == JsonNode::Kind::string) {
    const std::vector<std::string> have = ir::words(node.text);
    return std::any_of(have.begin(), have.end(), [&wanted](const std::string& word) {
      return std::any_of(wanted.begin(), wanted.end(), [&word](const std::string& w) { return word.starts_with(w); });
    });
  }
  return std::any_of(node.items.begin(), node.items.end(),
                     [&wanted](const JsonNode& item) { return any_text(item, wanted); }) ||
         std::any_of(node.members.begin(), node.members.end(),
                     [&wanted](const auto& member) { return any_text(member.second, wanted); });
}

}  // namespace

Result<ExceptionFilter> ExceptionFilter::parse(std::string_view kql, SearchedTypes types, int64_t now_ms) {
  ExceptionFilter filter;
  filter.now_ms_ = now_ms;
  filter.query_ = ir::always();
  if (kql.find_first_not_of(" \t\r\n") == std::string_view::npos) return filter;
  auto parsed = lang::parse_kuery(kql);
  if (!parsed) return fail(ErrorCode::invalid_argument, "KQLSyntaxError: " + parsed.error().message + ": Bad Request");
  FB_TRY_VOID(check_keys(*parsed, types));
  resolve_times(*parsed, now_ms);
  filter.query_ = std::move(*parsed);
  return filter;
}

bool ExceptionFilter::matches(const ExceptionRow& row) const {
  if (is_empty()) return true;
  const auto tree = parse_json_tree(wrapped(row));
  return tree && ir::matches(query_, *tree, {now_ms_, {}});
}

bool has_word(const ExceptionRow& row, std::string_view search) {
  const std::vector<std::string> wanted = ir::words(search);
  if (wanted.empty()) return true;
  const auto tree = parse_json_tree(row.doc);
  return tree && any_text(*tree, wanted);
}

}  // namespace fb::api
