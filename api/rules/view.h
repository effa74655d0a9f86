// How one rule is answered, and what of it filters and sorting look at. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/rules/desk.h"
#include "engine/event/json_tree.h"

namespace fb::api {

struct RuleView::Index {
  JsonNode tree;  // alert.attributes.*
  std::string created_at;
  std::string updated_at;
  std::string folded_name;
  int severity = 0;
  int risk_score = 0;
  bool enabled = false;
};

// A rule of the record, and what the compiler said of it. `waits`: it is not `ok` only because of an exception list.
RuleViewPtr view_of(const std::string& doc, const LoadedRule& rule, bool waits = false);
// The same rule: it waits for an exception list because of `why`, or does so no longer ("").
RuleViewPtr waiting_view(const RuleView& view, const std::string& why);
RuleViewPtr view_of_file(const LoadedRule& rule);

// risk_score -> riskScore, of every step of a path: as Kibana's saved objects spell it, and as an index holds its keys.
std::string camel(std::string_view snake);

// Stable; false: there is no such field to sort by.
bool sort_rules(std::vector<RuleViewPtr>& rules, const RuleSort& sort);

// The errors of a rule as lines for a client; at least one. With the rule's document a query's error tells the place
// within the query.
std::vector<std::string> problems_of(const LoadedRule& rule, std::string_view doc = {});

}  // namespace fb::api
