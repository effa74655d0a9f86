// What a rule would have alerted on: over uploaded events, over a time range of the Kafka topics, or over the events
// behind the record's alerts. Nothing here can act.
#include <algorithm>
#include <set>
#include <utility>

#include "api/api.h"
#include "api/front.h"
#include "api/multipart.h"
#include "api/routes/answers.h"
#include "api/rules/answers.h"
#include "api/rules/preview.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/ir/typed.h"
#include "engine/model/ids.h"
#include "engine/record/queries.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxEvents = 100'000;
constexpr size_t kMaxAlerts = 10'000;
constexpr size_t kMaxBytes = 64u << 20;  // of events that are read from elsewhere, as EventRange has it
constexpr int64_t kMaxRuns = 100'000;

// What a preview runs over, and what it has to say about that.
struct Asked {
  Json rule;
  std::string source;  // upload, kafka, record
  int64_t from_ms = 0;
  int64_t to_ms = 0;
  PreviewInput input;
  bool complete = true;
  Json notices = Json::array();

  void note(const char* field, std::string message) {
    notices.push_back(Json{{"field", field}, {"message", std::move(message)}});
  }
};

void take_lines(std::string_view ndjson, Asked& out) {
  while (!ndjson.empty()) {
    const size_t end = ndjson.find('\n');
    const std::string_view line = ndjson.substr(0, end);
    ndjson.remove_prefix(end == std::string_view::npos ? ndjson.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (out.input.events.size() == kMaxEvents) {
      out.complete = false;
      out.note("file", "only the first " + std::to_string(kMaxEvents) + " events were looked at");
      return;
    }
    out.input.events.emplace_back(line);
  }
}

// A key of the request that is not the rule's; taken out of it.
Json taken_out(Json& rule, const char* key) {
  const auto it = rule.find(key);
  if (it == rule.end()) return nullptr;
  Json value = std::move(*it);
  rule.erase(key);
  return value;
}

RuleResult<int64_t> time_of(const Json& value, const char* key) {
  const auto ms = value.is_string() ? ir::parse_date_value(value.get_ref<const std::string&>()) : std::nullopt;
  if (!ms) return tl::unexpected(refuse_body({std::string(key) + ": must be a time such as 2026-11-21T20:00:00.000Z"}));
  return *ms;
}

// A JSON body (with `events` or without), or a form with the parts `rule` and `file`.
RuleResult<Asked> read_request(const Call& call) {
  Asked out;
  const auto type = call.request.headers.find("content-type");
  if (type != call.request.headers.end() && type->second.starts_with("multipart/")) {
    const auto parts = parse_form(type->second, call.request.body);
    if (!parts) return tl::unexpected(refuse_body({parts.error().message}));
    for (const FormPart& part : *parts) {
      if (part.name == "rule" && !is_nested_deeper(part.content)) {
        out.rule = parse_ordered_json(part.content);
      }
      if (part.name == "file") {
        take_lines(part.content, out);
        out.source = "upload";
      }
    }
  } else {
    out.rule = parse_ordered_json(call.request.body);
  }
  if (!out.rule.is_object()) return tl::unexpected(refuse_body({"is not a JSON object"}));
  if (const Json events = taken_out(out.rule, "events"); !events.is_null()) {
    if (!events.is_array()) return tl::unexpected(refuse_body({"events: Expected array"}));
    for (const Json& event : events) {
      if (out.input.events.size() == kMaxEvents) {
        out.complete = false;
        out.note("events", "only the first " + std::to_string(kMaxEvents) + " events were looked at");
        break;
      }
      out.input.events.push_back(event.is_string() ? event.get<std::string>() : dumped(event));
    }
    out.source = "upload";
  }
  const Json runs = taken_out(out.rule, "invocationCount");
  const Json end = taken_out(out.rule, "timeframeEnd");
  const Json start = taken_out(out.rule, "timeframeStart");
  const Json source = taken_out(out.rule, "source");
  if (out.source == "upload") return out;

  if (!source.is_null() && source != "kafka" && source != "record") {
    return tl::unexpected(refuse_body({"source: Invalid enum value. Expected 'kafka' | 'record'"}));
  }
  out.source = source == "record" || !call.parts.past_events ? "record" : "kafka";
  if (source == "kafka" && out.source != "kafka") {
    return tl::unexpected(refuse_body({"source: this service reads no Kafka topics"}));
  }
  if (end.is_null()) return tl::unexpected(refuse_body({"timeframeEnd: Required"}));
  const auto to = time_of(end, "timeframeEnd");
  if (!to) return tl::unexpected(to.error());
  out.to_ms = *to;
  if (!start.is_null()) {
    const auto from = time_of(start, "timeframeStart");
    if (!from) return tl::unexpected(from.error());
    out.from_ms = *from;
  } else {
    if (runs.is_null()) return tl::unexpected(refuse_body({"invocationCount: Required"}));
    if (!runs.is_number_integer() || runs < 1) {
      return tl::unexpected(refuse_body({"invocationCount: must be a whole number of at least 1"}));
    }
    const auto interval = out.rule.find("interval");
    const int64_t step = interval != out.rule.end() && interval->is_string()
                             ? parse_duration_ms(interval->get_ref<const std::string&>()).value_or(300'000)
                             : 300'000;
    out.from_ms = out.to_ms - std::min<int64_t>(runs.get<int64_t>(), kMaxRuns) * std::min<int64_t>(step, 86'400'000);
  }
  if (out.from_ms >= out.to_ms) return tl::unexpected(refuse_body({"timeframeStart: must be before timeframeEnd"}));
  return out;
}

Status take_from_kafka(const Call& call, Asked& asked) {
  EventRange range;
  range.from_ms = asked.from_ms;
  range.to_ms = asked.to_ms;
  range.max_events = kMaxEvents;
  range.max_bytes = kMaxBytes;
  FB_TRY(const PastRead read, call.parts.past_events(range, [&](std::string_view event) {
    asked.input.events.emplace_back(event);
    return true;
  }));
  asked.complete = read.complete;
  if (!read.complete) asked.note("timeframeEnd", "not all of the time was looked at: " + read.why);
  return {};
}

// The events that stand behind the record's alerts.
Status take_from_record(const Call& call, Asked& asked) {
  constexpr int64_t kAtOnce = 20;  // rows hold whole documents
  FB_TRY(const auto reader, call.reader());
  record::AlertFilter filter;
  filter.from_ms = asked.from_ms;
  filter.newest_first = false;
  filter.limit = kAtOnce;
  std::set<std::string> places;  // an event may stand behind several alerts
  size_t looked_at = 0;
  size_t bytes = 0;
  for (bool more = true; more && asked.complete;) {
    FB_TRY(const std::vector<record::AlertRow> rows, reader->alerts(filter));
    more = std::cmp_equal(rows.size(), kAtOnce);
    for (const record::AlertRow& row : rows) {
      filter.after_seq = row.seq;
      if (++looked_at > kMaxAlerts) {
        asked.complete = false;
        asked.note("timeframeEnd", "only the first " + std::to_string(kMaxAlerts) + " alerts were looked at");
        break;
      }
      const auto at = row.timestamp ? ir::parse_date_value(*row.timestamp) : std::nullopt;
      if (at && *at > asked.to_ms) continue;
      const std::string place = row.topic + ":" + std::to_string(row.partition) + ":" + std::to_string(row.offset);
      if (!places.insert(place).second) continue;
      FB_TRY(auto source, reader->alert_source(row.alert_id));
      if (!source) continue;
      bytes += source->size();
      if (bytes > kMaxBytes) {
        asked.complete = false;
        asked.note("timeframeEnd",
                   "only the first " + std::to_string(kMaxBytes >> 20) + " MiB of events were looked at");
        break;
      }
      asked.input.events.push_back(std::move(*source));
    }
  }
  asked.note("timeframeEnd", "only the events behind the record's alerts of that time were looked at");
  return {};
}

net::Response log_only(const std::vector<std::string>& errors, const std::string& started) {
  // Kibana's preview tells what is wrong with the rule in its log.
  const Json log{{"errors", errors}, {"warnings", Json::array()}, {"duration", 0}, {"startedAt", started}};
  return json(200, dumped(Json{{"previewId", new_uuid()}, {"logs", Json::array({log})}, {"isAborted", false}}));
}

net::Response preview_rule(const Call& call) {
  RuleDesk* desk = desk_of(call);
  if (desk == nullptr) return no_desk();
  auto asked = read_request(call);
  if (!asked) return answer(asked.error());
  // Its alerts carry the events themselves: who sent them has them, anybody else must be let to read alerts.
  if (asked->source != "upload" && !call.who.may(Privilege::alerts_read)) {
    return problem(
        403, "a preview over events of Kafka or of the record shows them: it needs the privilege [alerts_read] too");
  }
  auto shaped = shape_rule(dumped(asked->rule));
  if (!shaped) return answer(shaped.error());
  for (const std::string& key : shaped->left_out)
    asked->note(key.c_str(), "'" + key + "' is left out: no rule has this key");
  Json doc = parse_ordered_json(shaped->doc);
  if (!doc.contains("rule_id")) doc["rule_id"] = new_uuid();
  const auto compiled = desk->compile(dumped(doc));
  const std::string started = iso8601(call.parts.clock.wall_ms());
  if (!compiled) return log_only(compiled.error().messages, started);
  if (asked->source != "upload") {
    const Status taken = asked->source == "kafka" ? take_from_kafka(call, *asked) : take_from_record(call, *asked);
    if (!taken) return failed(taken.error());
  }
  const auto outcome = preview(*compiled, asked->input, call.parts.clock);
  if (!outcome) return failed(outcome.error());

  Json warnings = Json::array();
  for (const Diagnostic& d : compiled->diagnostics) warnings.push_back(d.message);
  for (const Json& note : asked->notices) warnings.push_back(note["message"]);
  const Json log{{"errors", Json::array()},
                 {"warnings", std::move(warnings)},
                 {"duration", outcome->took_ms},
                 {"startedAt", started}};
  Json firebreak{{"source", asked->source}};
  if (asked->source != "upload") {
    firebreak["from"] = iso8601(asked->from_ms);
    firebreak["to"] = iso8601(asked->to_ms);
  }
  firebreak["events"] = outcome->events;
  firebreak["refused"] = outcome->refused;
  firebreak["refused_reasons"] = outcome->refused_reasons;
  firebreak["alerts_count"] = outcome->alerts;
  firebreak["would_isolate"] = outcome->would_isolate;
  firebreak["notices"] = std::move(asked->notices);
  std::string body = dumped(Json{{"previewId", new_uuid()},
                                 {"logs", Json::array({log})},
                                 {"isAborted", outcome->aborted || !asked->complete},
                                 {"firebreak", std::move(firebreak)}});
  body.resize(body.size() - 2);  // the documents go in as they were made
  body += ",\"alerts\":[";
  for (size_t i = 0; i < outcome->documents.size(); ++i) body += (i == 0 ? "" : ",") + outcome->documents[i];
  return json(200, body + "]}}");
}

}  // namespace

void add_rules_preview_routes(Router& router) {
  router.add("POST", "/api/detection_engine/rules/preview", Privilege::rules_read, preview_rule).only_reads().slow();
}

}  // namespace fb::api
