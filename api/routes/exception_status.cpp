// Which endpoints a host isolation exception applies to, and which of those that are isolated have it in force.
#include <algorithm>
#include <map>

#include "api/exceptions/objects.h"
#include "api/exceptions/requests.h"
#include "api/routes/answers.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

bool applies(const OpenAddress& opens, const PolicyTarget& target) {
  const auto has = [](const std::vector<std::string>& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
  };
  return has(opens.os_types, target.os) && (has(opens.policies, "all") || has(opens.policies, target.policy_id));
}

net::Response status(const Call& call) {
  ExceptionStore store = call.parts.store.exceptions();
  const std::string& item_id = call.params.at("item_id");
  auto row = store.item(true, ExceptionStore::By::human_id, item_id);
  if (row && !*row) row = store.item(true, ExceptionStore::By::id, item_id);
  if (!row) return failed(row.error());
  if (!*row || !(*row)->opens) return problem(404, "no host isolation exception has the item_id '" + item_id + "'");
  const OpenAddress& opens = *(*row)->opens;
  const auto targets = store.policy_targets();
  if (!targets) return failed(targets.error());
  const bool expired = opens.expires_at_ms != 0 && opens.expires_at_ms <= call.parts.clock.wall_ms();
  Json endpoints = Json::array();
  int64_t applied = 0;
  int64_t pending = 0;
  int64_t left_out = 0;
  std::map<std::pair<std::string, std::string>, bool> open_at;  // platform and policy decide
  for (const PolicyTarget& t : *targets) {
    if (expired || !applies(opens, t)) continue;
    const char* state = "not_isolated";
    if (t.observed == "isolated") {
      const IsolationControl& isolation = call.parts.isolation;
      const bool in_force = isolation.wanted_digest && t.policy_digest == isolation.wanted_digest(t.endpoint_id);
      const auto [open, fresh] = open_at.try_emplace({t.os, t.policy_id}, true);
      if (fresh && isolation.leaves_open) open->second = isolation.leaves_open(t.endpoint_id, opens.address);
      if (!open->second) {
        state = "left_out";
        ++left_out;
      } else {
        state = in_force ? "applied" : "pending";
        ++(in_force ? applied : pending);
      }
    }
    endpoints.push_back({{"endpoint_id", t.endpoint_id},
                         {"hostname", t.hostname},
                         {"os", t.os},
                         {"policy_id", t.policy_id},
                         {"agent_status", t.agent_status},
                         {"state", state}});
  }
  const Json body{{"item_id", (*row)->item_id},     {"address", opens.address}, {"expired", expired},
                  {"applies_to", endpoints.size()}, {"applied", applied},       {"pending", pending},
                  {"left_out", left_out},           {"endpoints", endpoints}};
  return json(200, dumped(body));
}

}  // namespace

void add_exception_status_routes(Router& router) {
  router.add("GET", "/api/firebreak/exceptions/{item_id}/status", Privilege::exceptions_read, status);
}

}  // namespace fb::api
