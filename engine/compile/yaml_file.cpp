#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <unordered_set>

#include "engine/compile/diagnostic_codes.h"
#include "engine/compile/file_readers.h"

namespace fb::compile {
namespace {

// Thrown through yaml-cpp to end its walk; caught in read_yaml.
struct Stop {
  Diagnostic problem;
};

size_t byte_of(const YAML::Mark& mark, const SourceText& source) {
  return mark.pos < 0 ? source.text().size() : std::min(static_cast<size_t>(mark.pos), source.text().size());
}

// Builds the tree from yaml-cpp's events. Its own tree can't be used: it keeps repeated keys and follows anchors into
// cycles.
class Builder final : public YAML::EventHandler {
 public:
  Builder(const SourceText& source, uint32_t max_depth) : source_(source), max_depth_(max_depth) {}

  bool has_document() const { return documents_ > 0; }
  FileNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      const size_t at = byte_of(mark, source_);
      stop(code::kYamlDocuments, at, at + 3, "a second YAML document begins here",
           "one file holds one rule or one list of rules: write a list, or use two files");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const size_t at = begin_node(mark, anchor);
    FileNode node;
    node.begin = static_cast<uint32_t>(at);
    node.end = node.begin + 1;
    add(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    const size_t at = byte_of(mark, source_);
    stop(code::kYamlAnchor, at, at + 1, "YAML aliases (*name) are not allowed in rule files", "write the value out");
  }

  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    const size_t at = byte_of(mark, source_);
    stop(code::kYamlAnchor, at, at + 1, "YAML anchors (&name) are not allowed in rule files", "write the value out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, const std::string& value) override {
    const size_t at = begin_node(mark, anchor);
    FileNode node;
    node.kind = FileNode::Kind::string;
    node.begin = static_cast<uint32_t>(at);
    const char first = at < source_.text().size() ? source_.text()[at] : '\0';
    if (first == '|' || first == '>') {
      node.writing = Writing::block;
      node.end = node.begin + 1;
    } else if (first == '\'' || first == '"') {
      node.writing = first == '"' ? Writing::double_quoted : Writing::single_quoted;
      node.end = static_cast<uint32_t>(std::min(source_.text().size(), at + value.size() + 2));
    } else {
      node.writing = Writing::plain;
      node.end = static_cast<uint32_t>(std::min(source_.text().size(), at + value.size()));
      if (value == "true" || value == "True" || value == "TRUE") {
        node.kind = FileNode::Kind::boolean;
        node.truth = true;
      } else if (value == "false" || value == "False" || value == "FALSE") {
        node.kind = FileNode::Kind::boolean;
      } else if (is_json_number(value)) {
        node.kind = FileNode::Kind::number;
      }
    }
    node.text = value;
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(mark, anchor, FileNode::Kind::array, style);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(mark, anchor, FileNode::Kind::object, style);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    FileNode node;
    std::unordered_set<std::string> keys;
    bool flow = false;
    bool has_key = false;  // a key waits for its value
    FileMember member;
  };

  [[noreturn]] void stop(std::string_view code, size_t begin, size_t end, std::string message, std::string help = {}) {
    throw Stop{source_.error(code, begin, end, std::move(message), std::move(help))};
  }

  // Checks what all kinds of node share; the place of the node.
  size_t begin_node(const YAML::Mark& mark, YAML::anchor_t anchor) {
    const size_t at = byte_of(mark, source_);
    const char first = at < source_.text().size() ? source_.text()[at] : '\0';
    if (anchor != 0 || first == '&') {
      stop(code::kYamlAnchor, at, at + 1, "YAML anchors (&name) are not allowed in rule files", "write the value out");
    }
    if (first == '!') {
      stop(code::kYamlTag, at, at + 1, "YAML tags (!name) are not allowed in rule files",
           "leave the tag out, or quote a text that begins with '!'");
    }
    // yaml-cpp takes some tabs for indentation, and then for less of it than an editor shows.
    const bool in_flow = !open_.empty() && open_.back().flow;
    if (!in_flow) {
      size_t i = at;
      bool tab = false;
      while (i > 0 && (source_.text()[i - 1] == ' ' || source_.text()[i - 1] == '\t')) {
        --i;
        tab = tab || source_.text()[i] == '\t';
      }
      if (tab && (i == 0 || source_.text()[i - 1] == '\n')) {
        stop(code::kYamlTab, i, at, "a tab indents this line", "indent with blanks only");
      }
    }
    return at;
  }

  void open(const YAML::Mark& mark, YAML::anchor_t anchor, FileNode::Kind kind, YAML::EmitterStyle::value style) {
    const size_t at = begin_node(mark, anchor);
    if (open_.size() >= max_depth_) {
      stop(code::kTooDeep, at, at + 1,
           "lists and maps lie deeper within each other than " + std::to_string(max_depth_) +
               " (limits.max_yaml_depth)");
    }
    if (!open_.empty() && open_.back().node.is(FileNode::Kind::object) && !open_.back().has_key) {
      stop(code::kBadKey, at, at + 1, "a key must be a string, not a list or a map");
    }
    Open o;
    o.node.kind = kind;
    o.node.begin = static_cast<uint32_t>(at);
    o.node.end = o.node.begin + 1;
    o.flow = style == YAML::EmitterStyle::Flow || (!open_.empty() && open_.back().flow);
    open_.push_back(std::move(o));
  }

  void close() {
    FileNode node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }

  void add(FileNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.is(FileNode::Kind::array)) {
      parent.node.items.push_back(std::move(node));
      return;
    }
    if (parent.has_key) {
      parent.member.value = std::move(node);
      parent.node.members.push_back(std::move(parent.member));
      parent.member = FileMember{};
      parent.has_key = false;
      return;
    }
    if (node.is(FileNode::Kind::null)) {
      stop(code::kBadKey, node.begin, node.end, "a key must be a string, not null");
    }
    if (!parent.keys.insert(node.text).second) {
      stop(code::kDuplicateKey, node.begin, node.end, "the key '" + node.text.substr(0, 100) + "' stands here twice",
           "keep one of the two");
    }
    parent.member.key = node.text;
    parent.member.key_begin = node.begin;
    parent.member.key_end = node.end;
    parent.has_key = true;
  }

  const SourceText& source_;
  uint32_t max_depth_;
  int documents_ = 0;
  std::vector<Open> open_;
  FileNode root_;
};

// yaml-cpp looks ahead over all brackets that are open, which is slow for very many of them. No text of a rule leaves a
// thousand open, in quotes or not.
constexpr int kMaxOpenBrackets = 1000;

std::optional<size_t> too_many_brackets(std::string_view text) {
  int open = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[' || text[i] == '{') {
      if (++open > kMaxOpenBrackets) return i;
    } else if ((text[i] == ']' || text[i] == '}') && open > 0) {
      --open;
    }
  }
  return std::nullopt;
}

// yaml-cpp's short messages in words that help.
Diagnostic explain(const SourceText& source, const YAML::Exception& e) {
  const size_t at = byte_of(e.mark, source);
  const std::string_view line = source.line_at(at);
  const size_t indent_end = line.find_first_not_of(" \t");
  const bool tab = line.substr(0, indent_end).find('\t') != std::string_view::npos;
  if (tab || e.msg == YAML::ErrorMsg::TAB_IN_INDENTATION) {
    return source.error(code::kYamlTab, at, at + 1, "a tab indents this line", "indent with blanks only");
  }
  if (e.msg == YAML::ErrorMsg::BAD_FILE || e.msg == YAML::ErrorMsg::FLOW_END) {
    return source.error(code::kYamlSyntax, at, at + 1, "brackets here do not fit each other");
  }
  if (e.msg == YAML::ErrorMsg::MAP_VALUE || e.msg == YAML::ErrorMsg::MAP_KEY) {
    return source.error(code::kYamlSyntax, at, at + 1, "a second ': ' on one line, or a wrong indent",
                        "quote the value when it holds ': ', or use a block ('query: |')");
  }
  if (e.msg == YAML::ErrorMsg::END_OF_MAP || e.msg == YAML::ErrorMsg::END_OF_SEQ) {
    return source.error(code::kYamlSyntax, at, at + 1, "this line fits neither the indent above nor 'key: value'",
                        "align it with the keys above, or quote the value before it");
  }
  if (e.msg == YAML::ErrorMsg::END_OF_MAP_FLOW || e.msg == YAML::ErrorMsg::END_OF_SEQ_FLOW) {
    return source.error(code::kYamlSyntax, at, at + 1, "a '{' or '[' is not closed, or a ',' is missing");
  }
  if (e.msg == YAML::ErrorMsg::EOF_IN_SCALAR) {
    return source.error(code::kYamlSyntax, at, at + 1, "a quote is not closed before the file ends");
  }
  if (e.msg == YAML::ErrorMsg::ALIAS_NOT_FOUND || e.msg == YAML::ErrorMsg::ANCHOR_NOT_FOUND ||
      e.msg == YAML::ErrorMsg::UNKNOWN_ANCHOR || e.msg == YAML::ErrorMsg::CHAR_IN_ALIAS ||
      e.msg == YAML::ErrorMsg::CHAR_IN_ANCHOR || e.msg.rfind(YAML::ErrorMsg::UNKNOWN_ANCHOR, 0) == 0) {
    return source.error(code::kYamlAnchor, at, at + 1, "YAML anchors and aliases are not allowed in rule files",
                        "quote a text that begins with '*' or '&'");
  }
  return source.error(code::kYamlSyntax, at, at + 1, "not well-formed YAML: " + e.msg);
}

}  // namespace

ReadFile read_yaml(const SourceText& source, uint32_t max_depth) {
  ReadFile out;
  if (const std::optional<size_t> at = too_many_brackets(source.text())) {
    out.problems.push_back(source.error(code::kTooDeep, *at, *at + 1,
                                        "more than " + std::to_string(kMaxOpenBrackets) + " brackets are open here"));
    return out;
  }
  try {
    std::istringstream stream{std::string(source.text())};
    YAML::Parser parser(stream);
    Builder builder(source, max_depth);
    while (parser.HandleNextDocument(builder)) {
    }
    if (builder.has_document()) out.values.push_back(builder.take());
  } catch (const Stop& stop) {
    out.problems.push_back(stop.problem);
  } catch (const YAML::Exception& e) {
    out.problems.push_back(explain(source, e));
  } catch (const std::exception& e) {
    out.problems.push_back(source.error(code::kYamlSyntax, 0, 1, std::string("not well-formed YAML: ") + e.what()));
  }
  return out;
}

}  // namespace fb::compile
