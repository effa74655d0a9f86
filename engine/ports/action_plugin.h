// A response-action plugin: how one kind of agent or EDR is told to isolate or release. Adding one is adding a folder
// in actions/ that defines `fb::ActionPlugin* make_action_plugin_<folder>(const PluginContext&)`. A plugin neither logs
// nor counts nor writes records: the dispatcher does it once for all of them. Called from the dispatcher's thread only,
// unless said.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/model/model.h"

namespace fb {

// A command to one endpoint, from a committed row.
struct Command {
  std::string action_id;
  Verb verb = Verb::isolate;
  std::string endpoint_id;
  // Orders the commands of one endpoint; an agent refuses an older one. One with the generation and the verb that it
  // applied last is carried out again if the endpoint is no longer in that state, and answered with what was read back.
  int64_t generation = 0;
  std::string comment;
  int64_t lease_ms = 0;  // 0 = until released
  int64_t expires_at_ms = 0;
  bool override_protected = false;  // two people agreed that `protected` does not hold it back
  int attempt = 0;                  // the how manieth sending of this action, from 1; 0 = of no action (a repair)
};

enum class SendOutcome : uint8_t {
  sent,      // on its way or waiting for the agent's next poll; a report follows
  offline,   // the endpoint is not there now
  accepted,  // the other side has it
};

// What an endpoint says about a command or about itself; may come at any time, from any thread of the plugin.
struct Report {
  enum class Kind : uint8_t {
    accepted,  // has the command (journalled)
    done,      // ran it; `observed` was read back after it
    failed,    // could not; `message` says why
    state,     // heartbeat: `observed` as it is now
    refused,   // stale generation, expired, not for this agent
  };
  Kind kind = Kind::state;
  std::string endpoint_id;
  std::string action_id;  // "" for state
  Isolation observed = Isolation::unknown;
  int64_t generation = 0;
  std::string message;
  int64_t at_ms = 0;
  // A refusal that is the plugin's own, never an endpoint's: the command was never given to its endpoint in this run,
  // since this stands against it and did not when it was sent. none = the endpoint's word.
  Guard withheld = Guard::none;
  int attempt = 0;  // of the command that was withheld
};
using ReportSink = std::function<void(Report)>;
// Messages of such refusals, for people.
inline constexpr std::string_view kProtectedSince = "protected since it was sent";
inline constexpr std::string_view kDuplicateSince = "duplicate_identity since it was sent";

class ActionPlugin {
 public:
  virtual ~ActionPlugin() = default;
  // Never blocks for longer than a queue insert or one bounded request. An error says whether it may be retried.
  virtual Result<SendOutcome> send(const Command& command) = 0;
  // What an isolated endpoint may still talk to has changed in the config. Thread-safe; returns at once.
  virtual void policy_changed() {}
};

}  // namespace fb
