#include "api/response/action_document.h"

#include <algorithm>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/model/names.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

// What keeps a part from success, in a person's words.
std::string error_of(const ResponsePart& p) {
  std::string text = "Endpoint action response error: " + std::string(to_string(p.state));
  if (!p.guard.empty()) text += " (" + p.guard + ")";
  if (!p.detail.empty()) text += ": " + p.detail;
  return text;
}

constexpr int64_t kIntentExpiryMs = 14 * 86'400'000ll;  // of what nobody wrote an expiry down for

// The name of a person or the words of who else asked.
std::string name_of(const std::string& actor) {
  return actor.starts_with("user:") ? actor.substr(5) : actor;
}

struct Summary {
  bool completed = true;
  bool successful = true;
  bool expired = false;
  int64_t completed_at_ms = 0;
  Json errors = Json::array();
};

Json state_of(const ResponsePart& p, Summary& all) {
  const Outcome outcome = outcome_of(p.state);
  // As in Kibana, what expired was never completed.
  const bool expired = p.state == ActionState::expired;
  const bool completed = outcome != Outcome::pending && !expired;
  Json state{{"isCompleted", completed}, {"wasSuccessful", outcome == Outcome::successful}};
  if (completed) {
    state["completedAt"] = iso8601(p.finished_at_ms);
    all.completed_at_ms = std::max(all.completed_at_ms, p.finished_at_ms);
  }
  if (outcome == Outcome::failed) {
    const std::string error = error_of(p);
    state["errors"] = Json::array({error});
    all.errors.push_back(error);
  }
  all.completed = all.completed && completed;
  all.successful = all.successful && outcome == Outcome::successful;
  all.expired = all.expired || expired;
  return state;
}

Json ours(const ResponseEntry& e) {
  Json parts = Json::object();
  for (const ResponsePart& p : e.parts) {
    Json part{{"action_id", p.action_id}, {"status", to_string(p.state)}, {"joined", p.joined}};
    if (!p.guard.empty()) part["guard"] = p.guard;
    if (!p.detail.empty()) part["detail"] = p.detail;
    if (!p.decided_by.empty()) part["decided_by"] = name_of(p.decided_by);
    if (p.lease_ms > 0) part["lease_ms"] = p.lease_ms;
    if (p.expires_at_ms > 0 && is_open(p.state)) part["expires_at"] = iso8601(p.expires_at_ms);
    parts[p.endpoint_id] = std::move(part);
  }
  Json own{{"type", e.by_rule ? "automated" : "manual"}, {"requested_by", e.requested_by}, {"endpoints", parts}};
  if (e.by_rule) own["rule_id"] = e.rule_id;
  return own;
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json log_data(const ResponseEntry& e) {
  Json data{{"command", kibana_command(e.verb)}, {"comment", e.comment}};
  if (!e.alert_ids.empty()) data["alert_id"] = e.alert_ids;
  return data;
}

}  // namespace

std::string log_action_document(const ResponseEntry& e) {
  Json agents = Json::array();
  int64_t expires_at_ms = 0;
  for (const ResponsePart& p : e.parts) {
    agents.push_back(p.endpoint_id);
    expires_at_ms = std::max(expires_at_ms, p.expires_at_ms);
  }
  if (expires_at_ms == 0) expires_at_ms = e.created_at_ms + kIntentExpiryMs;
  Json data{{"@timestamp", iso8601(e.created_at_ms)},
            {"agent", {{"id", agents}}},
            {"EndpointActions",
             {{"action_id", e.id},
              {"expiration", iso8601(expires_at_ms)},
              {"type", "INPUT_ACTION"},
              {"input_type", "endpoint"},
              {"data", log_data(e)}}},
            {"user", {{"id", e.by_rule ? std::string("unknown") : name_of(e.requested_by)}}}};
  if (e.by_rule) data["rule"] = {{"id", e.rule_uuid}, {"name", e.rule_name}};
  return text_of({{"type", "action"}, {"item", {{"id", e.id}, {"data", data}}}});
}

std::string log_response_document(const ResponseEntry& e, const ResponsePart& p) {
  const std::string finished = iso8601(p.finished_at_ms);
  Json data{{"@timestamp", finished},
            {"agent", {{"id", p.endpoint_id}}},
            {"EndpointActions",
             {{"action_id", e.id},
              {"started_at", iso8601(e.created_at_ms)},
              {"completed_at", finished},
              {"input_type", "endpoint"},
              {"data", log_data(e)}}}};
  if (outcome_of(p.state) == Outcome::failed) data["error"] = {{"message", error_of(p)}};
  return text_of({{"type", "response"}, {"item", {{"id", e.id + ":" + p.endpoint_id}, {"data", data}}}});
}

std::string_view kibana_command(Verb verb) {
  return verb == Verb::isolate ? "isolate" : "unisolate";
}

std::string_view kibana_status(AgentStatus status) {
  switch (status) {
    case AgentStatus::online:
      return "healthy";
    case AgentStatus::offline:
      return "offline";
    case AgentStatus::unhealthy:
      return "unhealthy";
  }
  return "offline";
}

std::string pending_document(const OpenCounts& counts) {
  Json json = Json::object();
  for (const auto& [verb, count] : counts) {
    if (count > 0) json[std::string(kibana_command(verb))] = count;
  }
  return json.dump();
}

std::string action_document(const ResponseEntry& e, bool with_outputs) {
  Summary all;
  Json agents = Json::array();
  Json hosts = Json::object();
  Json states = Json::object();
  bool overrides = false;
  bool waits = e.parts.empty();
  for (const ResponsePart& p : e.parts) {
    agents.push_back(p.endpoint_id);
    hosts[p.endpoint_id] = {{"name", p.hostname}};
    states[p.endpoint_id] = state_of(p, all);
    waits = waits || outcome_of(p.state) == Outcome::pending;
    overrides = overrides || (p.override_protected && !p.joined);
  }
  if (e.parts.empty()) all.completed = all.successful = false;
  // While a part is under way the whole is; a part that expired decides only then.
  const bool expired = !waits && all.expired;
  const Outcome status = waits ? Outcome::pending : all.successful ? Outcome::successful : Outcome::failed;
  Json parameters = Json::object();
  if (overrides) parameters["firebreak"]["override"] = true;
  Json d{{"id", e.id}, {"agentType", "endpoint"}, {"agents", agents}, {"hosts", hosts}};
  d["command"] = kibana_command(e.verb);
  d["startedAt"] = iso8601(e.created_at_ms);
  d["isCompleted"] = all.completed;
  if (all.completed) d["completedAt"] = iso8601(all.completed_at_ms);
  d["wasSuccessful"] = all.successful;
  d["isExpired"] = expired;
  d["status"] = to_string(status);
  if (!all.errors.empty()) d["errors"] = all.errors;
  if (with_outputs) d["outputs"] = Json::object();
  d["agentState"] = states;
  // Kibana calls who acts for a rule so.
  d["createdBy"] = e.by_rule ? std::string("unknown") : name_of(e.requested_by);
  d["comment"] = e.comment;
  d["parameters"] = parameters;
  if (!e.alert_ids.empty()) d["alertIds"] = e.alert_ids;
  if (!e.case_ids.empty()) d["caseIds"] = e.case_ids;
  if (e.by_rule) {
    d["ruleId"] = e.rule_uuid;
    d["ruleName"] = e.rule_name;
  }
  d["firebreak"] = ours(e);
  return text_of(d);
}

}  // namespace fb::api
