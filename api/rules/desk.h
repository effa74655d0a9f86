// The rules as the API sees them: those of the record, which it changes, and those of files, which it shows. One desk a
// service. A change is made whole or not at all: compiled together with every other rule, then kept with its version
// and author, then swapped in. Reads come from memory. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/rules/shape.h"
#include "engine/base/clock.h"
#include "engine/pipeline/rule_book.h"
#include "engine/record/rules_store.h"

namespace fb::api {

// One rule as it is answered. Immutable; shared.
struct RuleView {
  std::string id;
  std::string rule_id;
  std::string name;
  bool from_file = false;  // read only
  std::string doc;         // as kept, without what only an answer says
  std::string answer;      // the JSON object that clients get
  std::string problem;     // why it can't be run; "" = it can
  bool waits = false;      // only because of an exception list: it runs as soon as that can be taken
  struct Index;            // for filters and sorting
  std::shared_ptr<const Index> index;
};
using RuleViewPtr = std::shared_ptr<const RuleView>;
template <class T>
using RuleResult = tl::expected<T, RuleRefusal>;

struct RuleExceptionList {
  std::string list_id;
  std::string type;  // detection, rule_default, endpoint...
  bool agnostic = false;
};

// Who changes rules.
struct RuleAuthor {
  std::string who;           // "user:<name>"
  bool may_isolate = false;  // has the privilege for it: else no change may let a rule isolate what it did not before

  // For changes that can't let a rule isolate more, whoever makes them, and for the service itself.
  static RuleAuthor trusted(std::string who) { return {std::move(who), true}; }
};

struct RuleSort {
  std::string field;  // a sort_field of the API; "" = created_at, newest first
  bool ascending = false;
};

class RuleDesk {
 public:
  // The parts outlive the desk. `swapped` is told of every new set.
  RuleDesk(Store& store, RuleBook& book, const Clock& clock, std::function<void(const ReloadReport&)> swapped = {});
  ~RuleDesk();
  RuleDesk(const RuleDesk&) = delete;
  RuleDesk& operator=(const RuleDesk&) = delete;

  // The record's rules into the book, at the start; after it has its file rules. One that can't be run any more is left
  // out and named by the messages that come back.
  Result<std::vector<std::string>> load();

  RuleViewPtr by_id(std::string_view id) const;            // null: there is none
  RuleViewPtr by_rule_id(std::string_view rule_id) const;  // null: there is none
  // By id when it is given, else by rule_id; refused when neither is, or there is none.
  RuleResult<RuleViewPtr> named(const std::string& id, const std::string& rule_id) const;
  // Those that a KQL over alert.attributes.* finds ("" = all), in order. The error is one line.
  RuleResult<std::vector<RuleViewPtr>> find(const std::string& kuery, const RuleSort& sort) const;

  // Keys that no rule has are left out, as Kibana does, and named in the answer's notices.
  RuleResult<RuleViewPtr> create(std::string_view body, const RuleAuthor& by);
  RuleResult<RuleViewPtr> replace(std::string_view body, const RuleAuthor& by);
  RuleResult<RuleViewPtr> patch(std::string_view body, const RuleAuthor& by);
  RuleResult<RuleViewPtr> remove(const RuleViewPtr& rule, const RuleAuthor& by);

  // One change among several. Each comes back with the rule as it stands then, or why it was not made; those that are
  // good are made together.
  struct Change {
    RuleViewPtr rule;  // null: a new one
    // created, updated, enabled, disabled, edited, excepted (it got an exception list of its own), imported, restored,
    // deleted
    std::string what;
    std::string doc;  // the whole new rule (ShapedRule::doc); "deleted": unused
    std::string id;   // of a new rule; "" = made up
    // What is built on the rule that stands comes from this, not from `doc`: the new rule, made from the rule as it
    // stands when no other change can come between. So no edit undoes another one that it did not see. Called at most
    // once, while changes are held up: it asks the desk for nothing.
    std::function<RuleResult<std::string>(const RuleView& standing)> derive = {};
  };
  // A rule that comes back runs as it was asked for, if it is enabled. 503: it can't be told now whether it could be
  // run (nothing is changed), or, if the message says so, it is kept and does not run yet.
  std::vector<RuleResult<RuleViewPtr>> apply(std::vector<Change> changes, const RuleAuthor& by);

  // Exception lists of the record changed: the rules that name them run with it when this returns, but for those of
  // the report's `behind`.
  ReloadReport lists_changed();
  // Why rules could not be run with this item of a list; "" when they could, or when no rule names the list.
  std::string problem_of(const ListReference& list, const ExceptionText& item) const;
  // The same of a list that a rule is about to name.
  std::string problem_of(const ExceptionText& item) const;

  // Would it be accepted? The compiled rule, with the exceptions that stand now, ready for a preview.
  RuleResult<LoadedRule> compile(std::string_view doc) const;
  // The lists that hold exceptions for the rule, as they stand in its document.
  static std::vector<RuleExceptionList> exception_lists_of(std::string_view doc);

  // The versions of one rule; empty for a file's.
  Result<std::vector<RuleVersion>> versions(const std::string& id);
  RuleResult<RuleViewPtr> restore(const std::string& id, int64_t number, const RuleAuthor& by);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb::api
