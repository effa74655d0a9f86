#include "engine/compile/live_exceptions.h"

#include "engine/base/digest.h"
#include "engine/compile/exceptions.h"
#include "engine/compile/file_readers.h"

namespace fb {
namespace {

using compile::ExceptionItem;

// An item that comes back broken has its reason in `problem`.
ExceptionItem read_item(const ExceptionText& item, const std::string& list_id, const RuleLimits& limits,
                        std::string& problem) {
  const compile::SourceText source("exception " + item.item_id, item.text);
  compile::ReadFile read = compile::read_json(source, limits.max_yaml_depth);
  std::vector<Diagnostic> problems = std::move(read.problems);
  ExceptionItem made;
  made.broken = true;
  if (read.values.size() == 1 && read.values.front().is(compile::FileNode::Kind::object)) {
    compile::Checks checks(source, problems);
    made = compile::read_exception_item(read.values.front(), list_id, limits.max_pattern_bytes, checks, &item.values);
  }
  if (made.broken) {
    problem = "the exception item '" + item.item_id.substr(0, 100) +
              "' can't be run: " + (problems.empty() ? "it is no JSON object" : problems.front().message);
  }
  return made;
}

}  // namespace

struct LiveList::Items {
  std::vector<ExceptionItem> all;
};

LiveList::LiveList(const ListReference& list, const ListContent& content, const RuleLimits& limits)
    : known_(content.known), items_(std::make_unique<Items>()) {
  std::string canonical;
  for (const ExceptionText& item : content.items) {
    std::string problem;
    ExceptionItem made = read_item(item, list.list_id, limits, problem);
    if (made.broken && problem_.empty()) problem_ = std::move(problem);
    if (!made.unusable.empty() && warning_.empty()) {
      warning_ = "the exception item '" + item.item_id.substr(0, 100) + "' excepts nothing: " + made.unusable;
    }
    canonical += made.canonical + "\n";
    items_->all.push_back(std::move(made));
  }
  digest_ = hex(sha256(canonical));
}

LiveList::~LiveList() = default;

RuleInput with_exceptions(const LoadedRule& rule, const std::vector<const LiveList*>& lists) {
  const compile::EventTime time{rule.input.meta->timestamp_override, rule.time_fallback};
  std::vector<ir::Node> any;
  std::string canonical;
  for (const LiveList* list : lists) {
    for (const ExceptionItem& item : list->items_->all) {
      any.push_back(compile::applies(item, time));
      canonical += (canonical.empty() ? "" : ",") + item.canonical;
    }
  }
  if (any.empty()) return rule.input;
  auto meta = std::make_shared<RuleMeta>(*rule.input.meta);
  meta->hash = hex(sha256("{\"live_exception_items\":[" + canonical + "],\"rule_hash\":\"" + meta->hash + "\"}"));
  std::vector<ir::Node> both;
  both.push_back(rule.input.condition);
  both.push_back(ir::negate(any.size() == 1 ? std::move(any.front()) : ir::any_of(std::move(any))));
  return RuleInput{std::move(meta), ir::all_of(std::move(both))};
}

std::string problem_of_exception(const ExceptionText& item, const RuleLimits& limits) {
  std::string problem;
  const ExceptionItem made = read_item(item, "list", limits, problem);
  if (problem.empty() && !made.unusable.empty()) {
    problem = "the exception item '" + item.item_id.substr(0, 100) + "' can't be run: " + made.unusable;
  }
  return problem;
}

}  // namespace fb
