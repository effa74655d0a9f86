// What exceptions lose when an endpoint policy goes.
#pragma once

#include <string>

#include "engine/base/result.h"
#include "engine/record/impl.h"

namespace fb::record {

// Takes the policy out of every item of the host isolation exceptions that names it, each with its row in the audit: a
// later policy of the same id must not open what was meant for another. Within the writer's transaction.
Status forget_policy(Txn& txn, const Store::Impl& impl, const std::string& policy_id, const std::string& who);

}  // namespace fb::record
