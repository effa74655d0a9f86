// What several routes answer with.
#pragma once

#include "api/router.h"
#include "engine/base/result.h"

namespace fb::api {

// An Error of the layers below as an HTTP answer: who asked wrongly gets 4xx, what may pass by itself 503.
inline net::Response failed(const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_argument:
      return problem(400, error.describe());
    case ErrorCode::not_found:
      return problem(404, error.describe());
    case ErrorCode::ambiguous:
    case ErrorCode::already_exists:
    case ErrorCode::conflict:
      return problem(409, error.describe());
    case ErrorCode::refused:
      return problem(403, error.describe());
    default:
      return problem(error.retry == Retry::yes ? 503 : 500, error.describe());
  }
}

}  // namespace fb::api
