#include "engine/compile/source_text.h"

#include <algorithm>

namespace fb::compile {
namespace {

// Lines of exports run to many kilobytes; the picture shows a piece around the caret.
constexpr uint32_t kExcerptColumns = 160;

bool continues(char c) {
  return (static_cast<uint8_t>(c) & 0xC0) == 0x80;
}

// The byte offset of the code point number `n` (0-based) in `line`.
size_t byte_of(std::string_view line, uint32_t n) {
  size_t i = 0;
  while (i < line.size() && n > 0) {
    ++i;
    while (i < line.size() && continues(line[i])) ++i;
    --n;
  }
  return i;
}

// Tabs become blanks, and what a terminal would act on a question mark, so that every code point takes the one column
// that it has in `column`.
std::string one_column_each(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    size_t end = i + 1;
    while (end < text.size() && continues(text[end])) ++end;
    const std::string_view cp = std::string_view(text).substr(i, end - i);
    if (cp == "\t") {
      out += ' ';
    } else if (cp.size() == 1 && cp[0] >= ' ' && cp[0] < 0x7F) {
      out += cp;
    } else {
      out += printable(cp) == cp ? cp : std::string_view("?");
    }
    i = end;
  }
  return out;
}

}  // namespace

uint32_t code_points(std::string_view text) {
  uint32_t n = 0;
  for (const char c : text) n += continues(c) ? 0 : 1;
  return n;
}

SourceText::SourceText(std::string file, std::string_view text) : file_(std::move(file)), text_(text) {
  starts_.push_back(0);
  for (size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n') starts_.push_back(i + 1);
  }
}

size_t SourceText::line_index(size_t offset) const {
  return static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), offset) - starts_.begin()) - 1;
}

LineColumn SourceText::locate(size_t offset) const {
  offset = std::min(offset, text_.size());
  const size_t line = line_index(offset);
  LineColumn at;
  at.line = static_cast<uint32_t>(line + 1);
  at.column = code_points(text_.substr(starts_[line], offset - starts_[line])) + 1;
  return at;
}

size_t SourceText::offset_of(uint32_t line, uint32_t column) const {
  if (line == 0 || line > starts_.size()) return text_.size();
  const size_t start = starts_[line - 1];
  return start + byte_of(line_at(start), column == 0 ? 0 : column - 1);
}

std::string_view SourceText::line_at(size_t offset) const {
  const size_t line = line_index(std::min(offset, text_.size()));
  const size_t start = starts_[line];
  size_t end = line + 1 < starts_.size() ? starts_[line + 1] - 1 : text_.size();
  if (end > start && text_[end - 1] == '\r') --end;
  return text_.substr(start, end - start);
}

Diagnostic SourceText::diagnose(Diagnostic::Level level, std::string_view code, size_t begin, size_t end,
                                std::string message, std::string help) const {
  begin = std::min(begin, text_.size());
  end = std::clamp(end, begin, text_.size());
  const LineColumn at = locate(begin);
  Diagnostic d;
  d.level = level;
  d.code = code;
  d.file = file_;
  d.line = at.line;
  d.column = at.column;
  d.message = printable(message);
  d.help = printable(help);

  const std::string_view line = line_at(begin);
  const size_t line_start = starts_[line_index(begin)];
  const size_t line_end = line_start + line.size();
  d.width = begin < line_end ? std::max(1u, code_points(text_.substr(begin, std::min(end, line_end) - begin))) : 1u;

  const uint32_t columns = code_points(line);
  uint32_t first = 0;  // of the piece that is shown
  if (columns > kExcerptColumns && at.column > kExcerptColumns / 2) {
    first = std::min(at.column - kExcerptColumns / 4, columns);
  }
  const size_t from = byte_of(line, first);
  const size_t to = from + byte_of(line.substr(from), kExcerptColumns);
  d.excerpt = one_column_each(to_utf8(line.substr(from, to - from)));
  d.excerpt_column = at.column - first;
  d.width = std::min(d.width, kExcerptColumns);
  return d;
}

}  // namespace fb::compile
