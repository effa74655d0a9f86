// What the operating commands and the response console share: the service's answers as text, tables of them, and
// following an action to its end. Prints to standard output; one thread.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "apps/firebreak/answers.h"
#include "apps/firebreak/client.h"
#include "engine/base/result.h"

namespace fb::cli {

using Json = nlohmann::ordered_json;

// A value as a person reads it; "-" when it is absent, null or empty.
std::string text_of(const Json& line, const char* key);
// True for a state that is no success and that nothing will change any more.
bool ended_badly(const std::string& status);

// "WEB-1 (a1)", or "a1" where the name is not known.
std::string host_of(const Json& action);
// "isolate WEB-1 (a1): verified (guard), detail", in the state's colour.
void print_action(const Json& action);
// "approved: isolate WEB-1 (a1), asked for by rule:r; it goes out now", from an action that was just decided.
// An approval that found another isolation of the same host under way, which does the same.
bool was_joined(const Json& action);
void print_decision(bool approve, const Json& action);
// What a state that is not the end means and what goes on; nothing for the others.
void print_outlook(const Json& action);

// Host names by endpoint id.
using HostNames = std::map<std::string, std::string>;
// Those of the endpoints in a list's NDJSON. Names are an extra: what can't be asked is left out.
HostNames host_names(ApiClient& client, const std::string& ndjson);
// NDJSON of a list (alerts, actions, endpoints, breakers, deadletters) as a table, or the words for an empty one.
// False: there is no such list.
bool print_list(const std::string& name, const std::string& ndjson, const HostNames& names = {});

// "2026-11-21T20:14:34.123Z" -> "2026-11-21 20:14:34", or "12 s ago" when that was less than a minute before `now_ms`.
std::string time_or_ago(const std::string& iso, int64_t now_ms);
// "30m", "1d" before now, or an ISO time, as milliseconds; the error names the option.
Result<int64_t> since_ms(const std::string& since);

// Asks until the action is over, waits for somebody, or the time is up; the newest answer. `changed` hears of every new
// state. `pause` waits and says false when the person has seen enough; without one it just waits.
struct FollowHooks {
  std::function<void(const Json&)> changed;
  std::function<bool(int ms)> pause;
  bool through_queue = false;  // wait for an agent that is offline, too
};
Result<Json> follow(ApiClient& client, const Json& first, int wait_s, const FollowHooks& hooks = {});

// Sends isolate or release for a host; the action as the service took it.
Result<Json> submit_action(ApiClient& client, const std::string& verb, const std::string& host,
                           const std::string& comment, bool override_protected);

}  // namespace fb::cli
