// The KQL parser. Its grammar (README.md) is a PEG that, looked at closely, never needs to go back: once a parenthesis,
// a brace, a colon or a comparison has been read, no other way of reading the query can succeed. So one pass decides.
#include "engine/lang/kuery/kuery.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "engine/lang/kuery/literal.h"

namespace fb::lang {

namespace {

using kuery::Keyword;
using kuery::Literal;
using kuery::Text;

template <class T>
using Parsed = tl::expected<T, QueryError>;

// However the limit is set, the parser's own recursion stays far from the end of the stack.
constexpr uint32_t kDepthCeiling = 400;

// What kind of thing ended just before a place; it decides which help an error there gets.
enum class Before : uint8_t { nothing, quoted, unquoted, group };

class Parser {
 public:
  Parser(std::string_view query, const RuleLimits& limits)
      : text_(query), limits_(limits), depth_left_(std::min(limits.max_query_depth, kDepthCeiling)) {}

  Parsed<ir::Node> run() {
    at_ = text_.skip_blanks(0);
    if (text_.at_end(at_)) {
      ir::Node everything = ir::always();
      everything.span = {0, static_cast<uint32_t>(text_.size())};
      return everything;
    }
    auto node = parse_or(nullptr);
    if (!node) return node;
    at_ = text_.skip_blanks(at_);
    if (!text_.at_end(at_)) return expected_after_operand("the end of the query");
    return node;
  }

 private:
  // `field` is null in a query, and the field that a value list belongs to inside its parentheses.
  Parsed<ir::Node> parse_or(const Literal* field) { return parse_chain(field, Keyword::or_); }

  Parsed<ir::Node> parse_chain(const Literal* field, Keyword joiner) {
    std::vector<ir::Node> parts;
    const size_t begin = at_;
    while (true) {
      auto part = joiner == Keyword::or_ ? parse_chain(field, Keyword::and_) : parse_not(field);
      if (!part) return part;
      parts.push_back(std::move(*part));
      size_t after = 0;
      if (text_.keyword_at(at_, &after) != joiner) break;
      at_ = after;
      last_operator_ = joiner == Keyword::or_ ? "'or'" : "'and'";
    }
    if (parts.size() == 1) return std::move(parts.front());
    if (auto error = count_node(begin)) return tl::unexpected(std::move(*error));
    const ir::Span span{static_cast<uint32_t>(begin), parts.back().span.end};
    ir::Node node = joiner == Keyword::or_ ? ir::any_of(std::move(parts)) : ir::all_of(std::move(parts));
    node.span = span;
    return node;
  }

  Parsed<ir::Node> parse_not(const Literal* field) {
    const size_t begin = at_;
    size_t after = 0;
    if (text_.keyword_at(at_, &after) != Keyword::not_) return parse_operand(field);
    at_ = after;
    last_operator_ = "'not'";
    if (text_.keyword_at(at_, &after) == Keyword::not_) {
      return fail(at_, at_ + 3, "expected a condition after 'not' but found another 'not'",
                  "two negations need parentheses between them: not (not ...)");
    }
    auto operand = parse_operand(field);
    if (!operand) return operand;
    if (auto error = count_node(begin)) return tl::unexpected(std::move(*error));
    ir::Node node = ir::negate(std::move(*operand));
    node.span.begin = static_cast<uint32_t>(begin);
    return node;
  }

  Parsed<ir::Node> parse_operand(const Literal* field) {
    if (text_.byte(at_) == '(') return parse_group(field);
    if (field != nullptr) return parse_value(field, at_);
    return parse_expression();
  }

  // "(" ... ")", a query or a value list.
  Parsed<ir::Node> parse_group(const Literal* field) {
    const size_t open = at_;
    if (auto error = enter(open)) return tl::unexpected(std::move(*error));
    at_ = text_.skip_blanks(open + 1);
    last_operator_ = "'('";
    auto node = parse_or(field);
    if (!node) return node;
    at_ = text_.skip_blanks(at_);
    if (text_.byte(at_) != ')') return expected_after_operand("')'", open);
    ++at_;
    ++depth_left_;
    before_ = Before::group;
    node->span = {static_cast<uint32_t>(open), static_cast<uint32_t>(at_)};
    return node;
  }

  // field:{...}, field > x, field:x, or a value by itself.
  Parsed<ir::Node> parse_expression() {
    const size_t begin = at_;
    size_t end = 0;
    auto literal = text_.literal_at(at_, &end);
    if (!literal) return expected_operand();
    at_ = end;
    before_ = literal->quoted ? Before::quoted : Before::unquoted;
    const size_t sign = text_.skip_blanks(at_);
    const char c = text_.byte(sign);
    if (c == '<' || c == '>') return parse_range(*literal, begin, sign);
    if (c != ':') return make_value(nullptr, *literal, begin);

    at_ = text_.skip_blanks(sign + 1);
    last_operator_ = "':'";
    if (text_.byte(at_) == '{') return parse_nested(*literal, begin);
    if (text_.byte(at_) == '(') {
      auto list = parse_group(&*literal);
      if (list) list->span.begin = static_cast<uint32_t>(begin);
      return list;
    }
    return parse_value(&*literal, begin);
  }

  Parsed<ir::Node> parse_nested(const Literal& field, size_t begin) {
    const size_t open = at_;
    if (auto error = check_field(field)) return tl::unexpected(std::move(*error));
    if (auto error = enter(open)) return tl::unexpected(std::move(*error));
    at_ = text_.skip_blanks(open + 1);
    last_operator_ = "'{'";
    const std::string outer = std::exchange(prefix_, full_name(field.text));
    auto node = parse_or(nullptr);
    if (!node) return node;
    at_ = text_.skip_blanks(at_);
    if (text_.byte(at_) != '}') return expected_after_operand("'}'", open);
    ++at_;
    ++depth_left_;
    before_ = Before::group;
    if (auto error = count_node(begin)) return tl::unexpected(std::move(*error));
    if (field.is_wild) {
      // A pattern names no path of nested objects; as in Kibana, that is no error but finds nothing.
      prefix_ = outer;
      return never_at({static_cast<uint32_t>(begin), static_cast<uint32_t>(at_)});
    }
    ir::Node nested = ir::nested(std::exchange(prefix_, outer), std::move(*node));
    nested.span = {static_cast<uint32_t>(begin), static_cast<uint32_t>(at_)};
    return nested;
  }

  Parsed<ir::Node> parse_range(const Literal& field, size_t begin, size_t sign) {
    const bool less = text_.byte(sign) == '<';
    const bool inclusive = text_.byte(sign + 1) == '=';
    at_ = text_.skip_blanks(sign + (inclusive ? 2 : 1));
    const std::string shown = std::string("'") + (less ? "<" : ">") + (inclusive ? "='" : "'");
    size_t end = 0;
    const auto value = text_.literal_at(at_, &end);
    if (!value) {
      if (text_.byte(at_) == '"') return unclosed_quote();
      const bool list = text_.byte(at_) == '(';
      return fail(at_, width_at(at_), "expected one value after " + shown + found(at_),
                  list                      ? "a comparison takes one value: write a > 1 or a > 2"
                  : starts_not(at_)         ? "write not field > value; quote the value if it begins with this word"
                  : text_.byte(at_) == '\\' ? backslash_help()
                                            : "");
    }
    at_ = end;
    before_ = value->quoted ? Before::quoted : Before::unquoted;
    if (auto error = check_value(*value)) return tl::unexpected(std::move(*error));
    if (auto error = check_field(field)) return tl::unexpected(std::move(*error));
    if (auto error = count_node(begin)) return tl::unexpected(std::move(*error));
    const ir::Span span{static_cast<uint32_t>(begin), value->span.end};
    // A pattern is no bound, and null has no place in any order.
    if (value->is_wild || is_null(*value) || is_null(field)) return never_at(span);
    ir::Test test;
    test.field = field_of(field);
    test.op =
        less ? (inclusive ? ir::Op::less_equal : ir::Op::less) : (inclusive ? ir::Op::greater_equal : ir::Op::greater);
    test.literal = value->text;
    return ir::test(std::move(test), span);
  }

  // One value of a field; `begin` is where the field, or in a list the value, begins.
  Parsed<ir::Node> parse_value(const Literal* field, size_t begin) {
    size_t end = 0;
    const auto value = text_.literal_at(at_, &end);
    if (!value) return expected_value();
    at_ = end;
    before_ = value->quoted ? Before::quoted : Before::unquoted;
    return make_value(field, *value, begin);
  }

  Parsed<ir::Node> make_value(const Literal* field, const Literal& value, size_t begin) {
    if (auto error = check_value(value)) return tl::unexpected(std::move(*error));
    if (field != nullptr) {
      if (auto error = check_field(*field)) return tl::unexpected(std::move(*error));
      if (is_null(*field)) field = nullptr;  // `null:x` has no field: Kibana reads it as a query for the value alone
    }
    if (auto error = count_node(begin)) return tl::unexpected(std::move(*error));
    const ir::Span span{static_cast<uint32_t>(begin), value.span.end};
    if (is_null(value)) return never_at(span);

    ir::Test test;
    if (field == nullptr) {
      test.field.scope = ir::FieldRef::Scope::any;
    } else {
      test.field = field_of(*field);
    }
    if (value.is_star) {
      if (field == nullptr || field->is_star) {
        ir::Node everything = ir::always();
        everything.span = span;
        return everything;
      }
      test.op = ir::Op::exists;
    } else if (value.is_wild) {
      test.op = ir::Op::glob;
      test.glob = value.glob;
    } else {
      test.op = value.quoted ? ir::Op::phrase : ir::Op::equal;
      test.literal = value.text;
    }
    return ir::test(std::move(test), span);
  }

  ir::FieldRef field_of(const Literal& field) const {
    ir::FieldRef ref;
    if (!field.is_wild) {
      ref.name = full_name(field.text);
      return ref;
    }
    ref.scope = ir::FieldRef::Scope::pattern;
    ref.glob = field.glob;
    if (prefix_.empty()) return ref;
    if (ref.glob.front().kind == ir::GlobPart::Kind::literal) {
      ref.glob.front().text.insert(0, prefix_ + ".");
    } else {
      ref.glob.insert(ref.glob.begin(), {ir::GlobPart::Kind::literal, prefix_ + "."});
    }
    return ref;
  }

  std::string full_name(const std::string& name) const { return prefix_.empty() ? name : prefix_ + "." + name; }
  static bool is_null(const Literal& literal) { return literal.is_null && !literal.quoted; }

  static ir::Node never_at(ir::Span span) {
    ir::Node node = ir::never();
    node.span = span;
    return node;
  }

  // Limits.

  std::optional<QueryError> enter(size_t at) {
    if (depth_left_ == 0) {
      return error(at, at + 1, "query-too-deep",
                   "parentheses are nested more than " +
                       std::to_string(std::min(limits_.max_query_depth, kDepthCeiling)) + " deep",
                   "the limit is limits.max_query_depth");
    }
    --depth_left_;
    return std::nullopt;
  }

  std::optional<QueryError> count_node(size_t at) {
    if (nodes_++ < limits_.max_query_nodes) return std::nullopt;
    return error(at, width_at(at), "query-too-large",
                 "the query has more than " + std::to_string(limits_.max_query_nodes) + " conditions",
                 "the limit is limits.max_query_nodes");
  }

  std::optional<QueryError> check_value(const Literal& literal) const {
    if (!literal.is_wild || literal.text.size() <= limits_.max_pattern_bytes) return std::nullopt;
    return error(literal.span.begin, literal.span.end, "pattern-too-long",
                 "this pattern has " + std::to_string(literal.text.size()) + " bytes; at most " +
                     std::to_string(limits_.max_pattern_bytes) + " are allowed",
                 "the limit is limits.max_pattern_bytes");
  }

  // Each value of a list carries its field's name, so a long name would cost memory with every value.
  std::optional<QueryError> check_field(const Literal& field) const {
    const size_t bytes = prefix_.size() + 1 + field.text.size();
    if (bytes <= limits_.max_pattern_bytes) return std::nullopt;
    return error(field.span.begin, field.span.end, "field-name-too-long",
                 "this field name has more than " + std::to_string(limits_.max_pattern_bytes) + " bytes",
                 "the limit is limits.max_pattern_bytes");
  }

  // Errors.

  static QueryError error(size_t begin, size_t end, std::string code, std::string message, std::string help) {
    QueryError e;
    e.code = std::move(code);
    e.begin = static_cast<uint32_t>(begin);
    e.end = static_cast<uint32_t>(end);
    e.message = std::move(message);
    e.help = std::move(help);
    return e;
  }

  static tl::unexpected<QueryError> fail(size_t begin, size_t end, std::string message, std::string help) {
    return tl::unexpected(error(begin, end, "syntax", std::move(message), std::move(help)));
  }

  // Where what stands at `at` ends: a keyword, or one character; `at` itself at the end of the query.
  size_t width_at(size_t at) const {
    if (text_.at_end(at)) return at;
    if (starts_not(at)) return at + 3;
    size_t end = at + 1;
    while (!text_.at_end(end) && (static_cast<unsigned char>(text_.byte(end)) & 0xC0) == 0x80) ++end;
    return end;
  }

  bool starts_not(size_t at) const {
    size_t after = 0;
    return text_.keyword_at(at, &after) == Keyword::not_;
  }

  // The operator word that stands at `at` by itself, such as the `and` of `"b"and c`.
  std::string_view operator_at(size_t at) const {
    for (const std::string_view word : {"and", "or"}) {
      if (!text_.has_word(at, word)) continue;
      const size_t after = at + word.size();
      if (text_.at_end(after) || text_.is_blank(after) || text_.byte(after) == '(' || text_.byte(after) == ')')
        return word;
    }
    return "";
  }

  std::string found(size_t at) const {
    if (text_.at_end(at)) return " but the query ends";
    if (starts_not(at)) return " but found the keyword 'not'";
    if (const auto word = operator_at(at); !word.empty()) return " but found '" + std::string(word) + "'";
    if (text_.byte(at) == '\'') return " but found \"'\"";
    return " but found '" + printable(text_.query().substr(at, width_at(at) - at)) + "'";
  }

  tl::unexpected<QueryError> unclosed_quote() const {
    const std::string_view rest = text_.query().substr(at_);
    const size_t last = rest.find_last_of('"');
    const bool escaped = last > 0 && rest[last - 1] == '\\';
    return fail(at_, text_.size(), "this quoted value has no closing '\"'",
                escaped ? "\\\" is a quote inside the value; to end a value with a backslash write \\\\\""
                        : "add the closing quote, or escape this one as \\\"");
  }

  static std::string backslash_help() {
    return "unquoted, a backslash stands only before one of \\ ( ) : < > \" * { }, t, r, n, uXXXX, or, and, not; write "
           "\\\\ for a plain one, or quote the value";
  }

  // Help for a place where a value should begin.
  std::string help_for_value() const {
    switch (text_.byte(at_)) {
      case '\\':
        return backslash_help();
      case '<':
      case '>':
        return "a comparison stands in place of the colon: field > 5";
      case ':':
        return "a ':' that belongs to a value is written \\:, or the value is quoted";
      case '{':
        return "a '{' that belongs to a value is written \\{, or the value is quoted";
      case ')':
        return last_operator_ == "'('" ? "parentheses can't be empty" : "";
      default:
        break;
    }
    if (starts_not(at_))
      return "write not field:value, or field:(not value); quote the value if it begins with this word";
    if (text_.at_end(at_) && last_operator_ == "':'") return "write field:* to ask whether the field has a value";
    return "";
  }

  tl::unexpected<QueryError> expected_value() const {
    if (text_.byte(at_) == '"') return unclosed_quote();
    return fail(at_, width_at(at_), "expected a value after " + std::string(last_operator_) + found(at_),
                help_for_value());
  }

  tl::unexpected<QueryError> expected_operand() const {
    if (text_.byte(at_) == '"') return unclosed_quote();
    const std::string after =
        last_operator_.empty() ? std::string("at the start") : "after " + std::string(last_operator_);
    std::string help;
    switch (text_.byte(at_)) {
      case ')':
        help = last_operator_ == "'('" ? "parentheses can't be empty" : "";
        break;
      case '}':
        help = last_operator_ == "'{'" ? "braces can't be empty" : "";
        break;
      case ':':
      case '<':
      case '>':
        help = "a field name must stand before it";
        break;
      case '{':
        help = "braces follow the path of nested objects: path:{ field:value }";
        break;
      case '\\':
        help = backslash_help();
        break;
      default:
        break;
    }
    return fail(at_, width_at(at_), "expected a field or a value " + after + found(at_), std::move(help));
  }

  // Something stands where only an operator, or `closer`, may.
  tl::unexpected<QueryError> expected_after_operand(const std::string& closer, size_t open = SIZE_MAX) const {
    const char c = text_.byte(at_);
    std::string help;
    if (text_.at_end(at_)) {
      if (open != SIZE_MAX) help = open_help(open);
    } else if (starts_not(at_)) {
      const bool mid_word = at_ > 0 && !is_boundary(text_.byte(at_ - 1));
      help = mid_word ? "'not' followed by a blank is the keyword even inside a word; quote the value"
                      : "put 'and' or 'or' before 'not', or quote the value that contains the word";
    } else if (open != SIZE_MAX && (c == ')' || c == '}')) {
      help = open_help(open);
    } else if (before_ != Before::unquoted && !operator_at(at_).empty()) {
      help = "a blank must stand before '" + std::string(operator_at(at_)) + "'";
    } else if (before_ == Before::quoted) {
      help = "the value ends at the quote before this; a quote inside a quoted value is written \\\"";
    } else if (before_ == Before::unquoted) {
      help = after_unquoted(c);
    } else if (c == ')' || c == '}') {
      help = "nothing is open that it could close";
    }
    return fail(at_, width_at(at_), "expected 'and', 'or' or " + closer + found(at_), std::move(help));
  }

  std::string open_help(size_t open) const {
    const LineColumn place = locate(text_.query(), open);
    return std::string("the '") + text_.byte(open) + "' at " + std::to_string(place.line) + ":" +
           std::to_string(place.column) + " is not closed";
  }

  std::string after_unquoted(char c) const {
    switch (c) {
      case '"':
        return "a quote inside an unquoted value is written \\\"; or quote the whole value and escape it there";
      case ':':
        return "a ':' inside a value is written \\: (an IPv6 address as fe80\\:\\:1), or the value is quoted";
      case '(':
        if (text_.has_word(at_ >= 3 ? at_ - 3 : 0, "not")) return "put a blank between 'not' and '('";
        return "a '(' inside a value is written \\(, or the value is quoted; before a group put 'and' or 'or'";
      case ')':
        return "nothing is open that ')' could close; inside a value it is written \\)";
      case '<':
      case '>':
      case '{':
      case '}':
        return std::string("a '") + c + "' inside a value is written \\" + c + ", or the value is quoted";
      case '\\':
        return backslash_help();
      default:
        return "";
    }
  }

  static bool is_boundary(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '(' || c == ')' || c == '"' || c == '}' ||
           c == '\xA0';
  }

  Text text_;
  const RuleLimits& limits_;
  uint32_t depth_left_;
  uint32_t nodes_ = 0;
  size_t at_ = 0;
  Before before_ = Before::nothing;
  std::string_view last_operator_;  // what an operand is missing after, for messages
  std::string prefix_;              // the path of the nested objects around, "" outside
};

size_t first_bad_byte(std::string_view query) {
  const std::string mended = to_utf8(query);
  const auto place = std::mismatch(query.begin(), query.end(), mended.begin(), mended.end());
  return static_cast<size_t>(place.first - query.begin());
}

}  // namespace

tl::expected<ir::Node, QueryError> parse_kuery(std::string_view query, const RuleLimits& limits) {
  QueryError error;
  if (query.size() > limits.max_query_bytes || query.size() >= UINT32_MAX) {
    error.code = "query-too-long";
    error.message = "the query has " + std::to_string(query.size()) + " bytes; at most " +
                    std::to_string(limits.max_query_bytes) + " are allowed";
    error.help = "the limit is limits.max_query_bytes";
    return tl::unexpected(std::move(error));
  }
  if (!is_utf8(query)) {
    error.code = "query-not-utf8";
    error.begin = static_cast<uint32_t>(first_bad_byte(query));
    error.end = error.begin + 1;
    error.message = "the query is not UTF-8";
    return tl::unexpected(std::move(error));
  }
  return Parser(query, limits).run();
}

}  // namespace fb::lang
