#include "engine/config/config.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "engine/base/json.h"
#include "engine/base/text.h"
#include "engine/compile/file_readers.h"
#include "engine/config/keys.h"

namespace fb {
namespace {

using compile::FileMember;
using compile::FileNode;
using compile::SourceText;

constexpr size_t kMaxConfigBytes = 1u << 20;
constexpr uint32_t kMaxConfigDepth = 16;

const Key* find_key(std::string_view path) {
  for (const Key& key : config_keys()) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

// True when some key lies below `path`.
bool is_section(std::string_view path) {
  const std::string prefix = std::string(path) + ".";
  return std::any_of(config_keys().begin(), config_keys().end(),
                     [&](const Key& key) { return key.path.substr(0, prefix.size()) == prefix; });
}

std::vector<std::string> split(std::string_view words, char by) {
  std::vector<std::string> out;
  while (!words.empty()) {
    const size_t at = words.find(by);
    out.emplace_back(words.substr(0, at));
    if (at == std::string_view::npos) break;
    words.remove_prefix(at + 1);
  }
  return out;
}

// The scalar as it is written, for maps and texts.
std::optional<std::string> scalar(const FileNode& node) {
  switch (node.kind) {
    case FileNode::Kind::string:
    case FileNode::Kind::number:
      return node.text;
    case FileNode::Kind::boolean:
      return node.truth ? "true" : "false";
    case FileNode::Kind::null:
    case FileNode::Kind::array:
    case FileNode::Kind::object:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

template <class T>
const T& Config::get(std::string_view path) const {
  const auto it = values_.find(path);
  if (it == values_.end() || !std::holds_alternative<T>(it->second)) std::abort();
  return std::get<T>(it->second);
}

const std::string& Config::text(std::string_view path) const {
  return get<std::string>(path);
}
const std::vector<std::string>& Config::list(std::string_view path) const {
  return get<std::vector<std::string>>(path);
}
const std::map<std::string, std::string>& Config::map(std::string_view path) const {
  return get<std::map<std::string, std::string>>(path);
}
bool Config::flag(std::string_view path) const {
  return get<bool>(path);
}
int64_t Config::integer(std::string_view path) const {
  return get<int64_t>(path);
}
double Config::percent(std::string_view path) const {
  return get<double>(path);
}
std::optional<int64_t> Config::duration_ms(std::string_view path) const {
  const auto it = values_.find(path);
  if (it == values_.end()) std::abort();
  if (std::holds_alternative<std::monostate>(it->second)) return std::nullopt;
  return std::get<int64_t>(it->second);
}

std::vector<std::string> Config::differing_keys(const Config& other) const {
  std::vector<std::string> out;
  for (const Key& key : config_keys()) {
    const auto here = values_.find(key.path);
    const auto there = other.values_.find(key.path);
    const bool same = (here == values_.end()) == (there == other.values_.end()) &&
                      (here == values_.end() || here->second == there->second);
    if (!same) out.emplace_back(key.path);
  }
  return out;
}

Limits Config::limits() const {
  Limits l;
  l.event.max_event_bytes = static_cast<size_t>(integer("limits.max_event_bytes"));
  l.event.max_event_depth = static_cast<uint32_t>(integer("limits.max_event_depth"));
  l.event.max_event_keys = static_cast<uint32_t>(integer("limits.max_event_keys"));
  l.event.max_array_length = static_cast<uint32_t>(integer("limits.max_array_length"));
  l.event.max_key_bytes = static_cast<uint32_t>(integer("limits.max_key_bytes"));
  l.event.dead_letter_raw_bytes = static_cast<size_t>(integer("limits.dead_letter_raw_bytes"));
  l.rule.max_rule_file_bytes = static_cast<size_t>(integer("limits.max_rule_file_bytes"));
  l.rule.max_rule_import_bytes = static_cast<size_t>(integer("limits.max_rule_import_bytes"));
  l.rule.max_rule_name_bytes = static_cast<size_t>(integer("limits.max_rule_name_bytes"));
  l.rule.max_yaml_depth = static_cast<uint32_t>(integer("limits.max_yaml_depth"));
  l.rule.max_pattern_bytes = static_cast<size_t>(integer("limits.max_pattern_bytes"));
  l.rule.max_query_bytes = static_cast<size_t>(integer("limits.max_query_bytes"));
  l.rule.max_query_depth = static_cast<uint32_t>(integer("limits.max_query_depth"));
  l.rule.max_query_nodes = static_cast<uint32_t>(integer("limits.max_query_nodes"));
  l.rule.max_rules = static_cast<uint32_t>(integer("limits.max_rules"));
  return l;
}

namespace {

// Reads one file against the table.
class Reader {
 public:
  using Value = std::variant<std::monostate, std::string, std::vector<std::string>, std::map<std::string, std::string>,
                             bool, int64_t, double>;

  explicit Reader(const SourceText& source) : source_(source) {}

  void object(const FileNode& node, const std::string& path) {
    for (const FileMember& member : node.members) {
      const std::string name = path.empty() ? member.key : path + "." + member.key;
      if (const Key* key = find_key(name)) {
        seen_.insert(name);
        if (auto v = value(*key, member.value)) values[name] = std::move(*v);
      } else if (is_section(name)) {
        if (member.value.is(FileNode::Kind::object)) {
          object(member.value, name);
        } else if (!member.value.is(FileNode::Kind::null)) {
          problem("wrong-type", member.value,
                  "'" + name + "' holds keys of its own, not " + std::string(compile::kind_name(member.value.kind)));
        }
      } else {
        unknown(member, name, path);
      }
    }
  }

  void fill_and_require(const FileNode& root) {
    for (const Key& key : config_keys()) {
      const std::string path(key.path);
      if (seen_.count(path) != 0) continue;
      if (key.required) {
        problems.push_back(source_.error(
            "missing-key", root.begin, root.begin + 1, "'" + path + "' is missing",
            std::string(key.meaning) + (key.choices.empty() ? "" : " One of: " + std::string(key.choices))));
      }
      values[path] = fallback(key);
    }
  }

  std::map<std::string, Value> values;
  std::vector<Diagnostic> problems;
  std::map<std::string, std::vector<std::pair<size_t, size_t>>, std::less<>> places;

 private:
  void problem(std::string_view code, const FileNode& node, std::string message, std::string help = {}) {
    problems.push_back(source_.error(code, node.begin, node.end, std::move(message), std::move(help)));
  }

  void unknown(const FileMember& member, const std::string& name, const std::string& path) {
    // Suggest among the names that stand at this level.
    std::vector<std::string> names;
    const size_t skip = path.empty() ? 0 : path.size() + 1;
    for (const Key& key : config_keys()) {
      if (key.path.size() <= skip || (skip != 0 && key.path.substr(0, skip) != path + ".")) continue;
      const std::string_view rest = key.path.substr(skip);
      names.emplace_back(rest.substr(0, rest.find('.')));
    }
    const std::string_view near = nearest_word(member.key, names);
    problems.push_back(source_.error("unknown-key", member.key_begin, member.key_end,
                                     "there is no key '" + printable(name) + "'",
                                     near.empty() ? "" : "did you mean '" + std::string(near) + "'?"));
  }

  static Value fallback(const Key& key) {
    switch (key.type) {
      case KeyType::text:
      case KeyType::choice:
        return std::string(key.fallback);
      case KeyType::text_list:
        return std::vector<std::string>();
      case KeyType::text_map:
        return std::map<std::string, std::string>();
      case KeyType::flag:
        return key.fallback == "true";
      case KeyType::integer:
        return static_cast<int64_t>(std::strtoll(std::string(key.fallback).c_str(), nullptr, 10));
      case KeyType::percent:
        return std::strtod(std::string(key.fallback).c_str(), nullptr);
      case KeyType::duration:
        if (key.fallback.empty()) return std::monostate();
        return *parse_duration_ms(key.fallback);
    }
    return std::monostate();
  }

  std::optional<Value> value(const Key& key, const FileNode& node) {
    const std::string name(key.path);
    const auto wrong = [&](const char* wanted) -> std::optional<Value> {
      problem("wrong-type", node,
              "'" + name + "' takes " + wanted + ", not " + std::string(compile::kind_name(node.kind)));
      return std::nullopt;
    };
    if (node.is(FileNode::Kind::null) && !key.required) return fallback(key);
    switch (key.type) {
      case KeyType::text:
        if (!node.is(FileNode::Kind::string)) return wrong("a text");
        if (key.required && node.text.empty()) {
          problem("bad-value", node, "'" + name + "' is empty");
          return std::nullopt;
        }
        return node.text;
      case KeyType::choice: {
        const std::vector<std::string> choices = split(key.choices, '|');
        const auto written = scalar(node);
        if (!written) return wrong("one word");
        if (std::find(choices.begin(), choices.end(), *written) != choices.end()) return *written;
        const std::string_view near = nearest_word(*written, choices);
        problem(
            "bad-value", node, "'" + name + "' can't be '" + printable(*written) + "'",
            (near.empty() ? "" : "did you mean '" + std::string(near) + "'? ") + "One of: " + std::string(key.choices));
        return std::nullopt;
      }
      case KeyType::text_list:
        return list(key, node);
      case KeyType::text_map:
        return map(key, node);
      case KeyType::flag:
        if (!node.is(FileNode::Kind::boolean)) return wrong("true or false");
        return node.truth;
      case KeyType::integer:
        return integer(key, node);
      case KeyType::percent: {
        const auto written = scalar(node);
        char* end = nullptr;
        const double v = written ? std::strtod(written->c_str(), &end) : -1;
        if (!node.is(FileNode::Kind::number) || *end != '\0' || v < 0 || v > 100)
          return wrong("a number from 0 to 100");
        return v;
      }
      case KeyType::duration:
        return duration(key, node);
    }
    return std::nullopt;
  }

  std::optional<Value> list(const Key& key, const FileNode& node) {
    std::vector<std::string> out;
    if (!node.is(FileNode::Kind::array)) {
      problem("wrong-type", node,
              "'" + std::string(key.path) + "' takes a list, not " + std::string(compile::kind_name(node.kind)),
              "write it as [one, two]");
      return std::nullopt;
    }
    for (const FileNode& item : node.items) {
      if (!item.is(FileNode::Kind::string) || item.text.empty()) {
        problem("wrong-type", item, "'" + std::string(key.path) + "' takes a list of texts");
        return std::nullopt;
      }
      out.push_back(item.text);
      places[std::string(key.path)].emplace_back(item.begin, item.end);
    }
    if (key.required && out.empty()) {
      problem("bad-value", node, "'" + std::string(key.path) + "' is empty");
      return std::nullopt;
    }
    return out;
  }

  std::optional<Value> map(const Key& key, const FileNode& node) {
    std::map<std::string, std::string> out;
    const bool is_map = node.is(FileNode::Kind::object);
    if (!is_map) problem("wrong-type", node, "'" + std::string(key.path) + "' takes names and values");
    for (const FileMember& member : node.members) {
      const auto text = scalar(member.value);
      if (!text) {
        problem("wrong-type", member.value, "'" + member.key + "' takes one value");
        return std::nullopt;
      }
      out[member.key] = *text;
    }
    if (!is_map) return std::nullopt;
    return out;
  }

  std::optional<Value> integer(const Key& key, const FileNode& node) {
    int64_t v = 0;
    const auto end = node.text.data() + node.text.size();
    const bool is_number = node.is(FileNode::Kind::number);
    const auto [at, error] = std::from_chars(node.text.data(), end, v);
    if (!is_number || error != std::errc() || at != end || v < key.least || v > key.most) {
      problem("bad-value", node,
              "'" + std::string(key.path) + "' takes a whole number from " + std::to_string(key.least) + " to " +
                  std::to_string(key.most));
      return std::nullopt;
    }
    return v;
  }

  std::optional<Value> duration(const Key& key, const FileNode& node) {
    const auto written = scalar(node);
    const auto ms = written ? parse_duration_ms(*written) : std::nullopt;
    if (!ms) {
      problem("bad-value", node, "'" + std::string(key.path) + "' takes a duration such as 90s, 5m, 4h or 2d");
      return std::nullopt;
    }
    if (*ms < key.least || *ms > key.most) {
      problem("bad-value", node,
              "'" + std::string(key.path) + "' must be at least " + std::to_string(key.least) + " ms and at most " +
                  std::to_string(key.most) + " ms");
      return std::nullopt;
    }
    return *ms;
  }

  const SourceText& source_;
  std::set<std::string> seen_;
};

Diagnostic whole_file(const std::string& file, std::string code, std::string message) {
  Diagnostic d;
  d.code = std::move(code);
  d.file = file;
  d.message = std::move(message);
  return d;
}

}  // namespace

Config::Loaded Config::parse(const std::string& text, const std::string& file) {
  Loaded loaded;
  const SourceText source(file, text);
  compile::ReadFile read = compile::read_yaml(source, kMaxConfigDepth);
  if (!read.problems.empty()) {
    loaded.problems = std::move(read.problems);
    return loaded;
  }
  if (read.values.empty() || !read.values[0].is(FileNode::Kind::object)) {
    loaded.problems.push_back(
        whole_file(file, "not-a-config", "a config file holds keys and values; this one holds none"));
    return loaded;
  }
  Reader reader(source);
  reader.object(read.values[0], "");
  reader.fill_and_require(read.values[0]);
  for (auto& [path, value] : reader.values) loaded.config.values_[path] = std::move(value);
  loaded.problems = std::move(reader.problems);
  loaded.places = std::move(reader.places);
  loaded.file = file;
  loaded.text = text;
  return loaded;
}

Diagnostic Config::Loaded::wrong_entry(std::string_view path, size_t index, std::string message) const {
  const SourceText source(file, text);
  const auto at = places.find(path);
  if (at == places.end() || at->second.empty()) return source.error("bad-value", 0, 1, std::move(message), {});
  const auto& all = at->second;
  const auto [begin, end] = index < all.size() ? all[index] : std::pair(all.front().first, all.back().second);
  return source.error("bad-value", begin, end, std::move(message), {});
}

Config::Loaded Config::load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  text.resize(kMaxConfigBytes + 1);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount() > 0 ? in.gcount() : 0));
  Loaded loaded;
  if (!in.is_open() || in.bad()) {
    loaded.problems.push_back(whole_file(path, "file-unreadable", "can't read the config file"));
    return loaded;
  }
  if (text.size() > kMaxConfigBytes) {
    loaded.problems.push_back(whole_file(path, "file-too-large", "a config file has at most 1 MiB"));
    return loaded;
  }
  return parse(text, path);
}

std::string config_schema() {
  using Json = nlohmann::ordered_json;
  Json root{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
            {"title", "Firebreak service configuration"},
            {"type", "object"},
            {"additionalProperties", false},
            {"properties", Json::object()}};
  for (const Key& key : config_keys()) {
    Json* at = &root;
    const std::vector<std::string> names = split(key.path, '.');
    for (size_t i = 0; i + 1 < names.size(); ++i) {
      Json& section = (*at)["properties"][names[i]];
      if (section.is_null()) {
        section = Json{{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
      }
      if (key.required) {
        Json& required = (*at)["required"];
        if (required.is_null()) required = Json::array();
        if (std::find(required.begin(), required.end(), names[i]) == required.end()) required.push_back(names[i]);
      }
      at = &section;
    }
    Json leaf;
    switch (key.type) {
      case KeyType::text:
        leaf["type"] = "string";
        break;
      case KeyType::choice:
        leaf["enum"] = split(key.choices, '|');
        break;
      case KeyType::text_list:
        leaf["type"] = "array";
        leaf["items"] = Json{{"type", "string"}};
        break;
      case KeyType::text_map:
        leaf["type"] = "object";
        leaf["additionalProperties"] = Json{{"type", Json::array({"string", "number", "boolean"})}};
        break;
      case KeyType::flag:
        leaf["type"] = "boolean";
        break;
      case KeyType::integer:
        leaf["type"] = "integer";
        leaf["minimum"] = key.least;
        if (key.most != INT64_MAX) leaf["maximum"] = key.most;
        break;
      case KeyType::percent:
        leaf["type"] = "number";
        leaf["minimum"] = 0;
        leaf["maximum"] = 100;
        break;
      case KeyType::duration:
        leaf["type"] = "string";
        leaf["pattern"] = "^[0-9]+(ms|s|m|h|d|w)$";
        break;
    }
    leaf["description"] = key.meaning;
    if (!key.fallback.empty()) leaf["default"] = key.fallback;
    if (key.required) {
      Json& required = (*at)["required"];
      if (required.is_null()) required = Json::array();
      required.push_back(names.back());
    }
    (*at)["properties"][names.back()] = std::move(leaf);
  }
  return root.dump(2) + "\n";
}

}  // namespace fb
