// The text of api/openapi.yaml, which describes every route; built into the program.
#pragma once

#include <string_view>

namespace fb::api {

extern const std::string_view kOpenApi;

}  // namespace fb::api
