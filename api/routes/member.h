// Members of a small JSON body that may be left out.
#pragma once

#include <string>
#include <type_traits>

#include "engine/base/json.h"
#include "engine/base/result.h"

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

}  // namespace fb::api
