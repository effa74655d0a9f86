#include "api/signals/fields.h"

#include <algorithm>

#include "engine/base/json.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

void values_at(const Json& node, std::string_view path, std::vector<Json>& out) {
  if (node.is_array()) {
    for (const Json& item : node) values_at(item, path, out);
    return;
  }
  if (path.empty()) {
    if (!node.is_null() && !node.is_object()) out.push_back(node);
    return;
  }
  if (!node.is_object()) return;
  for (const auto& [key, value] : node.items()) {
    if (path == key) {
      values_at(value, {}, out);
    } else if (path.size() > key.size() && path.starts_with(key) && path[key.size()] == '.') {
      values_at(value, path.substr(key.size() + 1), out);
    }
  }
}

void leaves(const Json& node, const std::string& path, std::vector<std::string>& out) {
  if (node.is_object()) {
    for (const auto& [key, value] : node.items()) leaves(value, path.empty() ? key : path + "." + key, out);
  } else if (node.is_array()) {
    for (const Json& item : node) leaves(item, path, out);
  } else if (!node.is_null() && std::find(out.begin(), out.end(), path) == out.end()) {
    out.push_back(path);
  }
}

// * stands for any run. Bounded: on a mismatch only the last * is tried again.
bool glob(std::string_view pattern, std::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;
  size_t mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

std::vector<Json> values_of(const Json& doc, std::string_view field) {
  std::vector<Json> out;
  values_at(doc, field == "_id" ? "kibana.alert.uuid" : field, out);
  return out;
}

std::vector<std::string> fields_like(const Json& doc, std::string_view pattern) {
  if (pattern.find('*') == std::string_view::npos) return {std::string(pattern)};
  std::vector<std::string> all;
  leaves(doc, "", all);
  std::erase_if(all, [&](const std::string& name) { return !glob(pattern, name); });
  return all;
}

bool name_fits(std::string_view pattern, std::string_view name) {
  if (pattern.find('*') != std::string_view::npos) return glob(pattern, name);
  return name == pattern || (name.starts_with(pattern) && name.size() > pattern.size() && name[pattern.size()] == '.');
}

}  // namespace fb::api
