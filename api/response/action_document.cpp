#include "api/response/action_document.h"

#include <algorithm>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/json_text.h"
#include "engine/model/names.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

// What keeps a part from success, in a person's words.
std::string error_of(const ResponsePart& p) {
  std::string text = "Endpoint action response error: ";
  const std::string_view state = to_string(p.state);
  if (p.guard.empty() && p.detail.starts_with(state)) return text + p.detail;  // "superseded by ..."
  text += state;
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
  std::vector<std::string> errors;
};

// As in Kibana, what expired was never completed.
bool is_completed(const ResponsePart& p) {
  return outcome_of(p.state) != Outcome::pending && p.state != ActionState::expired;
}

void add_up(const ResponsePart& p, Summary& all) {
  const Outcome outcome = outcome_of(p.state);
  const bool completed = is_completed(p);
  if (completed) all.completed_at_ms = std::max(all.completed_at_ms, p.finished_at_ms);
  if (outcome == Outcome::failed) all.errors.push_back(error_of(p));
  all.completed = all.completed && completed;
  all.successful = all.successful && outcome == Outcome::successful;
  all.expired = all.expired || p.state == ActionState::expired;
}

void write_state(JsonText& out, const ResponsePart& p) {
  const Outcome outcome = outcome_of(p.state);
  out.begin(p.endpoint_id).flag("isCompleted", is_completed(p)).flag("wasSuccessful", outcome == Outcome::successful);
  if (is_completed(p)) out.text("completedAt", iso8601(p.finished_at_ms));
  if (outcome == Outcome::failed) out.texts("errors", {error_of(p)});
  out.end();
}

void write_part(JsonText& out, const ResponsePart& p) {
  out.begin(p.endpoint_id).text("action_id", p.action_id).text("status", to_string(p.state)).flag("joined", p.joined);
  if (!p.guard.empty()) out.text("guard", p.guard);
  if (!p.detail.empty()) out.text("detail", p.detail);
  if (!p.decided_by.empty()) out.text("decided_by", name_of(p.decided_by));
  if (p.lease_ms > 0) out.number("lease_ms", p.lease_ms);
  if (p.expires_at_ms > 0 && is_open(p.state)) out.text("expires_at", iso8601(p.expires_at_ms));
  out.end();
}

void write_ours(JsonText& out, const ResponseEntry& e) {
  out.begin("firebreak").text("type", e.by_rule ? "automated" : "manual").text("requested_by", e.requested_by);
  out.begin("endpoints");
  for (const ResponsePart& p : e.parts) write_part(out, p);
  out.end();
  if (e.by_rule) out.text("rule_id", e.rule_id);
  out.end();
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
  return dumped(Json{{"type", "action"}, {"item", {{"id", e.id}, {"data", data}}}});
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
  return dumped(Json{{"type", "response"}, {"item", {{"id", e.id + ":" + p.endpoint_id}, {"data", data}}}});
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
  std::string text;
  JsonText out(text);
  out.begin();
  for (const auto& [verb, count] : counts) {
    if (count > 0) out.number(kibana_command(verb), count);
  }
  out.end();
  return text;
}

// The parts are of different endpoints: each is a member of its own.
std::string action_document(const ResponseEntry& e, bool with_outputs) {
  Summary all;
  bool overrides = false;
  bool waits = e.parts.empty();
  for (const ResponsePart& p : e.parts) {
    add_up(p, all);
    waits = waits || outcome_of(p.state) == Outcome::pending;
    overrides = overrides || (p.override_protected && !p.joined);
  }
  if (e.parts.empty()) all.completed = all.successful = false;
  // While a part is under way the whole is; a part that expired decides only then.
  const bool expired = !waits && all.expired;
  const Outcome status = waits ? Outcome::pending : all.successful ? Outcome::successful : Outcome::failed;
  std::string text;
  text.reserve(1024);
  JsonText out(text);
  out.begin().text("id", e.id).text("agentType", "endpoint").begin_array("agents");
  for (const ResponsePart& p : e.parts) out.item(p.endpoint_id);
  out.end_array().begin("hosts");
  for (const ResponsePart& p : e.parts) out.begin(p.endpoint_id).text("name", p.hostname).end();
  out.end().text("command", kibana_command(e.verb)).text("startedAt", iso8601(e.created_at_ms));
  out.flag("isCompleted", all.completed);
  if (all.completed) out.text("completedAt", iso8601(all.completed_at_ms));
  out.flag("wasSuccessful", all.successful).flag("isExpired", expired).text("status", to_string(status));
  if (!all.errors.empty()) out.texts("errors", all.errors);
  if (with_outputs) out.begin("outputs").end();
  out.begin("agentState");
  for (const ResponsePart& p : e.parts) write_state(out, p);
  // Kibana calls who acts for a rule so.
  out.end().text("createdBy", e.by_rule ? std::string("unknown") : name_of(e.requested_by)).text("comment", e.comment);
  out.begin("parameters");
  if (overrides) out.begin("firebreak").flag("override", true).end();
  out.end();
  if (!e.alert_ids.empty()) out.texts("alertIds", e.alert_ids);
  if (!e.case_ids.empty()) out.texts("caseIds", e.case_ids);
  if (e.by_rule) out.text("ruleId", e.rule_uuid).text("ruleName", e.rule_name);
  write_ours(out, e);
  out.end();
  return text;
}

}  // namespace fb::api
