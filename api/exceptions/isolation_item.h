// What a host isolation exception must be, beyond the schema of every exception item.
#pragma once

#include <string>
#include <vector>

#include "api/exceptions/schema.h"
#include "engine/base/result.h"
#include "engine/record/exceptions.h"

namespace fb::api {

struct Parts;

// invalid_argument with Kibana's text, without the "EndpointArtifactError: " before it; so for all of them.
Status check_isolation_item(const ItemSent& item);
// Hosts can take the addresses that items open, beside all that they are told already and those before them; with
// `emptied` what they are told so far by items goes. In their places.
std::vector<Status> check_addresses(const std::vector<OpenAddress>& opens, bool emptied, const Parts& parts);
// Tags name policies that there are. `invalid policy ids: ...` otherwise.
Status check_policy_tags(const ItemSent& item, const Parts& parts);
// Takes the tags of policies that do not exist away (an import does so).
Status drop_unknown_policies(ItemSent& item, const Parts& parts);

}  // namespace fb::api
