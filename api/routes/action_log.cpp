// One endpoint's actions and its answers to them as clients of Kibana before the history of actions list them: one
// entry for the action, one more once the endpoint's part of it is over.
#include <algorithm>

#include "api/api.h"
#include "api/response/action_document.h"
#include "api/response/query_values.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "engine/base/clock.h"

namespace fb::api {
namespace {

constexpr int64_t kMaxPageSize = 100;
constexpr int64_t kMaxActions = 10'000;  // the newest

struct Line {
  int64_t at_ms = 0;
  std::string text;
};

void add_lines(const ResponseEntry& entry, const std::string& agent, std::vector<Line>& lines) {
  for (const ResponsePart& part : entry.parts) {
    if (part.endpoint_id != agent || outcome_of(part.state) == Outcome::pending) continue;
    lines.push_back({part.finished_at_ms, log_response_document(entry, part)});
  }
  lines.push_back({entry.created_at_ms, log_action_document(entry)});
}

net::Response list(const Call& call) {
  const auto query = QueryValues::read(call.request.target, {"page", "page_size", "start_date", "end_date"});
  if (!query) return failed(query.error());
  const auto page = query->number("page", 1, 1, 1'000'000'000);
  if (!page) return failed(page.error());
  const auto page_size = query->number("page_size", 10, 1, kMaxPageSize);
  if (!page_size) return failed(page_size.error());
  const int64_t now = call.parts.clock.wall_ms();
  const auto from = query->date("start_date", QueryValues::Edge::first, now);
  if (!from) return failed(from.error());
  const auto to = query->date("end_date", QueryValues::Edge::last, now);
  if (!to) return failed(to.error());

  const std::string& agent = call.params.at("agent_id");
  ResponseFilter filter;
  filter.endpoint_ids = {agent};
  filter.from_ms = *from;
  filter.to_ms = *to;
  filter.limit = kMaxActions;
  const auto actions = call.parts.store.response_actions(filter);
  if (!actions) return failed(actions.error());
  std::vector<Line> lines;
  for (const ResponseEntry& entry : actions->entries) add_lines(entry, agent, lines);
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) { return a.at_ms > b.at_ms; });

  const size_t begin = std::min(static_cast<size_t>((*page - 1) * *page_size), lines.size());
  const size_t end = std::min(begin + static_cast<size_t>(*page_size), lines.size());
  std::string body = "{\"page\":" + std::to_string(*page) + ",\"pageSize\":" + std::to_string(*page_size);
  if (*from) body += ",\"startDate\":\"" + iso8601(**from) + "\"";
  if (*to) body += ",\"endDate\":\"" + iso8601(**to) + "\"";
  body += ",\"data\":[";
  for (size_t i = begin; i < end; ++i) body += (i == begin ? "" : ",") + lines[i].text;
  return json(200, body + "]}");
}

}  // namespace

void add_action_log_routes(Router& router) {
  router.add("GET", "/api/endpoint/action_log/{agent_id}", Privilege::actions_read, list).slow();
}

}  // namespace fb::api
