// The text of one rule file with its lines, and the making of diagnostics that point into it. A SourceText keeps a
// view: the text must outlive it. Not thread-safe (one a load); finding a place is a binary search.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/text.h"
#include "engine/compile/rules.h"

namespace fb::compile {

class SourceText {
 public:
  SourceText(std::string file, std::string_view text);

  const std::string& file() const { return file_; }
  std::string_view text() const { return text_; }

  LineColumn locate(size_t offset) const;
  // The byte offset of a 1-based line and column (code points); the end of the line when the column lies beyond it.
  size_t offset_of(uint32_t line, uint32_t column) const;
  // The line that holds `offset`, without its line break.
  std::string_view line_at(size_t offset) const;

  // A diagnostic for the bytes [begin, end); the caret stays on the first line.
  Diagnostic diagnose(Diagnostic::Level level, std::string_view code, size_t begin, size_t end, std::string message,
                      std::string help = {}) const;
  Diagnostic error(std::string_view code, size_t begin, size_t end, std::string message, std::string help = {}) const {
    return diagnose(Diagnostic::Level::error, code, begin, end, std::move(message), std::move(help));
  }
  Diagnostic warning(std::string_view code, size_t begin, size_t end, std::string message,
                     std::string help = {}) const {
    return diagnose(Diagnostic::Level::warning, code, begin, end, std::move(message), std::move(help));
  }

 private:
  size_t line_index(size_t offset) const;
  std::string file_;
  std::string_view text_;
  std::vector<size_t> starts_;  // of each line
};

// How many code points the bytes hold.
uint32_t code_points(std::string_view text);

}  // namespace fb::compile
