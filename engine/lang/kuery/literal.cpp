#include "engine/lang/kuery/literal.h"

#include "engine/base/text.h"

namespace fb::lang::kuery {

namespace {

constexpr std::string_view kSpecial = "\\():<>\"*{}";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// What KQL trims from both ends of an unquoted value: white space in the sense of ECMAScript, which is more than the
// blanks of the grammar.
size_t space_width(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(at);
  if (first == ' ' || (first >= 0x09 && first <= 0x0D)) return 1;
  if (first == 0xC2 && byte(at + 1) == 0xA0) return 2;
  if (first < 0xE1 || first > 0xEF || at + 3 > text.size()) return 0;
  const unsigned code = (first & 0x0Fu) << 12 | (byte(at + 1) & 0x3Fu) << 6 | (byte(at + 2) & 0x3Fu);
  const bool is_space = code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
                        code == 0x202F || code == 0x205F || code == 0x3000 || code == 0xFEFF;
  return is_space ? 3 : 0;
}

void trim_front(std::string& text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t width = space_width(text, at);
    if (width == 0) break;
    at += width;
  }
  text.erase(0, at);
}

void trim_back(std::string& text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    if (space_width(text, start) != text.size() - start) break;
    text.resize(start);
  }
}

}  // namespace

Text::Text(std::string_view query) : query_(query), after_blanks_(query.size() + 1) {
  after_blanks_[query.size()] = static_cast<uint32_t>(query.size());
  for (size_t i = query.size(); i-- > 0;) {
    const char c = query[i];
    size_t width = c == ' ' || c == '\t' || c == '\r' || c == '\n' ? 1 : 0;
    if (static_cast<unsigned char>(c) == 0xC2 && static_cast<unsigned char>(byte(i + 1)) == 0xA0) width = 2;
    after_blanks_[i] = width == 0 ? static_cast<uint32_t>(i) : after_blanks_[i + width];
  }
}

bool Text::has_word(size_t at, std::string_view lower_case) const {
  for (size_t i = 0; i < lower_case.size(); ++i) {
    if (lower(byte(at + i)) != lower_case[i]) return false;
  }
  return true;
}

Keyword Text::keyword_at(size_t at, size_t* after) const {
  if (is_blank(at)) {
    const size_t word = skip_blanks(at);
    if (has_word(word, "or") && is_blank(word + 2)) {
      *after = skip_blanks(word + 2);
      return Keyword::or_;
    }
    if (has_word(word, "and") && is_blank(word + 3)) {
      *after = skip_blanks(word + 3);
      return Keyword::and_;
    }
    return Keyword::none;
  }
  if (has_word(at, "not") && is_blank(at + 3)) {
    *after = skip_blanks(at + 3);
    return Keyword::not_;
  }
  return Keyword::none;
}

std::optional<Literal> Text::literal_at(size_t at, size_t* end) const {
  return byte(at) == '"' ? quoted_at(at, end) : unquoted_at(at, end);
}

std::optional<uint32_t> Text::hex4(size_t at) const {
  if (at + 4 > query_.size()) return std::nullopt;
  uint32_t value = 0;
  for (size_t i = at; i < at + 4; ++i) {
    const char c = lower(query_[i]);
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
    value = value << 4 | static_cast<uint32_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return value;
}

size_t Text::unicode_escape(size_t at, std::string& out) const {
  if (byte(at) != '\\' || byte(at + 1) != 'u') return 0;
  const auto unit = hex4(at + 2);
  if (!unit) return 0;
  if (*unit < 0xD800 || *unit > 0xDFFF) {
    append_utf8(out, *unit);
    return 6;
  }
  // Two halves make one code point; a lone half is what no event can hold, and becomes U+FFFD.
  if (*unit < 0xDC00 && byte(at + 6) == '\\' && byte(at + 7) == 'u') {
    const auto low = hex4(at + 8);
    if (low && *low >= 0xDC00 && *low <= 0xDFFF) {
      append_utf8(out, 0x10000 + ((*unit - 0xD800) << 10) + (*low - 0xDC00));
      return 12;
    }
  }
  append_utf8(out, 0xFFFD);
  return 6;
}

std::optional<Literal> Text::quoted_at(size_t at, size_t* end) const {
  Literal literal;
  literal.quoted = true;
  for (size_t i = at + 1; i < query_.size();) {
    const char c = query_[i];
    if (c == '"') {
      *end = i + 1;
      literal.span = {static_cast<uint32_t>(at), static_cast<uint32_t>(i + 1)};
      return literal;
    }
    if (c == '\\') {
      const char next = byte(i + 1);
      if (next == 't' || next == 'r' || next == 'n') {
        literal.text += next == 't' ? '\t' : next == 'r' ? '\r' : '\n';
        i += 2;
        continue;
      }
      if (const size_t width = unicode_escape(i, literal.text)) {
        i += width;
        continue;
      }
      if (next == '\\' || next == '"') {
        literal.text += next;
        i += 2;
        continue;
      }
    }
    literal.text += c;
    ++i;
  }
  return std::nullopt;
}

std::optional<Literal> Text::unquoted_at(size_t at, size_t* end) const {
  Literal literal;
  size_t stars = 0;
  std::string run;  // plain text since the last star
  const auto flush = [&] {
    if (!run.empty()) literal.glob.push_back({ir::GlobPart::Kind::literal, run});
    run.clear();
  };

  size_t i = at;
  while (i < query_.size()) {
    const char c = query_[i];
    if (c == '\\') {
      const char next = byte(i + 1);
      if (next == 't' || next == 'r' || next == 'n') {
        run += next == 't' ? '\t' : next == 'r' ? '\r' : '\n';
        i += 2;
      } else if (next != '\0' && kSpecial.find(next) != std::string_view::npos) {
        run += next;
        i += 2;
      } else if (const size_t width = unicode_escape(i, run)) {
        i += width;
      } else if (has_word(i + 1, "or")) {
        run.append(query_, i + 1, 2);
        i += 3;
      } else if (has_word(i + 1, "and") || has_word(i + 1, "not")) {
        run.append(query_, i + 1, 3);
        i += 4;
      } else {
        break;
      }
      continue;
    }
    if (c == '*') {
      if (stars++ == 0) trim_front(run);
      flush();
      if (literal.glob.empty() || literal.glob.back().kind != ir::GlobPart::Kind::any_run) {
        literal.glob.push_back({ir::GlobPart::Kind::any_run, ""});
      }
      literal.text += '*';
      ++i;
      continue;
    }
    if (kSpecial.find(c) != std::string_view::npos) break;
    size_t after = 0;
    if (keyword_at(i, &after) != Keyword::none) break;
    run += c;
    ++i;
  }
  if (i == at) return std::nullopt;
  *end = i;

  // Blanks at the end are not part of the value, nor of what a message points at.
  size_t last = i;
  while (last > at) {
    size_t start = last - 1;
    while (start > at && (static_cast<unsigned char>(query_[start]) & 0xC0) == 0x80) --start;
    if (!is_blank(start)) break;
    last = start;
  }
  literal.span = {static_cast<uint32_t>(at), static_cast<uint32_t>(last)};

  if (stars == 0) {
    trim_front(run);
    trim_back(run);
    literal.text = std::move(run);
    literal.is_null = literal.text == "null";
    return literal;
  }
  trim_back(run);
  flush();
  literal.is_wild = true;
  literal.is_star = stars == 1 && literal.glob.size() == 1;
  literal.text.clear();
  for (const ir::GlobPart& part : literal.glob) {
    literal.text += part.kind == ir::GlobPart::Kind::any_run ? std::string("*") : part.text;
  }
  return literal;
}

}  // namespace fb::lang::kuery
