// An alert that was none: it is closed as such, and an exception for its rule is drafted from it, which the caller may
// look at, change and have made.
#include "api/api.h"
#include "api/exceptions/objects.h"
#include "api/exceptions/requests.h"
#include "api/exceptions/rule_item.h"
#include "api/routes/answers.h"
#include "api/rules/answers.h"
#include "api/signals/search.h"
#include "engine/base/json.h"
#include "engine/base/text.h"
#include "engine/model/ids.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;
using By = ExceptionStore::By;

std::string dumped(const Json& j) {
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

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

// The list that the rule's exceptions go into.
struct ListOf {
  RuleExceptionList list;
  bool named = false;  // the rule names it already
};

ListOf list_of(const RuleView* rule, const Json& alert, const std::string& rule_id) {
  std::vector<RuleExceptionList> lists;
  if (rule != nullptr) {
    lists = RuleDesk::exception_lists_of(rule->doc);
  } else if (const auto then = alert.find("kibana.alert.rule.exceptions_list"); then != alert.end()) {
    lists = RuleDesk::exception_lists_of(dumped(Json{{"exceptions_list", *then}}));
  }
  for (const char* type : {"rule_default", "detection"}) {
    for (RuleExceptionList& list : lists) {
      // What isolated hosts may talk to excepts no events, whatever a rule calls that list.
      if (list.agnostic && list.list_id == kIsolationList) continue;
      if (list.type == type && !list.list_id.empty()) return {std::move(list), true};
    }
  }
  return {{rule_id + "-exceptions", "rule_default", false}, false};
}

net::Response lacking(const char* privilege) {
  return problem(403, std::string("making the exception needs the privilege ") + privilege);
}

struct Wanted {
  bool close = true;
  bool create = false;
  std::string comment;
  Json entries;  // null: as drafted
};

Result<Wanted> read_body(const Call& call) {
  constexpr size_t kMaxComment = 30'000;
  Wanted out;
  const Json body = call.request.body.empty() ? Json::object() : parse_ordered_json(call.request.body);
  const auto wrong = [] {
    return fail(ErrorCode::invalid_argument,
                R"(the body is {"comment": "...", "close": true, "create_exception": false, "entries": [...]})");
  };
  if (!body.is_object()) return wrong();
  for (const auto& [key, value] : body.items()) {
    if (key == "comment" && value.is_string() && value.get_ref<const std::string&>().size() <= kMaxComment) {
      out.comment = value;
    } else if (key == "close" && value.is_boolean()) {
      out.close = value;
    } else if (key == "create_exception" && value.is_boolean()) {
      out.create = value;
    } else if (key == "entries" && value.is_array()) {
      out.entries = value;
    } else {
      return wrong();
    }
  }
  return out;
}

// Makes the list where there is none, and lets the rule name it.
Status prepare_list(const Call& call, const ListOf& to, const RuleViewPtr& rule, const std::string& rule_name) {
  ExceptionStore store = call.parts.store.exceptions();
  FB_TRY(auto row, store.list(to.list.agnostic, By::human_id, to.list.list_id));
  if (!row) {
    ListSent sent;
    sent.list_id = to.list.list_id;
    sent.name = "Exceptions of " + rule_name;
    sent.description = "Made for the false positives of a rule";
    sent.type = to.list.type;
    sent.agnostic = to.list.agnostic;
    row = new_list(sent, call.who.person, call.parts.clock.wall_ms());
    const auto added = store.add_list(*row, call.actor());
    if (!added) return tl::unexpected<Error>(added.error());
  }
  if (to.named) return {};
  Json doc = parse_ordered_json(rule->doc);
  doc["exceptions_list"].push_back(Json{{"id", row->id},
                                        {"list_id", row->list_id},
                                        {"type", to.list.type},
                                        {"namespace_type", to.list.agnostic ? "agnostic" : "single"}});
  const auto changed = call.parts.rules->apply({{rule, "edited", dumped(doc), ""}}, call.actor());
  if (!changed.front()) {
    return fail(changed.front().error().status == 409 ? ErrorCode::conflict : ErrorCode::refused,
                changed.front().error().messages.front());
  }
  return {};
}

// The item as it was made.
Result<std::string> make_item(const Call& call, const ItemSent& sent) {
  const ExceptionRow row = new_item(sent, call.who.person, call.parts.clock.wall_ms());
  FB_TRY_VOID(check_rule_item(row, call.parts));
  ExceptionStore store = call.parts.store.exceptions();
  FB_TRY(const auto added, store.add_items({row}, call.actor()));
  if (added.front().what != ExceptionStore::Added::done) {
    return fail(ErrorCode::conflict, "the exception list is full or was deleted meanwhile", row.list_id);
  }
  tell_rules(call.parts);
  ExceptionRow made = row;
  made.seq_no = added.front().seq_no;
  return answer_of(made);
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
  const ListOf to = list_of(rule.get(), doc, alert->rule_id);
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

  std::string made;
  if (wanted->create) {
    if (!call.who.may(Privilege::exceptions_write)) return lacking("exceptions_write");
    if (!to.named && !call.who.may(Privilege::rules_write)) return lacking("rules_write");
    if (!to.named && (rule == nullptr || rule->from_file)) {
      return problem(409, rule == nullptr
                              ? "the alert's rule is gone"
                              : "the rule stands in a rule file and names no exception list: name one there, then make "
                                "the exception");
    }
    const auto sent = read_item_body(dumped(item), BodyOf::create);
    if (!sent) return problem(400, sent.error().message);
    if (const Status ready = prepare_list(call, to, rule, rule_name); !ready) return failed(ready.error());
    auto done = make_item(call, *sent);
    if (!done) return failed(done.error());
    made = std::move(*done);
  }
  if (wanted->close) {
    const auto closed =
        Workflow(call.parts.store).set_status({alert->alert_id}, "closed", "false_positive", call.actor());
    if (!closed) return failed(closed.error());
  }
  Json answer{{"draft", made.empty()},
              {"alert_id", alert->alert_id},
              {"rule_id", alert->rule_id},
              {"workflow_status", wanted->close ? "closed" : alert->status},
              {"list_exists", to.named || !made.empty()}};
  answer["exception_item"] = made.empty() ? std::move(item) : parse_ordered_json(made);
  return json(200, dumped(answer));
}

}  // namespace

void add_false_positives_routes(Router& router) {
  router.add("POST", "/api/firebreak/alerts/{id}/false_positive", Privilege::alerts_write, false_positive);
}

}  // namespace fb::api
