// The bodies of the exception routes, read against their schema: types, required members, known words. What a member
// says is left as it came; members that nobody knows are left out. Pure, thread-safe. An error is one line for the
// client without the "[request body]: " before it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::api {

inline constexpr size_t kMaxCommentChars = 30'000;         // of one comment, as of an action's
inline constexpr int64_t kMaxListVersion = 2'147'483'647;  // of lists and value lists, as clients can read it

struct CommentSent {
  std::string id;  // "" = a new one
  std::string text;
};

struct ListSent {
  std::string id;
  std::string list_id;
  std::string name;
  std::string description;
  std::string type;
  bool agnostic = false;
  std::optional<std::vector<std::string>> os_types;
  std::optional<std::vector<std::string>> tags;
  std::optional<std::string> meta;  // a JSON object
  std::optional<int64_t> version;
  std::optional<std::string> version_token;  // _version
};

struct ItemSent {
  std::string id;
  std::string item_id;
  std::string list_id;
  std::string name;
  std::string description;
  bool agnostic = false;
  std::string entries;       // a JSON array, its members as they came
  std::string entries_kept;  // the same without members that no entry of the kind has
  std::vector<std::string> os_types;
  std::vector<std::string> tags;
  std::optional<std::string> meta;  // a JSON object
  std::optional<std::string> expire_time;
  int64_t expires_at_ms = 0;
  std::vector<CommentSent> comments;
  std::optional<std::string> version_token;  // _version
};

enum class BodyOf : uint8_t { create, update, import };

// invalid_argument; `limit` when the body is no JSON at all.
Result<ListSent> read_list_body(std::string_view body, BodyOf use);
Result<ItemSent> read_item_body(std::string_view body, BodyOf use);

}  // namespace fb::api
