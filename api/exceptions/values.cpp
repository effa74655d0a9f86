#include "api/exceptions/values.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "api/exceptions/objects.h"
#include "api/exceptions/schema.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/ir/value_set.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxValueBytes = 32'766;  // what Elasticsearch takes of a keyword
constexpr std::array kTypes = {
    std::string_view("binary"),      std::string_view("boolean"),      std::string_view("byte"),
    std::string_view("date"),        std::string_view("date_nanos"),   std::string_view("date_range"),
    std::string_view("double"),      std::string_view("double_range"), std::string_view("float"),
    std::string_view("float_range"), std::string_view("geo_point"),    std::string_view("geo_shape"),
    std::string_view("half_float"),  std::string_view("integer"),      std::string_view("integer_range"),
    std::string_view("ip"),          std::string_view("ip_range"),     std::string_view("keyword"),
    std::string_view("long"),        std::string_view("long_range"),   std::string_view("shape"),
    std::string_view("short"),       std::string_view("text"),
};

tl::unexpected<Error> wrong(const std::string& path, const std::string& what) {
  return fail(ErrorCode::invalid_argument, path + ": " + what);
}

std::string kind_of(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "boolean";
  if (value.is_number()) return "number";
  if (value.is_string()) return "string";
  return value.is_array() ? "array" : "object";
}

Result<Json> object_of(std::string_view body) {
  Json json = parse_ordered_json(body);
  if (json.is_discarded()) return fail(ErrorCode::limit, "Invalid request payload JSON format");
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "Expected object, received " + kind_of(json));
  return json;
}

// Nothing when it is absent; null is as good as absent where it may be.
Result<std::optional<std::string>> string_of(const Json& json, const char* key, bool needed) {
  const auto it = json.find(key);
  if (it == json.end() || (it->is_null() && !needed)) {
    if (needed) return wrong(key, "Required");
    return std::optional<std::string>();
  }
  if (!it->is_string()) return wrong(key, "Expected string, received " + kind_of(*it));
  auto text = it->get<std::string>();
  if (text.find_first_not_of(" \t\r\n\f\v") == std::string::npos) {
    return wrong(key, "String must contain at least 1 character(s)");
  }
  return std::optional<std::string>(std::move(text));
}

Result<std::optional<std::string>> meta_of(const Json& json) {
  const auto it = json.find("meta");
  if (it == json.end() || it->is_null()) return std::optional<std::string>();
  if (!it->is_object()) return wrong("meta", "Expected object, received " + kind_of(*it));
  std::string text = dumped(*it);
  if (text.size() > kMaxValueBytes) return wrong("meta", "too large");
  return std::optional<std::string>(std::move(text));
}

template <class Number>
bool is_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool is_range(std::string_view text, bool (*is_end)(std::string_view)) {
  // A minus sign may stand before either end: the dash between them is one with something before it.
  for (size_t at = text.find('-', 1); at != std::string_view::npos; at = text.find('-', at + 1)) {
    if (is_end(text.substr(0, at)) && is_end(text.substr(at + 1))) return true;
  }
  return false;
}

bool is_date(std::string_view text) {
  return ir::parse_date_value(text).has_value();
}

bool is_of(const std::string& type, const std::string& value) {
  if (type == "boolean") return value == "true" || value == "false";
  if (type == "byte") return is_number<int8_t>(value);
  if (type == "short") return is_number<int16_t>(value);
  if (type == "integer") return is_number<int32_t>(value);
  if (type == "long") return is_number<int64_t>(value);
  if (type == "half_float" || type == "float" || type == "double") return is_number<double>(value);
  if (type == "date" || type == "date_nanos") return is_date(value);
  if (type == "integer_range") return is_range(value, is_number<int32_t>);
  if (type == "long_range") return is_range(value, is_number<int64_t>);
  if (type == "float_range" || type == "double_range") return is_range(value, is_number<double>);
  if (type == "ip") return ir::parse_address(value).has_value();
  return type != "ip_range" || ir::parse_address_span(value).has_value();
}

}  // namespace

bool is_value_type(const std::string& type) {
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

Status check_value(const std::string& type, const std::string& value) {
  if (value.size() > kMaxValueBytes) {
    return fail(ErrorCode::invalid_argument,
                "list item invalid: longer than " + std::to_string(kMaxValueBytes) + " bytes");
  }
  if (value.find_first_of("\r\n") != std::string::npos || !is_of(type, value)) {
    return fail(ErrorCode::invalid_argument,
                "list item invalid: '" + printable(value.substr(0, 100)) + "' is no value of the type " + type);
  }
  return {};
}

Result<ValueListSent> read_value_list_body(std::string_view body, ValueBody use) {
  FB_TRY(const Json json, object_of(body));
  ValueListSent sent;
  FB_TRY(const auto id, string_of(json, "id", use != ValueBody::create));
  sent.id = id.value_or("");
  FB_TRY(sent.name, string_of(json, "name", use != ValueBody::patch));
  FB_TRY(sent.description, string_of(json, "description", use != ValueBody::patch));
  FB_TRY(sent.meta, meta_of(json));
  if (const auto it = json.find("version"); it != json.end() && !it->is_null()) {
    if (!it->is_number_integer() || *it < 1 || *it > kMaxListVersion) {
      return wrong("version", "Expected an integer from 1 to " + std::to_string(kMaxListVersion));
    }
    sent.version = it->get<int64_t>();
  }
  if (use != ValueBody::create) {
    FB_TRY(sent.version_token, string_of(json, "_version", false));
    return sent;
  }
  FB_TRY(const auto type_sent, string_of(json, "type", true));
  const std::string type = type_sent.value_or("");
  if (!is_value_type(type)) {
    std::string all;
    for (const std::string_view t : kTypes) all += (all.empty() ? "'" : " | '") + std::string(t) + "'";
    return wrong("type", "Invalid enum value. Expected " + all + ", received '" + type + "'");
  }
  sent.type = type;
  FB_TRY(const auto serializer, string_of(json, "serializer", false));
  FB_TRY(const auto deserializer, string_of(json, "deserializer", false));
  sent.serializer = serializer.value_or("");
  sent.deserializer = deserializer.value_or("");
  return sent;
}

Result<ValueSent> read_value_body(std::string_view body, ValueBody use) {
  FB_TRY(const Json json, object_of(body));
  ValueSent sent;
  if (use == ValueBody::create) {
    FB_TRY(const auto list_id, string_of(json, "list_id", true));
    sent.list_id = list_id.value_or("");
  }
  FB_TRY(const auto id, string_of(json, "id", use != ValueBody::create));
  sent.id = id.value_or("");
  FB_TRY(sent.value, string_of(json, "value", use != ValueBody::patch));
  FB_TRY(sent.meta, meta_of(json));
  if (use != ValueBody::create) {
    FB_TRY(sent.version_token, string_of(json, "_version", false));
  }
  FB_TRY(const auto refresh, string_of(json, "refresh", false));
  if (refresh && *refresh != "true" && *refresh != "false" && *refresh != "wait_for") {
    return wrong("refresh", "Invalid enum value. Expected 'true' | 'false' | 'wait_for', received '" + *refresh + "'");
  }
  return sent;
}

Result<std::vector<std::string>> read_values(std::string_view file, const std::string& type) {
  std::vector<std::string> values;
  if (file.starts_with("\xEF\xBB\xBF")) file.remove_prefix(3);
  for (size_t line = 1; !file.empty(); ++line) {
    const size_t end = std::min(file.find('\n'), file.size());
    std::string_view text = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    const size_t first = text.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) continue;
    text = text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
    if (!is_utf8(text)) {
      return fail(ErrorCode::invalid_argument, "line " + std::to_string(line) + " is not UTF-8");
    }
    if (const Status fine = check_value(type, std::string(text)); !fine) {
      return fail(ErrorCode::invalid_argument, "line " + std::to_string(line) + ": " + fine.error().message);
    }
    values.emplace_back(text);
    if (values.size() > static_cast<size_t>(kMaxValues)) {
      return fail(ErrorCode::limit, "a value list holds " + std::to_string(kMaxValues) + " values at most");
    }
  }
  return values;
}

std::string answer_of(const ValueListRow& row) {
  Json json{{"_version", version_token(row.seq_no)},
            {"@timestamp", iso8601(row.updated_at_ms)},
            {"id", row.id},
            {"type", row.type},
            {"name", row.name},
            {"description", row.description},
            {"immutable", false},
            {"version", row.version},
            {"tie_breaker_id", row.tie_breaker},
            {"created_at", iso8601(row.created_at_ms)},
            {"created_by", row.created_by},
            {"updated_at", iso8601(row.updated_at_ms)},
            {"updated_by", row.updated_by}};
  if (!row.meta.empty()) json["meta"] = parse_ordered_json(row.meta);
  if (!row.serializer.empty()) json["serializer"] = row.serializer;
  if (!row.deserializer.empty()) json["deserializer"] = row.deserializer;
  return dumped(json);
}

std::string answer_of(const ValueRow& row, const std::string& type) {
  Json json{{"_version", version_token(row.seq_no)},
            {"@timestamp", iso8601(row.updated_at_ms)},
            {"id", row.id},
            {"list_id", row.list_id},
            {"type", type},
            {"value", row.value},
            {"tie_breaker_id", row.tie_breaker},
            {"created_at", iso8601(row.created_at_ms)},
            {"created_by", row.created_by},
            {"updated_at", iso8601(row.updated_at_ms)},
            {"updated_by", row.updated_by}};
  if (!row.meta.empty()) json["meta"] = parse_ordered_json(row.meta);
  return dumped(json);
}

}  // namespace fb::api
