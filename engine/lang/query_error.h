// What is wrong with a query and where; the same shape for every language.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fb::lang {

struct QueryError {
  enum class Kind : uint8_t { parse, verification, unsupported };
  Kind kind = Kind::parse;
  std::string code;    // kebab-case, listed in docs/diagnostics.md: "syntax", "query-too-long", "query-too-deep", ...
  uint32_t begin = 0;  // byte range in the query
  uint32_t end = 0;
  std::string message;  // one line: what was found and what was expected
  std::string help;     // how to mend it, or ""
};

std::string_view to_string(QueryError::Kind kind);  // "parse" | "verification" | "unsupported"

// The compiler-style picture of an error: message, the line of the query, a caret below the column, help.
//   error[syntax]: expected a value after ':' but the query ends
//     --> rules/a.yml:7:22
//      |
//    7 | query: 'process.name:'
//      |                      ^
// `line_text` is the line as it stands in the file, `where` the "file:line:column" to name (may be "query:1:7").
std::string render(const QueryError& error, std::string_view where, std::string_view line_text, uint32_t column,
                   uint32_t width);

}  // namespace fb::lang
