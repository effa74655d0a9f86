// Small checks over a FileNode that all parts of a rule share; each failure becomes a diagnostic at its place.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/compile/diagnostic_codes.h"
#include "engine/compile/file_node.h"
#include "engine/compile/source_text.h"

namespace fb::compile {

class Checks {
 public:
  Checks(const SourceText& source, std::vector<Diagnostic>& out) : source_(source), out_(out) {}

  const SourceText& source() const { return source_; }
  bool failed() const { return failed_; }

  void error(std::string_view code, const FileNode& at, std::string message, std::string help = {});
  void error(std::string_view code, const FileMember& at, std::string message, std::string help = {});  // at the key
  void warning(std::string_view code, const FileMember& at, std::string message, std::string help = {});
  void add(Diagnostic d);

  // Every key of `object` must be one of `known`; `what` names the object ("a rule", "a test").
  void only_keys(const FileNode& object, std::string_view what, std::span<const std::string_view> known);
  void only_keys(const FileNode& object, std::string_view what, std::initializer_list<std::string_view> known) {
    only_keys(object, what, std::span<const std::string_view>(known.begin(), known.size()));
  }

  bool is(const FileNode& node, std::string_view name, FileNode::Kind kind);  // else wrong-type

  // The value of a key, checked. Null or nothing when it is absent or wrong; a missing required one is reported at
  // `object`.
  enum class Need : uint8_t { optional, required };
  const FileNode* get(const FileNode& object, std::string_view key, FileNode::Kind kind, Need need = Need::optional);
  const std::string* string(const FileNode& object, std::string_view key, Need need = Need::optional);
  const std::string* filled_string(const FileNode& object, std::string_view key, Need need = Need::optional);
  std::optional<bool> boolean(const FileNode& object, std::string_view key);
  std::optional<int64_t> integer(const FileNode& object, std::string_view key, int64_t low, int64_t high,
                                 Need need = Need::optional);
  std::vector<std::string> strings(const FileNode& object, std::string_view key);
  // One of the words, else bad-value with the nearest as help.
  const std::string* word(const FileNode& object, std::string_view key, std::initializer_list<std::string_view> words,
                          Need need = Need::optional);

 private:
  const SourceText& source_;
  std::vector<Diagnostic>& out_;
  bool failed_ = false;
};

// "a, b or c".
std::string join_words(std::span<const std::string_view> words);

}  // namespace fb::compile
