#include "engine/pipeline/alert_document.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/event/json_tree.h"
#include "engine/model/rule_uuid.h"
#include "engine/ports/endpoint_directory.h"

namespace fb {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kYear0Ms = -62'167'219'200'000;
constexpr int64_t kYear10000Ms = 253'402'300'800'000;

// Keys and values of one object to be, in order; a key may stand there several times.
using Members = std::vector<std::pair<std::string_view, const JsonNode*>>;

Json to_json(const JsonNode& node);

// Appends without looking whether the key is there: nlohmann's ordered object looks at every key it has, and an event
// may have 20,000.
void append(Json& object, std::string key, Json value) {
  object.get_ref<Json::object_t&>().emplace_back(std::move(key), std::move(value));
}

Members members_of(const JsonNode& object) {
  Members out;
  out.reserve(object.members.size());
  for (const auto& [key, value] : object.members) out.emplace_back(key, &value);
  return out;
}

void to_object(const Members& members, std::string_view prefix, Json& out);

// The values of one key, which may be repeated: more values of one field. Objects are merged, all else is one array.
Json joined(const std::vector<const JsonNode*>& values) {
  if (values.size() == 1) return to_json(*values.front());
  const bool objects = std::all_of(values.begin(), values.end(),
                                   [](const JsonNode* value) { return value->kind == JsonNode::Kind::object; });
  if (objects) {
    Members all;
    for (const JsonNode* value : values) {
      for (const auto& [key, inner] : value->members) all.emplace_back(key, &inner);
    }
    Json out = Json::object();
    to_object(all, "", out);
    return out;
  }
  Json out = Json::array();
  for (const JsonNode* value : values) {
    if (value->kind != JsonNode::Kind::array) {
      out.push_back(to_json(*value));
      continue;
    }
    for (const JsonNode& item : value->items) out.push_back(to_json(item));
  }
  return out;
}

// `out` has none of the keys yet.
void to_object(const Members& members, std::string_view prefix, Json& out) {
  std::unordered_map<std::string_view, size_t> at;
  std::vector<std::pair<std::string_view, std::vector<const JsonNode*>>> fields;
  for (const auto& [key, value] : members) {
    const auto [place, fresh] = at.try_emplace(key, fields.size());
    if (fresh) fields.push_back({key, {}});
    fields[place->second].second.push_back(value);
  }
  for (const auto& [key, values] : fields) append(out, std::string(prefix) + std::string(key), joined(values));
}

Json to_json(const JsonNode& node) {
  switch (node.kind) {
    case JsonNode::Kind::null:
      return nullptr;
    case JsonNode::Kind::boolean:
      return node.truth;
    case JsonNode::Kind::number:
      if (node.number.kind == Number::Kind::signed_integer) return node.number.i;
      if (node.number.kind == Number::Kind::unsigned_integer) return node.number.u;
      // Infinity is a number too large for a double; its text is the truth then.
      if (node.number.d - node.number.d != 0) return node.text;
      return node.number.d;
    case JsonNode::Kind::string:
      return node.text;
    case JsonNode::Kind::array: {
      Json out = Json::array();
      for (const JsonNode& item : node.items) out.push_back(to_json(item));
      return out;
    }
    case JsonNode::Kind::object: {
      Json out = Json::object();
      to_object(members_of(node), "", out);
      return out;
    }
  }
  return nullptr;
}

bool is_kibana_key(std::string_view key) {
  return key == "kibana" || key.starts_with("kibana.");
}

// The first text at a path, in the dotted or the nested spelling; "" when absent.
std::string text_at(const Json& doc, const std::string& path) {
  const auto as_text = [](const Json& v) -> std::string {
    if (v.is_string()) return v.get<std::string>();
    if (v.is_number()) return v.dump();
    if (v.is_array() && !v.empty() && v[0].is_string()) return v[0].get<std::string>();
    return {};
  };
  if (!doc.is_object()) return {};
  if (const auto it = doc.find(path); it != doc.end()) return as_text(*it);
  for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1)) {
    const auto it = doc.find(path.substr(0, dot));
    if (it == doc.end()) continue;
    if (std::string found = text_at(*it, path.substr(dot + 1)); !found.empty()) return found;
  }
  return {};
}

// The event's own fields, without what only an alert may say.
Json source_fields(const JsonNode& event) {
  Members members = members_of(event);
  std::erase_if(members, [](const auto& member) { return is_kibana_key(member.first); });
  Json out = Json::object();
  to_object(members, "", out);
  return out;
}

// event.*, in every spelling, as kibana.alert.original_event.*.
void copy_original_event(const JsonNode& event, Json& out) {
  constexpr std::string_view kDotted = "event.";
  Members members;
  for (const auto& [key, value] : event.members) {
    if (key == "event" && value.kind == JsonNode::Kind::object) {
      for (const auto& [inner, v] : value.members) members.emplace_back(inner, &v);
    } else if (key.starts_with(kDotted)) {
      members.emplace_back(std::string_view(key).substr(kDotted.size()), &value);
    }
  }
  to_object(members, "kibana.alert.original_event.", out);
}

JsonNode event_of(const Alert& alert) {
  auto tree = parse_json_tree(alert.source);
  if (tree && tree->kind == JsonNode::Kind::object) return std::move(*tree);
  JsonNode none;
  none.kind = JsonNode::Kind::object;
  return none;
}

std::string reason_of(const Json& source, const Alert& alert) {
  std::string reason = text_at(source, "event.category");
  reason = reason.empty() ? "event" : reason + " event";
  const auto add = [&](const char* words, const char* path) {
    const std::string value = text_at(source, path);
    if (!value.empty()) reason += std::string(words) + value;
  };
  add(" with process ", "process.name");
  add(", parent process ", "process.parent.name");
  add(", file ", "file.path");
  add(", destination ", "destination.ip");
  add(", by ", "user.name");
  add(" on ", "host.name");
  reason += " created " + std::string(to_string(alert.rule->severity)) + " alert " + alert.rule->name + ".";
  return reason;
}

}  // namespace

std::string alert_reason(const Alert& alert) {
  return reason_of(source_fields(event_of(alert)), alert);
}

std::string alert_rule_members(const RuleMeta& rule) {
  Json doc = Json::object();
  const Json parameters = parse_ordered_json(rule.parameters);
  doc["kibana.alert.rule.category"] = "Custom Query Rule";
  doc["kibana.alert.rule.producer"] = "siem";
  doc["kibana.alert.rule.consumer"] = "siem";
  doc["kibana.alert.rule.rule_type_id"] = "siem.queryRule";
  doc["kibana.alert.rule.execution.type"] = "scheduled";
  // What the API shows as the rule's id: that is how one gets from an alert to its rule.
  doc["kibana.alert.rule.uuid"] = file_rule_uuid(rule.rule_id);
  doc["kibana.alert.rule.rule_id"] = rule.rule_id;
  doc["kibana.alert.rule.name"] = rule.name;
  doc["kibana.alert.rule.description"] = rule.description;
  doc["kibana.alert.rule.type"] = rule.type;
  doc["kibana.alert.rule.enabled"] = rule.enabled;
  doc["kibana.alert.rule.severity"] = to_string(rule.severity);
  doc["kibana.alert.rule.risk_score"] = rule.risk_score;
  doc["kibana.alert.rule.tags"] = rule.tags;
  doc["kibana.alert.rule.immutable"] = !is_of_api(rule);  // as the API shows it
  if (parameters.is_object()) {
    // A rule of the API has an id beside its rule_id, as in Kibana.
    if (const auto id = parameters.find("id"); is_of_api(rule) && id != parameters.end() && id->is_string()) {
      doc["kibana.alert.rule.uuid"] = *id;
    }
    for (const char* key : {"threat",
                            "references",
                            "false_positives",
                            "author",
                            "license",
                            "note",
                            "exceptions_list",
                            "from",
                            "to",
                            "interval",
                            "max_signals",
                            "version",
                            "index",
                            "building_block_type",
                            "timestamp_override",
                            "rule_name_override",
                            "severity_mapping",
                            "risk_score_mapping",
                            "alert_suppression",
                            "actions",
                            "namespace",
                            "meta",
                            "timeline_id",
                            "timeline_title",
                            "throttle"}) {
      const auto it = parameters.find(key);
      if (it == parameters.end()) continue;
      doc[std::string("kibana.alert.rule.") + (std::string_view(key) == "index" ? "indices" : key)] = *it;
    }
    if (const auto it = parameters.find("building_block_type"); it != parameters.end()) {
      doc["kibana.alert.building_block_type"] = *it;
    }
    doc["kibana.alert.rule.parameters"] = parameters;
  }
  const std::string text = dumped(doc);
  return text.substr(1, text.size() - 2);
}

std::string alert_document(const Alert& alert, const std::string& rule_set_hash, const std::string& rule_members) {
  const JsonNode event = event_of(alert);
  const Json source = source_fields(event);
  const RuleMeta& rule = *alert.rule;
  const std::string at = iso8601(alert.read_time_ms);

  Json doc = source;
  doc["@timestamp"] = at;
  copy_original_event(event, doc);
  doc.erase("event.kind");
  if (doc.contains("event") && doc["event"].is_object()) {
    doc["event"]["kind"] = "signal";
  } else {
    doc["event.kind"] = "signal";
  }

  const SourcePosition& p = alert.position;
  const std::string source_id = p.topic + ":" + std::to_string(p.partition) + ":" + std::to_string(p.offset);
  doc["kibana.space_ids"] = Json::array({"default"});
  doc["kibana.alert.uuid"] = alert.alert_id;
  doc["kibana.alert.start"] = at;
  doc["kibana.alert.last_detected"] = at;
  doc["kibana.alert.intended_timestamp"] = at;
  // As the event says, when that can be written as a date at all.
  const int64_t claimed = alert.claimed_time_ms.value_or(alert.event_time_ms);
  const bool writable = claimed >= kYear0Ms && claimed < kYear10000Ms;
  doc["kibana.alert.original_time"] = iso8601(writable ? claimed : alert.event_time_ms);
  doc["kibana.alert.ancestors"] = Json::array(
      {Json{{"id", source_id}, {"type", "event"}, {"index", p.topic.empty() ? p.cluster : p.topic}, {"depth", 0}}});
  doc["kibana.alert.depth"] = 1;
  doc["kibana.alert.status"] = "active";
  doc["kibana.alert.workflow_status"] = "open";
  doc["kibana.alert.workflow_tags"] = Json::array();
  if (alert.target.identity_mismatch) doc["kibana.alert.workflow_tags"].push_back(Resolved::kMismatch);
  if (alert.clock_skew) doc["kibana.alert.workflow_tags"].push_back("clock_skew");
  doc["kibana.alert.workflow_assignee_ids"] = Json::array();
  doc["kibana.alert.reason"] = reason_of(source, alert);
  doc["kibana.alert.severity"] = to_string(rule.severity);
  doc["kibana.alert.risk_score"] = rule.risk_score;

  doc["firebreak.rule.hash"] = rule.hash;
  doc["firebreak.rule_set"] = rule_set_hash;
  if (alert.clock_skew) {
    doc["firebreak.clock_skew"] = true;
    doc["firebreak.event_time"] = iso8601(alert.event_time_ms);
  }
  doc["firebreak.source"] = Json{
      {"cluster", p.cluster}, {"topic", p.topic}, {"epoch", p.epoch}, {"partition", p.partition}, {"offset", p.offset}};
  std::string text = dumped(doc);
  text.back() = ',';
  text += rule_members;
  text += '}';
  return text;
}

}  // namespace fb
