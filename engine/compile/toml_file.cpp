#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>
#include <sstream>

#include "engine/compile/diagnostic_codes.h"
#include "engine/compile/file_readers.h"

namespace fb::compile {
namespace {

// Turns toml++'s tree into ours. toml++ itself bounds the depth of what it reads, so the recursion here is bounded too.
class Converter {
 public:
  Converter(const SourceText& source, uint32_t max_depth, std::vector<Diagnostic>& problems)
      : source_(source), max_depth_(max_depth), problems_(problems) {}

  FileNode convert(const toml::node& from, uint32_t depth) {
    FileNode node;
    const size_t begin = place(from.source());
    node.begin = static_cast<uint32_t>(begin);
    node.end = node.begin + 1;
    if (depth > max_depth_) {
      if (problems_.empty()) {
        problems_.push_back(source_.error(code::kTooDeep, begin, begin + 1,
                                          "lists and tables lie deeper within each other than " +
                                              std::to_string(max_depth_) + " (limits.max_yaml_depth)"));
      }
      return node;
    }
    if (const toml::table* table = from.as_table()) {
      node.kind = FileNode::Kind::object;
      for (const auto& [key, value] : *table) {
        FileMember member;
        member.key = std::string(key.str());
        const size_t key_begin = place(key.source());
        member.key_begin = static_cast<uint32_t>(key_begin);
        member.key_end = static_cast<uint32_t>(std::min(source_.text().size(), key_begin + member.key.size()));
        member.value = convert(value, depth + 1);
        node.members.push_back(std::move(member));
      }
    } else if (const toml::array* array = from.as_array()) {
      node.kind = FileNode::Kind::array;
      for (const toml::node& item : *array) node.items.push_back(convert(item, depth + 1));
    } else if (const toml::value<std::string>* text = from.as_string()) {
      node.kind = FileNode::Kind::string;
      node.text = text->get();
      const bool literal = begin < source_.text().size() && source_.text()[begin] == '\'';
      node.writing = literal ? Writing::toml_literal : Writing::toml_basic;
      node.end = static_cast<uint32_t>(std::min(source_.text().size(), begin + node.text.size() + 2));
    } else if (const toml::value<bool>* truth = from.as_boolean()) {
      node.kind = FileNode::Kind::boolean;
      node.truth = truth->get();
      node.end = node.begin + (node.truth ? 4u : 5u);
    } else if (const toml::value<int64_t>* integer = from.as_integer()) {
      node.kind = FileNode::Kind::number;
      node.text = std::to_string(integer->get());
      node.end = static_cast<uint32_t>(begin + node.text.size());
    } else {
      scalar_as_written(from, begin, node);
    }
    return node;
  }

 private:
  size_t place(const toml::source_region& region) const {
    return source_.offset_of(static_cast<uint32_t>(region.begin.line), static_cast<uint32_t>(region.begin.column));
  }

  // Floating-point numbers keep their spelling; dates, times, inf and nan become the text that stands in the file.
  void scalar_as_written(const toml::node& from, size_t begin, FileNode& node) {
    const std::string_view text = source_.text();
    const size_t stop = text.find_first_of(",]}#\r\n", begin);
    std::string_view word = text.substr(begin, stop == std::string_view::npos ? std::string_view::npos : stop - begin);
    while (!word.empty() && (word.back() == ' ' || word.back() == '\t')) word.remove_suffix(1);
    node.text = word;
    node.kind = from.is_floating_point() && is_json_number(word) ? FileNode::Kind::number : FileNode::Kind::string;
    node.writing = Writing::plain;
    node.end = static_cast<uint32_t>(begin + word.size());
  }

  const SourceText& source_;
  uint32_t max_depth_;
  std::vector<Diagnostic>& problems_;
};

}  // namespace

ReadFile read_toml(const SourceText& source, uint32_t max_depth) {
  ReadFile out;
  const toml::parse_result parsed = toml::parse(source.text());
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    const size_t at = source.offset_of(static_cast<uint32_t>(error.source().begin.line),
                                       static_cast<uint32_t>(error.source().begin.column));
    const std::string description(error.description());
    const bool twice = description.find("redefine") != std::string::npos;
    out.problems.push_back(source.error(twice ? code::kDuplicateKey : code::kTomlSyntax, at, at + 1, description));
    return out;
  }
  FileNode root = Converter(source, max_depth, out.problems).convert(parsed.table(), 0);
  root.begin = 0;
  if (out.problems.empty()) out.values.push_back(std::move(root));
  return out;
}

}  // namespace fb::compile
