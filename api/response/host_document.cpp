#include "api/response/host_document.h"

#include <algorithm>
#include <array>
#include <vector>

#include "api/response/action_document.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/json_text.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/lang/kuery/kuery.h"
#include "engine/model/names.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

// Which members of an object are written: all, or those that are looked at.
using Wanted = std::vector<std::string>;

bool wants(const Wanted* wanted, std::string_view member) {
  return wanted == nullptr || std::find(wanted->begin(), wanted->end(), member) != wanted->end();
}

std::string_view name_of_os(std::string_view os) {
  return os == "linux" ? "Linux" : os == "windows" ? "Windows" : os == "macos" ? "macOS" : os;
}

void write_os(JsonText& out, std::string_view os, bool with_variant) {
  const std::string_view name = name_of_os(os);
  out.begin("os");
  if (with_variant) out.begin("Ext").text("variant", name).end();
  out.text("family", os).text("full", name).text("kernel", "").text("name", name).text("platform", os);
  out.text("type", os).text("version", "").end();
}

void write_host(JsonText& out, const Endpoint& e, bool with_os) {
  out.begin("host").text("architecture", "").text("hostname", e.hostname).text("id", e.host_id).texts("ip", e.ips);
  out.texts("mac", {}).text("name", e.hostname);
  if (with_os) write_os(out, e.os, true);
  out.end();
}

// The members of HostInfo's metadata.
void write_metadata(JsonText& out, const EndpointDetails& d, const Wanted* wanted = nullptr) {
  const Endpoint& e = d.endpoint;
  const std::string at = iso8601(e.last_seen_ms);
  if (wants(wanted, "@timestamp")) out.text("@timestamp", at);
  if (wants(wanted, "Endpoint")) {
    out.begin("Endpoint").texts("capabilities", {"isolation"});
    out.begin("configuration").flag("isolation", e.desired == Isolation::isolated).end();
    out.begin("policy")
        .begin("applied")
        .text("id", d.policy_id)
        .text("name", d.policy_name)
        .text("status", policy_status(d));
    out.number("version", d.policy_version).number("endpoint_policy_version", d.policy_version).end().end();
    out.begin("state").flag("isolation", e.observed == Isolation::isolated).end().text("status", "enrolled").end();
  }
  if (wants(wanted, "agent")) {
    out.begin("agent").begin("build").text("original", e.agent_version).end().text("id", e.endpoint_id);
    out.text("type", "endpoint").text("version", e.agent_version).end();
  }
  if (wants(wanted, "data_stream")) {
    out.begin("data_stream").text("dataset", "endpoint.metadata").text("namespace", "default").text("type", "metrics");
    out.end();
  }
  if (wants(wanted, "ecs")) out.begin("ecs").text("version", "8.10.0").end();
  if (wants(wanted, "elastic")) out.begin("elastic").begin("agent").text("id", e.endpoint_id).end().end();
  if (wants(wanted, "event")) {
    out.begin("event").text("action", "endpoint_metadata").texts("category", {"host"}).text("created", at);
    out.text("dataset", "endpoint.metadata").text("kind", "metric").text("module", "endpoint");
    out.texts("type", {"info"}).end();
  }
  if (wants(wanted, "host")) write_host(out, e, true);
  if (wants(wanted, "message")) out.text("message", "Endpoint metadata");
}

void write_time(JsonText& out, std::string_view key, int64_t ms) {
  if (ms > 0) {
    out.text(key, iso8601(ms));
  } else {
    out.null(key);
  }
}

void write_ours(JsonText& out, const EndpointDetails& d) {
  const Endpoint& e = d.endpoint;
  out.begin("firebreak").text("endpoint_id", e.endpoint_id).text("agent_status", to_string(e.status));
  out.text("status_detail", d.status_detail).text("desired", to_string(e.desired));
  out.text("observed", to_string(e.observed)).flag("drifted", d.drifted).number("generation", e.generation);
  write_time(out, "isolated_at", d.isolated_at_ms);
  write_time(out, "lease_until", e.lease_until_ms);
  out.json("pending_actions", pending_document(d.open)).texts("tags", e.tags).flag("protected", e.is_protected);
  out.flag("critical", std::find(e.tags.begin(), e.tags.end(), "critical") != e.tags.end());
  out.texts("problems", d.problems).flag("simulated", e.simulated).flag("revoked", d.revoked);
  write_time(out, "enrolled_at", d.enrolled_at_ms);
  out.text("policy_digest", d.policy_digest);
  if (d.last_action_id.empty()) {
    out.null("last_action").end();
    return;
  }
  out.begin("last_action").text("action_id", d.last_action_id).text("command", kibana_command(d.last_verb));
  out.text("status", to_string(d.last_state)).text("at", iso8601(d.last_at_ms)).end().end();
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

void write_local_metadata(JsonText& out, const Endpoint& e) {
  out.begin("local_metadata").begin("elastic").begin("agent").text("id", e.endpoint_id);
  out.text("version", e.agent_version).end().end();
  write_host(out, e, false);
  write_os(out, e.os, false);
  out.end();
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
  std::string text;
  text.reserve(2048);
  JsonText out(text);
  const auto policy = [&](std::string_view key) {
    out.begin(key).text("id", d.policy_id).number("revision", d.policy_version).end();
  };
  out.begin().begin("metadata");
  write_metadata(out, d);
  out.end().text("host_status", host_status(d)).begin("policy_info").begin("agent");
  policy("applied");
  policy("configured");
  out.end();
  policy("endpoint");
  out.end().text("last_checkin", iso8601(d.endpoint.last_seen_ms));
  write_ours(out, d);
  out.end();
  return text;
}

std::string_view policy_status(const EndpointDetails& d) {
  return d.problems.empty() ? "success" : "failure";
}

std::string policy_response_document(const EndpointDetails& d) {
  std::string text;
  JsonText out(text);
  out.begin();
  write_metadata(out, d);
  out.end();
  Json document = parse_ordered_json(text);
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
  return dumped(document);
}

std::string fleet_agent_document(const EndpointDetails& d) {
  const Endpoint& e = d.endpoint;
  std::string text;
  text.reserve(1024);
  JsonText out(text);
  out.begin().text("id", e.endpoint_id).text("type", "PERMANENT").flag("active", !d.revoked);
  out.text("enrolled_at", iso8601(d.enrolled_at_ms)).text("last_checkin", iso8601(e.last_seen_ms));
  out.text("status", fleet_status(d)).text("policy_id", d.policy_id).number("policy_revision", d.policy_version);
  out.texts("tags", e.tags).begin("agent").text("id", e.endpoint_id).text("type", "endpoint");
  out.text("version", e.agent_version).end();
  write_local_metadata(out, e);
  out.begin_array("components").begin().text("id", "endpoint-default").text("type", "endpoint");
  out.text("status", e.status == AgentStatus::online ? "HEALTHY" : "DEGRADED").text("message", d.status_detail);
  out.texts("units", {}).end().end_array().end();
  return text;
}

struct HostQuery::Impl {
  ir::Node node;
  // What of the document the query looks at, so that no more is made of it for each endpoint.
  bool looks_at_all = false;
  Wanted members;

  void note(std::string_view path) {
    members.emplace_back(path.substr(0, path.find('.')));
    if (members.back().empty()) looks_at_all = true;
  }
  void note(const ir::Node& n) {
    if (n.kind == ir::Node::Kind::nested) note(n.path);
    if (n.kind == ir::Node::Kind::test) {
      const bool named = n.test.field.scope == ir::FieldRef::Scope::named && n.test.field.glob.empty();
      if (named) note(n.test.field.name);
      looks_at_all = looks_at_all || !named;
    }
    for (const ir::Node& child : n.children) note(child);
  }
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
  impl->note(impl->node);
  return HostQuery(std::move(impl));
}

Result<bool> HostQuery::matches(const EndpointDetails& d, int64_t now_ms) const {
  const Wanted* wanted = impl_->looks_at_all ? nullptr : &impl_->members;
  const Endpoint& e = d.endpoint;
  const std::string seen = iso8601(e.last_seen_ms);
  std::string text;
  JsonText out(text);
  out.begin();
  write_metadata(out, d, wanted);
  if (wants(wanted, "host_status")) out.text("host_status", host_status(d));
  if (wants(wanted, "last_checkin")) out.text("last_checkin", seen);
  if (wants(wanted, "united")) {
    out.begin("united").begin("agent").begin("agent").text("id", e.endpoint_id).end();
    out.text("enrolled_at", iso8601(d.enrolled_at_ms)).text("last_checkin", seen).text("policy_id", d.policy_id);
    out.number("policy_revision_idx", d.policy_version).end().end();
  }
  if (wants(wanted, "firebreak")) write_ours(out, d);
  if (wants(wanted, "local_metadata")) write_local_metadata(out, e);
  if (wants(wanted, "status")) out.text("status", fleet_status(d));
  if (wants(wanted, "policy_id")) out.text("policy_id", d.policy_id);
  if (wants(wanted, "active")) out.flag("active", !d.revoked);
  if (wants(wanted, "enrolled_at")) out.text("enrolled_at", iso8601(d.enrolled_at_ms));
  if (wants(wanted, "tags")) out.texts("tags", e.tags);
  out.end();
  FB_TRY(const JsonNode tree, parse_json_tree(text));
  return ir::matches(impl_->node, tree, {now_ms, {}});
}

}  // namespace fb::api
