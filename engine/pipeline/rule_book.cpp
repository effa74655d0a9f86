#include "engine/pipeline/rule_book.h"

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <iterator>
#include <set>
#include <unordered_map>
#include <utility>

#include "engine/base/digest.h"
#include "engine/compile/diagnostic_codes.h"
#include "engine/model/rule_uuid.h"

namespace fb {
namespace {

// Paths, sizes and times of everything below the rule paths: equal text, nothing changed.
std::string fingerprint(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  std::string all;
  const auto note = [&all](const fs::path& p) {
    std::error_code error;
    const auto time = fs::last_write_time(p, error);
    const auto size = fs::is_regular_file(p, error) ? fs::file_size(p, error) : 0;
    all += p.string() + '\0' + std::to_string(time.time_since_epoch().count()) + ' ' + std::to_string(size) + '\n';
  };
  for (const std::string& path : paths) {
    std::error_code error;
    note(path);
    if (!fs::is_directory(path, error)) continue;
    fs::recursive_directory_iterator it(path, fs::directory_options::skip_permission_denied, error);
    for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) note(it->path());
  }
  return hex(sha256(all));
}

std::string first_problem(const LoadedRules& loaded) {
  const auto line = [](const Diagnostic& d) {
    return d.file + ":" + std::to_string(d.line) + ":" + std::to_string(d.column) + ": " + d.message;
  };
  for (const Diagnostic& d : loaded.file_diagnostics) {
    if (d.level == Diagnostic::Level::error) return line(d);
  }
  for (const LoadedRule& r : loaded.rules) {
    for (const Diagnostic& d : r.diagnostics) {
      if (d.level == Diagnostic::Level::error) return line(d);
    }
  }
  return "no rule could be loaded";
}

std::string named_by(const LoadedRule& rule, const std::string& trouble) {
  return "the rule '" + rule.rule_id + "' names " + trouble;
}

// Of the rule as a whole. After an error it can't be run.
void add_diagnostic(LoadedRule& rule, Diagnostic::Level level, std::string_view code, std::string message) {
  Diagnostic d;
  d.level = level;
  d.code = code;
  d.file = rule.file;
  d.line = rule.line;
  d.message = std::move(message);
  if (level == Diagnostic::Level::error) rule.ok = false;
  rule.diagnostics.push_back(std::move(d));
}

std::string first_of(const std::vector<std::string>& lines) {
  return lines.empty() ? "" : lines.front();
}

// Of what is tried at polls until it works: the longer it takes, the less often.
class Patience {
 public:
  // Asked once a poll: is it time for another trial?
  bool is_over() {
    if (++polls_ < next_) return false;
    next_ = polls_ + std::min(polls_, kMostBetween);
    return true;
  }

 private:
  static constexpr int64_t kMostBetween = 30;
  int64_t polls_ = 0;
  int64_t next_ = 1;
};

}  // namespace

const ReloadReport::Waits* ReloadReport::wait_of(size_t at) const {
  const auto it = std::find_if(waits.begin(), waits.end(), [at](const Waits& one) { return one.at == at; });
  return it == waits.end() ? nullptr : &*it;
}

struct RuleBook::Watch {
  std::mutex mutex;
  std::condition_variable wake;
  bool stop = false;
  std::thread thread;
};

RuleBook::RuleBook(RuleBookOptions options)
    : options_(std::move(options)), current_(RuleSet::build({}, options_.set)) {}

RuleBook::~RuleBook() {
  stop_watching();
}

RuleSetPtr RuleBook::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

std::shared_ptr<const LoadedRules> RuleBook::file_rules() const {
  const std::lock_guard lock(mutex_);
  return files_;
}

// What it loads is one rule, good or broken, whatever the text is.
LoadedRule RuleBook::load_more(const RuleText& text) const {
  LoadOptions load = options_.load;
  load.lists_elsewhere = options_.lists != nullptr;
  load.any_names = true;
  LoadedRules loaded = load_rule_text(text.text, kRuleOfApi, load);
  LoadedRule rule;
  if (!loaded.rules.empty()) rule = std::move(loaded.rules.front());
  for (Diagnostic& d : loaded.file_diagnostics) {
    if (d.level == Diagnostic::Level::error) rule.ok = false;
    rule.diagnostics.push_back(std::move(d));
  }
  if (loaded.rules.size() != 1) rule.ok = false;
  return rule;
}

// Of lists that the rule names and the reading has not come to yet.
void RuleBook::read_lists(const LoadedRule& rule, const Lists& older, Reading& reading) const {
  if (!options_.lists || !rule.ok) return;
  for (const ListReference& list : rule.exception_lists) {
    if (reading.lists.contains(list) || reading.troubles.contains(list)) continue;
    const auto content = options_.lists(list);
    auto live = content ? std::make_shared<const LiveList>(list, *content, options_.load.limits) : nullptr;
    const std::string problem = content ? live->problem() : content.error().describe();
    if (problem.empty()) {
      reading.lists.emplace(list, std::move(live));
      continue;
    }
    reading.troubles.emplace(list,
                             Trouble{"the exception list '" + list.list_id.substr(0, 100) + "': " + problem, !content});
    if (const auto old = older.find(list); old != older.end()) reading.lists.insert(*old);
  }
}

// The first list without which the rule can't be run; null: it can.
const ListReference* RuleBook::missing_list(const LoadedRule& rule, const Lists& lists) const {
  if (!options_.lists) return nullptr;
  for (const ListReference& list : rule.exception_lists) {
    if (!lists.contains(list)) return &list;
  }
  return nullptr;
}

std::vector<std::string> RuleBook::warnings_of(const Lists& lists) {
  std::vector<std::string> all;
  for (const auto& [list, live] : lists) {
    if (live->warning().empty()) continue;
    all.push_back("the exception list '" + list.list_id.substr(0, 100) + "': " + live->warning());
  }
  return all;
}

RuleInput RuleBook::with_lists(const LoadedRule& rule, const Lists& lists) {
  std::vector<const LiveList*> named;
  for (const ListReference& list : rule.exception_lists) {
    const auto it = lists.find(list);
    if (it != lists.end()) named.push_back(it->second.get());
  }
  return with_exceptions(rule, named);
}

std::vector<ReloadReport::Behind> RuleBook::behind_of(const Troubles& troubles) {
  std::vector<ReloadReport::Behind> all;
  for (const auto& [list, trouble] : troubles) all.push_back({list, trouble.problem, trouble.may_pass});
  return all;
}

RuleSetPtr RuleBook::build(const LoadedRules& files, const std::vector<More>& more, const Lists& lists,
                           size_t* runnable) const {
  std::vector<RuleInput> all;
  const auto add = [&](const LoadedRule& rule) {
    if (!rule.ok || !rule.input.meta->enabled || missing_list(rule, lists) != nullptr) return;
    all.push_back(with_lists(rule, lists));
  };
  for (const LoadedRule& rule : files.rules) add(rule);
  for (const More& m : more) add(m.rule);
  *runnable = all.size();
  return RuleSet::build(std::move(all), options_.set);
}

ReloadReport RuleBook::lists_changed() {
  const uint64_t asked = ++lists_asked_;
  const std::lock_guard one_at_a_time(reload_mutex_);
  if (asked <= lists_answered_) {  // somebody's reading began after this change was kept, and told of what it changed
    ReloadReport shared = lists_report_;
    shared.changed = false;
    return shared;
  }
  const uint64_t answers = lists_asked_.load();
  lists_report_ = read_lists_anew();
  lists_answered_ = answers;
  return lists_report_;
}

std::string RuleBook::lists_problem() const {
  const std::lock_guard lock(mutex_);
  return lists_problem_;
}

std::string RuleBook::lists_warning() const {
  const std::lock_guard lock(mutex_);
  return lists_warning_;
}

std::shared_ptr<const RuleBook::Waiting> RuleBook::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

// What is told of lists, after they or the rules changed. Under both mutexes.
void RuleBook::note_lists() {
  auto waiting = std::make_shared<Waiting>();
  const auto look = [&](const LoadedRule& rule) {
    if (!rule.ok || !rule.input.meta->enabled) return;
    const ListReference* list = missing_list(rule, lists_);
    if (list == nullptr) return;
    const auto why = behind_.find(*list);
    waiting->emplace(rule.rule_id,
                     named_by(rule, why == behind_.end() ? "a list that can't be taken" : why->second.problem));
  };
  for (const LoadedRule& rule : files_->rules) look(rule);
  for (const More& m : more_) look(m.rule);
  lists_problem_.clear();
  if (!waiting->empty()) {
    const size_t n = waiting->size();
    lists_problem_ = (n == 1 ? "a rule does" : std::to_string(n) + " rules do") +
                     std::string(" not run until the exceptions can be taken: ") + waiting->begin()->second;
  } else if (!behind_.empty()) {
    lists_problem_ = behind_.begin()->second.problem;
  }
  lists_warning_ = first_of(warnings_of(lists_));
  if (*waiting != *waiting_) waiting_ = std::move(waiting);
}

ReloadReport RuleBook::read_lists_anew() {
  const std::shared_ptr<const LoadedRules> files = file_rules();
  ReloadReport report;
  report.of = ReloadReport::Of::lists;
  Reading fresh;
  for (const LoadedRule& rule : files->rules) read_lists(rule, lists_, fresh);
  for (const More& m : more_) read_lists(m.rule, lists_, fresh);
  report.behind = behind_of(fresh.troubles);
  report.swapped = report.behind.empty();
  if (!report.swapped) report.problem = report.behind.front().problem;
  report.warnings = warnings_of(fresh.lists);
  const auto same = [](const Lists::value_type& a, const Lists::value_type& b) {
    return a.first.agnostic == b.first.agnostic && a.first.list_id == b.first.list_id &&
           a.second->digest() == b.second->digest();
  };
  const bool as_before = std::equal(fresh.lists.begin(), fresh.lists.end(), lists_.begin(), lists_.end(), same);
  size_t runnable = 0;
  RuleSetPtr set = as_before ? nullptr : build(*files, more_, fresh.lists, &runnable);
  lists_ = std::move(fresh.lists);
  behind_ = std::move(fresh.troubles);
  const std::lock_guard lock(mutex_);
  report.changed = set && set->hash() != current_->hash();
  if (report.changed) current_ = std::move(set);
  note_lists();
  return report;
}

std::string RuleBook::problem_of(const ListReference& list, const ExceptionText& item) {
  {
    const std::lock_guard one_at_a_time(reload_mutex_);
    if (!lists_.contains(list) && !behind_.contains(list)) return {};
  }
  return problem_of(item);
}

std::string RuleBook::problem_of(const ExceptionText& item) const {
  return problem_of_exception(item, options_.load.limits);
}

Result<RuleInput> RuleBook::as_it_runs(const LoadedRule& rule) {
  Reading reading;
  {
    const std::lock_guard one_at_a_time(reload_mutex_);
    reading.lists = lists_;
  }
  read_lists(rule, {}, reading);
  const ListReference* missing = missing_list(rule, reading.lists);
  if (missing == nullptr) return with_lists(rule, reading.lists);
  const Trouble& why = reading.troubles.at(*missing);
  return fail(why.may_pass ? ErrorCode::unavailable : ErrorCode::invalid_argument, named_by(rule, why.problem), {},
              why.may_pass ? Retry::yes : Retry::no);
}

ReloadReport RuleBook::set_more(const std::vector<RuleText>& texts, Try how, bool allow_broken) {
  const std::lock_guard one_at_a_time(reload_mutex_);
  std::unordered_map<std::string_view, const More*> known;
  for (const More& m : more_) known.emplace(m.source.text, &m);
  const std::shared_ptr<const LoadedRules> files = file_rules();
  std::set<std::string_view> ids;
  for (const LoadedRule& rule : files->rules) ids.insert(rule.rule_id);

  ReloadReport report;
  report.of = ReloadReport::Of::more;
  const bool swaps = how == Try::swap;
  Reading reading;
  reading.lists = lists_;
  std::vector<More> next;
  next.reserve(texts.size());
  for (const RuleText& text : texts) {
    // A text that runs already need not be compiled again.
    const auto same = known.find(text.text);
    More m{text, same != known.end() && same->second->rule.ok ? same->second->rule : load_more(text)};
    if (m.rule.ok && !ids.insert(m.rule.input.meta->rule_id).second) {
      add_diagnostic(m.rule, Diagnostic::Level::error, compile::code::kDuplicateRuleId,
                     "the rule_id '" + m.rule.rule_id + "' is taken");
    }
    read_lists(m.rule, swaps ? checked_ : Lists(), reading);
    LoadedRule told = m.rule;
    const ListReference* missing = m.rule.ok ? missing_list(m.rule, reading.lists) : nullptr;
    if (missing != nullptr) {
      const Trouble& why = reading.troubles.at(*missing);
      add_diagnostic(told, Diagnostic::Level::error, compile::code::kExceptionBroken, named_by(m.rule, why.problem));
      report.waits.push_back({report.loaded.rules.size(), why.may_pass});
    }
    if (!told.ok && report.problem.empty()) {
      report.problem = told.diagnostics.empty() ? "not a rule" : told.diagnostics.back().message;
    }
    report.loaded.rules.push_back(std::move(told));
    next.push_back(std::move(m));
  }
  if (!swaps) {
    checked_.clear();
    std::set_difference(reading.lists.begin(), reading.lists.end(), lists_.begin(), lists_.end(),
                        std::inserter(checked_, checked_.end()),
                        [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  if (!swaps || (!report.problem.empty() && !allow_broken)) return report;
  for (const LoadedRule& rule : files->rules) read_lists(rule, checked_, reading);  // one may wait for a list
  size_t runnable = 0;
  RuleSetPtr set = build(*files, next, reading.lists, &runnable);
  // Of those read now and before, those that are still named.
  Lists lists;
  Troubles behind;
  const auto keep = [&](const LoadedRule& rule) {
    if (!rule.ok) return;
    for (const ListReference& list : rule.exception_lists) {
      if (const auto it = reading.lists.find(list); it != reading.lists.end()) lists.insert(*it);
      const Troubles& of = lists_.contains(list) ? behind_ : reading.troubles;
      if (const auto it = of.find(list); it != of.end()) behind.insert(*it);
    }
  };
  for (const LoadedRule& rule : files->rules) keep(rule);
  for (const More& m : next) keep(m.rule);
  more_ = std::move(next);
  report.behind = behind_of(reading.troubles);
  lists_ = std::move(lists);
  behind_ = std::move(behind);
  checked_.clear();
  report.warnings = warnings_of(lists_);
  const std::lock_guard lock(mutex_);
  report.changed = set->hash() != current_->hash();
  report.swapped = true;
  current_ = std::move(set);
  note_lists();
  return report;
}

// Of the rules of files: those that can't be run without a list that can't be taken wait for it. False: the set is
// refused for it.
bool RuleBook::take_lists(ReloadReport& report, const Reading& reading) const {
  for (size_t i = 0; i < report.loaded.rules.size(); ++i) {
    LoadedRule& rule = report.loaded.rules[i];
    if (!rule.ok || !options_.lists) continue;
    if (const ListReference* missing = missing_list(rule, reading.lists)) {
      const Trouble& why = reading.troubles.at(*missing);
      add_diagnostic(rule, Diagnostic::Level::error, compile::code::kExceptionBroken, named_by(rule, why.problem));
      report.waits.push_back({i, why.may_pass});
      if (options_.allow_broken) continue;
      report.problem = rule.diagnostics.back().message;
      return false;
    }
    for (const ListReference& list : rule.exception_lists) {
      if (list.in_files || reading.lists.at(list)->known()) continue;
      add_diagnostic(rule, Diagnostic::Level::warning, compile::code::kExceptionListMissing,
                     "there is no exception list '" + list.list_id.substr(0, 100) + "' yet: the rule runs without it");
    }
  }
  return true;
}

ReloadReport RuleBook::reload() {
  const std::lock_guard one_at_a_time(reload_mutex_);
  ReloadReport report;
  LoadOptions load = options_.load;
  load.lists_elsewhere = options_.lists != nullptr;
  auto loaded = load_rules(options_.paths, load);
  if (!loaded) {
    report.problem = loaded.error().describe();
    return report;
  }
  report.loaded = std::move(*loaded);
  if (!report.loaded.ok() && !options_.allow_broken) {
    report.problem = first_problem(report.loaded);
    return report;
  }
  std::set<std::string_view> more_ids;
  for (const More& m : more_) more_ids.insert(m.rule.rule_id);
  for (const LoadedRule& rule : report.loaded.rules) {
    if (!rule.ok || !more_ids.contains(rule.rule_id)) continue;
    report.problem = rule.file + ": the rule_id '" + rule.rule_id + "' is taken by a rule that came through the API";
    return report;
  }
  // A list that can't be taken as it is now keeps the content that rules run with.
  Reading reading;
  for (const LoadedRule& rule : report.loaded.rules) read_lists(rule, lists_, reading);
  for (const More& m : more_) read_lists(m.rule, lists_, reading);
  if (!take_lists(report, reading)) return report;
  auto files = std::make_shared<LoadedRules>(report.loaded);
  for (const ReloadReport::Waits& w : report.waits) {
    files->rules[w.at].ok = true;
    files->rules[w.at].diagnostics.pop_back();
  }
  size_t runnable = 0;
  RuleSetPtr next = build(*files, more_, reading.lists, &runnable);
  if (runnable == 0 && (!options_.allow_empty || !current()->rules().empty())) {
    report.problem = "no enabled rule is left to run";
    return report;
  }
  report.behind = behind_of(reading.troubles);
  report.warnings = warnings_of(reading.lists);
  lists_ = std::move(reading.lists);
  behind_ = std::move(reading.troubles);
  const std::lock_guard lock(mutex_);
  files_ = std::move(files);
  report.changed = next->hash() != current_->hash();
  report.swapped = true;
  current_ = std::move(next);
  note_lists();
  return report;
}

void RuleBook::watch(int poll_ms, int settle_ms, std::function<void(const ReloadReport&)> seen) {
  stop_watching();
  watch_ = std::make_unique<Watch>();
  Watch* w = watch_.get();
  w->thread =
      std::thread([this, w, poll_ms, settle_ms, known = fingerprint(options_.paths), seen = std::move(seen)]() mutable {
        Patience for_lists;  // while one is behind
        Patience for_files;  // while they are refused because of a list
        bool refused = false;
        const auto pause = [w](int ms) {
          std::unique_lock lock(w->mutex);
          return w->wake.wait_for(lock, std::chrono::milliseconds(ms), [w] { return w->stop; });
        };
        while (!pause(poll_ms)) {
          if (lists_problem().empty()) {
            for_lists = {};
          } else if (for_lists.is_over()) {
            const ReloadReport again = lists_changed();
            if (again.swapped || again.changed) seen(again);
          }
          std::string now = fingerprint(options_.paths);
          if (now == known) {
            if (!refused || !for_files.is_over()) continue;
            const ReloadReport again = reload();
            refused = !again.swapped && !again.waits.empty();
            if (!refused) seen(again);
            continue;
          }
          // Somebody is writing: wait until nothing changes any more.
          for (;;) {
            if (pause(settle_ms)) return;
            std::string again = fingerprint(options_.paths);
            if (again == now) break;
            now = std::move(again);
          }
          known = std::move(now);
          const ReloadReport report = reload();
          refused = !report.swapped && !report.waits.empty();
          for_files = {};
          seen(report);
        }
      });
}

void RuleBook::stop_watching() {
  if (!watch_) return;
  {
    const std::lock_guard lock(watch_->mutex);
    watch_->stop = true;
  }
  watch_->wake.notify_all();
  watch_->thread.join();
  watch_.reset();
}

}  // namespace fb
