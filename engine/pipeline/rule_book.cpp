#include "engine/pipeline/rule_book.h"

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
  LoadedRules loaded = load_rule_text(text.text, "api", options_.load);
  LoadedRule rule;
  if (!loaded.rules.empty()) rule = std::move(loaded.rules.front());
  for (Diagnostic& d : loaded.file_diagnostics) {
    if (d.level == Diagnostic::Level::error) rule.ok = false;
    rule.diagnostics.push_back(std::move(d));
  }
  if (loaded.rules.size() != 1) rule.ok = false;
  return rule;
}

RuleSetPtr RuleBook::build(const LoadedRules& files, const std::vector<More>& more, size_t* runnable) const {
  std::vector<RuleInput> all = files.runnable();
  for (const More& m : more) {
    if (m.rule.ok && m.rule.input.meta->enabled) all.push_back(m.rule.input);
  }
  *runnable = all.size();
  return RuleSet::build(std::move(all), options_.set);
}

ReloadReport RuleBook::set_more(const std::vector<RuleText>& texts, Try how, bool allow_broken) {
  const std::lock_guard one_at_a_time(reload_mutex_);
  std::unordered_map<std::string_view, const More*> known;
  for (const More& m : more_) known.emplace(m.source.text, &m);
  const std::shared_ptr<const LoadedRules> files = file_rules();
  std::set<std::string_view> ids;
  for (const LoadedRule& rule : files->rules) ids.insert(rule.rule_id);

  ReloadReport report;
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
    if (!m.rule.ok && report.problem.empty()) {
      report.problem = m.rule.diagnostics.empty() ? "not a rule" : m.rule.diagnostics.back().message;
    }
    report.loaded.rules.push_back(m.rule);
    next.push_back(std::move(m));
  }
  if (how == Try::check || (!report.problem.empty() && !allow_broken)) return report;
  size_t runnable = 0;
  RuleSetPtr set = build(*files, next, &runnable);
  more_ = std::move(next);
  const std::lock_guard lock(mutex_);
  report.changed = set->hash() != current_->hash();
  report.swapped = true;
  current_ = std::move(set);
  return report;
}

ReloadReport RuleBook::reload() {
  const std::lock_guard one_at_a_time(reload_mutex_);
  ReloadReport report;
  auto loaded = load_rules(options_.paths, options_.load);
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
  size_t runnable = 0;
  RuleSetPtr next = build(report.loaded, more_, &runnable);
  if (runnable == 0 && !options_.allow_empty) {
    report.problem = "no enabled rule is left to run";
    return report;
  }
  const std::lock_guard lock(mutex_);
  files_ = std::make_shared<const LoadedRules>(report.loaded);
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
    std::string known = fingerprint(options_.paths);
    const auto pause = [w](int ms) {
      std::unique_lock lock(w->mutex);
      return w->wake.wait_for(lock, std::chrono::milliseconds(ms), [w] { return w->stop; });
    };
    while (!pause(poll_ms)) {
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
