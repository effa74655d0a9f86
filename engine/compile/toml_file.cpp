// toml++ destroys its tree recursively: this limit and kMaxDots below bound the depth of the tree.
#define TOML_MAX_NESTED_VALUES 32
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>
#include <optional>
#include <sstream>

#include "engine/compile/diagnostic_codes.h"
#include "engine/compile/file_readers.h"

namespace fb::compile {
namespace {

// A dotted key (a.b.c) makes a table within a table for each dot, without end in toml++. So a line with hundreds of
// dots that could belong to keys is refused: single words between dots, or dots beside quotes. Prose has neither in
// number.
constexpr size_t kMaxDots = 400;

// The place of the first dot that is too many.
std::optional<size_t> too_many_dots(std::string_view text) {
  size_t beside_quotes = 0;
  size_t between_words = 0;
  size_t words = 0;  // since the last dot
  char last = ' ';   // that is not blank
  bool after_quote = false;
  bool after_dot = false;  // nothing but blanks since the last dot
  bool in_word = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      beside_quotes = between_words = words = 0;
      after_dot = in_word = false;
      last = ' ';
      continue;
    }
    if (c == ' ' || c == '\t' || c == '\r') {
      in_word = false;
      continue;
    }
    const bool quote = c == '"' || c == '\'';
    if (quote && after_dot && !after_quote) ++beside_quotes;
    after_dot = false;
    if (c == '.') {
      after_quote = last == '"' || last == '\'';
      if (after_quote) ++beside_quotes;
      between_words = words == 1 ? between_words + 1 : 0;
      words = 0;
      after_dot = true;
      in_word = false;
    } else if (!in_word) {
      in_word = true;
      ++words;
    }
    last = c;
    if (beside_quotes > kMaxDots || between_words > kMaxDots) return i;
  }
  return std::nullopt;
}

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
  if (const std::optional<size_t> at = too_many_dots(source.text())) {
    out.problems.push_back(source.error(code::kTooDeep, *at, *at + 1,
                                        "the keys on this line have more than " + std::to_string(kMaxDots) + " parts"));
    return out;
  }
  const toml::parse_result parsed = toml::parse(source.text());
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    const size_t at = source.offset_of(static_cast<uint32_t>(error.source().begin.line),
                                       static_cast<uint32_t>(error.source().begin.column));
    const std::string description(error.description());
    const auto says = [&](std::string_view word) { return description.find(word) != std::string::npos; };
    const std::string_view code = says("redefine")         ? code::kDuplicateKey
                                  : says("maximum nested") ? code::kTooDeep
                                                           : code::kTomlSyntax;
    out.problems.push_back(source.error(code, at, at + 1, description));
    return out;
  }
  FileNode root = Converter(source, max_depth, out.problems).convert(parsed.table(), 0);
  root.begin = 0;
  if (out.problems.empty()) out.values.push_back(std::move(root));
  return out;
}

}  // namespace fb::compile
