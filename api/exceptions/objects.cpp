#include "api/exceptions/objects.h"

#include <algorithm>

#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> policies_in(const std::vector<std::string>& tags) {
  constexpr std::string_view kPrefix = "policy:";
  std::vector<std::string> policies;
  for (const std::string& tag : tags) {
    if (tag.starts_with(kPrefix)) policies.push_back(tag.substr(kPrefix.size()));
  }
  return policies;
}

// Only an item that was checked as a host isolation exception opens anything.
std::optional<OpenAddress> opens_of(const ExceptionRow& row, const ItemSent& sent) {
  if (!row.agnostic || row.list_id != kIsolationList) return std::nullopt;
  const Json entries = parse_ordered_json(sent.entries);
  if (!entries.is_array() || entries.size() != 1 || entries[0].value("field", "") != "destination.ip") {
    return std::nullopt;
  }
  const auto address = entries[0].find("value");
  if (address == entries[0].end() || !address->is_string()) return std::nullopt;
  return OpenAddress{row.id, address->get<std::string>(), sent.os_types, policies_in(sent.tags), sent.expires_at_ms};
}

Json comment_json(const CommentSent& sent, const std::string& who, const std::string& now) {
  return Json{{"comment", sent.text}, {"created_at", now}, {"created_by", who}, {"id", new_uuid()}};
}

// The members in the order of their names, as clients are used to see them.
void put_item(ExceptionRow& row, Json comments, const std::string& created_at, const std::string& created_by,
              const std::string& tie_breaker, const ItemSent& sent, const std::string& who, int64_t now_ms) {
  row.name = sent.name;
  row.updated_at_ms = now_ms;
  row.expires_at_ms = sent.expires_at_ms;
  row.opens = opens_of(row, sent);
  Json doc = Json::object();
  doc["comments"] = std::move(comments);
  doc["created_at"] = created_at;
  doc["created_by"] = created_by;
  doc["description"] = sent.description;
  doc["entries"] = parse_ordered_json(sent.entries_kept);
  if (sent.expire_time) doc["expire_time"] = *sent.expire_time;
  doc["id"] = row.id;
  doc["item_id"] = row.item_id;
  doc["list_id"] = row.list_id;
  if (sent.meta) doc["meta"] = parse_ordered_json(*sent.meta);
  doc["name"] = sent.name;
  doc["namespace_type"] = row.agnostic ? "agnostic" : "single";
  doc["os_types"] = sent.os_types;
  doc["tags"] = sent.tags;
  doc["tie_breaker_id"] = tie_breaker;
  doc["type"] = "simple";
  doc["updated_at"] = iso8601(now_ms);
  doc["updated_by"] = who;
  row.doc = dumped(doc);
}

void put_list(ExceptionRow& row, const Json& old, const ListSent& sent, const std::string& who, int64_t now_ms) {
  const auto kept = [&old](const char* key, Json otherwise) {
    const auto it = old.find(key);
    return it == old.end() ? std::move(otherwise) : *it;
  };
  row.name = sent.name;
  row.updated_at_ms = now_ms;
  const std::string now = iso8601(now_ms);
  Json doc = Json::object();
  doc["created_at"] = kept("created_at", now);
  doc["created_by"] = kept("created_by", who);
  doc["description"] = sent.description;
  doc["id"] = row.id;
  doc["immutable"] = false;
  doc["list_id"] = row.list_id;
  if (sent.meta) {
    doc["meta"] = parse_ordered_json(*sent.meta);
  } else if (old.contains("meta")) {
    doc["meta"] = old["meta"];
  }
  doc["name"] = sent.name;
  doc["namespace_type"] = row.agnostic ? "agnostic" : "single";
  doc["os_types"] = sent.os_types ? Json(*sent.os_types) : kept("os_types", Json::array());
  doc["tags"] = sent.tags ? Json(*sent.tags) : kept("tags", Json::array());
  doc["tie_breaker_id"] = kept("tie_breaker_id", new_uuid());
  doc["type"] = sent.type;
  doc["updated_at"] = now;
  doc["updated_by"] = who;
  doc["version"] = sent.version ? Json(*sent.version) : kept("version", 1);
  row.doc = dumped(doc);
}

}  // namespace

std::string version_token(int64_t seq_no) {
  return base64("[" + std::to_string(seq_no) + ",1]");
}

Result<int64_t> read_version_token(std::string_view token) {
  const auto wrong = [&] { return fail(ErrorCode::invalid_argument, "Invalid version [" + std::string(token) + "]"); };
  const auto text = unbase64(token);
  if (!text) return wrong();
  const Json pair = parse_ordered_json(*text);
  if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_integer() || !pair[1].is_number_integer()) {
    return wrong();
  }
  return pair[1] == 1 ? pair[0].get<int64_t>() : int64_t{-1};
}

std::string answer_of(const ExceptionRow& row) {
  return "{\"_version\":\"" + version_token(row.seq_no) + "\"," + row.doc.substr(1);
}

Status check_list(const ListSent& sent) {
  if (sent.list_id != kIsolationList) return {};
  const auto wrong = [](const char* key, const char* wanted) {
    return fail(ErrorCode::invalid_argument,
                std::string("EndpointArtifactError: [") + key + "]: expected value to equal " + wanted);
  };
  if (!sent.agnostic) return wrong("namespaceType", "[agnostic]");
  if (sent.type != "endpoint" && sent.type != kIsolationList) {
    return wrong("type", "[endpoint] or [endpoint_host_isolation_exceptions]");
  }
  return {};
}

ExceptionRow new_list(const ListSent& sent, const std::string& who, int64_t now_ms) {
  ExceptionRow row;
  row.id = new_uuid();
  row.agnostic = sent.agnostic;
  row.list_id = sent.list_id.empty() ? new_uuid() : sent.list_id;
  row.created_at_ms = now_ms;
  put_list(row, Json::object(), sent, who, now_ms);
  return row;
}

ExceptionRow changed_list(const ExceptionRow& row, const ListSent& sent, const std::string& who, int64_t now_ms) {
  ExceptionRow changed = row;
  put_list(changed, parse_ordered_json(row.doc), sent, who, now_ms);
  return changed;
}

ExceptionRow new_item(const ItemSent& sent, const std::string& who, int64_t now_ms) {
  ExceptionRow row;
  row.id = new_uuid();
  row.agnostic = sent.agnostic;
  row.list_id = sent.list_id;
  row.item_id = sent.item_id.empty() ? new_uuid() : sent.item_id;
  row.created_at_ms = now_ms;
  const std::string now = iso8601(now_ms);
  Json comments = Json::array();
  for (const CommentSent& c : sent.comments) comments.push_back(comment_json(c, who, now));
  put_item(row, std::move(comments), now, who, new_uuid(), sent, who, now_ms);
  return row;
}

Result<ExceptionRow> changed_item(const ExceptionRow& row, const ItemSent& sent, const std::string& who,
                                  int64_t now_ms) {
  const Json old = parse_ordered_json(row.doc);
  if (!old.is_object()) return fail(ErrorCode::corrupt, "the document of an exception is not JSON", row.id);
  const std::string now = iso8601(now_ms);
  Json comments = old.value("comments", Json::array());
  bool appended = false;
  for (const CommentSent& c : sent.comments) {
    if (c.id.empty()) {
      comments.push_back(comment_json(c, who, now));
      appended = true;
      continue;
    }
    if (appended) return fail(ErrorCode::invalid_argument, "item \"comments\" are append only");
    const auto mine =
        std::find_if(comments.begin(), comments.end(), [&c](const Json& one) { return one.value("id", "") == c.id; });
    if (mine == comments.end()) {
      return fail(ErrorCode::not_found, "item \"comments\" has no comment with id: \"" + c.id + "\"");
    }
    // Clients send back what they read, others' comments too: only another text is a change.
    if (mine->value("comment", "") == c.text) continue;
    if (mine->value("created_by", "") != who) {
      return fail(ErrorCode::refused, "only its author can change the comment with id: \"" + c.id + "\"");
    }
    (*mine)["comment"] = c.text;
    (*mine)["updated_at"] = now;
    (*mine)["updated_by"] = who;
  }
  ExceptionRow changed = row;
  if (!sent.item_id.empty()) changed.item_id = sent.item_id;
  put_item(changed, std::move(comments), old.value("created_at", now), old.value("created_by", who),
           old.value("tie_breaker_id", ""), sent, who, now_ms);
  return changed;
}

bool is_isolation_item(const ExceptionRow& row) {
  return row.agnostic && row.list_id == kIsolationList;
}

}  // namespace fb::api
