// GET lists as NDJSON, one object a line with the keys of the views; newest first.
#include <charconv>

#include "api/api.h"
#include "api/page_room.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/hosts.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/ir/typed.h"
#include "engine/record/queries.h"

namespace fb::api {
namespace {

constexpr int64_t kDefaultLimit = 50;
constexpr int64_t kMaxLimit = 100'000;

// The number of a query parameter within bounds, or nothing when it is not one.
std::optional<int64_t> number(const Call& call, const std::string& name, int64_t otherwise, int64_t most) {
  const std::string text = call.query(name);
  if (text.empty()) return otherwise;
  int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || v < 0 || v > most) return std::nullopt;
  return v;
}

template <class Row>
net::Response lines(const Result<std::vector<Row>>& rows) {
  if (!rows) return failed(rows.error());
  std::string body;
  for (const Row& row : *rows) {
    const std::string line = record::json_line(row);
    if (body.empty()) make_room_for_page(body, line.size(), rows->size());
    body += line;
    body += '\n';
  }
  return ndjson(std::move(body));
}

// What every list understands.
struct ListCall {
  Readers::Lease reader;
  int64_t limit = kDefaultLimit;
  int64_t skip = 0;
  std::string endpoint_id;  // of ?host=
  int64_t since_ms = 0;
};

Result<ListCall> open_list(const Call& call) {
  ListCall list;
  const auto limit = number(call, "limit", kDefaultLimit, kMaxLimit);
  const auto skip = number(call, "skip", 0, INT64_MAX);
  if (!limit || !skip)
    return fail(ErrorCode::invalid_argument, "limit takes a number from 0 to 100000, skip one from 0");
  list.limit = *limit;
  list.skip = *skip;
  FB_TRY(list.reader, call.reader());
  if (const std::string host = call.query("host"); !host.empty()) {
    FB_TRY(list.endpoint_id, one_endpoint(*list.reader, host));
  }
  if (const std::string since = call.query("since"); !since.empty()) {
    const auto ms = ir::parse_date_value(since);
    if (!ms) return fail(ErrorCode::invalid_argument, "since takes an ISO 8601 time");
    list.since_ms = *ms;
  }
  return list;
}

net::Response alerts(const Call& call) {
  auto list = open_list(call);
  if (!list) return failed(list.error());
  record::AlertFilter filter;
  filter.rule_id = call.query("rule");
  filter.endpoint_id = list->endpoint_id;
  filter.from_ms = list->since_ms;
  filter.limit = list->limit;
  filter.skip = list->skip;
  return lines(list->reader->alerts(filter));
}

net::Response actions(const Call& call) {
  auto list = open_list(call);
  if (!list) return failed(list.error());
  record::ActionFilter filter;
  const auto add = [](std::vector<std::string>& to, std::string value) {
    if (!value.empty()) to.push_back(std::move(value));
  };
  add(filter.endpoint_ids, list->endpoint_id);
  add(filter.commands, call.query("command"));
  add(filter.statuses, call.query("status"));
  filter.rule_id = call.query("rule");
  filter.alert_id = call.query("alert");
  filter.from_ms = list->since_ms;
  filter.limit = list->limit;
  filter.skip = list->skip;
  return lines(list->reader->actions(filter));
}

// The view's keys, the tags and what keeps the agent from its work.
net::Response lines_for_people(const std::vector<record::EndpointRow>& rows) {
  const auto text = [](const nlohmann::json& words) { return dumped(words); };
  std::string body;
  for (const record::EndpointRow& row : rows) {
    body += record::json_line(row);
    body.back() = ',';
    body += "\"tags\":" + text(row.tags) + ",\"problems\":" + text(row.problems) + "}\n";
  }
  return ndjson(std::move(body));
}

net::Response endpoints(const Call& call) {
  auto list = open_list(call);
  if (!list) return failed(list.error());
  auto rows = list->endpoint_id.empty() ? list->reader->endpoints() : list->reader->find_endpoints(list->endpoint_id);
  // An id may be another host's name: only the one that was meant.
  if (rows && !list->endpoint_id.empty()) {
    std::erase_if(*rows, [&](const record::EndpointRow& e) { return e.endpoint_id != list->endpoint_id; });
  }
  return rows && call.query("tags") == "1" ? lines_for_people(*rows) : lines(rows);
}

net::Response dead_letters(const Call& call) {
  auto list = open_list(call);
  if (!list) return failed(list.error());
  return lines(list->reader->dead_letters(list->limit, list->skip));
}

}  // namespace

void add_lists_routes(Router& router) {
  router.add("GET", "/api/firebreak/alerts", Privilege::alerts_read, alerts);
  router.add("GET", "/api/firebreak/actions", Privilege::actions_read, actions);
  router.add("GET", "/api/firebreak/endpoints", Privilege::endpoints_read, endpoints);
  router.add("GET", "/api/firebreak/deadletters", Privilege::alerts_read, dead_letters);
}

}  // namespace fb::api
