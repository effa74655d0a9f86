// Agents as Fleet lists them: Kibana's clients find an agent's id by its host this way. Only looks.
#include <algorithm>

#include "api/api.h"
#include "api/response/host_document.h"
#include "api/response/query_values.h"
#include "api/router.h"
#include "api/routes/answers.h"

namespace fb::api {
namespace {

constexpr int64_t kMaxPageSize = 10'000;

struct Asked {
  int64_t page = 1;
  int64_t per_page = 20;
  bool show_inactive = false;
  std::optional<HostQuery> kuery;
};

Result<Asked> asked_of(const Call& call) {
  // What is said of upgrades, metrics and sorting changes nothing here.
  FB_TRY(const QueryValues query,
         QueryValues::read(call.request.target, {"page", "perPage", "kuery", "showInactive", "showAgentless",
                                                 "showUpgradeable", "withMetrics", "getStatusSummary", "sortField",
                                                 "sortOrder", "searchAfter", "openPit", "pitId", "pitKeepAlive"}));
  Asked asked;
  FB_TRY(asked.page, query.number("page", 1, 1, 1'000'000'000));
  FB_TRY(asked.per_page, query.number("perPage", 20, 0, kMaxPageSize));
  FB_TRY(const auto inactive, query.list_of("showInactive", {"true", "false"}));
  asked.show_inactive = !inactive.empty() && inactive.back() == "true";
  if (const std::string kuery = query.text("kuery"); kuery.find_first_not_of(" \t\n") != std::string::npos) {
    FB_TRY(asked.kuery, HostQuery::parse(kuery));
  }
  return asked;
}

net::Response list(const Call& call) {
  const auto asked = asked_of(call);
  if (!asked) return failed(asked.error());
  auto all = call.parts.store.endpoint_details({});
  if (!all) return failed(all.error());
  std::stable_sort(all->begin(), all->end(), [](const EndpointDetails& a, const EndpointDetails& b) {
    return a.enrolled_at_ms > b.enrolled_at_ms;
  });
  const int64_t first = (asked->page - 1) * asked->per_page;
  int64_t total = 0;
  std::string items;
  for (const EndpointDetails& d : *all) {
    if (d.revoked && !asked->show_inactive) continue;
    if (asked->kuery) {
      const auto fits = asked->kuery->matches(d, call.parts.clock.wall_ms());
      if (!fits) return failed(fits.error());
      if (!*fits) continue;
    }
    if (total >= first && total < first + asked->per_page)
      items += (items.empty() ? "" : ",") + fleet_agent_document(d);
    ++total;
  }
  return json(200, "{\"items\":[" + items + "],\"total\":" + std::to_string(total) + ",\"page\":" +
                       std::to_string(asked->page) + ",\"perPage\":" + std::to_string(asked->per_page) + "}");
}

net::Response one(const Call& call) {
  const std::string& id = call.params.at("id");
  const auto found = call.parts.store.endpoint_details({id});
  if (!found) return failed(found.error());
  if (found->empty()) return problem(404, "Agent " + id + " not found");
  return json(200, "{\"item\":" + fleet_agent_document(found->front()) + "}");
}

}  // namespace

void add_fleet_agents_routes(Router& router) {
  router.add("GET", "/api/fleet/agents", Privilege::endpoints_read, list).slow();
  router.add("GET", "/api/fleet/agents/{id}", Privilege::endpoints_read, one);
}

}  // namespace fb::api
