#include "apps/firebreak/rule_yaml.h"

#include <algorithm>

#include "engine/base/json.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

// In double quotes. What ends a line for some reader, or is not seen, is escaped; characters beyond the first plane
// stay as they are, since YAML does not put halves together as JSON does.
std::string in_quotes(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "\"";
  const auto escaped = [&out](uint32_t c) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[(c >> shift) & 15];
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<uint8_t>(text[i]);
    const auto at = [&](size_t k) { return i + k < text.size() ? static_cast<uint8_t>(text[i + k]) : uint8_t{0}; };
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7F) {
      escaped(c);
    } else if (c == 0xC2 && at(1) < 0xA0) {  // U+0080 to U+009F
      escaped(at(1));
      i += 1;
    } else if (c == 0xE2 && at(1) == 0x80 && (at(2) == 0xA8 || at(2) == 0xA9)) {  // U+2028, U+2029
      escaped(0x2000u + (at(2) & 0x3Fu));
      i += 2;
    } else if (c == 0xEF && at(1) == 0xBB && at(2) == 0xBF) {
      escaped(0xFEFF);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out + "\"";
}

// As a literal block only where that gives exactly the text back: printable lines, one line feed at the end.
bool is_block(const std::string& text) {
  if (text.size() < 2 || text.back() != '\n' || text[text.size() - 2] == '\n') return false;
  if (text.front() == ' ' || text.front() == '\n') return false;
  size_t lines = 0;
  for (const char c : text) {
    if (c == '\n') {
      ++lines;
    } else if (c < ' ' || c > '~') {
      return false;
    }
  }
  return lines > 1;
}

class Writer {
 public:
  std::string out;

  void value(const Json& v, size_t indent, bool after_dash) {
    if (v.is_object() && !v.empty()) {
      object(v, indent, after_dash);
    } else if (v.is_array() && !v.empty()) {
      out += '\n';
      for (const Json& item : v) {
        out += std::string(indent, ' ') + "-";
        value(item, indent + 2, true);
      }
    } else if (v.is_string() && is_block(v.get_ref<const std::string&>())) {
      block(v.get_ref<const std::string&>(), indent);
    } else {
      out += ' ' + (v.is_string() ? in_quotes(v.get_ref<const std::string&>()) : v.dump()) + '\n';
    }
  }

  void object(const Json& v, size_t indent, bool after_dash) {
    bool first = true;
    if (!after_dash) out += indent == 0 ? "" : "\n";
    for (const auto& [key, member] : v.items()) {
      out += first && after_dash ? " " : std::string(indent, ' ');
      first = false;
      const bool plain =
          !key.empty() &&
          std::all_of(key.begin(), key.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; }) &&
          key != "null" && key != "true" && key != "false" && key != "yes" && key != "no" && key != "on" &&
          key != "off" && key != "y" && key != "n";
      out += (plain ? key : in_quotes(key)) + ":";
      value(member, indent + 2, false);
    }
  }

 private:
  void block(const std::string& text, size_t indent) {
    out += " |\n";
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      if (end > at) out += std::string(indent, ' ') + text.substr(at, end - at);
      out += '\n';
      at = end + 1;
    }
  }
};

}  // namespace

std::string rule_yaml(std::string_view json) {
  const Json rule = parse_ordered_json(json);
  Writer writer;
  if (rule.is_object()) writer.object(rule, 0, false);
  return writer.out;
}

}  // namespace fb::cli
