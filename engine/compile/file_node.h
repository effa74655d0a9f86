// The tree of a rule file, whatever it was written in: values with their kind, text and place. Built by the three
// readers (yaml_file, json_file, toml_file), read by the rule builder. Plain data; a depth limit of the readers bounds
// it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fb::compile {

struct FileMember;

// How a string is written in the file: what stands between its bytes and its value.
enum class Writing : uint8_t {
  none,           // not a string
  plain,          // YAML without quotes, folded over lines perhaps
  block,          // YAML | or >
  single_quoted,  // YAML '...'
  double_quoted,  // YAML "..."
  json,           // JSON "..."
  toml_basic,     // TOML "..." or """..."""
  toml_literal,   // TOML '...' or '''...'''
};

struct FileNode {
  enum class Kind : uint8_t { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  Writing writing = Writing::none;
  bool truth = false;
  std::string text;    // string: its value; number: a JSON number token
  uint32_t begin = 0;  // bytes in the file
  uint32_t end = 0;    // past the value's first line at least; begin + 1 when unknown
  std::vector<FileNode> items;
  std::vector<FileMember> members;  // in file order, no key twice

  bool is(Kind k) const { return kind == k; }
  const FileMember* find(std::string_view key) const;
};

struct FileMember {
  std::string key;
  uint32_t key_begin = 0;
  uint32_t key_end = 0;
  FileNode value;
};

// "a string", "a list", ...
std::string_view kind_name(FileNode::Kind kind);

// Where the byte `at` of a string's value stands in the file. Exact for every character that is not white space, and
// for white space that is written as such; a place past the last word is the place just after it.
size_t place_of(std::string_view file_text, const FileNode& node, size_t at);

// Compact JSON with sorted keys: equal values, equal text.
std::string to_json(const FileNode& node);
std::string json_string(std::string_view text);

// Is it a number as JSON writes them?
bool is_json_number(std::string_view text);
bool is_json_integer(std::string_view text);

}  // namespace fb::compile
