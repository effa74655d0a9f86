// Alerts: search, status, tags, assignees; from an alert: isolate or release its host.
#include <algorithm>

#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "api/signals/search.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxComment = 30'000;
constexpr size_t kMostChanged = 100'000;

net::Response search(const Call& call) {
  auto found = search_alerts(call.parts.store, call.parts.clock, call.request.body);
  if (!found)
    return found.error().code == ErrorCode::invalid_argument ? siem_problem(400, found.error().message)
                                                             : failed(found.error());
  return json(200, std::move(*found));
}

// As Elasticsearch answers an update by query.
net::Response updated(const Workflow::Changed& changed, int64_t took_ms) {
  return json(200, dumped(Json{{"took", took_ms},
                               {"timed_out", false},
                               {"total", changed.found},
                               {"updated", changed.updated},
                               {"deleted", 0},
                               {"batches", 1},
                               {"version_conflicts", 0},
                               {"noops", changed.found - changed.updated},
                               {"retries", {{"bulk", 0}, {"search", 0}}},
                               {"throttled_millis", 0},
                               {"requests_per_second", -1},
                               {"throttled_until_millis", 0},
                               {"failures", Json::array()}}));
}

bool is_texts(const Json& v) {
  return v.is_array() && std::all_of(v.begin(), v.end(), [](const Json& s) {
           return s.is_string() && !s.get_ref<const std::string&>().empty() &&
                  s.get_ref<const std::string&>().size() <= 1024;
         });
}

net::Response set_status(const Call& call) {
  const int64_t began = call.parts.clock.mono_ms();
  const Json body = parse_ordered_json(call.request.body);
  if (!body.is_object()) return problem(400, "[request body]: Expected object");
  std::string status = body.contains("status") && body["status"].is_string() ? body["status"].get<std::string>() : "";
  if (status == "in-progress") status = "acknowledged";
  if (status != "open" && status != "acknowledged" && status != "closed") {
    return problem(400, "[request body]: status: must be open, acknowledged or closed");
  }
  if (body.contains("reason") && !body["reason"].is_string() && !body["reason"].is_null()) {
    return problem(400, "[request body]: reason: must be a text");
  }
  const std::string reason =
      body.contains("reason") && body["reason"].is_string() ? body["reason"].get<std::string>() : "";
  if (const Json how = body.value("conflicts", Json("abort")); how != "abort" && how != "proceed") {
    return problem(400, "[request body]: conflicts: Invalid enum value. Expected 'abort' | 'proceed'");
  }
  if (reason.size() > kMaxComment) return problem(400, "[request body]: reason: is too long");
  std::vector<std::string> ids;
  const bool by_ids = body.contains("signal_ids");
  if (by_ids == body.contains("query")) return problem(400, "[request body]: either signal_ids or query must be set");
  if (by_ids) {
    if (!is_texts(body["signal_ids"]) || body["signal_ids"].empty()) {
      return problem(400, "[request body]: signal_ids: must be a list of ids");
    }
    ids = body["signal_ids"].get<std::vector<std::string>>();
  } else {
    const auto query = read_alert_query(dumped(body["query"]), call.parts.clock.wall_ms());
    if (!query) return siem_problem(400, query.error());
    const auto all =
        each_match(call.parts.store, call.parts.clock, *query, [&](const AlertView& alert, const std::string&) {
          ids.push_back(alert.alert_id);
          return ids.size() <= kMostChanged;
        });
    if (!all) return failed(all.error());
    // A part of them would be a lie about the rest.
    if (!*all || ids.size() > kMostChanged)
      return siem_problem(400, "query: it finds more alerts than can be changed at once");
  }
  const auto changed = Workflow(call.parts.store).set_status(ids, status, reason, call.actor());
  if (!changed) return failed(changed.error());
  return updated(*changed, call.parts.clock.mono_ms() - began);
}

// {ids, <outer>: {<add>: [], <remove>: []}}
net::Response change_list(const Call& call, bool tags) {
  const int64_t began = call.parts.clock.mono_ms();
  const char* outer = tags ? "tags" : "assignees";
  const char* add = tags ? "tags_to_add" : "add";
  const char* remove = tags ? "tags_to_remove" : "remove";
  const Json body = parse_ordered_json(call.request.body);
  const bool good = body.is_object() && body.contains("ids") && is_texts(body["ids"]) && body.contains(outer) &&
                    body[outer].is_object() && body[outer].contains(add) && is_texts(body[outer][add]) &&
                    body[outer].contains(remove) && is_texts(body[outer][remove]);
  if (!good) {
    return problem(
        400, std::string("[request body]: ids and ") + outer + " {" + add + ", " + remove + "} are lists of texts");
  }
  const auto to_add = body[outer][add].get<std::vector<std::string>>();
  const auto to_remove = body[outer][remove].get<std::vector<std::string>>();
  for (const std::string& s : to_add) {
    if (std::find(to_remove.begin(), to_remove.end(), s) != to_remove.end()) {
      return siem_problem(400, "Duplicate " + std::string(outer) + " [" + printable(s.substr(0, 100)) +
                                   "] were found in the " + add + " and " + remove + " parameters.");
    }
  }
  const auto ids = body["ids"].get<std::vector<std::string>>();
  if (ids.empty()) return siem_problem(400, "No alert ids were provided");
  Workflow workflow(call.parts.store);
  const auto changed = tags ? workflow.change_tags(ids, to_add, to_remove, call.actor())
                            : workflow.change_assignees(ids, to_add, to_remove, call.actor());
  if (!changed) return failed(changed.error());
  return updated(*changed, call.parts.clock.mono_ms() - began);
}

// The host that the alert speaks of, through the same door as every request by hand.
net::Response act(const Call& call, Verb verb) {
  const auto alert = one_alert(call.parts.store, call.params.at("id"));
  if (!alert) return failed(alert.error());
  Json body = call.request.body.empty() ? Json::object() : parse_ordered_json(call.request.body);
  const bool good = body.is_object() && (!body.contains("comment") || body["comment"].is_string()) &&
                    (!body.contains("override") || body["override"].is_boolean());
  if (!good) return problem(400, R"(the body is {"comment": "...", "override": false})");
  ActionRequest request;
  request.verb = verb;
  request.comment = body.value("comment", "");
  if (request.comment.size() > kMaxComment) return problem(400, "a comment has at most 30000 bytes");
  request.override_protected = body.value("override", false);
  if (request.override_protected && request.comment.empty()) {
    return problem(400, "an override needs a comment that says why");
  }
  request.requested_by = call.actor();
  request.alert_ids = {alert->alert_id};
  if (const auto it = call.request.headers.find("idempotency-key"); it != call.request.headers.end()) {
    request.idempotency_key = it->second;
  }
  // By the event's ids alone: what an event calls a host may be the name of another one.
  const auto target = call.parts.store.resolve_alert(alert->alert_id);
  if (!target) return failed(target.error());
  if (target->endpoint_id.empty()) return problem(409, "the alert does not name one host: " + printable(target->note));
  request.endpoint_ids = {target->endpoint_id};
  const auto submitted = call.parts.store.submit(request);
  if (!submitted) return failed(submitted.error());
  call.parts.wake_dispatcher();
  const auto& done = submitted->front();
  return json(200, dumped(Json{{"action_id", done.action_id},
                               {"request_id", done.request_id},
                               {"alert_id", alert->alert_id},
                               {"command", to_string(verb)},
                               {"endpoint_id", done.endpoint_id},
                               {"status", to_string(done.state)},
                               {"guard", done.guard},
                               {"detail", done.detail}}));
}

}  // namespace

void add_signals_routes(Router& router) {
  router.add("POST", "/api/detection_engine/signals/search", Privilege::alerts_read, search).only_reads().slow();
  router.add("POST", "/api/detection_engine/signals/status", Privilege::alerts_write, set_status).slow();
  router.add("POST", "/api/detection_engine/signals/tags", Privilege::alerts_write,
             [](const Call& call) { return change_list(call, true); });
  router.add("POST", "/api/detection_engine/signals/assignees", Privilege::alerts_write,
             [](const Call& call) { return change_list(call, false); });
  router.add("POST", "/api/firebreak/alerts/{id}/isolate", Privilege::isolate,
             [](const Call& call) { return act(call, Verb::isolate); });
  router.add("POST", "/api/firebreak/alerts/{id}/release", Privilege::release,
             [](const Call& call) { return act(call, Verb::release); });
}

}  // namespace fb::api
