#include "engine/record/exception_audit.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::record {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kCommentsShown = 3;
constexpr size_t kCommentBytes = 200;
constexpr size_t kOtherBytes = 256;
constexpr size_t kNameBytes = 64;
// What comes first, and how many bytes of it.
constexpr std::array<std::pair<const char*, size_t>, 5> kFirst = {
    {{"entries", 2048}, {"os_types", 64}, {"tags", 1024}, {"expire_time", 64}, {"name", 256}}};

std::string cut(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return to_utf8(text);
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0u) == 0x80u) --bytes;
  return to_utf8(text.substr(0, bytes)) + "...";
}

Json shortened(const Json& value, size_t bytes) {
  if (value.is_string()) return cut(value.get<std::string>(), bytes);
  std::string text = dumped(value);
  return text.size() <= bytes ? value : Json(cut(text, bytes));
}

Json comments_of(const Json& all) {
  if (!all.is_array()) return shortened(all, kOtherBytes);
  Json shown = Json::array();
  for (size_t i = all.size() - std::min(all.size(), kCommentsShown); i < all.size(); ++i) {
    Json one = Json::object();
    if (!all[i].is_object()) continue;
    for (const auto& [key, value] : all[i].items()) one[key] = shortened(value, kCommentBytes);
    shown.push_back(std::move(one));
  }
  return shown;
}

}  // namespace

std::string audit_text(const ExceptionRow& row) {
  const Json doc = parse_ordered_json(row.doc);
  if (!doc.is_object()) return cut(row.doc, kOtherBytes);
  Json shown = Json::object();
  for (const auto& [key, bytes] : kFirst) {
    if (const auto it = doc.find(key); it != doc.end()) shown[key] = shortened(*it, bytes);
  }
  for (const auto& [key, value] : doc.items()) {
    if (key != "comments" && !shown.contains(key)) shown[key] = shortened(value, kOtherBytes);
  }
  if (const auto it = doc.find("comments"); it != doc.end()) {
    shown["comments"] = comments_of(*it);
    if (it->is_array() && it->size() > kCommentsShown) shown["older_comments"] = it->size() - kCommentsShown;
  }
  return cut(dumped(shown), kMaxAuditText);
}

void RemovedItems::add(const std::string& item_id, const std::string& address, const std::string& name) {
  if (names_ == static_cast<int64_t>(kNamed)) return;
  ++names_;
  named_ += (named_.empty() ? "" : ", ") + cut(item_id, kNameBytes) + " (";
  named_ += (address.empty() ? "" : address + ", ") + cut(name, kNameBytes) + ")";
}

std::string RemovedItems::text(int64_t count) const {
  std::string text = std::to_string(count) + (count == 1 ? " item: " : " items: ") + named_;
  if (count > names_) text += " and " + std::to_string(count - names_) + " more";
  return text;
}

}  // namespace fb::record
