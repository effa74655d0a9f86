// Lists and items as documents: made from what was sent, changed, and as the API answers them. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/exceptions/schema.h"
#include "engine/base/result.h"
#include "engine/record/exceptions.h"

namespace fb::api {

inline constexpr const char* kIsolationList = "endpoint_host_isolation_exceptions";

// "WzIxMTgsMV0=": base64 of [seq_no,1].
std::string version_token(int64_t seq_no);
// The seq_no that a token stands for; -1 for one of another primary term, which nothing here has. invalid_argument when
// it is no token.
Result<int64_t> read_version_token(std::string_view token);

// The document with its `_version`.
std::string answer_of(const ExceptionRow& row);

// The container of the host isolation exceptions is agnostic and of one of its two types. invalid_argument.
Status check_list(const ListSent& sent);

ExceptionRow new_list(const ListSent& sent, const std::string& who, int64_t now_ms);
ExceptionRow changed_list(const ExceptionRow& row, const ListSent& sent, const std::string& who, int64_t now_ms);

ExceptionRow new_item(const ItemSent& sent, const std::string& who, int64_t now_ms);
// Comments that were sent with an id change their text, others are added, those left out stay. refused: the comment is
// another person's; not_found: there is no such comment.
Result<ExceptionRow> changed_item(const ExceptionRow& row, const ItemSent& sent, const std::string& who,
                                  int64_t now_ms);

bool is_isolation_item(const ExceptionRow& row);

}  // namespace fb::api
