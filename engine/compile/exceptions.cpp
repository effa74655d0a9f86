#include "engine/compile/exceptions.h"

#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/ir/typed.h"
#include "engine/ir/value_set.h"

namespace fb::compile {
namespace {

ir::FieldRef named(std::string name) {
  ir::FieldRef field;
  field.name = std::move(name);
  return field;
}

ir::Node compare(std::string field, ir::Op op, std::string literal) {
  ir::Test t;
  t.field = named(std::move(field));
  t.op = op;
  t.literal = std::move(literal);
  return ir::test(std::move(t));
}

class ItemReader {
 public:
  ItemReader(size_t max_pattern_bytes, Checks& checks, const ValueLists* values)
      : max_pattern_bytes_(max_pattern_bytes), checks_(checks), values_(values) {}

  // An entry names a value list that was taken away, is empty or can't be used.
  bool lacks_values() const { return lacks_values_; }
  // Why one can't be used; "" = all can.
  const std::string& unusable() const { return unusable_; }
  // What the named value lists hold, told by their digests; "" = none is named.
  const std::string& named_values() const { return named_values_; }

  ir::Node entries(const FileNode& list, const std::string& parent) {
    std::vector<ir::Node> all;
    for (const FileNode& node : list.items) {
      if (!checks_.is(node, "entries[]", FileNode::Kind::object)) continue;
      all.push_back(entry(node, parent));
    }
    return all.size() == 1 ? std::move(all.front()) : ir::all_of(std::move(all));
  }

 private:
  ir::Node entry(const FileNode& node, const std::string& parent) {
    const bool nested_allowed = parent.empty();
    const std::string* type = checks_.word(node, "type", {"match", "match_any", "exists", "wildcard", "nested", "list"},
                                           Checks::Need::required);
    const std::string* field = checks_.filled_string(node, "field", Checks::Need::required);
    if (type == nullptr || field == nullptr) return ir::never();
    const std::string path = parent.empty() ? *field : parent + "." + *field;
    if (*type == "list") return signed_by_operator(node, of_value_list(node, path, nested_allowed));
    if (*type == "nested") {
      checks_.only_keys(node, "a nested entry", {"type", "field", "operator", "entries"});
      const FileNode* list = checks_.get(node, "entries", FileNode::Kind::array, Checks::Need::required);
      if (!nested_allowed || list == nullptr || list->items.empty()) {
        checks_.error(code::kUnsupportedException, node,
                      nested_allowed ? "a nested entry needs entries" : "a nested entry within a nested entry");
        return ir::never();
      }
      return signed_by_operator(node, ir::nested(path, entries(*list, path)));
    }
    checks_.only_keys(node, "an entry", {"type", "field", "operator", "value"});
    return signed_by_operator(node, test(node, *type, path));
  }

  ir::Node signed_by_operator(const FileNode& node, ir::Node test) {
    const std::string* op = checks_.word(node, "operator", {"included", "excluded"});
    return op != nullptr && *op == "excluded" ? ir::negate(std::move(test)) : test;
  }

  ir::Node of_value_list(const FileNode& node, const std::string& path, bool allowed) {
    const auto wrong = [&](const std::string& what, const std::string& hint) {
      checks_.error(code::kUnsupportedException, node, what, hint);
      return ir::never();
    };
    if (values_ == nullptr) {
      return wrong("value lists (type: list) are for exceptions that the service keeps, not for those of files",
                   "write the values out with type: match_any");
    }
    checks_.only_keys(node, "a list entry", {"type", "field", "operator", "list"});
    const FileNode* list = checks_.get(node, "list", FileNode::Kind::object, Checks::Need::required);
    const std::string* id = list == nullptr ? nullptr : checks_.filled_string(*list, "id", Checks::Need::required);
    if (id == nullptr) return ir::never();
    if (!allowed) return wrong("a list entry within a nested entry", "");
    const auto known = values_->find(*id);
    if (known == values_->end()) return wrong("there is no value list '" + id->substr(0, 100) + "'", "");
    named_values_ += *id + "\n";
    lacks_values_ = lacks_values_ || known->second == nullptr;
    if (known->second == nullptr) return ir::never();
    auto within = in_value_list(path, *known->second);
    if (!within) {
      lacks_values_ = true;
      if (unusable_.empty()) unusable_ = "the value list '" + id->substr(0, 100) + "': " + within.error().message;
      return ir::never();
    }
    lacks_values_ = lacks_values_ || known->second->values->empty();
    named_values_ += known->second->values->digest + "\n";
    return std::move(*within);
  }

  ir::Node test(const FileNode& node, const std::string& type, const std::string& path) {
    if (type == "exists") {
      if (const FileMember* value = node.find("value")) {
        checks_.error(code::kUnknownKey, *value, "'value' is not a key of an exists entry");
      }
      return compare(path, ir::Op::exists, "");
    }
    const FileMember* value = node.find("value");
    if (value == nullptr) {
      checks_.error(code::kMissingKey, node, "'value' is missing");
      return ir::never();
    }
    if (type == "match_any") {
      if (!checks_.is(value->value, "value", FileNode::Kind::array)) return ir::never();
      if (value->value.items.empty()) checks_.error(code::kBadValue, value->value, "'value' must not be empty");
      std::vector<ir::Node> any;
      for (const FileNode& item : value->value.items) any.push_back(match(item, path));
      return any.size() == 1 ? std::move(any.front()) : ir::any_of(std::move(any));
    }
    if (type == "match") return match(value->value, path);
    const std::optional<std::string> pattern = scalar_text(value->value);
    if (!pattern) {
      checks_.is(value->value, "value", FileNode::Kind::string);
      return ir::never();
    }
    if (pattern->size() > max_pattern_bytes_) {
      checks_.error(
          code::kBadValue, value->value,
          "the pattern is longer than " + std::to_string(max_pattern_bytes_) + " bytes (limits.max_pattern_bytes)");
      return ir::never();
    }
    ir::Test t;
    t.field = named(path);
    t.op = ir::Op::glob;
    t.glob = parse_wildcard(*pattern);
    return ir::test(std::move(t));
  }

  // A phrase is a typed equality everywhere but on analysed text, where it asks for the words in order.
  ir::Node match(const FileNode& value, const std::string& path) {
    const std::optional<std::string> text = scalar_text(value);
    if (!text) {
      checks_.is(value, "value", FileNode::Kind::string);
      return ir::never();
    }
    return compare(path, ir::Op::phrase, *text);
  }

  size_t max_pattern_bytes_;
  Checks& checks_;
  const ValueLists* values_;
  bool lacks_values_ = false;
  std::string unusable_;
  std::string named_values_;
};

}  // namespace

std::optional<std::string> scalar_text(const FileNode& node) {
  if (node.is(FileNode::Kind::string) || node.is(FileNode::Kind::number)) return node.text;
  if (node.is(FileNode::Kind::boolean)) return node.truth ? "true" : "false";
  return std::nullopt;
}

ir::Glob parse_wildcard(std::string_view pattern) {
  ir::Glob glob;
  const auto literal = [&](char c) {
    if (glob.empty() || glob.back().kind != ir::GlobPart::Kind::literal) {
      glob.push_back({ir::GlobPart::Kind::literal, {}});
    }
    glob.back().text += c;
  };
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size() &&
        std::string_view("*?\\").find(pattern[i + 1]) != std::string_view::npos) {
      literal(pattern[++i]);
    } else if (c == '*') {
      if (glob.empty() || glob.back().kind != ir::GlobPart::Kind::any_run) {
        glob.push_back({ir::GlobPart::Kind::any_run, {}});
      }
    } else if (c == '?') {
      glob.push_back({ir::GlobPart::Kind::any_one, {}});
    } else {
      literal(c);
    }
  }
  return glob;
}

ExceptionItem read_exception_item(const FileNode& node, const std::string& list_id, size_t max_pattern_bytes,
                                  Checks& checks, const ValueLists* values) {
  ExceptionItem item;
  std::vector<Diagnostic> problems;
  Checks own(checks.source(), problems);
  item.place = checks.source().file() + ":" + std::to_string(checks.source().locate(node.begin).line);
  item.list_id = list_id;
  item.entries = ir::never();
  own.only_keys(node, "an exception item",
                {"id", "item_id", "list_id", "type", "name", "description", "entries", "namespace_type", "comments",
                 "tie_breaker_id", "created_at", "created_by", "updated_at", "updated_by", "_version", "os_types",
                 "tags", "meta", "expire_time"});
  if (const std::string* own_list =
          own.filled_string(node, "list_id", list_id.empty() ? Checks::Need::required : Checks::Need::optional)) {
    item.list_id = *own_list;
  }
  own.word(node, "type", {"simple"});
  const FileNode* entries = own.get(node, "entries", FileNode::Kind::array, Checks::Need::required);
  if (entries != nullptr && entries->items.empty()) {
    own.error(code::kBadValue, *entries, "'entries' must not be empty");
  } else if (entries != nullptr) {
    ItemReader reader(max_pattern_bytes, own, values);
    item.entries = reader.entries(*entries, "");
    // With `excluded` it would else except everything.
    if (reader.lacks_values()) item.entries = ir::never();
    item.unusable = reader.unusable();
    item.canonical = "{\"entries\":" + to_json(*entries);
    if (!reader.named_values().empty()) {
      item.canonical += ",\"values_sha256\":\"" + hex(sha256(reader.named_values())) + "\"";
    }
  }

  // An item for some platforms says nothing about the events of others.
  const std::vector<std::string> platforms = own.strings(node, "os_types");
  if (!platforms.empty()) {
    std::vector<ir::Node> any;
    for (const std::string& os : platforms) any.push_back(compare("host.os.type", ir::Op::phrase, os));
    std::vector<ir::Node> both;
    both.push_back(ir::any_of(std::move(any)));
    both.push_back(std::move(item.entries));
    item.entries = ir::all_of(std::move(both));
    item.canonical += ",\"os_types\":" + to_json(node.find("os_types")->value);
  }

  if (const FileMember* expiry = node.find("expire_time");
      expiry != nullptr && !expiry->value.is(FileNode::Kind::null)) {
    if (own.is(expiry->value, "expire_time", FileNode::Kind::string)) {
      item.expire_ms = ir::parse_date_value(expiry->value.text);
      if (!item.expire_ms) {
        own.error(code::kBadValue, expiry->value, "'expire_time' is not a date such as 2026-11-21T20:00:00.000Z");
      } else {
        item.canonical += ",\"expire_ms\":" + std::to_string(*item.expire_ms);
      }
    }
  }
  item.canonical += "}";
  item.broken = own.failed();
  for (Diagnostic& d : problems) checks.add(std::move(d));
  return item;
}

ir::Node applies(const ExceptionItem& item, const EventTime& time) {
  if (!item.expire_ms) return item.entries;
  const std::string until = iso8601(*item.expire_ms);
  ir::Node live = compare("@timestamp", ir::Op::less, until);
  if (!time.override_field.empty()) {
    ir::Node by_override = compare(time.override_field, ir::Op::less, until);
    if (time.fallback) {
      std::vector<ir::Node> fallback;
      fallback.push_back(ir::negate(compare(time.override_field, ir::Op::exists, "")));
      fallback.push_back(std::move(live));
      std::vector<ir::Node> either;
      either.push_back(std::move(by_override));
      either.push_back(ir::all_of(std::move(fallback)));
      live = ir::any_of(std::move(either));
    } else {
      live = std::move(by_override);
    }
  }
  std::vector<ir::Node> both;
  both.push_back(item.entries);
  both.push_back(std::move(live));
  return ir::all_of(std::move(both));
}

ExportLine export_line(const FileNode& object) {
  if (object.find("entries") != nullptr || object.find("item_id") != nullptr) return ExportLine::item;
  if (object.find("exported_count") != nullptr || object.find("exported_rules_count") != nullptr ||
      object.find("exported_exception_list_count") != nullptr) {
    return ExportLine::other;
  }
  if (object.find("rule_id") != nullptr || object.find("risk_score") != nullptr || object.find("query") != nullptr) {
    return ExportLine::rule;
  }
  if (object.find("list_id") != nullptr) return ExportLine::list;
  // A connector: a saved object of type "action".
  const FileMember* type = object.find("type");
  if (type != nullptr && type->value.text == "action" && object.find("attributes") != nullptr) return ExportLine::other;
  return ExportLine::rule;
}

}  // namespace fb::compile
