// Endpoints as Kibana's clients list them: agent status, isolation wanted and observed, policy.
#include <algorithm>

#include "api/api.h"
#include "api/response/host_document.h"
#include "api/response/query_values.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "engine/base/json.h"

namespace fb::api {
namespace {

constexpr int64_t kMaxPageSize = 10'000;
constexpr size_t kMostAskedStatuses = 20;

const std::vector<std::string_view> kSortFields{"enrolled_at",
                                                "metadata.host.hostname",
                                                "host_status",
                                                "metadata.Endpoint.policy.applied.name",
                                                "metadata.Endpoint.policy.applied.status",
                                                "metadata.host.os.name",
                                                "metadata.host.ip",
                                                "metadata.agent.version",
                                                "last_checkin"};

struct Asked {
  int64_t page = 0;
  int64_t page_size = 10;
  std::string sort_field = "enrolled_at";
  bool descending = true;
  std::vector<std::string> statuses;
  std::optional<HostQuery> kuery;
};

Result<Asked> asked_of(const Call& call) {
  FB_TRY(const QueryValues query, QueryValues::read(call.request.target, {"page", "pageSize", "kuery", "hostStatuses",
                                                                          "sortField", "sortDirection"}));
  Asked asked;
  FB_TRY(asked.page, query.number("page", 0, 0, 1'000'000'000));
  FB_TRY(asked.page_size, query.number("pageSize", 10, 1, kMaxPageSize));
  FB_TRY(asked.statuses,
         query.list_of("hostStatuses", {"healthy", "offline", "updating", "unhealthy", "inactive", "unenrolled"}));
  if (asked.statuses.size() > kMostAskedStatuses) {
    return fail(ErrorCode::invalid_argument,
                "[request query.hostStatuses]: array size is [" + std::to_string(asked.statuses.size()) +
                    "], but cannot be greater than [" + std::to_string(kMostAskedStatuses) + "]");
  }
  FB_TRY(const auto fields, query.list_of("sortField", kSortFields));
  FB_TRY(const auto directions, query.list_of("sortDirection", {"asc", "desc"}));
  if (!fields.empty()) asked.sort_field = fields.back();
  asked.descending = directions.empty() || directions.back() == "desc";
  if (const std::string kuery = query.text("kuery"); kuery.find_first_not_of(" \t\n") != std::string::npos) {
    FB_TRY(asked.kuery, HostQuery::parse(kuery));
  }
  return asked;
}

// Smaller first. Numbers are compared as such, words as they are.
bool before(const EndpointDetails& a, const EndpointDetails& b, const std::string& field) {
  if (field == "enrolled_at") return a.enrolled_at_ms < b.enrolled_at_ms;
  if (field == "last_checkin") return a.endpoint.last_seen_ms < b.endpoint.last_seen_ms;
  if (field == "host_status") return host_status(a) < host_status(b);
  if (field == "metadata.host.hostname") return a.endpoint.hostname < b.endpoint.hostname;
  if (field == "metadata.host.os.name") return a.endpoint.os < b.endpoint.os;
  if (field == "metadata.host.ip") return a.endpoint.ips < b.endpoint.ips;
  if (field == "metadata.agent.version") return a.endpoint.agent_version < b.endpoint.agent_version;
  if (field == "metadata.Endpoint.policy.applied.name") return a.policy_name < b.policy_name;
  if (field == "metadata.Endpoint.policy.applied.status") return policy_status(a) < policy_status(b);
  return false;
}

// What the record orders by itself.
std::optional<EndpointPick::Order> stored_order(const std::string& field) {
  using Order = EndpointPick::Order;
  if (field == "enrolled_at") return Order::enrolled_at;
  if (field == "last_checkin") return Order::last_seen;
  if (field == "metadata.host.hostname") return Order::hostname;
  if (field == "metadata.host.os.name") return Order::os;
  if (field == "metadata.host.ip") return Order::ips;
  if (field == "metadata.agent.version") return Order::agent_version;
  return std::nullopt;
}

// Every endpoint is looked at, since a filter or an order asks for what only its document tells.
Result<EndpointPage> filtered(const Call& call, const Asked& asked) {
  FB_TRY(std::vector<EndpointDetails> all, call.parts.store.endpoint_details({}));
  std::vector<const EndpointDetails*> found;
  const auto asks_for = [&](std::string_view status) {
    return std::find(asked.statuses.begin(), asked.statuses.end(), status) != asked.statuses.end();
  };
  for (const EndpointDetails& d : all) {
    // The API's description calls unenrolled what the code calls inactive.
    const bool has_status = asked.statuses.empty() || asks_for(host_status(d)) || (d.revoked && asks_for("unenrolled"));
    if (!has_status) continue;
    if (asked.kuery) {
      FB_TRY(const bool fits, asked.kuery->matches(d, call.parts.clock.wall_ms()));
      if (!fits) continue;
    }
    found.push_back(&d);
  }
  std::stable_sort(found.begin(), found.end(), [&](const EndpointDetails* a, const EndpointDetails* b) {
    return asked.descending ? before(*b, *a, asked.sort_field) : before(*a, *b, asked.sort_field);
  });
  EndpointPage page;
  page.total = static_cast<int64_t>(found.size());
  const size_t begin = std::min(static_cast<size_t>(asked.page * asked.page_size), found.size());
  const size_t end = std::min(begin + static_cast<size_t>(asked.page_size), found.size());
  for (size_t i = begin; i < end; ++i) page.endpoints.push_back(*found[i]);
  return page;
}

net::Response list(const Call& call) {
  const auto asked = asked_of(call);
  if (!asked) return failed(asked.error());
  const auto order = stored_order(asked->sort_field);
  const bool direct = order && asked->statuses.empty() && !asked->kuery;
  const auto page = direct ? call.parts.store.endpoint_page(
                                 {*order, asked->descending, asked->page_size, asked->page * asked->page_size})
                           : filtered(call, *asked);
  if (!page) return failed(page.error());
  std::string data;
  for (const EndpointDetails& d : page->endpoints) data += (data.empty() ? "" : ",") + host_document(d);
  return json(200, "{\"data\":[" + data + "],\"total\":" + std::to_string(page->total) +
                       ",\"page\":" + std::to_string(asked->page) +
                       ",\"pageSize\":" + std::to_string(asked->page_size) + ",\"sortField\":\"" + asked->sort_field +
                       "\",\"sortDirection\":\"" + (asked->descending ? "desc" : "asc") + "\"}");
}

net::Response one(const Call& call) {
  const std::string& id = call.params.at("id");
  const auto found = call.parts.store.endpoint_details({id});
  if (!found) return failed(found.error());
  if (found->empty()) return problem(404, "Endpoint with id " + id + " not found");
  if (found->front().revoked) return problem(400, "The requested endpoint is unenrolled");
  return json(200, host_document(found->front()));
}

}  // namespace

void add_endpoint_metadata_routes(Router& router) {
  router.add("GET", "/api/endpoint/metadata", Privilege::endpoints_read, list).slow_beyond({"page", "pageSize"});
  router.add("GET", "/api/endpoint/metadata/{id}", Privilege::endpoints_read, one);
}

}  // namespace fb::api
