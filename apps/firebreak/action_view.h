// What the operating commands and the response console share: the service's answers as text, tables of them, and
// following an action to its end. Prints to standard output; one thread.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "apps/firebreak/client.h"
#include "engine/base/result.h"

namespace fb::cli {

using Json = nlohmann::ordered_json;

// A value as a person reads it; "-" when it is absent, null or empty.
std::string text_of(const Json& line, const char* key);
// The exit code for what the service refused.
int exit_code_of(const Error& error);
// True for a state that is no success and that nothing will change any more.
bool ended_badly(const std::string& status);

// "isolate a1: verified (guard), detail", in the state's colour.
void print_action(const Json& action);
// NDJSON of a list (alerts, actions, endpoints, breakers, deadletters) as a table, or the words for an empty one.
// False: there is no such list.
bool print_list(const std::string& name, const std::string& ndjson);

// Asks until the action is over, waits for somebody, or the time is up; the newest answer. `changed` hears of every new
// state. `pause` waits and says false when the person has seen enough; without one it just waits.
struct FollowHooks {
  std::function<void(const Json&)> changed;
  std::function<bool(int ms)> pause;
};
Result<Json> follow(ApiClient& client, const Json& first, int wait_s, const FollowHooks& hooks = {});

// Sends isolate or release for a host; the action as the service took it.
Result<Json> submit_action(ApiClient& client, const std::string& verb, const std::string& host,
                           const std::string& comment, bool override_protected);

}  // namespace fb::cli
