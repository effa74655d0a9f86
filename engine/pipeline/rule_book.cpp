#include "engine/pipeline/rule_book.h"

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <set>
#include <unordered_map>
#include <utility>

#include "engine/base/digest.h"
#include "engine/compile/diagnostic_codes.h"

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

std::string first_of(const std::vector<std::string>& lines) {
  return lines.empty() ? "" : lines.front();
}

}  // namespace

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
  LoadedRules loaded = load_rule_text(text.text, "api", load);
  LoadedRule rule;
  if (!loaded.rules.empty()) rule = std::move(loaded.rules.front());
  for (Diagnostic& d : loaded.file_diagnostics) {
    if (d.level == Diagnostic::Level::error) rule.ok = false;
    rule.diagnostics.push_back(std::move(d));
  }
  if (loaded.rules.size() != 1) rule.ok = false;
  return rule;
}

// Lists that `lists` has already stay as they are.
Result<void> RuleBook::read_lists(const LoadedRule& rule, Lists& lists) const {
  if (!options_.lists || !rule.ok) return {};
  for (const ListReference& list : rule.exception_lists) {
    auto it = lists.find(list);
    if (it == lists.end()) {
      FB_TRY(const ListContent content, options_.lists(list));
      it = lists.emplace(list, std::make_shared<const LiveList>(list, content, options_.load.limits)).first;
    }
    const std::string& problem = it->second->problem();
    if (problem.empty()) continue;
    return fail(ErrorCode::invalid_argument, "the rule '" + rule.rule_id + "' names the exception list '" +
                                                 list.list_id.substr(0, 100) + "': " + problem);
  }
  return {};
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

RuleSetPtr RuleBook::build(const LoadedRules& files, const std::vector<More>& more, const Lists& lists,
                           size_t* runnable) const {
  std::vector<RuleInput> all;
  for (const LoadedRule& rule : files.rules) {
    if (rule.ok && rule.input.meta->enabled) all.push_back(with_lists(rule, lists));
  }
  for (const More& m : more) {
    if (m.rule.ok && m.rule.input.meta->enabled) all.push_back(with_lists(m.rule, lists));
  }
  *runnable = all.size();
  return RuleSet::build(std::move(all), options_.set);
}

ReloadReport RuleBook::lists_changed() {
  const uint64_t asked = ++lists_asked_;
  const std::lock_guard one_at_a_time(reload_mutex_);
  if (asked <= lists_answered_) return lists_report_;  // somebody's reading began after this change was kept
  const uint64_t answers = lists_asked_.load();
  lists_report_ = read_lists_anew();
  lists_answered_ = answers;
  const std::lock_guard lock(mutex_);
  lists_problem_ = lists_report_.problem;
  lists_warning_ = first_of(lists_report_.warnings);
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

ReloadReport RuleBook::read_lists_anew() {
  const std::shared_ptr<const LoadedRules> files = file_rules();
  ReloadReport report;
  report.of = ReloadReport::Of::lists;
  Lists fresh;
  std::set<ListReference> seen;
  const auto read = [&](const LoadedRule& rule) {
    if (!options_.lists || !rule.ok) return;
    for (const ListReference& list : rule.exception_lists) {
      if (!seen.insert(list).second) continue;
      const auto content = options_.lists(list);
      auto live = content ? std::make_shared<const LiveList>(list, *content, options_.load.limits) : nullptr;
      const std::string problem = content ? live->problem() : content.error().describe();
      if (problem.empty()) {
        fresh.emplace(list, std::move(live));
        continue;
      }
      report.behind.push_back({list, "the rule '" + rule.rule_id + "' names the exception list '" +
                                         list.list_id.substr(0, 100) + "': " + problem});
      if (const auto old = lists_.find(list); old != lists_.end()) fresh.insert(*old);
    }
  };
  for (const LoadedRule& rule : files->rules) read(rule);
  for (const More& m : more_) read(m.rule);
  report.swapped = report.behind.empty();
  if (!report.swapped) report.problem = report.behind.front().problem;
  report.warnings = warnings_of(fresh);
  const auto same = [](const Lists::value_type& a, const Lists::value_type& b) {
    return a.first.agnostic == b.first.agnostic && a.first.list_id == b.first.list_id &&
           a.second->digest() == b.second->digest();
  };
  const bool as_before = std::equal(fresh.begin(), fresh.end(), lists_.begin(), lists_.end(), same);
  if (as_before) {
    lists_ = std::move(fresh);
    return report;
  }
  size_t runnable = 0;
  RuleSetPtr set = build(*files, more_, fresh, &runnable);
  lists_ = std::move(fresh);
  const std::lock_guard lock(mutex_);
  report.changed = set->hash() != current_->hash();
  if (report.changed) current_ = std::move(set);
  return report;
}

std::string RuleBook::problem_of(const ListReference& list, const ExceptionText& item) {
  {
    const std::lock_guard one_at_a_time(reload_mutex_);
    if (!lists_.contains(list)) return {};
  }
  return problem_of(item);
}

std::string RuleBook::problem_of(const ExceptionText& item) const {
  return problem_of_exception(item, options_.load.limits);
}

Result<RuleInput> RuleBook::as_it_runs(const LoadedRule& rule) {
  Lists lists;
  {
    const std::lock_guard one_at_a_time(reload_mutex_);
    lists = lists_;
  }
  FB_TRY_VOID(read_lists(rule, lists));
  return with_lists(rule, lists);
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
  Lists lists = lists_;
  std::vector<More> next;
  next.reserve(texts.size());
  for (const RuleText& text : texts) {
    // A text that runs already need not be compiled again.
    const auto same = known.find(text.text);
    More m{text, same != known.end() && same->second->rule.ok ? same->second->rule : load_more(text)};
    if (m.rule.ok && !ids.insert(m.rule.input.meta->rule_id).second) {
      Diagnostic d;
      d.code = compile::code::kDuplicateRuleId;
      d.file = "api";
      d.message = "the rule_id '" + m.rule.rule_id + "' is taken";
      m.rule.ok = false;
      m.rule.diagnostics.push_back(std::move(d));
    }
    if (const auto read = read_lists(m.rule, lists); !read) {
      Diagnostic d;
      d.code = compile::code::kExceptionBroken;
      d.file = "api";
      d.message = read.error().describe();
      m.rule.ok = false;
      m.rule.diagnostics.push_back(std::move(d));
    }
    if (!m.rule.ok && report.problem.empty()) {
      report.problem = m.rule.diagnostics.empty() ? "not a rule" : m.rule.diagnostics.back().message;
    }
    report.loaded.rules.push_back(m.rule);
    next.push_back(std::move(m));
  }
  if (how == Try::check || (!report.problem.empty() && !allow_broken)) return report;
  size_t runnable = 0;
  RuleSetPtr set = build(*files, next, lists, &runnable);
  more_ = std::move(next);
  lists_.clear();  // of those read now and before, those that are still named
  const auto keep = [&](const LoadedRule& rule) {
    for (const ListReference& list : rule.exception_lists) {
      if (const auto it = lists.find(list); it != lists.end()) lists_.insert(*it);
    }
  };
  for (const LoadedRule& rule : files->rules) keep(rule);
  for (const More& m : more_) keep(m.rule);
  report.warnings = warnings_of(lists_);
  const std::lock_guard lock(mutex_);
  lists_warning_ = first_of(report.warnings);
  report.changed = set->hash() != current_->hash();
  report.swapped = true;
  current_ = std::move(set);
  return report;
}

// Of the rules of files: those that can't be run with the exceptions of their lists are broken, too. False: the set is
// refused for it.
bool RuleBook::take_lists(ReloadReport& report, Lists& lists) const {
  for (LoadedRule& rule : report.loaded.rules) {
    if (!rule.ok || !options_.lists) continue;
    const auto add = [&rule](Diagnostic::Level level, std::string_view code, std::string message) {
      Diagnostic d;
      d.level = level;
      d.code = code;
      d.file = rule.file;
      d.line = rule.line;
      d.message = std::move(message);
      rule.diagnostics.push_back(std::move(d));
    };
    if (const auto read = read_lists(rule, lists); !read) {
      add(Diagnostic::Level::error, compile::code::kExceptionBroken, read.error().describe());
      rule.ok = false;
      if (options_.allow_broken) continue;
      report.problem = read.error().describe();
      return false;
    }
    for (const ListReference& list : rule.exception_lists) {
      if (list.in_files || lists.at(list)->known()) continue;
      add(Diagnostic::Level::warning, compile::code::kExceptionListMissing,
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
  Lists lists;
  if (!take_lists(report, lists)) return report;
  for (const More& m : more_) {
    if (const auto read = read_lists(m.rule, lists); !read) {
      report.problem = read.error().describe();
      return report;
    }
  }
  size_t runnable = 0;
  RuleSetPtr next = build(report.loaded, more_, lists, &runnable);
  if (runnable == 0 && (!options_.allow_empty || !current()->rules().empty())) {
    report.problem = "no enabled rule is left to run";
    return report;
  }
  const std::lock_guard lock(mutex_);
  lists_problem_.clear();  // every list was read anew
  files_ = std::make_shared<const LoadedRules>(report.loaded);
  report.warnings = warnings_of(lists);
  lists_warning_ = first_of(report.warnings);
  lists_ = std::move(lists);
  report.changed = next->hash() != current_->hash();
  report.swapped = true;
  current_ = std::move(next);
  return report;
}

void RuleBook::watch(int poll_ms, int settle_ms, std::function<void(const ReloadReport&)> seen) {
  stop_watching();
  watch_ = std::make_unique<Watch>();
  Watch* w = watch_.get();
  w->thread = std::thread([this, w, poll_ms, settle_ms, seen = std::move(seen)] {
    constexpr int64_t kMostPollsBetween = 30;
    int64_t behind_for = 0;  // polls since a list is behind
    int64_t retry_at = 1;
    std::string known = fingerprint(options_.paths);
    const auto pause = [w](int ms) {
      std::unique_lock lock(w->mutex);
      return w->wake.wait_for(lock, std::chrono::milliseconds(ms), [w] { return w->stop; });
    };
    while (!pause(poll_ms)) {
      if (lists_problem().empty()) {
        behind_for = 0;
        retry_at = 1;
      } else if (++behind_for >= retry_at) {
        retry_at = behind_for + std::min(behind_for, kMostPollsBetween);  // what does not pass is looked at less often
        const ReloadReport again = lists_changed();
        if (again.swapped) seen(again);
      }
      std::string now = fingerprint(options_.paths);
      if (now == known) continue;
      // Somebody is writing: wait until nothing changes any more.
      for (;;) {
        if (pause(settle_ms)) return;
        std::string again = fingerprint(options_.paths);
        if (again == now) break;
        now = std::move(again);
      }
      known = std::move(now);
      seen(reload());
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
