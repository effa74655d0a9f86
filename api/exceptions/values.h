// Value lists and their values as clients send and get them. Pure, thread-safe. An error is one line for the client,
// without the "[request body]: " before it; `limit` when a body is no JSON at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/record/value_lists.h"

namespace fb::api {

enum class ValueBody : uint8_t { create, replace, patch };

struct ValueListSent {
  std::string id;
  std::string type;
  std::optional<std::string> name;
  std::optional<std::string> description;
  std::optional<std::string> meta;  // a JSON object
  std::optional<int64_t> version;
  std::string serializer;
  std::string deserializer;
  std::optional<std::string> version_token;  // _version
};
Result<ValueListSent> read_value_list_body(std::string_view body, ValueBody use);

struct ValueSent {
  std::string id;
  std::string list_id;
  std::optional<std::string> value;
  std::optional<std::string> meta;           // a JSON object
  std::optional<std::string> version_token;  // _version
};
Result<ValueSent> read_value_body(std::string_view body, ValueBody use);

bool is_value_type(const std::string& type);
// The text can be looked up in a list of this type. invalid_argument.
Status check_value(const std::string& type, const std::string& value);

// The lines of an uploaded file, without their ends, the blank ones left out. invalid_argument: a line is no value of
// the type; limit: more than a list can hold.
Result<std::vector<std::string>> read_values(std::string_view file, const std::string& type);

// As the API answers them.
std::string answer_of(const ValueListRow& row);
std::string answer_of(const ValueRow& row, const std::string& type);

}  // namespace fb::api
