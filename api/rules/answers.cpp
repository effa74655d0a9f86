#include "api/rules/answers.h"

#include "api/api.h"

namespace fb::api {

net::Response answer(const RuleRefusal& refusal) {
  if (!refusal.siem) return problem(refusal.status, refusal.messages.front());
  // What is wrong with a rule's meaning is a list; one finding of a handler is a text, as in Kibana.
  if (refusal.is_list || refusal.messages.size() > 1) return siem_problems(refusal.status, refusal.messages);
  return siem_problem(refusal.status, refusal.messages.front());
}

net::Response answer(const RuleResult<RuleViewPtr>& rule) {
  return rule ? json(200, (*rule)->answer) : answer(rule.error());
}

RuleDesk* desk_of(const Call& call) {
  return call.parts.rules;
}

RuleAuthor author_of(const Call& call) {
  return {call.actor(), call.who.may(Privilege::isolate)};
}

net::Response no_desk() {
  return problem(503, "this service serves no rules");
}

}  // namespace fb::api
