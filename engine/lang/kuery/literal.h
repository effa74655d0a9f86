// One literal of a KQL query, quoted or not, and the places in a query where its keywords stand. Internal to
// lang/kuery.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ir/ir.h"

namespace fb::lang::kuery {

enum class Keyword : uint8_t { none, or_, and_, not_ };

struct Literal {
  ir::Span span;  // without the blanks that were trimmed
  bool quoted = false;
  bool is_null = false;  // exactly null, unquoted
  bool is_wild = false;  // has an unescaped star
  bool is_star = false;  // is exactly one unescaped star
  std::string text;      // unescaped; stars of a pattern stand as they are
  ir::Glob glob;         // when is_wild
};

// The text of a query with what a scanner asks about it; every answer is constant time.
class Text {
 public:
  explicit Text(std::string_view query);

  std::string_view query() const { return query_; }
  size_t size() const { return query_.size(); }
  bool at_end(size_t at) const { return at >= query_.size(); }
  // The byte at a place, NUL past the end.
  char byte(size_t at) const { return at < query_.size() ? query_[at] : '\0'; }
  // The first place from `at` on that holds no blank.
  size_t skip_blanks(size_t at) const { return at < query_.size() ? after_blanks_[at] : query_.size(); }
  bool is_blank(size_t at) const { return skip_blanks(at) != at && at < query_.size(); }

  // ` or ` and ` and ` with their blanks, or `not ` anywhere: which keyword begins here, and where what follows it
  // does.
  Keyword keyword_at(size_t at, size_t* after) const;
  bool has_word(size_t at, std::string_view lower_case) const;

  // The literal that begins at `at`, and where it ends (its trailing blanks included); nothing when none begins here.
  std::optional<Literal> literal_at(size_t at, size_t* end) const;

 private:
  std::optional<Literal> quoted_at(size_t at, size_t* end) const;
  std::optional<Literal> unquoted_at(size_t at, size_t* end) const;
  std::optional<uint32_t> hex4(size_t at) const;
  // A \uXXXX at `at` (the second half of a pair included); gives its width.
  size_t unicode_escape(size_t at, std::string& out) const;

  std::string_view query_;
  std::vector<uint32_t> after_blanks_;
};

}  // namespace fb::lang::kuery
