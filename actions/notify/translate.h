// From a row of the audit to what people are told. Pure but for looking up the facts behind the row.
#pragma once

#include <optional>

#include "actions/notify/notification.h"
#include "actions/notify/trail.h"

namespace fb::notify {

// Nothing when nobody needs to be told. An error means: try again later.
Result<std::optional<Notification>> translate(const TrailRow& row, Trail& trail);

// What `firebreak notify test` sends.
Notification test_notification(int64_t now_ms, const std::string& who);

}  // namespace fb::notify
