#include "api/signals/fields.h"

#include <algorithm>
#include <array>

#include "engine/base/json.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

struct Alias {
  std::string_view old_name;
  std::string_view name;
};

// Of a field and of all below it; the first that fits counts.
constexpr auto kAliases = std::to_array<Alias>({
    {"signal.rule.id", "kibana.alert.rule.uuid"},
    {"signal.rule.index", "kibana.alert.rule.indices"},
    {"signal.rule.risk_score", "kibana.alert.risk_score"},
    {"signal.rule.severity", "kibana.alert.severity"},
    {"signal.rule.building_block_type", "kibana.alert.building_block_type"},
    {"signal.rule", "kibana.alert.rule"},
    {"signal.status", "kibana.alert.workflow_status"},
    {"signal.original_event", "kibana.alert.original_event"},
    {"signal.original_time", "kibana.alert.original_time"},
    {"signal.depth", "kibana.alert.depth"},
    {"signal.reason", "kibana.alert.reason"},
    {"signal.ancestors", "kibana.alert.ancestors"},
    {"signal.group", "kibana.alert.group"},
    {"signal.threshold_result", "kibana.alert.threshold_result"},
});
constexpr std::string_view kOld = "signal.";

bool at_or_below(std::string_view name, std::string_view field) {
  return name.starts_with(field) && (name.size() == field.size() || name[field.size()] == '.');
}

// The old name of what stands in the document; "" = it had none.
std::string old_name_of(std::string_view name) {
  for (const Alias& a : kAliases) {
    if (at_or_below(name, a.name)) return std::string(a.old_name) + std::string(name.substr(a.name.size()));
  }
  return {};
}

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

std::string alert_field(std::string_view name) {
  if (name == "_id") return "kibana.alert.uuid";
  if (!name.starts_with(kOld)) return std::string(name);
  for (const Alias& a : kAliases) {
    if (at_or_below(name, a.old_name)) return std::string(a.name) + std::string(name.substr(a.old_name.size()));
  }
  return std::string(name);
}

std::vector<Json> values_of(const Json& doc, std::string_view field) {
  std::vector<Json> out;
  values_at(doc, field, out);
  return out;
}

std::vector<std::string> fields_like(const Json& doc, std::string_view pattern) {
  if (pattern.find('*') == std::string_view::npos) return {std::string(pattern)};
  std::vector<std::string> all;
  leaves(doc, "", all);
  if (pattern.starts_with(kOld)) {
    const size_t own = all.size();  // an event may have such fields itself
    for (size_t i = 0; i < own; ++i) {
      std::string old = old_name_of(all[i]);
      if (!old.empty() && std::find(all.begin(), all.end(), old) == all.end()) all.push_back(std::move(old));
    }
  }
  std::erase_if(all, [&](const std::string& name) { return !glob(pattern, name); });
  return all;
}

bool name_fits(std::string_view pattern, std::string_view name) {
  if (pattern.find('*') != std::string_view::npos) return glob(pattern, name);
  return name == pattern || (name.starts_with(pattern) && name.size() > pattern.size() && name[pattern.size()] == '.');
}

}  // namespace fb::api
