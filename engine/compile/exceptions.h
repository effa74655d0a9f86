// Exception items ("do not alert on these events") -> ir. An item is its entries ANDed; a rule's condition becomes
// "query and not any item". Pure, thread-safe.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/compile/checks.h"
#include "engine/compile/value_lists.h"
#include "engine/ir/ir.h"

namespace fb::compile {

struct ExceptionItem {
  std::string list_id;
  std::string place;      // "file:line", for messages
  std::string canonical;  // what decides about its effect, as JSON; goes into the rule's hash
  ir::Node entries;       // true: the item speaks of the event
  std::optional<int64_t> expire_ms;
  // It is good, but excepts nothing as long as a value list that it names can't be used: why, in one line; else "".
  std::string unusable;
  bool broken = false;  // could not be lowered: rules that name its list can't run
};

// The items of a whole load, by list.
struct ExceptionLists {
  std::map<std::string, std::vector<ExceptionItem>> items;
  std::set<std::string> known;  // lists that were given, with items or without
};

// Reads one item; problems go to `checks`, and the item then comes back broken. `list_id` for an inline item, whose own
// key may be absent. `values`: the value lists that its entries may name; null in files, which have none.
ExceptionItem read_exception_item(const FileNode& node, const std::string& list_id, size_t max_pattern_bytes,
                                  Checks& checks, const ValueLists* values = nullptr);

// When an item applies to an event: its entries hold and it has not expired by the event's own time.
struct EventTime {
  std::string override_field;  // "" = none
  bool fallback = true;        // to @timestamp
};
ir::Node applies(const ExceptionItem& item, const EventTime& time);

// `*`, `?` and backslash escapes; a backslash before any other character, and a last one, stand for themselves.
ir::Glob parse_wildcard(std::string_view pattern);

// A string, number or boolean as the text of a literal; nothing for others.
std::optional<std::string> scalar_text(const FileNode& node);

// True when `line` is a container, an item, the summary or a connector of an export, not a rule.
enum class ExportLine : uint8_t { rule, item, list, other };
ExportLine export_line(const FileNode& object);

}  // namespace fb::compile
