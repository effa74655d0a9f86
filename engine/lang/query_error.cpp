#include "engine/lang/query_error.h"

#include <algorithm>
#include <vector>

#include "engine/base/text.h"

namespace fb::lang {

namespace {

constexpr size_t kShown = 160;  // columns of the line that the picture shows

// The line cut into code points, each safe to print and one column wide, so that the caret stands right.
std::vector<std::string> columns_of(std::string_view line) {
  const std::string clean = to_utf8(line);
  std::vector<std::string> columns;
  for (size_t at = 0; at < clean.size();) {
    size_t width = 1;
    while (at + width < clean.size() && (static_cast<unsigned char>(clean[at + width]) & 0xC0) == 0x80) ++width;
    std::string one = clean.substr(at, width);
    if (one == "\t") {
      one = " ";
    } else if (printable(one) != one) {
      one = "\xEF\xBF\xBD";
    }
    columns.push_back(std::move(one));
    at += width;
  }
  return columns;
}

// The number in "file:LINE:column", or "" when there is none.
std::string_view line_number(std::string_view where) {
  const size_t last = where.rfind(':');
  if (last == std::string_view::npos || last == 0) return "";
  const size_t before = where.rfind(':', last - 1);
  if (before == std::string_view::npos) return "";
  const std::string_view digits = where.substr(before + 1, last - before - 1);
  return digits.find_first_not_of("0123456789") == std::string_view::npos ? digits : "";
}

}  // namespace

std::string_view to_string(QueryError::Kind kind) {
  switch (kind) {
    case QueryError::Kind::parse:
      return "parse";
    case QueryError::Kind::verification:
      return "verification";
    case QueryError::Kind::unsupported:
      return "unsupported";
  }
  return "parse";
}

std::string render(const QueryError& error, std::string_view where, std::string_view line_text, uint32_t column,
                   uint32_t width) {
  const std::string_view number = line_number(where);
  const std::string gutter(number.size() + 2, ' ');

  std::vector<std::string> columns = columns_of(line_text);
  size_t caret = column == 0 ? 0 : column - 1;
  caret = std::min(caret, columns.size());
  // A long line is shown around the caret only.
  size_t from = 0;
  size_t to = columns.size();
  if (columns.size() > kShown) {
    from = caret > kShown / 2 ? caret - kShown / 2 : 0;
    to = std::min(from + kShown, columns.size());
    from = to - kShown;
  }
  std::string shown;
  if (from > 0) shown += "...";
  const size_t offset = shown.size() + (caret - from);
  for (size_t i = from; i < to; ++i) shown += columns[i];
  const size_t room = to > caret ? to - caret : 1;
  const size_t carets = std::clamp<size_t>(width, 1, std::max<size_t>(room, 1));
  if (to < columns.size()) shown += "...";

  std::string out = "error[" + error.code + "]: " + printable(error.message) + "\n";
  out += gutter.substr(1) + "--> " + printable(where) + "\n";
  out += gutter + "|\n";
  out += " " + std::string(number) + " | " + shown + "\n";
  out += gutter + "| " + std::string(offset, ' ') + std::string(carets, '^') + "\n";
  if (!error.help.empty()) out += gutter + "= help: " + printable(error.help) + "\n";
  return out;
}

}  // namespace fb::lang
