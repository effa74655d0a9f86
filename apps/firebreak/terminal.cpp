#include "apps/firebreak/terminal.h"

#include <termios.h>
#include <unistd.h>

#include <unistd.h>
#include <iostream>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "engine/base/text.h"

namespace fb::cli {
namespace {

size_t width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

}  // namespace

bool stdout_is_terminal() {
  static const bool is = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  return is;
}

std::string paint(Paint p, std::string_view text) {
  if (!stdout_is_terminal() || p == Paint::plain) return std::string(text);
  const char* code = "0";
  switch (p) {
    case Paint::plain:
      break;
    case Paint::bold:
      code = "1";
      break;
    case Paint::dim:
      code = "2";
      break;
    case Paint::red:
      code = "31";
      break;
    case Paint::yellow:
      code = "33";
      break;
    case Paint::green:
      code = "32";
      break;
    case Paint::blue:
      code = "34";
      break;
  }
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

Paint paint_of(std::string_view word) {
  if (word == "isolated" || word == "critical" || word == "failed" || word == "offline") return Paint::red;
  if (word == "high" || word == "awaiting_approval" || word == "blocked" || word == "unhealthy" || word == "expired") {
    return Paint::yellow;
  }
  if (word == "verified" || word == "online" || word == "would_act") return Paint::green;
  if (word == "dry_run" || word == "joined" || word == "unknown") return Paint::dim;
  return Paint::plain;
}

int complain(std::string_view message, int code) {
  std::fflush(stdout);
  std::fprintf(stderr, "firebreak: %s\n", std::string(message).c_str());
  return code;
}

int complain(const Error& error, int code) {
  return complain(error.describe(), code);
}

Table::Table(std::vector<std::string> head) : head_(std::move(head)) {}

void Table::row(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

void Table::print() const {
  std::vector<size_t> widths;
  for (const std::string& h : head_) widths.push_back(width(h));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  const auto line = [&](const std::vector<std::string>& cells, bool is_head) {
    std::string out;
    for (size_t i = 0; i < cells.size(); ++i) {
      out += is_head ? paint(Paint::bold, cells[i]) : paint(paint_of(cells[i]), cells[i]);
      if (i + 1 < cells.size()) out.append(widths[i] - width(cells[i]) + 2, ' ');
    }
    std::printf("%s\n", out.c_str());
  };
  line(head_, true);
  for (const auto& row : rows_) line(row, false);
}

std::string grouped(uint64_t n) {
  std::string digits = std::to_string(n);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

std::string shortened(std::string_view text, size_t code_points) {
  if (width(text) <= code_points) return std::string(text);
  size_t at = 0;
  for (size_t n = 0; at < text.size(); ++at) {
    if ((static_cast<uint8_t>(text[at]) & 0xC0) != 0x80 && ++n == code_points) break;
  }
  return std::string(text.substr(0, at)) + "\xE2\x80\xA6";
}

std::string read_secret(const std::string& prompt) {
  termios before{};
  const bool hidden = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &before) == 0;
  if (hidden) {
    termios quiet = before;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    std::fprintf(stderr, "%s: ", prompt.c_str());
  }
  std::string line;
  std::getline(std::cin, line);
  if (hidden) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    std::fputc('\n', stderr);
  }
  return line;
}

}  // namespace fb::cli
