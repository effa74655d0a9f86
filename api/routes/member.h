// Members of a small JSON body: which there may be, and those that may be left out.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include "engine/base/json.h"
#include "engine/base/result.h"
#include "engine/base/text.h"

namespace fb::api {

// The member of `body`, an object, when it is there and not null, else `otherwise`. T: bool or std::string. Error:
// invalid_argument when it is of another type; it names the member.
template <class T>
Result<T> member(const nlohmann::json& body, const char* key, T otherwise) {
  const auto it = body.find(key);
  if (it == body.end() || it->is_null()) return otherwise;
  const bool fits = std::is_same_v<T, bool> ? it->is_boolean() : it->is_string();
  if (!fits) {
    return fail(ErrorCode::invalid_argument,
                std::string("'") + key + "' is " + (std::is_same_v<T, bool> ? "true or false" : "a text"));
  }
  return it->template get<T>();
}

// invalid_argument when `body`, an object, has a member that is none of `known`; the message names it and them.
inline Status takes_only(const nlohmann::json& body, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : body.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string names;
    for (const std::string_view name : known) names += (names.empty() ? "" : ", ") + std::string(name);
    return fail(ErrorCode::invalid_argument,
                "there is no field '" + printable(key.substr(0, 60)) + "'; the body takes " + names);
  }
  return {};
}

}  // namespace fb::api
