// Addresses, patterns and multi-field views. Dates are in date.cpp, words in words.cpp.
#include "engine/ir/typed.h"

namespace fb::ir {

namespace {

bool parse_ipv4(std::string_view text, uint8_t* out) {
  size_t at = 0;
  for (int octet = 0; octet < 4; ++octet) {
    if (octet > 0) {
      if (at >= text.size() || text[at] != '.') return false;
      ++at;
    }
    const size_t first = at;
    unsigned value = 0;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9' && at - first < 3) {
      value = value * 10 + static_cast<unsigned>(text[at] - '0');
      ++at;
    }
    // 010 could be meant as octal; nobody writes addresses so.
    if (at == first || value > 255 || (at - first > 1 && text[first] == '0')) return false;
    out[octet] = static_cast<uint8_t>(value);
  }
  return at == text.size();
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool parse_ipv6(std::string_view text, Address& out) {
  std::array<uint16_t, 8> groups{};
  size_t count = 0;
  size_t gap = 9;  // where "::" stands
  size_t at = 0;
  if (text.size() < 2) return false;
  if (text[0] == ':') {
    if (text[1] != ':') return false;
    gap = 0;
    at = 2;
  }
  while (at < text.size()) {
    if (count == 8) return false;
    const std::string_view rest = text.substr(at);
    const size_t end = rest.find(':');
    if (end == std::string_view::npos && rest.find('.') != std::string_view::npos) {
      uint8_t v4[4];
      if (count > 6 || !parse_ipv4(rest, v4)) return false;
      groups[count++] = static_cast<uint16_t>(v4[0] << 8 | v4[1]);
      groups[count++] = static_cast<uint16_t>(v4[2] << 8 | v4[3]);
      at = text.size();
      break;
    }
    const std::string_view group = rest.substr(0, end);
    if (group.empty() || group.size() > 4) return false;
    unsigned value = 0;
    for (const char c : group) {
      const int digit = hex_value(c);
      if (digit < 0) return false;
      value = value << 4 | static_cast<unsigned>(digit);
    }
    groups[count++] = static_cast<uint16_t>(value);
    at += group.size();
    if (at == text.size()) break;
    ++at;  // the colon
    if (at == text.size()) return false;
    if (text[at] == ':') {
      if (gap != 9) return false;
      gap = count;
      ++at;
    }
  }
  if (gap == 9 ? count != 8 : count > 7) return false;
  const size_t missing = 8 - count;
  for (size_t i = 0; i < 8; ++i) {
    uint16_t value = 0;
    if (i < gap) {
      value = groups[i];
    } else if (i >= gap + missing) {
      value = groups[i - missing];
    }
    out[2 * i] = static_cast<uint8_t>(value >> 8);
    out[2 * i + 1] = static_cast<uint8_t>(value & 0xFF);
  }
  return true;
}

Address mapped(const uint8_t* v4) {
  Address address{};
  address[10] = address[11] = 0xFF;
  for (size_t i = 0; i < 4; ++i) address[12 + i] = v4[i];
  return address;
}

// The bytes of one code point from `at` on; a stray byte counts as one.
size_t code_point_width(std::string_view text, size_t at) {
  size_t width = 1;
  while (width < 4 && at + width < text.size() && (static_cast<unsigned char>(text[at + width]) & 0xC0) == 0x80)
    ++width;
  return width;
}

// Does the run of parts [part, last) match at `at`? No any_run within. Gives the end of the match.
bool run_matches_at(const Glob& glob, size_t part, size_t last, std::string_view value, size_t at, size_t* end) {
  for (; part < last; ++part) {
    if (glob[part].kind == GlobPart::Kind::any_one) {
      if (at >= value.size()) return false;
      at += code_point_width(value, at);
      continue;
    }
    const std::string& text = glob[part].text;
    if (value.size() - at < text.size() || value.compare(at, text.size(), text) != 0) return false;
    at += text.size();
  }
  *end = at;
  return true;
}

// Blanks as the query languages see them.
size_t blank_width(std::string_view text, size_t at) {
  const char c = text[at];
  if (c == ' ' || c == '\t' || c == '\r' || c == '\n') return 1;
  return c == '\xC2' && at + 1 < text.size() && text[at + 1] == '\xA0' ? 2 : 0;
}

}  // namespace

std::optional<Address> parse_address(std::string_view text) {
  uint8_t v4[4];
  if (parse_ipv4(text, v4)) return mapped(v4);
  Address v6{};
  if (parse_ipv6(text, v6)) return v6;
  return std::nullopt;
}

std::optional<AddressRange> parse_address_range(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  const auto address = parse_address(host);
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return AddressRange{*address, *address};

  const std::string_view digits = text.substr(slash + 1);
  const bool is_v4 = host.find(':') == std::string_view::npos;
  if (digits.empty() || digits.size() > 3) return std::nullopt;
  unsigned length = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    length = length * 10 + static_cast<unsigned>(c - '0');
  }
  if (length > (is_v4 ? 32u : 128u)) return std::nullopt;
  if (is_v4) length += 96;

  AddressRange range{*address, *address};
  for (unsigned bit = length; bit < 128; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80u >> (bit % 8));
    range.low[bit / 8] = static_cast<uint8_t>(range.low[bit / 8] & ~mask);
    range.high[bit / 8] = static_cast<uint8_t>(range.high[bit / 8] | mask);
  }
  return range;
}

bool glob_match(const Glob& glob, std::string_view value) {
  size_t part = 0;
  size_t at = 0;
  bool after_any = false;  // an any_run stands before the parts that come next
  while (true) {
    size_t last = part;
    while (last < glob.size() && glob[last].kind != GlobPart::Kind::any_run) ++last;
    const bool is_final = last == glob.size();
    size_t end = at;

    if (!after_any) {
      if (!run_matches_at(glob, part, last, value, at, &end)) return false;
      if (is_final) return end == value.size();
    } else if (is_final) {
      // The rest must sit at the very end: count its code points back from there.
      size_t start = value.size();
      for (size_t i = last; i-- > part;) {
        if (glob[i].kind == GlobPart::Kind::literal) {
          if (start < at + glob[i].text.size()) return false;
          start -= glob[i].text.size();
        } else {
          if (start <= at) return false;
          --start;
          for (int back = 0; back < 3 && start > at && (static_cast<unsigned char>(value[start]) & 0xC0) == 0x80;
               ++back)
            --start;
        }
      }
      return run_matches_at(glob, part, last, value, start, &end) && end == value.size();
    } else {
      // The leftmost place is as good as any later one.
      bool found = false;
      for (size_t start = at; start <= value.size();) {
        if (part < last && glob[part].kind == GlobPart::Kind::literal) {
          start = value.find(glob[part].text, start);
          if (start == std::string_view::npos) return false;
        }
        if (run_matches_at(glob, part, last, value, start, &end)) {
          found = true;
          break;
        }
        start += start < value.size() ? code_point_width(value, start) : 1;
      }
      if (!found) return false;
    }
    at = end;
    part = last + 1;
    after_any = true;
  }
}

FieldType viewed_type(View view, FieldType base) {
  switch (view) {
    case View::text:
      return FieldType::text;
    case View::caseless:
      return FieldType::keyword;
    case View::keyword:
      return base == FieldType::text ? FieldType::keyword : base;
    case View::plain:
      break;
  }
  return base;
}

Glob fold_glob(const Glob& glob) {
  Glob folded = glob;
  for (size_t i = 0; i < glob.size(); ++i) fold_case(glob[i].text, folded[i].text);
  return folded;
}

std::vector<TextClause> text_clauses(const Glob& glob) {
  std::vector<TextClause> clauses;
  Glob clause;
  const auto finish = [&] {
    if (clause.empty()) return;
    if (clause.size() == 1 && clause[0].kind == GlobPart::Kind::literal) {
      clauses.push_back({{}, words(clause[0].text)});
    } else {
      clauses.push_back({fold_glob(clause), {}});
    }
    clause.clear();
  };
  for (const GlobPart& part : glob) {
    if (part.kind != GlobPart::Kind::literal) {
      clause.push_back(part);
      continue;
    }
    size_t at = 0;
    while (at < part.text.size()) {
      const size_t blank = blank_width(part.text, at);
      if (blank > 0) {
        finish();
        at += blank;
        continue;
      }
      const size_t first = at;
      while (at < part.text.size() && blank_width(part.text, at) == 0) ++at;
      clause.push_back({GlobPart::Kind::literal, part.text.substr(first, at - first)});
    }
  }
  finish();
  return clauses;
}

PathView split_view(std::string_view path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return {std::string(path), View::plain};
  const std::string_view last = path.substr(dot + 1);
  View view = View::plain;
  if (last == "text") view = View::text;
  if (last == "caseless") view = View::caseless;
  if (last == "keyword") view = View::keyword;
  return {std::string(view == View::plain ? path : path.substr(0, dot)), view};
}

}  // namespace fb::ir
