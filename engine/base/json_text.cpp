#include "engine/base/json_text.h"

#include <array>
#include <charconv>

#include "engine/base/text.h"

namespace fb {
namespace {

// What a byte needs within a string: nothing, an escape, or a look at the bytes around it.
enum class Needs : uint8_t { nothing, escape, look };

constexpr std::array<Needs, 256> needs_of_bytes() {
  std::array<Needs, 256> table{};
  for (size_t i = 0; i < table.size(); ++i) {
    table[i] = i < 0x20 || i == '"' || i == '\\' ? Needs::escape : i < 0x80 ? Needs::nothing : Needs::look;
  }
  return table;
}
constexpr std::array<Needs, 256> kNeeds = needs_of_bytes();

void append_escape(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kHex[static_cast<uint8_t>(c) >> 4];
      out += kHex[static_cast<uint8_t>(c) & 0xF];
  }
}

void append_body(std::string& out, std::string_view text) {
  size_t plain = 0;  // where the bytes begin that go in as they are
  for (size_t i = 0; i < text.size(); ++i) {
    if (kNeeds[static_cast<uint8_t>(text[i])] != Needs::escape) continue;
    out.append(text.substr(plain, i - plain));
    append_escape(out, text[i]);
    plain = i + 1;
  }
  out.append(text.substr(plain));
}

bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (kNeeds[static_cast<uint8_t>(c)] == Needs::look) return false;
  }
  return true;
}

}  // namespace

void append_json(std::string& out, std::string_view text) {
  out += '"';
  if (is_ascii(text) || is_utf8(text)) {
    append_body(out, text);
  } else {
    append_body(out, to_utf8(text));
  }
  out += '"';
}

void JsonText::separate() {
  // What was written before tells whether this is the first member: a value never ends so.
  if (!out_.empty() && out_.back() != '{' && out_.back() != '[' && out_.back() != '\n') out_ += ',';
}

void JsonText::name(std::string_view key) {
  separate();
  append_json(out_, key);
  out_ += ':';
}

JsonText& JsonText::begin() {
  separate();
  out_ += '{';
  return *this;
}

JsonText& JsonText::begin(std::string_view key) {
  name(key);
  out_ += '{';
  return *this;
}

JsonText& JsonText::end() {
  out_ += '}';
  return *this;
}

JsonText& JsonText::begin_array(std::string_view key) {
  name(key);
  out_ += '[';
  return *this;
}

JsonText& JsonText::end_array() {
  out_ += ']';
  return *this;
}

JsonText& JsonText::text(std::string_view key, std::string_view value) {
  name(key);
  append_json(out_, value);
  return *this;
}

JsonText& JsonText::flag(std::string_view key, bool value) {
  return json(key, value ? "true" : "false");
}

JsonText& JsonText::digits(std::string_view key, int64_t value) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return json(key, {digits.data(), static_cast<size_t>(end.ptr - digits.data())});
}

JsonText& JsonText::null(std::string_view key) {
  return json(key, "null");
}

JsonText& JsonText::json(std::string_view key, std::string_view value) {
  name(key);
  out_.append(value);
  return *this;
}

JsonText& JsonText::texts(std::string_view key, const std::vector<std::string>& values) {
  begin_array(key);
  for (const std::string& value : values) item(value);
  return end_array();
}

JsonText& JsonText::json_item(std::string_view value) {
  separate();
  out_.append(value);
  return *this;
}

JsonText& JsonText::item(std::string_view text) {
  separate();
  append_json(out_, text);
  return *this;
}

}  // namespace fb
