// The grammar of engine/lang/kuery/README.md once more, as the PEG it is: ordered choice, with going back, no
// cleverness. The parser must accept and refuse exactly the same queries.
#include <gtest/gtest.h>

#include <cctype>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "engine/lang/kuery/kuery.h"

namespace fb::lang {
namespace {

using At = std::optional<size_t>;

class Peg {
 public:
  explicit Peg(std::string_view text) : text_(text) {}

  bool accepts() const {
    size_t at = blanks(0);
    if (const At end = chain(at, "or", false)) at = *end;
    return blanks(at) == text_.size();
  }

 private:
  bool is(size_t at, char c) const { return at < text_.size() && text_[at] == c; }
  bool blank(size_t at) const { return is(at, ' ') || is(at, '\t') || is(at, '\r') || is(at, '\n'); }
  size_t blanks(size_t at) const {
    while (blank(at)) ++at;
    return at;
  }
  At word(size_t at, std::string_view lower) const {
    for (const char c : lower) {
      if (at >= text_.size() || std::tolower(static_cast<unsigned char>(text_[at])) != c) return std::nullopt;
      ++at;
    }
    return at;
  }
  // B+ word B+
  At joiner(size_t at, std::string_view lower) const {
    if (!blank(at)) return std::nullopt;
    const At end = word(blanks(at), lower);
    if (!end || !blank(*end)) return std::nullopt;
    return blanks(*end);
  }
  At negation(size_t at) const {
    const At end = word(at, "not");
    if (!end || !blank(*end)) return std::nullopt;
    return blanks(*end);
  }

  At chain(size_t at, std::string_view lower, bool list) const {
    const auto part = [&](size_t from) { return lower == "or" ? chain(from, "and", list) : not_(from, list); };
    At end = part(at);
    while (end) {
      const At next = joiner(*end, lower);
      const At more = next ? part(*next) : std::nullopt;
      if (!more) break;
      end = more;
    }
    return end;
  }
  At not_(size_t at, bool list) const {
    if (const At after = negation(at)) {
      if (const At end = list ? values(*after) : sub(*after)) return end;
    }
    return list ? values(at) : sub(at);
  }
  At group(size_t at, char open, char close, bool list) const {
    if (!is(at, open)) return std::nullopt;
    const At end = chain(blanks(at + 1), "or", list);
    if (!end || !is(blanks(*end), close)) return std::nullopt;
    return blanks(*end) + 1;
  }
  At sub(size_t at) const {
    if (const At end = group(at, '(', ')', false)) return end;
    const At field = literal(at);
    if (field && is(blanks(*field), ':')) {
      if (const At end = group(blanks(blanks(*field) + 1), '{', '}', false)) return end;
    }
    if (field) {
      const size_t sign = blanks(*field);
      for (const std::string_view op : {"<=", ">=", "<", ">"}) {
        if (text_.substr(sign, op.size()) != op) continue;
        if (const At end = literal(blanks(sign + op.size()))) return end;
        break;  // ordered: the first operator that fits is the operator
      }
      if (is(sign, ':')) {
        if (const At end = values(blanks(sign + 1))) return end;
      }
    }
    return field;
  }
  At values(size_t at) const {
    if (const At end = group(at, '(', ')', true)) return end;
    return literal(at);
  }

  At unicode(size_t at) const {
    if (!is(at, '\\') || !is(at + 1, 'u')) return std::nullopt;
    for (size_t i = at + 2; i < at + 6; ++i) {
      if (i >= text_.size() || std::isxdigit(static_cast<unsigned char>(text_[i])) == 0) return std::nullopt;
    }
    return at + 6;
  }
  At literal(size_t at) const {
    if (is(at, '"')) {
      size_t i = at + 1;
      while (i < text_.size() && text_[i] != '"') {
        if (const At end = unicode(i)) {
          i = *end;
        } else if (text_[i] == '\\' && i + 1 < text_.size() &&
                   std::string_view("trn\\\"").find(text_[i + 1]) != std::string_view::npos) {
          i += 2;
        } else {
          ++i;
        }
      }
      if (i < text_.size()) return i + 1;
    }
    size_t i = at;
    while (const At end = character(i)) i = *end;
    return i == at ? std::nullopt : At(i);
  }
  At character(size_t at) const {
    if (at >= text_.size()) return std::nullopt;
    if (text_[at] == '\\') {
      const std::string_view plain = "trn\\():<>\"*{}";
      if (at + 1 < text_.size() && plain.find(text_[at + 1]) != std::string_view::npos) return at + 2;
      if (const At end = unicode(at)) return end;
      for (const std::string_view keyword : {"or", "and", "not"}) {
        if (const At end = word(at + 1, keyword)) return end;
      }
      return std::nullopt;
    }
    if (text_[at] == '*') return at + 1;
    if (std::string_view("():<>\"{}").find(text_[at]) != std::string_view::npos) return std::nullopt;
    if (joiner(at, "or") || joiner(at, "and") || negation(at)) return std::nullopt;
    return at + 1;
  }

  std::string_view text_;
};

TEST(KueryPeg, ParserAcceptsExactlyWhatTheGrammarDoes) {
  const std::string_view pieces[] = {"a",    "b",    " ",     " ",  "  ",  " or ",  " and ", "not ", "or",      "and",
                                     "not",  "(",    ")",     "(",  ")",   ":",     ":",     "{",    "}",       "\"",
                                     "\\",   "*",    "<",     ">",  "=",   "\\n",   "\n",    "null", "\\u0041", "\\not",
                                     "NOT ", " Or ", "\"x\"", "a:", "a:(", "b:{a:", "no",    "t "};
  std::mt19937 random(20240315);
  std::uniform_int_distribution<size_t> pick(0, std::size(pieces) - 1);
  std::uniform_int_distribution<size_t> length(1, 12);
  size_t accepted = 0;
  constexpr size_t kQueries = 200'000;
  for (size_t n = 0; n < kQueries; ++n) {
    std::string query;
    for (size_t i = length(random); i > 0; --i) query += pieces[pick(random)];
    const auto parsed = parse_kuery(query);
    const bool expected = Peg(query).accepts();
    accepted += expected ? 1 : 0;
    ASSERT_EQ(parsed.has_value(), expected) << "[" << query << "] " << (parsed ? "" : parsed.error().message);
    if (parsed) continue;
    ASSERT_EQ(parsed.error().code, "syntax");
    ASSERT_LE(parsed.error().begin, parsed.error().end);
    ASSERT_LE(parsed.error().end, query.size());
    ASSERT_FALSE(parsed.error().message.empty());
  }
  // The pieces must make enough queries of either kind for the comparison to mean something.
  EXPECT_GT(accepted, kQueries / 50);
  EXPECT_LT(accepted, kQueries - kQueries / 5);
}

}  // namespace
}  // namespace fb::lang
