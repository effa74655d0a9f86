#include "api/response/host_document.h"

#include <algorithm>
#include <array>

#include "api/response/action_document.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/lang/kuery/kuery.h"
#include "engine/model/names.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json os_of(const std::string& os) {
  const std::string name = os == "linux" ? "Linux" : os == "windows" ? "Windows" : os == "macos" ? "macOS" : os;
  return {{"Ext", {{"variant", name}}},
          {"family", os},
          {"full", name},
          {"kernel", ""},
          {"name", name},
          {"platform", os},
          {"type", os},
          {"version", ""}};
}

Json applied(const EndpointDetails& d) {
  return {{"id", d.policy_id},
          {"name", d.policy_name},
          {"status", policy_status(d)},
          {"version", d.policy_version},
          {"endpoint_policy_version", d.policy_version}};
}

Json metadata(const EndpointDetails& d) {
  const Endpoint& e = d.endpoint;
  const std::string at = iso8601(e.last_seen_ms);
  return {{"@timestamp", at},
          {"Endpoint",
           {{"capabilities", Json::array({"isolation"})},
            {"configuration", {{"isolation", e.desired == Isolation::isolated}}},
            {"policy", {{"applied", applied(d)}}},
            {"state", {{"isolation", e.observed == Isolation::isolated}}},
            {"status", "enrolled"}}},
          {"agent",
           {{"build", {{"original", e.agent_version}}},
            {"id", e.endpoint_id},
            {"type", "endpoint"},
            {"version", e.agent_version}}},
          {"data_stream", {{"dataset", "endpoint.metadata"}, {"namespace", "default"}, {"type", "metrics"}}},
          {"ecs", {{"version", "8.10.0"}}},
          {"elastic", {{"agent", {{"id", e.endpoint_id}}}}},
          {"event",
           {{"action", "endpoint_metadata"},
            {"category", Json::array({"host"})},
            {"created", at},
            {"dataset", "endpoint.metadata"},
            {"kind", "metric"},
            {"module", "endpoint"},
            {"type", Json::array({"info"})}}},
          {"host",
           {{"architecture", ""},
            {"hostname", e.hostname},
            {"id", e.host_id},
            {"ip", e.ips},
            {"mac", Json::array()},
            {"name", e.hostname},
            {"os", os_of(e.os)}}},
          {"message", "Endpoint metadata"}};
}

Json ours(const EndpointDetails& d) {
  const Endpoint& e = d.endpoint;
  const auto time = [](int64_t ms) { return ms > 0 ? Json(iso8601(ms)) : Json(nullptr); };
  Json json{{"endpoint_id", e.endpoint_id},
            {"agent_status", to_string(e.status)},
            {"status_detail", d.status_detail},
            {"desired", to_string(e.desired)},
            {"observed", to_string(e.observed)},
            {"drifted", d.drifted},
            {"generation", e.generation},
            {"isolated_at", time(d.isolated_at_ms)},
            {"lease_until", time(e.lease_until_ms)},
            {"pending_actions", parse_ordered_json(pending_document(d.open))},
            {"tags", e.tags},
            {"protected", e.is_protected},
            {"critical", std::find(e.tags.begin(), e.tags.end(), "critical") != e.tags.end()},
            {"problems", d.problems},
            {"simulated", e.simulated},
            {"revoked", d.revoked},
            {"enrolled_at", time(d.enrolled_at_ms)},
            {"policy_digest", d.policy_digest}};
  json["last_action"] = nullptr;
  if (!d.last_action_id.empty()) {
    json["last_action"] = {{"action_id", d.last_action_id},
                           {"command", kibana_command(d.last_verb)},
                           {"status", to_string(d.last_state)},
                           {"at", iso8601(d.last_at_ms)}};
  }
  return json;
}

std::string_view fleet_status(const EndpointDetails& d) {
  if (d.revoked) return "inactive";
  switch (d.endpoint.status) {
    case AgentStatus::online:
      return "online";
    case AgentStatus::unhealthy:
      return "degraded";
    default:
      return "offline";
  }
}

Json fleet_agent(const EndpointDetails& d) {
  const Endpoint& e = d.endpoint;
  Json os = os_of(e.os);
  os.erase("Ext");
  Json component{{"id", "endpoint-default"},
                 {"type", "endpoint"},
                 {"status", e.status == AgentStatus::online ? "HEALTHY" : "DEGRADED"},
                 {"message", d.status_detail},
                 {"units", Json::array()}};
  return {{"id", e.endpoint_id},
          {"type", "PERMANENT"},
          {"active", !d.revoked},
          {"enrolled_at", iso8601(d.enrolled_at_ms)},
          {"last_checkin", iso8601(e.last_seen_ms)},
          {"status", fleet_status(d)},
          {"policy_id", d.policy_id},
          {"policy_revision", d.policy_version},
          {"tags", e.tags},
          {"agent", {{"id", e.endpoint_id}, {"type", "endpoint"}, {"version", e.agent_version}}},
          {"local_metadata",
           {{"elastic", {{"agent", {{"id", e.endpoint_id}, {"version", e.agent_version}}}}},
            {"host",
             {{"architecture", ""},
              {"hostname", e.hostname},
              {"id", e.host_id},
              {"ip", e.ips},
              {"mac", Json::array()},
              {"name", e.hostname}}},
            {"os", os}}},
          {"components", Json::array({component})}};
}

// "united.endpoint.host.name" -> "host.name". What is left is a name of the document that matches() builds.
constexpr std::array<std::string_view, 2> kPrefixes{"united.endpoint.", "metadata."};

void strip(std::string& name) {
  for (const std::string_view prefix : kPrefixes) {
    if (!name.starts_with(prefix)) continue;
    name.erase(0, prefix.size());
    return;
  }
}

void adapt(ir::Node& node) {
  strip(node.path);
  strip(node.test.field.name);
  ir::Glob& glob = node.test.field.glob;
  if (!glob.empty() && glob.front().kind == ir::GlobPart::Kind::literal) {
    strip(glob.front().text);
    if (glob.front().text.empty()) glob.erase(glob.begin());
  }
  // The published example of this parameter quotes a value so.
  std::string& literal = node.test.literal;
  if (node.test.op == ir::Op::equal && literal.size() > 2 && literal.front() == '\'' && literal.back() == '\'') {
    literal = literal.substr(1, literal.size() - 2);
  }
  // Fleet's are words of a text, where a quoted beginning with a star finds; clients count on it.
  if (node.test.op == ir::Op::equal || node.test.op == ir::Op::phrase) {
    if (node.test.field.name.starts_with("local_metadata.") && literal.size() > 1 && literal.back() == '*') {
      literal.pop_back();
      node.test.glob = {{ir::GlobPart::Kind::literal, literal}, {ir::GlobPart::Kind::any_run, ""}};
      node.test.op = ir::Op::glob;
      literal.clear();
    }
  }
  for (ir::Node& child : node.children) adapt(child);
}

}  // namespace

std::string_view host_status(const EndpointDetails& d) {
  return d.revoked ? "inactive" : kibana_status(d.endpoint.status);
}

std::string host_document(const EndpointDetails& d) {
  const Json policy{{"id", d.policy_id}, {"revision", d.policy_version}};
  return text_of({{"metadata", metadata(d)},
                  {"host_status", host_status(d)},
                  {"policy_info", {{"agent", {{"applied", policy}, {"configured", policy}}}, {"endpoint", policy}}},
                  {"last_checkin", iso8601(d.endpoint.last_seen_ms)},
                  {"firebreak", ours(d)}});
}

std::string_view policy_status(const EndpointDetails& d) {
  return d.problems.empty() ? "success" : "failure";
}

std::string policy_response_document(const EndpointDetails& d) {
  Json document = metadata(d);
  Json actions = Json::array();
  actions.push_back({{"name", "host_isolation"},
                     {"status", policy_status(d)},
                     {"message", d.endpoint.observed == Isolation::isolated ? "The host is isolated by this policy"
                                                                            : "The host is not isolated"}});
  for (const std::string& problem : d.problems) {
    actions.push_back({{"name", "agent"}, {"status", "failure"}, {"message", problem}});
  }
  Json concerned = Json::array();
  for (const Json& action : actions) {
    if (std::find(concerned.begin(), concerned.end(), action["name"]) == concerned.end()) {
      concerned.push_back(action["name"]);
    }
  }
  Json& policy = document["Endpoint"]["policy"]["applied"];
  policy["actions"] = std::move(actions);
  policy["response"]["configurations"]["host_isolation"] = {{"concerned_actions", std::move(concerned)},
                                                            {"status", policy_status(d)}};
  document["data_stream"]["dataset"] = "endpoint.policy";
  Json& event = document["event"];
  event["action"] = "endpoint_policy_response";
  event["dataset"] = "endpoint.policy";
  event["kind"] = "state";
  event["type"] = Json::array({"change"});
  document["message"] = "Endpoint policy change";
  return text_of(document);
}

std::string fleet_agent_document(const EndpointDetails& d) {
  return text_of(fleet_agent(d));
}

struct HostQuery::Impl {
  ir::Node node;
};

HostQuery::HostQuery(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HostQuery::HostQuery(HostQuery&&) noexcept = default;
HostQuery& HostQuery::operator=(HostQuery&&) noexcept = default;
HostQuery::~HostQuery() = default;

Result<HostQuery> HostQuery::parse(std::string_view kuery) {
  auto node = lang::parse_kuery(kuery);
  if (!node) {
    return fail(ErrorCode::invalid_argument, "[request query.kuery]: " + node.error().message + " (at byte " +
                                                 std::to_string(node.error().begin) + ")");
  }
  auto impl = std::make_unique<Impl>();
  impl->node = std::move(*node);
  adapt(impl->node);
  return HostQuery(std::move(impl));
}

Result<bool> HostQuery::matches(const EndpointDetails& d, int64_t now_ms) const {
  Json document = metadata(d);
  const std::string seen = iso8601(d.endpoint.last_seen_ms);
  document["host_status"] = host_status(d);
  document["last_checkin"] = seen;
  document["united"] = {{"agent",
                         {{"agent", {{"id", d.endpoint.endpoint_id}}},
                          {"enrolled_at", iso8601(d.enrolled_at_ms)},
                          {"last_checkin", seen},
                          {"policy_id", d.policy_id},
                          {"policy_revision_idx", d.policy_version}}}};
  document["firebreak"] = ours(d);
  Json fleet = fleet_agent(d);
  for (const char* key : {"local_metadata", "status", "policy_id", "active", "enrolled_at", "tags"}) {
    document[key] = std::move(fleet[key]);
  }
  FB_TRY(const JsonNode tree, parse_json_tree(text_of(document)));
  return ir::matches(impl_->node, tree, {now_ms, {}});
}

}  // namespace fb::api
