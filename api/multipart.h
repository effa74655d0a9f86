// multipart/form-data (RFC 7578), as clients upload files: one small strict parser. The whole body is in memory already
// (the server's own limit bounds it); parts are views into it. Pure, thread-safe. A body that is not exactly right is
// invalid_argument with one line for the client.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/net/http.h"

namespace fb::api {

struct FormPart {
  std::string name;
  std::string file_name;  // "" = the part is not a file
  bool is_file = false;
  std::string_view content;  // lives as long as the body
};

// `content_type` is the request's header with its boundary.
Result<std::vector<FormPart>> parse_form(std::string_view content_type, std::string_view body);

// The one file that a request uploads in the part `file`, whatever its name. The view lives as long as the request.
Result<FormPart> uploaded_file(const net::Request& request);
// The same; its name must end in `.ndjson` (Kibana takes no other).
// The view lives as long as the request.
Result<std::string_view> uploaded_ndjson(const net::Request& request);

}  // namespace fb::api
