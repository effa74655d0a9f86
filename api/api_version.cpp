#include "api/api_version.h"

#include <algorithm>

#include "engine/base/text.h"

namespace fb::api {
namespace {

constexpr std::string_view kInternalVersion = "1";

bool is_internal(std::string_view pattern) {
  return pattern.starts_with("/internal/");
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const std::string_view year = text.substr(0, 4), month = text.substr(5, 2), day = text.substr(8, 2);
  if (!all_digits(year) || !all_digits(month) || !all_digits(day)) return false;
  return month >= "01" && month <= "12" && day >= "01" && day <= "31";
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

}  // namespace

bool has_version(std::string_view pattern) {
  return is_internal(pattern) || (pattern.starts_with("/api/") && !pattern.starts_with("/api/firebreak/"));
}

std::optional<std::string> refuse_version(std::string_view method, std::string_view pattern, std::string_view asked) {
  if (!has_version(pattern) || asked == kInternalVersion) return std::nullopt;
  const bool internal = is_internal(pattern);
  if (!internal && asked == kApiVersion) return std::nullopt;
  const std::string shown = printable(asked.substr(0, 100));
  if (internal && (!all_digits(asked) || asked == "0")) {
    return "Invalid version number. Received \"" + shown +
           "\", expected a string containing _only_ a finite, whole number greater than 0.";
  }
  if (!internal && !is_date(asked)) {
    return "Invalid version. Received \"" + shown + "\", expected a valid date string formatted as YYYY-MM-DD.";
  }
  return "No version \"" + shown + "\" available for [" + lower(method) + "] [" + std::string(pattern) +
         "]. Available versions are: [" + std::string(internal ? kInternalVersion : kApiVersion) + "]";
}

}  // namespace fb::api
