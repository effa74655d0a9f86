// The notifications of the service, wired: the record as their trail, the config as their settings.
#pragma once

#include <memory>
#include <vector>

#include "actions/notify/notifier.h"
#include "actions/notify/sink.h"
#include "engine/base/clock.h"
#include "engine/base/metrics.h"
#include "engine/base/result.h"
#include "engine/config/config.h"
#include "engine/record/store.h"

namespace fb::cli {

// The sinks that the config sets up; the error names the key.
Result<std::vector<notify::Subscription>> notification_sinks(const Config& config, const Clock& clock);

// What can be known of the notifications before anything is sent: the sinks as the service makes them (secrets
// readable, addresses of mail, names of events), and the form of each URL. Asks no name server.
Status check_notifications(const Config& config, const Clock& clock);

// Starts them, and the reminders of standing isolations. Everything given outlives the notifier.
Result<std::unique_ptr<notify::Notifier>> start_notifications(const Config& config, Store& store, const Clock& clock,
                                                              Metrics& metrics);

}  // namespace fb::cli
