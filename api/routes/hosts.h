// A host as a person names it -> the one endpoint that is meant.
#pragma once

#include <string>

#include "engine/base/result.h"
#include "engine/record/queries.h"

namespace fb::api {

// The endpoint id. not_found when none fits; ambiguous (naming all of them) when several do.
inline Result<std::string> one_endpoint(record::Reader& reader, const std::string& host) {
  FB_TRY(const std::vector<record::EndpointRow> found, reader.find_endpoints(host));
  if (found.empty()) return fail(ErrorCode::not_found, "no endpoint is called '" + host + "'");
  if (found.size() == 1) return found[0].endpoint_id;
  std::string all;
  for (const record::EndpointRow& e : found) {
    all += (all.empty() ? "" : ", ") + e.endpoint_id + " (host id " + e.host_id + ", name " + e.hostname + ")";
  }
  return fail(ErrorCode::ambiguous, std::to_string(found.size()) + " endpoints are called '" + host + "': " + all);
}

}  // namespace fb::api
