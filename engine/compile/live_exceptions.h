// Exceptions that stand in no rule file: lists of the record, put into the rules that name them when a rule set is
// built. So a change of them needs no rule to be read again. Pure, thread-safe once made. Cost: linear in the items.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/compile/rules.h"
#include "engine/compile/value_lists.h"

namespace fb {

struct ExceptionText {
  std::string item_id;
  std::string text;        // the item as one JSON object
  ValueLists values = {};  // those that its entries name
};
struct ListContent {
  bool known = false;  // there is such a list
  std::vector<ExceptionText> items;
};
// Reads one list as it is now. An error: it can't be told.
using ListReader = std::function<Result<ListContent>(const ListReference& list)>;

// The items of one list, ready to be put into rules. Immutable.
class LiveList {
 public:
  LiveList(const ListReference& list, const ListContent& content, const RuleLimits& limits);
  ~LiveList();

  bool known() const { return known_; }
  const std::string& digest() const { return digest_; }    // equal: rules run the same with it
  const std::string& problem() const { return problem_; }  // of the first item that can't be run; "" = there is none
  // Of the first item that excepts nothing because a value list it names can't be used; "" = there is none. Rules run.
  const std::string& warning() const { return warning_; }

 private:
  friend RuleInput with_exceptions(const LoadedRule&, const std::vector<const LiveList*>&);
  struct Items;
  bool known_ = false;
  std::string digest_;
  std::string problem_;
  std::string warning_;
  std::unique_ptr<Items> items_;
};

// The rule "and not any item of the lists", its hash that of both; the rule as it is when they have no item. Lists with
// a problem must not come here.
RuleInput with_exceptions(const LoadedRule& rule, const std::vector<const LiveList*>& lists);

// Why a rule could not be run with this item, or would run as if it were not there; "" when all is well.
std::string problem_of_exception(const ExceptionText& item, const RuleLimits& limits);

}  // namespace fb
