// Answers of the rule routes.
#pragma once

#include <string>

#include "api/router.h"
#include "api/rules/desk.h"

namespace fb::api {

net::Response answer(const RuleRefusal& refusal);
net::Response answer(const RuleResult<RuleViewPtr>& rule);

// The service's desk; null when it serves no rules (the route then answers no_desk()).
RuleDesk* desk_of(const Call& call);
// Who makes the call, as the desk takes it.
RuleAuthor author_of(const Call& call);
net::Response no_desk();

}  // namespace fb::api
