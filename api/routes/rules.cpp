// Detection rules: create, read, change, delete, find; versions with diff and restore; preview.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "api/api.h"
#include "api/multipart.h"
#include "api/routes/answers.h"
#include "api/rules/answers.h"
#include "api/rules/preview.h"
#include "engine/base/text.h"
#include "engine/ir/typed.h"
#include "engine/model/ids.h"
#include "engine/record/queries.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& j) {
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A handler that needs the desk.
Handle with_desk(net::Response (*handle)(const Call&, RuleDesk&)) {
  return [handle](const Call& call) {
    RuleDesk* desk = desk_of(call);
    return desk == nullptr ? no_desk() : handle(call, *desk);
  };
}

std::optional<int64_t> whole_number(const std::string& text, int64_t least, int64_t most) {
  int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || v < least || v > most) return std::nullopt;
  return v;
}

// The rule that ?id= or ?rule_id= names.
RuleResult<RuleViewPtr> asked_for(const Call& call, const RuleDesk& desk) {
  const std::string id = call.query("id");
  const std::string rule_id = call.query("rule_id");
  if (id.empty() == rule_id.empty()) {
    return tl::unexpected(refuse(400, id.empty() ? "either \"id\" or \"rule_id\" must be set"
                                                 : "both \"id\" and \"rule_id\" can't be set, only one of them"));
  }
  RuleViewPtr rule = id.empty() ? desk.by_rule_id(rule_id) : desk.by_id(id);
  if (!rule) {
    return tl::unexpected(refuse(404, (id.empty() ? "rule_id: \"" + rule_id : "id: \"" + id) + "\" not found"));
  }
  return rule;
}

net::Response read_rule(const Call& call, RuleDesk& desk) {
  return answer(asked_for(call, desk));
}

net::Response remove_rule(const Call& call, RuleDesk& desk) {
  auto rule = asked_for(call, desk);
  if (!rule) return answer(rule.error());
  return answer(desk.remove(*rule, call.actor()));
}

net::Response find_rules(const Call& call, RuleDesk& desk) {
  const auto page = whole_number(call.query("page", "1"), 1, 1'000'000);
  const auto per_page = whole_number(call.query("per_page", "20"), 0, 10'000);
  if (!page) return problem(400, "[request query]: page: must be an integer of at least 1");
  if (!per_page) return problem(400, "[request query]: per_page: must be an integer from 0 to 10000");
  const std::string order = call.query("sort_order");
  const std::string field = call.query("sort_field");
  if (order.empty() != field.empty()) {
    return siem_problems(400, {"when \"sort_order\" and \"sort_field\" must exist together or not at all"});
  }
  if (!order.empty() && order != "asc" && order != "desc") {
    return problem(400, "[request query]: sort_order: must be 'asc' or 'desc'");
  }
  const auto found = desk.find(call.query("filter"), RuleSort{field, order == "asc"});
  if (!found) return answer(found.error());
  std::string body = "{\"page\":" + std::to_string(*page) + ",\"perPage\":" + std::to_string(*per_page) +
                     ",\"total\":" + std::to_string(found->size()) + ",\"data\":[";
  const auto first = static_cast<size_t>((*page - 1) * *per_page);
  for (size_t i = first; i < found->size() && i < first + static_cast<size_t>(*per_page); ++i) {
    if (i > first) body += ',';
    body += (*found)[i]->answer;
  }
  return json(200, body + "]}");
}

net::Response tags(const Call& /*call*/, RuleDesk& desk) {
  std::set<std::string> all;
  const auto rules = desk.find("", {});
  if (!rules) return answer(rules.error());
  for (const RuleViewPtr& rule : *rules) {
    for (const Json& tag : Json::parse(rule->doc).value("tags", Json::array())) all.insert(tag.get<std::string>());
  }
  return json(200, dumped(Json(all)));
}

net::Response versions(const Call& call, RuleDesk& desk) {
  const auto list = desk.versions(call.params.at("id"));
  if (!list) return failed(list.error());
  if (list->empty()) return problem(404, "no rule that came through the API is called '" + call.params.at("id") + "'");
  Json out = Json::array();
  for (const RuleVersion& v : *list) {
    out.push_back(Json{{"version", v.number},
                       {"at", iso8601(v.at_ms)},
                       {"author", v.author},
                       {"what", v.what},
                       {"rule", Json::parse(v.doc, nullptr, false)}});
  }
  return json(200, dumped(Json{{"id", list->back().id}, {"rule_id", list->back().rule_id}, {"versions", out}}));
}

net::Response diff(const Call& call, RuleDesk& desk) {
  const auto list = desk.versions(call.params.at("id"));
  if (!list) return failed(list.error());
  if (list->empty()) return problem(404, "no rule that came through the API is called '" + call.params.at("id") + "'");
  const int64_t newest = list->back().number;
  const auto to = whole_number(call.query("to", std::to_string(newest)), 1, newest);
  if (!to) return problem(404, "the rule has versions 1 to " + std::to_string(newest));
  const auto from = whole_number(call.query("from", std::to_string(std::max<int64_t>(1, *to - 1))), 1, newest);
  if (!from) return problem(404, "the rule has versions 1 to " + std::to_string(newest));
  const auto doc_of = [&](int64_t number) {
    const auto it = std::find_if(list->begin(), list->end(), [&](const RuleVersion& v) { return v.number == number; });
    return Json::parse(it->doc, nullptr, false);
  };
  const Json before = doc_of(*from);
  const Json after = doc_of(*to);
  Json changes = Json::array();
  std::set<std::string> keys;
  for (const auto& [key, value] : before.items()) keys.insert(key);
  for (const auto& [key, value] : after.items()) keys.insert(key);
  for (const std::string& key : keys) {
    const Json was = before.value(key, Json());
    const Json is = after.value(key, Json());
    if (was != is) changes.push_back(Json{{"field", key}, {"from", was}, {"to", is}});
  }
  return json(200, dumped(Json{{"id", list->back().id},
                               {"rule_id", list->back().rule_id},
                               {"from", *from},
                               {"to", *to},
                               {"changes", std::move(changes)}}));
}

net::Response restore(const Call& call, RuleDesk& desk) {
  const Json body = Json::parse(call.request.body, nullptr, false);
  if (!body.is_object() || !body.contains("version") || !body["version"].is_number_integer()) {
    return problem(400, R"(the body is {"version": N})");
  }
  return answer(desk.restore(call.params.at("id"), body["version"].get<int64_t>(), call.actor()));
}

// What a preview runs over, and what it has to say about that.
struct PreviewRequest {
  Json rule;
  PreviewInput input;
  std::string source;
  Json notices = Json::array();
};

constexpr size_t kMaxPreviewEvents = 100'000;

void take_lines(std::string_view ndjson, std::vector<std::string>& out) {
  while (!ndjson.empty() && out.size() < kMaxPreviewEvents) {
    const size_t end = ndjson.find('\n');
    const std::string_view line = ndjson.substr(0, end);
    ndjson.remove_prefix(end == std::string_view::npos ? ndjson.size() : end + 1);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) out.emplace_back(line);
  }
}

// A JSON body (with `events` or without), or a form with the parts `rule` and `file`.
RuleResult<PreviewRequest> preview_request(const Call& call) {
  PreviewRequest out;
  const auto type = call.request.headers.find("content-type");
  if (type != call.request.headers.end() && type->second.starts_with("multipart/")) {
    const auto parts = parse_form(type->second, call.request.body);
    if (!parts) return tl::unexpected(refuse_body({parts.error().message}));
    for (const FormPart& part : *parts) {
      if (part.name == "rule") out.rule = Json::parse(part.content, nullptr, false);
      if (part.name == "file") {
        take_lines(part.content, out.input.events);
        out.source = "upload";
      }
    }
  } else {
    out.rule = Json::parse(call.request.body, nullptr, false);
  }
  if (!out.rule.is_object()) return tl::unexpected(refuse_body({"is not a JSON object"}));
  if (const auto events = out.rule.find("events"); events != out.rule.end()) {
    if (!events->is_array()) return tl::unexpected(refuse_body({"events: must be an array"}));
    for (const Json& event : *events) {
      if (out.input.events.size() == kMaxPreviewEvents) break;
      out.input.events.push_back(event.is_string() ? event.get<std::string>() : dumped(event));
    }
    out.source = "upload";
    out.rule.erase("events");
  }
  for (const char* key : {"invocationCount", "timeframeEnd"}) {
    if (out.rule.contains(key) || out.source == "upload") continue;
    return tl::unexpected(refuse_body({std::string(key) + ": Required"}));
  }
  return out;
}

// Without uploaded events: those that stand behind the record's alerts, from the time that the request names.
Status take_recorded(const Call& call, PreviewRequest& request, const std::string& interval) {
  const int64_t runs = request.rule["invocationCount"].get<int64_t>();
  const auto end = ir::parse_date_value(request.rule["timeframeEnd"].get<std::string>());
  if (!end || runs < 1) {
    return fail(ErrorCode::invalid_argument, "timeframeEnd takes an ISO 8601 time, invocationCount a number from 1");
  }
  const int64_t step = parse_duration_ms(interval).value_or(300'000);
  FB_TRY(const auto reader, record::Reader::open(call.parts.store.db_path()));
  record::AlertFilter filter;
  filter.from_ms = *end - std::min<int64_t>(runs, 100'000) * step;
  filter.newest_first = false;
  filter.limit = 10'000;
  FB_TRY(const std::vector<record::AlertRow> rows, reader->alerts(filter));
  std::set<std::string> places;  // an event may stand behind several alerts
  for (const record::AlertRow& row : rows) {
    const auto at = row.timestamp ? ir::parse_date_value(*row.timestamp) : std::nullopt;
    if (at && *at > *end) continue;
    if (!places.insert(row.topic + ":" + std::to_string(row.partition) + ":" + std::to_string(row.offset)).second)
      continue;
    FB_TRY(auto source, reader->alert_source(row.alert_id));
    if (source) request.input.events.push_back(std::move(*source));
  }
  request.source = "record";
  request.notices.push_back(Json{{"field", "timeframeEnd"},
                                 {"message",
                                  "the events behind the record's alerts of that time were looked at; for others "
                                  "upload them in `events`"}});
  return {};
}

net::Response preview_rule(const Call& call, RuleDesk& desk) {
  auto request = preview_request(call);
  if (!request) return answer(request.error());
  Json rule = request->rule;
  rule.erase("invocationCount");
  rule.erase("timeframeEnd");
  auto shaped = shape_rule(dumped(rule));
  if (!shaped) return answer(shaped.error());
  Json doc = Json::parse(shaped->doc);
  if (!doc.contains("rule_id")) doc["rule_id"] = new_uuid();
  const auto compiled = desk.compile(dumped(doc));
  const std::string started = iso8601(call.parts.clock.wall_ms());
  if (!compiled) {
    // Kibana's preview tells what is wrong with the rule in its log.
    const Json log{
        {"errors", compiled.error().messages}, {"warnings", Json::array()}, {"duration", 0}, {"startedAt", started}};
    return json(200, dumped(Json{{"previewId", new_uuid()}, {"logs", Json::array({log})}, {"isAborted", false}}));
  }
  if (request->source.empty()) {
    if (const auto taken = take_recorded(call, *request, doc.value("interval", "5m")); !taken) {
      return failed(taken.error());
    }
  }
  const auto outcome = preview(*compiled, request->input, call.parts.clock);
  if (!outcome) return failed(outcome.error());
  std::string alerts = "[";
  for (const std::string& document : outcome->documents) alerts += (alerts.size() > 1 ? "," : "") + document;
  Json warnings = Json::array();
  for (const Diagnostic& d : compiled->diagnostics) warnings.push_back(d.message);
  const Json log{{"errors", Json::array()},
                 {"warnings", std::move(warnings)},
                 {"duration", outcome->took_ms},
                 {"startedAt", started}};
  Json firebreak{{"source", request->source},
                 {"events", outcome->events},
                 {"refused", outcome->refused},
                 {"refused_reasons", outcome->refused_reasons},
                 {"alerts_count", outcome->alerts},
                 {"would_isolate", outcome->would_isolate},
                 {"notices", std::move(request->notices)}};
  std::string body = dumped(Json{{"previewId", new_uuid()},
                                 {"logs", Json::array({log})},
                                 {"isAborted", outcome->aborted},
                                 {"firebreak", std::move(firebreak)}});
  body.resize(body.size() - 2);  // the documents go in as they were made
  return json(200, body + ",\"alerts\":" + alerts + "]}}");
}

}  // namespace

void add_rules_routes(Router& router) {
  constexpr const char* kRules = "/api/detection_engine/rules";
  router.add("POST", kRules, Privilege::rules_write, with_desk([](const Call& call, RuleDesk& desk) {
               return answer(desk.create(call.request.body, call.actor()));
             }));
  router.add("GET", kRules, Privilege::rules_read, with_desk(read_rule));
  router.add("PUT", kRules, Privilege::rules_write, with_desk([](const Call& call, RuleDesk& desk) {
               return answer(desk.replace(call.request.body, call.actor()));
             }));
  router.add("PATCH", kRules, Privilege::rules_write, with_desk([](const Call& call, RuleDesk& desk) {
               return answer(desk.patch(call.request.body, call.actor()));
             }));
  router.add("DELETE", kRules, Privilege::rules_write, with_desk(remove_rule));
  router.add("GET", "/api/detection_engine/rules/_find", Privilege::rules_read, with_desk(find_rules));
  router.add("POST", "/api/detection_engine/rules/preview", Privilege::rules_read, with_desk(preview_rule));
  router.add("GET", "/api/detection_engine/tags", Privilege::rules_read, with_desk(tags));
  router.add("GET", "/api/firebreak/rules/{id}/versions", Privilege::rules_read, with_desk(versions));
  router.add("GET", "/api/firebreak/rules/{id}/diff", Privilege::rules_read, with_desk(diff));
  router.add("POST", "/api/firebreak/rules/{id}/restore", Privilege::rules_write, with_desk(restore));
}

}  // namespace fb::api
