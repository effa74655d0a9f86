// Many rules at once: bulk actions, export, import.
#include <algorithm>
#include <map>

#include "api/api.h"
#include "api/exceptions/own_list.h"
#include "api/multipart.h"
#include "api/routes/answers.h"
#include "api/rules/answers.h"
#include "api/rules/bulk_edit.h"
#include "api/rules/isolating.h"
#include "api/rules/new_lists.h"
#include "api/rules/transfer.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxIds = 10'000;

std::string joined(const std::vector<std::string>& messages) {
  std::string all;
  for (const std::string& m : messages) all += (all.empty() ? "" : ", ") + m;
  return all;
}

// A switch of the query. Only the two words: what else a client may have meant by it is not guessed.
Result<bool> flag(const Call& call, const char* name) {
  const std::string word = call.query(name, "false");
  if (word == "true" || word == "false") return word == "true";
  return fail(ErrorCode::invalid_argument, std::string("[request query]: ") + name +
                                               ": Invalid enum value. Expected 'true' | 'false', received '" +
                                               printable(word.substr(0, 40)) + "'");
}

net::Response refused(const Error& error) {
  return error.code == ErrorCode::invalid_argument ? problem(400, error.message) : failed(error);
}

net::Response download(std::string body, const std::string& name) {
  net::Response r = ndjson(std::move(body));
  std::string plain;
  for (const char c : name) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
        c == '_') {
      plain += c;
    }
  }
  r.headers["Content-Disposition"] = "attachment; filename=\"" + (plain.empty() ? "export.ndjson" : plain) + "\"";
  return r;
}

// What became of a bulk action, in Kibana's shape.
struct Bulk {
  Json updated = Json::array();
  Json created = Json::array();
  Json deleted = Json::array();
  Json skipped = Json::array();
  Json errors = Json::array();
  size_t failed = 0;

  void error(const std::string& message, int status, const char* code, const Json& rule) {
    ++failed;
    for (Json& e : errors) {  // rules that fail alike stand together
      if (e["message"] == message && e["status_code"] == status) {
        e["rules"].push_back(rule);
        return;
      }
    }
    Json e{{"message", message}, {"status_code", status}};
    if (code != nullptr) e["err_code"] = code;
    e["rules"] = Json::array({rule});
    errors.push_back(std::move(e));
  }

  net::Response answer(bool dry_run) const {
    const size_t done = updated.size() + created.size() + deleted.size();
    const size_t total = done + skipped.size() + failed;
    const Json summary{{"failed", failed}, {"succeeded", done}, {"skipped", skipped.size()}, {"total", total}};
    // A trial names counts only: nothing was made.
    const Json none = Json::array();
    const Json results{{"updated", dry_run ? none : updated},
                       {"created", dry_run ? none : created},
                       {"deleted", dry_run ? none : deleted},
                       {"skipped", dry_run ? none : skipped}};
    if (failed == 0) {
      return json(200, dumped(Json{{"success", true},
                                   {"rules_count", total},
                                   {"attributes", {{"results", results}, {"summary", summary}}}}));
    }
    return json(500,
                dumped(Json{{"message", done + skipped.size() > 0 ? "Bulk edit partially failed" : "Bulk edit failed"},
                            {"status_code", 500},
                            {"attributes", {{"errors", errors}, {"results", results}, {"summary", summary}}}}));
  }
};

Json name_of(const RuleView& rule) {
  return Json{{"id", rule.id}, {"name", rule.name}};
}

// What the body says of a duplicate; true unless it says no.
bool copies(const Json& body, const char* what) {
  const auto how = body.find("duplicate");
  return how == body.end() || !how->contains(what) || (*how)[what] == true;
}

// "" or why the body says nothing that copies() could read.
std::string problem_of_duplicate(const Json& body) {
  const auto how = body.find("duplicate");
  if (how == body.end()) return "";
  const auto got = [](const Json& v) { return v.is_number() ? "number" : v.type_name(); };
  if (!how->is_object()) return std::string("duplicate: Expected object, received ") + got(*how);
  for (const char* key : {"include_exceptions", "include_expired_exceptions"}) {
    if (how->contains(key) && !(*how)[key].is_boolean()) {
      return std::string("duplicate.") + key + ": Expected boolean, received " + got((*how)[key]);
    }
  }
  return "";
}

using MaybeChange = RuleResult<std::optional<RuleDesk::Change>>;

// The change that the action asks for; nothing when the rule is so already.
MaybeChange change_of(const std::string& action, const RuleViewPtr& rule, const Json& body) {
  if (action == "delete") return RuleDesk::Change{rule, "deleted", "", ""};
  const auto built_on = [&rule](const char* what, auto derive) -> MaybeChange {
    RuleResult<std::string> doc = derive(*rule);
    if (!doc) return tl::unexpected(std::move(doc.error()));
    if (*doc == rule->doc && rule->problem.empty()) return std::nullopt;
    return RuleDesk::Change{rule, what, std::move(*doc), "",
                            [derive](const RuleView& r) -> RuleResult<std::string> { return derive(r); }};
  };
  if (action == "enable" || action == "disable") {
    const bool on = action == "enable";
    return built_on(on ? "enabled" : "disabled", [on](const RuleView& standing) {
      Json switched = parse_ordered_json(standing.doc);
      switched["enabled"] = on;
      return dumped(switched);
    });
  }
  if (action == "duplicate") {
    Json doc = parse_ordered_json(rule->doc);
    doc["name"] = doc.value("name", "") + " [Duplicate]";
    doc["enabled"] = false;
    doc["rule_id"] = new_uuid();
    if (!copies(body, "include_exceptions")) doc["exceptions_list"] = Json::array();
    return RuleDesk::Change{nullptr, "created", dumped(doc), ""};
  }
  return built_on("edited", [edits = dumped(body["edit"])](const RuleView& r) { return edited(r.doc, edits); });
}

// Those that are named, by id or by query.
RuleResult<std::vector<RuleViewPtr>> chosen(const Json& body, const RuleDesk& desk, Bulk& bulk) {
  std::vector<RuleViewPtr> rules;
  const auto ids = body.find("ids");
  if (ids != body.end() && body.contains("query") && body["query"] != "") {
    return tl::unexpected(refuse(400, "Both query and ids are sent. Define either ids or query in request payload."));
  }
  if (ids == body.end()) {
    const auto query = body.find("query");
    if (query != body.end() && !query->is_string()) return tl::unexpected(refuse_body({"query: must be a string"}));
    return desk.find(query == body.end() ? "" : query->get<std::string>(), {});
  }
  if (!ids->is_array() || ids->empty() || ids->size() > kMaxIds) {
    return tl::unexpected(refuse_body({"ids: must be an array of 1 to " + std::to_string(kMaxIds) + " strings"}));
  }
  for (const Json& id : *ids) {
    if (!id.is_string()) return tl::unexpected(refuse_body({"ids: must be an array of strings"}));
    RuleViewPtr rule = desk.by_id(id.get<std::string>());
    if (!rule) {
      bulk.error("Rule not found", 500, nullptr, Json{{"id", id}});
    } else if (std::find(rules.begin(), rules.end(), rule) == rules.end()) {
      rules.push_back(std::move(rule));
    }
  }
  return rules;
}

net::Response bulk_action(const Call& call, RuleDesk& desk) {
  Json body = parse_ordered_json(call.request.body);
  if (!body.is_object()) return problem(400, "[request body]: Expected object");
  // Clients say null where they say nothing; but only who leaves both out means every rule, as in Kibana.
  const auto unsaid = [&](const char* key) { return !body.contains(key) || body[key].is_null(); };
  if (unsaid("ids") && unsaid("query") && (body.contains("ids") || body.contains("query"))) {
    return problem(400, body.contains("ids") ? "[request body]: ids: Expected array, received null"
                                             : "[request body]: query: Expected string, received null");
  }
  for (const char* key : {"ids", "query", "edit", "duplicate"}) {
    if (body.contains(key) && body[key].is_null()) body.erase(key);
  }
  const std::string action =
      body.contains("action") && body["action"].is_string() ? body["action"].get<std::string>() : "";
  static constexpr std::string_view kActions[] = {"enable", "disable", "delete", "duplicate", "export", "edit"};
  if (std::find(std::begin(kActions), std::end(kActions), action) == std::end(kActions)) {
    return problem(400,
                   action == "run"
                       ? "[request body]: action: 'run' has no meaning here: rules look at every event as it comes"
                       : "[request body]: action: must be one of enable, disable, delete, duplicate, export, edit");
  }
  const auto trial = flag(call, "dry_run");
  if (!trial) return refused(trial.error());
  const bool dry_run = *trial;
  if (dry_run && action == "export") return siem_problem(400, "Export action doesn't support dry_run mode");
  if (action == "edit") {
    const auto edits = body.find("edit");
    if (const std::string bad = check_edits(edits == body.end() ? "" : dumped(*edits)); !bad.empty()) {
      return problem(400, "[request body]: " + bad);
    }
  }
  if (const std::string bad = action == "duplicate" ? problem_of_duplicate(body) : ""; !bad.empty()) {
    return problem(400, "[request body]: " + bad);
  }
  Bulk bulk;
  auto rules = chosen(body, desk, bulk);
  if (!rules) return answer(rules.error());
  if (action == "export") {
    std::vector<std::string> missing;
    for (const Json& e : bulk.errors) {
      for (const Json& rule : e["rules"]) missing.push_back(rule["id"].get<std::string>());
    }
    auto file = export_rules(call, *rules, missing, false);
    return file ? download(std::move(*file), "rules_export.ndjson") : failed(file.error());
  }

  std::vector<RuleDesk::Change> changes;
  std::vector<RuleViewPtr> of;
  std::map<std::string, std::vector<ExceptionRow>> made_lists;  // by the rule that is duplicated
  const auto drop_lists = [&](const std::string& id) {
    for (const ExceptionRow& list : made_lists[id]) (void)call.parts.store.exceptions().remove_list(list, call.actor());
  };
  for (const RuleViewPtr& rule : *rules) {
    if (rule->from_file && action != "duplicate") {
      bulk.error("the rule stands in a rule file; the API does not change it", 400, "IMMUTABLE", name_of(*rule));
      continue;
    }
    auto wanted = change_of(action, rule, body);
    if (!wanted) {
      bulk.error(joined(wanted.error().messages), wanted.error().status, nullptr, name_of(*rule));
      continue;
    }
    std::optional<RuleDesk::Change>& change = *wanted;
    if (!change) {
      Json skipped = name_of(*rule);
      skipped["skip_reason"] = "RULE_NOT_MODIFIED";
      bulk.skipped.push_back(std::move(skipped));
      continue;
    }
    // Before lists are copied for it. Edits that are made are judged by the rule as it stands then.
    const bool judged_here = action == "duplicate" || (dry_run && change->what != "deleted");
    if (judged_here && !author_of(call).may_isolate && isolates_anew(change->rule ? rule->doc : "", change->doc)) {
      bulk.error("the rule isolates hosts: that needs the privilege [isolate] too", 403, nullptr, name_of(*rule));
      continue;
    }
    if (dry_run && change->what != "deleted") {
      if (const auto good = desk.compile(change->doc); !good) {
        bulk.error(joined(good.error().messages), good.error().status, nullptr, name_of(*rule));
        continue;
      }
    }
    if (!dry_run && action == "duplicate") {
      auto doc =
          with_own_lists_copied(call, change->doc, copies(body, "include_expired_exceptions"), made_lists[rule->id]);
      if (!doc) {
        const Error& why = doc.error();
        const int status = why.retry == Retry::yes ? 503 : why.code == ErrorCode::limit ? 400 : 500;
        bulk.error(why.describe(), status, nullptr, name_of(*rule));
        drop_lists(rule->id);
        continue;
      }
      change->doc = std::move(*doc);
    }
    changes.push_back(std::move(*change));
    of.push_back(rule);
  }
  Json& made = action == "delete" ? bulk.deleted : action == "duplicate" ? bulk.created : bulk.updated;
  if (dry_run) {
    for (const RuleViewPtr& rule : of) made.push_back(name_of(*rule));
    return bulk.answer(true);
  }
  const auto results = desk.apply(std::move(changes), author_of(call));
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i]) {
      made.push_back(parse_ordered_json((*results[i])->answer));
    } else {
      bulk.error(joined(results[i].error().messages), results[i].error().status, nullptr, name_of(*of[i]));
      drop_lists(of[i]->id);
    }
  }
  return bulk.answer(false);
}

net::Response export_some(const Call& call, RuleDesk& desk) {
  std::vector<RuleViewPtr> rules;
  std::vector<std::string> missing;
  const Json body = call.request.body.empty() ? Json() : parse_ordered_json(call.request.body);
  if (body.is_discarded()) return problem(400, "[request body]: is not JSON");
  if (!body.is_null() && !body.is_object()) return problem(400, "[request body]: Expected object");
  if (body.is_object() && body.contains("objects") && !body["objects"].is_null()) {
    if (!body["objects"].is_array()) return problem(400, "[request body]: objects: must be an array");
    for (const Json& object : body["objects"]) {
      if (!object.is_object() || !object.contains("rule_id") || !object["rule_id"].is_string()) {
        return problem(400, "[request body]: objects: rule_id: must be a string");
      }
      const auto id = object["rule_id"].get<std::string>();
      if (RuleViewPtr rule = desk.by_rule_id(id)) {
        rules.push_back(std::move(rule));
      } else {
        missing.push_back(id);
      }
    }
  } else {
    const auto all = desk.find("", RuleSort{"created_at", true});
    if (!all) return answer(all.error());
    for (const RuleViewPtr& rule : *all) {
      if (!rule->from_file) rules.push_back(rule);
    }
  }
  const auto without_details = flag(call, "exclude_export_details");
  if (!without_details) return refused(without_details.error());
  auto file = export_rules(call, rules, missing, *without_details);
  return file ? download(std::move(*file), call.query("file_name", "export.ndjson")) : failed(file.error());
}

net::Response import_some(const Call& call, RuleDesk& desk) {
  const auto file = uploaded_ndjson(call.request);
  if (!file) return siem_problem(400, file.error().message);
  const auto connectors = flag(call, "overwrite_action_connectors");  // which are not taken anyway
  if (!connectors) return refused(connectors.error());
  const auto as_new_list = flag(call, "as_new_list");
  if (!as_new_list) return refused(as_new_list.error());
  const auto overwrite = flag(call, "overwrite");
  if (!overwrite) return refused(overwrite.error());
  const auto overwrite_exceptions = flag(call, "overwrite_exceptions");
  if (!overwrite_exceptions) return refused(overwrite_exceptions.error());
  const std::string renamed = *as_new_list ? with_new_lists(*file) : std::string();
  const std::string_view ndjson = *as_new_list ? std::string_view(renamed) : *file;
  auto done = import_rules(call, desk, ndjson, {*overwrite, *overwrite_exceptions});
  if (!done)
    return done.error().code == ErrorCode::limit ? siem_problem(400, done.error().message) : failed(done.error());
  return json(200, std::move(*done));
}

Handle with_desk(net::Response (*handle)(const Call&, RuleDesk&)) {
  return [handle](const Call& call) {
    RuleDesk* desk = desk_of(call);
    return desk == nullptr ? no_desk() : handle(call, *desk);
  };
}

}  // namespace

void add_rules_bulk_routes(Router& router) {
  router.add("POST", "/api/detection_engine/rules/_bulk_action", Privilege::rules_write, with_desk(bulk_action))
      .changes_rules();
  router.add("POST", "/api/detection_engine/rules/_export", Privilege::rules_read, with_desk(export_some))
      .only_reads()
      .slow();
  router.add("POST", "/api/detection_engine/rules/_import", Privilege::rules_write, with_desk(import_some))
      .takes_import()
      .slow();
}

}  // namespace fb::api
