#include "api/exceptions/schema.h"

#include <algorithm>

#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/ir/typed.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxShown = 5;  // problems named in one answer
constexpr size_t kMaxDepth = 64;

const std::vector<std::string> kListTypes = {"detection",
                                             "rule_default",
                                             "endpoint",
                                             "endpoint_trusted_apps",
                                             "endpoint_trusted_devices",
                                             "endpoint_events",
                                             "endpoint_host_isolation_exceptions",
                                             "endpoint_blocklists",
                                             "endpoint_custom_yara_signatures"};
const std::vector<std::string> kOsTypes = {"linux", "macos", "windows"};
const std::vector<std::string> kNamespaces = {"agnostic", "single"};
const std::vector<std::string> kOperators = {"included", "excluded"};
const std::vector<std::string> kEntryTypes = {"match", "match_any", "list", "exists", "nested", "wildcard"};

std::string kind_of(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "boolean";
  if (value.is_number()) return "number";
  if (value.is_string()) return "string";
  return value.is_array() ? "array" : "object";
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string::npos;
}

size_t characters_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

size_t depth_of(const Json& value) {
  if (!value.is_structured()) return 0;
  size_t deepest = 0;
  for (const Json& child : value) {
    deepest = std::max(deepest, depth_of(child));
    if (deepest > kMaxDepth) break;
  }
  return deepest + 1;
}

bool is_there(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && !it->is_null();
}

Json entries_kept(const Json& entries) {
  if (!entries.is_array()) return Json::array();
  Json kept = Json::array();
  for (const Json& entry : entries) {
    if (!entry.is_object()) continue;
    const auto kind = entry.find("type");
    const std::string type = kind != entry.end() && kind->is_string() ? kind->get<std::string>() : "";
    Json one = Json::object();
    for (const auto& [key, value] : entry.items()) {
      if (key == "field" || key == "type") {
        one[key] = value;
      } else if (type == "nested") {
        if (key == "entries") one[key] = entries_kept(value);
      } else if (key == "operator" || (key == "value" && type != "exists" && type != "list")) {
        one[key] = value;
      } else if (key == "list" && type == "list" && value.is_object()) {
        one[key] = Json{{"id", value.value("id", Json())}, {"type", value.value("type", Json())}};
      }
    }
    kept.push_back(std::move(one));
  }
  return kept;
}

// Gathers what is wrong, each with its place.
class Checker {
 public:
  void wrong(const std::string& path, const std::string& message) { problems_.push_back(path + ": " + message); }

  // Nothing when it is absent (which is told when it is needed) or of another type. Clients write null for what they
  // have not: the same as leaving it out, where that may be.
  const Json* get(const Json& from, const std::string& key, const std::string& path, Json::value_t type, bool needed) {
    const auto it = from.find(key);
    if (it == from.end()) {
      if (needed) wrong(path, "Required");
      return nullptr;
    }
    if (it->type() == type) return &*it;
    if (it->is_null() && !needed) return nullptr;
    const char* wanted = type == Json::value_t::string ? "string" : type == Json::value_t::array ? "array" : "object";
    wrong(path, std::string("Expected ") + wanted + ", received " + kind_of(*it));
    return nullptr;
  }

  std::string string(const Json& from, const std::string& key, const std::string& path, bool needed, bool filled) {
    const Json* value = get(from, key, path, Json::value_t::string, needed);
    if (value == nullptr) return {};
    auto text = value->get<std::string>();
    if (filled && is_blank(text)) wrong(path, "String must contain at least 1 character(s)");
    return text;
  }

  std::string word(const Json& from, const std::string& key, const std::string& path,
                   const std::vector<std::string>& known, bool needed) {
    const Json* value = get(from, key, path, Json::value_t::string, needed);
    if (value == nullptr) return {};
    auto text = value->get<std::string>();
    if (std::find(known.begin(), known.end(), text) == known.end()) {
      std::string all;
      for (const std::string& k : known) all += (all.empty() ? "'" : " | '") + k + "'";
      wrong(path, "Invalid enum value. Expected " + all + ", received '" + text + "'");
    }
    return text;
  }

  std::optional<std::vector<std::string>> strings(const Json& from, const std::string& key,
                                                  const std::vector<std::string>* known) {
    const Json* value = get(from, key, key, Json::value_t::array, false);
    if (value == nullptr) return std::nullopt;
    std::vector<std::string> list;
    for (size_t i = 0; i < value->size(); ++i) {
      const Json& one = (*value)[i];
      const std::string path = key + "." + std::to_string(i);
      if (!one.is_string()) {
        wrong(path, "Expected string, received " + kind_of(one));
        continue;
      }
      list.push_back(one.get<std::string>());
      if (known != nullptr && std::find(known->begin(), known->end(), list.back()) == known->end()) {
        wrong(path, "Invalid enum value. Expected 'linux' | 'macos' | 'windows', received '" + list.back() + "'");
      }
    }
    return list;
  }

  void entry(const Json& e, const std::string& path, bool within_nested) {
    if (!e.is_object()) return wrong(path, "Expected object, received " + kind_of(e));
    const std::string type = word(e, "type", path + ".type", kEntryTypes, true);
    if (within_nested && (type == "nested" || type == "list" || type == "wildcard")) {
      wrong(path + ".type", "Invalid enum value. Expected 'match' | 'match_any' | 'exists', received '" + type + "'");
    }
    string(e, "field", path + ".field", true, true);
    if (type != "nested") word(e, "operator", path + ".operator", kOperators, true);
    if (type == "match" || type == "wildcard") string(e, "value", path + ".value", true, true);
    if (type == "match_any") {
      const Json* any = get(e, "value", path + ".value", Json::value_t::array, true);
      if (any != nullptr && any->empty()) wrong(path + ".value", "Array must contain at least 1 element(s)");
      for (size_t i = 0; any != nullptr && i < any->size(); ++i) {
        const Json& one = (*any)[i];
        const std::string at = path + ".value." + std::to_string(i);
        if (!one.is_string()) {
          wrong(at, "Expected string, received " + kind_of(one));
        } else if (is_blank(one.get<std::string>())) {
          wrong(at, "String must contain at least 1 character(s)");
        }
      }
    }
    if (type == "list") {
      const Json* list = get(e, "list", path + ".list", Json::value_t::object, true);
      if (list != nullptr) {
        string(*list, "id", path + ".list.id", true, true);
        string(*list, "type", path + ".list.type", true, true);
      }
    }
    if (type == "nested") entries(e, path + ".entries", true);
  }

  std::string entries(const Json& from, const std::string& path, bool within_nested) {
    const Json* list = get(from, "entries", path, Json::value_t::array, true);
    if (list == nullptr) return "[]";
    if (list->empty()) wrong(path, "Array must contain at least 1 element(s)");
    for (size_t i = 0; i < list->size(); ++i) entry((*list)[i], path + "." + std::to_string(i), within_nested);
    return dumped(*list);
  }

  std::vector<CommentSent> comments(const Json& from) {
    std::vector<CommentSent> all;
    const Json* list = get(from, "comments", "comments", Json::value_t::array, false);
    for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
      const Json& one = (*list)[i];
      const std::string path = "comments." + std::to_string(i);
      if (!one.is_object()) {
        wrong(path, "Expected object, received " + kind_of(one));
        continue;
      }
      CommentSent c;
      c.text = string(one, "comment", path + ".comment", true, true);
      if (characters_of(c.text) > kMaxCommentChars) {
        wrong(path + ".comment", "String must contain at most " + std::to_string(kMaxCommentChars) + " character(s)");
      }
      c.id = string(one, "id", path + ".id", false, true);
      all.push_back(std::move(c));
    }
    return all;
  }

  std::optional<std::string> meta(const Json& from) {
    const Json* value = get(from, "meta", "meta", Json::value_t::object, false);
    if (value == nullptr) return std::nullopt;
    return dumped(*value);
  }

  bool is_agnostic(const Json& from) {
    return word(from, "namespace_type", "namespace_type", kNamespaces, false) == "agnostic";
  }

  Status verdict() const {
    if (problems_.empty()) return {};
    std::string all;
    for (size_t i = 0; i < problems_.size() && i < kMaxShown; ++i) all += (i == 0 ? "" : ", ") + problems_[i];
    if (problems_.size() > kMaxShown) all += ", and " + std::to_string(problems_.size() - kMaxShown) + " more";
    return fail(ErrorCode::invalid_argument, std::move(all));
  }

 private:
  std::vector<std::string> problems_;
};

std::optional<int64_t> list_version(const Json& value) {
  if (!value.is_number_integer() || value < 1 || value > kMaxListVersion) return std::nullopt;
  return value.get<int64_t>();
}

Result<Json> object_of(std::string_view body) {
  Json json = parse_ordered_json(body);
  if (json.is_discarded()) return fail(ErrorCode::limit, "Invalid request payload JSON format");
  if (!json.is_object()) {
    return fail(ErrorCode::invalid_argument, "Expected object, received " + kind_of(json));
  }
  if (depth_of(json) > kMaxDepth) {
    return fail(ErrorCode::invalid_argument, "the body is nested deeper than " + std::to_string(kMaxDepth) + " levels");
  }
  return json;
}

}  // namespace

Result<ListSent> read_list_body(std::string_view body, BodyOf use) {
  FB_TRY(const Json json, object_of(body));
  Checker check;
  ListSent list;
  list.name = check.string(json, "name", "name", true, false);
  list.description = check.string(json, "description", "description", true, false);
  list.type = check.word(json, "type", "type", kListTypes, true);
  list.list_id = check.string(json, "list_id", "list_id", use == BodyOf::import, true);
  if (use == BodyOf::update) {
    list.id = check.string(json, "id", "id", false, true);
    if (is_there(json, "_version")) list.version_token = check.string(json, "_version", "_version", false, false);
  }
  list.agnostic = check.is_agnostic(json);
  list.os_types = check.strings(json, "os_types", &kOsTypes);
  list.tags = check.strings(json, "tags", nullptr);
  list.meta = check.meta(json);
  if (const auto it = json.find("version"); it != json.end() && !it->is_null()) {
    if (const auto version = list_version(*it)) {
      list.version = *version;
    } else {
      check.wrong("version", "Expected an integer from 1 to " + std::to_string(kMaxListVersion));
    }
  }
  FB_TRY_VOID(check.verdict());
  return list;
}

Result<ItemSent> read_item_body(std::string_view body, BodyOf use) {
  FB_TRY(const Json json, object_of(body));
  Checker check;
  ItemSent item;
  item.description = check.string(json, "description", "description", true, false);
  item.entries = check.entries(json, "entries", false);
  item.list_id = check.string(json, "list_id", "list_id", use != BodyOf::update, use != BodyOf::update);
  if (const auto it = json.find("entries"); it != json.end()) item.entries_kept = dumped(entries_kept(*it));
  item.name = check.string(json, "name", "name", true, false);
  check.word(json, "type", "type", {"simple"}, true);
  item.item_id = check.string(json, "item_id", "item_id", use == BodyOf::import, true);
  if (use == BodyOf::update) {
    item.id = check.string(json, "id", "id", false, true);
    if (is_there(json, "_version")) item.version_token = check.string(json, "_version", "_version", false, false);
  }
  item.agnostic = check.is_agnostic(json);
  item.os_types = check.strings(json, "os_types", &kOsTypes).value_or(std::vector<std::string>{});
  item.tags = check.strings(json, "tags", nullptr).value_or(std::vector<std::string>{});
  item.meta = check.meta(json);
  item.comments = check.comments(json);
  if (is_there(json, "expire_time")) {
    const std::string text = check.string(json, "expire_time", "expire_time", false, true);
    const auto at = ir::parse_date_value(text);
    if (!json["expire_time"].is_string()) {
      // told already
    } else if (!at || text.find('-') == std::string::npos) {
      check.wrong("expire_time", "Invalid datetime");
    } else {
      item.expire_time = text;
      item.expires_at_ms = std::max<int64_t>(*at, 1);
    }
  }
  FB_TRY_VOID(check.verdict());
  return item;
}

}  // namespace fb::api
