// Response actions as Kibana's clients ask for them: isolate and release many endpoints at once, the history, what is
// pending.
#include <algorithm>

#include "api/api.h"
#include "api/response/action_document.h"
#include "api/response/query_values.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/json_text.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr size_t kMaxComment = 30'000;
constexpr size_t kMaxEndpoints = 10'000;
constexpr size_t kMaxIdBytes = 1024;
constexpr size_t kMaxKeyBytes = 256;
constexpr size_t kMaxAskedAgents = 50;
constexpr int64_t kMaxPageSize = 10'000;
constexpr int64_t kMaxLeaseMs = 365 * 86'400'000ll;

const std::vector<std::string_view> kAgentTypes{"endpoint", "sentinel_one", "crowdstrike",
                                                "microsoft_defender_endpoint"};
// What Kibana knows; all but the first two find nothing here.
const std::vector<std::string_view> kCommands{
    "isolate", "unisolate", "kill-process", "suspend-process", "running-processes", "get-file", "execute",
    "upload",  "scan",      "runscript",    "cancel",          "memory-dump"};

tl::unexpected<Error> wrong(const std::string& key, const std::string& why) {
  return fail(ErrorCode::invalid_argument, "[request body" + (key.empty() ? "" : "." + printable(key)) + "]: " + why);
}

std::string type_of(const Json& value) {
  return value.is_array() ? "Array" : value.is_object() ? "Object" : value.type_name();
}

// A list of at least one text that is not empty; a missing one is empty where it may be.
Result<std::vector<std::string>> texts(const Json& body, const char* key, bool required) {
  std::vector<std::string> list;
  const auto it = body.find(key);
  if (it == body.end()) {
    if (required) return wrong(key, "expected value of type [array] but got [undefined]");
    return list;
  }
  if (!it->is_array()) return wrong(key, "expected value of type [array] but got [" + type_of(*it) + "]");
  if (it->empty()) return wrong(key, "array size is [0], but cannot be smaller than [1]");
  if (it->size() > kMaxEndpoints) {
    return wrong(key, "array size is [" + std::to_string(it->size()) + "], but cannot be greater than [" +
                          std::to_string(kMaxEndpoints) + "]");
  }
  for (size_t i = 0; i < it->size(); ++i) {
    const Json& item = (*it)[i];
    const std::string place = std::string(key) + "." + std::to_string(i);
    if (!item.is_string()) return wrong(place, "expected value of type [string] but got [" + type_of(item) + "]");
    auto text = item.get<std::string>();
    if (text.empty()) return wrong(place, "value has length [0] but it must have a minimum length of [1].");
    if (text.size() > kMaxIdBytes) return wrong(place, "an id has at most 1024 bytes");
    if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(std::move(text));
  }
  return list;
}

// As Kibana counts a text's length.
size_t utf16_units(const std::string& utf8) {
  size_t units = 0;
  for (const char c : utf8) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0u) != 0x80u) units += byte >= 0xf0u ? 2 : 1;
  }
  return units;
}

// What Firebreak takes beyond Kibana's fields: {"firebreak": {"override": true, "lease": "4h"}}.
Status read_parameters(const Json& body, ActionRequest& request) {
  const auto it = body.find("parameters");
  if (it == body.end()) return {};
  if (!it->is_object()) return wrong("parameters", "expected value of type [object] but got [" + type_of(*it) + "]");
  for (const auto& [key, value] : it->items()) {
    if (key != "firebreak") return wrong("parameters." + key, "definition for this key is missing");
  }
  const auto own = it->find("firebreak");
  if (own == it->end()) return {};
  if (!own->is_object()) return wrong("parameters.firebreak", "expected value of type [object]");
  for (const auto& [key, value] : own->items()) {
    const std::string place = "parameters.firebreak." + key;
    if (key == "override") {
      if (!value.is_boolean()) return wrong(place, "expected value of type [boolean] but got [" + type_of(value) + "]");
      request.override_protected = value.get<bool>();
    } else if (key == "lease" && request.verb == Verb::isolate) {
      const auto ms = value.is_string() ? parse_duration_ms(value.get<std::string>()) : std::nullopt;
      if (!ms || *ms <= 0 || *ms > kMaxLeaseMs) return wrong(place, "a duration such as 30m or 4h, at most 365d");
      request.lease_ms = ms;
    } else {
      return wrong(place, "definition for this key is missing");
    }
  }
  return {};
}

Result<ActionRequest> request_of(const Call& call, Verb verb) {
  const Json body = parse_json(call.request.body);
  if (body.is_discarded() && !call.request.body.empty()) {
    return fail(ErrorCode::invalid_argument, "Invalid request payload JSON format");
  }
  if (!body.is_object()) {
    const std::string found = body.is_discarded() ? "null" : type_of(body);
    return wrong("", "expected a plain object value, but found [" + found + "] instead.");
  }
  ActionRequest request;
  request.verb = verb;
  FB_TRY(request.endpoint_ids, texts(body, "endpoint_ids", true));
  FB_TRY(request.alert_ids, texts(body, "alert_ids", false));
  FB_TRY(request.case_ids, texts(body, "case_ids", false));
  if (const auto it = body.find("comment"); it != body.end()) {
    if (!it->is_string()) return wrong("comment", "expected value of type [string] but got [" + type_of(*it) + "]");
    request.comment = it->get<std::string>();
    if (const size_t length = utf16_units(request.comment); length > kMaxComment) {
      return wrong("comment",
                   "value has length [" + std::to_string(length) + "] but it must have a maximum length of [30000].");
    }
  }
  if (const auto it = body.find("agent_type"); it != body.end()) {
    const std::string type = it->is_string() ? it->get<std::string>() : type_of(*it);
    if (!it->is_string() || std::find(kAgentTypes.begin(), kAgentTypes.end(), type) == kAgentTypes.end()) {
      return wrong("agent_type",
                   "expected value to equal [endpoint], [sentinel_one], [crowdstrike] or "
                   "[microsoft_defender_endpoint]");
    }
    if (type != "endpoint") return wrong("agent_type", "feature is disabled");
  }
  FB_TRY_VOID(read_parameters(body, request));
  for (const auto& [key, value] : body.items()) {
    if (key != "endpoint_ids" && key != "alert_ids" && key != "case_ids" && key != "comment" && key != "agent_type" &&
        key != "parameters") {
      return wrong(key, "definition for this key is missing");
    }
  }
  if (request.override_protected && request.comment.empty()) {
    return wrong("comment", "an override needs a comment that says why");
  }
  if (const auto it = call.request.headers.find("idempotency-key"); it != call.request.headers.end()) {
    if (it->second.empty() || it->second.size() > kMaxKeyBytes) {
      return fail(ErrorCode::invalid_argument, "[request headers.idempotency-key]: 1 to 256 bytes");
    }
    request.idempotency_key = it->second;
  }
  request.requested_by = call.actor();
  request.body = dumped(body);
  return request;
}

// Leaves out the ids that no endpoint has, and says so in the comment.
Status keep_known(ActionRequest& request, const std::vector<EndpointDetails>& known) {
  const auto is_known = [&](const std::string& id) {
    return std::any_of(known.begin(), known.end(),
                       [&](const EndpointDetails& d) { return d.endpoint.endpoint_id == id; });
  };
  std::vector<std::string> unknown;
  std::copy_if(request.endpoint_ids.begin(), request.endpoint_ids.end(), std::back_inserter(unknown),
               [&](const std::string& id) { return !is_known(id); });
  if (unknown.empty()) return {};
  std::erase_if(request.endpoint_ids, [&](const std::string& id) { return !is_known(id); });
  if (request.endpoint_ids.empty()) {
    return fail(ErrorCode::invalid_argument, "The host does not have Elastic Defend integration installed");
  }
  if (!request.comment.empty()) request.comment += ". ";
  request.comment += "(WARNING: The following agent ids are not valid: " + dumped(Json(unknown)) +
                     " and will not be included in action request)";
  return {};
}

// The whole request is refused: half of it done would be neither what was asked for nor nothing.
net::Response refuse_protected(const Call& call, const std::string& endpoint) {
  const Status noted = call.parts.store.note(call.actor(), "isolation_refused", endpoint,
                                             "protected, asked for without an override, from " + call.who.address);
  if (!noted) return failed(noted.error());
  return problem(403, "Endpoint authorization failure: endpoint '" + endpoint +
                          "' is protected; an isolation needs parameters.firebreak.override: true, a comment and "
                          "the approval of a second person");
}

Result<std::optional<ResponseEntry>> find_entry(const Call& call, const std::string& id) {
  ResponseFilter filter;
  filter.ids = {id};
  filter.limit = 1;
  FB_TRY(ResponsePage page, call.parts.store.response_actions(filter));
  if (page.entries.empty()) return std::optional<ResponseEntry>();
  return std::optional<ResponseEntry>(std::move(page.entries.front()));
}

net::Response answer_with(const Call& call, const std::string& id) {
  const auto entry = find_entry(call, id);
  if (!entry) return failed(entry.error());
  if (!*entry) return problem(500, "the action " + id + " is not in the record");
  return json(200, "{\"action\":" + Json(id).dump() + ",\"data\":" + action_document(**entry, true) + "}");
}

net::Response submit(const Call& call, Verb verb) {
  auto request = request_of(call, verb);
  if (!request) return failed(request.error());
  // What was done once is told again, whatever has become of its endpoints since.
  const auto before = call.parts.store.request_of_key(*request);
  if (!before) return failed(before.error());
  if (*before) return answer_with(call, **before);
  const auto known = call.parts.store.endpoint_details(request->endpoint_ids);
  if (!known) return failed(known.error());
  if (const Status kept = keep_known(*request, *known); !kept) return failed(kept.error());
  if (verb == Verb::isolate && !request->override_protected) {
    for (const EndpointDetails& d : *known) {
      if (d.endpoint.is_protected) return refuse_protected(call, d.endpoint.endpoint_id);
    }
  }
  const auto submitted = call.parts.store.submit(*request);
  if (!submitted) return failed(submitted.error());
  call.parts.wake_dispatcher();
  return answer_with(call, submitted->front().request_id);
}

net::Response details(const Call& call) {
  const std::string& id = call.params.at("id");
  const auto entry = find_entry(call, id);
  if (!entry) return failed(entry.error());
  if (!*entry) return problem(404, "Action with id '" + id + "' not found.");
  return json(200, "{\"data\":" + action_document(**entry, true) + "}");
}

struct ListCall {
  ResponseFilter filter;
  OrderedJson echo;
  bool nothing = false;  // asked for what there never is here
  bool all_outputs = true;
  std::vector<std::string> with_outputs;
};

Result<ListCall> list_call(const Call& call) {
  FB_TRY(const QueryValues query,
         QueryValues::read(call.request.target, {"agentIds", "agentTypes", "commands", "page", "pageSize", "startDate",
                                                 "endDate", "userIds", "statuses", "types", "withOutputs"}));
  ListCall list;
  ResponseFilter& f = list.filter;
  FB_TRY(const int64_t page, query.number("page", 1, 1, 1'000'000'000));
  FB_TRY(f.limit, query.number("pageSize", 10, 1, kMaxPageSize));
  f.skip = (page - 1) * f.limit;
  const int64_t now = call.parts.clock.wall_ms();
  FB_TRY(f.from_ms, query.date("startDate", QueryValues::Edge::first, now));
  FB_TRY(f.to_ms, query.date("endDate", QueryValues::Edge::last, now));
  FB_TRY(const auto agent_types, query.list_of("agentTypes", kAgentTypes));
  FB_TRY(const auto commands, query.list_of("commands", kCommands));
  FB_TRY(f.outcomes, query.list_of("statuses", {"failed", "pending", "successful"}));
  FB_TRY(const auto types, query.list_of("types", {"automated", "manual"}));
  FB_TRY(f.endpoint_ids, query.words("agentIds"));
  FB_TRY(f.users, query.words("userIds"));
  for (const std::string& command : commands) f.commands.push_back(command == "unisolate" ? "release" : command);
  const auto has = [](const std::vector<std::string>& words, const char* word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  if (has(types, "automated") != has(types, "manual")) f.automated = has(types, "automated");
  list.nothing = !agent_types.empty() && !has(agent_types, "endpoint");
  list.all_outputs = !query.has("withOutputs");
  FB_TRY(list.with_outputs, query.words("withOutputs"));
  list.echo = {{"page", page}, {"pageSize", f.limit}};
  if (query.has("startDate")) list.echo["startDate"] = query.text("startDate");
  if (query.has("endDate")) list.echo["endDate"] = query.text("endDate");
  if (!agent_types.empty()) list.echo["agentTypes"] = agent_types;
  if (!f.endpoint_ids.empty()) list.echo["elasticAgentIds"] = f.endpoint_ids;
  if (!f.users.empty()) list.echo["userIds"] = f.users;
  if (!commands.empty()) list.echo["commands"] = commands;
  if (!f.outcomes.empty()) list.echo["statuses"] = f.outcomes;
  return list;
}

net::Response list(const Call& call) {
  const auto asked = list_call(call);
  if (!asked) return failed(asked.error());
  ResponsePage page;
  if (!asked->nothing) {
    auto found = call.parts.store.response_actions(asked->filter);
    if (!found) return failed(found.error());
    page = std::move(*found);
  }
  std::string data;
  for (const ResponseEntry& entry : page.entries) {
    const bool outputs = asked->all_outputs || std::find(asked->with_outputs.begin(), asked->with_outputs.end(),
                                                         entry.id) != asked->with_outputs.end();
    data += (data.empty() ? "" : ",") + action_document(entry, outputs);
  }
  // The documents go in as they are: a page may have ten thousand.
  std::string body = dumped(asked->echo);
  body.pop_back();
  body += ",\"data\":[" + data + "],\"total\":" + std::to_string(page.total) + "}";
  return json(200, std::move(body));
}

// What Kibana's clients may ask for besides.
net::Response not_here(const Call& call) {
  return problem(501, "Firebreak isolates and releases hosts; it has no response action '" +
                          printable(call.params.at("command")) + "'");
}

Result<std::vector<std::string>> asked_agents(const QueryValues& query, const char* name) {
  FB_TRY(std::vector<std::string> ids, query.words(name));
  const std::string place = std::string("[request query.") + name + "]: ";
  if (ids.empty()) return fail(ErrorCode::invalid_argument, place + "expected at least one agent id");
  if (ids.size() > kMaxAskedAgents) {
    return fail(ErrorCode::invalid_argument,
                place + "array size is [" + std::to_string(ids.size()) + "], but cannot be greater than [50]");
  }
  return ids;
}

net::Response pending(const Call& call) {
  const auto query = QueryValues::read(call.request.target, {"agent_ids"});
  if (!query) return failed(query.error());
  const auto ids = asked_agents(*query, "agent_ids");
  if (!ids) return failed(ids.error());
  const auto counts = call.parts.store.open_counts(*ids);
  if (!counts) return failed(counts.error());
  std::string data;
  for (const std::string& id : *ids) {
    const auto found = counts->find(id);
    JsonText out(data);
    out.begin().text("agent_id", id);
    out.json("pending_actions", pending_document(found == counts->end() ? OpenCounts() : found->second)).end();
  }
  return json(200, "{\"data\":[" + data + "]}");
}

net::Response agent_status(const Call& call) {
  const auto query = QueryValues::read(call.request.target, {"agentIds", "agentType"});
  if (!query) return failed(query.error());
  const auto ids = asked_agents(*query, "agentIds");
  if (!ids) return failed(ids.error());
  const auto types = query->list_of("agentType", kAgentTypes);
  if (!types) return failed(types.error());
  // Endpoints of other kinds are not known here: nobody has these ids there.
  const std::string type = types->empty() ? "endpoint" : types->back();
  const auto known = call.parts.store.endpoint_details(*ids);
  if (!known) return failed(known.error());
  OrderedJson data = OrderedJson::object();
  for (const std::string& id : *ids) {
    const auto at = std::find_if(known->begin(), known->end(), [&](const EndpointDetails& d) {
      return type == "endpoint" && d.endpoint.endpoint_id == id;
    });
    OrderedJson one{{"agentId", id}, {"agentType", type}, {"found", at != known->end()}};
    one["isolated"] = at != known->end() && at->endpoint.observed == Isolation::isolated;
    one["lastSeen"] = at == known->end() ? std::string() : iso8601(at->endpoint.last_seen_ms);
    one["status"] = at == known->end() || at->revoked ? "unenrolled" : kibana_status(at->endpoint.status);
    one["pendingActions"] = at == known->end() ? OrderedJson::object() : parse_ordered_json(pending_document(at->open));
    data[id] = std::move(one);
  }
  return json(200, dumped(OrderedJson{{"data", data}}));
}

}  // namespace

void add_endpoint_actions_routes(Router& router) {
  const auto isolate = [](const Call& call) { return submit(call, Verb::isolate); };
  const auto release = [](const Call& call) { return submit(call, Verb::release); };
  router.add("POST", "/api/endpoint/action/isolate", Privilege::isolate, isolate);
  router.add("POST", "/api/endpoint/action/unisolate", Privilege::release, release);
  router.add("POST", "/api/endpoint/action/release", Privilege::release, release);
  router.add("POST", "/api/endpoint/action/{command}", Privilege::isolate, not_here);
  // The names of 7.x. Kibana answers 308 here, which curl without options does not follow.
  router.add("POST", "/api/endpoint/isolate", Privilege::isolate, isolate);
  router.add("POST", "/api/endpoint/unisolate", Privilege::release, release);
  router
      .add("GET", "/api/endpoint/action/state", Privilege::actions_read,
           [](const Call&) { return json(200, R"({"data":{"canEncrypt":true}})"); })
      .or_for(Privilege::isolate);
  router.add("GET", "/api/endpoint/action_status", Privilege::endpoints_read, pending);
  router.add("GET", "/api/endpoint/action", Privilege::actions_read, list)
      .slow_beyond({"page", "pageSize", "startDate", "endDate", "types", "withOutputs"});
  router.add("GET", "/api/endpoint/action/{id}", Privilege::actions_read, details);
  router.add("GET", "/internal/api/endpoint/agent_status", Privilege::endpoints_read, agent_status);
}

}  // namespace fb::api
