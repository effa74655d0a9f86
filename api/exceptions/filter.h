// The `filter` of the exception routes: KQL whose fields are attributes of saved objects, judged over a list's or an
// item's document by the engine's own KQL. Immutable once made; thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/ir/ir.h"
#include "engine/record/exceptions.h"

namespace fb::api {

// The kinds of saved objects that a search looks at.
struct SearchedTypes {
  bool agnostic = false;
  bool single = false;
};

class ExceptionFilter {
 public:
  // invalid_argument with the text of the answer. An empty filter lets everything pass.
  static Result<ExceptionFilter> parse(std::string_view kql, SearchedTypes types, int64_t now_ms);
  bool matches(const ExceptionRow& row) const;
  bool is_empty() const { return query_.kind == ir::Node::Kind::always; }

 private:
  ir::Node query_;
  int64_t now_ms_ = 0;
};

// `search`: free text. Some word of it begins or is a word of the document.
bool has_word(const ExceptionRow& row, std::string_view search);

}  // namespace fb::api
