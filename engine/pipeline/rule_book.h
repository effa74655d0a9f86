// The rule set in force: the rules of files and, beside them, those that came through the API. A reload is whole or not
// at all: the new set replaces the old one only when every rule of it is good; until then the old one runs.
// Thread-safe: the watcher and the API store, the pipeline reads at the start of a turn.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/compile/live_exceptions.h"
#include "engine/compile/rules.h"
#include "engine/match/rule_set.h"

namespace fb {

struct RuleBookOptions {
  std::vector<std::string> paths;
  LoadOptions load;
  RuleSetOptions set;
  bool allow_broken = false;  // leave broken rules out (named) instead of refusing the set
  // With no rule running none need be there: they may come later. Files never empty a set that runs.
  bool allow_empty = false;
  ListReader lists;  // exception lists that stand in no file; null: there are none
};

// A rule that stands in no file, as one JSON object on one line.
struct RuleText {
  std::string key;  // what its owner calls it
  std::string text;
};

struct ReloadReport {
  enum class Of : uint8_t { files, more, lists };
  Of of = Of::files;     // what was read: reload(), set_more(), lists_changed()
  bool swapped = false;  // false: the old set stays, see `problem`
  bool changed = false;  // the new set differs from the old one
  std::string problem;   // one line
  LoadedRules loaded;    // with every diagnostic
  // One line for each exception list with an item that excepts nothing since a value list can't be used. Rules run.
  std::vector<std::string> warnings = {};
  // The lists whose content in the record is not in force, as this reading found, and why.
  struct Behind {
    ListReference list;
    std::string problem;
    bool may_pass = false;  // it could not be read; else it was read and can't be run
  };
  std::vector<Behind> behind;
  // Rules of `loaded` (places) that can't be run only because of a list: not `ok` there. They run once it can be taken.
  // Why stands last in their diagnostics.
  struct Waits {
    size_t at = 0;
    bool may_pass = false;
  };
  std::vector<Waits> waits = {};
  // Of the rule at that place; null: it waits for nothing. Cost: linear in `waits`, which are few.
  const Waits* wait_of(size_t at) const;
};

class RuleBook {
 public:
  explicit RuleBook(RuleBookOptions options);
  ~RuleBook();

  RuleSetPtr current() const;
  // Loads the paths again and swaps when all is well. Returns what it found; safe to call from any thread, one at a
  // time.
  ReloadReport reload();

  // The rules beside the files, all of them; in the report's `loaded` they stand in the order given. With Try::check
  // nothing changes, it only tells what would come of it. With `allow_broken` the set is swapped without those that
  // can't be run. A rule_id that a file has, too, is a problem of the rule (diagnostic duplicate-rule-id). What a check
  // could read of lists the swap that follows can run with, whether or not they can be read again.
  enum class Try : uint8_t { check, swap };
  ReloadReport set_more(const std::vector<RuleText>& texts, Try how, bool allow_broken = false);
  // Exception lists changed: reads those that rules name anew and swaps when the rules differ by it. A list that can't
  // be read or run keeps the content it had (`behind` names it) while the others are taken; `swapped` is false then,
  // and the watcher tries again until all are in force. A rule that waits for a list runs as soon as it can be taken.
  // Calls that wait for one another share one reading; `changed` is told to the first of them.
  ReloadReport lists_changed();
  // Why a list is not in force as it stands in the record, rules that wait for one first; "" when all are.
  std::string lists_problem() const;
  // Enabled rules that don't run since a list they name can be neither read nor run and has no older content: rule_id
  // and why. Never null; another object when it changed.
  using Waiting = std::map<std::string, std::string, std::less<>>;
  std::shared_ptr<const Waiting> waiting() const;
  // The first exception item in force that excepts nothing since a value list can't be used; "" when there is none.
  std::string lists_warning() const;
  // Why rules that name the list could not be run with this item; "" when they could, or when no rule names it.
  std::string problem_of(const ListReference& list, const ExceptionText& item);
  // The same of a list that a rule is about to name.
  std::string problem_of(const ExceptionText& item) const;
  // A rule as it would run, with the exceptions of the lists it names. invalid_argument when it can't be run with them,
  // unavailable when they can't be read.
  Result<RuleInput> as_it_runs(const LoadedRule& rule);
  // The rules of the files as they were last taken, broken ones included; never null. `ok` says nothing of lists.
  std::shared_ptr<const LoadedRules> file_rules() const;

  // Watches the paths from a thread of its own and reloads when a file changed and has been quiet for `settle_ms`
  // (a half-written file is not read). Files that were refused because of a list, and lists that are behind, are tried
  // again, the less often the longer it takes. `seen` is called after each reload, and when such a trial changed
  // something.
  void watch(int poll_ms, int settle_ms, std::function<void(const ReloadReport&)> seen);
  void stop_watching();

 private:
  // Under reload_mutex_.
  struct More {
    RuleText source;
    LoadedRule rule;  // `ok` says nothing of lists
  };
  LoadedRule load_more(const RuleText& text) const;
  using Lists = std::map<ListReference, std::shared_ptr<const LiveList>>;
  struct Trouble {
    std::string problem;
    bool may_pass = false;
  };
  using Troubles = std::map<ListReference, Trouble>;
  // Lists as rules can be run with them, and those that could not be taken as they are: of these `lists` has the older
  // content, if there is any.
  struct Reading {
    Lists lists;
    Troubles troubles;
  };
  void read_lists(const LoadedRule& rule, const Lists& older, Reading& reading) const;
  const ListReference* missing_list(const LoadedRule& rule, const Lists& lists) const;
  bool take_lists(ReloadReport& report, const Reading& reading) const;
  ReloadReport read_lists_anew();
  void note_lists();
  static std::vector<std::string> warnings_of(const Lists& lists);
  static std::vector<ReloadReport::Behind> behind_of(const Troubles& troubles);
  static RuleInput with_lists(const LoadedRule& rule, const Lists& lists);
  RuleSetPtr build(const LoadedRules& files, const std::vector<More>& more, const Lists& lists, size_t* runnable) const;

  RuleBookOptions options_;
  mutable std::mutex mutex_;  // current_, files_, lists_problem_, lists_warning_, waiting_
  RuleSetPtr current_;
  std::shared_ptr<const LoadedRules> files_ = std::make_shared<LoadedRules>();
  std::string lists_problem_;
  std::string lists_warning_;
  std::shared_ptr<const Waiting> waiting_ = std::make_shared<Waiting>();
  std::atomic<uint64_t> lists_asked_{0};  // calls of lists_changed()
  std::mutex reload_mutex_;
  uint64_t lists_answered_ = 0;  // of them, those that had come before the last reading began
  ReloadReport lists_report_;    // of that reading
  std::vector<More> more_;
  Lists lists_;      // those that rules name
  Troubles behind_;  // of the lists that rules name
  Lists checked_;    // those that the last check read and no rule named yet
  struct Watch;
  std::unique_ptr<Watch> watch_;
};

}  // namespace fb
