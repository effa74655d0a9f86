// Isolate and release by hand, approve and deny, one action's state.
#include <algorithm>

#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/routes/hosts.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/record/queries.h"

namespace fb::api {
namespace {

constexpr size_t kMaxComment = 30'000;
constexpr size_t kMaxKeyBytes = 256;

net::Response one_action(const Call& call, const std::string& action_id) {
  auto reader = call.reader();
  if (!reader) return failed(reader.error());
  record::ActionFilter filter;
  filter.action_ids = {action_id};
  const auto rows = (*reader)->actions(filter);
  if (!rows) return failed(rows.error());
  if (rows->empty()) return problem(404, "Action with id '" + action_id + "' not found.");
  auto line = parse_ordered_json(record::json_line(rows->front()));
  line["detail"] = rows->front().detail;
  const auto hosts = call.parts.store.endpoint_details({rows->front().endpoint_id});
  for (const EndpointDetails& host : hosts.value_or(std::vector<EndpointDetails>())) {
    line["hostname"] = host.endpoint.hostname;
  }
  return json(200, dumped(line));
}

net::Response submit(const Call& call) {
  const auto body = parse_json(call.request.body);
  if (!body.is_object()) return problem(400, "the body is not a JSON object");
  for (const auto& [key, value] : body.items()) {
    if (key != "command" && key != "host" && key != "comment" && key != "override") {
      return problem(400, "there is no field '" + key + "'");
    }
  }
  ActionRequest request;
  const auto verb = from_string<Verb>(body.value("command", ""));
  if (!verb) return problem(400, "command is isolate or release");
  const Privilege needed = *verb == Verb::isolate ? Privilege::isolate : Privilege::release;
  if (!call.who.may(needed)) {
    return problem(403, "this action is granted by the privilege '" + std::string(to_string(needed)) + "'");
  }
  request.verb = *verb;
  request.comment = body.value("comment", "");
  if (request.comment.size() > kMaxComment) return problem(400, "a comment has at most 30000 bytes");
  request.override_protected = body.value("override", false);
  if (request.override_protected && request.comment.empty())
    return problem(400, "an override needs a comment that says why");
  request.requested_by = call.actor();
  if (const auto it = call.request.headers.find("idempotency-key"); it != call.request.headers.end()) {
    if (it->second.empty() || it->second.size() > kMaxKeyBytes) {
      return problem(400, "[request headers.idempotency-key]: 1 to 256 bytes");
    }
    request.idempotency_key = it->second;
  }
  auto reader = call.reader();
  if (!reader) return failed(reader.error());
  const std::string host = body.value("host", "");
  if (host.empty()) return problem(400, "name the host");
  const auto endpoint = one_endpoint(**reader, host);
  if (!endpoint) return failed(endpoint.error());
  request.endpoint_ids = {*endpoint};
  const auto submitted = call.parts.store.submit(request);
  if (!submitted) return failed(submitted.error());
  call.parts.wake_dispatcher();
  return one_action(call, submitted->front().action_id);
}

// The one waiting action whose id begins so, or whose request's does: Kibana's clients know the request's only.
Result<std::string> full_id(const Call& call, const std::string& prefix) {
  if (prefix.size() == 64) return prefix;
  if (prefix.empty()) return fail(ErrorCode::invalid_argument, "an action's id is not empty");
  FB_TRY(const auto reader, call.reader());
  record::ActionFilter filter;
  filter.statuses = {"awaiting_approval"};
  filter.limit = 100'000;
  FB_TRY(const auto rows, reader->actions(filter));
  std::string found;
  for (const record::ActionRow& row : rows) {
    if (!row.action_id.starts_with(prefix) && !row.request_id.starts_with(prefix)) continue;
    if (!found.empty()) return fail(ErrorCode::ambiguous, "several waiting actions begin with '" + prefix + "'");
    found = row.action_id;
  }
  if (found.empty()) return fail(ErrorCode::not_found, "no waiting action begins with '" + prefix + "'");
  return found;
}

net::Response decide(const Call& call, bool approve) {
  std::string comment;
  if (!call.request.body.empty()) {
    const auto body = parse_json(call.request.body);
    if (!body.is_object()) return problem(400, "the body is {\"comment\": \"...\"}");
    comment = body.value("comment", "");
  }
  const auto id = full_id(call, call.params.at("id"));
  if (!id) return failed(id.error());
  const auto decided = call.parts.store.decide(*id, approve, call.actor(), comment);
  if (!decided) return failed(decided.error());
  call.parts.wake_dispatcher();
  return one_action(call, *id);
}

// Several at once, each for itself: what one answers changes nothing for the others. Few enough to be looked at.
constexpr size_t kMostAtOnce = 20;

net::Response decide_many(const Call& call, bool approve) {
  const auto body = parse_json(call.request.body);
  const bool good = body.is_object() && body.contains("ids") && body["ids"].is_array() &&
                    (!body.contains("comment") || body["comment"].is_string());
  if (!good) return problem(400, R"(the body is {"ids": ["..."], "comment": "..."})");
  if (body["ids"].empty()) return problem(400, "name at least one action");
  if (body["ids"].size() > kMostAtOnce) {
    return problem(400, "at most " + std::to_string(kMostAtOnce) + " actions are decided at once, not " +
                            std::to_string(body["ids"].size()));
  }
  std::vector<std::string> ids;  // all are found before the first is decided
  for (const auto& id : body["ids"]) {
    if (!id.is_string() || id.get<std::string>().empty()) return problem(400, "an id is a text");
    const auto full = full_id(call, id.get<std::string>());
    if (!full) return failed(full.error());
    if (std::find(ids.begin(), ids.end(), *full) == ids.end()) ids.push_back(*full);
  }
  std::string answer;
  for (const std::string& id : ids) {
    const auto decided = call.parts.store.decide(id, approve, call.actor(), body.value("comment", ""));
    nlohmann::ordered_json line{{"action_id", id}};
    if (decided) {
      line["status"] = to_string(*decided);
    } else {
      line["error"] = decided.error().describe();
    }
    answer += dumped(line) + '\n';
  }
  call.parts.wake_dispatcher();
  return ndjson(std::move(answer));
}

}  // namespace

void add_actions_routes(Router& router) {
  router.add("POST", "/api/firebreak/actions", Privilege::isolate, submit).or_for(Privilege::release);
  router.add("GET", "/api/firebreak/actions/{id}", Privilege::actions_read,
             [](const Call& call) { return one_action(call, call.params.at("id")); });
  router.add("POST", "/api/firebreak/actions/_approve", Privilege::approve,
             [](const Call& call) { return decide_many(call, true); });
  router.add("POST", "/api/firebreak/actions/_deny", Privilege::approve,
             [](const Call& call) { return decide_many(call, false); });
  router.add("POST", "/api/firebreak/actions/{id}/approve", Privilege::approve,
             [](const Call& call) { return decide(call, true); });
  router.add("POST", "/api/firebreak/actions/{id}/deny", Privilege::approve,
             [](const Call& call) { return decide(call, false); });
}

}  // namespace fb::api
