// An alert that was none: it is closed as such, and an exception for its rule is drafted from it, which the caller may
// look at, change and have made.
#include "api/api.h"
#include "api/exceptions/objects.h"
#include "api/exceptions/own_list.h"
#include "api/exceptions/requests.h"
#include "api/exceptions/rule_item.h"
#include "api/routes/answers.h"
#include "api/rules/answers.h"
#include "api/signals/search.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;
using By = ExceptionStore::By;

// The first text at a dotted path, nested or dotted.
std::string text_at(const Json& doc, const std::string& path) {
  if (const auto it = doc.find(path); it != doc.end()) return it->is_string() ? it->get<std::string>() : "";
  for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1)) {
    const auto it = doc.find(path.substr(0, dot));
    if (it == doc.end() || !it->is_object()) continue;
    if (std::string found = text_at(*it, path.substr(dot + 1)); !found.empty()) return found;
  }
  return {};
}

// What tells one program at one place from another; the host only where nothing else does.
Json entries_of(const Json& alert) {
  static constexpr const char* kTelling[] = {"process.executable", "process.hash.sha256", "process.command_line",
                                             "file.path",          "destination.ip",      "user.name"};
  Json entries = Json::array();
  const auto add = [&](const char* field) {
    const std::string value = text_at(alert, field);
    if (value.empty()) return;
    entries.push_back(Json{{"field", field}, {"operator", "included"}, {"type", "match"}, {"value", value}});
  };
  for (const char* field : kTelling) add(field);
  if (entries.empty()) {
    for (const char* field : {"process.name", "host.name", "agent.id"}) add(field);
  }
  return entries;
}

// The list that the exception goes into.
struct Into {
  RuleExceptionList list;
  bool own = true;        // the rule's own; else one that the request names
  bool is_there = false;  // else it is made with the exception
};

// The rule's own list, never one that other rules may share, unless the request names it: a false positive of one rule
// says nothing of what others find. not_found: the rule names no such list.
Result<Into> list_for(const Call& call, const RuleView* rule, const Json& alert, const std::string& rule_id,
                      const std::string& wanted) {
  std::vector<RuleExceptionList> lists;
  if (rule != nullptr) {
    lists = RuleDesk::exception_lists_of(rule->doc);
  } else if (const auto then = alert.find("kibana.alert.rule.exceptions_list"); then != alert.end()) {
    lists = RuleDesk::exception_lists_of(dumped(Json{{"exceptions_list", *then}}));
  }
  if (!wanted.empty()) {
    for (RuleExceptionList& list : lists) {
      // What isolated hosts may talk to excepts no events, whatever a rule calls that list.
      if (list.list_id != wanted || (list.agnostic && list.list_id == kIsolationList)) continue;
      FB_TRY(const auto row, call.parts.store.exceptions().list(list.agnostic, By::human_id, list.list_id));
      if (row) return Into{std::move(list), false, true};
    }
    return fail(ErrorCode::not_found, "the rule names no exception list '" + wanted.substr(0, 100) + "' that is there");
  }
  const std::string suggested = rule_id + "-exceptions";
  if (rule == nullptr) return Into{{suggested, "rule_default", false}, true, false};
  FB_TRY(OwnList own, own_list_of(call.parts.store, *rule, suggested));
  return Into{{std::move(own.list_id), "rule_default", false}, true, own.is_there};
}

net::Response lacking(const char* privilege) {
  return problem(403, std::string("making the exception needs the privilege ") + privilege);
}

struct Wanted {
  bool close = true;
  bool create = false;
  std::string comment;
  std::string list_id;  // "" = the rule's own
  Json entries;         // null: as drafted
};

Result<Wanted> read_body(const Call& call) {
  constexpr size_t kMaxComment = 30'000;
  Wanted out;
  const Json body = call.request.body.empty() ? Json::object() : parse_ordered_json(call.request.body);
  const auto wrong = [] {
    return fail(
        ErrorCode::invalid_argument,
        R"(the body is {"comment": "...", "close": true, "create_exception": false, "list_id": "...", "entries": [...]})");
  };
  if (!body.is_object()) return wrong();
  for (const auto& [key, value] : body.items()) {
    if (key == "comment" && value.is_string() && value.get_ref<const std::string&>().size() <= kMaxComment) {
      out.comment = value;
    } else if (key == "close" && value.is_boolean()) {
      out.close = value;
    } else if (key == "create_exception" && value.is_boolean()) {
      out.create = value;
    } else if (key == "list_id" && value.is_string()) {
      out.list_id = value;
    } else if (key == "entries" && value.is_array()) {
      out.entries = value;
    } else {
      return wrong();
    }
  }
  return out;
}

struct Made {
  std::string item;  // as it is answered
  Status in_force;   // tell_rules
};

Result<Made> make_item(const Call& call, const Into& to, const RuleViewPtr& rule, const std::string& rule_id,
                       const ItemSent& sent) {
  ExceptionRow row = new_item(sent, call.who.person, call.parts.clock.wall_ms());
  if (to.own) {
    FB_TRY(const AddedToOwn added, add_to_own_list(call, rule, {std::move(row)}, rule_id + "-exceptions"));
    return Made{answer_of(added.items.front()), added.in_force};
  }
  FB_TRY_VOID(check_rule_item(row, call.parts));
  FB_TRY(const auto added, call.parts.store.exceptions().add_items({row}, call.actor()));
  if (added.front().what != ExceptionStore::Added::done) {
    return fail(ErrorCode::conflict, "the exception list is full or was deleted meanwhile", row.list_id);
  }
  row.seq_no = added.front().seq_no;
  return Made{answer_of(row), tell_rules(call.parts, {&row, 1})};
}

net::Response false_positive(const Call& call) {
  const auto wanted = read_body(call);
  if (!wanted) return problem(400, wanted.error().message);
  const auto alert = one_alert(call.parts.store, call.params.at("id"));
  if (!alert) return failed(alert.error());
  const Json doc = parse_ordered_json(alert->doc);
  if (!doc.is_object()) return problem(500, "the alert's document can't be read");

  const RuleDesk* desk = call.parts.rules;
  const RuleViewPtr rule = desk == nullptr ? nullptr : desk->by_rule_id(alert->rule_id);
  const auto into = list_for(call, rule.get(), doc, alert->rule_id, wanted->list_id);
  if (!into) return failed(into.error());
  const Into& to = *into;
  const std::string rule_name = text_at(doc, "kibana.alert.rule.name");
  Json item{{"list_id", to.list.list_id},
            {"item_id", new_uuid()},
            {"namespace_type", to.list.agnostic ? "agnostic" : "single"},
            {"type", "simple"},
            {"name", "False positive of " + rule_name},
            {"description", "Drafted from the alert " + alert->alert_id},
            {"tags", Json::array()},
            {"os_types", Json::array()},
            {"comments", Json::array()},
            {"entries", wanted->entries.is_null() ? entries_of(doc) : wanted->entries}};
  if (!wanted->comment.empty()) item["comments"].push_back(Json{{"comment", wanted->comment}});

  Made made;
  if (wanted->create) {
    if (!call.who.may(Privilege::exceptions_write)) return lacking("exceptions_write");
    if (to.own && rule == nullptr) return problem(409, "the alert's rule is gone");
    if (to.own && rule->from_file && !names_as_own(*rule, to.list.list_id)) {
      return problem(409,
                     "the rule stands in a rule file and names no exception list of its own: name one of type "
                     "rule_default there, or send the list_id of one that it names");
    }
    const auto sent = read_item_body(dumped(item), BodyOf::create);
    if (!sent) return problem(400, sent.error().message);
    auto done = make_item(call, to, rule, alert->rule_id, *sent);
    if (!done) return failed(done.error());
    made = std::move(*done);
  }
  // Also when the rules can't take the exception yet: it is kept, so that nobody asks for all of this again.
  if (wanted->close) {
    const auto closed =
        Workflow(call.parts.store).set_status({alert->alert_id}, "closed", "false_positive", call.actor());
    if (!closed) return failed(closed.error());
  }
  if (!made.in_force) return failed(made.in_force.error());
  const bool drafted = made.item.empty();
  Json answer{{"draft", drafted},
              {"alert_id", alert->alert_id},
              {"rule_id", alert->rule_id},
              {"workflow_status", wanted->close ? "closed" : alert->status},
              {"list_exists", to.is_there || !drafted}};
  answer["exception_item"] = drafted ? std::move(item) : parse_ordered_json(made.item);
  return json(200, dumped(answer));
}

}  // namespace

void add_false_positives_routes(Router& router) {
  router.add("POST", "/api/firebreak/alerts/{id}/false_positive", Privilege::alerts_write, false_positive)
      .changes_rules();
}

}  // namespace fb::api
