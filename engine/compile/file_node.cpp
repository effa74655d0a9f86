#include "engine/compile/file_node.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "engine/base/text.h"

namespace fb::compile {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// How many bytes of the file the escape at raw[0] == '\\' takes, and the first byte that it stands for.
struct Escape {
  size_t raw = 2;
  size_t bytes = 1;  // of UTF-8 that it makes
  bool line_break = false;
};

size_t hex_digits(std::string_view raw, size_t from, size_t count, uint32_t* value) {
  *value = 0;
  size_t n = 0;
  while (n < count && from + n < raw.size()) {
    const char c = raw[from + n];
    uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A') + 10;
    } else {
      break;
    }
    *value = *value << 4 | digit;
    ++n;
  }
  return n;
}

size_t utf8_length(uint32_t cp) {
  return cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
}

Escape read_escape(std::string_view raw, Writing writing) {
  Escape e;
  const char c = raw.size() > 1 ? raw[1] : '\0';
  uint32_t cp = 0;
  if (c == '\n' || c == '\r' || ((c == ' ' || c == '\t') && writing == Writing::toml_basic)) {
    e.line_break = true;
    return e;
  }
  if (c == 'x' && writing == Writing::double_quoted) {
    e.raw = 2 + hex_digits(raw, 2, 2, &cp);
    e.bytes = utf8_length(cp);
  } else if (c == 'u') {
    e.raw = 2 + hex_digits(raw, 2, 4, &cp);
    if (writing == Writing::json && cp >= 0xD800 && cp < 0xDC00 && raw.substr(e.raw, 2) == "\\u") {
      e.raw += 2 + hex_digits(raw, e.raw + 2, 4, &cp);
      e.bytes = 4;
    } else {
      e.bytes = utf8_length(cp);
    }
  } else if (c == 'U') {
    e.raw = 2 + hex_digits(raw, 2, 8, &cp);
    e.bytes = utf8_length(cp);
  } else if (writing == Writing::double_quoted && (c == 'N' || c == '_')) {
    e.bytes = 2;
  } else if (writing == Writing::double_quoted && (c == 'L' || c == 'P')) {
    e.bytes = 3;
  }
  return e;
}

// Where the value's first byte may stand: past the opening quotes or the block's header line.
size_t content_start(std::string_view text, const FileNode& node) {
  size_t at = node.begin;
  switch (node.writing) {
    case Writing::single_quoted:
    case Writing::double_quoted:
    case Writing::json:
      return at + 1;
    case Writing::toml_basic:
    case Writing::toml_literal: {
      const char quote = at < text.size() ? text[at] : '"';
      const std::string fence(3, quote);
      return text.substr(at, 3) == fence && !node.text.empty() ? at + 3 : at + 1;
    }
    case Writing::block: {
      const size_t line_end = text.find('\n', at);
      return line_end == std::string_view::npos ? text.size() : line_end + 1;
    }
    default:
      return at;
  }
}

}  // namespace

const FileMember* FileNode::find(std::string_view key) const {
  for (const FileMember& m : members) {
    if (m.key == key) return &m;
  }
  return nullptr;
}

std::string_view kind_name(FileNode::Kind kind) {
  static constexpr std::array<std::string_view, 6> kNames = {"null",     "true or false", "a number",
                                                             "a string", "a list",        "a map"};
  return kNames[static_cast<size_t>(kind)];
}

size_t place_of(std::string_view text, const FileNode& node, size_t at) {
  const std::string& value = node.text;
  at = std::min(at, value.size());
  const bool escapes =
      node.writing == Writing::double_quoted || node.writing == Writing::json || node.writing == Writing::toml_basic;
  size_t raw = content_start(text, node);
  size_t word_end = raw;    // in the file, past the last character that is not white space
  bool broke_line = false;  // since then
  size_t v = 0;
  while (true) {
    const bool done = v >= at;
    // Only white space is left: the place is where it begins, on the line of the last word.
    if (done && (v >= value.size() || is_blank(value[v]))) {
      const bool tail = value.find_first_not_of(" \t\r\n", v) == std::string::npos;
      return tail && broke_line ? word_end : std::min(raw, text.size());
    }
    const char want = value[v];
    if (!is_blank(want)) {
      while (raw < text.size()) {
        if (is_blank(text[raw])) {
          ++raw;
        } else if (escapes && text[raw] == '\\' && read_escape(text.substr(raw), node.writing).line_break) {
          ++raw;
        } else {
          break;
        }
      }
    }
    if (raw >= text.size()) return word_end;
    if (done) return raw;
    if (escapes && text[raw] == '\\') {
      const Escape e = read_escape(text.substr(raw), node.writing);
      if (e.line_break) {
        ++raw;
        continue;
      }
      if (v + e.bytes > at) return raw;
      raw += e.raw;
      v += e.bytes;
      word_end = raw;
      broke_line = false;
      continue;
    }
    if (is_blank(want)) {
      // A fold may make one blank out of a line break and an indent, or several line breaks out of empty lines.
      if (is_blank(text[raw])) {
        if (text[raw] == '\r' && want == '\n' && raw + 1 < text.size() && text[raw + 1] == '\n') ++raw;
        broke_line = broke_line || text[raw] == '\n';
        ++raw;
      }
      ++v;
      continue;
    }
    if (text[raw] != want) return word_end;  // the writing is not what it was taken for: stay at the last sure place
    raw += node.writing == Writing::single_quoted && want == '\'' ? 2u : 1u;
    ++v;
    word_end = raw;
    broke_line = false;
  }
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          char escape[8];
          std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<uint8_t>(c)));
          out += escape;
        } else {
          out += c;
        }
    }
  }
  out += '"';
  return out;
}

std::string to_json(const FileNode& node) {
  switch (node.kind) {
    case FileNode::Kind::null:
      return "null";
    case FileNode::Kind::boolean:
      return node.truth ? "true" : "false";
    case FileNode::Kind::number:
      return node.text;
    case FileNode::Kind::string:
      return json_string(node.text);
    case FileNode::Kind::array: {
      std::string out = "[";
      for (const FileNode& item : node.items) {
        if (out.size() > 1) out += ',';
        out += to_json(item);
      }
      return out + "]";
    }
    case FileNode::Kind::object: {
      std::vector<const FileMember*> sorted;
      for (const FileMember& m : node.members) sorted.push_back(&m);
      std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->key < b->key; });
      std::string out = "{";
      for (const FileMember* m : sorted) {
        if (out.size() > 1) out += ',';
        out += json_string(m->key) + ":" + to_json(m->value);
      }
      return out + "}";
    }
  }
  return "null";
}

bool is_json_integer(std::string_view text) {
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_json_number(std::string_view text) {
  const size_t fraction = text.find_first_of(".eE");
  if (!is_json_integer(text.substr(0, fraction))) return false;
  if (fraction == std::string_view::npos) return true;
  size_t i = fraction;
  const auto digits = [&] {
    const size_t start = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return i > start;
  };
  if (text[i] == '.') {
    ++i;
    if (!digits()) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (!digits()) return false;
  }
  return i == text.size();
}

}  // namespace fb::compile
