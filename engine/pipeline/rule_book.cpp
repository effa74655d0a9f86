#include "engine/pipeline/rule_book.h"

#include <condition_variable>
#include <filesystem>
#include <utility>

#include "engine/base/digest.h"

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
  std::vector<RuleInput> runnable = report.loaded.runnable();
  if (runnable.empty() && !options_.allow_empty) {
    report.problem = "no enabled rule is left to run";
    return report;
  }
  RuleSetPtr next = RuleSet::build(std::move(runnable), options_.set);
  const std::lock_guard lock(mutex_);
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
