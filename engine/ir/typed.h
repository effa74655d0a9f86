// What a literal means for a field's type, and how one value answers one test. The parsing of literals (numbers,
// addresses, dates with date math, words) lives here once; the oracle and the compiled programs both use it, but judge
// values with code of their own. Pure, thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/event/field_types.h"
#include "engine/event/number.h"
#include "engine/ir/ir.h"

namespace fb::ir {

// An address as 128 bits, IPv4 mapped into ::ffff:0:0/96.
using Address = std::array<uint8_t, 16>;
std::optional<Address> parse_address(std::string_view text);

// A closed range of addresses from "a", "a/n" (host bits ignored). ::/0 covers IPv4, 0.0.0.0/0 only IPv4.
struct AddressRange {
  Address low{};
  Address high{};
  bool contains(const Address& a) const { return low <= a && a <= high; }
};
std::optional<AddressRange> parse_address_range(std::string_view text);

// A point of a date literal: absolute, or relative to `now`. resolve() gives the closed-open millisecond bounds of the
// literal's own precision: [first, last].
struct DateLiteral {
  bool relative = false;  // begins with `now`
  int64_t first_ms = 0;   // absolute: missing parts filled down
  int64_t last_ms = 0;    // absolute: missing parts filled up (time 23:59:59.999, month and day still 01)
  struct Step {
    char op = '+';  // '+', '-' or '/' (round)
    int64_t count = 1;
    char unit = 'd';  // y M w d h H m s
  };
  std::vector<Step> math;

  struct Bounds {
    int64_t first_ms;
    int64_t last_ms;
  };
  Bounds resolve(int64_t now_ms) const;
};
std::optional<DateLiteral> parse_date_literal(std::string_view text);

// The time of a date value in an event: ISO 8601 or epoch milliseconds (number or text); finer digits cut.
std::optional<int64_t> parse_date_value(std::string_view text);

// The words of a text by the standard analyser (ASCII subset, see docs/languages/kuery.md): lower-cased.
std::vector<std::string> words(std::string_view text);
// The same without allocation: calls take(word_bytes) with lower-cased words held in `buffer`.
template <class Take>
void for_each_word(std::string_view text, std::string& buffer, Take&& take);
// Finds the next word from *at on: its byte range, not yet lower-cased. False at the end.
bool next_word(std::string_view text, size_t* at, size_t* begin, size_t* end);
// Lower-cases as the analyser and `.caseless` do: every code point's simple lower case; ASCII fast path.
void fold_case(std::string_view text, std::string& out);

// Does the pattern match the whole value? Linear in the value times the pattern, no recursion.
bool glob_match(const Glob& glob, std::string_view value);

// Multi-field views of a path: how `X.text`, `X.caseless`, `X.keyword` are read when the literal field is absent and X
// is a leaf.
enum class View : uint8_t { plain, text, caseless, keyword };
struct PathView {
  std::string base;  // X
  View view = View::plain;
};
// For "process.name.text" -> {"process.name", text}; plain when the last segment is none of the three words.
PathView split_view(std::string_view path);

// The type that a view gives to values of a field of type `base`: text is analysed; caseless is keyword over folded
// text; keyword is the field itself, except that a text is then compared whole; plain changes nothing.
FieldType viewed_type(View view, FieldType base);

// A pattern with its literal runs folded, for caseless views and for words.
Glob fold_glob(const Glob& glob);

// What a pattern asks of an analysed text: it falls apart at blanks, and any one clause is enough. A clause with a
// wildcard is a folded pattern over single words; one without is ordinary words, of which any one is enough.
struct TextClause {
  Glob glob;                       // empty: use `words`
  std::vector<std::string> words;  // folded
};
std::vector<TextClause> text_clauses(const Glob& glob);

template <class Take>
void for_each_word(std::string_view text, std::string& buffer, Take&& take) {
  size_t at = 0;
  size_t begin = 0;
  size_t end = 0;
  while (next_word(text, &at, &begin, &end)) {
    fold_case(text.substr(begin, end - begin), buffer);
    take(std::string_view(buffer));
  }
}

}  // namespace fb::ir
