#include "api/rules/new_lists.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;
using ListKey = std::pair<std::string, std::string>;  // namespace and list_id

std::string text_in(const Json& json, const char* key, const char* otherwise) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : otherwise;
}

bool is_item(const Json& json) {
  return json.contains("entries") || json.contains("item_id");
}

bool is_list(const Json& json) {
  return json.contains("list_id") && !is_item(json) && !json.contains("rule_id") && !json.contains("risk_score");
}

ListKey key_of(const Json& json) {
  return {text_in(json, "namespace_type", "single"), text_in(json, "list_id", "")};
}

}  // namespace

std::string with_new_lists(std::string_view ndjson) {
  struct Line {
    std::string_view text;
    Json json;
  };
  std::vector<Line> lines;
  std::map<ListKey, std::string> renamed;
  while (!ndjson.empty()) {
    const size_t end = std::min(ndjson.find('\n'), ndjson.size());
    Line line{ndjson.substr(0, end), parse_ordered_json(ndjson.substr(0, end))};
    ndjson.remove_prefix(std::min(end + 1, ndjson.size()));
    if (line.json.is_object() && is_list(line.json)) renamed.try_emplace(key_of(line.json), new_uuid());
    lines.push_back(std::move(line));
  }
  const auto rename = [&renamed](Json& json) {
    const auto it = json.is_object() ? renamed.find(key_of(json)) : renamed.end();
    if (it == renamed.end()) return false;
    json["list_id"] = it->second;
    return true;
  };
  std::string out;
  for (Line& line : lines) {
    bool changed = false;
    if (line.json.is_object()) {
      const bool item = is_item(line.json);
      if (item || is_list(line.json)) changed = rename(line.json);
      if (item && changed) line.json["item_id"] = new_uuid();
      const auto named = line.json.find("exceptions_list");
      if (named != line.json.end() && named->is_array()) {
        for (Json& list : *named) changed = rename(list) || changed;
      }
    }
    if (changed) {
      out += dumped(line.json);
    } else {
      out += line.text;
    }
    out += '\n';
  }
  return out;
}

}  // namespace fb::api
