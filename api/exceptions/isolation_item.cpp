#include "api/exceptions/isolation_item.h"

#include <algorithm>

#include "api/api.h"
#include "engine/base/json.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxName = 256;
constexpr size_t kMaxValue = 64;
constexpr size_t kOsCount = 3;
constexpr std::string_view kPolicy = "policy:";
constexpr std::string_view kGlobal = "policy:all";

size_t characters(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

tl::unexpected<Error> wrong(const std::string& path, const std::string& message) {
  return fail(ErrorCode::invalid_argument, "[" + path + "]: " + message);
}

Status check_length(const std::string& path, const std::string& text, size_t least, size_t most) {
  const size_t length = characters(text);
  const std::string has = "value has length [" + std::to_string(length) + "] but it must have a ";
  if (length < least) return wrong(path, has + "minimum length of [" + std::to_string(least) + "].");
  if (length > most) return wrong(path, has + "maximum length of [" + std::to_string(most) + "].");
  return {};
}

Status check_size(const std::string& path, size_t size, size_t exactly) {
  const std::string has = "array size is [" + std::to_string(size) + "], but cannot be ";
  if (size < exactly) return wrong(path, has + "smaller than [" + std::to_string(exactly) + "]");
  if (size > exactly) return wrong(path, has + "greater than [" + std::to_string(exactly) + "]");
  return {};
}

Status check_entry(const Json& entry) {
  const struct {
    const char* key;
    const char* value;
  } fixed[] = {{"field", "destination.ip"}, {"operator", "included"}, {"type", "match"}};
  for (const auto& f : fixed) {
    if (entry.value(f.key, "") != f.value) {
      return wrong(std::string("entries.0.") + f.key, std::string("expected value to equal [") + f.value + "]");
    }
  }
  for (const auto& [key, value] : entry.items()) {
    if (key != "field" && key != "operator" && key != "type" && key != "value") {
      return wrong("entries.0." + key, "definition for this key is missing");
    }
  }
  return check_length("entries.0.value", entry.value("value", ""), 1, kMaxValue);
}

}  // namespace

Status check_isolation_item(const ItemSent& item) {
  FB_TRY_VOID(check_length("name", item.name, 1, kMaxName));
  FB_TRY_VOID(check_length("description", item.description, 0, kMaxName));
  if (!item.agnostic) return wrong("namespaceType", "expected value to equal [agnostic]");
  FB_TRY_VOID(check_size("osTypes", item.os_types.size(), kOsCount));
  // Three words, as the user's document says, but not three different ones: as with Kibana, a word may stand there
  // again, and the item is then for fewer platforms.
  const Json entries = parse_ordered_json(item.entries);
  FB_TRY_VOID(check_size("entries", entries.size(), 1));
  FB_TRY_VOID(check_entry(entries[0]));
  const bool global = std::find(item.tags.begin(), item.tags.end(), kGlobal) != item.tags.end();
  const bool other = std::any_of(item.tags.begin(), item.tags.end(),
                                 [](const std::string& tag) { return tag.starts_with(kPolicy) && tag != kGlobal; });
  if (global && other) return wrong("tags", "policy:all can't stand beside another policy: tag");
  return {};
}

std::vector<Status> check_addresses(const std::vector<OpenAddress>& opens, bool emptied, const Parts& parts) {
  if (!parts.isolation.fit_in) {
    const Status unknown = fail(ErrorCode::internal, "nobody knows which addresses hosts can take");
    return std::vector<Status>(opens.size(), unknown);
  }
  std::vector<Status> all = parts.isolation.fit_in(opens, emptied);
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i]) continue;
    const Error& e = all[i].error();
    const std::string text = "invalid ip: " + opens[i].address;
    // What is no address is told in Kibana's words alone; what would undo an isolation, with the reason.
    if (e.code == ErrorCode::invalid_argument) {
      all[i] = wrong("entries.0.value", text);
    } else if (e.code == ErrorCode::refused) {
      all[i] = wrong("entries.0.value", text + ": " + e.message);
    }
  }
  return all;
}

Status check_policy_tags(const ItemSent& item, const Parts& parts) {
  std::string unknown;
  bool all_known = true;
  for (const std::string& tag : item.tags) {
    if (!tag.starts_with(kPolicy) || tag == kGlobal) continue;
    const std::string id = tag.substr(kPolicy.size());
    FB_TRY(const bool known, parts.store.policy_exists(id));
    if (known) continue;
    unknown += (all_known ? "" : ", ") + id;
    all_known = false;
  }
  if (!all_known) return fail(ErrorCode::invalid_argument, "invalid policy ids: " + unknown);
  return {};
}

Status drop_unknown_policies(ItemSent& item, const Parts& parts) {
  std::vector<std::string> kept;
  for (std::string& tag : item.tags) {
    if (tag.starts_with(kPolicy) && tag != kGlobal) {
      FB_TRY(const bool known, parts.store.policy_exists(tag.substr(kPolicy.size())));
      if (!known) continue;
    }
    kept.push_back(std::move(tag));
  }
  item.tags = std::move(kept);
  return {};
}

}  // namespace fb::api
