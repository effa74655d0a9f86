#include "api/rules/desk.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "api/rules/isolating.h"
#include "api/rules/view.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/log.h"
#include "engine/base/text.h"
#include "engine/ir/oracle.h"
#include "engine/ir/typed.h"
#include "engine/lang/kuery/kuery.h"
#include "engine/model/ids.h"
#include "engine/model/rule_uuid.h"
#include "engine/record/store.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

// What the desk says of a rule, not who writes it.
constexpr const char* kStamps[] = {"id",         "immutable",  "rule_source", "created_at",
                                   "created_by", "updated_at", "updated_by",  "revision"};

constexpr size_t kMostNamed = 50;

void note_withheld(Store& store, const std::string& who, const std::vector<std::string>& rule_ids) {
  std::string names;
  for (size_t i = 0; i < std::min(rule_ids.size(), kMostNamed); ++i) {
    names += (i == 0 ? "" : ", ") + printable(rule_ids[i].substr(0, 100));
  }
  if (rule_ids.size() > kMostNamed) names += " and " + std::to_string(rule_ids.size() - kMostNamed) + " more";
  const Status noted = store.note(who, "rule_refused", names, "isolates hosts, which needs the privilege isolate too");
  if (!noted) log(LogLevel::error, "audit_not_written", noted.error().describe());
}

enum class Difference : uint8_t { none, switched, more };  // switched: on or off, and nothing else

Difference difference(std::string_view before, std::string_view after) {
  nlohmann::json old = parse_json(before);
  nlohmann::json fresh = parse_json(after);
  for (nlohmann::json* rule : {&old, &fresh}) {
    for (const char* key : kStamps) rule->erase(key);
  }
  if (old == fresh) return Difference::none;
  old.erase("enabled");
  fresh.erase("enabled");
  return old == fresh ? Difference::switched : Difference::more;
}

// How the rule came to be and who changed it last, put into its document.
std::string stamped(const RuleView* before, const std::string& id, const std::string& shaped, const std::string& who,
                    int64_t now_ms) {
  Json rule = parse_ordered_json(shaped);
  for (const char* key : kStamps) rule.erase(key);
  const std::string person = who.starts_with("user:") ? who.substr(5) : who;
  const std::string now = iso8601(now_ms);
  Json old = before == nullptr ? Json::object() : parse_ordered_json(before->doc);
  int64_t revision = 0;
  if (before != nullptr) {
    revision = old.value("revision", int64_t{0});
    if (difference(before->doc, shaped) == Difference::more) ++revision;
  }
  Json out{{"id", id}};
  for (auto& [key, value] : rule.items()) out[key] = value;
  out["immutable"] = false;
  out["rule_source"] = Json{{"type", "internal"}};
  out["created_at"] = before == nullptr ? now : old.value("created_at", now);
  out["created_by"] = before == nullptr ? person : old.value("created_by", person);
  out["updated_at"] = now;
  out["updated_by"] = person;
  out["revision"] = revision;
  return dumped(out);
}

RuleRefusal refused(const Error& error) {
  const int status = error.code == ErrorCode::already_exists ? 409
                     : error.code == ErrorCode::not_found    ? 404
                     : error.retry == Retry::yes             ? 503
                                                             : 500;
  return refuse(status, error.describe());
}

RuleRefusal read_only(const RuleView& rule) {
  return refuse(400, "rule_id: \"" + rule.rule_id +
                         "\" stands in a rule file; it can't be changed through the API (change the file)");
}

RuleRefusal not_found(std::string_view what, std::string_view id) {
  return refuse(404, std::string(what) + ": \"" + std::string(id) + "\" not found");
}

// A filter's fields are those of a saved object, as everywhere in Kibana: what names none would find nothing.
std::string problem_of_keys(const ir::Node& node) {
  if (node.kind == ir::Node::Kind::test) {
    const ir::FieldRef& field = node.test.field;
    if (field.scope == ir::FieldRef::Scope::any) {
      return "The key is empty and needs to be wrapped by a saved object type like alert: Bad Request";
    }
    if (field.scope == ir::FieldRef::Scope::named && !field.name.starts_with("alert.")) {
      return "This key '" + printable(field.name.substr(0, 100)) +
             "' need to be wrapped by a saved object type like alert: Bad Request";
    }
  }
  for (const ir::Node& child : node.children) {
    if (std::string problem = problem_of_keys(child); !problem.empty()) return problem;
  }
  return {};
}

// Clients spell a key as the answer has it or as Kibana's saved object does: the index holds the latter.
void read_as_saved(ir::FieldRef& field) {
  if (field.scope == ir::FieldRef::Scope::named) field.name = camel(field.name);
  for (ir::GlobPart& part : field.glob) {
    if (part.kind == ir::GlobPart::Kind::literal) part.text = camel(part.text);
  }
}

// No type of ECS covers the times of a rule: bounds such as now-1d become the moment they mean.
void read_as_time(ir::Test& test, int64_t now_ms) {
  if (test.field.scope != ir::FieldRef::Scope::named) return;
  if (test.field.name != "alert.attributes.createdAt" && test.field.name != "alert.attributes.updatedAt") return;
  const bool first = test.op == ir::Op::less || test.op == ir::Op::greater_equal;
  if (!first && test.op != ir::Op::greater && test.op != ir::Op::less_equal) return;
  const auto date = ir::parse_date_literal(test.literal);
  if (!date) return;
  const auto bounds = date->resolve(now_ms);
  test.literal = iso8601(first ? bounds.first_ms : bounds.last_ms);
}

// The named field decides; a name of a text field finds words, as Kibana's mapping does.
void read_as_text(ir::Node& node, int64_t now_ms) {
  constexpr std::string_view kName = "alert.attributes.name";
  if (node.kind == ir::Node::Kind::test) read_as_saved(node.test.field);
  if (node.kind == ir::Node::Kind::nested) node.path = camel(node.path);
  if (node.kind == ir::Node::Kind::test && node.test.field.scope == ir::FieldRef::Scope::named &&
      node.test.field.name == kName && (node.test.op == ir::Op::equal || node.test.op == ir::Op::phrase)) {
    node.test.field.name += ".text";
  }
  if (node.kind == ir::Node::Kind::test) read_as_time(node.test, now_ms);
  for (ir::Node& child : node.children) read_as_text(child, now_ms);
}

}  // namespace

std::vector<RuleExceptionList> RuleDesk::exception_lists_of(std::string_view doc) {
  std::vector<RuleExceptionList> lists;
  const Json rule = parse_ordered_json(doc);
  if (!rule.is_object()) return lists;
  const auto entries = rule.find("exceptions_list");
  if (entries == rule.end() || !entries->is_array()) return lists;
  const auto text = [](const Json& entry, const char* key) {
    const auto it = entry.find(key);
    return it != entry.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  for (const Json& entry : *entries) {
    if (!entry.is_object()) continue;
    lists.push_back({text(entry, "list_id"), text(entry, "type"), text(entry, "namespace_type") == "agnostic"});
  }
  return lists;
}

struct RuleDesk::Impl {
  struct Shelf {
    std::vector<RuleViewPtr> all;  // the API's, then the files'
    size_t from_api = 0;
    std::unordered_map<std::string_view, RuleViewPtr> by_id;
    std::unordered_map<std::string_view, RuleViewPtr> by_rule_id;
    std::shared_ptr<const LoadedRules> files;
    std::shared_ptr<const RuleBook::Waiting> waiting;
  };

  Store& store;
  RuleBook& book;
  const Clock& clock;
  std::function<void(const ReloadReport&)> swapped;
  std::mutex change_mutex;
  mutable std::mutex shelf_mutex;
  mutable std::shared_ptr<const Shelf> shelf = std::make_shared<Shelf>();

  // The view as it is while the rule waits for a list, or no longer does.
  static RuleViewPtr as_it_waits(const RuleViewPtr& view, const RuleBook::Waiting& waiting) {
    const auto it = waiting.find(view->rule_id);
    const std::string why = it == waiting.end() ? "" : it->second;
    if (it == waiting.end() ? !view->waits : view->waits && view->problem == why) return view;
    return waiting_view(*view, why);
  }

  static std::shared_ptr<const Shelf> shelf_of(const std::vector<RuleViewPtr>& api,
                                               const std::shared_ptr<const LoadedRules>& files,
                                               const std::shared_ptr<const RuleBook::Waiting>& waiting) {
    auto next = std::make_shared<Shelf>();
    next->files = files;
    next->waiting = waiting;
    next->from_api = api.size();
    for (const RuleViewPtr& view : api) next->all.push_back(as_it_waits(view, *waiting));
    for (const LoadedRule& rule : files->rules) {
      if (rule.ok) next->all.push_back(as_it_waits(view_of_file(rule), *waiting));
    }
    for (const RuleViewPtr& view : next->all) {
      next->by_id.emplace(view->id, view);
      next->by_rule_id.emplace(view->rule_id, view);
    }
    return next;
  }

  std::shared_ptr<const Shelf> now() const {
    const auto files = book.file_rules();
    const auto waiting = book.waiting();
    const std::lock_guard lock(shelf_mutex);
    if (shelf->files != files || shelf->waiting != waiting) shelf = shelf_of(of_api(*shelf), files, waiting);
    return shelf;
  }

  static std::vector<RuleViewPtr> of_api(const Shelf& s) {
    return {s.all.begin(), s.all.begin() + static_cast<std::ptrdiff_t>(s.from_api)};
  }

  void put(std::vector<RuleViewPtr> api) {
    const auto files = book.file_rules();
    auto next = shelf_of(api, files, book.waiting());
    const std::lock_guard lock(shelf_mutex);
    shelf = std::move(next);
  }
};

RuleDesk::RuleDesk(Store& store, RuleBook& book, const Clock& clock, std::function<void(const ReloadReport&)> swapped)
    : impl_(std::make_unique<Impl>(store, book, clock, std::move(swapped))) {}
RuleDesk::~RuleDesk() = default;

Result<std::vector<std::string>> RuleDesk::load() {
  const std::lock_guard one_at_a_time(impl_->change_mutex);
  FB_TRY(const std::vector<StoredRule> stored, ApiRules(impl_->store).all());
  std::vector<RuleText> texts;
  for (const StoredRule& rule : stored) texts.push_back({rule.id, engine_text(rule.doc)});
  const ReloadReport report = impl_->book.set_more(texts, RuleBook::Try::swap, true);
  std::vector<RuleViewPtr> views;
  std::vector<std::string> broken;
  for (size_t i = 0; i < stored.size(); ++i) {
    const bool waits = report.wait_of(i) != nullptr;
    views.push_back(view_of(stored[i].doc, report.loaded.rules[i], waits));
    if (!report.loaded.rules[i].ok && !waits) {
      broken.push_back("rule_id \"" + stored[i].rule_id + "\": " + problems_of(report.loaded.rules[i]).front());
    }
  }
  impl_->put(std::move(views));
  return broken;
}

RuleViewPtr RuleDesk::by_id(std::string_view id) const {
  const auto shelf = impl_->now();
  const auto it = shelf->by_id.find(id);
  return it == shelf->by_id.end() ? nullptr : it->second;
}

RuleViewPtr RuleDesk::by_rule_id(std::string_view rule_id) const {
  const auto shelf = impl_->now();
  const auto it = shelf->by_rule_id.find(rule_id);
  return it == shelf->by_rule_id.end() ? nullptr : it->second;
}

RuleResult<RuleViewPtr> RuleDesk::named(const std::string& id, const std::string& rule_id) const {
  if (id.empty() && rule_id.empty()) {
    return tl::unexpected(refuse_meaning({"either \"id\" or \"rule_id\" must be set"}));
  }
  RuleViewPtr rule = id.empty() ? by_rule_id(rule_id) : by_id(id);
  if (!rule) return tl::unexpected(id.empty() ? not_found("rule_id", rule_id) : not_found("id", id));
  return rule;
}

RuleResult<std::vector<RuleViewPtr>> RuleDesk::find(const std::string& kuery, const RuleSort& sort) const {
  const auto shelf = impl_->now();
  std::vector<RuleViewPtr> found;
  if (kuery.empty()) {
    found = shelf->all;
  } else {
    auto parsed = lang::parse_kuery(kuery);
    if (!parsed) {
      return tl::unexpected(
          refuse(400, "filter, character " + std::to_string(parsed.error().begin + 1) + ": " + parsed.error().message));
    }
    if (std::string problem = problem_of_keys(*parsed); !problem.empty()) {
      return tl::unexpected(refuse(400, std::move(problem)));
    }
    read_as_text(*parsed, impl_->clock.wall_ms());
    const ir::OracleContext context{impl_->clock.wall_ms(), {}};
    for (const RuleViewPtr& view : shelf->all) {
      if (ir::matches(*parsed, view->index->tree, context)) found.push_back(view);
    }
  }
  if (!sort_rules(found, sort))
    return tl::unexpected(RuleRefusal{
        400,
        false,
        {"[request query]: sort_field: Invalid enum value, received '" + printable(sort.field.substr(0, 100)) + "'"},
        false});
  return found;
}

std::vector<RuleResult<RuleViewPtr>> RuleDesk::apply(std::vector<Change> changes, const RuleAuthor& by) {
  Impl& self = *impl_;
  const std::lock_guard one_at_a_time(self.change_mutex);
  const auto shelf = self.now();
  std::vector<RuleResult<RuleViewPtr>> results(changes.size(), RuleViewPtr());
  std::map<std::string, std::string> taken;  // rule_id -> id, as it will be
  for (const RuleViewPtr& view : shelf->all) taken.emplace(view->rule_id, view->id);

  struct Made {
    size_t at;  // in `changes`
    RuleWrite write;
  };
  std::vector<Made> made;
  std::vector<std::string> withheld;  // rule ids: they would isolate, and the author may not
  for (size_t i = 0; i < changes.size(); ++i) {
    Change& c = changes[i];
    if (c.rule && c.rule->from_file) {
      results[i] = tl::unexpected(read_only(*c.rule));
      continue;
    }
    RuleViewPtr standing;  // as it is now: another change may have come before
    if (c.rule) {
      const auto it = shelf->by_id.find(c.rule->id);
      if (it == shelf->by_id.end()) {
        results[i] = tl::unexpected(not_found("id", c.rule->id));
        continue;
      }
      standing = it->second;
    }
    if (c.what == "deleted") {
      taken.erase(standing->rule_id);
      made.push_back({i, {standing->id, standing->rule_id, c.what, standing->doc}});
      continue;
    }
    if (standing && c.derive) {
      auto derived = c.derive(*standing);
      if (!derived) {
        results[i] = tl::unexpected(std::move(derived.error()));
        continue;
      }
      c.doc = std::move(*derived);
    }
    const std::string id = standing ? standing->id : c.id.empty() ? new_uuid() : c.id;
    const Json shaped = parse_ordered_json(c.doc);
    const std::string rule_id = shaped.at("rule_id").get<std::string>();
    if (!by.may_isolate && isolates_anew(standing ? standing->doc : "", c.doc)) {
      results[i] = tl::unexpected(refuse(
          403, "who makes, changes or switches on a rule that isolates hosts needs the privilege [isolate] too"));
      withheld.push_back(rule_id);
      continue;
    }
    if (standing && c.what != "restored") {
      const Difference found = difference(standing->doc, c.doc);
      // No edit: it has no version and no new author. A rule that does not run is tried again.
      if (found == Difference::none && standing->problem.empty()) {
        results[i] = standing;
        continue;
      }
      if (found == Difference::switched) c.what = shaped.value("enabled", false) ? "enabled" : "disabled";
    }
    if (!standing && shelf->by_id.contains(id)) {
      results[i] = tl::unexpected(refuse(409, "id: \"" + id + "\" already exists"));
      continue;
    }
    if (const auto [it, fresh] = taken.emplace(rule_id, id); !fresh && it->second != id) {
      results[i] = tl::unexpected(refuse(409, "rule_id: \"" + rule_id + "\" already exists"));
      continue;
    }
    made.push_back({i, {id, rule_id, c.what, stamped(standing.get(), id, c.doc, by.who, self.clock.wall_ms())}});
  }

  // An import or a bulk action answers 200 though it refuses a part: the audit has it from here.
  if (!withheld.empty()) note_withheld(self.store, by.who, withheld);

  // Until none of the changed ones is broken: each round names at least one.
  ReloadReport report;
  std::vector<RuleText> texts;
  std::vector<std::string> docs;
  while (!made.empty()) {
    std::map<std::string_view, const Made*> by_id;
    for (const Made& m : made) by_id.emplace(m.write.id, &m);
    texts.clear();
    docs.clear();
    std::vector<const Made*> of_text;
    for (size_t i = 0; i < shelf->from_api; ++i) {
      const RuleView& view = *shelf->all[i];
      if (by_id.contains(view.id)) continue;
      texts.push_back({view.id, engine_text(view.doc)});
      docs.push_back(view.doc);
      of_text.push_back(nullptr);
    }
    for (const Made& m : made) {
      if (m.write.what == "deleted") continue;
      texts.push_back({m.write.id, engine_text(m.write.doc)});
      docs.push_back(m.write.doc);
      of_text.push_back(&m);
    }
    report = self.book.set_more(texts, RuleBook::Try::check);
    std::vector<size_t> broken;
    for (size_t i = 0; i < of_text.size(); ++i) {
      const LoadedRule& rule = report.loaded.rules[i];
      if (of_text[i] == nullptr || rule.ok) continue;
      const ReloadReport::Waits* waits = report.wait_of(i);
      if (waits != nullptr && of_text[i]->write.what == "disabled") continue;  // off, it needs no list
      results[of_text[i]->at] =
          tl::unexpected(waits != nullptr && waits->may_pass
                             ? refuse(503, "the rule can't be tried, nothing is changed: " + problems_of(rule).front())
                             : refuse_meaning(problems_of(rule, docs[i])));
      broken.push_back(of_text[i]->at);
    }
    if (broken.empty()) break;
    std::erase_if(made, [&](const Made& m) { return std::find(broken.begin(), broken.end(), m.at) != broken.end(); });
  }
  if (made.empty()) return results;

  std::vector<RuleWrite> writes;
  for (const Made& m : made) writes.push_back(m.write);
  if (const Status kept = ApiRules(self.store).write(writes, by.who); !kept) {
    for (const Made& m : made) results[m.at] = tl::unexpected(refused(kept.error()));
    return results;
  }
  report = self.book.set_more(texts, RuleBook::Try::swap, true);
  std::vector<RuleViewPtr> views;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto old = shelf->by_id.find(texts[i].key);
    const bool same = old != shelf->by_id.end() && old->second->doc == docs[i] &&
                      old->second->problem.empty() == report.loaded.rules[i].ok;
    views.push_back(same ? old->second : view_of(docs[i], report.loaded.rules[i], report.wait_of(i) != nullptr));
  }
  self.put(views);
  for (const Made& m : made) {
    if (m.write.what == "deleted") {
      results[m.at] = changes[m.at].rule;
      continue;
    }
    const auto it = std::find_if(views.begin(), views.end(), [&](const auto& v) { return v->id == m.write.id; });
    results[m.at] = *it;
    if ((*it)->problem.empty() || !(*it)->index->enabled) continue;
    results[m.at] =
        tl::unexpected(refuse(503, "the change is kept, but the rule does not run with it yet: " + (*it)->problem));
  }
  if (self.swapped) self.swapped(report);
  return results;
}

namespace {

// The answer to a change also names the keys that were sent and that no rule has.
RuleResult<RuleViewPtr> telling(RuleResult<RuleViewPtr> rule, const std::vector<std::string>& left_out) {
  if (!rule || left_out.empty()) return rule;
  Json answer = parse_ordered_json((*rule)->answer);
  Json& notices = answer["firebreak"]["notices"];
  for (const std::string& key : left_out) {
    notices.push_back(Json{{"field", key}, {"message", "left out: no rule has this key"}});
  }
  auto told = std::make_shared<RuleView>(**rule);
  told->answer = dumped(answer);
  return RuleViewPtr(std::move(told));
}

// Which rule a body speaks of: by id, else by rule_id.
RuleResult<RuleViewPtr> spoken_of(const RuleDesk& desk, std::string_view body) {
  const Json json = parse_ordered_json(body);
  if (!json.is_object()) return tl::unexpected(refuse_body({json.is_discarded() ? "is not JSON" : "Expected object"}));
  const auto text = [&](const char* key) {
    const auto it = json.find(key);
    return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  auto rule = desk.named(text("id"), text("rule_id"));
  // A rule_id never changes: who sends another one means another rule, or hopes for what would not happen.
  if (const std::string other = text("rule_id"); rule && !other.empty() && other != (*rule)->rule_id) {
    return tl::unexpected(refuse_meaning({"id: \"" + (*rule)->id + "\" is the rule of rule_id: \"" + (*rule)->rule_id +
                                          "\", not of rule_id: \"" + other + "\"; a rule_id can't be changed"}));
  }
  return rule;
}

}  // namespace

RuleResult<RuleViewPtr> RuleDesk::create(std::string_view body, const RuleAuthor& by) {
  auto shaped = shape_rule(body);
  if (!shaped) return tl::unexpected(shaped.error());
  Json rule = parse_ordered_json(shaped->doc);
  if (shaped->rule_id.empty()) rule["rule_id"] = new_uuid();
  return telling(apply({{nullptr, "created", dumped(rule), ""}}, by).front(), shaped->left_out);
}

RuleResult<RuleViewPtr> RuleDesk::replace(std::string_view body, const RuleAuthor& by) {
  auto shaped = shape_rule(body);
  if (!shaped) return tl::unexpected(shaped.error());
  auto rule = spoken_of(*this, body);
  if (!rule) return rule;
  const auto derive = [&](const RuleView& view) -> RuleResult<std::string> {
    const Json sent = parse_ordered_json(body);
    const Json standing = parse_ordered_json(view.doc);
    Json doc = parse_ordered_json(shaped->doc);
    doc["rule_id"] = view.rule_id;
    // As Kibana does: a rule is not switched off, or counted back, by leaving these out.
    for (const char* key : {"enabled", "version"}) {
      const auto it = sent.find(key);
      if (it == sent.end() || it->is_null()) doc[key] = standing.value(key, doc[key]);
    }
    return dumped(doc);
  };
  return telling(apply({{*rule, "updated", "", "", derive}}, by).front(), shaped->left_out);
}

RuleResult<RuleViewPtr> RuleDesk::patch(std::string_view body, const RuleAuthor& by) {
  auto rule = spoken_of(*this, body);
  if (!rule) return rule;
  if ((*rule)->from_file) return tl::unexpected(read_only(**rule));
  std::vector<std::string> left_out;
  const auto derive = [&](const RuleView& standing) -> RuleResult<std::string> {
    auto shaped = patch_rule(standing.doc, body);
    if (!shaped) return tl::unexpected(shaped.error());
    left_out = std::move(shaped->left_out);
    return std::move(shaped->doc);
  };
  auto patched = apply({{*rule, "updated", "", "", derive}}, by).front();
  return telling(std::move(patched), left_out);
}

RuleResult<RuleViewPtr> RuleDesk::remove(const RuleViewPtr& rule, const RuleAuthor& by) {
  return apply({{rule, "deleted", "", ""}}, by).front();
}

ReloadReport RuleDesk::lists_changed() {
  ReloadReport report = impl_->book.lists_changed();
  const bool tells = !report.swapped || report.changed || !report.warnings.empty();
  if (impl_->swapped && tells) impl_->swapped(report);
  return report;
}

std::string RuleDesk::problem_of(const ListReference& list, const ExceptionText& item) const {
  return impl_->book.problem_of(list, item);
}

std::string RuleDesk::problem_of(const ExceptionText& item) const {
  return impl_->book.problem_of(item);
}

RuleResult<LoadedRule> RuleDesk::compile(std::string_view doc) const {
  LoadOptions options;
  options.lists_elsewhere = true;
  options.any_names = true;
  LoadedRules loaded = load_rule_text(engine_text(doc), kRuleOfApi, options);
  if (!loaded.ok() || loaded.rules.size() != 1) {
    LoadedRule broken;
    if (!loaded.rules.empty()) broken = loaded.rules.front();
    for (Diagnostic& d : loaded.file_diagnostics) broken.diagnostics.push_back(std::move(d));
    return tl::unexpected(refuse_meaning(problems_of(broken, doc)));
  }
  LoadedRule& rule = loaded.rules.front();
  auto runs = impl_->book.as_it_runs(rule);
  if (!runs && runs.error().code != ErrorCode::invalid_argument) return tl::unexpected(refused(runs.error()));
  if (!runs) return tl::unexpected(refuse_body({runs.error().describe()}));
  rule.input = std::move(*runs);
  return std::move(rule);
}

Result<std::vector<RuleVersion>> RuleDesk::versions(const std::string& id) {
  return ApiRules(impl_->store).versions(id);
}

RuleResult<RuleViewPtr> RuleDesk::restore(const std::string& id, int64_t number, const RuleAuthor& by) {
  const auto versions = this->versions(id);
  if (!versions) return tl::unexpected(refused(versions.error()));
  if (versions->empty()) return tl::unexpected(not_found("id", id));
  const auto version =
      std::find_if(versions->begin(), versions->end(), [&](const RuleVersion& v) { return v.number == number; });
  if (version == versions->end()) {
    return tl::unexpected(refuse(404, "the rule has no version " + std::to_string(number)));
  }
  return apply({{by_id(version->id), "restored", version->doc, version->id}}, by).front();
}

}  // namespace fb::api
