// What a person sees: errors in one line, tables that line up, colours on a terminal only. Foreign text is made
// printable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::cli {

enum class Paint : uint8_t { plain, bold, dim, red, yellow, green, blue };

bool stdout_is_terminal();
// The text in colour when standard output is a terminal (and NO_COLOR is not set), else as it is.
std::string paint(Paint paint, std::string_view text);
Paint paint_of(std::string_view word);  // isolated red, verified green, ...

// "firebreak: message" on standard error; returns the exit code to end with.
int complain(std::string_view message, int code);
int complain(const Error& error, int code);

// One line of standard input, not shown when a person types it; then the prompt is on standard error.
std::string read_secret(const std::string& prompt);

// Columns separated by two blanks, as wide as their widest cell; the last one is not padded. Cells count code points.
class Table {
 public:
  explicit Table(std::vector<std::string> head);
  void row(std::vector<std::string> cells);
  void print() const;
  bool empty() const { return rows_.empty(); }

 private:
  std::vector<std::string> head_;
  std::vector<std::vector<std::string>> rows_;
};

// "12,345".
std::string grouped(uint64_t n);
std::string shortened(std::string_view text, size_t code_points);

}  // namespace fb::cli
