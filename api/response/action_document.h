// A response action as Kibana's clients read it (ActionDetails), with what Firebreak knows besides under "firebreak".
// Pure.
#pragma once

#include <string>
#include <string_view>

#include "engine/record/response_actions.h"

namespace fb::api {

// "isolate" | "unisolate".
std::string_view kibana_command(Verb verb);
// One JSON object. `outputs` is there with `with_outputs` only; isolations have none, so it is empty.
std::string action_document(const ResponseEntry& entry, bool with_outputs);
// The same in the log of one endpoint: what was asked for, and one endpoint's answer once its part is over.
std::string log_action_document(const ResponseEntry& entry);
std::string log_response_document(const ResponseEntry& entry, const ResponsePart& part);
// {"isolate":1}: only what there is.
std::string pending_document(const OpenCounts& counts);
// "healthy" | "offline" | "unhealthy".
std::string_view kibana_status(AgentStatus status);

}  // namespace fb::api
