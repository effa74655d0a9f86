// A rule as clients send it -> a rule as it is kept and answered: keys checked one by one, defaults filled in, what
// only an answer may say left out. Nothing here knows what a query means; that is the compiler's. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tl/expected.hpp"

namespace fb::api {

// Why a request about rules is refused, in one of the two shapes of an error.
struct RuleRefusal {
  int status = 400;
  bool siem = false;  // else the platform's
  std::vector<std::string> messages;
  bool is_list = false;  // the messages go out as a list, however many: what a rule's meaning is refused for
};
RuleRefusal refuse(int status, std::string message);         // Siem shape
RuleRefusal refuse_meaning(std::vector<std::string> found);  // Siem shape, a list, 400
RuleRefusal refuse_body(std::vector<std::string> problems);  // "[request body]: ...", 400

struct ShapedRule {
  std::string doc;  // JSON: every key but those that the desk stamps (id, times, people, revision)
  std::string id;   // as the client named it; "" = not at all
  std::string rule_id;
  std::vector<std::string> left_out;  // keys that no rule has
};

// A whole rule: what POST, PUT and an import send.
tl::expected<ShapedRule, RuleRefusal> shape_rule(std::string_view body);
// What PATCH sends, laid over the rule as it stands. null takes a key away.
tl::expected<ShapedRule, RuleRefusal> patch_rule(std::string_view standing, std::string_view body);

// What the engine reads of a kept rule: one line of JSON without answers' keys, so that its hash tells its meaning.
std::string engine_text(std::string_view doc);

// A note about a key that is kept but changes nothing: {field, message}.
struct RuleNotice {
  std::string field;
  std::string message;
};
std::vector<RuleNotice> notices_of(std::string_view doc);

}  // namespace fb::api
